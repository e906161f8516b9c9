"""Answers made to keep the reader busy."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Iterator

import httpx2
import pytest

from reliant.errors import ProviderError
from reliant.http.body import MAX_BODY
from reliant.http.transport import HttpTransport
from reliant.protocol.messages import HttpRequest
from tests.helpers import tcp

MIB = 1024 * 1024


def packed(chunks: Iterator[bytes]) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join([*map(packer.compress, chunks), packer.flush()])


def trailing(size: int) -> Iterator[bytes]:
    """A whole gzip body, and zeros behind its end that a reader may skip without end."""
    yield gzip.compress(b"{}")
    for _ in range(size):
        yield bytes(MIB)


async def send(handler: tcp.Handler) -> bytes | str:
    """The body that is read, or the code of the error."""
    transport = HttpTransport({"timeout": 5, "trust_env": False}, "Test/1")
    async with tcp.serve_octets(handler) as origin:
        try:
            return (await transport.send(HttpRequest("GET", origin))).body
        except ProviderError as exc:
            return exc.code
        finally:
            await transport.aclose()


@pytest.mark.parametrize("coding", ["gzip, gzip", "gzip,gzip,gzip", "br", "deflate", "zstd, gzip"])
async def test_compression_that_was_not_asked_for_is_not_unpacked(coding: str) -> None:
    """With three layers 5 kB would keep the event loop busy for minutes."""
    body = packed(iter([packed(trailing(64))]))
    begun = time.monotonic()
    assert await send(tcp.answer(body, f"content-encoding: {coding}")) == "http.failed"
    assert time.monotonic() - begun < 2


async def test_what_follows_a_compressed_body_counts() -> None:
    body = gzip.compress(b"{}") + bytes(2 * MAX_BODY)
    assert await send(tcp.answer(body, "content-encoding: gzip")) == "http.too_large"


@pytest.mark.parametrize("coding", ["identity", "", "GZIP", "x-gzip"])
async def test_what_may_come_is_read(coding: str) -> None:
    body = gzip.compress(b"{}") if "gzip" in coding.lower() else b"{}"
    assert await send(tcp.answer(body, f"content-encoding: {coding}")) == b"{}"


async def test_no_body_needs_no_unpacking() -> None:
    assert await send(tcp.answer(b"", "content-encoding: gzip")) == b""


async def test_gzip_alone_is_asked_for() -> None:
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["accept-encoding"])
        return httpx2.Response(200)

    options = {"transport": httpx2.MockTransport(handler), "headers": {"accept-encoding": "br"}}
    await HttpTransport(options, "Test/1").send(HttpRequest("GET", "https://op.example/"))
    assert seen == ["gzip"]


@pytest.mark.parametrize("size", [2, MAX_BODY + 1])
async def test_an_event_hook_of_the_app_may_read_the_answer_first(size: int) -> None:
    async def hook(response: httpx2.Response) -> None:
        await response.aread()

    options = {"event_hooks": {"response": [hook]}, "trust_env": False}
    transport = HttpTransport(options, "Test/1")
    async with tcp.serve_octets(tcp.gzipped(b"x" * size)) as origin:
        if size > MAX_BODY:
            with pytest.raises(ProviderError, match="larger"):
                await transport.send(HttpRequest("GET", origin))
        else:
            assert (await transport.send(HttpRequest("GET", origin))).body == b"xx"
    await transport.aclose()
