"""Users: those a test describes, and plausible ones made up for any other name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

__all__ = ["claims_of", "released"]

# OIDC Core section 5.4: which claims a scope asks for.
_SCOPE_CLAIMS: Mapping[str, tuple[str, ...]] = {
    "profile": (
        "name", "family_name", "given_name", "middle_name", "nickname", "preferred_username",
        "profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
    ),
    "email": ("email", "email_verified"),
    "address": ("address",),
    "phone": ("phone_number", "phone_number_verified"),
}  # fmt: skip
_SCOPED = frozenset(claim for claims in _SCOPE_CLAIMS.values() for claim in claims)


def claims_of(user: str, users: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """All claims about ``user``; those in ``users`` win over the made-up ones."""
    made_up = _made_up(user) if user not in users else {"sub": _ascii(user)}
    return {**made_up, **users.get(user, {})}


def released(claims: Mapping[str, Any], scope: str) -> dict[str, Any]:
    """The claims that ``scope`` releases: no standard claim without its scope."""
    asked = {claim for name in scope.split() for claim in _SCOPE_CLAIMS.get(name, ())}
    return {name: value for name, value in claims.items() if name in asked or name not in _SCOPED}


def _made_up(user: str) -> dict[str, Any]:
    given = user.split("@")[0].replace(".", " ").title()
    return {
        "sub": _ascii(user),
        "name": f"{given} Example",
        "given_name": given,
        "family_name": "Example",
        "preferred_username": user,
        "locale": "en",
        "zoneinfo": "Etc/UTC",
        "email": _ascii(user) if "@" in user else f"{_ascii(user)}@example.test",
        "email_verified": True,
    }


def _ascii(user: str) -> str:
    # A "sub" is at most 255 ASCII characters (OIDC Core section 2).
    return quote(user, safe="@+")[:255]
