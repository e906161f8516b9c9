"""The provider's keys: JWK Sets and the choice of a key (RFC 7517, OIDC Core section 10.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reliant.errors import MetadataError
from reliant.protocol.jose import Key, fits, import_jwk
from reliant.protocol.messages import HttpRequest, HttpResponse, json_object

__all__ = ["JwkSet", "build_jwks_request", "parse_jwks", "parse_jwks_response", "select_keys"]

MAX_KEYS = 100
MAX_CANDIDATES = 8  # signature checks one token may cost


@dataclass(frozen=True)
class JwkSet:
    """A JWK Set: the document as it came, and the keys in it that can be used."""

    document: Mapping[str, Any]
    keys: tuple[Key, ...] = field(repr=False, compare=False)


def build_jwks_request(url: str) -> HttpRequest:
    """The request for a JWK Set."""
    return HttpRequest("GET", url, {"accept": "application/jwk-set+json, application/json"})


def parse_jwks_response(response: HttpResponse) -> JwkSet:
    """Judge the answer of ``jwks_uri``.

    Raises ``MetadataError``: ``jwks.status``, ``jwks.not_json`` and its kin, ``jwks.not_a_set``,
    ``jwks.too_many``.
    """
    if response.status != 200:
        raise MetadataError(
            description=f"The provider's jwks_uri answers with status {response.status}.",
            code="jwks.status",
        )
    return parse_jwks(json_object(response, MetadataError, "jwks"), symmetric=False)


def parse_jwks(document: Mapping[str, Any], *, symmetric: bool) -> JwkSet:
    """Import a JWK Set key by key; one that can't be used is left out (RFC 7517 section 5).

    ``symmetric``: whether shared secrets count, which only a set the app wrote itself may hold.
    """
    members = document.get("keys")
    if not isinstance(members, list):
        raise MetadataError(
            description='The provider\'s key set has no "keys" array.', code="jwks.not_a_set"
        )
    if len(members) > MAX_KEYS:
        raise MetadataError(
            description=f"The provider's key set has more than {MAX_KEYS} keys.",
            code="jwks.too_many",
        )
    keys = (import_jwk(member) for member in members if symmetric or not _is_secret(member))
    return JwkSet(document, tuple(key for key in keys if key is not None))


def _is_secret(member: object) -> bool:
    return isinstance(member, dict) and member.get("kty") == "oct"


def select_keys(keys: tuple[Key, ...], alg: str, kid: str | None) -> tuple[Key, ...]:
    """Choose the keys that may have made a signature: by kid, else by kty, alg and use.

    A key without a kid may stand for any, since its signature is checked all the same.
    """
    fitting = [key for key in keys if fits(key, alg)]
    if kid is not None:
        named = [key for key in fitting if key.kid == kid]
        fitting = named or [key for key in fitting if key.kid is None]
    return tuple(fitting[:MAX_CANDIDATES])
