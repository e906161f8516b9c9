"""One HTTP client per registered client and event loop: when it is made, shared and closed."""

from __future__ import annotations

from typing import Any, Literal

import anyio
import httpx2
import pytest
from starlette.testclient import TestClient

from reliant.http import line
from reliant.starlette import OAuth
from reliant.testing import FakeProvider
from tests.helpers.relying_party import SITE, build_app, log_in, new_browser, new_oauth

TOKEN = {"access_token": "a", "token_type": "Bearer"}


class Closing(httpx2.AsyncBaseTransport):
    """Counts how often it was closed."""

    def __init__(self, inner: httpx2.AsyncBaseTransport | None = None) -> None:
        self.inner = inner or httpx2.MockTransport(lambda request: httpx2.Response(200, json={}))
        self.closed = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        self.closed += 1


def _register(oauth: OAuth, name: str = "dev", **kwargs: Any) -> Closing:
    transport = Closing()
    oauth.register(
        name,
        client_id="id",
        api_base_url="https://api.example/",
        client_kwargs={"transport": transport, **kwargs},
    )
    return transport


async def test_async_with_closes() -> None:
    async with OAuth() as oauth:
        transports = [_register(oauth, name) for name in ("a", "b")]
        await oauth.a.get("x", token=TOKEN)
        await oauth.b.get("x", token=TOKEN)
        assert [transport.closed for transport in transports] == [0, 0]
    assert [transport.closed for transport in transports] == [1, 1]


@pytest.mark.parametrize("readable", [True, False])
async def test_a_start_reads_the_certificates_so_that_no_login_waits_for_it(
    readable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bool] = []

    def context() -> None:
        read.append(readable)
        if not readable:
            raise FileNotFoundError  # the first request tells of it, if one goes there at all

    monkeypatch.setattr(line, "_tls_context", context)
    async with OAuth():
        assert read == [readable]


async def test_async_with_closes_after_an_error_too() -> None:
    oauth = OAuth()
    transport = _register(oauth)

    async def fail() -> None:
        async with oauth:
            await oauth.dev.get("x", token=TOKEN)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert transport.closed == 1


async def test_aclose_closes_and_may_come_twice() -> None:
    oauth = OAuth()
    transport = _register(oauth)
    await oauth.aclose()
    assert transport.closed == 0  # nothing was opened
    await oauth.dev.get("x", token=TOKEN)
    await oauth.aclose()
    await oauth.aclose()
    assert transport.closed == 1


async def test_a_call_after_aclose_opens_again() -> None:
    oauth = OAuth()
    transport = _register(oauth)
    for expected in (1, 2):
        await oauth.dev.get("x", token=TOKEN)
        await oauth.aclose()
        assert transport.closed == expected


async def test_what_was_unregistered_or_replaced_is_closed_as_well() -> None:
    oauth = OAuth()
    gone, replaced = _register(oauth, "gone"), _register(oauth, "replaced")
    for client in (oauth.gone, oauth.replaced):
        await client.get("x", token=TOKEN)
    oauth.unregister("gone")
    oauth.register("replaced", replace=True, client_id="id")
    await oauth.aclose()
    assert (gone.closed, replaced.closed) == (1, 1)


async def test_one_http_client_serves_all_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0
    original = httpx2.AsyncClient.__init__

    def count(self: httpx2.AsyncClient, *args: Any, **kwargs: Any) -> None:
        nonlocal made
        made += 1
        original(self, *args, **kwargs)

    oauth = OAuth()
    _register(oauth)
    monkeypatch.setattr(httpx2.AsyncClient, "__init__", count)
    for _ in range(3):
        await oauth.dev.get("x", token=TOKEN)
        await oauth.dev.post("y", token=TOKEN)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(oauth.dev.get, "x", TOKEN)
    assert made == 1


def test_the_lifespan_of_an_app_closes() -> None:
    provider = FakeProvider()
    oauth = OAuth(secret_key="key")
    settings = provider.register_settings()
    transport = Closing(provider.transport)
    settings["client_kwargs"]["transport"] = transport
    oauth.register("op", **settings)
    with new_browser(build_app(oauth)) as browser:
        log_in(browser, provider)
        assert transport.closed == 0
    assert transport.closed == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_login_on_each_backend(
    store: str, provider: FakeProvider, backend: Literal["asyncio", "trio"]
) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    with TestClient(
        build_app(oauth), base_url=SITE, backend=backend, follow_redirects=False
    ) as browser:
        assert log_in(browser, provider)["userinfo"]["sub"] == "alice"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_registry_serves_many_loops(
    store: str, provider: FakeProvider, backend: Literal["asyncio", "trio"]
) -> None:
    """Each request of a TestClient without `with` runs in a loop of its own."""
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    app = build_app(oauth)
    for _ in range(3):
        browser = TestClient(app, base_url=SITE, backend=backend, follow_redirects=False)
        assert log_in(browser, provider)["userinfo"]["sub"] == "alice"
        with TestClient(app, base_url=SITE, backend=backend, follow_redirects=False) as browser:
            assert log_in(browser, provider)["userinfo"]["sub"] == "alice"
    assert provider.count("discovery") == 1  # what was learned in one loop serves in all


def test_loops_of_both_kinds_by_turns(provider: FakeProvider) -> None:
    oauth = new_oauth("session")
    oauth.register("op", **provider.register_settings())
    app = build_app(oauth)
    backends: list[Literal["asyncio", "trio"]] = ["asyncio", "trio", "asyncio"]
    for backend in backends:
        browser = TestClient(app, base_url=SITE, backend=backend, follow_redirects=False)
        assert log_in(browser, provider)["userinfo"]["sub"] == "alice"


def test_closed_loops_leave_nothing_behind() -> None:
    oauth = OAuth()
    transport = _register(oauth)

    async def call() -> None:
        await oauth.dev.get("x", token=TOKEN)

    for _ in range(5):
        anyio.run(call)
    kept = oauth.dev.transport._lines  # the one private name here: it must not grow
    assert len(kept) <= 1
    assert transport.closed == 0  # a loop that is gone can close nothing
