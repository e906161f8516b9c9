"""A person's login, as a request finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.authentication import BaseUser

from reliant.client.token_family import Refresher, Wanted
from reliant.errors import LoginRequired
from reliant.login.challenge import asking
from reliant.protocol.claims import UserInfo
from reliant.protocol.token_endpoint import Token
from reliant.storage.session_record import SessionRecord
from reliant.storage.sessions import TokenFamily

if TYPE_CHECKING:
    from reliant.login.vault import Vault

__all__ = ["Session", "User"]


class User(BaseUser):
    """The person who is logged in, as ``request.user``; ``claims``: theirs, as validated."""

    def __init__(self, claims: UserInfo) -> None:
        self.claims: UserInfo = claims

    @property
    def iss(self) -> str:
        """The provider's issuer."""
        return str(self.claims["iss"])

    @property
    def sub(self) -> str:
        """Who it is at that provider; never changes. ``(iss, sub)`` is the key of a user record."""
        return str(self.claims["sub"])

    @property
    def is_authenticated(self) -> bool:
        """True: somebody is logged in."""
        return True

    @property
    def display_name(self) -> str:
        """A name to show."""
        claims = self.claims
        names = (claims.name, claims.preferred_username, claims.email, claims.sub)
        name = next((name for name in names if isinstance(name, str) and name), "")
        return name.encode(errors="replace").decode()  # JSON can hold what UTF-8 can't

    @property
    def identity(self) -> str:
        """The same as ``sub``."""
        return self.sub

    def __eq__(self, other: object) -> bool:
        return isinstance(other, User) and (self.iss, self.sub) == (other.iss, other.sub)

    def __hash__(self) -> int:
        return hash((self.iss, self.sub))

    def __repr__(self) -> str:
        return f"<User {self.sub!r}>"


class Session:
    """One login of one person; ``auth.session(request)`` returns it."""

    def __init__(self, family: TokenFamily, refresher: Refresher, vault: Vault | None) -> None:
        self._family = family
        self._refresher = refresher
        self._vault = vault
        self._claims: tuple[SessionRecord, UserInfo] | None = None

    @property
    def family(self) -> TokenFamily:
        """What the tokens belong to. Other requests may share its record: not to be changed."""
        return self._family

    @property
    def outline(self) -> SessionRecord:
        """What is kept of the login, maybe without its tokens; likewise."""
        return self._family.outline

    @property
    def client_name(self) -> str:
        """The registered client that somebody logged in with."""
        return self._refresher.client_name

    @property
    def claims(self) -> UserInfo:
        """The validated claims: of the ID Token, over those of the UserInfo endpoint if asked."""
        if self._claims is None or self._claims[0] is not self.outline:
            self._claims = self.outline, self.outline.person()
        return self._claims[1]

    @property
    def iss(self) -> str:
        """The provider's issuer."""
        return str(self.outline.claims["iss"])

    @property
    def sub(self) -> str:
        """Who it is at that provider."""
        return str(self.outline.claims["sub"])

    @property
    def sid(self) -> str | None:
        """The provider's name for its session, where it told."""
        return self.outline.claims.sid

    @property
    def created_at(self) -> float:
        """When the login was, as Unix time in seconds."""
        return self.outline.created_at

    @property
    def expires_at(self) -> float:
        """When the session is over at the latest, as Unix time in seconds."""
        return self.outline.expires_at

    @property
    def tokens(self) -> Token:
        """The tokens as they are; ``await session.token()`` gives one that can be sent.

        Without the refresh token: two who use it end the login.
        """
        return self._family.record.tokens()

    async def token(
        self,
        *,
        resource: str | None = None,
        audience: str | None = None,
        scope: str | None = None,
    ) -> Token:
        """An access token that can be sent, refreshed a minute before its end.

        However many requests, workers and machines ask, it is refreshed once. ``resource``: the API
        it is for (RFC 8707); ``audience``: the same where the provider calls it so; ``scope``: less
        than the login was granted. Raises ``LoginRequired`` (``session.ended``,
        ``session.token_expired``), and where the old token does not serve any more ``TokenError``,
        ``ProviderError`` or ``StoreError``.
        """
        return await self.access_token(Wanted(resource, audience, scope))

    async def access_token(self, wanted: Wanted, refused: str | None = None) -> Token:
        """The token ``wanted``; ``refused``: one that an API did not take."""
        with asking(self.client_name):
            if self._handle is None or self._vault is None:
                token = await self._refresher.token(self._family, wanted, refused)
                # Meanwhile another request may have moved the refresh token to the vault.
                if self._handle is None or self._vault is None:
                    return token
            try:
                return await self._vault.access_token(self._handle, wanted, refused)
            except LoginRequired as exc:
                if exc.code == "session.ended":
                    await self._family.end()
                raise

    @property
    def _handle(self) -> str | None:
        return self._family.record.vault

    def __repr__(self) -> str:
        return f"<Session {self.outline.id}>"
