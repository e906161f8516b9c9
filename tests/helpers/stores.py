"""Every kind of store, for tests that all of them must pass."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from redis.asyncio import Redis, RedisCluster

from reliant.login import MemoryStore, RedisStore, Store

__all__ = ["STORES", "new_store"]

_NEEDS_REDIS = pytest.mark.needs("redis-server")
STORES = [
    "memory",
    pytest.param("redis", marks=_NEEDS_REDIS),
    pytest.param("redis-text", marks=_NEEDS_REDIS),
    pytest.param("cluster", marks=_NEEDS_REDIS),
]


def new_store(
    kind: str, request: pytest.FixtureRequest, clock: Callable[[], float] = time.time
) -> Store:
    """A store of a kind; those in Redis share the server, each with keys of its own.

    `clock`: tells the time to the one in memory; Redis has its own.
    """
    if kind == "memory":
        return MemoryStore(clock)
    prefix = f"{request.node.name}:".translate(str.maketrans("[]", "()"))
    if kind == "cluster":
        url = request.getfixturevalue("cluster")
        return RedisStore(lambda: RedisCluster.from_url(url), prefix=prefix)
    url = request.getfixturevalue("redis").url
    if kind == "redis-text":  # a client that an app made, which answers with text
        return RedisStore(lambda: Redis.from_url(url, decode_responses=True), prefix=prefix)
    return RedisStore.from_url(url, prefix=prefix)
