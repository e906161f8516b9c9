"""Where login sessions live: what every place promises, and the one that is a store on the server.

A session is found by a *value*, which is what the browser's cookie holds: with a store on the
server a random secret, with cookies alone the encrypted record itself.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol, runtime_checkable

from reliant.errors import LoginRequired, StoreError
from reliant.storage.ended import Ended
from reliant.storage.recent import Recent, digest
from reliant.storage.safe import Safe
from reliant.storage.session_record import SessionRecord
from reliant.storage.store import Store

__all__ = [
    "LazyRecord",
    "RemoteSessions",
    "Sessions",
    "StoredFamily",
    "StoredSessions",
    "TokenFamily",
    "ended_meanwhile",
    "groups_of",
    "groups_to_end",
    "opened_record",
]

CLOCKS_APART = 60.0  # seconds that the clocks of two workers may differ
IN_FLIGHT = 600.0  # seconds from a callback's begin to its session, at the most


class TokenFamily(Protocol):
    """A login as it was found, and the tokens that go back to it."""

    record: SessionRecord  # as last read
    over: bool  # whether it was ended through this object

    @property
    def name(self) -> str:
        """What its lock is called in ``store``."""
        ...

    @property
    def outline(self) -> SessionRecord:
        """The record as last read, maybe without its tokens."""
        ...

    @property
    def store(self) -> Store:
        """Where its lock is."""
        ...

    async def reread(self) -> bool:
        """Read the record again; False where the login is over."""
        ...

    async def write(self, record: SessionRecord, fence: int) -> bool:
        """Put ``record`` where the last read one still is; False where that is not so."""
        ...

    def check_writable(self) -> None:
        """Raise ``ConfigurationError`` where the browser could not get what would be written."""
        ...

    async def end(self) -> None:
        """End the login."""
        ...

    def renewed(self) -> str | None:
        """What the browser must get in place of its value, if anything."""
        ...


class Sessions(Protocol):
    """What every place for sessions promises.

    A value that was changed, made up, or made for another client finds nothing. What is kept is
    encrypted and authenticated, and old secret keys still open what they sealed. A session that is
    over is not found, by its idle time or by its end. Where it can't be told, a ``StoreError`` says
    so.
    """

    async def time(self) -> float:
        """The time that ``created_at`` must be of, taken before the login's code is redeemed."""
        ...

    async def create(self, record: SessionRecord) -> str:
        """Keep a new session; return its value.

        Raises ``ConfigurationError`` for one too large, ``LoginRequired`` where it was ended
        already, since ``record.created_at``.
        """
        ...

    async def find(self, value: str, writable: Callable[[], bool]) -> TokenFamily | None:
        """The session of a value, used from now on; None where there is none.

        ``writable``: tells whether a new value can still go out with the answer.
        """
        ...

    async def delete(self, value: str) -> SessionRecord | None:
        """End one session, also where it is over for who has this value alone.

        Returns what lay there last, if anything. Cookies alone can but be taken back from the
        browser.
        """
        ...

    def mark_of(self, value: str) -> str | None:
        """What stands for a value's session, also when that is over; None if we never made it."""
        ...

    def trace_of(self, value: str) -> str:
        """What of a value ``was_of`` needs: a short text."""
        ...

    def was_of(self, trace: str, iss: str, sub: str) -> bool:
        """Tell whether a session, be it over or not, belonged to ``sub`` at ``iss``."""
        ...


@runtime_checkable
class RemoteSessions(Sessions, Protocol):
    """Sessions that end from afar: in a store on the server, or in cookies with an index there.

    Once ``end`` has returned, no worker finds the sessions any more, nor can a login that had begun
    before make one.
    """

    async def end(
        self, iss: str, *, sid: str | None = None, sub: str | None = None, proven: bool = True
    ) -> None:
        """End the provider's session ``sid``; without one, all sessions of ``sub``.

        ``proven``: False where anybody may ask for it, as by the front channel; then nothing is
        written of a session that is not there.
        """
        ...


class StoredSessions:
    """Sessions in a ``Store``, each encrypted with a key that takes the cookie to make.

    ``secrets``: the application's secret keys, newest first; ``client``: the registered client;
    ``idle``: seconds without a request after which a session ends.
    """

    def __init__(
        self,
        store: Store,
        secrets: Sequence[str | bytes],
        client: str,
        idle: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.safe: Safe = Safe(store, secrets, f"session {client}")
        self.idle = idle
        self._ended = Ended(self.safe)
        self._clock = clock
        self._recent = Recent(idle / 20, clock)

    async def time(self) -> float:
        return await self.store.time()

    async def create(self, record: SessionRecord) -> str:
        secret, groups = self.safe.new_secret(), list(groups_of(record))
        now = self._clock()
        # A refresh may move its end, and clocks differ.
        listed = record.latest_end - now + CLOCKS_APART
        for who in groups:
            await self.store.collect(self.safe.names(*who)[0], self.safe.key(secret), listed)
        await self.safe.put(secret, record.dumps(), min(self.idle, record.expires_at - now))
        # A logout on its way meanwhile may have looked for it before it was there.
        if await self._ended.reach(groups, record.created_at):
            await self.safe.delete(secret)
            raise ended_meanwhile()
        person = self.safe.proof("person", secret, record.claims["iss"], record.claims["sub"])
        return f"{secret}.{person}.{self.safe.proof('value', secret, person)}"

    async def find(self, value: str, writable: Callable[[], bool]) -> StoredFamily | None:
        name = digest(value)
        known = self._recent.find(name)
        secret = self.mark_of(value) if known is None else _parts(value)[0]
        # Who is known was here so lately that the idle time need not begin anew.
        renew = self.idle if known is None else None
        sealed = None if secret is None else await self.safe.get(secret, renew=renew)
        if secret is None or sealed is None:
            return None
        outline = known.outline if known is not None and known.sealed == sealed else None
        record = outline or opened_record(self.safe, secret, sealed)
        if record is None:
            return None
        if known is None:
            self._recent.keep(name, record, sealed)
        if record.expires_at <= self._clock():
            await self.safe.delete(secret)
            return None
        return StoredFamily(
            self.safe, secret, sealed, record, self.idle, lambda: self.delete(value),
            is_whole=outline is None,
        )  # fmt: skip

    async def delete(self, value: str) -> SessionRecord | None:
        secret = self.mark_of(value)
        text = None if secret is None else await self.safe.take(secret)
        record = None if text is None else SessionRecord.loads(text)
        if secret is not None and record is not None:
            with suppress(StoreError):  # the session is over; its entries in the groups run out
                for who in groups_of(record):
                    for name in self.safe.names(*who):
                        await self.store.discard(name, [self.safe.key(secret)])
        return record

    async def end(
        self, iss: str, *, sid: str | None = None, sub: str | None = None, proven: bool = True
    ) -> None:
        for who in groups_to_end(iss, sid, sub):
            if proven:
                await self._ended.mark(who, IN_FLIGHT)
            for name in self.safe.names(*who):
                keys = await self.store.members(name)
                for key in keys:
                    await self.store.delete(key)
                await self.store.discard(name, keys)

    def mark_of(self, value: str) -> str | None:
        # A value that somebody made up costs no question to the store.
        secret, person, proof = _parts(value)
        return secret if self.safe.proves(proof, "value", secret, person) else None

    def trace_of(self, value: str) -> str:
        return value

    def was_of(self, trace: str, iss: str, sub: str) -> bool:
        secret, person, _ = _parts(trace)
        return self.safe.proves(person, "person", secret, iss, sub)


def _parts(value: str) -> tuple[str, str, str]:
    """The secret in a value, the proof of whose it is, and the proof that we made it."""
    secret, _, rest = value.partition(".")
    person, _, proof = rest.partition(".")
    return secret, person, proof


def ended_meanwhile() -> LoginRequired:
    """A logout has come while somebody was logging in."""
    return LoginRequired(
        description="The provider has ended this login meanwhile. Log in again.",
        code="session.ended",
    )


def groups_of(record: SessionRecord) -> Iterator[tuple[str, str, str]]:
    """The groups that a session belongs to: of its person, of the provider's session."""
    iss, sub, sid = record.claims["iss"], record.claims["sub"], record.claims.sid
    yield "sub", iss, sub
    # A session whose sid is not known ends with any session of its person.
    yield ("sid", iss, sid) if sid else ("no sid", iss, sub)


def groups_to_end(iss: str, sid: str | None, sub: str | None) -> Iterator[tuple[str, str, str]]:
    """The groups that a logout of the provider's ends (Back-Channel Logout 1.0 section 2.6)."""
    if sid is not None:
        yield "sid", iss, sid
    if sub is not None:
        yield "sub" if sid is None else "no sid", iss, sub


def opened_record(safe: Safe, secret: str, sealed: str | None) -> SessionRecord | None:
    """The record in a text that lay in ``safe`` under ``secret``; None where there is none."""
    text = safe.open(secret, sealed)
    return None if text is None else SessionRecord.loads(text)


class LazyRecord:
    """A login's record that is opened when somebody asks for its tokens.

    ``outline``: the record, maybe without its tokens; ``opened``: all of it, where ``outline`` is
    not all.
    """

    def __init__(
        self, outline: SessionRecord, opened: Callable[[], SessionRecord | None] | None
    ) -> None:
        self.outline: SessionRecord = outline
        self._opened = opened

    @property
    def record(self) -> SessionRecord:
        """The record, whole."""
        if self._opened is not None:
            # It did open when its outline was made.
            self.record = self._opened() or self.outline
        return self.outline

    @record.setter
    def record(self, record: SessionRecord) -> None:
        self.outline, self._opened = record, None


class StoredFamily(LazyRecord):
    """A login in a store, under ``secret``.

    ``sealed``: how it lay there when it was read; ``record``: what was in it; ``seconds``: how long
    it lies after a write; ``delete``: ends it; ``is_whole``: False for the outline of a record.
    """

    def __init__(
        self,
        safe: Safe,
        secret: str,
        sealed: str,
        record: SessionRecord,
        seconds: float,
        delete: Callable[[], Awaitable[object]],
        *,
        is_whole: bool = True,
    ) -> None:
        super().__init__(record, None if is_whole else lambda: opened_record(safe, secret, sealed))
        self.over: bool = False
        self.store: Store = safe.store
        self._safe = safe
        self._secret = secret
        self._sealed = sealed
        self._seconds = seconds
        self._delete = delete

    @property
    def name(self) -> str:
        """What its lock is called."""
        return self._safe.key(self._secret)

    async def reread(self) -> bool:
        sealed = await self._safe.get(self._secret)
        record = opened_record(self._safe, self._secret, sealed)
        if sealed is None or record is None:
            return False
        self.record, self._sealed = record, sealed
        return True

    async def write(self, record: SessionRecord, fence: int) -> bool:
        text = record.dumps()
        sealed = await self._safe.replace(self._secret, self._sealed, text, self._seconds, fence)
        if sealed is None:
            return False
        self.record, self._sealed = record, sealed
        return True

    def check_writable(self) -> None:
        """The browser needs to get nothing."""

    async def end(self) -> None:
        self.over = True
        await self._delete()

    def renewed(self) -> None:
        """The store has what is new."""
