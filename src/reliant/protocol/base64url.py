"""base64url without padding, in one spelling only (RFC 7515 section 2, RFC 4648 section 5)."""

from __future__ import annotations

import base64
import binascii

__all__ = ["decode", "encode"]

# From base64url to base64, and what is no base64url to what is none of either.
_ALPHABET = bytes.maketrans(b"-_+/=", b"+/!!!")

# The letters that base64url may end with, by how much padding is left out (RFC 4648 section 3.5).
_LAST = (
    (b"",),
    tuple(bytes([letter]) for letter in b"AEIMQUYcgkosw048"),
    tuple(bytes([letter]) for letter in b"AQgw"),
    (),
)


def decode(text: bytes) -> bytes:
    """The octets of ``text``; ``ValueError`` for another alphabet, padding, or bits left over."""
    padding = -len(text) % 4
    if not text.endswith(_LAST[padding]):
        raise ValueError("not base64url")
    return binascii.a2b_base64(text.translate(_ALPHABET) + b"=" * padding, strict_mode=True)


def encode(octets: bytes) -> bytes:
    """The text of ``octets``."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=")
