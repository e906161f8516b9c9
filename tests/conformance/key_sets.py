"""Key sets: what the provider publishes in some rows, and the RP's own keys."""

from __future__ import annotations

from functools import cache
from typing import Any

from reliant.protocol import jose
from reliant.testing import FakeProvider

__all__ = [
    "has_foreign_keys",
    "private_jwks",
    "private_keys_published",
    "same_kid",
    "without_kid",
]


def without_kid(provider: FakeProvider, count: int) -> None:
    """``count`` signing keys of each kind without a kid, the one that signs as the last."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    others = [key for key in provider.keys.published if key["use"] != "sig"]
    for key in provider.keys.published:
        if key["use"] == "sig":
            kinds.setdefault(key.get("crv", key["kty"]), []).append({**key, "kid": None})
    if count > 1:
        for kind, alg in (("RSA", "RS256"), ("P-256", "ES256"), ("Ed25519", "Ed25519")):
            stranger = jose.public_jwk(provider.keys.stranger(alg))
            kinds[kind] += [{**stranger, "alg": None}] * (count - len(kinds[kind]))
    chosen = [key for keys in kinds.values() for key in reversed(keys[:count])]
    provider.keys.published[:] = [
        *({name: key[name] for name in key if key[name] and name != "kid"} for key in chosen),
        *others,
    ]


def same_kid(provider: FakeProvider) -> None:
    """Three keys of different kinds under one kid."""
    for alg, name in (("EdDSA", "Ed25519"), ("PS256", "RS256"), ("ES256", "ES256")):
        kid = provider.keys.signing_key(name).kid
        for key in provider.keys.published:
            if key["kid"] == kid:
                key |= {"kid": "the same", "alg": alg}


def private_keys_published(provider: FakeProvider) -> None:
    """A shared secret, and an RSA key with its private members."""
    private = dict(provider.keys.signing_key("RS256").as_dict(private=True))
    published = provider.keys.published
    kept = [key for key in published if key["kid"] != private["kid"]]
    secret = jose.secret_key("shared by all the world, and then some").as_dict(private=True)
    published[:] = [{**secret, "kid": private["kid"]}, private, *kept]


def has_foreign_keys(provider: FakeProvider) -> None:
    """What the baseline's key set holds besides."""
    found = {(key.get("crv", key["kty"]), key["use"]) for key in provider.keys.published}
    assert found >= {("secp256k1", "sig"), ("Ed25519", "sig"), ("RSA", "enc"), ("P-256", "enc")}


@cache
def private_jwks() -> dict[str, Any]:
    """The RP's own keys: an RSA and an EC key for signatures, and one of each for decryption."""
    keys = []
    for use, names in (("sig", ("RS256", "ES256")), ("enc", ("RS256", "ES256"))):
        for alg in names:
            key: dict[str, Any] = dict(
                jose.generate_key(alg, f"rp-{use}-{alg}").as_dict(private=True)
            )
            del key["alg"]
            keys.append({**key, "use": use})
    return {"keys": keys}
