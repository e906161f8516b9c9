"""The ASGI application: routes, the log of requests, and the faults of whole endpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import urlsplit

import anyio
import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from reliant.testing import (
    back_channel,
    front_channel,
    logout,
    pages,
    registration,
    session_management,
    userinfo,
    webfinger,
)
from reliant.testing.faults import REMOVE, Faults
from reliant.testing.messages import ReceivedRequest, Refusal, receive
from reliant.testing.model import Model
from reliant.testing.outbound import load_client_keys

__all__ = ["build_app"]

Handler = Callable[[Model, ReceivedRequest], Response | Awaitable[Response]]

# path below the issuer, endpoint (as faults and the log name it), methods, what answers
_ROUTES: tuple[tuple[str, str, tuple[str, ...], Handler], ...] = (
    (".well-known/openid-configuration", "discovery", ("GET",), back_channel.discovery),
    ("jwks{suffix:path}", "jwks", ("GET",), back_channel.jwks),
    ("authorize", "authorize", ("GET", "POST"), front_channel.authorize),
    ("login", "login", ("POST",), front_channel.login),
    ("token", "token", ("POST",), back_channel.token),
    ("userinfo", "userinfo", ("GET", "POST"), userinfo.userinfo),
    ("claims", "claims", ("GET", "POST"), userinfo.distributed),
    ("mtls/token", "mtls_token", ("POST",), back_channel.token),
    ("mtls/userinfo", "mtls_userinfo", ("GET", "POST"), userinfo.userinfo),
    ("revoke", "revoke", ("POST",), back_channel.revoke),
    ("register", "register", ("POST",), registration.register),
    ("register/{handle}", "register", ("GET", "PUT", "DELETE"), registration.manage),
    ("check-session", "check_session", ("GET",), session_management.check_session_iframe),
    ("end-session", "end_session", ("GET", "POST"), logout.end_session),
    ("end-session/confirm", "confirm", ("POST",), logout.end_session_confirmed),
)
_FOR_BROWSERS = (
    front_channel.authorize,
    front_channel.login,
    logout.end_session,
    logout.end_session_confirmed,
)
_NEEDS_CLIENT_KEYS = ("authorize", "login", "token", "userinfo")


def build_app(model: Model) -> Starlette:
    """Build the application that serves ``model`` below the path of its issuer."""
    routes = [
        Route(
            urlsplit(model.url(path)).path,
            partial(_serve, model, endpoint, handler),
            methods=list(methods),
        )
        for path, endpoint, methods, handler in _ROUTES
    ]
    # An account belongs to a host, so this one lies at the root (RFC 7033 section 10.1).
    find = partial(_serve, model, "webfinger", webfinger.webfinger)
    return Starlette(routes=[*routes, Route("/.well-known/webfinger", find)])


async def _serve(model: Model, endpoint: str, handler: Handler, request: Request) -> Response:
    received = await receive(endpoint, request)
    model.requests.append(received)
    faults = model.faults
    if (seconds := faults.take(f"{endpoint}.delay")) is not None:
        await anyio.sleep(seconds)
    if faults.take(f"{endpoint}.reset"):
        return _Dropped()
    status = faults.take(f"{endpoint}.status")
    response = _instead(faults, endpoint, status) or await _answered(model, handler, received)
    if status is not None:
        response.status_code = status
    return _altered(faults, endpoint, response)


async def _answered(model: Model, handler: Handler, received: ReceivedRequest) -> Response:
    try:
        if received.endpoint in _NEEDS_CLIENT_KEYS:
            await load_client_keys(model)
        answer = handler(model, received)
        return answer if isinstance(answer, Response) else await answer
    except Refusal as refusal:
        if handler in _FOR_BROWSERS:
            return pages.message("That did not work", str(refusal), refusal.status)
        headers = {"Cache-Control": "no-store"}
        if refusal.challenge is not None:
            headers["WWW-Authenticate"] = refusal.challenge
        return JSONResponse(refusal.members, refusal.status, headers)


def _instead(faults: Faults, endpoint: str, status: int | None) -> Response | None:
    """The answer of a fault that keeps the endpoint from doing its work."""
    redirect, body = faults.take(f"{endpoint}.redirect"), faults.take(f"{endpoint}.body")
    if redirect is not None:
        return RedirectResponse(redirect, 302)
    if body is not None:
        return Response(body, media_type="application/json")
    if status is not None and status >= 400:
        error = {"error": "server_error", "error_description": "a fault that was asked for"}
        return JSONResponse(faults.alter(endpoint, error), status)
    return None


def _altered(faults: Faults, endpoint: str, response: Response) -> Response:
    """Change the answer on its way out."""
    if (size := faults.take(f"{endpoint}.size")) is not None:
        response.body = bytes(response.body) + b" " * size
        response.headers["Content-Length"] = str(len(response.body))
    content_type = faults.take(f"{endpoint}.content_type")
    if content_type is REMOVE:
        del response.headers["Content-Type"]
    elif content_type is not None:
        response.headers["Content-Type"] = content_type
    response.headers.update(faults.take(f"{endpoint}.headers") or {})
    return response


class _Dropped(Response):
    """An answer that breaks off: a server closes the connection, in-process the client fails."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise httpx2.ReadError("the connection was reset: a fault that was asked for")
