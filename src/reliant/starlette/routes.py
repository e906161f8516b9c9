"""Ready-made routes of one client: its keys, and what the provider sends on its own."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from reliant.errors import LogoutTokenError, OAuthError, printable
from reliant.protocol.jose import public_jwk
from reliant.protocol.values import append_query, is_local_path, same
from reliant.starlette.logout_event import LogoutEvent
from reliant.starlette.pages import check_session_page, logout_page
from reliant.starlette.requests import (
    callback_parameters,
    origin_of_request,
    query_parameters,
)
from reliant.storage.calls import call
from reliant.storage.replay import ReplayGuard

if TYPE_CHECKING:
    from reliant.starlette.client import StarletteClient

__all__ = ["client_routes"]

log: logging.Logger = logging.getLogger("reliant")

_TARGET = "target_link_uri"
_NO_STORE = {"cache-control": "no-store"}
_URI_PATH = re.compile(r"/[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")  # RFC 3986 appendix A
Handler = Callable[[Request], Awaitable[Response]]
Begin = Callable[..., Awaitable[Response]]


def client_routes(
    find: Callable[[], StarletteClient],
    redirect_uri: Any = None,
    on_logout: Callable[[LogoutEvent], Awaitable[None]] | None = None,
    guard: ReplayGuard | None = None,
    begin: Begin | None = None,
    origin: Callable[[Request], str | None] = origin_of_request,
) -> list[Route]:
    """The routes of one client, for a ``Mount`` of the app.

    ``find``: returns the client; ``redirect_uri``: the callback of the logins that
    ``/initiate-login`` begins: a URL, or a function of the request that returns one; without it
    that route is left out; ``on_logout``: told in place of the client's own hook; ``guard``:
    remembers logout tokens in place of the client's own; ``begin``: begins those logins in place of
    ``authorize_redirect``; ``origin``: the site's own.
    """
    routes: dict[str, tuple[list[str], Any]] = {
        "/jwks.json": (["GET"], _jwks),
        "/request-objects/{reference}": (["GET"], _request_object),
        "/backchannel-logout": (["POST"], _backchannel(on_logout, guard)),
        "/frontchannel-logout": (["GET"], _frontchannel(on_logout)),
        "/check-session": (["GET"], _check_session),
    }
    if redirect_uri is not None:
        routes["/initiate-login"] = (
            ["GET", "POST"],
            _initiator(redirect_uri, begin or _begin, origin),
        )
    return [
        Route(path, _guarded(find, path, handler), methods=methods)
        for path, (methods, handler) in routes.items()
    ]


def _guarded(find: Callable[[], StarletteClient], path: str, handler: Any) -> Handler:
    """Bad input to any of these routes: 400 with a stable code, nothing changed, one log line."""

    async def endpoint(request: Request) -> Response:
        client = find()
        try:
            response: Response = await handler(client, request)
        except OAuthError as exc:
            if exc.client_name is None:  # else the step that failed has told the log
                log.warning("%s of %r refused: code=%s error=%s: %s", path, client.name, exc.code,
                            exc.error, printable(exc.description, 500),
                            exc_info=_hooks_own(exc))  # fmt: skip
            internal = exc.status_hint >= 500
            # A logout that failed is a 400, whatever the cause (Back-Channel Logout 1.0 2.8).
            status = 503 if internal and path != "/backchannel-logout" else 400
            text = "The login service has a problem." if internal else exc.description
            body = {"error": "invalid_request", "error_description": text, "code": exc.code}
            response = JSONResponse(body, status, headers=_NO_STORE)
        return response

    return endpoint


def _hooks_own(exc: OAuthError) -> BaseException | None:
    """The error of the app's own hook, which nobody else would see."""
    return exc.__cause__ if exc.code == "logout_token.hook" else None


async def _jwks(client: StarletteClient, request: Request) -> Response:
    keys = {"keys": [public_jwk(key) for key in client.settings.keys]}
    headers = {"cache-control": "public, max-age=300"}
    return JSONResponse(keys, headers=headers, media_type="application/jwk-set+json")


async def _request_object(client: StarletteClient, request: Request) -> Response:
    found = await client.request_objects.take(str(request.path_params["reference"]))
    if found is None:
        return PlainTextResponse("Not found", 404, headers=_NO_STORE)
    return Response(found, media_type="application/oauth-authz-req+jwt", headers=_NO_STORE)


def _backchannel(on_logout: Any, guard: ReplayGuard | None) -> Any:
    async def backchannel_logout(client: StarletteClient, request: Request) -> Response:
        parameters = await callback_parameters(request)
        token = parameters.get("logout_token")
        if token is None:
            raise LogoutTokenError(
                description='Missing "logout_token" parameter.', code="logout_token.missing"
            )
        logout = await client.verifier.logout_token(token)
        key = f"logout_{client.name}_{logout.iss}_{logout.jti}"
        event = LogoutEvent(client.name, "back", logout.iss, logout.sub, logout.sid, request)
        replays = guard or client.replay_guard
        held = None
        try:
            held = await replays.hold(key)
            if held is not None:
                await _tell(on_logout or client.settings.on_logout, event)
                await replays.use(held, logout.expires_at)
        except Exception as exc:  # the hook, or the cache
            if held is not None:
                with suppress(Exception):
                    await replays.forget(held)  # so that the provider may try again
            raise LogoutTokenError(
                description="The logout could not be carried out here.", code="logout_token.hook"
            ) from exc
        if held is None:
            raise LogoutTokenError(
                description="This logout token was used already.", code="logout_token.replay"
            )
        return Response(status_code=200, headers=_NO_STORE)

    return backchannel_logout


def _frontchannel(on_logout: Any) -> Any:
    async def frontchannel_logout(client: StarletteClient, request: Request) -> Response:
        parameters = query_parameters(request)
        metadata = await client.load_server_metadata()
        issuer = client.verifier.issuer(metadata)
        iss, sid = parameters.get("iss"), parameters.get("sid")
        if (iss is None) != (sid is None):
            raise _error("parameters", "A front-channel logout has both iss and sid, or neither.")
        if iss is not None and not same(iss, issuer):
            raise _error("iss", 'The "iss" of the logout is not this provider.')
        if sid is not None and len(sid) > 255:
            raise _error("sid", 'The "sid" of the logout is too long.')
        event = LogoutEvent(client.name, "front", issuer, None, sid, request)
        await _tell(on_logout or client.settings.on_logout, event)
        return logout_page(issuer)

    return frontchannel_logout


async def _check_session(client: StarletteClient, request: Request) -> Response:
    session_state = query_parameters(request).get("session_state")
    iframe = (await client.load_server_metadata()).endpoint("check_session_iframe")
    if session_state is None or len(session_state) > 1024 or " " in session_state:
        raise _error("session_state", 'The page needs the "session_state" of the login.')
    if iframe is None:
        raise _error("no_session_iframe", "The provider has no check_session_iframe.")
    return check_session_page(client.client_id, session_state, iframe)


async def _begin(
    client: StarletteClient, request: Request, uri: Any, return_to: str | None, hint: dict[str, str]
) -> Response:
    try_again = client.login_path
    response = await client.authorize_redirect(request, uri, return_to=return_to, **hint)
    client.login_path = try_again  # which must not lead here, where an iss is needed
    return response


def _initiator(redirect_uri: Any, begin: Begin, origin: Callable[[Request], str | None]) -> Any:
    async def initiate_login(client: StarletteClient, request: Request) -> Response:
        """Begin a login that another site asks for (OIDC Core section 4)."""
        parameters = await callback_parameters(request)
        metadata = await client.load_server_metadata()
        iss = parameters.get("iss")
        if iss is None or not same(iss, client.verifier.issuer(metadata)):
            raise _error("iss", 'The "iss" is missing, or none that this site logs in with.')
        hint = parameters.get("login_hint")
        if hint is not None and len(hint) > 1024:
            raise _error("login_hint", 'The "login_hint" is too long.')
        return_to = _target(origin(request), parameters.get(_TARGET))
        if request.method == "POST":
            # A session cookie stays behind when another site posts, and a session begun now would
            # take the place of the person's own. It comes along with a GET.
            known = {name: parameters.get(name) for name in ("iss", "login_hint", _TARGET)}
            again = append_query(request.url.path, known)
            return RedirectResponse(again, 303, headers=_NO_STORE)
        uri = redirect_uri(request) if callable(redirect_uri) else redirect_uri
        hints = {} if hint is None else {"login_hint": hint}
        return await begin(client, request, uri, return_to, hints)

    return initiate_login


def _target(origin: str | None, target: str | None) -> str | None:
    """The path in ``target_link_uri``, which must be of this site (OIDC Core section 4)."""
    if target is None:
        return None
    path = target.removeprefix(origin) if origin and target.startswith(origin + "/") else target
    if not is_local_path(path) or not _URI_PATH.fullmatch(path):
        raise _error("target_link_uri", 'The "target_link_uri" is not of this site.')
    return path


async def _tell(hook: Callable[[LogoutEvent], Any] | None, event: LogoutEvent) -> None:
    if hook is not None:
        await call(hook, event)


def _error(rule: str, description: str) -> OAuthError:
    return OAuthError("invalid_request", description, code=f"route.{rule}")
