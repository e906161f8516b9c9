"""make_room: what has ended goes, the oldest of too many goes, and nothing else is looked at."""

from __future__ import annotations

import pytest

from reliant.storage.room import make_room


def ended(end: int) -> bool:
    return end <= 10


@pytest.mark.parametrize(
    ("ends", "left"),
    [
        ([], []),
        ([11, 12], [11, 12]),
        ([9, 10, 11], [11]),
        ([8, 9, 10], []),
        ([11, 9, 12], [11, 9, 12]),  # it stands behind one that has not ended: its turn will come
        ([11, 12, 13, 14], [12, 13, 14]),
        ([11, 12, 13, 14, 15], [13, 14, 15]),
    ],
)
def test_what_is_left(ends: list[int], left: list[int]) -> None:
    kept = dict(enumerate(ends))
    make_room(kept, 4, ended)
    assert list(kept.values()) == left


def test_it_costs_the_same_however_much_is_kept() -> None:
    """A copy of all that is kept once cost a login more, the more logins went before it."""
    looked_at: list[int] = []

    def count(end: int) -> bool:
        looked_at.append(end)
        return False

    make_room(dict.fromkeys(range(100_000), 1), 200_000, count)
    assert len(looked_at) == 1
