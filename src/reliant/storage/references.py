"""Texts to be fetched once, by a reference that can't be guessed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from reliant.protocol.values import random_token
from reliant.storage.calls import call
from reliant.storage.room import make_room

__all__ = ["References"]

MAX_KEPT = 10_000


class References:
    """Keeps texts for a short while: in this process, or for all workers in ``cache``.

    ``lifetime``: seconds; ``cache``: ``get``, ``set`` and ``delete`` as everywhere; with ``getdel``
    too a text is given out once among all workers, to the instant.
    """

    def __init__(
        self, lifetime: int = 60, cache: Any = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._lifetime = lifetime
        self._cache = cache
        self._clock = clock
        self._kept: dict[str, tuple[float, str]] = {}

    async def keep(self, text: str) -> str:
        """Keep ``text`` and return its reference."""
        reference = random_token(24)
        if self._cache is not None:
            await call(self._cache.set, f"_reference_{reference}", text, self._lifetime)
            return reference
        now = self._clock()
        make_room(self._kept, MAX_KEPT, lambda entry: entry[0] <= now)
        self._kept[reference] = (now + self._lifetime, text)
        return reference

    async def take(self, reference: str) -> str | None:
        """The text of a reference, once; None where there is none or its time is over."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{32}", reference):
            return None  # a stranger wrote it, and not every cache takes any key
        if self._cache is not None:
            key = f"_reference_{reference}"
            if hasattr(self._cache, "getdel"):
                text = await call(self._cache.getdel, key)
            else:
                text = await call(self._cache.get, key)
                await call(self._cache.delete, key)
            return text.decode() if isinstance(text, bytes) else text
        end, text = self._kept.pop(reference, (0.0, ""))
        return text if end > self._clock() else None
