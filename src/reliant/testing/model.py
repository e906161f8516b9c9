"""What the provider knows: its clients, who is signed in, and what it granted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reliant.testing.faults import Faults
from reliant.testing.keys import KeyRing
from reliant.testing.messages import ReceivedRequest, Refusal

__all__ = ["Behaviour", "Client", "Grant", "Model", "Session"]


@dataclass
class Behaviour:
    """How the provider behaves when nothing is wrong; a test may change it at any time.

    ``response_iss``: send and announce ``iss`` in authorization responses (RFC 9207).
    ``announce_pkce``: announce S256; a challenge is checked either way.
    ``refresh_tokens``: issue them. ``rotate_refresh_tokens``: issue a new one at every use.
    ``refresh_id_token``: a refresh response has a new ID Token.
    ``claims_in_id_token``: the ID Token holds the claims of the requested scopes as well.
    ``auth_time``: the ID Token has it always, else only after a ``max_age``.
    The lifetimes are in seconds; ``access_token_lifetime`` None leaves out ``expires_in``.
    """

    response_iss: bool = True
    announce_pkce: bool = True
    refresh_tokens: bool = True
    rotate_refresh_tokens: bool = True
    refresh_id_token: bool = True
    claims_in_id_token: bool = False
    auth_time: bool = True
    code_lifetime: int = 60
    id_token_lifetime: int = 300
    access_token_lifetime: int | None = 3600


@dataclass(frozen=True)
class Client:
    """A registered client.

    ``redirect_uris`` and ``post_logout_redirect_uris``: None accepts any address, which only a
    test may do. ``token_endpoint_auth_method``: None accepts any method the secret allows.
    """

    client_id: str
    client_secret: str | None = None
    redirect_uris: tuple[str, ...] | None = None
    post_logout_redirect_uris: tuple[str, ...] | None = None
    token_endpoint_auth_method: str | None = None

    @property
    def auth_methods(self) -> tuple[str, ...]:
        """The ways this client may authenticate at the token endpoint."""
        if self.token_endpoint_auth_method is not None:
            return (self.token_endpoint_auth_method,)
        return ("client_secret_basic", "client_secret_post") if self.client_secret else ("none",)


@dataclass(frozen=True)
class Session:
    """One browser's sign-in at the provider (single sign-on)."""

    sid: str
    user: str
    auth_time: int


@dataclass
class Grant:
    """What one authorization request led to: a code, then tokens, all ended together."""

    client_id: str
    redirect_uri: str
    scope: str
    session: Session
    nonce: str | None = None
    code_challenge: str | None = None
    acr: str | None = None
    max_age_asked: bool = False
    code_expires_at: float = 0
    code_used: bool = False
    access_token: str | None = None
    access_token_expires_at: float | None = None
    refresh_token: str | None = None
    ended: bool = False


@dataclass
class Model:
    """All state of one provider; the endpoints judge requests against it."""

    issuer: str
    signing_alg: str
    keys: KeyRing
    behaviour: Behaviour
    clients: dict[str, Client]
    users: dict[str, Mapping[str, Any]]
    faults: Faults = field(default_factory=Faults)
    requests: list[ReceivedRequest] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)
    clock: Callable[[], float] = time.time
    # A value stays here after its use, so that a second use is known for what it is.
    _codes: dict[str, Grant] = field(default_factory=dict)
    _access_tokens: dict[str, Grant] = field(default_factory=dict)
    _refresh_tokens: dict[str, Grant] = field(default_factory=dict)

    def url(self, path: str) -> str:
        """The address of an endpoint below the issuer, with exactly one slash between."""
        return f"{self.issuer.rstrip('/')}/{path}"

    def forget(self) -> None:
        """Forget requests, sessions and grants; clients, users and keys stay."""
        for memory in (self.sessions, self._codes, self._access_tokens, self._refresh_tokens):
            memory.clear()
        self.requests.clear()

    def sign_in(self, user: str) -> tuple[str, Session]:
        """Open a session for ``user``; returns the cookie's value too."""
        cookie, session = (
            secrets.token_urlsafe(24),
            Session(secrets.token_urlsafe(12), user, int(self.clock())),
        )
        self.sessions[cookie] = session
        return cookie, session

    def sign_out(self, sid: str) -> None:
        """End the session ``sid`` in whichever browser it lives."""
        self.sessions = {key: one for key, one in self.sessions.items() if one.sid != sid}

    def issue_code(self, grant: Grant) -> str:
        """Remember ``grant`` under a new authorization code."""
        code = secrets.token_urlsafe(24)
        grant.code_expires_at = self.clock() + self.behaviour.code_lifetime
        self._codes[code] = grant
        return code

    def redeem_code(self, code: str, client: Client) -> Grant:
        """Take the grant of an authorization code, once (RFC 6749 section 4.1.3)."""
        grant = self._codes.get(code)
        if grant is None or grant.client_id != client.client_id:
            raise Refusal("invalid_grant", "this code was not issued to this client")
        if grant.code_used:
            # Someone has a copy: what the first use brought ends too (RFC 6749 section 4.1.2).
            grant.ended = True
            raise Refusal("invalid_grant", "this code was used before")
        grant.code_used = True
        if self.clock() >= grant.code_expires_at:
            raise Refusal("invalid_grant", "this code has expired")
        return grant

    def redeem_refresh_token(self, token: str, client: Client) -> Grant:
        """Find the grant of a refresh token; an old token ends the whole family."""
        grant = self._refresh_tokens.get(token)
        if grant is None or grant.client_id != client.client_id:
            raise Refusal("invalid_grant", "this refresh token was not issued to this client")
        if token != grant.refresh_token:
            grant.ended = True
            raise Refusal("invalid_grant", "this refresh token was replaced; all of it ends here")
        if grant.ended:
            raise Refusal("invalid_grant", "this grant was revoked")
        return grant

    def issue_tokens(self, grant: Grant) -> None:
        """Give ``grant`` a new access token, and a refresh token if it is due one."""
        rules = self.behaviour
        grant.access_token = secrets.token_urlsafe(24)
        self._access_tokens[grant.access_token] = grant
        lifetime = rules.access_token_lifetime
        grant.access_token_expires_at = None if lifetime is None else self.clock() + lifetime
        if rules.refresh_tokens and (grant.refresh_token is None or rules.rotate_refresh_tokens):
            grant.refresh_token = secrets.token_urlsafe(24)
            self._refresh_tokens[grant.refresh_token] = grant

    def grant_of(self, access_token: str) -> Grant | None:
        """The live grant of an access token: only a grant's newest token counts."""
        grant = self._access_tokens.get(access_token)
        if grant is None or grant.ended or grant.access_token != access_token:
            return None
        expires_at = grant.access_token_expires_at
        return grant if expires_at is None or self.clock() < expires_at else None

    def revoke(self, token: str, client: Client) -> None:
        """Revoke a token of ``client``; a refresh token takes its grant along (RFC 7009)."""
        grant = self._refresh_tokens.get(token) or self._access_tokens.get(token)
        if grant is None or grant.client_id != client.client_id:
            return
        if token in self._refresh_tokens:
            grant.ended = True
        elif grant.access_token == token:
            grant.access_token = None
