"""What was ended, and when, by one clock for all workers: so that no login slips through."""

from __future__ import annotations

from collections.abc import Sequence

from reliant.storage.safe import Safe

__all__ = ["Ended"]


class Ended:
    """Marks on groups of sessions, in the store of ``safe``, which names them."""

    def __init__(self, safe: Safe) -> None:
        self._safe = safe

    async def mark(self, who: Sequence[str], seconds: float) -> None:
        """End what a group holds so far; remember that for ``seconds``."""
        now = await self._safe.store.time()
        await self._safe.store.advance(self._names(who)[0], now, seconds)

    async def reach(self, groups: Sequence[Sequence[str]], begun: float) -> bool:
        """Tell whether one of ``groups`` was ended since ``begun``, a time of the store's clock."""
        names = [name for who in groups for name in self._names(who)]
        marks = await self._safe.store.get_many(names)
        return any(mark is not None and begun <= float(mark) for mark in marks)

    def _names(self, who: Sequence[str]) -> list[str]:
        return self._safe.names("ended", *who)
