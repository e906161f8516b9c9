"""Work that goes on to its end, also where who asked for it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

__all__ = ["finished", "uninterrupted"]

T = TypeVar("T")

_running: set[asyncio.Task[Any]] = set()  # the loop itself keeps no task alive


async def uninterrupted(work: Callable[[], Awaitable[T]]) -> T:
    """Return what ``work`` returns; where the caller is cancelled, it goes on without them."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio, where only a scope can cancel
        results = []
        with anyio.CancelScope(shield=True):
            results.append(await work())
        return results[0]
    task = asyncio.ensure_future(_coroutine(work))
    _running.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


async def finished(seconds: float) -> None:
    """Wait until all such work of the running event loop is done, or for ``seconds``."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # trio, where nobody went on without it
        return
    here = [task for task in _running if task.get_loop() is loop]
    if here:
        await asyncio.wait(here, timeout=seconds)


async def _coroutine(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # the caller may be gone, and asyncio complains of errors nobody saw
