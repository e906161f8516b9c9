"""SingleFlight: one call for all who ask meanwhile, whatever becomes of it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable

import anyio
import pytest

from reliant.errors import ProviderError
from reliant.http.single_flight import SingleFlight


class Call:
    """A call that waits until it is let go, and counts."""

    def __init__(self, *outcomes: object) -> None:
        self.count = 0
        self.outcomes = list(outcomes)
        self.started, self.go = anyio.Event(), anyio.Event()

    async def __call__(self) -> str:
        self.count += 1
        self.started.set()
        await self.go.wait()
        outcome = self.outcomes.pop(0) if self.outcomes else "result"
        if isinstance(outcome, BaseException):
            raise outcome
        return str(outcome)


async def collect(
    flight: SingleFlight[str], call: Callable[[], Awaitable[str]], key: str, results: list[object]
) -> None:
    try:
        results.append(await flight.share(key, call))
    except Exception as exc:
        results.append(exc)


async def test_a_thousand_who_ask_at_once_share_one_call() -> None:
    flight, call, results = SingleFlight[str](), Call(), list[object]()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(1000):
                tasks.start_soon(collect, flight, call, "key", results)
            await call.started.wait()
            call.go.set()
    assert call.count == 1
    assert results == ["result"] * 1000


async def test_who_asks_later_gets_a_call_of_their_own() -> None:
    flight, call = SingleFlight[str](), Call("first", "second")
    call.go.set()
    assert [await flight.share("key", call), await flight.share("key", call)] == ["first", "second"]


async def test_other_keys_are_other_calls() -> None:
    flight, call, results = SingleFlight[str](), Call("a", "b"), list[object]()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, flight, call, "one", results)
            tasks.start_soon(collect, flight, call, "other", results)
            await call.started.wait()
            call.go.set()
    assert call.count == 2
    assert sorted(map(str, results)) == ["a", "b"]


async def test_a_failure_is_shared_each_with_a_copy_that_keeps_the_cause() -> None:
    cause = OSError("reset")
    error = ProviderError(description="Down.", code="http.connection")
    error.__cause__ = cause
    flight, call, results = SingleFlight[str](), Call(error), list[object]()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(collect, flight, call, "key", results)
            await call.started.wait()
            call.go.set()
    assert call.count == 1
    assert len({id(result) for result in results}) == 100
    for result in results:
        assert isinstance(result, ProviderError)
        assert result.code == "http.connection"
        assert "OSError: reset" in "".join(traceback.format_exception(result))


async def test_a_failure_is_not_kept() -> None:
    flight, call = SingleFlight[str](), Call(ProviderError(), "result")
    call.go.set()
    with pytest.raises(ProviderError):
        await flight.share("key", call)
    assert await flight.share("key", call) == "result"


async def test_when_the_caller_is_cancelled_another_takes_over() -> None:
    flight, call, results = SingleFlight[str](), Call(), list[object]()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            leader = anyio.CancelScope()

            async def lead() -> None:
                with leader:
                    await flight.share("key", call)

            tasks.start_soon(lead)
            await call.started.wait()
            for _ in range(10):
                tasks.start_soon(collect, flight, call, "key", results)
            await anyio.wait_all_tasks_blocked()
            leader.cancel()
            await anyio.wait_all_tasks_blocked()
            assert call.count == 2
            call.go.set()
    assert call.count == 2
    assert results == ["result"] * 10


async def test_a_bug_in_the_call_reaches_its_caller_and_leaves_nobody_waiting() -> None:
    flight, call, results = SingleFlight[str](), Call(ValueError("bug"), "result"), list[object]()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(collect, flight, call, "key", results)
            await call.started.wait()
            call.go.set()
    assert [type(result) for result in results] == [ValueError, str, str]


async def test_a_result_that_is_false_is_a_result() -> None:
    flight, call, results = SingleFlight[str](), Call(""), list[object]()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(collect, flight, call, "key", results)
            await call.started.wait()
            call.go.set()
    assert (call.count, results) == (1, ["", "", ""])


def test_one_object_serves_many_event_loops() -> None:
    flight = SingleFlight[str]()

    async def ask(text: str) -> str:
        async def call() -> str:
            return text

        return await flight.share("key", call)

    assert [asyncio.run(ask(text)) for text in "abc"] == ["a", "b", "c"]
    assert anyio.run(ask, "d", backend="trio") == "d"
