"""What came back, read whole, and no larger than it may be."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, Iterable
from typing import TypeVar

from reliant.errors import ProviderError

__all__ = ["MAX_BODY", "TIMEOUT", "capped", "headers_by_name", "read_body"]

MAX_BODY = 1024 * 1024  # octets, after decompression
TIMEOUT = 10.0  # seconds, for a whole exchange

B = TypeVar("B", bytes, bytearray)


def headers_by_name(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name, in lower case; what came in several lines is joined (RFC 9110 5.3)."""
    headers: dict[str, str] = {}
    for octets, value in raw:
        name, text = octets.decode("latin-1").lower(), value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


async def read_body(chunks: AsyncIterable[bytes], coding: str) -> bytes:
    """Read a body as it comes over the wire, and unpack it.

    ``coding``: its Content-Encoding. Raises ``ProviderError``: ``http.too_large`` for more than
    1 MiB, ``http.failed`` for a coding that was not asked for.
    """
    # Not httpx2's own: it unpacks compression within compression, and what stands behind the end of
    # a compressed body, for as long as that goes on; 5 kB can keep it busy for minutes.
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        capped(body)
    coding = coding.lower()
    return bytes(body) if not body or coding in ("", "identity") else _unpacked(body, coding)


def _unpacked(body: bytearray, coding: str) -> bytes:
    if coding not in ("gzip", "x-gzip"):
        raise ProviderError(
            description="The provider's answer is compressed in another way than asked for.",
            code="http.failed",
        )
    return capped(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, MAX_BODY + 1))


def capped(body: B) -> B:
    """A body that is not too large; raises ``ProviderError`` with ``http.too_large``."""
    if len(body) > MAX_BODY:
        raise ProviderError(
            description=f"The provider's answer is larger than {MAX_BODY} bytes.",
            code="http.too_large",
        )
    return body
