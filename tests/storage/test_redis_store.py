"""What a store in Redis does when Redis is away, refuses, restarts, or fails over."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
import redis as redis_package
from redis.asyncio import Redis, Sentinel

from reliant import ConfigurationError, StoreError
from reliant.login import RedisStore
from tests.helpers.redis import RedisServer, free_ports, redis_sentinel, redis_server
from tests.helpers.stores import new_store

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that the test may stop; what it holds survives."""
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture
async def store(own_redis: RedisServer) -> AsyncIterator[RedisStore]:
    store = RedisStore.from_url(own_redis.url)
    yield store
    await store.aclose()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call waits for half a second for a server that is away."""
    monkeypatch.setattr("reliant.storage.redis.PATIENCE", 0.5)


@pytest.mark.usefixtures("impatient")
class TestAway:
    async def test_it_says_so_and_never_that_nothing_is_there(
        self, store: RedisStore, own_redis: RedisServer
    ) -> None:
        await store.set("a", "1", 60)
        own_redis.stop()
        started = time.monotonic()
        with pytest.raises(StoreError) as caught:
            await store.get("a")
        assert 0.2 < time.monotonic() - started < 5  # it waited for a moment
        assert caught.value.code == "store.unavailable"
        assert caught.value.status_hint == 503
        assert "Check that the Redis server runs" in caught.value.description

    async def test_each_call_says_so(self, store: RedisStore, own_redis: RedisServer) -> None:
        own_redis.stop()
        with pytest.raises(StoreError):
            await store.get("a")
        calls: list[Any] = [
            lambda: store.get("a", renew=1), lambda: store.get_many(["a", "b"]),
            lambda: store.set("a", "1", 1), lambda: store.add("a", "1", 1),
            lambda: store.getdel("a"), lambda: store.delete("a"),
            lambda: store.collect("a", "m", 1), lambda: store.members("a"),
            lambda: store.discard("a", ["m"]), lambda: store.acquire("a", "me", 1),
            lambda: store.prolong("a", "me", 1), lambda: store.release("a", "me"),
            lambda: store.replace("a", "1", "2", 1, 1), store.time,
        ]  # fmt: skip
        started = time.monotonic()
        for call in calls:
            with pytest.raises(StoreError):
                await call()
        # Once it is known to be away, nobody waits for it any more.
        assert time.monotonic() - started < 0.4

    async def test_a_restart_is_bridged(
        self, store: RedisStore, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()
        await store.set("a", "1", 60)
        own_redis.stop()

        async def come_back() -> None:
            await anyio.sleep(0.3)
            await anyio.to_thread.run_sync(own_redis.start)

        async with anyio.create_task_group() as group:
            group.start_soon(come_back)
            assert await asyncio.gather(*(store.get("a") for _ in range(50))) == ["1"] * 50

    async def test_it_is_back(self, store: RedisStore, own_redis: RedisServer) -> None:
        await store.set("a", "1", 60)
        own_redis.stop()
        with pytest.raises(StoreError):
            await store.get("a")
        own_redis.start()
        assert await store.get("a") == "1"
        own_redis.stop()
        started = time.monotonic()
        with pytest.raises(StoreError):
            await store.get("a")
        assert time.monotonic() - started > 0.2  # it is waited for again

    async def test_nothing_listens(self) -> None:
        store = RedisStore.from_url(f"redis://127.0.0.1:{free_ports(1)[0]}")
        with pytest.raises(StoreError):
            await store.get("a")
        await store.aclose()

    async def test_a_server_that_says_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("reliant.storage.redis.ANSWER", 0.2)
        monkeypatch.setattr("reliant.storage.redis.PATIENCE", 0.1)

        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(hold, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        store = RedisStore.from_url(f"redis://127.0.0.1:{port}")
        with anyio.fail_after(5), pytest.raises(StoreError):
            await store.get("a")
        await store.aclose()
        server.close()


class TestCancelled:
    async def test_answers_never_reach_another_call(self, redis: RedisServer) -> None:
        """A connection whose answer nobody waits for any more must not serve the next call."""
        store = RedisStore.from_url(redis.url, prefix="cancelled:")
        for number in range(20):
            await store.set(f"key-{number}", f"value-{number}", 60)

        async def one(number: int) -> None:
            with anyio.move_on_after(0.0005 * (number % 5)):
                await store.get(f"key-{number % 20}")
            assert await store.get(f"key-{number % 20}") == f"value-{number % 20}"

        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(one, number)
        await store.aclose()


class TestRefused:
    async def test_a_wrong_password(self, own_redis: RedisServer) -> None:
        with own_redis.client() as client:
            client.config_set("requirepass", "the-right-one")
            url = f"redis://:the-wrong-one@127.0.0.1:{own_redis.port}"
            store = RedisStore.from_url(url)
            started = time.monotonic()
            with pytest.raises(StoreError) as caught:
                await store.get("a")
            assert time.monotonic() - started < 1  # waiting does not help
            assert "user or password" in caught.value.description
            assert "the-wrong-one" not in str(caught.value) + repr(caught.value.__cause__)
            await store.aclose()

    async def test_no_memory_left(self, own_redis: RedisServer, store: RedisStore) -> None:
        with own_redis.client() as client:
            client.config_set("maxmemory", "1")
        with pytest.raises(StoreError) as caught:
            await store.set("a", "1", 60)
        assert "refused a command" in caught.value.description

    async def test_one_server_of_a_cluster(self, cluster: str) -> None:
        store = RedisStore.from_url(cluster)
        described = set()
        for key in "abcdef":
            try:
                await store.get(key)
            except StoreError as exc:
                described.add(exc.description)
        assert ["makes a RedisCluster" in text for text in described] == [True]
        await store.aclose()


class TestSetUp:
    @pytest.mark.parametrize("url", ["", "127.0.0.1:6379", "http://127.0.0.1"])
    def test_an_address_that_is_none(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            RedisStore.from_url(url)
        assert caught.value.code == "configuration.redis"

    @pytest.mark.parametrize("prefix", ["{a}:", "ü:", "a\n:"])
    def test_a_prefix_that_is_none(self, prefix: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            RedisStore.from_url("redis://127.0.0.1", prefix=prefix)
        assert caught.value.code == "configuration.prefix"

    @pytest.mark.parametrize("client", [redis_package.Redis(), "redis://127.0.0.1"])
    async def test_what_is_no_client(self, client: Any) -> None:
        with pytest.raises(ConfigurationError) as caught:
            RedisStore(client)
        assert caught.value.code == "configuration.redis"
        store = RedisStore(lambda: client)
        with pytest.raises(ConfigurationError) as caught:
            await store.get("a")
        assert "redis.asyncio" in caught.value.description

    def test_without_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        right = builtins.__import__

        def missing(name: str, *args: Any) -> Any:
            if name.startswith("redis"):
                raise ImportError(name)
            return right(name, *args)

        monkeypatch.setattr(builtins, "__import__", missing)
        with pytest.raises(ConfigurationError) as caught:
            RedisStore.from_url("redis://127.0.0.1")
        assert "pip install 'reliant[redis]'" in caught.value.description

    async def test_a_client_of_the_app_stays_open(self, redis: RedisServer) -> None:
        client = Redis.from_url(redis.url)
        store = RedisStore(client, prefix="own:")
        await store.set("a", "1", 60)
        await store.aclose()
        assert await client.get("own:{a}") == b"1"
        await client.aclose()

    def test_many_event_loops(self, redis: RedisServer) -> None:
        """As under TestClient, each with connections of its own."""
        store = RedisStore.from_url(redis.url, prefix="loops:")

        async def use() -> str | None:
            await store.set("a", "1", 60)
            found = await store.get("a")
            await store.aclose()
            return found

        assert [asyncio.run(use()) for _ in range(3)] == ["1", "1", "1"]
        assert store._connected == {}

    async def test_prefixes_keep_stores_apart(self, redis: RedisServer) -> None:
        one, other = (RedisStore.from_url(redis.url, prefix=f"{name}:") for name in "xy")
        await one.set("a", "1", 60)
        assert await other.get("a") is None
        with redis.client() as client:
            assert client.get("x:{a}") == "1"
        for store in (one, other):
            await store.aclose()


async def test_a_fence_that_redis_dropped_is_put_up_again(
    redis: RedisServer, request: pytest.FixtureRequest
) -> None:
    """As where it is full and may drop any key, or a replica took over that lacked it."""
    store = new_store("redis", request)
    await store.set("a", "old", 60)
    claim = await store.acquire("a", "me", 60)
    assert claim is not None
    with redis.client() as client:
        client.delete(*client.scan_iter(match=f"*{request.node.name}*fence"))
    assert await store.replace("a", "old", "new", 60, claim.fence) is False
    again = await store.acquire("a", "me", 60)
    assert again is not None
    assert await store.acquire("a", "another", 60) is None
    assert await store.replace("a", "old", "new", 60, again.fence) is True
    await store.aclose()


async def test_everything_has_an_end(redis: RedisServer, request: pytest.FixtureRequest) -> None:
    """Nothing is left for ever in a Redis that nobody cleans."""
    store = new_store("redis", request)
    await store.set("a", "1", 60)
    await store.add("b", "1", 60)
    await store.collect("c", "m", 60)
    claim = await store.acquire("a", "me", 60)
    assert claim is not None
    await store.replace("a", "1", "2", 60, claim.fence)
    await store.release("a", "me")
    await store.acquire("d", "me", 60)
    await store.getdel("nothing")
    with redis.client() as client:
        keys = list(client.scan_iter(match=f"*{request.node.name}*"))
        assert len(keys) >= 5
        assert [key for key in keys if client.pttl(key) < 0] == []
    await store.aclose()


async def test_sentinel_fails_over() -> None:
    with redis_sentinel() as (port, master, _):
        make: Any = Sentinel
        sentinel = make([("127.0.0.1", port)], socket_timeout=1)
        store = RedisStore(lambda: sentinel.master_for("mymaster"))
        await store.set("a", "1", 60)
        with master.client() as client:
            client.wait(1, 2000)  # until the replica has it
        master.stop()
        with anyio.fail_after(20):
            found = None
            while found is None:
                try:
                    found = await store.get("a")
                except StoreError:
                    continue
        assert found == "1"
        await store.set("b", "2", 60)
        assert await store.get("b") == "2"
        await store.aclose()
        for watcher in sentinel.sentinels:
            await watcher.aclose()
