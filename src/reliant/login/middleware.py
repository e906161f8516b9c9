"""The ASGI middleware that knows who is logged in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.authentication import AuthCredentials, UnauthenticatedUser
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reliant.errors import LoginRequired, OAuthError, StoreError
from reliant.login.challenge import CLOSE_CODE
from reliant.login.visit import Visit

if TYPE_CHECKING:
    from reliant.login.reception import Reception

__all__ = ["LoginMiddleware"]

TRY_AGAIN_LATER = 1013  # the close code of a WebSocket (its registry at IANA)


class LoginMiddleware:
    """Sets ``request.user`` and ``request.auth``, and answers what needs a login.

    ``Login.middleware`` makes it.
    """

    def __init__(self, app: ASGIApp, reception: Reception) -> None:
        self.app = app
        self._reception = reception

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        visit = self._reception.new_visit(HTTPConnection(scope))
        answer = _Answer(visit, send, self._add_headers)
        try:
            await self._reception.recognise(visit)
            if "user" not in scope:  # another login of the same app may have found somebody
                scope["user"], scope["auth"] = UnauthenticatedUser(), AuthCredentials()
            visit.show()
            await self.app(scope, receive, answer)
        except Exception as exc:
            error = _only(exc)
            asked = not isinstance(error, LoginRequired) or self._reception.is_asked(error)
            late = visit.answered and scope["type"] == "http"
            if not isinstance(error, OAuthError) or not asked or late:
                await answer.go_on()
                raise
            if scope["type"] == "websocket":
                await _close(visit, error, send)
            else:
                response = await self._reception.answer(visit, error)
                await response(scope, receive, answer.instead())
        else:
            await answer.go_on()

    def _add_headers(self, visit: Visit, message: Message) -> None:
        headers = MutableHeaders(raw=message.setdefault("headers", []))
        cookies = self._reception.cookies_due(visit)
        for cookie in cookies:
            headers.append("set-cookie", cookie)
        if cookies:
            headers["cache-control"] = "no-store"  # whatever the app says of its page
        # With less a browser shows a page again to who goes back after the logout. What has a
        # validator, as files have, is for all.
        elif visit.personal or (
            visit.session is not None and "etag" not in headers and "last-modified" not in headers
        ):
            headers.setdefault("cache-control", "no-store")


class _Answer:
    """The answer to a request on its way out, with its headers added.

    One with status 500 waits until the app is done: it may be that of an application mounted in the
    app, which does not know our errors, and then raises the error all the same.
    """

    def __init__(
        self, visit: Visit, send: Send, add_headers: Callable[[Visit, Message], None]
    ) -> None:
        self._visit = visit
        self._send = send
        self._add_headers = add_headers
        self._waiting: list[Message] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 500:
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


async def _close(visit: Visit, error: OAuthError, send: Send) -> None:
    """End a WebSocket; before its handshake is done the browser would see no code at all."""
    if not isinstance(error, LoginRequired | StoreError):
        raise error
    if not visit.answered:
        await send({"type": "websocket.accept"})
    code = CLOSE_CODE if isinstance(error, LoginRequired) else TRY_AGAIN_LATER
    await send({"type": "websocket.close", "code": code, "reason": error.code})
