"""One refresh of a login's tokens, whoever asks: coroutines, workers, machines.

A provider that rotates refresh tokens takes the second use of one for theft and ends the login. So
whoever wants to refresh takes the family's lock, reads again (another may have done it), exchanges,
and writes only where nobody has written since. Who comes too late gets what the winner wrote.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

import anyio

from reliant.client.oauth_client import OAuthClient
from reliant.client.uninterrupted import uninterrupted
from reliant.errors import (
    ConfigurationError,
    IDTokenError,
    InvalidGrantError,
    LoginRequired,
    MissingTokenError,
    OAuthError,
    StoreError,
)
from reliant.http.single_flight import SingleFlight
from reliant.protocol.lifetimes import Freshness, freshness, obtained_at, remaining
from reliant.protocol.token_endpoint import Token
from reliant.protocol.values import random_token, s256
from reliant.storage.session_record import SessionRecord, access_of
from reliant.storage.sessions import TokenFamily
from reliant.storage.store import Claim

__all__ = ["Hold", "Refresher", "Wanted", "locked"]

log: logging.Logger = logging.getLogger("reliant")

LOCK_SECONDS = 8.0  # how long a worker that died keeps others waiting; prolonged every two
WAIT_SECONDS = 30.0  # for a lock that others hold, and for a store that a new token must go into
PAUSE_SECONDS = 10.0  # between tries, while the old token serves or the API takes none
MAX_PAUSES = 10_000
CLOCKS_APART = 30.0  # seconds between the clock of a worker and the right one

T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """Which access token: for which resource (RFC 8707) or audience, and with which scope."""

    resource: str | None = None
    audience: str | None = None
    scope: str | None = None

    @property
    def params(self) -> dict[str, str]:
        """The parameters of the token request."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def key(self) -> str:
        """Its key among the tokens for other audiences."""
        text = "\0".join(f"{name}={value}" for name, value in self.params.items())
        return s256(quote(text))[:16]

    def among(self, record: SessionRecord) -> Mapping[str, Any] | None:
        """The token of a record that this is about, if it is there."""
        return record.others.get(self.key) if self.params else record.token


@dataclass(frozen=True)
class _Need:
    """A call for a token.

    ``before``: the old one; ``serves``: whether it can still be sent; ``lasts``: whether it can for
    so long that, by whatever clock, nobody has to wait for who is refreshing it.
    """

    family: TokenFamily
    wanted: Wanted
    before: str | None = field(repr=False)
    serves: bool
    lasts: bool

    def is_met(self, now: float) -> bool:
        """Tell whether another token has come since: fresh, or new though our clock denies it."""
        token = self.wanted.among(self.family.record)
        if token is None or token["access_token"] == self.before:
            return False
        return freshness(token, now, 0) != "expired" or _is_new(token, now)


@dataclass(frozen=True)
class Hold:
    """A lock that is held: by whom, and with which claim."""

    owner: str
    claim: Claim


class Refresher:
    """Hands out access tokens of families, refreshed where need be, each refresh once.

    ``client``: returns the client they are of; ``clock``: a function returning Unix time.
    """

    def __init__(
        self, client: Callable[[], OAuthClient], clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._clock = clock
        self._flights: SingleFlight[SessionRecord] = SingleFlight()
        self._pauses: dict[str, float] = {}

    @property
    def client_name(self) -> str:
        """The registered client whose tokens these are."""
        return self._client().name

    async def token(self, family: TokenFamily, wanted: Wanted, refused: str | None = None) -> Token:
        """The access token ``wanted``, fresh enough to be sent.

        ``refused``: an access token that an API did not take, to be replaced whatever its end.
        Raises ``LoginRequired`` (``session.ended``, ``session.token_expired``),
        ``MissingTokenError``, and where the old token does not serve any more ``TokenError``,
        ``ProviderError`` or ``StoreError``.
        """
        if family.record.token.access_token is None:
            raise MissingTokenError(
                description="This login brought no access token: with response_type=id_token "
                "there is none to call an API with."
            )
        token = wanted.among(family.record)
        state = "expired" if token is None else self._state(family, token, refused)
        if state == "fresh" and token is not None:
            return access_of(token)
        before = None if token is None else str(token["access_token"])
        serves = state == "due"
        lasts = serves and remaining(token or {}, self._clock()) > CLOCKS_APART
        # A copy, since a request may ask for several tokens at the same time.
        need = _Need(copy(family), wanted, before, serves, lasts)
        try:
            family.check_writable()  # before others join, whose answers have not begun
            record = await self._flights.share(
                (family.name, wanted, before, serves), lambda: self._refresh(need)
            )
        except LoginRequired as exc:
            family.over = family.over or exc.code == "session.ended"
            raise
        except (ConfigurationError, StoreError) as exc:
            if token is None or not serves:
                raise
            log.warning("session %s not refreshed, the old token serves on: code=%s",
                        family.record.id, exc.code)  # fmt: skip
            return access_of(token)
        if record.generation > family.record.generation:
            family.record = record  # to look at; who writes reads again before
        return access_of(wanted.among(record) or {})

    def _state(
        self, family: TokenFamily, token: Mapping[str, Any], refused: str | None
    ) -> Freshness:
        now, record = self._clock(), family.record
        state = freshness(token, now, _spread(record))
        has = record.token.refresh_token is not None or record.vault is not None
        if token["access_token"] == refused and has:
            # An API that takes no token at all must not cost a refresh a call.
            age = now - (obtained_at(token) or 0)
            return "expired" if age >= PAUSE_SECONDS else "fresh"
        can = has and self._pauses.get(family.name, 0) <= now
        return "fresh" if state == "due" and not can else state

    async def _refresh(self, need: _Need) -> SessionRecord:
        async def done() -> bool:
            if need.lasts:
                return True  # whoever has the lock is refreshing it
            await _reread(need.family)
            return need.is_met(self._clock())

        async def tell() -> None:
            for answer, old in news:
                await self._client().tell_update(answer, old)

        news: list[tuple[Token, Token]] = []
        record = await locked(
            need.family, lambda hold: self._exchange(need, hold, news), done, then=tell
        )
        return need.family.record if record is None else record

    async def _exchange(
        self, need: _Need, hold: Hold, news: list[tuple[Token, Token]]
    ) -> SessionRecord:
        """Read again, refresh, write: the work of who has the lock; ``news``: gets what came."""
        family, wanted, client = need.family, need.wanted, self._client()
        await _reread(family)
        record = family.record
        if need.is_met(self._clock()) or record.vault is not None:
            return record
        refresh_token = record.token.refresh_token
        if refresh_token is None:
            raise LoginRequired(
                "token_expired",
                "The access token has expired and there is no refresh token. Log in again.",
                code="session.token_expired",
            )
        if hold.claim.interrupted:
            log.warning("session %s: a refresh before this one was interrupted, as when a worker "
                        "is killed; its refresh token may be used up", record.id)  # fmt: skip
        try:
            answer = await client.token_endpoint.refresh(
                record.token, refresh_token, **wanted.params
            )
        except (InvalidGrantError, IDTokenError) as exc:
            log.warning("session %s ended, for the provider did not refresh it: code=%s%s",
                        record.id, exc.code, ", after an interrupted refresh"
                        if hold.claim.interrupted else "")  # fmt: skip
            await family.end()
            raise _ended() from exc
        except OAuthError as exc:
            if not need.serves:
                raise
            self._pause(family)
            log.warning("session %s not refreshed, the old token serves on: code=%s", record.id,
                        exc.code)  # fmt: skip
            return record
        answer["obtained_at"] = int(self._clock())
        new = record.with_other(wanted.key, answer) if wanted.params else record.with_token(answer)
        new = await self._keep(family, new, hold)
        news.append((deepcopy(answer), deepcopy(record.token)))  # which the hook may change
        return new

    async def _keep(self, family: TokenFamily, new: SessionRecord, hold: Hold) -> SessionRecord:
        """Write what a refresh brought, and wait for a store that is away: there is no other copy,
        and what came before may be used up at the provider.
        """
        claim, until = hold.claim, time.monotonic() + WAIT_SECONDS
        while True:
            try:
                if await family.write(new, claim.fence):
                    return new
                if not await family.reread():
                    await self.give_back(new.token)
                    raise _ended()
                # What we read is still there, so it is the fence that went: the store lost it, or
                # the lock ran out while we stood still.
                is_ours = family.record.generation < new.generation
                again = await _acquire(family, hold.owner) if is_ours else None
                if again is None or time.monotonic() > until:
                    log.error("session %s: its refreshed tokens could not be kept, for another "
                              "worker took over meanwhile; they may be lost", new.id)  # fmt: skip
                    return new
                claim = again
            except StoreError:
                if time.monotonic() > until:
                    log.exception("session %s: its refreshed tokens are lost, for the store does "
                                  "not take them", new.id)  # fmt: skip
                    raise
            await anyio.sleep(0.2)

    async def give_back(self, token: Token) -> None:
        """Revoke what belongs to a login that was ended meanwhile."""
        try:
            await self._client().revoke_token(token)
        except OAuthError as exc:
            log.info("a token of an ended session was not revoked: code=%s", exc.code)

    def _pause(self, family: TokenFamily) -> None:
        if len(self._pauses) >= MAX_PAUSES:
            self._pauses.clear()
        self._pauses[family.name] = self._clock() + PAUSE_SECONDS


def _is_new(token: Mapping[str, Any], now: float) -> bool:
    """Tell whether a token has just come, by the clock of a worker that may be wrong as ours."""
    obtained = obtained_at(token)
    return obtained is not None and now - obtained < 2 * CLOCKS_APART


def _spread(record: SessionRecord) -> float:
    """0 to 1, by chance but always the same for one login."""
    return int.from_bytes(record.id.encode()[:4]) % 1000 / 1000


async def _reread(family: TokenFamily) -> None:
    if not await family.reread():
        raise _ended()


def _ended() -> LoginRequired:
    return LoginRequired(description="This login is over. Log in again.", code="session.ended")


async def locked(
    family: TokenFamily,
    work: Callable[[Hold], Awaitable[T]],
    done: Callable[[], Awaitable[bool]],
    *,
    then: Callable[[], Awaitable[None]] | None = None,
) -> T | None:
    """Do ``work`` with the family's lock, ``then`` the rest without it; return what ``work`` does.

    While others hold it, wait until ``done`` says that it is not needed, and return None. Work that
    was begun goes on to its end, also where who asked for it is cancelled. Raises ``StoreError``,
    with ``session.busy`` where others hold the lock for too long.
    """
    owner, until, pause = random_token(12), time.monotonic() + WAIT_SECONDS, 0.01

    async def attempt() -> list[T]:
        claim = await _acquire(family, owner)
        if claim is None:
            return []
        result = await _while_held(family, Hold(owner, claim), work)
        if then is not None:
            await then()
        return [result]

    while not (results := await uninterrupted(attempt)):
        if await done():
            return None
        if time.monotonic() > until:
            raise StoreError(
                description="The tokens of this login are being refreshed, which takes too long. "
                "Try again in a moment.",
                code="session.busy",
            )
        await anyio.sleep(pause)
        pause = min(2 * pause, 0.2)
    return results[0]


async def _acquire(family: TokenFamily, owner: str) -> Claim | None:
    return await family.store.acquire(family.name, owner, LOCK_SECONDS)


async def _while_held(family: TokenFamily, hold: Hold, work: Callable[[Hold], Awaitable[T]]) -> T:
    """Do ``work`` while the lock is prolonged, then release it."""
    results: list[T] = []
    error: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(_prolong, family, hold.owner)
        try:
            results.append(await work(hold))
        except Exception as exc:  # raised below: a task group would wrap it
            error = exc
        group.cancel_scope.cancel()
    with suppress(StoreError):  # the lock runs out by itself
        await family.store.release(family.name, hold.owner)
    if error is not None:
        raise error
    return results[0]


async def _prolong(family: TokenFamily, owner: str) -> None:
    held = True
    while held:
        await anyio.sleep(LOCK_SECONDS / 4)
        with suppress(Exception):  # it may be back before the lock runs out
            held = await family.store.prolong(family.name, owner, LOCK_SECONDS)
