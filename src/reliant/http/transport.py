"""Sending: one pooled httpx2 client per event loop, with limits on everything that comes back."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Mapping
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Protocol, TypeVar, cast

import anyio
import anyio.lowlevel
import httpx2

from reliant.errors import ConfigurationError, OAuthError, ProviderError
from reliant.protocol.messages import HttpRequest, HttpResponse
from reliant.protocol.values import is_secure_url

__all__ = ["CLIENT_OPTIONS", "HttpTransport", "Transport"]

TIMEOUT = 10.0  # seconds, for a whole exchange
MAX_BODY = 1024 * 1024  # octets, after decompression

# What client_kwargs may pass on to httpx2.AsyncClient. Redirects, cookies, auth and base_url are
# not among them: tokens travel here, and each user's cookies would be sent for all others.
CLIENT_OPTIONS = frozenset(
    {
        "cert", "default_encoding", "event_hooks", "headers", "http1", "http2", "limits",
        "mounts", "proxy", "timeout", "transport", "trust_env", "verify",
    }
)  # fmt: skip

_ASKED = {"accept-encoding": "gzip"}  # the one way of compression that is unpacked with a limit

B = TypeVar("B", bytes, bytearray)


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
        self._options = dict(options)
        self._user_agent = user_agent
        self._deadline = _deadline(options.get("timeout", TIMEOUT))
        self._clients: dict[object, httpx2.AsyncClient] = {}

    def client(self) -> httpx2.AsyncClient:
        """The httpx2 client of the running event loop, made at its first use."""
        loop = anyio.lowlevel.current_token().native_token
        client = self._clients.get(loop)
        if client is None or client.is_closed:
            self._forget_closed_loops()
            client = self._clients[loop] = self._new_client()
        return client

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request of the protocol: https or loopback, no redirect followed, 1 MiB at most.

        Raises ``ProviderError``: ``http.timeout``, ``http.connection``, ``http.too_large``,
        ``http.failed``; ``ConfigurationError``: ``http.insecure``.
        """
        if not is_secure_url(request.url):
            raise ConfigurationError(
                description="The address of a provider's endpoint is not an https URL; plain http "
                "works for loopback addresses only.",
                code="http.insecure",
            )
        client = self.client()
        try:
            outgoing = httpx2.Request(
                request.method,
                request.url,
                headers={**client.headers, **_ASKED, **_lower(request.headers)},
                content=request.body or None,
                extensions={"timeout": client.timeout.as_dict()},
            )
            with anyio.fail_after(self._deadline):
                response = await client.send(outgoing, stream=True, follow_redirects=False)
                try:
                    body = await _read(response)
                finally:
                    await response.aclose()
        except OAuthError:
            raise
        except Exception as exc:  # a transport can raise anything; none of it may leave
            raise provider_error(exc) from exc
        return HttpResponse(response.status_code, dict(response.headers), body)

    async def aclose(self) -> None:
        """Close the running loop's client; a later request opens a new one."""
        client = self._clients.pop(anyio.lowlevel.current_token().native_token, None)
        if client is not None:
            await client.aclose()

    @property
    def is_open(self) -> bool:
        """Whether the client of some loop is still to be closed."""
        self._forget_closed_loops()
        return bool(self._clients)

    def _new_client(self) -> httpx2.AsyncClient:
        options = dict(self._options)
        # A client's own certificate goes into the context, so one with it must not be shared.
        if options.get("transport") is None and options.get("cert") is None:
            options.setdefault("verify", _tls_context())
        options.setdefault("timeout", TIMEOUT)
        headers = httpx2.Headers({"user-agent": self._user_agent})
        headers.update(options.pop("headers", None))
        nobody = DefaultCookiePolicy(allowed_domains=[])  # one pool serves all users: keep none
        return httpx2.AsyncClient(headers=headers, cookies=CookieJar(nobody), **options)

    def _forget_closed_loops(self) -> None:
        for loop in list(self._clients):
            is_closed = getattr(loop, "is_closed", None)
            if is_closed is not None and is_closed():
                self._clients.pop(loop, None)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    # Hooks of the app may add "Content-Type" beside our "content-type": the later one counts.
    return {name.lower(): value for name, value in headers.items()}


async def _read(response: httpx2.Response) -> bytes:
    if response.is_stream_consumed:  # an event hook of the app has read it
        return _capped(response.content)
    # Not aiter_bytes: it unpacks compression within compression, and what stands behind the end of
    # a compressed body, for as long as that goes on; 5 kB can keep it busy for minutes.
    body = bytearray()
    async for chunk in cast(httpx2.AsyncByteStream, response.stream):
        body += chunk
        _capped(body)
    coding = response.headers.get("content-encoding", "").lower()
    return bytes(body) if not body or coding in ("", "identity") else _unpacked(body, coding)


def _unpacked(body: bytearray, coding: str) -> bytes:
    if coding not in ("gzip", "x-gzip"):
        raise ProviderError(
            description="The provider's answer is compressed in another way than asked for.",
            code="http.failed",
        )
    return _capped(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, MAX_BODY + 1))


def _capped(body: B) -> B:
    if len(body) > MAX_BODY:
        raise ProviderError(
            description=f"The provider's answer is larger than {MAX_BODY} bytes.",
            code="http.too_large",
        )
    return body


def provider_error(exc: Exception) -> ProviderError:
    """Tell a failed exchange in our words; the original is for the caller to chain."""
    if isinstance(exc, TimeoutError | httpx2.TimeoutException):
        return ProviderError(
            description="The provider did not answer in time. Try again; if it lasts, check the "
            "provider's status and this machine's network.",
            code="http.timeout",
            status_hint=504,
        )
    if isinstance(exc, httpx2.NetworkError | httpx2.RemoteProtocolError | OSError):
        return ProviderError(
            description="The connection to the provider failed. Check its address, its "
            "certificate and this machine's network.",
            code="http.connection",
        )
    return ProviderError(
        description=f"The exchange with the provider failed ({type(exc).__name__}).",
        code="http.failed",
    )


def _deadline(timeout: Any) -> float:
    if isinstance(timeout, int | float):
        return float(timeout)
    limits = httpx2.Timeout(timeout).as_dict().values()
    return max((limit for limit in limits if limit is not None), default=TIMEOUT)


@cache
def _tls_context() -> ssl.SSLContext:
    # About 16 ms to make, so one serves the whole process.
    return httpx2.create_ssl_context()
