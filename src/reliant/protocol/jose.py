"""JOSE: the only module that knows joserfc and cryptography.

Everything above deals in ``Key``, ``Jws`` and plain strings. A signature is judged in two steps so
that the claims can be read before a key is fetched: ``parse_jws`` (nothing trusted yet), then
``verify_jws`` with one key and one algorithm that the caller has already allowed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe, jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import JWKRegistry, Key, OctKey

__all__ = [
    "ASYMMETRIC_ALGORITHMS",
    "SYMMETRIC_ALGORITHMS",
    "Jws",
    "Key",
    "MalformedToken",
    "derive_key",
    "fits",
    "generate_key",
    "hash_of",
    "import_jwk",
    "open_sealed",
    "parse_jws",
    "public_jwk",
    "seal",
    "secret_key",
    "sign_jwt",
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


class MalformedToken(ValueError):
    """The text is not a JWS that can be read; the message says why and holds no part of it."""


class _Registry(jws.JWSRegistry):
    max_header_length = 8 * 1024  # x5c chains; joserfc's own 512 bytes refuse real providers
    max_signature_length = 2 * 1024  # base64url of RSA 8192, the largest we take, is 1366

    def get_alg(self, name: str) -> JWSAlgModel:
        # Callers name an algorithm from our lists; the base class would warn about the old name
        # "EdDSA" each time, though providers go on using it.
        return self.algorithms[name]


_REGISTRY = _Registry(strict_check_header=False)
_SEALED = jwe.JWERegistry(algorithms=["dir", "A256GCM"])
_SEALED_HEADER = {"alg": "dir", "enc": "A256GCM"}


@dataclass(frozen=True)
class Jws:
    """A parsed, not yet verified, compact JWS whose payload is a JSON object."""

    alg: str
    kid: str | None
    header: Mapping[str, Any]
    claims: Mapping[str, Any] = field(repr=False)  # about a person
    _parts: jws.CompactSignature = field(repr=False)


def parse_jws(token: str) -> Jws:
    """Read a compact JWS without trusting it.

    ``token``: the compact serialisation.
    Returns header and claims; raises ``MalformedToken`` (RFC 7515 section 5.2, RFC 7519 7.2).
    """
    try:
        parts = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY)
        header: object = parts.headers()
        claims: object = json.loads(parts.payload)
    except (JoseError, ValueError, RecursionError, AttributeError, TypeError) as exc:
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
    return Jws(alg, kid, header, claims, parts)


def verify_jws(token: Jws, key: Key, alg: str) -> bool:
    """Tell whether ``key`` verifies the signature of ``token`` under exactly ``alg``."""
    if token.alg != alg or alg not in ASYMMETRIC_ALGORITHMS + SYMMETRIC_ALGORITHMS:
        return False
    model = jws.JWSRegistry.algorithms[alg]
    segments = token._parts.segments
    try:
        model.check_key(key)
        return model.verify(
            segments["header"] + b"." + segments["payload"], _b64decode(segments["signature"]), key
        )
    except (JoseError, ValueError):
        return False


def fits(key: Key, alg: str) -> bool:
    """Tell whether ``key`` may verify ``alg``: its kty, curve, "use", "alg" and "key_ops"."""
    try:
        jws.JWSRegistry.algorithms[alg].check_key(key)
        key.check_key_op("verify")
    except JoseError:
        return False
    return True


def import_jwk(value: object) -> Key | None:
    """Import one member of a JWK Set, or return None for one we can't use (RFC 7517 section 5)."""
    if not isinstance(value, dict) or not _plausible(value):
        return None
    try:
        return JWKRegistry.import_key({k: v for k, v in value.items() if k not in _PRIVATE})
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        return None  # a curve, type or parameter that this library or OpenSSL does not know


def _plausible(value: dict[str, Any]) -> bool:
    if value.get("kty") != "RSA":
        return True
    n, e = value.get("n"), value.get("e")
    if not isinstance(n, str) or not isinstance(e, str) or len(n) > 4096 or len(e) > 8:
        return False
    try:
        return int.from_bytes(_b64decode(n.encode())).bit_length() in _RSA_BITS
    except ValueError:
        return False


def secret_key(secret: str) -> Key:
    """Make the HMAC key of a client secret: its UTF-8 octets (OIDC Core section 10.1)."""
    return OctKey.import_key(secret.encode())


def generate_key(alg: str, kid: str | None = None) -> Key:
    """Make a new private signing key for ``alg`` with ``kid``, ``use`` and ``alg`` set."""
    parameters: dict[str, Any] = {"use": "sig", "alg": alg}
    if kid is not None:
        parameters["kid"] = kid
    kinds: dict[str, tuple[str, str | int]] = {
        "ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"), "ES512": ("EC", "P-521"),
        "EdDSA": ("OKP", "Ed25519"), "Ed25519": ("OKP", "Ed25519"), "Ed448": ("OKP", "Ed448"),
        "HS256": ("oct", 256), "HS384": ("oct", 384), "HS512": ("oct", 512),
    }  # fmt: skip
    kty, size = kinds.get(alg, ("RSA", 2048))
    return JWKRegistry.generate_key(kty, size, parameters)  # type: ignore[arg-type]


def public_jwk(key: Key) -> dict[str, Any]:
    """The public members of ``key`` as a JWK."""
    return dict(key.as_dict(private=False))


def sign_jwt(claims: Mapping[str, Any], key: Key, alg: str, **header: Any) -> str:
    """Sign ``claims`` with ``key``; further header members by keyword (``kid``, ``typ``)."""
    payload = json.dumps(dict(claims), separators=(",", ":"))
    return jws.serialize_compact({"alg": alg, **header}, payload, key, registry=_REGISTRY)


def hash_of(value: str, alg: str) -> str:
    """The left half of the hash of ``value`` that ``at_hash``, ``c_hash`` and ``s_hash`` carry.

    ``alg``: the ID Token's "alg", which names the hash (OIDC Core section 3.1.3.6). Ed25519 uses
    SHA-512 and Ed448 SHAKE256 with 114 octets, the hashes inside those algorithms.
    """
    digest: hashes.HashAlgorithm
    if alg == "Ed448":
        digest = hashes.SHAKE256(114)
    elif alg in ("EdDSA", "Ed25519"):
        digest = hashes.SHA512()
    else:
        digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[alg[-3:]]
    hasher = hashes.Hash(digest)
    hasher.update(value.encode())
    octets = hasher.finalize()
    return base64.urlsafe_b64encode(octets[: len(octets) // 2]).rstrip(b"=").decode()


def derive_key(secret: str | bytes, purpose: str) -> Key:
    """Derive a 256-bit key for one ``purpose`` from an application secret (HKDF, RFC 5869)."""
    octets = secret.encode() if isinstance(secret, str) else secret
    hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose.encode())
    raw = base64.urlsafe_b64encode(hkdf.derive(octets)).decode().rstrip("=")
    return OctKey.import_key({"kty": "oct", "k": raw})


def seal(payload: bytes, key: Key) -> str:
    """Encrypt and authenticate ``payload``: a compact JWE, ``dir`` with A256GCM."""
    return jwe.encrypt_compact(dict(_SEALED_HEADER), payload, key, registry=_SEALED)


def open_sealed(value: str, key: Key) -> bytes | None:
    """Open what ``seal`` made with ``key``; None if it is anything else."""
    try:
        return jwe.decrypt_compact(value.encode("ascii"), key, registry=_SEALED).plaintext
    except (JoseError, ValueError, TypeError):
        return None


def _b64decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as exc:
        raise ValueError("not base64url") from exc
