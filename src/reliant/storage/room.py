"""Room in what a process keeps for a while: what has ended goes, and the oldest of too many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["make_room"]

K = TypeVar("K")
V = TypeVar("V")


def make_room(kept: dict[K, V], limit: int, has_ended: Callable[[V], bool]) -> None:
    """Drop the oldest of ``kept`` until one that has not ended, with room for one more.

    ``limit``: how many are kept at most. The rest is not looked at, however many there are.
    """
    while kept:
        oldest = next(iter(kept))
        if len(kept) < limit and not has_ended(kept[oldest]):
            return
        del kept[oldest]
