"""Aggregated and distributed claims (OIDC Core section 5.6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reliant.errors import UserInfoError
from reliant.protocol.jose import Jws, MalformedToken, parse_jws
from reliant.protocol.messages import HttpRequest, HttpResponse

__all__ = [
    "ClaimSource",
    "SourcedClaim",
    "build_claims_request",
    "claim_sources",
    "parse_claims_response",
    "read_source",
    "sourced_claims",
]

MAX_SOURCES = 8


@dataclass(frozen=True)
class ClaimSource:
    """Where some claims come from: a JWT that came along, or an endpoint to ask."""

    name: str
    claims: tuple[str, ...]
    jwt: str | None = field(default=None, repr=False)
    endpoint: str | None = None
    access_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SourcedClaim:
    """A claim another party makes: never merged with the provider's own.

    ``source``: the source's name; ``issuer``: who signed it, where it says; ``verified``: whether
    the provider's keys prove that.
    """

    value: Any
    source: str
    issuer: str | None
    verified: bool


def claim_sources(claims: Mapping[str, Any]) -> list[ClaimSource]:
    """Read ``_claim_names`` and ``_claim_sources``; what makes no sense is left out."""
    names, sources = claims.get("_claim_names"), claims.get("_claim_sources")
    if not isinstance(names, dict) or not isinstance(sources, dict):
        return []
    found = []
    for name, source in list(sources.items())[:MAX_SOURCES]:
        wanted = tuple(claim for claim, where in names.items() if where == name)
        if not wanted or not isinstance(source, dict):
            continue
        jwt, endpoint = source.get("JWT"), source.get("endpoint")
        token = source.get("access_token")
        if isinstance(jwt, str):
            found.append(ClaimSource(name, wanted, jwt=jwt))
        # https without exception: plain http to this very machine is for its admin to allow.
        elif isinstance(endpoint, str) and endpoint.startswith("https://"):
            token = token if isinstance(token, str) and token.isprintable() else None
            found.append(ClaimSource(name, wanted, endpoint=endpoint, access_token=token))
    return found


def build_claims_request(source: ClaimSource) -> HttpRequest:
    """The request for distributed claims, with the source's own token, never the login's."""
    headers = {"accept": "application/jwt"}
    if source.access_token is not None:
        headers["authorization"] = f"Bearer {source.access_token}"
    return HttpRequest("GET", source.endpoint or "", headers)


def parse_claims_response(response: HttpResponse) -> str:
    """Judge the answer of a claims endpoint; raises ``UserInfoError`` with ``claims.source``."""
    if response.status == 200:
        try:
            return response.body.decode("ascii").strip()
        except UnicodeDecodeError:
            pass
    raise _error(f"A claims source answers with status {response.status} and no JWT.")


def read_source(jwt: str) -> Jws:
    """Read the JWT of a source without trusting it; an unsigned one can be read too."""
    try:
        return parse_jws(jwt)
    except MalformedToken as exc:
        raise _error(f"The JWT of a claims source can't be read: {exc}.") from exc


def sourced_claims(source: ClaimSource, token: Jws, verified: bool) -> dict[str, SourcedClaim]:
    """The claims a source was asked for, as far as it holds them."""
    issuer = token.claims.get("iss")
    return {
        name: SourcedClaim(
            token.claims[name], source.name, issuer if isinstance(issuer, str) else None, verified
        )
        for name in source.claims
        if name in token.claims
    }


def _error(description: str) -> UserInfoError:
    return UserInfoError(description=description, code="claims.source")
