"""1,000 requests on four workers when a token ends: one refresh, nobody logged out, no error.

The provider rotates refresh tokens, and ends a login where one comes twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from reliant.testing import FakeProvider
from tests.distributed.conftest import System

pytestmark = pytest.mark.needs("redis-server")

REQUESTS = 1000


async def at_its_end(system: System, user: str = "alice") -> dict[str, str]:
    """Log somebody in, and wait until the access token of that login has ended."""
    cookies = await system.log_in(user, lifetime=1)
    await anyio.sleep(1.1)
    return cookies


async def assert_one_refresh(system: System, cookies: dict[str, str]) -> None:
    answers = await system.burst(cookies, REQUESTS)
    assert sum(answers.values()) == REQUESTS
    assert {(status, sub) for status, sub, _ in answers} == {(200, "alice")}
    assert len(answers) == 1  # all got the same token
    assert system.refreshes == 1
    assert system.provider.violations == []
    assert set(await system.who(cookies)) == {"alice"}
    # And what was kept is good: the next one is refreshed as well.
    assert [grant.ended for grant in system.provider._model.grants] == [False]


async def test_at_its_end(system: System) -> None:
    await assert_one_refresh(system, await at_its_end(system))


@pytest.mark.parametrize("config", [{"kind": "indexed"}])
async def test_with_sessions_in_cookies(system: System) -> None:
    await assert_one_refresh(system, await at_its_end(system))


async def test_with_a_provider_that_takes_two_seconds(system: System) -> None:
    cookies = await at_its_end(system)
    with system.provider.fault("token.delay", 2):
        await assert_one_refresh(system, cookies)


@pytest.mark.parametrize("clocks", [[0, 30, 0, 0], [0, 0, -30, 0]], ids=["ahead", "behind"])
async def test_with_a_clock_that_is_30_seconds_off(system: System) -> None:
    cookies = await system.log_in(lifetime=1)
    await anyio.sleep(1.1)
    await assert_one_refresh(system, cookies)


async def test_with_redis_restarted(system: System) -> None:
    """It goes while a worker has the lock and waits for the provider."""
    cookies = await at_its_end(system)
    with system.provider.fault("token.delay", 1.5):
        async with anyio.create_task_group() as group:
            group.start_soon(assert_one_refresh, system, cookies)
            await asked(system.provider)
            await anyio.to_thread.run_sync(system.redis.stop)
            await anyio.to_thread.run_sync(system.redis.start)


class Mark:
    """A file whose finder dies."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self) -> None:
        self.path.touch()


@pytest.fixture
def mark(tmp_path: Path) -> Mark:
    return Mark(tmp_path / "die")


@pytest.fixture
def config(request: pytest.FixtureRequest, mark: Mark) -> dict[str, Any]:
    given: dict[str, Any] = getattr(request, "param", {})
    return {
        name: str(mark.path) if name.startswith("die") else value for name, value in given.items()
    }


@pytest.mark.parametrize("config", [{"die": True}], indirect=True)
async def test_with_a_worker_killed_while_it_holds_the_lock(system: System, mark: Mark) -> None:
    cookies = await at_its_end(system)
    mark.put()
    await assert_one_refresh(system, cookies)
    assert sum(not worker.is_alive for worker in system.workers) == 1
    assert "was interrupted" in system.log


@pytest.mark.parametrize("config", [{"die_after": True}], indirect=True)
async def test_a_worker_killed_with_the_new_token_loses_that_login_only(
    system: System, mark: Mark
) -> None:
    alice = await at_its_end(system)
    bob = await at_its_end(system, "bob")
    mark.put()
    answers = await system.burst(alice, 40)
    assert {status for status, _, _ in answers} == {401}
    assert "after an interrupted refresh" in system.log
    assert set(await system.who(alice)) == {None}
    answers = await system.burst(bob, 40)
    assert {(status, sub) for status, sub, _ in answers} == {(200, "bob")}
    assert set(await system.who(bob)) == {"bob"}


async def asked(provider: FakeProvider) -> None:
    """Wait until a request has reached the token endpoint, which is in another thread."""
    deadline = anyio.current_time() + 10
    while provider.count("token") == 0:
        assert anyio.current_time() < deadline
        await anyio.sleep(0.005)
