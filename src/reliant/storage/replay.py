"""Telling whether something is used for the first time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from reliant.storage.calls import call

__all__ = ["ReplayGuard"]

MAX_KEPT = 100_000


class ReplayGuard:
    """Remembers what was used: in this process, and for all workers in ``cache`` where given.

    ``cache``: ``get(key)``, ``set(key, value, seconds)``, ``delete(key)``, sync or async;
    ``clock``: a function returning Unix time.
    """

    def __init__(self, cache: Any = None, clock: Callable[[], float] = time.time) -> None:
        self._cache = cache
        self._clock = clock
        self._used: dict[str, float] = {}

    async def first_use(self, key: str, until: float) -> bool:
        """Tell whether ``key`` is new, and remember it ``until`` then (Unix time)."""
        now = self._clock()
        for old, end in list(self._used.items()):
            if end > now and len(self._used) < MAX_KEPT:
                break
            del self._used[old]
        if self._used.get(key, 0) > now:
            return False
        self._used[key] = until
        if self._cache is not None:
            if await call(self._cache.get, f"_used_{key}") is not None:
                return False
            await call(self._cache.set, f"_used_{key}", "1", max(1, int(until - now)))
        return True

    async def forget(self, key: str) -> None:
        """Let ``key`` be used again, for its use came to nothing."""
        self._used.pop(key, None)
        if self._cache is not None:
            await call(self._cache.delete, f"_used_{key}")
