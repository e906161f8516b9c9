"""JOSE: reading tokens, and with keys verifying, signing and encrypting them.

Everything above deals in ``Key``, ``Jws`` and plain strings. A signature is judged in two steps so
that the claims can be read before a key is fetched: ``parse_jws`` (nothing trusted yet), then
``verify_jws`` with one key and one algorithm that the caller has already allowed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from reliant.protocol import base64url

if TYPE_CHECKING:
    from reliant.protocol.joselib import Key
else:
    Key = Any

__all__ = [
    "ASYMMETRIC_ALGORITHMS",
    "CONTENT_ENCRYPTION_ALGORITHMS",
    "KEY_MANAGEMENT_ALGORITHMS",
    "SYMMETRIC_ALGORITHMS",
    "Jws",
    "Key",
    "MalformedToken",
    "decrypt",
    "encrypt",
    "encryption_key",
    "fits",
    "generate_key",
    "hash_of",
    "import_jwk",
    "import_private_keys",
    "is_encrypted",
    "load_libraries",
    "parse_jws",
    "public_jwk",
    "secret_key",
    "sign_jwt",
    "signing_key",
    "unsigned_jwt",
    "verify_jws",
]

# Ours, in order of preference; "none" is in neither list and never passes (RFC 8725 3.1).
ASYMMETRIC_ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448",
)  # fmt: skip
SYMMETRIC_ALGORITHMS = ("HS256", "HS384", "HS512")

# RFC 7518 section 3.3 asks for 2048 bits or more; the upper bound keeps a hostile key from
# costing seconds a signature.
_RSA_BITS = range(2048, 8192 + 1)

# Members of a private key. We only verify, and an RSA "d" of a megabyte costs minutes to import.
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})

# Members of a published key; "key_ops" of a private key are others than those of its public part.
_PUBLIC = frozenset({"kty", "use", "alg", "kid", "n", "e", "crv", "x", "y",
                     "x5u", "x5c", "x5t", "x5t#S256"})  # fmt: skip


class MalformedToken(ValueError):
    """The text is not a JWS that can be read; the message says why and holds no part of it."""


# The longest parts that are looked at, in characters.
_MAX_HEADER = 8 * 1024  # x5c chains
_MAX_PAYLOAD = 128_000
_MAX_SIGNATURE = 2 * 1024  # RSA 8192, the largest we take, has 1366

# What may encrypt a token for us. Compression is not among it: a small token would unpack to
# any size.
KEY_MANAGEMENT_ALGORITHMS = (
    "RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW",
)  # fmt: skip
CONTENT_ENCRYPTION_ALGORITHMS = (
    "A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512",
)  # fmt: skip
_AGREEMENT_CURVES = ("P-256", "P-384", "P-521", "X25519", "X448")  # not those that only sign


@dataclass(frozen=True)
class Jws:
    """A parsed, not yet verified, compact JWS whose payload is a JSON object."""

    alg: str
    kid: str | None
    header: Mapping[str, Any]
    claims: Mapping[str, Any] = field(repr=False)  # about a person
    _signed: bytes = field(repr=False)
    _signature: bytes = field(repr=False)  # base64url


def parse_jws(token: str) -> Jws:
    """Read a compact JWS without trusting it.

    ``token``: the compact serialisation.
    Returns header and claims; raises ``MalformedToken`` (RFC 7515 section 5.2, RFC 7519 7.2).
    """
    try:
        first, second, signature = token.encode("ascii").split(b".")
        if len(first) > _MAX_HEADER or len(second) > _MAX_PAYLOAD:
            raise ValueError("too long")
        if len(signature) > _MAX_SIGNATURE:
            raise ValueError("too long")
        header: object = json.loads(base64url.decode(first))
        claims: object = json.loads(base64url.decode(second))
    except (ValueError, RecursionError, AttributeError, TypeError) as exc:
        raise MalformedToken("it is not three base64url parts of JSON") from exc
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise MalformedToken("its header or payload is not a JSON object")
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(alg, str):
        raise MalformedToken('its header has no "alg"')
    if kid is not None and not isinstance(kid, str):
        raise MalformedToken('its header has a "kid" that is not a string')
    if "crit" in header:
        # We understand no extension, and RFC 7515 section 4.1.11 then wants a refusal.
        raise MalformedToken('its header names critical extensions ("crit")')
    return Jws(alg, kid, header, claims, first + b"." + second, signature)


def verify_jws(token: Jws, key: Key, alg: str) -> bool:
    """Tell whether ``key`` verifies the signature of ``token`` under exactly ``alg``."""
    from reliant.protocol import joselib

    if token.alg != alg or not (alg in ASYMMETRIC_ALGORITHMS or alg in SYMMETRIC_ALGORITHMS):
        return False
    model = joselib.ALGORITHMS[alg]
    try:
        model.check_key(key)
        return model.verify(token._signed, base64url.decode(token._signature), key)
    except (joselib.JoseError, ValueError):
        return False


def fits(key: Key, alg: str) -> bool:
    """Tell whether ``key`` may verify ``alg``: its kty, curve, "use", "alg" and "key_ops"."""
    from reliant.protocol import joselib

    try:
        joselib.ALGORITHMS[alg].check_key(key)
        key.check_key_op("verify")
    except joselib.JoseError:
        return False
    return True


def import_jwk(value: object) -> Key | None:
    """Import one member of a JWK Set, or return None for one we can't use (RFC 7517 section 5)."""
    from reliant.protocol import joselib

    if not isinstance(value, dict) or not _plausible(value):
        return None
    try:
        return joselib.JWKRegistry.import_key({k: v for k, v in value.items() if k not in _PRIVATE})
    except (joselib.JoseError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        return None  # a curve, type or parameter that this library or OpenSSL does not know


def _plausible(value: dict[str, Any]) -> bool:
    if value.get("kty") != "RSA":
        return True
    n, e = value.get("n"), value.get("e")
    if not isinstance(n, str) or not isinstance(e, str) or len(n) > 4096 or len(e) > 8:
        return False
    try:
        return int.from_bytes(base64url.decode(n.encode())).bit_length() in _RSA_BITS
    except ValueError:
        return False


def secret_key(secret: str) -> Key:
    """Make the HMAC key of a client secret: its UTF-8 octets (OIDC Core section 10.1)."""
    from reliant.protocol import joselib

    return joselib.OctKey.import_key(secret.encode())


def generate_key(alg: str, kid: str | None = None) -> Key:
    """Make a new private signing key for ``alg`` with ``kid``, ``use`` and ``alg`` set."""
    from reliant.protocol import joselib

    parameters: joselib.KeyParameters = {"use": "sig", "alg": alg}
    if kid is not None:
        parameters["kid"] = kid
    kinds: dict[str, tuple[str, str | int]] = {
        "ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"), "ES512": ("EC", "P-521"),
        "EdDSA": ("OKP", "Ed25519"), "Ed25519": ("OKP", "Ed25519"), "Ed448": ("OKP", "Ed448"),
        "HS256": ("oct", 256), "HS384": ("oct", 384), "HS512": ("oct", 512),
    }  # fmt: skip
    kty, size = kinds.get(alg, ("RSA", 2048))
    return joselib.JWKRegistry.generate_key(kty, size, parameters)


def public_jwk(key: Key) -> dict[str, Any]:
    """The public members of ``key`` as a JWK, and none that we don't know to be public."""
    return {k: v for k, v in key.as_dict(private=False).items() if k in _PUBLIC}


def sign_jwt(claims: Mapping[str, Any], key: Key, alg: str, **header: Any) -> str:
    """Sign ``claims`` with ``key``; further header members by keyword (``kid``, ``typ``)."""
    from reliant.protocol import joselib

    payload = json.dumps(dict(claims), separators=(",", ":"))
    return joselib.jws.serialize_compact({"alg": alg, **header}, payload, key, registry=joselib.JWS)


def import_private_keys(value: Any) -> tuple[Key, ...]:
    """Import an app's own private keys: PEM text, a JWK, a JWK Set, or a sequence of these.

    A key without a kid gets its thumbprint (RFC 7638). Raises ``ValueError`` for anything else.
    """
    if isinstance(value, Mapping):
        keys = [_import_private_jwk(member) for member in value.get("keys", [value])]
    elif isinstance(value, str | bytes):
        keys = [_import_pem(value)]
    else:
        keys = [key for item in value for key in import_private_keys(item)]
    # A shared secret has no public part, so it must never reach a published key set.
    if not keys or not all(key.is_private and key.key_type != "oct" for key in keys):
        raise ValueError("not a private key as PEM, JWK or JWK Set")
    if not all(_plausible(public_jwk(key)) for key in keys):
        raise ValueError("an RSA key has 2048 bits or more, and 8192 at most")
    for key in keys:
        key.ensure_kid()
    return tuple(keys)


def _import_private_jwk(value: Mapping[str, Any]) -> Key:
    from reliant.protocol import joselib

    try:
        return joselib.JWKRegistry.import_key(dict(value))
    except joselib.JoseError as exc:
        raise ValueError("not a private key as JWK") from exc


def _import_pem(pem: str | bytes) -> Key:
    from reliant.protocol import joselib

    for kind in ("RSA", "EC", "OKP"):
        try:
            key = joselib.JWKRegistry.import_key(pem, kind)
            public_jwk(key)  # only here a curve of no use raises its KeyError
        except (joselib.JoseError, ValueError, TypeError, KeyError):
            continue
        return key
    raise ValueError("not a private key as PEM")


def signing_key(keys: Sequence[Key], alg: str) -> Key | None:
    """The first of our keys that can sign with ``alg``, or None."""
    return next((key for key in keys if _can_sign(key, alg)), None)


def encryption_key(keys: Sequence[Key], alg: str) -> Key | None:
    """The first of the provider's keys that can encrypt with ``alg``, or None."""
    rsa = alg.startswith("RSA")
    for key in keys:
        kind = key.key_type == "RSA" if rsa else key.get("crv") in _AGREEMENT_CURVES
        if kind and key.get("use", "enc") == "enc" and key.alg in (None, alg):
            return key
    return None


def _can_sign(key: Key, alg: str) -> bool:
    from reliant.protocol import joselib

    try:
        joselib.ALGORITHMS[alg].check_key(key)
        key.check_key_op("sign")
    except (joselib.JoseError, KeyError):
        return False
    return True


def is_encrypted(token: str) -> bool:
    """Tell a compact JWE, which has five parts, from a JWS, which has three."""
    return token.count(".") == 4


def decrypt(token: str, keys: Sequence[Key], alg: str | None, enc: str | None) -> str:
    """Decrypt a compact JWE with one of our keys (RFC 7516 section 5.2).

    ``alg``, ``enc``: the registered algorithms, or None for any that is allowed here. Returns the
    plaintext; raises ``MalformedToken``.
    """
    from reliant.protocol import joselib

    try:
        header = json.loads(base64url.decode(token.partition(".")[0].encode("ascii")))
        found = (header["alg"], header["enc"])
        kid = header.get("kid")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise MalformedToken("its encryption header can't be read") from exc
    if alg not in (None, found[0]) or enc not in (None, found[1]):
        raise MalformedToken("it is encrypted with other algorithms than registered")
    if "crit" in header or "zip" in header:
        raise MalformedToken('its encryption header has "crit" or "zip"')
    for key in [key for key in keys if kid is None or key.kid in (None, kid)] or keys:
        try:
            opened = joselib.jwe.decrypt_compact(token.encode("ascii"), key, registry=joselib.JWE)
            return (opened.plaintext or b"").decode()
        # KeyError: an "epk" on a curve that is not the key's.
        except (joselib.JoseError, ValueError, TypeError, KeyError, AttributeError):
            continue
    raise MalformedToken("it can't be decrypted with this client's keys")


def encrypt(payload: str, key: Key, alg: str, enc: str, **header: Any) -> str:
    """Encrypt ``payload`` for the holder of ``key``; further header members by keyword.

    Raises ``ValueError`` where ``key``, ``alg`` or ``enc`` can't be used for that.
    """
    from reliant.protocol import joselib

    protected = {"alg": alg, "enc": enc, **header}
    try:
        return joselib.jwe.encrypt_compact(protected, payload.encode(), key, registry=joselib.JWE)
    except joselib.JoseError as exc:
        raise ValueError("no encryption with this key and these algorithms") from exc


def unsigned_jwt(claims: Mapping[str, Any]) -> str:
    """A JWT with the algorithm "none", for request objects registered so (RFC 9101 10.5)."""
    parts = map(base64url.encode, (b'{"alg":"none"}', json.dumps(dict(claims)).encode()))
    return b".".join((*parts, b"")).decode()


def hash_of(value: str, alg: str) -> str:
    """The left half of the hash of ``value`` that ``at_hash``, ``c_hash`` and ``s_hash`` carry.

    ``alg``: the ID Token's "alg", which names the hash (OIDC Core section 3.1.3.6). Ed25519 uses
    SHA-512 and Ed448 SHAKE256 with 114 octets, the hashes inside those algorithms.
    """
    if alg == "Ed448":
        octets = hashlib.shake_256(value.encode()).digest(114)
    else:
        bits = "512" if alg in ("EdDSA", "Ed25519") else alg[-3:]
        octets = hashlib.new(f"sha{bits}", value.encode()).digest()
    return base64url.encode(octets[: len(octets) // 2]).decode()


def load_libraries() -> None:
    """Import what the first login would."""
    import_module("reliant.protocol.joselib")
    import_module("reliant.protocol.sealing")
