"""What we use of joserfc, set up for us; ``jose`` imports it with the first key that is used.

It would be a third of what importing this library takes, without httpx2.
"""

from __future__ import annotations

from joserfc import jwe, jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import JWKRegistry, Key, KeyParameters, OctKey

from reliant.protocol.jose import CONTENT_ENCRYPTION_ALGORITHMS, KEY_MANAGEMENT_ALGORITHMS

__all__ = [
    "ALGORITHMS",
    "JWE",
    "JWS",
    "JWKRegistry",
    "JoseError",
    "Key",
    "KeyParameters",
    "OctKey",
    "jwe",
    "jws",
]

ALGORITHMS = jws.JWSRegistry.algorithms  # by name


class _Registry(jws.JWSRegistry):
    def get_alg(self, name: str) -> JWSAlgModel:
        # Callers name an algorithm from our lists; the base class would warn about the old name
        # "EdDSA" each time, though providers go on using it.
        return self.algorithms[name]


JWS = _Registry(strict_check_header=False)
JWE = jwe.JWERegistry(
    algorithms=[*KEY_MANAGEMENT_ALGORITHMS, *CONTENT_ENCRYPTION_ALGORITHMS],
    strict_check_header=False,
)
