"""The authorization endpoint and the sign-in page behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from starlette.responses import RedirectResponse, Response

from reliant.testing import pages
from reliant.testing.browser_session import current_session, hinted, remember, sub_of
from reliant.testing.checks import check_authorization
from reliant.testing.messages import ReceivedRequest, Refusal
from reliant.testing.model import Client, Grant, Model, Session
from reliant.testing.request_objects import with_request_object
from reliant.testing.session_management import session_state
from reliant.testing.tokens import id_token

__all__ = ["authorize", "login"]


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

    @property
    def types(self) -> set[str]:
        """The words of ``response_type``."""
        return set(self.params.get("response_type", "").split())

    @property
    def mode(self) -> str:
        """How the answer travels: as asked, else as usual for the type."""
        usual = "fragment" if self.types & {"token", "id_token"} else "query"
        return self.params.get("response_mode", usual)


async def authorize(model: Model, request: ReceivedRequest) -> Response:
    """The authorization endpoint (OIDC Core section 3.1.2)."""
    plain, request = request.params, await with_request_object(model, request)
    asked = _asked(model, request.params, request.query, request.repeated)
    check_authorization(model, asked.client, plain, request.params)
    try:
        _check(model, asked)
        session = current_session(model, request)
        if session is not None and _satisfies(model, session, asked):
            return _answer(model, asked, _granted(model, asked, session))
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
        _check(model, asked)
        if request.params.get("decision") != "sign-in":
            raise Refusal("access_denied", "the user chose to cancel")
    except Refusal as refusal:
        return _answer(model, asked, refusal.members)
    if not user:
        return pages.login(asked.client.client_id, model.url("login"), query, "", missing=True)
    cookie, session = model.sign_in(user)
    response = _answer(model, asked, _granted(model, asked, session))
    remember(model, response, cookie, session)
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
        raise Refusal(
            "invalid_request",
            f"redirect_uri {redirect_uri} is not registered for this client; "
            f"registered: {', '.join(client.redirect_uris)}",
        )
    if repeated & {"client_id", "redirect_uri"}:
        raise Refusal("invalid_request", "client_id or redirect_uri was sent twice")
    return Asked(client, redirect_uri, params, query, repeated)


def _check(model: Model, asked: Asked) -> None:
    """Judge the rest of the request; a refusal goes back to the client."""
    params = asked.params
    if asked.repeated:
        raise Refusal("invalid_request", f"sent twice: {', '.join(sorted(asked.repeated))}")
    if "request" in params or "request_uri" in params:
        name = "request" if "request" in params else "request_uri"
        raise Refusal(f"{name}_not_supported", "request objects are not supported")
    if asked.types not in [set(kind.split()) for kind in model.behaviour.response_types]:
        raise Refusal("unsupported_response_type", "this response type is not supported")
    modes = ("query", "form_post") if asked.types == {"code"} else ("fragment", "form_post")
    if asked.mode not in modes:
        raise Refusal("invalid_request", f"the mode is {' or '.join(modes)} for this type")
    if "nonce" not in params and ("id_token" in asked.types or model.behaviour.nonce_required):
        raise Refusal("invalid_request", "nonce is missing")
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
    return hint is None or hinted(model, hint).get("sub") == sub_of(model, session)


def _granted(model: Model, asked: Asked, session: Session) -> dict[str, str]:
    """What the response type asks for (OIDC Core sections 3.1.2.5, 3.2.2.5 and 3.3.2.5)."""
    params, types = asked.params, asked.types
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
    model.grants.append(grant)
    answer = {"code": model.issue_code(grant)} if "code" in types else {}
    if "token" in types:
        answer |= {"access_token": model.issue_access_token(grant), "token_type": "Bearer"}
    if "id_token" in types:
        answer["id_token"] = id_token(
            model,
            grant,
            all_claims=types == {"id_token"},
            code=answer.get("code"),
            state=params.get("state") if model.behaviour.s_hash else None,
        )
    if model.behaviour.session_management:
        client_id = asked.client.client_id
        answer["session_state"] = session_state(client_id, asked.redirect_uri, session)
    return answer


def _answer(model: Model, asked: Asked, answer: Mapping[str, str]) -> Response:
    """Send the authorization response the way the request asked for."""
    params = dict(answer)
    if "state" in asked.params:
        params["state"] = asked.params["state"]
    if model.behaviour.response_iss:
        params["iss"] = model.issuer
    params = model.faults.alter("callback", params)
    if "error" in params:
        for name in ("code", "id_token", "access_token", "token_type"):
            params.pop(name, None)
    if asked.mode == "form_post":
        return pages.form_post(asked.redirect_uri, params)
    # doseq: a fault may want a parameter twice, and then its value is a list.
    joint = "#" if asked.mode == "fragment" else "&" if "?" in asked.redirect_uri else "?"
    location = asked.redirect_uri + (f"{joint}{urlencode(params, doseq=True)}" if params else "")
    return RedirectResponse(location, 303, headers={"Cache-Control": "no-store"})
