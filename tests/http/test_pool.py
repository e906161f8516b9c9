"""Pool: what it sends in one piece, and that its errors are those of httpx2."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import anyio.abc
import anyio.streams.tls
import httpcore2
import httpx2
import pytest
import trustme

from reliant.http import pool
from reliant.http.line import Line
from reliant.http.pool import Pool
from reliant.protocol.messages import HttpRequest
from tests.helpers import tcp


async def test_head_and_body_arrive_together() -> None:
    heard: list[bytes] = []
    line = Line({"trust_env": False}, "Test/1")
    async with tcp.serve_octets(tcp.answer(b"ok"), heard.append) as origin:
        await line.send(HttpRequest("POST", f"{origin}/", {}, b"grant_type=x"))
        await line.aclose()
    (sent,) = heard
    assert sent.startswith(b"POST / HTTP/1.1\r\n")
    assert sent.endswith(b"\r\n\r\ngrant_type=x")


async def test_an_answer_nobody_asked_for_goes_to_nobody() -> None:
    """One that lies behind another would be the next request's, and all others' one later."""

    async def handler(stream: Any) -> None:
        await stream.send(tcp_answer(heard[-1]) + b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")
        while True:
            heard.append(await stream.receive())
            await stream.send(tcp_answer(heard[-1]))

    def tcp_answer(request: bytes) -> bytes:
        body = request.rpartition(b"\r\n\r\n")[2]
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

    heard: list[bytes] = []
    got: list[bytes | str] = []
    line = Line({"trust_env": False}, "Test/1")
    async with tcp.serve_octets(handler, heard.append) as origin:
        for who in (b"anna", b"bob", b"carl", b"dora"):
            try:
                got.append((await line.send(HttpRequest("POST", f"{origin}/", {}, who))).body)
            except httpx2.RemoteProtocolError as exc:
                got.append(str(exc))
        await line.aclose()
    assert got[0] == b"anna"
    assert got[1] == "An answer came before its request."  # which was never sent
    assert b"bob" not in b"".join(heard)
    assert got[2] == b"carl"


async def test_a_body_of_any_size_arrives_whole() -> None:
    body = b"x" * (5 * pool.PIECE)
    received = b""

    async def handler(stream: Any) -> None:
        while len(received) < len(body):
            hear(await stream.receive())
        await tcp.answer(b"thanks")(stream)

    def hear(octets: bytes) -> None:
        nonlocal received
        received += octets.partition(b"\r\n\r\n")[2] if octets.startswith(b"POST ") else octets

    line = Line({"trust_env": False}, "Test/1")
    async with tcp.serve_octets(handler, hear) as origin:
        response = await line.send(HttpRequest("POST", f"{origin}/", {}, body))
        await line.aclose()
    assert response.body == b"thanks"
    assert received == body


async def test_an_answer_that_comes_before_all_was_sent_is_read() -> None:
    class Refusing(httpcore2.AsyncNetworkStream):
        async def write(self, buffer: bytes, *args: Any, **options: Any) -> None:
            raise httpcore2.WriteError

        async def read(self, max_bytes: int, *args: Any, **options: Any) -> bytes:
            return b"HTTP/1.1 413 Content Too Large\r\n"

    stream = pool._OnePiece(Refusing())
    await stream.write(b"POST / HTTP/1.1\r\n\r\n")
    assert (await stream.read(100)).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "error",
    [
        httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.LocalProtocolError,
        httpcore2.PoolTimeout, httpcore2.ReadError, httpcore2.ReadTimeout,
        httpcore2.RemoteProtocolError, httpcore2.UnsupportedProtocol, httpcore2.WriteError,
        httpcore2.WriteTimeout,
    ],
)  # fmt: skip
async def test_its_errors_are_those_of_httpx2(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: Any, request: Any) -> None:
        raise error("why")

    monkeypatch.setattr(httpcore2.AsyncConnectionPool, "handle_async_request", fail)
    sender = Pool(ssl.create_default_context(), None, {})
    target = sender.target(httpx2.URL("https://op.example/"))
    expected = getattr(httpx2, error.__name__)
    with pytest.raises(expected, match="why") as caught:
        await sender.send(HttpRequest("GET", "https://op.example/"), target, {})
    assert type(caught.value.__cause__) is error


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_is_verified(trusted: bool) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    server, client = (
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
        ssl.create_default_context(),
    )
    authority.issue_cert("localhost").configure_cert(server)
    (authority if trusted else stranger).configure_trust(client)

    async def serve(stream: Any) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    about: Mapping[Any, Callable[[], Any]] = listener.extra_attributes
    port = about[anyio.abc.SocketAttribute.local_port]()
    line = Line({"trust_env": False, "verify": client}, "Test/1")
    async with listener, anyio.create_task_group() as tasks:
        tls = anyio.streams.tls.TLSListener(listener, server, handshake_timeout=5)
        tasks.start_soon(tls.serve, serve)
        request = HttpRequest("GET", f"https://localhost:{port}/")
        if trusted:
            assert (await line.send(request)).body == b"ok"
        else:
            with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
                await line.send(request)
        await line.aclose()
        tasks.cancel_scope.cancel()
