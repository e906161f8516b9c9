"""Calls to an API with a user's token: where the token goes, and where it never does."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from reliant import OAuthError
from reliant.starlette import OAuth, StarletteClient
from tests.helpers.fake_api import FakeApi, form_of

TOKEN = {"access_token": "the-token", "token_type": "Bearer"}


class _Anywhere(FakeApi):
    """Answers every request with what it received."""

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(200, json={"url": str(request.url)})


def _client(
    transport: FakeApi, base: str | None = "https://api.example/v1/", **settings: Any
) -> Any:
    kwargs = {"transport": transport, **settings.pop("client_kwargs", {})}
    return OAuth().register("dev", api_base_url=base, client_kwargs=kwargs, **settings)


VERBS = ("get", "post", "put", "patch", "delete", "head", "options")


@pytest.mark.parametrize("verb", VERBS)
async def test_each_verb(verb: str) -> None:
    transport = _Anywhere()
    client: StarletteClient = _client(transport)
    call = getattr(client, verb)
    for response in (
        await call("user", TOKEN),
        await call("user", token=TOKEN, headers={"x-a": "1"}, params={"page": "2"}),
        await client.request(verb.upper(), "user", TOKEN),
    ):
        assert response.status_code == 200
    for request in transport.requests:
        assert request.method == verb.upper()
        assert request.url.path == "/v1/user"
        assert request.headers["authorization"] == "Bearer the-token"
    assert transport.requests[1].headers["x-a"] == "1"
    assert transport.requests[1].url.params["page"] == "2"


async def test_the_options_of_httpx() -> None:
    transport = _Anywhere()
    client = _client(transport)
    await client.post("user", token=TOKEN, json={"a": 1})
    await client.post("user", token=TOKEN, data={"a": "1"})
    await client.post("user", token=TOKEN, content=b"raw", timeout=3)
    assert [request.content for request in transport.requests] == [b'{"a":1}', b"a=1", b"raw"]


@pytest.mark.parametrize(
    ("base", "url", "resolved"),
    [
        ("https://x.example/api", "/user", "https://x.example/user"),
        ("https://x.example/api", "user", "https://x.example/user"),
        ("https://x.example/api/", "user", "https://x.example/api/user"),
        ("https://x.example/api/", "/user", "https://x.example/user"),
        ("https://x.example/api/", "../user", "https://x.example/user"),
        ("https://x.example/api/", "user?a=1", "https://x.example/api/user?a=1"),
        ("https://x.example/api/", "?a=1", "https://x.example/api/?a=1"),
        ("https://x.example/api/", "https://x.example/other", "https://x.example/other"),
        ("https://x.example:443/", "https://x.example/user", "https://x.example/user"),
        ("http://localhost:8000/", "user", "http://localhost:8000/user"),
        (None, "https://x.example/user", "https://x.example/user"),
    ],
)
async def test_urls_are_resolved_as_rfc_3986_does(
    base: str | None, url: str, resolved: str
) -> None:
    transport = _Anywhere()
    await _client(transport, base).get(url, token=TOKEN)
    assert str(transport.requests[0].url) == resolved
    assert transport.requests[0].headers["authorization"] == "Bearer the-token"


@pytest.mark.parametrize(
    "url",
    [
        "//evil.example/x",
        "https://evil.example/x",
        "https://api.example.evil.example/",
        "https://api.example:8443/x",
        "https://api.example@evil.example/x",
        "/\t/evil.example/x",
        "HTTPS://EVIL.EXAMPLE/",
    ],
    ids=["no-scheme", "host", "suffix", "port", "userinfo", "tab", "upper-case"],
)
async def test_the_token_never_goes_to_another_origin(url: str) -> None:
    transport = _Anywhere()
    with pytest.raises(OAuthError) as caught:
        await _client(transport).get(url, token=TOKEN)
    assert caught.value.code == "request.foreign_origin"
    assert "the-token" not in str(caught.value)
    assert transport.requests == []


async def test_a_url_that_two_parsers_could_read_differently() -> None:
    transport = _Anywhere()
    await _client(transport).get("https://evil.example\\@api.example/x", token=TOKEN)
    assert transport.requests[0].url.host == "api.example"


@pytest.mark.parametrize(
    "url", ["http://api.example/x", "ftp://api.example/x", "data:text/plain,x"]
)
async def test_the_token_never_goes_over_plain_http(url: str) -> None:
    transport = _Anywhere()
    with pytest.raises(OAuthError) as caught:
        await _client(transport).get(url, token=TOKEN)
    assert caught.value.code == "http.insecure"
    assert transport.requests == []


async def test_a_base_over_plain_http_never_gets_it_either() -> None:
    transport = _Anywhere()
    with pytest.raises(OAuthError) as caught:
        await _client(transport, "http://api.example/").get("x", token=TOKEN)
    assert caught.value.code == "http.insecure"
    assert transport.requests == []


async def test_another_origin_gets_it_when_asked_for() -> None:
    transport = _Anywhere()
    client = _client(transport)
    await client.get("https://files.example/x", token=TOKEN, token_origin="https://files.example")
    assert transport.requests[0].headers["authorization"] == "Bearer the-token"
    with pytest.raises(OAuthError) as caught:
        await client.get("https://evil.example/", token=TOKEN, token_origin="https://files.example")
    assert caught.value.code == "request.foreign_origin"


async def test_another_origin_gets_the_request_without_it() -> None:
    transport = _Anywhere()
    await _client(transport).get("https://files.example/x", token=TOKEN, withhold_token=True)
    assert "authorization" not in transport.requests[0].headers


async def test_a_relative_url_needs_a_base() -> None:
    with pytest.raises(RuntimeError, match='Missing "api_base_url" value') as caught:
        await _client(_Anywhere(), None).get("user", token=TOKEN)
    assert isinstance(caught.value, OAuthError)


async def test_a_redirect_is_not_followed() -> None:
    moved = httpx2.Response(302, headers={"location": "https://evil.example/"})
    transport = FakeApi({"/v1/user": moved})
    response = await _client(transport).get("user", token=TOKEN)
    assert response.status_code == 302
    assert len(transport.requests) == 1


async def test_the_token_in_the_body() -> None:
    transport = _Anywhere()
    client = _client(transport, client_kwargs={"token_placement": "body"})
    await client.post("user", token=TOKEN, data={"a": "1"})
    (request,) = transport.requests
    assert form_of(request) == {"a": "1", "access_token": "the-token"}
    assert "authorization" not in request.headers
    assert "the-token" not in str(request.url)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx2.ConnectError("refused"), "http.connection"),
        (httpx2.ReadTimeout("slow"), "http.timeout"),
        (httpx2.ReadError("reset"), "http.connection"),
        (OSError("no route"), "http.connection"),
        (httpx2.DecodingError("bad gzip"), "http.failed"),
    ],
    ids=["refused", "slow", "reset", "os", "garbage"],
)
async def test_only_our_errors_leave(error: Exception, code: str) -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise error

    client = _client(FakeApi({"/v1/user": fail}))
    with pytest.raises(OAuthError) as caught:
        await client.get("user", token=TOKEN)
    assert caught.value.code == code
    assert caught.value.__cause__ is error
    assert "the-token" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://user:s3cret@127.0.0.1:9/v1?key=s3cret#s3cret", " at 127.0.0.1:9 failed"),
        ("http://127.0.0.1?key=s3cret", " at 127.0.0.1:80 failed"),
        ("http://[::1]:9/s3cret", " at ::1:9 failed"),
    ],
)
async def test_an_error_names_the_host_and_nothing_else_of_the_address(url: str, told: str) -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    transport: Any = httpx2.MockTransport(fail)
    client = _client(transport)
    with pytest.raises(OAuthError) as caught:
        await client.get(url, withhold_token=True)
    assert told in caught.value.description
    assert "s3cret" not in str(caught.value)


async def test_a_url_that_is_none() -> None:
    for url in ("https://[", "http://a b", "//["):
        with pytest.raises(OAuthError):
            await _client(_Anywhere()).get(url, token=TOKEN)


async def test_statuses_are_the_callers_to_judge() -> None:
    transport = FakeApi({"/v1/user": httpx2.Response(404)})
    assert (await _client(transport).get("user", token=TOKEN)).status_code == 404


async def test_cookies_of_one_user_never_travel_for_another() -> None:
    transport = FakeApi({"/v1/user": httpx2.Response(200, headers={"set-cookie": "user=alice"})})
    client = _client(transport)
    await client.get("user", token=TOKEN)
    await client.get("user", token={"access_token": "bobs"})
    assert "cookie" not in transport.requests[1].headers


async def test_an_expired_token_that_can_not_be_refreshed() -> None:
    transport = _Anywhere()
    with pytest.raises(OAuthError) as caught:
        await _client(transport).get("user", token={**TOKEN, "expires_at": 100})
    assert (caught.value.code, caught.value.status_hint) == ("request.token_expired", 401)
    assert transport.requests == []


@pytest.mark.parametrize("expires_at", [None, "soon", float("nan"), 10**12, True, []], ids=repr)
async def test_an_expiry_that_says_nothing_is_no_expiry(expires_at: Any) -> None:
    transport = _Anywhere()
    await _client(transport).get("user", token={**TOKEN, "expires_at": expires_at})
    assert len(transport.requests) == 1
