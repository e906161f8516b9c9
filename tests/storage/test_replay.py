"""ReplayGuard: the first use of a key, and no other, for all who share a cache."""

from __future__ import annotations

from typing import Any

import pytest

from reliant.storage import replay
from reliant.storage.replay import ReplayGuard
from tests.helpers.http import Clock


class Cache:
    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, int]] = {}

    def get(self, key: str) -> str | None:
        found = self.kept.get(key)
        return found and found[0]

    async def set(self, key: str, value: str, seconds: int) -> None:
        self.kept[key] = (value, seconds)

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


async def test_a_key_is_new_once() -> None:
    guard = ReplayGuard(clock=lambda: 0.0)
    assert await guard.first_use("a", 10)
    assert not await guard.first_use("a", 10)
    assert await guard.first_use("b", 10)


async def test_a_key_is_forgotten_after_its_time() -> None:
    clock = Clock()
    guard = ReplayGuard(clock=clock)
    now = clock()
    assert await guard.first_use("a", now + 10)
    clock.advance(11)
    assert await guard.first_use("a", now + 20)


async def test_a_key_may_be_forgotten_on_purpose() -> None:
    cache = Cache()
    guard = ReplayGuard(cache, clock=lambda: 0.0)
    held = await guard.hold("a")
    assert held is not None
    assert await guard.hold("a") is None
    await guard.forget(held)
    assert cache.kept == {}
    assert await guard.first_use("a", 10)


async def test_a_cache_that_gives_octets() -> None:
    class Octets(Cache):
        def get(self, key: str) -> Any:
            found = super().get(key)
            return found and found.encode()

    guard = ReplayGuard(Octets(), clock=lambda: 0.0)
    held = await guard.hold("a")
    assert held is not None
    await guard.forget(held)
    assert await guard.hold("a") is not None


@pytest.mark.parametrize("cache", [None, Cache()])
async def test_who_took_too_long_forgets_nothing_of_another(cache: Cache | None) -> None:
    clock = Clock()
    workers = [ReplayGuard(cache, clock)] * 2 if cache is None else [
        ReplayGuard(cache, clock), ReplayGuard(cache, clock)
    ]  # fmt: skip
    slow = await workers[0].hold("a")
    assert slow is not None
    clock.advance(replay.HOLD + 1)
    if cache is not None:
        cache.kept.clear()  # its time is over
    other = await workers[1].hold("a")
    assert other is not None
    await workers[0].use(slow, clock() + 600)
    await workers[1].forget(other)
    assert [await worker.hold("a") for worker in workers] == [None, None]


async def test_workers_that_share_a_cache_share_what_was_used() -> None:
    cache = Cache()
    one, other = (ReplayGuard(cache, clock=lambda: 0.0) for _ in range(2))
    assert await one.first_use("a", 10)
    assert [(key, seconds) for key, (_, seconds) in cache.kept.items()] == [("_used_a", 10)]
    assert not await other.first_use("a", 10)


async def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MAX_KEPT", 3)
    guard = ReplayGuard(clock=lambda: 0.0)
    for key in "abcdef":
        assert await guard.first_use(key, 10)
    assert [await guard.first_use(key, 10) for key in "fed"] == [False] * 3
