"""Sending: one line per event loop, with limits on everything that comes back.

What is behind it, and with it httpx2, is imported when it is used: by the lifespan of an app, or by
its first request. It would be a third of what importing this library takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.lowlevel

from reliant.errors import OAuthError
from reliant.http.body import TIMEOUT
from reliant.protocol.messages import HttpRequest, HttpResponse

if TYPE_CHECKING:
    import httpx2

    from reliant.http.line import Line

__all__ = ["CLIENT_OPTIONS", "HttpTransport", "Transport", "warm_up"]

# What client_kwargs may pass on to httpx2.AsyncClient. Redirects, cookies, auth and base_url are
# not among them: tokens travel here, and each user's cookies would be sent for all others.
CLIENT_OPTIONS = frozenset(
    {
        "cert", "default_encoding", "event_hooks", "headers", "http1", "http2", "limits",
        "mounts", "proxy", "timeout", "transport", "trust_env", "verify",
    }
)  # fmt: skip


class Transport(Protocol):
    """What the floors above need of HTTP."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request and read the answer whole; raises ``OAuthError`` only."""
        ...


class HttpTransport:
    """The httpx2 implementation of ``Transport``.

    ``options``: options of ``httpx2.AsyncClient``; ``user_agent``: the header's value.
    """

    def __init__(self, options: Mapping[str, Any], user_agent: str) -> None:
        self._options = options
        self._user_agent = user_agent
        self._deadline = _deadline(options.get("timeout", TIMEOUT))
        self._lines: dict[object, Line] = {}

    def client(self) -> httpx2.AsyncClient:
        """The httpx2 client of the running event loop, made at its first use."""
        line = self._line()
        line.hold()
        return line.client()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request of the protocol: https or loopback, no redirect followed, 1 MiB at most.

        Raises ``ProviderError``: ``http.timeout``, ``http.connection``, ``http.too_large``,
        ``http.failed``; ``ConfigurationError``: ``http.insecure``.
        """
        line = self._line()
        try:
            async with line:
                with anyio.fail_after(self._deadline):
                    return await line.send(request)
        except OAuthError:
            raise
        except Exception as exc:  # a transport can raise anything; none of it may leave
            from reliant.http.line import provider_error

            raise provider_error(exc, request.url) from exc

    async def request(self, method: str, url: str, **options: Any) -> httpx2.Response:
        """Send a request of the app's, with ``options`` of ``httpx2.AsyncClient.request``.

        Raises ``ProviderError``.
        """
        async with self._line() as line:
            return await line.request(method, url, **options)

    async def aclose(self) -> None:
        """Close the running loop's connections; a later request opens new ones."""
        line = self._lines.pop(anyio.lowlevel.current_token().native_token, None)
        if line is not None:
            await line.aclose()

    @property
    def is_open(self) -> bool:
        """Whether the connections of some loop are still to be closed."""
        self._forget_what_is_closed()
        return bool(self._lines)

    def _line(self) -> Line:
        loop = anyio.lowlevel.current_token().native_token
        line = self._lines.get(loop)
        if line is None or line.closed:
            from reliant.http.line import Line

            self._forget_what_is_closed()
            line = self._lines[loop] = Line(self._options, self._user_agent)
        return line

    def _forget_what_is_closed(self) -> None:
        for loop, line in list(self._lines.items()):
            is_closed = getattr(loop, "is_closed", None)
            if line.closed or (is_closed is not None and is_closed()):
                del self._lines[loop]


def warm_up() -> None:
    """Do at a program's start what its first request would have all others wait for."""
    from reliant.http.line import warm_up

    warm_up()


def _deadline(timeout: Any) -> float:
    if isinstance(timeout, int | float):
        return float(timeout)
    from reliant.http.line import deadline

    return deadline(timeout)
