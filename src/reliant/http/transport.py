"""Sending: one pooled httpx2 client per event loop, with limits on everything that comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import httpx2

from reliant.errors import OAuthError, ProviderError
from reliant.http.line import TIMEOUT, Line
from reliant.protocol.messages import HttpRequest, HttpResponse

__all__ = ["CLIENT_OPTIONS", "HttpTransport", "Transport"]

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
            raise provider_error(exc, request.url) from exc

    async def request(self, method: str, url: str, **options: Any) -> httpx2.Response:
        """Send a request of the app's, with ``options`` of ``httpx2.AsyncClient.request``."""
        async with self._line() as line:
            return await line.client().request(method, url, **options)

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
            self._forget_what_is_closed()
            line = self._lines[loop] = Line(self._options, self._user_agent)
        return line

    def _forget_what_is_closed(self) -> None:
        for loop, line in list(self._lines.items()):
            is_closed = getattr(loop, "is_closed", None)
            if line.closed or (is_closed is not None and is_closed()):
                del self._lines[loop]


def provider_error(exc: Exception, url: str = "") -> ProviderError:
    """Tell a failed exchange in our words; the original is for the caller to chain.

    ``url``: what was asked, of which the host is told.
    """
    who = f" at {url.partition('//')[2].partition('/')[0]}" if url else ""
    if isinstance(exc, TimeoutError | httpx2.TimeoutException):
        return ProviderError(
            description=f"The provider{who} did not answer in time. Try again; if it lasts, check "
            "the provider's status and this machine's network.",
            code="http.timeout",
            status_hint=504,
        )
    if isinstance(exc, httpx2.NetworkError | httpx2.RemoteProtocolError | OSError):
        return ProviderError(
            description=f"The connection to the provider{who} failed. Check its address, its "
            "certificate and this machine's network.",
            code="http.connection",
        )
    return ProviderError(
        description=f"The exchange with the provider{who} failed ({type(exc).__name__}).",
        code="http.failed",
    )


def _deadline(timeout: Any) -> float:
    if isinstance(timeout, int | float):
        return float(timeout)
    limits = httpx2.Timeout(timeout).as_dict().values()
    return max((limit for limit in limits if limit is not None), default=TIMEOUT)
