"""Request objects: authorization requests as JWTs (OIDC Core section 6, RFC 9101)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reliant.errors import ConfigurationError
from reliant.protocol.jose import Key, encrypt, sign_jwt, unsigned_jwt
from reliant.protocol.values import random_token

__all__ = ["build_request_object", "encrypt_request_object", "outer_parameters"]

LIFETIME = 300  # seconds


def build_request_object(
    parameters: Mapping[str, Any],
    client_id: str,
    audience: str,
    key: Key | None,
    alg: str,
    now: int,
) -> str:
    """Put the parameters of an authorization request into a JWT.

    ``audience``: the provider's issuer; ``key``: ours for ``alg``; ``alg``: "none" only for a
    client registered so; ``now``: Unix time in seconds (RFC 9101 section 4).
    """
    claims = {
        **{name: _as_json(name, value) for name, value in parameters.items()},
        "iss": client_id,
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME,
        "jti": random_token(16),
    }
    if alg == "none":
        return unsigned_jwt(claims)
    if key is None:
        raise ConfigurationError(
            description=f"A request object needs a private key for {alg}: pass client_keys= "
            "(PEM, JWK or JWK Set) to register().",
            code="configuration.client_keys",
        )
    return sign_jwt(claims, key, alg, kid=key.kid, typ="oauth-authz-req+jwt")


def _as_json(name: str, value: Any) -> Any:
    """A parameter as a member: numbers and objects in it are JSON's own (OIDC Core 6.1)."""
    if name == "max_age":
        return int(value)
    if name != "claims" or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as exc:
        raise ConfigurationError(
            description='The parameter "claims" is not JSON.', code="configuration.claims"
        ) from exc


def encrypt_request_object(request_object: str, key: Key, alg: str, enc: str) -> str:
    """Encrypt a request object for the provider (RFC 9101 section 6.1).

    Raises ``ConfigurationError`` with ``configuration.algorithm`` for algorithms not used here,
    which the provider too may have answered to a registration.
    """
    header = {"kid": key.kid} if key.kid is not None else {}
    try:
        return encrypt(request_object, key, alg, enc, cty="oauth-authz-req+jwt", **header)
    except ValueError as exc:
        raise ConfigurationError(
            description="A request object can't be encrypted with request_object_encryption_alg "
            f"{alg!r} and request_object_encryption_enc {enc!r} here.",
            code="configuration.algorithm",
        ) from exc


def outer_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that stand beside a request object too (OIDC Core section 6.1)."""
    names = ("client_id", "response_type", "scope")
    return {name: parameters[name] for name in names if name in parameters}
