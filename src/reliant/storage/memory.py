"""A store in the memory of one process."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from reliant.storage.room import make_room
from reliant.storage.store import Claim, Store

__all__ = ["MemoryStore"]

FENCE_KEPT = 24 * 3600  # seconds; far more than a holder of a lock can be late
MAX_MEMBERS = 100_000  # of a collection; the oldest give way
SWEPT = 4  # expired entries dropped at each write: more than one, so that they can't pile up

T = TypeVar("T")


class MemoryStore(Store):
    """A ``Store`` for one process: for development, tests, and apps with a single worker.

    It is empty when the process starts. ``clock``: a function returning Unix time, for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._texts: _Expiring[str] = _Expiring(clock)
        self._collections: _Expiring[dict[str, float]] = _Expiring(clock)
        self._locks: _Expiring[tuple[str, Claim]] = _Expiring(clock)
        self._fences: _Expiring[tuple[int, bool]] = _Expiring(clock)  # and whether it was used
        self._last_fence = 0

    async def get(self, key: str, *, renew: float | None = None) -> str | None:
        text = self._texts.get(key)
        if text is not None and renew is not None:
            self._texts.set(key, text, renew)
        return text

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        return [self._texts.get(key) for key in keys]

    async def set(self, key: str, value: str, seconds: float) -> None:
        self._texts.set(key, value, seconds)

    async def add(self, key: str, value: str, seconds: float) -> bool:
        if self._texts.get(key) is None:
            self._texts.set(key, value, seconds)
        return self._texts.get(key) == value

    async def advance(self, key: str, number: float, seconds: float) -> None:
        there = self._texts.get(key)
        if there is None or float(there) < number:
            self._texts.set(key, repr(number), seconds)

    async def getdel(self, key: str) -> str | None:
        return self._texts.pop(key)

    async def delete(self, key: str) -> None:
        self._texts.pop(key)

    async def collect(self, key: str, member: str, seconds: float) -> None:
        now, found = self._clock(), self._collections.get(key) or {}
        make_room(found, MAX_MEMBERS, lambda end: end <= now)
        found.pop(member, None)  # or it would stay where it was
        found[member] = now + seconds
        self._collections.set(key, found, max(seconds, self._collections.left(key)))

    async def members(self, key: str) -> list[str]:
        now = self._clock()
        return [one for one, end in (self._collections.get(key) or {}).items() if end > now]

    async def discard(self, key: str, members: Sequence[str]) -> None:
        found = self._collections.get(key) or {}
        for member in members:
            found.pop(member, None)
        if not found:
            self._collections.pop(key)

    async def acquire(self, key: str, owner: str, seconds: float) -> Claim | None:
        held = self._locks.get(key)
        if held is not None and held[0] != owner:
            return None
        if held is None:
            before = self._fences.get(key)
            self._last_fence += 1
            held = owner, Claim(self._last_fence, before is not None and not before[1])
            self._fences.set(key, (self._last_fence, False), FENCE_KEPT)
        self._locks.set(key, held, seconds)
        return held[1]

    async def prolong(self, key: str, owner: str, seconds: float) -> bool:
        held = self._locks.get(key)
        if held is None or held[0] != owner:
            return False
        self._locks.set(key, held, seconds)
        return True

    async def release(self, key: str, owner: str) -> None:
        held = self._locks.get(key)
        if held is not None and held[0] == owner:
            self._locks.pop(key)
            self._fences.set(key, (held[1].fence, True), FENCE_KEPT)

    async def replace(self, key: str, old: str, new: str, seconds: float, fence: int) -> bool:
        if self._texts.get(key) == new:
            return True
        last = self._fences.get(key)
        if self._texts.get(key) != old or last is None or last[0] != fence:
            return False
        self._texts.set(key, new, seconds)
        self._fences.set(key, (fence, True), FENCE_KEPT)
        return True

    async def time(self) -> float:
        return self._clock()

    async def aclose(self) -> None:
        """Nothing to close: what is kept stays."""


@dataclass(slots=True)
class _Entry(Generic[T]):
    value: T
    end: float
    queued: float  # the end under which it waits to be dropped


class _Expiring(Generic[T]):
    """A dict whose entries have an end, and are dropped some time after it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry[T]] = {}
        self._queue: list[tuple[float, str]] = []

    def get(self, key: str) -> T | None:
        entry = self._entries.get(key)
        return entry.value if entry is not None and entry.end > self._clock() else None

    def left(self, key: str) -> float:
        """Seconds until the end of an entry."""
        entry = self._entries.get(key)
        return 0 if entry is None else entry.end - self._clock()

    def set(self, key: str, value: T, seconds: float) -> None:
        end = self._clock() + seconds
        entry = self._entries.get(key)
        if entry is None or end < entry.queued:
            heapq.heappush(self._queue, (end, key))
            self._entries[key] = _Entry(value, end, end)
        else:  # it waits where it is: a read that renews must not lengthen the queue
            entry.value, entry.end = value, end
        self._sweep()
        if len(self._queue) > 2 * len(self._entries) + SWEPT:  # of what was taken meanwhile
            self._queue = [(one.queued, key) for key, one in self._entries.items()]
            heapq.heapify(self._queue)

    def pop(self, key: str) -> T | None:
        value = self.get(key)
        self._entries.pop(key, None)
        return value

    def _sweep(self) -> None:
        now = self._clock()
        for _ in range(SWEPT):
            if not self._queue or self._queue[0][0] > now:
                return
            queued, key = heapq.heappop(self._queue)
            entry = self._entries.get(key)
            if entry is None or entry.queued != queued:
                continue  # it was taken, or waits in another place
            if entry.end > now:
                entry.queued = entry.end
                heapq.heappush(self._queue, (entry.end, key))
            else:
                del self._entries[key]
