"""Cached: how long a document is kept, and what happens while its source is down."""

from __future__ import annotations

import gc
import logging
from typing import Any

import anyio
import pytest

from reliant.errors import ProviderError
from reliant.http import cached as module
from reliant.http.cached import (
    COOLDOWN,
    DEFAULT_TTL,
    MAX_TTL,
    MIN_TTL,
    RETRY_AFTER,
    STALE_FOR,
    Cached,
    lifetime_of,
)
from tests.helpers.http import Clock

DOWN = ProviderError(code="http.connection")


class Source:
    """A document that counts how often it is fetched."""

    def __init__(self, document: Any = "one", lifetime: float = 100) -> None:
        self.document, self.lifetime = document, lifetime
        self.fetches = 0

    async def __call__(self) -> tuple[Any, float]:
        self.fetches += 1
        await anyio.lowlevel.checkpoint()
        if isinstance(self.document, Exception):
            raise self.document
        return self.document, self.lifetime


def new(source: Source, now: float = 0) -> tuple[Cached[Any], Clock]:
    clock = Clock(now)
    return Cached(source, clock), clock


async def get_all(cached: Cached[Any], times: int) -> list[Any]:
    results: list[Any] = []

    async def get() -> None:
        try:
            results.append(await cached.get())
        except ProviderError as exc:
            results.append(exc)

    async with anyio.create_task_group() as tasks:
        for _ in range(times):
            tasks.start_soon(get)
    return results


# -- time to live --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        (None, DEFAULT_TTL),
        ("", DEFAULT_TTL),
        ("public", DEFAULT_TTL),
        ("max-age=600", 600),
        ("Public, Max-Age=600, must-revalidate", 600),
        ("public,max-age=600", 600),
        ("max-age=0", MIN_TTL),
        ("max-age=59", MIN_TTL),
        ("max-age=61", 61),
        ("max-age=86401", MAX_TTL),
        ("max-age=9999999999", MAX_TTL),
        ("max-age=99999999999999999999", MAX_TTL),
        ("no-store", MIN_TTL),
        ("no-cache, max-age=600", MIN_TTL),
        ("s-maxage=600", DEFAULT_TTL),
        ("x-max-age=600", DEFAULT_TTL),
        ("max-age=-1", DEFAULT_TTL),
        ("max-age=soon", DEFAULT_TTL),
    ],
)
def test_the_lifetime_is_that_of_cache_control_within_bounds(
    control: str | None, seconds: float
) -> None:
    headers = {} if control is None else {"cache-control": control}
    assert lifetime_of(headers) == seconds


async def test_a_document_is_fetched_once_in_its_lifetime() -> None:
    cached, clock = new(source := Source())
    assert await cached.get() == "one"
    clock.advance(99.9)
    source.document = "two"
    assert await cached.get() == "one"
    assert source.fetches == 1
    clock.advance(0.1)
    assert await cached.get() == "two"
    assert source.fetches == 2


async def test_a_clock_that_starts_at_zero_serves_nothing_unfetched() -> None:
    """time.monotonic() may be small just after a machine's start."""
    cached, _ = new(source := Source(), now=-5)
    assert await cached.get() == "one"
    assert source.fetches == 1


async def test_a_thousand_who_ask_while_it_is_cold_cost_one_fetch() -> None:
    cached, _ = new(source := Source())
    assert await get_all(cached, 1000) == ["one"] * 1000
    assert source.fetches == 1


async def test_a_thousand_who_ask_while_it_is_down_cost_one_fetch() -> None:
    cached, _ = new(source := Source(DOWN))
    errors = await get_all(cached, 1000)
    assert {error.code for error in errors} == {"http.connection"}
    assert source.fetches == 1


async def test_fetch_fetches_whatever_is_kept() -> None:
    cached, _ = new(source := Source())
    await cached.get()
    source.document = "two"
    assert await cached.fetch() == "two"
    assert await cached.get() == "two"
    assert source.fetches == 2


# -- while the source is down --------------------------------------------------------------------


async def test_a_cold_failure_is_raised_and_tried_again() -> None:
    cached, _ = new(source := Source(DOWN))
    with pytest.raises(ProviderError):
        await cached.get()
    source.document = "one"
    assert await cached.get() == "one"


async def test_a_document_past_its_time_is_kept_while_the_source_is_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cached, clock = new(source := Source())
    await cached.get()
    source.document = DOWN
    clock.advance(100)
    with caplog.at_level(logging.WARNING, "reliant"):
        assert await cached.get() == "one"
    assert caplog.messages == ["provider document kept past its time: code=http.connection"]


async def test_a_source_that_is_down_is_asked_every_ten_seconds_only() -> None:
    cached, clock = new(source := Source())
    await cached.get()
    source.document = DOWN
    clock.advance(100)
    for _ in range(5):
        await cached.get()
    assert source.fetches == 2
    clock.advance(RETRY_AFTER - 0.1)
    await cached.get()
    assert source.fetches == 2
    clock.advance(0.1)
    await cached.get()
    assert source.fetches == 3


async def test_a_source_that_is_back_is_picked_up() -> None:
    cached, clock = new(source := Source())
    await cached.get()
    source.document = DOWN
    clock.advance(100)
    await cached.get()
    source.document = "two"
    clock.advance(RETRY_AFTER)
    assert await cached.get() == "two"
    clock.advance(99)
    assert await cached.get() == "two"
    assert source.fetches == 3


async def test_a_document_is_not_kept_for_ever() -> None:
    cached, clock = new(source := Source())
    await cached.get()
    source.document = DOWN
    clock.advance(100 + STALE_FOR - 1)
    assert await cached.get() == "one"
    clock.advance(RETRY_AFTER)
    with pytest.raises(ProviderError):
        await cached.get()
    assert cached.value == "one"
    source.document = "two"
    assert await cached.get() == "two"


async def test_a_forced_fetch_that_fails_leaves_the_document() -> None:
    cached, _ = new(source := Source())
    await cached.get()
    source.document = DOWN
    with pytest.raises(ProviderError):
        await cached.fetch()
    assert await cached.get() == "one"


# -- renewal -------------------------------------------------------------------------------------


async def test_what_did_not_serve_is_fetched_again_at_once() -> None:
    cached, _ = new(source := Source())
    seen = await cached.get()
    source.document = "two"
    assert await cached.renew(seen) == "two"
    assert source.fetches == 2


async def test_two_changes_a_second_apart_are_both_picked_up() -> None:
    cached, clock = new(source := Source())
    seen = await cached.get()
    for document in ("two", "three", "four"):
        clock.advance(1)
        source.document = document
        seen = await cached.renew(seen)
        assert seen == document
    assert source.fetches == 4


@pytest.mark.parametrize("document", ["one", DOWN], ids=["the same again", "down"])
async def test_a_renewal_that_brought_nothing_is_not_repeated_within_the_cooldown(
    document: Any,
) -> None:
    cached, clock = new(source := Source())
    seen = await cached.get()
    source.document = document
    for _ in range(100):
        assert await cached.renew(seen) is seen
    assert source.fetches == 2
    clock.advance(COOLDOWN - 0.1)
    assert await cached.renew(seen) is seen
    assert source.fetches == 2
    clock.advance(0.1)
    assert await cached.renew(seen) is seen
    assert source.fetches == 3


async def test_an_equal_document_is_the_same_object_as_before() -> None:
    cached, _ = new(source := Source({"keys": [1]}))
    seen = await cached.get()
    source.document = {"keys": [1]}
    assert await cached.renew(seen) is seen


async def test_who_saw_an_older_document_gets_the_newer_one_without_a_fetch() -> None:
    cached, _ = new(source := Source())
    seen = await cached.get()
    source.document = "two"
    await cached.renew(seen)
    assert await cached.renew(seen) == "two"
    assert source.fetches == 2


async def test_a_hundred_who_renew_at_once_cost_one_fetch() -> None:
    cached, _ = new(source := Source())
    seen = await cached.get()
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(cached.renew, seen)
    assert source.fetches == 2


async def test_those_who_waited_for_one_fetch_count_as_one_renewal() -> None:
    """Else a rotation under load starts the cooldown, and the next rotation waits for its end."""
    cached, _ = new(source := Source())
    seen = await cached.get()
    source.document = "two"
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(cached.renew, seen)
    source.document = "three"
    assert await cached.renew("two") == "three"
    assert source.fetches == 3


# -- what nobody asks for any more ----------------------------------------------------------------


@pytest.fixture
def holders(monkeypatch: pytest.MonkeyPatch) -> dict[Any, None]:
    """Who holds a document, without those of other tests."""
    none: dict[Any, None] = {}
    monkeypatch.setattr(module, "_HOLDERS", none)
    return none


async def test_a_document_past_all_use_is_dropped_when_another_is_fetched(
    holders: dict[Any, None],
) -> None:
    clock = Clock()
    idle, active, third = (Cached(Source(), clock) for _ in range(3))
    await idle.get()
    await active.get()
    clock.advance(100 + STALE_FOR - 1)
    await active.get()
    assert idle.value == "one"
    clock.advance(1)
    await third.get()
    assert (idle.value, active.value) == (None, "one")
    assert await idle.get() == "one"
    assert len(holders) == 3


async def test_a_holder_that_is_gone_is_forgotten(holders: dict[Any, None]) -> None:
    for _ in range(5):
        await new(Source())[0].get()
    gc.collect()
    kept, _ = new(Source())
    for _ in range(5):
        await kept.fetch()
    assert list(holders) == [kept._reference]
