"""The provider's signing keys, and keys of others that stand in the same JWK Set."""

from __future__ import annotations

from functools import cache
from typing import Any

from reliant.protocol import jose

__all__ = ["KeyRing"]


@cache
def _key(alg: str, number: int) -> jose.Key:
    # Keys are made once per process, not per provider: an RSA key costs tens of milliseconds.
    return jose.generate_key(alg, f"{alg.lower()}-{number}")


@cache
def _key_without_alg(alg: str, number: int) -> jose.Key:
    members: dict[str, Any] = dict(_key(alg, number).as_dict(private=True))
    del members["alg"]
    return jose.import_private_keys(members)[0]


def _family(alg: str) -> str:
    """The algorithm that stands for all of its key's kind."""
    if alg.startswith(("RS", "PS")):
        return "RS256"
    return "Ed25519" if alg in ("EdDSA", "Ed25519") else alg


class KeyRing:
    """One current key per algorithm, every one of them published, and the retired ones.

    ``mixed``: one key per kind of algorithm instead, with the company that a crowded key set
    keeps. ``published`` is what the JWK Set holds; a test may edit it.
    """

    def __init__(self, alg: str, mixed: bool = False) -> None:
        self._number = 1
        self._mixed = mixed
        self._current: dict[str, jose.Key] = {}
        self._ever: list[jose.Key] = []
        self.published: list[dict[str, Any]] = []
        if mixed:
            self._crowd()
        elif alg in jose.ASYMMETRIC_ALGORITHMS:
            self.signing_key(alg)

    def signing_key(self, alg: str) -> jose.Key:
        """The current key for ``alg``, made and published when it is first asked for."""
        name = _family(alg) if self._mixed else alg
        if name not in self._current:
            key = (_key_without_alg if self._mixed else _key)(name, self._number)
            self._current[name] = key
            self._ever.append(key)
            self.published.append(jose.public_jwk(key))
        return self._current[name]

    def stranger(self, alg: str) -> jose.Key:
        """A key that is never published."""
        return _key(alg, 0)

    def rotate(self, keep_old: bool) -> None:
        """Sign with new keys from now on; the old ones stay published or vanish."""
        algorithms, self._current = tuple(self._current), {}
        self._number += 1
        if not keep_old:
            self.published.clear()
        if self._mixed:
            self._crowd()
        for alg in algorithms:
            self.signing_key(alg)

    def made(self, token: jose.Jws) -> bool:
        """Tell whether a key of this ring, current or retired, signed ``token``."""
        return any(jose.verify_jws(token, key, token.alg) for key in self._ever)

    def add_noise(self) -> None:
        """Publish keys that can't verify an ID Token: other uses, curves and key types."""
        self.published[:0] = [_SECP256K1, _UNKNOWN_TYPE, *_encryption_keys(1)]

    def _crowd(self) -> None:
        """Two RSA, two P-256, one secp256k1 and one Ed25519 key that sign, two that encrypt."""
        second = self._number + 100
        for alg in ("RS256", "ES256", "Ed25519"):
            self.signing_key(alg)
        self.published += [
            jose.public_jwk(_key_without_alg("RS256", second)),
            jose.public_jwk(_key_without_alg("ES256", second)),
            {**_SECP256K1, "kid": f"es256k-{self._number}"},
            *_encryption_keys(self._number),
        ]


def _encryption_keys(number: int) -> list[dict[str, Any]]:
    return [
        {
            **jose.public_jwk(_key(alg, -1)),
            "kid": f"enc-{kind}-{number}",
            "use": "enc",
            "alg": management,
        }
        for alg, kind, management in (("RS256", "rsa", "RSA-OAEP"), ("ES256", "ec", "ECDH-ES"))
    ]


# The generator of the curve (SEC 2, section 2.4.1) is a valid public key.
_SECP256K1 = {
    "kty": "EC",
    "crv": "secp256k1",
    "use": "sig",
    "kid": "noise-secp256k1",
    "x": "eb5mfvncu6xVoGKVzocLBwKb_NstzijZWfKBWxb4F5g",
    "y": "SDradyajxGVdpPv8DhEIqP0XtEimhVQZnEfQj_sQ1Lg",
}
_UNKNOWN_TYPE = {"kty": "LATTICE", "use": "sig", "kid": "noise-lattice", "q": "3329"}
