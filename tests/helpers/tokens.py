"""One good ID Token, the keys that sign it and what a login expects of it.

Tests change one thing: `id_token(nonce="other")`, `id_token(nonce=ABSENT)`, `expected(leeway=0)`.
"""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from reliant.protocol import jose
from reliant.protocol.id_token import Expected
from reliant.protocol.jose import Jws, Key, parse_jws

ISSUER = "https://op.example"
CLIENT_ID = "client"
NONCE = "the nonce of this login"
ACCESS_TOKEN = "the-access-token"
NOW = 1_700_000_000
ABSENT: Any = object()


def key_for(alg: str, kid: str | None = "key-1") -> Key:
    """A private key for `alg`; the same one for the same arguments in the whole run."""
    return _key(alg, kid)


@cache
def _key(alg: str, kid: str | None) -> Key:
    return jose.generate_key(alg, kid)


def public(key: Key, **changes: Any) -> dict[str, Any]:
    """The JWK that a provider publishes for `key`."""
    return _changed(jose.public_jwk(key), changes)


def jwks(*keys: Key) -> dict[str, Any]:
    """The JWK Set of `keys`, of the ES256 key where none is given."""
    return {"keys": [public(key) for key in keys or (key_for("ES256"),)]}


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good ID Token, with changes; ABSENT leaves one out."""
    good = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": CLIENT_ID,
        "exp": NOW + 600,
        "iat": NOW,
        "nonce": NONCE,
    }
    return _changed(good, changes)


def id_token(alg: str = "ES256", key: Key | None = None, **changes: Any) -> str:
    """A signed ID Token, good but for the changed claims."""
    key = key or key_for(alg)
    header = {} if key.kid is None else {"kid": key.kid}
    return jose.sign_jwt(claims(**changes), key, alg, **header)


def read_token(alg: str = "ES256", **changes: Any) -> Jws:
    """The same, read but not verified."""
    return parse_jws(unsigned({"alg": alg}, claims(**changes)))


def unsigned(header: Any, payload: Any, signature: bytes = b"no signature") -> str:
    """A compact JWS of any parts; bytes stand as they are, all else is written as JSON."""
    return ".".join(map(segment, (header, payload, signature)))


def segment(value: Any) -> str:
    """One base64url part."""
    octets = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def expected(**changes: Any) -> Expected:
    """What the login of the good ID Token expects."""
    good = {"issuer": ISSUER, "client_id": CLIENT_ID, "algorithms": ("ES256",), "nonce": NONCE}
    return Expected(**{**good, **changes})


def _changed(good: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**good, **changes}.items() if value is not ABSENT}
