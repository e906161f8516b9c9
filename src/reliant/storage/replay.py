"""Telling whether something is used for the first time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

from reliant.protocol.values import random_token, s256
from reliant.storage.calls import call
from reliant.storage.room import make_room

__all__ = ["Held", "ReplayGuard"]

MAX_KEPT = 100_000
HOLD = 15.0  # seconds that a use may take; one that was cut off may be tried again after them


class Held(NamedTuple):
    """A key that nobody else can use for the moment.

    ``until``: Unix time; ``value``: what stands for it in the cache.
    """

    key: str
    until: float
    value: str


class ReplayGuard:
    """Remembers what was used: in this process, and for all workers in ``cache`` where given.

    ``cache``: ``get(key)``, ``set(key, value, seconds)``, ``delete(key)``, sync or async, and
    ``add(key, value, seconds)`` where it can tell who is first, to the instant; ``clock``: a
    function returning Unix time.
    """

    def __init__(self, cache: Any = None, clock: Callable[[], float] = time.time) -> None:
        self._cache = cache
        self._clock = clock
        self._used: dict[str, float] = {}

    async def first_use(self, key: str, until: float) -> bool:
        """Tell whether ``key`` is new, and remember it ``until`` then (Unix time)."""
        return await self._take(key, until) is not None

    async def hold(self, key: str) -> Held | None:
        """Keep others off ``key`` until it is used, or for a while; None where it is not new."""
        return await self._take(key, self._clock() + HOLD)

    async def use(self, held: Held, until: float) -> None:
        """Remember what is held ``until`` then (Unix time)."""
        self._used[held.key] = until
        if self._cache is not None:
            seconds = max(1, int(until - self._clock()))
            await call(self._cache.set, _name(held.key), "1", seconds)

    async def forget(self, held: Held) -> None:
        """Let what is held be used again, for its use came to nothing."""
        # Unless it took so long that another one has it.
        if self._used.get(held.key) == held.until:
            del self._used[held.key]
        if self._cache is not None:
            there = await call(self._cache.get, _name(held.key))
            if there in (held.value, held.value.encode()):  # as redis-py has it, octets
                await call(self._cache.delete, _name(held.key))

    async def _take(self, key: str, until: float) -> Held | None:
        now = self._clock()
        if self._used.get(key, 0) > now:
            return None
        make_room(self._used, MAX_KEPT, lambda end: end <= now)
        self._used[key] = until
        held = Held(key, until, "" if self._cache is None else random_token(12))
        try:
            is_first = self._cache is None or await self._add(held, max(1, int(until - now)))
        except BaseException:
            self._used.pop(key, None)
            raise
        return held if is_first else None

    async def _add(self, held: Held, seconds: int) -> bool:
        name = _name(held.key)
        if hasattr(self._cache, "add"):  # atomic, so that of two workers only one is first
            return bool(await call(self._cache.add, name, held.value, seconds))
        if await call(self._cache.get, name) is not None:
            return False
        await call(self._cache.set, name, held.value, seconds)
        return True


def _name(key: str) -> str:
    """The cache's key: not every cache takes one of any length or with any character."""
    plain = re.fullmatch(r"[A-Za-z0-9._~-]{1,128}", key)
    return f"_used_{key if plain else s256(quote(key, errors='replace'))}"
