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


class KeyRing:
    """One current key per algorithm, every one of them published, and the retired ones.

    ``published`` is what the JWK Set holds; a test may edit it.
    """

    def __init__(self, alg: str) -> None:
        self._number = 1
        self._current: dict[str, jose.Key] = {}
        self._ever: list[jose.Key] = []
        self.published: list[dict[str, Any]] = []
        if alg in jose.ASYMMETRIC_ALGORITHMS:
            self.signing_key(alg)

    def signing_key(self, alg: str) -> jose.Key:
        """The current key for ``alg``, made and published when it is first asked for."""
        if alg not in self._current:
            key = _key(alg, self._number)
            self._current[alg] = key
            self._ever.append(key)
            self.published.append(jose.public_jwk(key))
        return self._current[alg]

    def stranger(self, alg: str) -> jose.Key:
        """A key that is never published."""
        return _key(alg, 0)

    def rotate(self, keep_old: bool) -> None:
        """Sign with new keys from now on; the old ones stay published or vanish."""
        algorithms, self._current = tuple(self._current), {}
        self._number += 1
        if not keep_old:
            self.published.clear()
        for alg in algorithms:
            self.signing_key(alg)

    def made(self, token: jose.Jws) -> bool:
        """Tell whether a key of this ring, current or retired, signed ``token``."""
        return any(jose.verify_jws(token, key, token.alg) for key in self._ever)

    def add_noise(self) -> None:
        """Publish keys that can't verify an ID Token: other uses, curves and key types."""
        self.published[:0] = [
            _SECP256K1,
            _UNKNOWN_TYPE,
            {
                **jose.public_jwk(_key("RS256", -1)),
                "kid": "enc-rsa",
                "use": "enc",
                "alg": "RSA-OAEP",
            },
            {**jose.public_jwk(_key("ES256", -1)), "kid": "enc-ec", "use": "enc", "alg": "ECDH-ES"},
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
