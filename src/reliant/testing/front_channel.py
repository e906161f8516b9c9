"""The endpoints a browser visits: sign-in and sign-out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from starlette.responses import RedirectResponse, Response

from reliant.protocol import jose
from reliant.testing import pages
from reliant.testing.messages import ReceivedRequest, Refusal
from reliant.testing.model import Client, Grant, Model, Session
from reliant.testing.users import claims_of

__all__ = ["authorize", "end_session", "end_session_confirmed", "login"]

COOKIE = "fake_provider"


@dataclass(frozen=True)
class Asked:
    """An authorization request whose client and redirect_uri are known to be good."""

    client: Client
    redirect_uri: str
    params: Mapping[str, str]
    query: str
    repeated: frozenset[str]

    @property
    def prompts(self) -> list[str]:
        """The values of ``prompt``."""
        return self.params.get("prompt", "").split()

    @property
    def max_age(self) -> int | None:
        """The value of ``max_age``."""
        return int(self.params["max_age"]) if "max_age" in self.params else None


def authorize(model: Model, request: ReceivedRequest) -> Response:
    """The authorization endpoint (OIDC Core section 3.1.2)."""
    asked = _asked(model, request.params, request.query, request.repeated)
    try:
        _check(asked)
        session = model.sessions.get(request.cookies.get(COOKIE, ""))
        if session is not None and _satisfies(model, session, asked):
            return _answer(model, asked, _code(model, asked, session))
        if "none" in asked.prompts:
            raise Refusal("login_required", "nobody is signed in, or not recently enough")
    except Refusal as refusal:
        return _answer(model, asked, refusal.members)
    hint = asked.params.get("login_hint", "")
    return pages.login(asked.client.client_id, model.url("login"), asked.query, hint)


def login(model: Model, request: ReceivedRequest) -> Response:
    """The sign-in page's form: the authorization request again, with the user's decision."""
    query = request.params.get("request", "")
    # The request went through the browser, so it is judged again from the start.
    asked = _asked(model, dict(parse_qsl(query, keep_blank_values=True)), query)
    user = request.params.get("user", "").strip()
    try:
        _check(asked)
        if request.params.get("decision") != "sign-in":
            raise Refusal("access_denied", "the user chose to cancel")
    except Refusal as refusal:
        return _answer(model, asked, refusal.members)
    if not user:
        return pages.login(asked.client.client_id, model.url("login"), query, "", missing=True)
    cookie, session = model.sign_in(user)
    response = _answer(model, asked, _code(model, asked, session))
    response.set_cookie(
        COOKIE,
        cookie,
        httponly=True,
        secure=model.issuer.startswith("https:"),
        samesite="lax",
    )
    return response


def _asked(
    model: Model, params: Mapping[str, str], query: str, repeated: frozenset[str] = frozenset()
) -> Asked:
    """Judge what must hold before anything goes to ``redirect_uri`` (RFC 9700 section 4.11)."""
    client = model.clients.get(params.get("client_id", ""))
    redirect_uri = params.get("redirect_uri", "")
    if client is None:
        raise Refusal("invalid_client", "there is no client with this client_id")
    if not redirect_uri.startswith(("https://", "http://")) or "#" in redirect_uri:
        raise Refusal("invalid_request", "redirect_uri is not an absolute http(s) address")
    if client.redirect_uris is not None and redirect_uri not in client.redirect_uris:
        raise Refusal("invalid_request", "redirect_uri is not registered for this client")
    if repeated & {"client_id", "redirect_uri"}:
        raise Refusal("invalid_request", "client_id or redirect_uri was sent twice")
    return Asked(client, redirect_uri, params, query, repeated)


def _check(asked: Asked) -> None:
    """Judge the rest of the request; a refusal goes back to the client."""
    params = asked.params
    if asked.repeated:
        raise Refusal("invalid_request", f"sent twice: {', '.join(sorted(asked.repeated))}")
    if "request" in params or "request_uri" in params:
        name = "request" if "request" in params else "request_uri"
        raise Refusal(f"{name}_not_supported", "request objects are not supported")
    if params.get("response_type") != "code":
        raise Refusal("unsupported_response_type", "only the response type code is supported")
    if params.get("response_mode", "query") not in ("query", "form_post"):
        raise Refusal("invalid_request", "only the modes query and form_post are supported")
    if not params.get("scope"):
        raise Refusal("invalid_scope", "scope is missing")
    if "code_challenge" in params and params.get("code_challenge_method") != "S256":
        raise Refusal("invalid_request", "code_challenge_method must be S256")
    if asked.client.client_secret is None and "code_challenge" not in params:
        raise Refusal("invalid_request", "a public client must send a code_challenge")
    if not params.get("max_age", "0").isdecimal():
        raise Refusal("invalid_request", "max_age is not a number of seconds")
    if "none" in asked.prompts and len(asked.prompts) > 1:
        raise Refusal("invalid_request", "prompt=none excludes every other prompt")


def _satisfies(model: Model, session: Session, asked: Asked) -> bool:
    """Tell whether the session is enough, so that the user need not sign in again."""
    if {"login", "select_account"} & set(asked.prompts):
        return False
    if asked.max_age is not None and model.clock() - session.auth_time > asked.max_age:
        return False
    hint = asked.params.get("id_token_hint")
    return hint is None or _hinted(model, hint).get("sub") == _sub(model, session)


def _sub(model: Model, session: Session) -> object:
    return claims_of(session.user, model.users)["sub"]


def _hinted(model: Model, hint: str) -> Mapping[str, object]:
    """The claims of an ID Token this provider issued, however old; none otherwise."""
    try:
        token = jose.parse_jws(hint)
    except jose.MalformedToken:
        return {}
    return token.claims if model.keys.made(token) else {}


def _code(model: Model, asked: Asked, session: Session) -> dict[str, str]:
    params = asked.params
    grant = Grant(
        client_id=asked.client.client_id,
        redirect_uri=asked.redirect_uri,
        scope=params["scope"],
        session=session,
        nonce=params.get("nonce"),
        code_challenge=params.get("code_challenge"),
        acr=next(iter(params.get("acr_values", "").split()), None),
        max_age_asked="max_age" in params,
    )
    return {"code": model.issue_code(grant)}


def _answer(model: Model, asked: Asked, answer: Mapping[str, str]) -> Response:
    """Send the authorization response the way the request asked for."""
    params = dict(answer)
    if "state" in asked.params:
        params["state"] = asked.params["state"]
    if model.behaviour.response_iss:
        params["iss"] = model.issuer
    params = model.faults.alter("callback", params)
    if "error" in params:
        params.pop("code", None)
    if asked.params.get("response_mode") == "form_post":
        return pages.form_post(asked.redirect_uri, params)
    return _redirect(asked.redirect_uri, params)


def _redirect(uri: str, params: Mapping[str, object]) -> Response:
    # doseq: a fault may want a parameter twice, and then its value is a list.
    joint = "&" if "?" in uri else "?"
    location = f"{uri}{joint}{urlencode(params, doseq=True)}" if params else uri
    return RedirectResponse(location, 303, headers={"Cache-Control": "no-store"})


def end_session(model: Model, request: ReceivedRequest) -> Response:
    """The end-session endpoint (OIDC RP-Initiated Logout 1.0)."""
    hint = _judge_logout(model, request.params)
    session = model.sessions.get(request.cookies.get(COOKIE, ""))
    # Without proof that the request comes from a client of this very session, any page could
    # sign the user out; so ask (section 2). Nobody signed in needs no asking.
    if session is not None and hint.get("sub") != _sub(model, session):
        return pages.confirm_logout(model.url("end-session/confirm"), request.query, session.user)
    return _sign_out(model, request, request.params, str(hint.get("sid", "")))


def end_session_confirmed(model: Model, request: ReceivedRequest) -> Response:
    """The confirmation page's form."""
    params = dict(parse_qsl(request.params.get("request", ""), keep_blank_values=True))
    _judge_logout(model, params)
    if request.params.get("decision") != "sign-out":
        return pages.message("Still signed in", "You chose to stay signed in.")
    return _sign_out(model, request, params, "")


def _judge_logout(model: Model, params: Mapping[str, str]) -> Mapping[str, object]:
    """Judge hint, client and return address; returns the hint's claims, if it is ours."""
    hint = _hinted(model, params["id_token_hint"]) if "id_token_hint" in params else {}
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
        raise Refusal("invalid_request", "post_logout_redirect_uri is not registered")
    if not uri.startswith(("https://", "http://")):
        raise Refusal("invalid_request", "post_logout_redirect_uri is not an http(s) address")
    return hint


def _sign_out(
    model: Model, request: ReceivedRequest, params: Mapping[str, str], sid: str
) -> Response:
    model.sessions.pop(request.cookies.get(COOKIE, ""), None)
    model.sign_out(sid)
    uri = params.get("post_logout_redirect_uri")
    if uri is None:
        response: Response = pages.message("Signed out", "You are signed out.")
    else:
        echoed = {"state": params["state"]} if "state" in params else {}
        response = _redirect(uri, model.faults.alter("logged_out", echoed))
    response.delete_cookie(COOKIE)
    return response
