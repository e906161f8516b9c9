"""Small values the chapters share: secrets, form encoding, URLs, random strings."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit

from reliant.protocol import base64url

__all__ = [
    "Secret",
    "append_query",
    "encode_form",
    "is_local_path",
    "is_loopback",
    "is_secure_url",
    "origin_of",
    "parse_parameters",
    "random_token",
    "s256",
    "same",
]

MAX_PARAMETERS = 64

_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")  # RFC 3986 section 2.3
_NOT_LOCAL = re.compile(r"[\x00-\x20\\\x7f\ud800-\udfff]")  # no URL holds half a surrogate pair


class Secret:
    """A string that shows itself only to who asks: ``reveal()``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Secret):
            other = other._value
        return isinstance(other, str) and same(self._value, other)

    def __hash__(self) -> int:
        return hash(self._value)  # that of the string it equals


def same(left: str, right: str) -> bool:
    """Compare two strings in time that does not depend on where they differ."""
    # JSON may hold lone surrogates, which plain UTF-8 refuses to encode.
    return hmac.compare_digest(
        left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass")
    )


def random_token(octets: int) -> str:
    """A random base64url string of ``octets`` bytes of entropy."""
    return secrets.token_urlsafe(octets)


def s256(verifier: str) -> str:
    """The S256 code challenge of a code verifier (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64url.encode(digest).decode()


def encode_form(parameters: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str:
    """Encode as application/x-www-form-urlencoded; None members are left out, lists repeat."""
    pairs = parameters.items() if isinstance(parameters, Mapping) else parameters
    return _urlencode(pairs, quote_plus)


def parse_parameters(text: str) -> tuple[dict[str, str], str | None]:
    """Decode form-encoded parameters; empty ones count as absent (RFC 6749 section 3.1).

    Returns the parameters and the name of a repeated one, which the caller must refuse, or None.
    Raises ``ValueError`` for more than 64 parameters.
    """
    found: dict[str, str] = {}
    repeated = None
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS):
        if name in found:
            repeated = repeated or name
        found[name] = value
    return {name: value for name, value in found.items() if value}, repeated


def append_query(url: str, parameters: Mapping[str, Any]) -> str:
    """Add parameters to a URL's query, spaces as %20, keeping the query it has."""
    query = _urlencode(parameters.items(), quote)
    base, _, fragment = url.partition("#")
    if query:
        base += ("" if base.endswith(("?", "&")) else "&" if "?" in base else "?") + query
    return f"{base}#{fragment}" if fragment else base


def _urlencode(pairs: Iterable[tuple[str, Any]], quote_via: Callable[..., str]) -> str:
    """As ``urlencode``, without the pairs that are None; quick where nothing needs quoting."""
    encoded = []
    for name, value in pairs:
        if isinstance(value, str) and _UNRESERVED.fullmatch(name):
            plain = _UNRESERVED.fullmatch(value)
            encoded.append(f"{name}={value if plain else quote_via(value, safe='')}")
        elif value is not None:
            encoded.append(urlencode([(name, value)], doseq=True, quote_via=quote_via))
    return "&".join(filter(None, encoded))  # of an empty list nothing is left


def origin_of(url: str) -> tuple[str, str, int] | None:
    """The scheme, host and port of an http(s) URL, or None where it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    return parts.scheme, parts.hostname, port


def is_secure_url(url: str) -> bool:
    """Tell whether secrets may travel to ``url``: https, or http to this very machine."""
    origin = origin_of(url)
    return origin is not None and (origin[0] == "https" or is_loopback(origin[1]))


def is_loopback(host: str) -> bool:
    """Tell whether a host name means this machine (RFC 6761 section 6.3, RFC 8252 section 7.3)."""
    host = host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost") or host == "::1":
        return True
    octets = host.split(".")
    return (
        len(octets) == 4
        and octets[0] == "127"
        and all(part.isascii() and part.isdigit() and int(part) < 256 for part in octets)
    )


def is_local_path(path: str) -> bool:
    """Tell whether a redirect to ``path`` stays on this site: no host, no trick with slashes."""
    return (
        path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and len(path) <= 2048
        and _NOT_LOCAL.search(path) is None
    )
