"""Sessions that live in the browser's cookies, encrypted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from reliant.errors import ConfigurationError, StoreError
from reliant.storage.ended import Ended
from reliant.storage.memory import MemoryStore
from reliant.storage.recent import Recent, digest
from reliant.storage.room import make_room
from reliant.storage.safe import Safe
from reliant.storage.sealed import Sealer
from reliant.storage.session_record import SessionRecord
from reliant.storage.sessions import (
    CLOCKS_APART,
    LazyRecord,
    ended_meanwhile,
    groups_of,
    groups_to_end,
    opened_record,
)
from reliant.storage.store import Store

__all__ = ["CookieFamily", "CookieSessions", "IndexedCookieSessions"]

MAX_BODY = 8 * 3799  # octets: eight cookies, and in the first of them a digit
MAX_REFRESHED = 10_000  # sessions whose newest refresh a process remembers


class _Generation(NamedTuple):
    number: int
    latest_end: float


class CookieSessions:
    """Sessions whose value is the encrypted record, and a small stamp of when it was last used.

    Before both stands the session's id, by which the browser tells one login's from another's.
    They can't be ended from afar, and a refresh is shared by the coroutines of one process only.
    ``secrets``: the application's secret keys, newest first; ``client``: the registered client;
    ``idle``: seconds without a request after which a session ends; ``store``: for what a process
    remembers, by default its own memory.
    """

    def __init__(
        self,
        secrets: Sequence[str | bytes],
        client: str,
        idle: float,
        clock: Callable[[], float] = time.time,
        store: Store | None = None,
    ) -> None:
        self.store: Store = store or MemoryStore(clock)
        self.safe: Safe = Safe(self.store, secrets, f"cookie {client}")
        self.ended: Ended = Ended(self.safe)
        self.clock = clock
        self._records = Sealer(secrets, f"reliant session cookie {client}")
        self.idle = idle
        self._refreshed: dict[str, _Generation] = {}
        self._recent = Recent(idle, clock)

    async def time(self) -> float:
        return await self.store.time()

    async def create(self, record: SessionRecord) -> str:
        record = replace(record, secret=self.safe.new_secret())
        return f"{record.id}~{self.stamp(record)}~{self.seal(record)}"

    async def find(self, value: str, writable: Callable[[], bool]) -> CookieFamily | None:
        name = digest(_parts(value)[2])
        known = self._recent.find(name)
        record = self._open(value) if known is None else known.outline
        seen = None if record is None else self._seen(value, record)
        if record is None or seen is None:
            return None
        if known is None:
            self._recent.keep(name, record)
        now = self.clock()
        if record.expires_at <= now or seen + self.idle <= now:
            return None
        if await self.was_ended(record):
            return None
        return CookieFamily(
            self, record, seen, writable, None if known is None else lambda: self._open(value)
        )

    async def delete(self, value: str) -> SessionRecord | None:
        record = self._open(value)
        return None if record is None else await self.end_one(record)

    async def end_one(self, record: SessionRecord) -> SessionRecord:
        """End a session; return the newest record of it."""
        # A copy of the cookie opens no more, to this process at least: not even one that was used
        # since, when this browser's own had run out.
        seconds = max(0, record.latest_end - self.clock()) + CLOCKS_APART
        await self.ended.mark(("id", record.id), seconds)
        with suppress(StoreError):  # the session is over
            sealed = await self.safe.get(record.secret)
            newest = opened_record(self.safe, record.secret, sealed)
            if newest is not None and newest.generation > record.generation:
                record = newest
        return record

    async def was_ended(self, record: SessionRecord) -> bool:
        """Tell whether a session was ended before its time."""
        return await self.ended.reach(list(self.groups_of(record)), record.created_at)

    def groups_of(self, record: SessionRecord) -> Iterable[tuple[str, ...]]:
        """The groups by which a session can have been ended."""
        yield "id", record.id

    def mark_of(self, value: str) -> str | None:
        record = self._open(value)
        return None if record is None else record.id

    def trace_of(self, value: str) -> str:
        record = self._open(value)
        if record is None:
            return ""
        return self.safe.proof("person", record.claims["iss"], record.claims["sub"])

    def was_of(self, trace: str, iss: str, sub: str) -> bool:
        return self.safe.proves(trace, "person", iss, sub)

    def stamp(self, record: SessionRecord) -> str:
        """The part of a session's value that tells when it was last used."""
        seen = str(int(self.clock()))
        return f"{seen}.{self.safe.proof('seen', record.id, seen)}"

    def seal(self, record: SessionRecord) -> str:
        """The record as a part of a session's value; raises ``ConfigurationError`` for one too
        large.
        """
        sealed = self._records.seal_text(record.dumps())
        if len(sealed) > MAX_BODY:
            raise ConfigurationError(
                description="The session with its tokens is larger than eight cookies hold. Use "
                "Login(store=RedisStore(...)), or ask the provider for smaller tokens.",
                code="session.too_large",
            )
        return sealed

    def note(self, record: SessionRecord) -> None:
        """Remember a record that a refresh made."""
        now = self.clock()
        make_room(self._refreshed, MAX_REFRESHED, lambda it: it.latest_end <= now)
        self._refreshed.pop(record.id, None)
        self._refreshed[record.id] = _Generation(record.generation, record.latest_end)

    def is_newest(self, record: SessionRecord) -> bool:
        """Tell whether no later refresh is known: an answer that is late must not undo it."""
        newest = self._refreshed.get(record.id)
        return newest is None or record.generation >= newest.number

    def _open(self, value: str) -> SessionRecord | None:
        head, _, body = _parts(value)
        text = self._records.open_text(body)
        record = None if text is None else SessionRecord.loads(text)
        return record if record is not None and record.id == head else None

    def _seen(self, value: str, record: SessionRecord) -> float | None:
        head, stamp, _ = _parts(value)
        seen, _, proof = stamp.partition(".")
        is_ours = head == record.id and self.safe.proves(proof, "seen", record.id, seen)
        return float(seen) if is_ours else None


def _parts(value: str) -> tuple[str, str, str]:
    """The session's id, the stamp, and the encrypted record in a value."""
    head, _, rest = value.partition("~")
    stamp, _, body = rest.partition("~")
    return head, stamp, body


class IndexedCookieSessions(CookieSessions):
    """Sessions in cookies, and in ``store`` a small index of those that ended before their time.

    ``lifetime``: seconds the longest session lasts, and so an entry of the index.
    """

    def __init__(
        self,
        store: Store,
        secrets: Sequence[str | bytes],
        client: str,
        idle: float,
        lifetime: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(secrets, client, idle, clock, store)
        self._lifetime = lifetime

    async def create(self, record: SessionRecord) -> str:
        if await self.ended.reach(list(groups_of(record)), record.created_at):
            raise ended_meanwhile()
        if record.claims.sid is not None:
            await self.store.set(self._known(record.claims["iss"], record.claims.sid)[0], "1",
                                 self._lifetime)  # fmt: skip
        return await super().create(record)

    async def end(
        self, iss: str, *, sid: str | None = None, sub: str | None = None, proven: bool = True
    ) -> None:
        if not proven and (sid is None or not await self._is_known(iss, sid)):
            return
        for who in groups_to_end(iss, sid, sub):
            await self.ended.mark(who, self._lifetime + CLOCKS_APART)

    def groups_of(self, record: SessionRecord) -> Iterable[tuple[str, ...]]:
        yield from super().groups_of(record)
        yield from groups_of(record)

    async def _is_known(self, iss: str, sid: str) -> bool:
        return any(await self.store.get_many(self._known(iss, sid)))

    def _known(self, iss: str, sid: str) -> list[str]:
        return self.safe.names("known", iss, sid)


class CookieFamily(LazyRecord):
    """A login that lies in the browser.

    What a refresh brought is kept beside the lock too, for requests that carry the cookie of
    before, and for browsers that the new one never reached; ``seen``: when the session was last
    used; ``writable``: tells whether the head of the answer, with its cookies, is still to come;
    ``opened``: opens the record where this one is but an outline.
    """

    def __init__(
        self,
        sessions: CookieSessions,
        record: SessionRecord,
        seen: float,
        writable: Callable[[], bool],
        opened: Callable[[], SessionRecord | None] | None,
    ) -> None:
        super().__init__(record, opened)
        self.over: bool = False
        self.store: Store = sessions.store
        self._sealed: str | None = None
        self._generation = record.generation
        self._sessions = sessions
        self._seen = seen
        self._writable = writable

    @property
    def name(self) -> str:
        """What its lock is called."""
        return self._sessions.safe.key(self.record.secret)

    def check_writable(self) -> None:
        if not self._writable():
            raise ConfigurationError(
                description="The answer has begun, so its cookies can't take a refreshed token any "
                "more. Call session.token() before, or use Login(store=RedisStore(...)).",
                code="session.answer_begun",
            )

    async def reread(self) -> bool:
        sessions = self._sessions
        if await sessions.was_ended(self.record):
            return False
        secret = self.record.secret
        sealed = await sessions.safe.get(secret)
        newest = opened_record(sessions.safe, secret, sealed)
        self._sealed = None if newest is None else sealed
        if newest is not None and newest.generation > self.record.generation:
            self.record = newest
        return True

    async def write(self, record: SessionRecord, fence: int) -> bool:
        if await self._sessions.was_ended(record):
            return False
        safe, secret, text = self._sessions.safe, self.record.secret, record.dumps()
        # Not its expires_at, which a refresh may have moved into the past.
        seconds = max(1.0, record.latest_end - self._sessions.clock())
        if self._sealed is None:
            sealed = await safe.add(secret, text, seconds)
        else:
            sealed = await safe.replace(secret, self._sealed, text, seconds, fence)
        if sealed is None:
            return False
        self.record, self._sealed = record, sealed
        self._sessions.note(record)
        return not await self._sessions.was_ended(record)  # by a logout that revoked the old tokens

    async def end(self) -> None:
        self.over = True
        await self._sessions.end_one(self.record)

    def renewed(self) -> str | None:
        sessions, record = self._sessions, self.outline
        # Apart from the record, so that an answer which is late never brings back old tokens.
        is_old = sessions.clock() >= self._seen + sessions.idle / 20
        stamp = sessions.stamp(record) if is_old else ""
        is_new = record.generation != self._generation and sessions.is_newest(record)
        body = sessions.seal(record) if is_new else ""
        return f"{record.id}~{stamp}~{body}" if stamp or body else None
