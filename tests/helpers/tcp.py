"""A server that answers with any octets at any pace, on a free port of loopback."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc

Handler = Callable[[anyio.abc.SocketStream], Awaitable[None]]


@asynccontextmanager
async def serve_octets(
    handler: Handler, heard: Callable[[bytes], None] = lambda head: None
) -> AsyncIterator[str]:
    """Serve in the running event loop, yield the origin; `handler` runs after a request's head.

    `heard` gets what came until then: the head, and what came along with its end.
    """

    async def handle(stream: anyio.abc.SocketStream) -> None:
        head = b""
        async with stream:
            try:
                while b"\r\n\r\n" not in head:
                    head += await stream.receive()
                heard(head)
                await handler(stream)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # the client has seen enough

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    about: Mapping[Any, Callable[[], Any]] = listener.extra_attributes
    port = about[anyio.abc.SocketAttribute.local_port]()
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> Handler:
    """A handler that sends one answer and closes."""
    lines = [f"HTTP/1.1 {status}", "connection: close", f"content-length: {len(body)}", *headers]

    async def handler(stream: anyio.abc.SocketStream) -> None:
        await stream.send("\r\n".join([*lines, "", ""]).encode() + body)

    return handler


def gzipped(body: bytes) -> Handler:
    """A handler that sends one answer, compressed."""
    return answer(gzip.compress(body), "content-encoding: gzip")


async def silence(stream: anyio.abc.SocketStream) -> None:
    """Take the request and never answer."""
    await anyio.sleep_forever()


async def drip(stream: anyio.abc.SocketStream) -> None:
    """Send one octet after another, each well within a read timeout, without end."""
    await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        await stream.send(b" ")
        await anyio.sleep(0.01)


async def hang_up(stream: anyio.abc.SocketStream) -> None:
    """Close before a word is said."""


async def break_off(stream: anyio.abc.SocketStream) -> None:
    """Close in the middle of the body."""
    await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")


async def babble(stream: anyio.abc.SocketStream) -> None:
    """Answer with something that is no HTTP."""
    await stream.send(b"220 mail.example ESMTP\r\n")
