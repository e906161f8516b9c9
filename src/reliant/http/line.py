"""The connections of one client in one event loop, closed when nobody uses them any more."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast
from urllib.request import getproxies

import anyio
import httpx2
from anyio.lowlevel import RunVar

from reliant.errors import ConfigurationError, ProviderError, printable
from reliant.http.body import TIMEOUT, capped, headers_by_name, read_body
from reliant.http.pool import Pool
from reliant.protocol.messages import HttpRequest, HttpResponse
from reliant.protocol.values import is_secure_url, origin_of

if TYPE_CHECKING:
    import httpcore2

__all__ = ["Line", "deadline", "provider_error", "warm_up"]

IDLE = 5.0  # seconds after which httpx2 uses a connection no more, unless limits= says otherwise
MAX_ADDRESSES = 16  # judged and kept; a provider has fewer endpoints

# Options that leave nothing between a request and the connections of this module's own.
_PLAIN = {"default_encoding", "headers", "limits", "timeout", "trust_env", "verify"}

_BASIS = {"accept": "*/*", "connection": "keep-alive"}
_ASKED = {"accept-encoding": "gzip"}  # the one way of compression that is unpacked with a limit

# The lines of an event loop that are closed when idle, the longest unused first.
_OPEN: RunVar[dict[Line, None]] = RunVar("reliant.http.line")


class _Address(NamedTuple):
    """A URL that was judged; ``target``: where it needs nothing that httpx2's client does."""

    url: httpx2.URL
    host: str
    target: httpcore2.URL | None


class Line:
    """Where the requests of one client leave one event loop.

    A request of the protocol takes the short way, unless the app has set something that must see
    it: a transport, event hooks, a proxy. ``options``: of ``httpx2.AsyncClient``; ``user_agent``:
    the header's value; ``clock``: a function that returns seconds, for tests.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        user_agent: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        headers = httpx2.Headers({"user-agent": user_agent})
        headers.update(options.get("headers"))
        self._options = {"timeout": TIMEOUT, **options, "headers": headers}
        # A client's own certificate goes into the context, so one with it must not be shared.
        if options.get("transport") is None and options.get("cert") is None:
            self._options.setdefault("verify", _tls_context())
        self._sent = {**_BASIS, **headers, **_ASKED}
        self._timeouts = httpx2.Timeout(self._options["timeout"]).as_dict()
        self._addresses: dict[str, _Address] = {}
        self._client: httpx2.AsyncClient | None = None
        self._pool = self._new_pool()
        self._clock = clock
        self._used, self._users, self._idle_after = 0.0, 0, self._expiry()
        self._open = _OPEN.get({})
        _OPEN.set(self._open)
        self.closed: bool = False

    def _new_pool(self) -> Pool | None:
        options, trust_env = self._options, self._options.get("trust_env", True)
        plain = all(options[name] is None for name in options.keys() - _PLAIN)
        if not plain or (trust_env and getproxies()):
            return None
        context = options["verify"]
        if not isinstance(context, ssl.SSLContext):
            context = httpx2.create_ssl_context(context, trust_env=trust_env)
        # Where all timeouts are the same, the deadline of the whole exchange says so already.
        timeouts = self._timeouts if len(set(self._timeouts.values())) > 1 else {}
        return Pool(context, options.get("limits"), timeouts)

    def _expiry(self) -> float | None:
        if self._options.get("transport") is not None or self._options.get("mounts"):
            return None  # the app's, who may not be able to open it again
        limits = self._options.get("limits")
        expiry: float | None = IDLE if limits is None else limits.keepalive_expiry
        return expiry

    async def __aenter__(self) -> Self:
        """Begin to use it; two others at most that nobody has used for long are closed."""
        self._users += 1
        if self._idle_after is not None:
            self._used = now = self._clock()
            self._open.pop(self, None)
            self._open[self] = None
            for _ in range(2):  # no request pays for all of them, and they still become fewer
                oldest = next(iter(self._open), self)
                if not oldest._is_idle(now):
                    break
                with suppress(Exception), anyio.CancelScope(shield=True):
                    await oldest.aclose()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._users -= 1

    def _is_idle(self, now: float) -> bool:
        unused = now - self._used
        return not self._users and self._idle_after is not None and unused > self._idle_after

    def client(self) -> httpx2.AsyncClient:
        """An httpx2 client of the same options, made at its first use."""
        if self._client is None or self._client.is_closed:
            nobody = DefaultCookiePolicy(allowed_domains=[])  # one client serves all users
            self._client = httpx2.AsyncClient(cookies=CookieJar(nobody), **self._options)
        return self._client

    def hold(self) -> None:
        """Let it stay open though it may seem idle, for someone else has its client."""
        self._idle_after = None
        self._open.pop(self, None)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request of the protocol and read the answer.

        Raises ``ConfigurationError`` with ``http.insecure``, ``ProviderError`` for an answer too
        large or packed in a way of its own, and what httpx2 raises.
        """
        address = self._addresses.get(request.url) or self._judge(request.url)
        # Hooks of the app may add "Content-Type" beside our "content-type": the later one counts.
        headers = {**self._sent, **{name.lower(): it for name, it in request.headers.items()}}
        headers.setdefault("host", address.host)
        if request.body or request.method in ("POST", "PUT", "PATCH"):
            headers["content-length"] = str(len(request.body))
        if self._pool is not None and address.target is not None:
            return await self._pool.send(request, address.target, headers)
        return await self._send_by_client(request, address.url, headers)

    async def request(self, method: str, url: str, **options: Any) -> httpx2.Response:
        """Send a request of the app's, with ``options`` of ``httpx2.AsyncClient.request``.

        Raises ``ProviderError``.
        """
        try:
            return await self.client().request(method, url, **options)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as exc:
            raise provider_error(exc, str(url)) from exc

    async def _send_by_client(
        self, request: HttpRequest, url: httpx2.URL, headers: Mapping[str, str]
    ) -> HttpResponse:
        outgoing = httpx2.Request(
            request.method,
            url,
            headers=headers,
            content=request.body or None,
            extensions={"timeout": self._timeouts},
        )
        response = await self.client().send(outgoing, stream=True, follow_redirects=False)
        got = headers_by_name(response.headers.raw)
        try:
            if response.is_stream_consumed:  # an event hook of the app has read it
                body = capped(response.content)
            else:
                stream = cast(httpx2.AsyncByteStream, response.stream)
                body = await read_body(stream, got.get("content-encoding", ""))
        finally:
            await response.aclose()
        return HttpResponse(response.status_code, got, body)

    def _judge(self, url: str) -> _Address:
        if not is_secure_url(url):
            raise ConfigurationError(
                description="The address of a provider's endpoint is not an https URL; plain http "
                "works for loopback addresses only.",
                code="http.insecure",
            )
        if len(self._addresses) >= MAX_ADDRESSES:
            self._addresses.clear()
        parsed = httpx2.URL(url)
        direct = self._pool is not None and not parsed.userinfo  # of which httpx2 makes a header
        target = self._pool.target(parsed) if self._pool is not None and direct else None
        address = self._addresses[url] = _Address(parsed, parsed.netloc.decode("ascii"), target)
        return address

    async def aclose(self) -> None:
        """Close the connections."""
        self.closed = True
        self._open.pop(self, None)
        if self._pool is not None:
            await self._pool.aclose()
        if self._client is not None:
            await self._client.aclose()


@cache
def _tls_context() -> ssl.SSLContext:
    # About 16 ms to make, so one serves the whole process.
    return httpx2.create_ssl_context()


def warm_up() -> None:
    """Do at a program's start what its first request would have all others wait for."""
    with suppress(OSError):  # the first request tells of certificates that can't be read
        _tls_context()


def provider_error(exc: Exception, url: str = "") -> ProviderError:
    """Tell a failed exchange in our words; the original is for the caller to chain.

    ``url``: what was asked, of which host and port are told, and nothing that may be a secret.
    """
    origin = origin_of(url)
    who = "" if origin is None else f" at {printable(origin[1], 255)}:{origin[2]}"
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


def deadline(timeout: Any) -> float:
    """The seconds of a whole exchange; ``timeout``: of its steps, as httpx2 takes it."""
    limits = httpx2.Timeout(timeout).as_dict().values()
    return max((limit for limit in limits if limit is not None), default=TIMEOUT)
