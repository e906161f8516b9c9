"""Four workers, one Redis, and a provider that ends a login whose refresh token comes twice."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import anyio
import httpx2
import pytest

from reliant.testing import FakeProvider
from tests.helpers.oidc_provider import read_line, stop
from tests.helpers.person import NO_TLS
from tests.helpers.redis import RedisServer, redis_server
from tests.helpers.server import serve

ROOT = Path(__file__).parents[2]
BROWSERS = 1000  # connections at once


@dataclass
class Worker:
    """One process of the app."""

    origin: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    @property
    def said(self) -> str:
        """What it wrote to its log."""
        self.log.seek(0)
        return self.log.read().decode()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None


@contextmanager
def worker(**config: Any) -> Iterator[Worker]:
    """Run one worker for the block."""
    command = [sys.executable, "-W", "error", "-m", "tests.distributed.worker", json.dumps(config)]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, cwd=ROOT) as process,
    ):
        try:
            yield Worker(_origin(process, log), process, log)
        finally:
            stop(process)


def _origin(process: subprocess.Popen[bytes], log: IO[bytes]) -> str:
    try:
        return f"http://127.0.0.1:{json.loads(read_line(process))['port']}"
    except ValueError:
        log.seek(0)
        raise AssertionError(log.read().decode()) from None


class System:
    """All of it, as somebody meets it who comes through a load balancer."""

    def __init__(self, provider: FakeProvider, workers: list[Worker], redis: RedisServer) -> None:
        self.provider = provider
        self.workers = workers
        self.redis = redis
        limits = httpx2.Limits(max_connections=BROWSERS, max_keepalive_connections=BROWSERS)
        self.http = httpx2.AsyncClient(timeout=60, limits=limits, verify=NO_TLS)

    async def log_in(self, user: str = "alice", lifetime: int = 3600) -> dict[str, str]:
        """Log in at the first worker; returns the cookies of that browser.

        `lifetime`: seconds until the first access token ends; all later ones last an hour.
        """
        origin = self.workers[0].origin
        begun = await self.http.get(f"{origin}/auth/login")
        cookies = dict(begun.cookies)
        self.provider.behaviour.access_token_lifetime = lifetime
        callback = await self.provider.sign_in(begun.headers["location"], user)
        done = await self.http.get(callback.url, headers=_cookie(cookies))
        assert done.status_code == 303, done.text
        self.provider.behaviour.access_token_lifetime = 3600
        self.provider._model.requests.clear()
        return dict(done.cookies)

    async def get(self, number: int, path: str, cookies: dict[str, str]) -> httpx2.Response:
        """A request to one of the workers; where that one dies, to the next, as a proxy does."""
        for turn in range(len(self.workers)):
            worker = self.workers[(number + turn) % len(self.workers)]
            if worker.is_alive:
                try:
                    return await self.http.get(f"{worker.origin}{path}", headers=_cookie(cookies))
                except httpx2.TransportError:
                    continue
        raise AssertionError("no worker answers")

    async def burst(self, cookies: dict[str, str], count: int = 1000) -> Counter[Any]:
        """Ask for a token `count` times at once; returns how often each answer came."""
        answers: Counter[Any] = Counter()

        async def one(number: int) -> None:
            response = await self.get(number, "/token", cookies)
            body = response.json()
            answers[response.status_code, body.get("sub"), body.get("token")] += 1

        async with anyio.create_task_group() as group:
            for number in range(count):
                group.start_soon(one, number)
        return answers

    async def who(self, cookies: dict[str, str]) -> list[Any]:
        """Who is logged in, in the eyes of each worker that is alive."""
        alive = [number for number, worker in enumerate(self.workers) if worker.is_alive]
        return [(await self.get(number, "/whoami", cookies)).json() for number in alive]

    @property
    def refreshes(self) -> int:
        return self.provider.count("token")

    @property
    def log(self) -> str:
        return "".join(worker.said for worker in self.workers)


def _cookie(cookies: dict[str, str]) -> dict[str, str]:
    return {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


@pytest.fixture(scope="module", autouse=True)
def _as_many_files_as_the_system_allows() -> Iterator[None]:
    """Each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    """A provider on a port of its own; it reaches the workers over the network."""
    provider = FakeProvider(client_transport=httpx2.AsyncHTTPTransport())
    with serve(provider) as origin:
        provider.issuer = provider._model.issuer = origin
        yield provider


@pytest.fixture
def config() -> dict[str, Any]:
    """What is the same for all workers; a test overrides it by a parameter."""
    return {}


@pytest.fixture
def clocks() -> list[float]:
    """The seconds by which the workers' clocks are off, and how many workers there are."""
    return [0, 0, 0, 0]


@pytest.fixture
async def system(
    provider: FakeProvider, config: dict[str, Any], clocks: list[float]
) -> AsyncIterator[System]:
    (client,) = provider.clients.values()
    provider.clear()
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server("--appendonly", "yes", "--appendfsync", "always"))
        settings = {
            "issuer": provider.issuer,
            "client_secret": client.client_secret,
            "redis": redis.url,
            "kind": "store",
            **config,
        }
        workers = [stack.enter_context(worker(**settings, clock=clock)) for clock in clocks]
        running = System(provider, workers, redis)
        try:
            yield running
        finally:
            await running.http.aclose()
