"""Real Redis servers for the stores: one alone, and a Cluster of three."""

from collections.abc import Iterator

import pytest

from tests.helpers.redis import RedisServer, redis_cluster, redis_server


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A test that uses it is marked `needs("redis-server")`."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of one server of a Cluster."""
    with redis_cluster() as url:
        yield url
