"""Telling whether something is used for the first time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from reliant.protocol.values import s256
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
        if self._used.get(key, 0) > now:
            return False
        for old, end in list(self._used.items()):
            if end > now and len(self._used) < MAX_KEPT:
                break
            del self._used[old]
        self._used[key] = until
        if self._cache is not None:
            if await call(self._cache.get, _name(key)) is not None:
                return False
            await call(self._cache.set, _name(key), "1", max(1, int(until - now)))
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
