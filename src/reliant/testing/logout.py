"""The end-session endpoint, and how clients learn of the end (RP-, Back- and Front-Channel)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from starlette.responses import RedirectResponse, Response

from reliant.testing import pages
from reliant.testing.browser_session import current_session, forget, hinted, sub_of
from reliant.testing.checks import check_logout
from reliant.testing.messages import ReceivedRequest, Refusal
from reliant.testing.model import Client, Model, Session
from reliant.testing.outbound import post_logout_token
from reliant.testing.tokens import logout_token

__all__ = ["end_session", "end_session_confirmed", "front_channel_urls", "tell_clients"]


async def end_session(model: Model, request: ReceivedRequest) -> Response:
    """The end-session endpoint (OIDC RP-Initiated Logout 1.0)."""
    hint = _judge_logout(model, request.params)
    check_logout(model, request.params, hint)
    session = current_session(model, request)
    # Without proof that the request comes from a client of this very session, any page could
    # sign the user out; so ask (section 2). Nobody signed in needs no asking.
    if session is not None and hint.get("sub") != sub_of(model, session):
        return pages.confirm_logout(model.url("end-session/confirm"), request.query, session.user)
    return await _sign_out(model, request, request.params, str(hint.get("sid", "")))


async def end_session_confirmed(model: Model, request: ReceivedRequest) -> Response:
    """The confirmation page's form."""
    params = dict(parse_qsl(request.params.get("request", ""), keep_blank_values=True))
    _judge_logout(model, params)
    if request.params.get("decision") != "sign-out":
        return pages.message("Still signed in", "You chose to stay signed in.")
    return await _sign_out(model, request, params, "")


def _judge_logout(model: Model, params: Mapping[str, str]) -> Mapping[str, object]:
    """Judge hint, client and return address; returns the hint's claims, if it is ours."""
    hint = hinted(model, params["id_token_hint"]) if "id_token_hint" in params else {}
    client_id = params.get("client_id", hint.get("aud"))
    if hint and client_id != hint.get("aud"):
        raise Refusal("invalid_request", "client_id and id_token_hint name different clients")
    uri = params.get("post_logout_redirect_uri")
    if uri is None:
        return hint
    client = model.clients.get(str(client_id))
    if client is None:
        raise Refusal(
            "invalid_request", "post_logout_redirect_uri needs id_token_hint or client_id"
        )
    registered = client.post_logout_redirect_uris
    if registered is not None and uri not in registered:
        raise Refusal(
            "invalid_request",
            f"post_logout_redirect_uri {uri} is not registered for this client; "
            f"registered: {', '.join(registered)}",
        )
    if not uri.startswith(("https://", "http://")):
        raise Refusal("invalid_request", "post_logout_redirect_uri is not an http(s) address")
    return hint


async def _sign_out(
    model: Model, request: ReceivedRequest, params: Mapping[str, str], sid: str
) -> Response:
    session = current_session(model, request) or model.session(sid)
    uri = params.get("post_logout_redirect_uri")
    if uri is not None:
        echoed = {"state": params["state"]} if "state" in params else {}
        uri = _with_query(uri, model.faults.alter("logged_out", echoed))
    frames = []
    if session is not None:
        frames = front_channel_urls(model, session)
        await tell_clients(model, session)
        model.sign_out(session.sid)
    if frames:
        response: Response = pages.signed_out_everywhere(frames, uri)
    elif uri is None:
        response = pages.message("Signed out", "You are signed out.")
    else:
        response = RedirectResponse(uri, 303, headers={"Cache-Control": "no-store"})
    forget(response)
    return response


async def tell_clients(model: Model, session: Session) -> None:
    """Post a logout token to each client of the session that takes one."""
    for client in model.clients_in(session.sid):
        if "backchannel_logout_uri" in client.metadata:
            await post_logout_token(model, client, logout_token(model, client, session))


def front_channel_urls(model: Model, session: Session) -> list[str]:
    """The addresses to load in frames (OIDC Front-Channel Logout 1.0 section 2)."""
    return [
        _front_channel_url(model, client, session)
        for client in model.clients_in(session.sid)
        if "frontchannel_logout_uri" in client.metadata
    ]


def _front_channel_url(model: Model, client: Client, session: Session) -> str:
    uri = str(client.metadata["frontchannel_logout_uri"])
    if not client.metadata.get("frontchannel_logout_session_required"):
        return uri
    return _with_query(uri, {"iss": model.issuer, "sid": session.sid})


def _with_query(uri: str, params: Mapping[str, object]) -> str:
    joint = "&" if "?" in uri else "?"
    return f"{uri}{joint}{urlencode(params, doseq=True)}" if params else uri
