"""Tokens for background jobs, which go on when the browser is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from reliant.client.oauth_client import OAuthClient
from reliant.client.token_family import Hold, Refresher, Wanted, locked
from reliant.errors import LoginRequired, MissingTokenError, OAuthError
from reliant.login.session import Session
from reliant.protocol.token_endpoint import Token
from reliant.storage.safe import Safe
from reliant.storage.session_record import SessionRecord
from reliant.storage.sessions import StoredFamily, opened_record

__all__ = ["Vault"]

KEPT = 90 * 24 * 3600.0  # seconds since it was last used


class Vault:
    """Keeps token families under handles; ``auth.vault``.

    A handle is a secret that finds and opens its tokens: keep it with the user's record, as you
    would keep a password. What nobody asked for in 90 days is gone. ``safe``: where they are kept;
    ``client``: returns the client they are of.
    """

    def __init__(
        self,
        safe: Safe,
        client: Callable[[], OAuthClient],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._safe = safe
        self._client = client
        self._clock = clock
        self._refresher = Refresher(client, clock)

    async def put(self, tokens: Session | Mapping[str, Any]) -> str:
        """Keep tokens for background jobs; return their handle.

        ``tokens``: a session, whose refresh token moves here, so that the session and the jobs
        share what must not be used twice; or a ``Token`` that no session has. They outlive the
        session. Raises ``MissingTokenError`` where there is no refresh token, ``StoreError``.
        """
        if not isinstance(tokens, Session):
            return await self._keep(Token(tokens))
        session = tokens
        if session.family.record.vault is None:
            session.family.check_writable()
            await locked(session.family, lambda hold: self._move(session, hold), _not_yet)
        elif await self._family(session.family.record.vault) is None:
            await session.family.end()
            raise _gone()
        return str(session.family.record.vault)

    async def refreshed(self, record: SessionRecord) -> SessionRecord:
        """A session's record, with token and claims as the vault has them by now."""
        family = None if record.vault is None else await self._family(record.vault)
        return record if family is None else record.with_vaulted(family.record)

    async def token(
        self,
        handle: str,
        *,
        resource: str | None = None,
        audience: str | None = None,
        scope: str | None = None,
    ) -> Token:
        """An access token that can be sent, as ``Session.token`` returns it.

        Raises ``LoginRequired`` with ``session.ended`` where there is nothing under the handle any
        more, as the provider has ended it.
        """
        return await self.access_token(handle, Wanted(resource, audience, scope))

    async def access_token(self, handle: str, wanted: Wanted, refused: str | None = None) -> Token:
        """The token ``wanted``; ``refused``: one that an API did not take."""
        family = await self._family(handle, renew=KEPT)
        if family is None:
            raise _gone()
        return await self._refresher.token(family, wanted, refused)

    async def delete(self, handle: str) -> None:
        """Revoke the tokens of a handle, where the provider can (RFC 7009), and forget them.

        A session that shares them ends when it needs one. Raises ``ProviderError`` or
        ``TokenError`` where they were not revoked; then they are still here, to try it again.
        """
        family = await self._family(handle)
        if family is not None:  # and no refresh beside, whose tokens would be forgotten
            await locked(family, lambda _: self._end(family), _not_yet)

    async def _end(self, family: StoredFamily) -> None:
        if not await family.reread():
            return
        metadata = await self._client().load_server_metadata()
        if metadata.endpoint("revocation_endpoint") is not None:
            await self._client().revoke_token(family.record.token)
        await family.end()

    async def _family(self, handle: str, renew: float | None = None) -> StoredFamily | None:
        sealed = await self._safe.get(handle, renew=renew)
        record = opened_record(self._safe, handle, sealed)
        if sealed is None or record is None:
            return None
        return StoredFamily(
            self._safe, handle, sealed, record, KEPT, lambda: self._safe.delete(handle)
        )

    async def _keep(self, token: Token) -> str:
        if token.refresh_token is None:
            raise MissingTokenError(
                description="There is no refresh token to keep. Many providers send one only when "
                "asked: add the scope offline_access, or what the provider wants instead.",
                code="request.refresh_token_missing",
            )
        now, handle = self._clock(), self._safe.new_secret()
        await self._safe.put(handle, SessionRecord(token, now, now + KEPT).dumps(), KEPT)
        return handle

    async def _move(self, session: Session, hold: Hold) -> None:
        """Move the refresh token of a session here, with the family's lock held."""
        family = session.family
        if not await family.reread():
            raise LoginRequired(description="This login is over.", code="session.ended")
        if family.record.vault is not None:
            return
        moved = family.record.token
        handle = await self._keep(moved)
        if not await family.write(family.record.in_vault(handle), hold.claim.fence):
            await self._safe.delete(handle)
            if not await family.reread():
                await self._refresher.give_back(moved)
                raise LoginRequired(description="This login is over.", code="session.ended")
            raise OAuthError(
                "conflict",
                "The session changed while its tokens were moved. Try again.",
                code="session.busy",
                status_hint=503,
            )


def _gone() -> LoginRequired:
    return LoginRequired(
        description="There are no tokens under this handle any more: the provider or the "
        "application has ended them, and the person must log in again. Or the process that put "
        "them there has another secret_key, client, or prefix of the store.",
        code="session.ended",
    )


async def _not_yet() -> bool:
    return False
