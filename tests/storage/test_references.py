"""References: a text for a reference, once, for a short while."""

from __future__ import annotations

import pytest

from reliant.storage import references
from reliant.storage.references import References
from tests.helpers.http import Clock
from tests.storage.test_replay import Cache


async def test_a_reference_is_good_once() -> None:
    kept = References()
    reference = await kept.keep("text")
    assert len(reference) == 32
    assert await kept.take(reference) == "text"
    assert await kept.take(reference) is None


async def test_a_reference_has_its_time() -> None:
    clock = Clock()
    kept = References(60, clock=clock)
    late, soon = await kept.keep("late"), await kept.keep("soon")
    clock.advance(59)
    assert await kept.take(soon) == "soon"
    clock.advance(1)
    assert await kept.take(late) is None


async def test_a_reference_that_nobody_made_is_none() -> None:
    assert await References().take("x") is None


async def test_with_a_cache_any_worker_can_give_it_out_once() -> None:
    cache = Cache()
    reference = await References(60, cache).keep("text")
    assert [seconds for _, seconds in cache.kept.values()] == [60]
    assert await References(60, cache).take(reference) == "text"
    assert await References(60, cache).take(reference) is None


async def test_what_is_kept_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "MAX_KEPT", 2)
    kept = References()
    made = [await kept.keep(text) for text in "abc"]
    assert [await kept.take(reference) for reference in made] == [None, "b", "c"]
