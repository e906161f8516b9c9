"""What is kept of one login: whose it is, how long it lasts, and its tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Self, TypeVar

from reliant.protocol.authorization import scopes_of
from reliant.protocol.claims import UserInfo
from reliant.protocol.lifetimes import session_end
from reliant.protocol.token_endpoint import Token
from reliant.protocol.values import random_token

__all__ = ["SessionRecord", "access_of", "without_refresh_token"]

_FORMAT = 1
Claims = TypeVar("Claims", bound=dict[str, Any])
MAX_OTHERS = 16  # access tokens for other audiences; the oldest give way


@dataclass(frozen=True)
class SessionRecord:
    """One login, as it is kept; times are Unix times in seconds.

    ``token``: what the login brought, or its last refresh, with the validated claims;
    ``latest_end``: when the session is over at the latest; ``profile``: claims of the UserInfo
    endpoint; ``others``: access tokens for other audiences; ``vault``: under which handle the vault
    has the refresh token now; ``landings``: the last logins of this browser: a digest of the state,
    and the path it led to; ``generation``: how often it was refreshed; ``secret``: what the browser
    alone holds of a session in cookies; ``id``: names the session in logs, and is no secret.
    """

    token: Token = field(repr=False)
    created_at: float
    latest_end: float
    profile: Mapping[str, Any] = field(default_factory=dict, repr=False)
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    vault: str | None = field(default=None, repr=False)
    landings: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    generation: int = 0
    secret: str = field(default="", repr=False)
    id: str = field(default_factory=lambda: random_token(12))

    @cached_property
    def claims(self) -> UserInfo:
        """The validated claims of the ID Token, not to be changed."""
        return self.token.userinfo or UserInfo()

    @cached_property
    def scopes(self) -> tuple[str, ...]:
        """What the login was granted."""
        return tuple(scopes_of(self.token.scope))

    def person(self) -> UserInfo:
        """What is known of the person: the claims, over those of the UserInfo endpoint.

        A copy that an app may change, for other requests of the session may share this record.
        """
        return _unshared(UserInfo({**self.profile, **self.claims} if self.profile else self.claims))

    def tokens(self) -> Token:
        """The token for an app: without what refreshes it, and a copy likewise."""
        token = without_refresh_token(self.token)
        if token.userinfo is not None:
            token["userinfo"] = _unshared({**token.userinfo})
        return token

    @property
    def expires_at(self) -> float:
        """When the session is over, however often it is used."""
        return session_end(self.claims, self.latest_end)

    def with_token(self, token: Token) -> Self:
        """The same login with a refreshed token.

        A new ID Token may leave out what the first one said (OIDC Core section 12.2), so its claims
        come over those of the login. The ``sid`` stays: by that a logout finds the session.
        """
        if token.userinfo is not None:
            claims = {**self.claims, **token.userinfo}
            if self.claims.sid is not None:
                claims["sid"] = self.claims.sid
            token = Token({**token, "userinfo": claims})
        return replace(self, token=token, generation=self.generation + 1)

    def with_other(self, key: str, token: Token) -> Self:
        """The same login with an access token for another audience.

        A refresh token that came with it takes the place of the old one: the family has but one.
        """
        own = {**self.token}
        if token.refresh_token is not None:
            own["refresh_token"] = token.refresh_token
        others = {name: other for name, other in self.others.items() if name != key}
        kept = dict(list(others.items())[1 - MAX_OTHERS :])
        return replace(
            self,
            token=Token(own),
            others={**kept, key: access_of(token)},
            generation=self.generation + 1,
        )

    def in_vault(self, handle: str) -> Self:
        """The same login without its refresh token, which is in the vault now."""
        return replace(
            self,
            token=without_refresh_token(self.token),
            vault=handle,
            generation=self.generation + 1,
        )

    def with_vaulted(self, vaulted: SessionRecord) -> Self:
        """The same login with what refreshes in the vault have brought."""
        return replace(self, token=without_refresh_token(vaulted.token))

    def outline(self) -> Self:
        """The same login without its tokens and secrets: what a request needs to know of it.

        Nothing of it is shared with this record, in which an app may change what it likes.
        """
        kept = {name: self.token[name] for name in ("scope", "userinfo") if name in self.token}
        kept, profile = json.loads(json.dumps((kept, self.profile)))
        return replace(self, token=Token(kept), profile=profile, others={}, vault=None, secret="")

    def dumps(self) -> str:
        """The record as JSON."""
        members = {name: vars(self)[name] for name in _MEMBERS if vars(self)[name]}
        return json.dumps({**members, "format": _FORMAT}, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str | bytes) -> Self | None:
        """Read what ``dumps`` wrote; None where another version wrote it otherwise."""
        members = json.loads(text)
        if not isinstance(members, dict) or members.pop("format", None) != _FORMAT:
            return None
        if not members.keys() <= _MEMBERS.keys():
            return None
        members["token"] = Token(members["token"])
        members["landings"] = tuple(map(tuple, members.get("landings", ())))
        return cls(**members)


def _unshared(claims: Claims) -> Claims:
    """The same claims, whose lists and objects become copies."""
    for name, it in claims.items():
        if type(it) is list and set(map(type, it)) <= {str}:
            claims[name] = it.copy()
        elif type(it) in (list, dict):
            claims[name] = json.loads(json.dumps(it))
    return claims


def without_refresh_token(token: Token) -> Token:
    """A token that nobody can refresh."""
    return Token({name: token[name] for name in token if name != "refresh_token"})


_MEMBERS = dict.fromkeys(member.name for member in fields(SessionRecord))


def access_of(token: Mapping[str, Any]) -> Token:
    """A token with what an API call needs of it: neither refresh token nor ID Token."""
    kept = ("access_token", "token_type", "expires_at", "expires_in", "obtained_at", "scope")
    return Token({name: token[name] for name in kept if token.get(name) is not None})
