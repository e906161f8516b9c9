"""The ASGI middleware that knows who is logged in."""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.authentication import AuthCredentials, UnauthenticatedUser
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reliant.errors import ConfigurationError, LoginRequired, OAuthError
from reliant.login.reception import Reception, note
from reliant.login.setup import check_order
from reliant.login.visit import Visit

__all__ = ["LoginMiddleware"]

log: logging.Logger = logging.getLogger("reliant")

# What a WebSocket is closed with, by what the status would be. 4000 to 4999 are the application's
# (RFC 6455 section 7.4.2); 1011 is an internal error, 1013 "try again later".
CLOSE_CODES = {401: 4401, 403: 4403, 503: 1013}
INTERNAL_ERROR = 1011
_VALIDATORS = {b"etag", b"last-modified"}


class LoginMiddleware:
    """Sets ``request.user`` and ``request.auth``, and answers what needs a login.

    ``Login.middleware`` makes it.
    """

    def __init__(self, app: ASGIApp, reception: Reception) -> None:
        self.app = app
        self._reception = reception
        self._is_checked = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if not self._is_checked:
            self._check(scope.get("app"))
        visit = self._reception.new_visit(HTTPConnection(scope))
        answer = _Answer(scope, visit, send, self._add_headers)
        try:
            await self._reception.recognise(visit)
            if "user" not in scope:  # another login of the same app may have found somebody
                scope["user"], scope["auth"] = UnauthenticatedUser(), AuthCredentials()
            visit.show(scope)
            await self.app(scope, receive, answer)
        except Exception as exc:
            error = _only(exc)
            asked = not isinstance(error, LoginRequired) or self._reception.is_asked(error)
            late = visit.answered and scope["type"] == "http"
            if not isinstance(error, OAuthError) or not asked or late:
                await answer.go_on()
                raise
            if scope["type"] == "websocket":
                await _close(scope, visit, error, send)
            else:
                response = await self._reception.answer(visit, error)
                await response(scope, receive, answer.instead())
        else:
            await answer.go_on()

    def _check(self, app: object) -> None:
        """Let the log say what the lifespan refuses, for an app that has another one."""
        self._is_checked = True
        try:
            check_order(app, self._reception.guarded)
        except ConfigurationError as exc:
            log.warning("%s", exc.description)

    def _add_headers(self, visit: Visit, message: Message) -> None:
        headers = message["headers"] = list(message.get("headers", ()))
        names = {name for name, _ in headers}
        cookies = self._reception.cookies_due(visit)
        if cookies:
            headers += [(b"set-cookie", cookie.encode("latin-1")) for cookie in cookies]
            MutableHeaders(raw=headers)["cache-control"] = "no-store"  # whatever the app says
        # With less a browser shows a page again to who goes back after the logout. What has a
        # validator, as files have, is for all.
        elif b"cache-control" not in names and (
            visit.personal or (visit.session is not None and not names & _VALIDATORS)
        ):
            headers.append((b"cache-control", b"no-store"))


class _Answer:
    """The answer to a request on its way out, with its headers added.

    One with status 500 of an application that is mounted in the app waits until that is done: it
    may not know our errors, and then raises the error all the same.
    """

    def __init__(
        self,
        scope: Scope,
        visit: Visit,
        send: Send,
        add_headers: Callable[[Visit, Message], None],
    ) -> None:
        self._scope, self._app = scope, scope.get("app")
        self._visit = visit
        self._send = send
        self._add_headers = add_headers
        self._waiting: list[Message] = []

    async def __call__(self, message: Message) -> None:
        is_mounted = self._scope.get("app") is not self._app
        if is_mounted and message["type"] == "http.response.start" and message["status"] == 500:
            self._waiting.append(message)
        elif self._waiting:
            self._waiting.append(message)
            if message.get("more_body"):
                await self.go_on()
        else:
            await self._pass_on(message)

    async def go_on(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            await self._pass_on(message)

    def instead(self) -> Send:
        """Forget what waits, for another answer takes its place."""
        self._waiting = []
        return self._pass_on

    async def _pass_on(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            self._add_headers(self._visit, message)
            self._visit.answered = True
        await self._send(message)


def _only(exc: BaseException) -> BaseException:
    """The first error of a group, as task groups make them, where all in it are ours."""
    while isinstance(exc, BaseExceptionGroup) and exc.split(OAuthError)[1] is None:
        exc = exc.exceptions[0]
    return exc


async def _close(scope: Scope, visit: Visit, error: OAuthError, send: Send) -> None:
    """End a WebSocket; before its handshake is done the browser would see no code at all."""
    if not visit.answered:
        # Browsers end a handshake that takes none of the protocols they offer.
        protocol = next(iter(scope.get("subprotocols") or ()), None)
        await send({"type": "websocket.accept", "subprotocol": protocol, "headers": []})
    if not isinstance(error, LoginRequired):
        note(error)
    code = CLOSE_CODES.get(error.status_hint, INTERNAL_ERROR)
    await send({"type": "websocket.close", "code": code, "reason": error.code})
