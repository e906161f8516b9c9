"""Line: which way a request takes, and when connections that nobody uses are closed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest

from reliant.errors import OAuthError
from reliant.http.line import IDLE, MAX_ADDRESSES, Line
from reliant.http.transport import HttpTransport
from reliant.protocol.messages import HttpRequest
from tests.helpers import tcp
from tests.helpers.http import Clock

OPTIONS: dict[str, Any] = {"trust_env": False}


class KeepAlive:
    """A server that answers any number of requests on a connection, and counts connections."""

    def __init__(self) -> None:
        self.connections = self.open = 0
        self.origin = ""
        self.one_left = anyio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[KeepAlive]:
        async with tcp.serve_octets(self._handle) as self.origin:
            yield self

    async def _handle(self, stream: Any) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                await stream.receive()
        finally:
            self.open -= 1
            self.one_left.set()


async def ask(line: Line, origin: str) -> bytes:
    async with line:
        return (await line.send(HttpRequest("GET", f"{origin}/"))).body


# -- which way -----------------------------------------------------------------------------------


@pytest.fixture
def by_client(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs of the requests that go through httpx2's client."""
    seen: list[str] = []
    original = httpx2.AsyncClient.send

    async def send(
        self: httpx2.AsyncClient, request: httpx2.Request, **options: Any
    ) -> httpx2.Response:
        seen.append(str(request.url))
        return await original(self, request, **options)

    monkeypatch.setattr(httpx2.AsyncClient, "send", send)
    return seen


async def nothing(_: Any) -> None:
    """A hook of the app."""


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"headers": {"x": "1"}, "timeout": 3, "default_encoding": "utf-8"},
        {"limits": httpx2.Limits(max_connections=2)},
        {"verify": False, "transport": None, "proxy": None},
    ],
    ids=lambda options: "-".join(options) or "none",
)
async def test_plain_options_take_the_short_way(
    options: dict[str, Any], by_client: list[str]
) -> None:
    line = Line({**OPTIONS, **options}, "Test/1")
    async with KeepAlive().serving() as server:
        assert [await ask(line, server.origin) for _ in range(3)] == [b"ok"] * 3
        await line.aclose()
    assert (by_client, server.connections) == ([], 1)


@pytest.mark.parametrize(
    "options",
    [
        {"event_hooks": {"request": [nothing]}},
        {"event_hooks": {"response": [nothing]}},
        {"mounts": {"all://": httpx2.AsyncHTTPTransport()}},
        {"transport": httpx2.AsyncHTTPTransport()},
        {"http1": True},
    ],
    ids=lambda options: "-".join(options),
)
async def test_what_must_see_a_request_sees_it(
    options: dict[str, Any], by_client: list[str]
) -> None:
    line = Line({**OPTIONS, **options}, "Test/1")
    async with KeepAlive().serving() as server:
        assert await ask(line, server.origin) == b"ok"
        await line.aclose()
    assert by_client == [f"{server.origin}/"]


@pytest.mark.parametrize("name", ["proxy", "HTTP_PROXY", "ALL_PROXY"])
async def test_a_proxy_gets_the_request(
    name: str, monkeypatch: pytest.MonkeyPatch, by_client: list[str]
) -> None:
    heads: list[bytes] = []

    async def proxy(stream: Any) -> None:
        heads.append(b"asked")
        await tcp.answer(b"from the proxy")(stream)

    for exception in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(exception, raising=False)
    async with tcp.serve_octets(proxy) as origin:
        if name == "proxy":
            options: dict[str, Any] = {**OPTIONS, "proxy": origin}
        else:
            options = {}
            monkeypatch.setenv(name, origin)
        line = Line(options, "Test/1")
        assert await ask(line, "http://localhost:1") == b"from the proxy"
        await line.aclose()
    assert by_client == ["http://localhost:1/"]
    assert heads == [b"asked"]


async def test_without_trust_env_no_proxy_of_the_environment_counts(
    monkeypatch: pytest.MonkeyPatch, by_client: list[str]
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://localhost:1")
    line = Line(OPTIONS, "Test/1")
    async with KeepAlive().serving() as server:
        assert await ask(line, server.origin) == b"ok"
        await line.aclose()
    assert by_client == []


async def test_a_user_in_the_address_goes_out_as_httpx2_has_it() -> None:
    heads: list[str] = []

    async def handler(request: httpx2.Request) -> httpx2.Response:
        heads.append(request.headers["authorization"])
        return httpx2.Response(200)

    for options in (OPTIONS, {"transport": httpx2.MockTransport(handler)}):
        line = Line(options, "Test/1")
        address = line._judge("http://user:pass@localhost/x")
        assert address.target is None
        await line.aclose()
    line = Line({"transport": httpx2.MockTransport(handler)}, "Test/1")
    await line.send(HttpRequest("GET", "http://user:pass@localhost/x"))
    assert heads == ["Basic dXNlcjpwYXNz"]


@pytest.mark.parametrize("short", [True, False])
async def test_both_ways_send_the_same_and_log_the_same(
    short: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "httpx2")
    heads: list[bytes] = []

    answer = tcp.answer(b'{"a": 1}', "x-a: 1", "X-A: 2")
    async with tcp.serve_octets(answer, heads.append) as origin:
        options = OPTIONS if short else {**OPTIONS, "event_hooks": {"request": [nothing]}}
        line = Line(options, "Test/1")
        request = HttpRequest("POST", f"{origin}/x?a=b%20c", {"X-Header": "1"}, b"a=1")
        response = await line.send(request)
        await line.aclose()
    head = heads[0].partition(b"\r\n\r\n")[0].decode()
    first, *others = head.replace(origin.removeprefix("http://"), "HOST").split("\r\n")
    assert first == "POST /x?a=b%20c HTTP/1.1"
    assert sorted(other.lower() for other in others) == [
        "accept-encoding: gzip", "accept: */*", "connection: keep-alive", "content-length: 3",
        "host: host", "user-agent: test/1", "x-header: 1",
    ]  # fmt: skip
    assert (response.status, response.body, response.headers["x-a"]) == (200, b'{"a": 1}', "1, 2")
    assert [record.getMessage() for record in caplog.records] == [
        f'HTTP Request: POST {origin}/x?a=b%20c "HTTP/1.1 200 OK"'
    ]


async def test_a_post_without_a_body_says_so() -> None:
    heads: list[bytes] = []
    async with tcp.serve_octets(tcp.answer(b""), heads.append) as origin:
        for method in ("POST", "GET"):
            line = Line(OPTIONS, "Test/1")
            await line.send(HttpRequest(method, f"{origin}/"))
            await line.aclose()
    assert [b"content-length: 0" in head.lower() for head in heads] == [True, False]


async def test_few_addresses_are_kept() -> None:
    line = Line({"transport": httpx2.MockTransport(lambda _: httpx2.Response(200))}, "Test/1")
    for number in range(3 * MAX_ADDRESSES):
        await line.send(HttpRequest("GET", f"https://op.example/{number}"))
        assert len(line._addresses) <= MAX_ADDRESSES
    with pytest.raises(OAuthError):
        await line.send(HttpRequest("GET", "http://op.example/"))


# -- idle ----------------------------------------------------------------------------------------


class Lines:
    """Lines of one event loop with one clock."""

    def __init__(self) -> None:
        self.clock = Clock()

    def new(self, **options: Any) -> Line:
        return Line({**OPTIONS, **options}, "Test/1", self.clock)


async def test_the_connections_of_a_client_that_rests_are_closed_when_another_works() -> None:
    lines = Lines()
    async with KeepAlive().serving() as server:
        first, second, third = lines.new(), lines.new(), lines.new()
        for line in (first, second, third):
            await ask(line, server.origin)
            lines.clock.advance(IDLE / 3)
        assert [first.closed, second.closed, third.closed] == [False] * 3
        lines.clock.advance(IDLE / 10)
        await ask(third, server.origin)
        assert [first.closed, second.closed, third.closed] == [True, False, False]
        with anyio.fail_after(10):
            await server.one_left.wait()
        assert server.open == 2
        for line in (second, third):
            await line.aclose()


async def test_one_request_closes_two_at_most() -> None:
    lines = Lines()
    resting = [lines.new() for _ in range(5)]
    async with KeepAlive().serving() as server:
        for line in resting:
            await ask(line, server.origin)
        lines.clock.advance(2 * IDLE)
        other, closed = lines.new(), []
        for _ in range(4):
            await ask(other, server.origin)
            closed.append(sum(line.closed for line in resting))
        await other.aclose()
    assert closed == [2, 4, 5, 5]


async def test_a_client_alone_is_never_closed() -> None:
    lines = Lines()
    line = lines.new()
    async with KeepAlive().serving() as server:
        for _ in range(3):
            await ask(line, server.origin)
            lines.clock.advance(100 * IDLE)
        assert not line.closed
        await line.aclose()


async def test_one_in_use_is_not_idle_however_long_it_takes() -> None:
    lines = Lines()
    busy, other = lines.new(), lines.new()
    async with KeepAlive().serving() as server:
        async with busy:
            lines.clock.advance(100 * IDLE)
            await ask(other, server.origin)
            assert [busy.closed, other.closed] == [False, False]
        lines.clock.advance(100 * IDLE)
        await ask(other, server.origin)
        assert [busy.closed, other.closed] == [True, False]
        await other.aclose()


@pytest.mark.parametrize(
    ("expiry", "seconds", "closed"),
    [(100, 99, False), (100, 101, True), (1, 2, True), (None, 10_000, False)],
)
async def test_the_apps_own_limits_say_what_idle_is(
    expiry: float | None, seconds: float, closed: bool
) -> None:
    lines = Lines()
    patient = lines.new(limits=httpx2.Limits(keepalive_expiry=expiry))
    other = lines.new()
    async with KeepAlive().serving() as server:
        await ask(patient, server.origin)
        lines.clock.advance(seconds)
        await ask(other, server.origin)
        assert patient.closed is closed
        for line in (patient, other):
            await line.aclose()


@pytest.mark.parametrize("name", ["transport", "mounts"])
async def test_what_the_app_brought_is_not_ours_to_close(name: str) -> None:
    lines = Lines()
    mock = httpx2.MockTransport(lambda _: httpx2.Response(200, content=b"ok"))
    theirs = lines.new(**{name: mock if name == "transport" else {"all://": mock}})
    async with KeepAlive().serving() as server:
        assert await ask(theirs, "https://op.example") == b"ok"
        lines.clock.advance(100 * IDLE)
        other = lines.new()
        await ask(other, server.origin)
        assert not theirs.closed
        await other.aclose()


async def test_a_line_that_fails_to_close_harms_nobody() -> None:
    class Stubborn(Line):
        async def aclose(self) -> None:
            await super().aclose()
            raise RuntimeError

    lines = Lines()
    stubborn, other = Stubborn(OPTIONS, "Test/1", lines.clock), lines.new()
    async with KeepAlive().serving() as server:
        await ask(stubborn, server.origin)
        lines.clock.advance(100 * IDLE)
        assert await ask(other, server.origin) == b"ok"
        assert stubborn.closed
        await other.aclose()


async def test_a_transport_opens_what_was_closed_as_idle_again() -> None:
    transport = HttpTransport(OPTIONS, "Test/1")
    async with KeepAlive().serving() as server:
        request = HttpRequest("GET", f"{server.origin}/")
        assert (await transport.send(request)).body == b"ok"
        (line,) = transport._lines.values()
        await line.aclose()
        assert not transport.is_open
        assert (await transport.send(request)).body == b"ok"
        assert (await transport.request("GET", request.url)).content == b"ok"
        await transport.aclose()
    assert not transport.is_open


async def test_a_client_that_someone_holds_stays_open() -> None:
    lines = Lines()
    held, other = lines.new(), lines.new()
    async with KeepAlive().serving() as server:
        await ask(held, server.origin)
        held.hold()
        lines.clock.advance(100 * IDLE)
        await ask(other, server.origin)
        assert not held.closed
        for line in (held, other):
            await line.aclose()
