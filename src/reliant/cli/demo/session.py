"""The demo's login session: an opaque cookie, the data in memory.

The demo is one process and forgets all when it stops, so this is enough. A real application
uses Reliant's login session or Starlette's ``SessionMiddleware``.
"""

from __future__ import annotations

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Sessions"]

_COOKIE = "demo_session"


class Sessions:
    """Who is logged in: data by the value of a cookie."""

    def __init__(self) -> None:
        self._data: dict[str, dict[str, Any]] = {}

    def of(self, request: Request) -> dict[str, Any] | None:
        """The session of the browser that sent ``request``, if it is logged in."""
        return self._data.get(request.cookies.get(_COOKIE, ""))

    def start(self, response: Response, data: dict[str, Any]) -> None:
        """Begin a session. Its name is new each time, so that none can be planted before."""
        name = secrets.token_urlsafe(24)
        self._data[name] = data
        response.set_cookie(_COOKIE, name, httponly=True, samesite="lax")

    def end(self, request: Request) -> dict[str, Any] | None:
        """End the session of this browser and return what was in it."""
        return self._data.pop(request.cookies.get(_COOKIE, ""), None)
