"""HttpTransport: limits on all that comes back, one client per event loop, nothing kept or told."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import trustme

from reliant.errors import ConfigurationError, OAuthError, ProviderError
from reliant.http.body import MAX_BODY
from reliant.http.line import _tls_context
from reliant.http.transport import HttpTransport
from reliant.protocol.messages import HttpRequest
from tests.helpers import tcp

URL = "https://op.example/x"
GET = HttpRequest("GET", URL)


def transport_over(handler: Callable[[httpx2.Request], Any], **options: Any) -> HttpTransport:
    return HttpTransport({"transport": httpx2.MockTransport(handler), **options}, "Test/1")


def always(status: int = 200, body: bytes = b"", **headers: str) -> HttpTransport:
    return transport_over(lambda _: httpx2.Response(status, headers=headers, content=body))


async def failure(transport: HttpTransport, request: HttpRequest = GET) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await transport.send(request)
    return caught.value


# -- one exchange --------------------------------------------------------------------------------


async def test_a_request_goes_out_as_it_is() -> None:
    seen: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(201, headers={"X-Case": "Kept"}, content=b"body")

    request = HttpRequest("POST", URL + "?a=b%20c", {"x-header": "1"}, b"a=1")
    response = await transport_over(handler).send(request)
    assert (response.status, response.body, response.headers["x-case"]) == (201, b"body", "Kept")
    (sent,) = seen
    assert (sent.method, str(sent.url), sent.content) == ("POST", URL + "?a=b%20c", b"a=1")
    assert sent.headers["x-header"] == "1"
    assert sent.headers["user-agent"] == "Test/1"


async def test_a_header_set_twice_in_other_letters_goes_out_once() -> None:
    """A hook of the app may set Content-Type where content-type stands already."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=request.headers.get_list("content-type"))

    headers = {"content-type": "a/b", "Content-Type": "c/d"}
    response = await transport_over(handler).send(HttpRequest("POST", URL, headers, b"x"))
    assert response.body == b'["c/d"]'


async def test_headers_of_the_client_are_sent_and_those_of_the_request_win() -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=dict(request.headers))

    transport = transport_over(handler, headers={"X-Tenant": "t", "Accept": "text/html"})
    request = HttpRequest("GET", URL, {"accept": "application/json"})
    sent = httpx2.Response(200, content=(await transport.send(request)).body).json()
    assert (sent["x-tenant"], sent["accept"]) == ("t", "application/json")


async def test_the_user_agent_may_be_the_apps() -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=request.headers.get_list("user-agent"))

    transport = transport_over(handler, headers={"User-Agent": "App/2"})
    assert (await transport.send(GET)).body == b'["App/2"]'


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    requests: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        requests.append(str(request.url))
        return httpx2.Response(status, headers={"location": "https://evil.example"})

    transport = transport_over(handler)
    assert (await transport.send(GET)).status == status
    assert (await transport.client().get(URL)).status_code == status
    assert requests == [URL, URL]


@pytest.mark.parametrize(
    "url",
    [
        "http://op.example/x",
        "http://127.0.0.1.evil.test/x",
        "http://localhost.evil.test/x",
        "ftp://op.example/x",
        "op.example",
        "",
        "https://",
        "https://[::1",
    ],
)
async def test_an_address_that_is_not_https_nor_loopback_is_refused_unsent(url: str) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError("sent")

    with pytest.raises(ConfigurationError) as caught:
        await transport_over(handler).send(HttpRequest("GET", url))
    assert caught.value.code == "http.insecure"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "http://[::1]:8000/x", "http://localhost/x", "http://a.localhost"]
)
async def test_plain_http_to_this_machine_is_sent(url: str) -> None:
    assert (await always().send(HttpRequest("GET", url))).status == 200


async def test_cookies_are_never_kept() -> None:
    """One pool serves all users: a cookie kept for one would be sent for all."""
    seen: list[str | None] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("cookie"))
        return httpx2.Response(200, headers={"set-cookie": "user=alice; Path=/"})

    transport = transport_over(handler)
    for _ in range(2):
        await transport.send(GET)
        await transport.client().get(URL)
    assert seen == [None] * 4


# -- size ----------------------------------------------------------------------------------------


async def test_a_body_of_one_mebibyte_is_read_and_a_larger_one_is_not() -> None:
    assert len((await always(body=b"x" * MAX_BODY).send(GET)).body) == MAX_BODY == 2**20
    error = await failure(always(body=b"x" * (MAX_BODY + 1)))
    assert error.code == "http.too_large"


async def test_a_body_without_end_is_cut_off() -> None:
    class Endless(httpx2.AsyncByteStream):
        sent = 0
        closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                self.sent += 1
                yield b"x" * 65536

        async def aclose(self) -> None:
            self.closed = True

    stream = Endless()
    error = await failure(transport_over(lambda _: httpx2.Response(200, stream=stream)))
    assert error.code == "http.too_large"
    assert (stream.sent, stream.closed) == (17, True)


# -- a real server -------------------------------------------------------------------------------

PROVIDERS: dict[str, tuple[tcp.Handler, str]] = {
    "silent": (tcp.silence, "http.timeout"),
    "dripping": (tcp.drip, "http.timeout"),
    "hanging up": (tcp.hang_up, "http.connection"),
    "breaking off": (tcp.break_off, "http.connection"),
    "babbling": (tcp.babble, "http.connection"),
    "2 MiB": (tcp.answer(b"x" * 2**21), "http.too_large"),
    "20 MiB in 20 kB of gzip": (tcp.gzipped(bytes(20 * 2**20)), "http.too_large"),
    "no gzip at all": (tcp.answer(b"plain", "content-encoding: gzip"), "http.failed"),
    "a header of 1 MB": (tcp.answer(b"", "x: " + "y" * 1_000_000), "http.connection"),
}


@pytest.mark.parametrize(("handler", "code"), PROVIDERS.values(), ids=PROVIDERS.keys())
async def test_a_provider_that_breaks_http_is_an_error(handler: tcp.Handler, code: str) -> None:
    transport = HttpTransport({"timeout": 0.3, "trust_env": False}, "Test/1")
    with anyio.fail_after(10):
        async with tcp.serve_octets(handler) as origin:
            error = await failure(transport, HttpRequest("GET", origin))
            await transport.aclose()
    assert error.code == code
    assert error.status_hint == (504 if code == "http.timeout" else 502)


async def test_nobody_there_is_an_error() -> None:
    async with tcp.serve_octets(tcp.hang_up) as origin:
        pass
    transport = HttpTransport({"trust_env": False}, "Test/1")
    error = await failure(transport, HttpRequest("GET", origin))
    assert error.code == "http.connection"
    assert isinstance(error.__cause__, httpx2.ConnectError)
    await transport.aclose()


async def test_a_slow_exchange_leaves_the_pool_usable() -> None:
    transport = HttpTransport({"timeout": 0.2, "trust_env": False}, "Test/1")
    transport.client()
    async with tcp.serve_octets(tcp.drip) as slow, tcp.serve_octets(tcp.answer(b"ok")) as quick:
        for _ in range(3):
            assert (await failure(transport, HttpRequest("GET", slow))).code == "http.timeout"
        assert (await transport.send(HttpRequest("GET", quick))).body == b"ok"
    await transport.aclose()


async def test_a_compressed_body_is_read() -> None:
    transport = HttpTransport({"trust_env": False}, "Test/1")
    async with tcp.serve_octets(tcp.gzipped(b"x" * MAX_BODY)) as origin:
        assert len((await transport.send(HttpRequest("GET", origin))).body) == MAX_BODY
    await transport.aclose()


async def test_nothing_secret_is_logged_not_even_at_debug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    transport = HttpTransport({"trust_env": False, "headers": {"x-key": "s3cr3t-1"}}, "Test/1")
    body = b'{"access_token": "s3cr3t-2"}'
    async with tcp.serve_octets(tcp.answer(body)) as origin:
        headers = {"authorization": "Basic s3cr3t-3"}
        await transport.send(HttpRequest("POST", origin, headers, b"client_secret=s3cr3t-4"))
        await transport.client().get(origin, headers={"authorization": "Bearer s3cr3t-5"})
    await transport.aclose()
    assert "httpcore2" in {record.name.partition(".")[0] for record in caplog.records}
    assert "s3cr3t" not in caplog.text
    assert not any("s3cr3t" in repr(vars(record)) for record in caplog.records)


# -- errors --------------------------------------------------------------------------------------

ERRORS: list[tuple[Exception, str]] = [
    (httpx2.ConnectTimeout("s3cr3t"), "http.timeout"),
    (httpx2.ReadTimeout("s3cr3t"), "http.timeout"),
    (httpx2.WriteTimeout("s3cr3t"), "http.timeout"),
    (httpx2.PoolTimeout("s3cr3t"), "http.timeout"),
    (TimeoutError("s3cr3t"), "http.timeout"),
    (httpx2.ConnectError("s3cr3t"), "http.connection"),
    (httpx2.ReadError("s3cr3t"), "http.connection"),
    (httpx2.RemoteProtocolError("s3cr3t"), "http.connection"),
    (ConnectionResetError("s3cr3t"), "http.connection"),
    (ssl.SSLError("s3cr3t"), "http.connection"),
    (OSError("s3cr3t"), "http.connection"),
    (httpx2.ProxyError("s3cr3t"), "http.failed"),
    (httpx2.UnsupportedProtocol("s3cr3t"), "http.failed"),
    (httpx2.LocalProtocolError("s3cr3t"), "http.failed"),
    (httpx2.DecodingError("s3cr3t"), "http.failed"),
    (httpx2.InvalidURL("s3cr3t"), "http.failed"),
    (httpx2.StreamClosed(), "http.failed"),
    (RuntimeError("s3cr3t"), "http.failed"),
    (KeyError("s3cr3t"), "http.failed"),
    (UnicodeEncodeError("ascii", "s3cr3t", 0, 1, "s3cr3t"), "http.failed"),
    (RecursionError("s3cr3t"), "http.failed"),
]


@pytest.mark.parametrize(
    ("exception", "code"), ERRORS, ids=[type(exception).__name__ for exception, _ in ERRORS]
)
async def test_whatever_a_transport_raises_is_a_provider_error(
    exception: Exception, code: str
) -> None:
    def handler(_: httpx2.Request) -> httpx2.Response:
        raise exception

    error = await failure(transport_over(handler))
    assert error.code == code
    assert error.__cause__ is exception
    assert "s3cr3t" not in str(error)


async def test_an_error_of_our_own_passes() -> None:
    """FakeProvider and hooks inside a transport may raise one."""
    own = ConfigurationError(code="configuration.own")

    def handler(_: httpx2.Request) -> httpx2.Response:
        raise own

    with pytest.raises(OAuthError) as caught:
        await transport_over(handler).send(GET)
    assert caught.value is own


@pytest.mark.parametrize(
    "url", ["https://op.example/\ud800", "https://op.example/\n", "https://é…"]
)
async def test_an_address_that_httpx_refuses_is_an_oauth_error(url: str) -> None:
    with pytest.raises(OAuthError):
        await always().send(HttpRequest("GET", url))


@pytest.mark.parametrize("headers", [{"x": "a\r\nb: c"}, {"x": "\ud800"}, {"é": "1"}])
async def test_a_header_that_can_not_be_sent_is_an_oauth_error(headers: dict[str, str]) -> None:
    transport = HttpTransport({"trust_env": False}, "Test/1")
    async with tcp.serve_octets(tcp.answer(b"")) as origin:
        await failure(transport, HttpRequest("GET", origin, headers))
    await transport.aclose()


async def test_a_cancelled_request_is_cancelled_and_nothing_else() -> None:
    transport = HttpTransport({"trust_env": False}, "Test/1")
    reached = False
    async with tcp.serve_octets(tcp.silence) as origin:
        with anyio.move_on_after(0.1) as scope:
            await transport.send(HttpRequest("GET", origin))
            reached = True
    await transport.aclose()
    assert scope.cancelled_caught
    assert not reached


# -- clients and loops ---------------------------------------------------------------------------


async def test_one_client_serves_all_requests_of_a_loop() -> None:
    transport = always()
    client = transport.client()
    for _ in range(3):
        await transport.send(GET)
    assert transport.client() is client


async def test_a_connection_is_used_again() -> None:
    connections = 0

    async def keep_alive(stream: Any) -> None:
        nonlocal connections
        connections += 1
        while True:
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await stream.receive()

    transport = HttpTransport({"trust_env": False}, "Test/1")
    async with tcp.serve_octets(keep_alive) as origin:
        for _ in range(5):
            assert (await transport.send(HttpRequest("GET", origin))).body == b"ok"
        await transport.aclose()
    assert connections == 1


async def test_aclose_closes_and_a_later_request_opens_anew() -> None:
    transport = always()
    first = transport.client()
    await transport.aclose()
    await transport.aclose()
    assert first.is_closed
    assert (await transport.send(GET)).status == 200
    assert transport.client() is not first
    await transport.aclose()


async def test_a_transport_is_open_until_it_is_closed() -> None:
    transport = always()
    seen = [transport.is_open]
    transport.client()
    seen.append(transport.is_open)
    await transport.aclose()
    assert [*seen, transport.is_open] == [False, True, False]


def test_a_loop_that_is_gone_leaves_nothing_to_close() -> None:
    transport = always()

    async def use() -> None:
        await transport.send(GET)
        assert transport.is_open

    asyncio.run(use())
    assert not transport.is_open


async def test_a_client_that_someone_closed_is_replaced() -> None:
    transport = always()
    await transport.client().aclose()
    assert (await transport.send(GET)).status == 200


def test_every_event_loop_has_a_client_of_its_own() -> None:
    transport, clients = always(), []

    async def use() -> None:
        assert (await transport.send(GET)).status == 200
        clients.append(transport.client())

    for _ in range(5):
        asyncio.run(use())
    assert len({id(client) for client in clients}) == 5


def test_many_event_loops_with_real_connections() -> None:
    transport = HttpTransport({"trust_env": False}, "Test/1")

    async def use() -> bytes:
        async with tcp.serve_octets(tcp.answer(b"ok")) as origin:
            try:
                return (await transport.send(HttpRequest("GET", origin))).body
            finally:
                await transport.aclose()

    assert [asyncio.run(use()) for _ in range(5)] == [b"ok"] * 5


def test_it_runs_on_trio() -> None:
    transport = HttpTransport({"timeout": 0.3, "trust_env": False}, "Test/1")

    async def use() -> None:
        async with tcp.serve_octets(tcp.answer(b"ok")) as origin:
            assert (await transport.send(HttpRequest("GET", origin))).body == b"ok"
        async with tcp.serve_octets(tcp.drip) as origin:
            assert (await failure(transport, HttpRequest("GET", origin))).code == "http.timeout"
        await transport.aclose()

    anyio.run(use, backend="trio")
    anyio.run(use, backend="trio")


async def test_an_asgi_app_serves_as_the_provider() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    transport = HttpTransport({"transport": httpx2.ASGITransport(app)}, "Test/1")
    assert (await transport.send(GET)).body == b"/x"


async def test_the_tls_context_is_made_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    real = httpx2.create_ssl_context

    def count(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        made.append(real(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(httpx2, "create_ssl_context", count)
    for _ in range(5):
        transport = HttpTransport({}, "Test/1")
        transport.client()
        await transport.aclose()
    assert len(made) <= 1


@pytest.mark.parametrize(
    "given", [5, 5.0, (5, 5, 5, 5), None, httpx2.Timeout(5), httpx2.Timeout(5, read=None)]
)
async def test_a_timeout_in_any_form_httpx_takes(given: Any) -> None:
    transport = transport_over(lambda _: httpx2.Response(200), timeout=given)
    assert (await transport.send(GET)).status == 200


async def test_without_a_timeout_there_is_one_of_ten_seconds() -> None:
    client = always().client()
    assert set(client.timeout.as_dict().values()) == {10.0}


def test_nothing_secret_shows_in_a_repr() -> None:
    transport = HttpTransport({"headers": {"x-key": "s3cr3t"}}, "Test/1")
    assert "s3cr3t" not in repr(transport)


async def test_a_clients_own_certificate_is_no_other_clients(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A certificate is loaded into the TLS context, and one context serves all clients."""
    authority = trustme.CA()
    pair = tmp_path / "client.pem"
    authority.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(str(pair))
    loaded: list[ssl.SSLContext] = []
    load = ssl.SSLContext.load_cert_chain

    def spy(context: ssl.SSLContext, *args: Any, **kwargs: Any) -> None:
        loaded.append(context)
        load(context, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spy)
    with_certificate = HttpTransport({"cert": str(pair)}, "Test/1")
    with pytest.warns(
        DeprecationWarning, match="cert"
    ):  # httpx2 would have a context of one's own instead
        with_certificate.client()
    assert len(loaded) == 1
    assert loaded[0] is not _tls_context()
    await with_certificate.aclose()
