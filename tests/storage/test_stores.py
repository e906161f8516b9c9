"""What every store promises, in memory, in a real Redis and in a real Cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import pytest

from reliant.login import Store
from tests.helpers.stores import STORES, new_store


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    store = new_store(request.param, request)
    yield store
    await store.aclose()


async def at_once(count: int, call: Callable[[], Awaitable[object]]) -> list[object]:
    """What `count` calls return that run at the same time."""
    answers: list[object] = []

    async def one() -> None:
        answers.append(await call())

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return answers


async def until(expected: object, look: Callable[[], Awaitable[object]]) -> None:
    """Wait until `look` sees what is expected: the time of something is over."""
    deadline = anyio.current_time() + 5
    while await look() != expected:
        assert anyio.current_time() < deadline
        await anyio.sleep(0.01)


async def gone(look: Callable[[], Awaitable[object]]) -> None:
    """Wait until nothing is there any more."""
    await until(None, look)


class TestTexts:
    async def test_set_and_get(self, store: Store) -> None:
        assert await store.get("a") is None
        await store.set("a", "ünïcode\n", 60)
        assert await store.get("a") == "ünïcode\n"
        await store.set("a", "other", 60)
        assert await store.get("a") == "other"

    async def test_delete(self, store: Store) -> None:
        await store.set("a", "1", 60)
        await store.delete("a")
        assert await store.get("a") is None
        await store.delete("a")

    async def test_a_text_ends_with_its_time(self, store: Store) -> None:
        await store.set("a", "1", 0.05)
        await gone(lambda: store.get("a"))

    async def test_a_read_renews_the_time(self, store: Store) -> None:
        await store.set("a", "1", 0.3)
        assert await store.get("a", renew=60) == "1"
        await anyio.sleep(0.35)
        assert await store.get("a") == "1"

    async def test_a_read_can_shorten_the_time(self, store: Store) -> None:
        await store.set("a", "1", 60)
        assert await store.get("a", renew=0.05) == "1"
        await gone(lambda: store.get("a"))

    async def test_many_at_once(self, store: Store) -> None:
        await store.set("a", "1", 60)
        await store.set("c", "3", 60)
        assert await store.get_many(["a", "b", "c"]) == ["1", None, "3"]
        assert await store.get_many([]) == []

    async def test_add_only_where_there_is_none(self, store: Store) -> None:
        assert await store.add("a", "1", 60) is True
        assert await store.add("a", "2", 60) is False
        assert await store.add("a", "1", 60) is True  # a call whose answer got lost
        assert await store.get("a") == "1"

    async def test_an_added_text_ends_with_its_time(self, store: Store) -> None:
        await store.add("a", "1", 0.05)
        await gone(lambda: store.get("a"))
        assert await store.add("a", "2", 60) is True

    async def test_a_number_only_grows(self, store: Store) -> None:
        """Also where the call with the smaller one is late."""
        number = 1700000000.123456
        await store.advance("a", number, 60)
        await store.advance("a", number - 1e-6, 60)
        assert float(await store.get("a") or 0) == number
        await store.advance("a", number + 1e-6, 0.05)
        assert float(await store.get("a") or 0) == number + 1e-6
        await gone(lambda: store.get("a"))

    async def test_of_many_who_take_one_gets_it(self, store: Store) -> None:
        await store.set("a", "1", 60)
        assert sorted(map(str, await at_once(20, lambda: store.getdel("a")))) == [
            "1",
            *(["None"] * 19),
        ]

    async def test_more_calls_at_once_than_connections(self, store: Store) -> None:
        await store.set("a", "1", 60)
        assert await at_once(300, lambda: store.get("a")) == ["1"] * 300


class TestCollections:
    async def test_members(self, store: Store) -> None:
        assert await store.members("c") == []
        for member in ("x", "y", "x"):
            await store.collect("c", member, 60)
        assert sorted(await store.members("c")) == ["x", "y"]
        await store.discard("c", ["x", "z"])
        assert await store.members("c") == ["y"]
        await store.discard("c", [])
        await store.discard("c", ["y"])
        assert await store.members("c") == []

    async def test_each_member_has_a_time_of_its_own(self, store: Store) -> None:
        await store.collect("c", "long", 60)
        await store.collect("c", "short", 0.05)
        await until(["long"], lambda: store.members("c"))

    async def test_a_collection_ends_with_its_last_member(self, store: Store) -> None:
        await store.collect("c", "x", 0.05)
        await until([], lambda: store.members("c"))


class TestLocks:
    async def test_one_holder_at_a_time(self, store: Store) -> None:
        first = await store.acquire("k", "one", 60)
        assert first is not None
        assert await store.acquire("k", "two", 60) is None
        await store.release("k", "two")  # not the holder's
        assert await store.acquire("k", "two", 60) is None
        await store.release("k", "one")
        second = await store.acquire("k", "two", 60)
        assert second is not None
        assert second.fence > first.fence
        assert not first.interrupted
        assert not second.interrupted

    async def test_the_same_holder_may_ask_again(self, store: Store) -> None:
        first = await store.acquire("k", "one", 60)
        again = await store.acquire("k", "one", 60)
        assert first is not None
        assert again is not None
        assert first.fence == again.fence

    async def test_a_lock_runs_out_and_the_next_holder_learns_of_it(self, store: Store) -> None:
        first = await store.acquire("k", "one", 0.05)
        await anyio.sleep(0.1)
        second = await store.acquire("k", "two", 60)
        assert first is not None
        assert second is not None
        assert second.fence > first.fence
        assert second.interrupted
        assert await store.prolong("k", "one", 60) is False

    async def test_a_lock_is_prolonged(self, store: Store) -> None:
        await store.acquire("k", "one", 0.2)
        assert await store.prolong("k", "one", 60) is True
        await anyio.sleep(0.25)
        assert await store.acquire("k", "two", 60) is None

    async def test_of_many_one_gets_it(self, store: Store) -> None:
        owners = iter(range(30))
        claims = await at_once(30, lambda: store.acquire("k", f"owner-{next(owners)}", 60))
        assert sum(claim is not None for claim in claims) == 1


class TestReplace:
    async def test_what_was_read_is_replaced(self, store: Store) -> None:
        await store.set("k", "old", 60)
        claim = await store.acquire("k", "one", 60)
        assert claim is not None
        assert await store.replace("k", "old", "new", 60, claim.fence) is True
        assert await store.get("k") == "new"
        # A call whose answer got lost.
        assert await store.replace("k", "old", "new", 60, claim.fence) is True

    async def test_what_another_has_written_stays(self, store: Store) -> None:
        await store.set("k", "old", 60)
        claim = await store.acquire("k", "one", 60)
        assert claim is not None
        await store.set("k", "theirs", 60)
        assert await store.replace("k", "old", "new", 60, claim.fence) is False
        assert await store.get("k") == "theirs"

    async def test_what_was_deleted_stays_so(self, store: Store) -> None:
        await store.set("k", "old", 60)
        claim = await store.acquire("k", "one", 60)
        assert claim is not None
        await store.delete("k")
        assert await store.replace("k", "old", "new", 60, claim.fence) is False
        assert await store.get("k") is None

    async def test_a_holder_whose_lock_ran_out_writes_no_more(self, store: Store) -> None:
        await store.set("k", "old", 60)
        first = await store.acquire("k", "one", 0.05)
        assert first is not None
        await anyio.sleep(0.1)
        second = await store.acquire("k", "two", 60)
        assert second is not None
        assert await store.replace("k", "old", "late", 60, first.fence) is False
        assert await store.replace("k", "old", "new", 60, second.fence) is True

    async def test_who_wrote_was_not_interrupted(self, store: Store) -> None:
        await store.set("k", "old", 60)
        claim = await store.acquire("k", "one", 0.05)
        assert claim is not None
        await store.replace("k", "old", "new", 60, claim.fence)
        await anyio.sleep(0.1)
        after = await store.acquire("k", "two", 60)
        assert after is not None
        assert not after.interrupted

    async def test_a_replaced_text_ends_with_its_time(self, store: Store) -> None:
        await store.set("k", "old", 60)
        claim = await store.acquire("k", "one", 60)
        assert claim is not None
        await store.replace("k", "old", "new", 0.05, claim.fence)
        await gone(lambda: store.get("k"))


async def test_the_clock_goes_forward(store: Store) -> None:
    first = await store.time()
    assert first > 1_700_000_000
    assert await store.time() > first


async def test_a_store_goes_on_after_it_was_closed(store: Store) -> None:
    await store.set("a", "1", 60)
    await store.aclose()
    assert await store.get("a") == "1"
