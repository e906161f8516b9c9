"""Requests sent on httpcore2's connections, each in one piece: half the way through httpx2."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterable, Mapping
from contextlib import suppress
from typing import Any, cast

import httpcore2
import httpx2

from reliant.http.body import headers_by_name, read_body
from reliant.protocol.messages import HttpRequest, HttpResponse

__all__ = ["Pool"]

log: logging.Logger = logging.getLogger("httpx2")  # for the line its client writes of a request

LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20)  # those of its client
PIECE = 64 * 1024  # octets that are held back at most

_ERRORS = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
)


class Pool:
    """Connections such as ``httpx2.AsyncClient`` makes.

    ``context``: for TLS; ``timeouts``: of each step, as httpx2 has them.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        limits: httpx2.Limits | None,
        timeouts: Mapping[str, float | None],
    ) -> None:
        limits = limits or LIMITS
        self._extensions = {"timeout": timeouts}
        self._connections = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Network(),
        )

    def target(self, url: httpx2.URL) -> httpcore2.URL:
        """The URL as ``send`` takes it."""
        return httpcore2.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )

    async def send(
        self, request: HttpRequest, target: httpcore2.URL, headers: Mapping[str, str]
    ) -> HttpResponse:
        """Send a request and read the answer; raises the errors of httpx2.

        ``headers``: all of them, instead of the request's own.
        """
        outgoing = httpcore2.Request(
            request.method,
            target,
            headers=[(name.encode("ascii"), it.encode("ascii")) for name, it in headers.items()],
            content=request.body,
            extensions=self._extensions,
        )
        try:
            response = await self._connections.handle_async_request(outgoing)
            try:
                if response.extensions["network_stream"].is_held:
                    raise httpcore2.RemoteProtocolError("An answer came before its request.")
                got = headers_by_name(response.headers)
                stream = cast(AsyncIterable[bytes], response.stream)
                body = await read_body(stream, got.get("content-encoding", ""))
            finally:
                await response.aclose()
        except _ERRORS as exc:
            raise getattr(httpx2, type(exc).__name__)(str(exc)) from exc
        version, reason = (response.extensions[name] for name in ("http_version", "reason_phrase"))
        log.info('HTTP Request: %s %s "%s %d %s"', request.method, request.url,
                 version.decode("latin-1"), response.status, reason.decode("latin-1"))  # fmt: skip
        return HttpResponse(response.status, got, body)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.aclose()


class _Network(httpcore2.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(self, *args: Any, **options: Any) -> _OnePiece:
        return _OnePiece(await self._backend.connect_tcp(*args, **options))


class _OnePiece(httpcore2.AsyncNetworkStream):
    """Holds back what is written until an answer is awaited: head and body leave together."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._held = b""

    @property
    def is_held(self) -> bool:
        """Whether something waits. An answer by then was sent behind another one, and is not ours;
        whoever took it would shift all that follow.
        """
        return bool(self._held)

    async def write(self, buffer: bytes, *args: Any, **options: Any) -> None:
        self._held += buffer
        if len(self._held) > PIECE:
            await self._send(*args, **options)

    async def read(self, max_bytes: int, *args: Any, **options: Any) -> bytes:
        if self._held:
            # A provider may answer and close before it has read all.
            with suppress(httpcore2.WriteError):
                await self._send(*args, **options)
        return await self._stream.read(max_bytes, *args, **options)

    async def _send(self, *args: Any, **options: Any) -> None:
        held, self._held = self._held, b""
        await self._stream.write(held, *args, **options)

    async def start_tls(self, *args: Any, **options: Any) -> _OnePiece:
        return _OnePiece(await self._stream.start_tls(*args, **options))

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
