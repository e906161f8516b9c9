"""Telling whether something is used for the first time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from reliant.protocol.values import random_token, s256
from reliant.storage.calls import call
from reliant.storage.room import make_room

__all__ = ["ReplayGuard"]

MAX_KEPT = 100_000
HELD = 15.0  # seconds that a use may take; one that was cut off may be tried again after them


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
        now = self._clock()
        if self._used.get(key, 0) > now:
            return False
        make_room(self._used, MAX_KEPT, lambda end: end <= now)
        self._used[key] = until
        try:
            return self._cache is None or await self._add(_name(key), max(1, int(until - now)))
        except BaseException:
            self._used.pop(key, None)
            raise

    async def hold(self, key: str) -> bool:
        """Tell whether ``key`` is new, and keep others off it until it is used, or for a while."""
        return await self.first_use(key, self._clock() + HELD)

    async def use(self, key: str, until: float) -> None:
        """Remember ``key``, which is held, ``until`` then (Unix time)."""
        self._used[key] = until
        if self._cache is not None:
            seconds = max(1, int(until - self._clock()))
            await call(self._cache.set, _name(key), "1", seconds)

    async def _add(self, name: str, seconds: int) -> bool:
        if hasattr(self._cache, "add"):  # atomic, so that of two workers only one is first
            return bool(await call(self._cache.add, name, random_token(12), seconds))
        if await call(self._cache.get, name) is not None:
            return False
        await call(self._cache.set, name, "1", seconds)
        return True

    async def forget(self, key: str) -> None:
        """Let ``key`` be used again, for its use came to nothing."""
        self._used.pop(key, None)
        if self._cache is not None:
            await call(self._cache.delete, _name(key))


def _name(key: str) -> str:
    """The cache's key: not every cache takes one of any length or with any character."""
    plain = re.fullmatch(r"[A-Za-z0-9._~-]{1,128}", key)
    return f"_used_{key if plain else s256(quote(key, errors='replace'))}"
