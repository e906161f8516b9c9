"""What the provider knows: its clients, who is signed in, and what it granted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from reliant.protocol import jose
from reliant.testing.behaviour import Behaviour
from reliant.testing.faults import Faults
from reliant.testing.keys import KeyRing
from reliant.testing.messages import ReceivedRequest, Refusal

__all__ = ["Client", "Grant", "LogoutCall", "Model", "Session"]


@dataclass(frozen=True)
class Client:
    """A registered client.

    ``redirect_uris`` and ``post_logout_redirect_uris``: None accepts any address, which only a
    test may do. ``token_endpoint_auth_method``: None accepts any method the secret allows.
    ``metadata``: whatever else it registered (OIDC Registration 1.0 section 2): ``jwks``,
    ``id_token_encrypted_response_alg``, ``backchannel_logout_uri``, ...
    """

    client_id: str
    client_secret: str | None = None
    redirect_uris: tuple[str, ...] | None = None
    post_logout_redirect_uris: tuple[str, ...] | None = None
    token_endpoint_auth_method: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def auth_methods(self) -> tuple[str, ...]:
        """The ways this client may authenticate at the token endpoint."""
        if self.token_endpoint_auth_method is not None:
            return (self.token_endpoint_auth_method,)
        by_secret = ("client_secret_basic", "client_secret_post", "client_secret_jwt")
        by_key = ("private_key_jwt",) if {"jwks", "jwks_uri"} & self.metadata.keys() else ()
        return (*(by_secret if self.client_secret else ("none",)), *by_key)


@dataclass(frozen=True)
class Session:
    """One browser's sign-in at the provider (single sign-on)."""

    sid: str
    user: str
    auth_time: int
    browser_state: str = ""


@dataclass(frozen=True)
class LogoutCall:
    """One back-channel logout: the form that was posted, and the client's answer."""

    url: str
    form: Mapping[str, str]
    response: httpx2.Response


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


_PUNCTUATION = " %+&:#\"'/?=;,!*()[]{}|^`~<>@$"


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
    violations: list[str] = field(default_factory=list)
    logout_calls: list[LogoutCall] = field(default_factory=list)
    client_transport: httpx2.AsyncBaseTransport | None = None
    fetched_jwks: dict[str, Any] = field(default_factory=dict)
    registrations: dict[str, tuple[str, str]] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
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
        for log in (self.requests, self.violations, self.logout_calls, self.grants):
            log.clear()

    def random(self, octets: int = 24) -> str:
        """A random string; with ``odd_strings`` one that has to be escaped wherever it goes."""
        odd = "".join(secrets.choice(_PUNCTUATION) for _ in range(5))
        return secrets.token_urlsafe(octets) + (odd if self.behaviour.odd_strings else "")

    def client_keys(self, client: Client) -> list[jose.Key]:
        """The public keys a client registered, or publishes at its ``jwks_uri``."""
        document = client.metadata.get("jwks") or self.fetched_jwks.get(client.client_id) or {}
        keys = (jose.import_jwk(dict(member)) for member in document.get("keys", ()))
        return [key for key in keys if key is not None]

    def clients_in(self, sid: str) -> list[Client]:
        """The clients a session has signed in to."""
        found = {grant.client_id for grant in self.grants if grant.session.sid == sid}
        return [self.clients[name] for name in sorted(found) if name in self.clients]

    def session(self, sid: str) -> Session | None:
        """The live session with this ``sid``."""
        return next((one for one in self.sessions.values() if one.sid == sid), None)

    def sign_in(self, user: str) -> tuple[str, Session]:
        """Open a session for ``user``; returns the cookie's value too."""
        cookie, session = (
            secrets.token_urlsafe(24),
            Session(self.random(12), user, int(self.clock()), secrets.token_urlsafe(12)),
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
        self.issue_access_token(grant)
        if rules.refresh_tokens and (grant.refresh_token is None or rules.rotate_refresh_tokens):
            grant.refresh_token = self.random()
            self._refresh_tokens[grant.refresh_token] = grant

    def issue_access_token(self, grant: Grant) -> str:
        """Give ``grant`` a new access token; the one before counts no more."""
        grant.access_token = secrets.token_urlsafe(24)
        self._access_tokens[grant.access_token] = grant
        lifetime = self.behaviour.access_token_lifetime
        grant.access_token_expires_at = None if lifetime is None else self.clock() + lifetime
        return grant.access_token

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
