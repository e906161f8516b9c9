"""API calls: where the token goes, and where it never goes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest

from reliant.client import OAuthClient
from reliant.errors import ConfigurationError, MissingTokenError, OAuthError, ProviderError
from tests.helpers.op import Provider, new_client
from tests.helpers.tokens import NOW

TOKEN = {"access_token": "the-token", "token_type": "Bearer", "expires_at": NOW + 3600}


async def call(
    client: OAuthClient,
    url: str,
    token: Any = TOKEN,
    *,
    method: str = "GET",
    withhold_token: bool = False,
    token_origin: str | None = None,
    **options: Any,
) -> httpx2.Response:
    return await client.send_api_request(method, url, token, withhold_token, token_origin, options)


async def refused(client: OAuthClient, url: str, **how: Any) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        await call(client, url, **how)
    return caught.value


# -- URLs ----------------------------------------------------------------------------------------

RESOLVED = [
    ("https://x.example/api", "/user", "https://x.example/user"),
    ("https://x.example/api", "user", "https://x.example/user"),
    ("https://x.example/api/", "user", "https://x.example/api/user"),
    ("https://x.example/api/", "/user", "https://x.example/user"),
    ("https://x.example/api/v1/", "../v2/user", "https://x.example/api/v2/user"),
    ("https://x.example/api/", "../../../user", "https://x.example/user"),
    ("https://x.example/api/", "?page=2", "https://x.example/api/?page=2"),
    ("https://x.example/api/", "", "https://x.example/api/"),
    ("https://x.example/api/", "https://x.example/other", "https://x.example/other"),
    ("https://x.example/api/", "HTTPS://X.EXAMPLE:443/o", "https://x.example/o"),
    ("https://x.example/api/", "//x.example/other", "https://x.example/other"),
    ("https://x.example", "user", "https://x.example/user"),
    ("http://127.0.0.1:8000/", "user", "http://127.0.0.1:8000/user"),
    (None, "https://any.example/user", "https://any.example/user"),
]


@pytest.mark.parametrize(("base", "url", "resolved"), RESOLVED)
async def test_a_url_is_resolved_as_rfc_3986_says(
    base: str | None, url: str, resolved: str
) -> None:
    response = await call(new_client(api_base_url=base), url)
    assert str(response.request.url) == resolved
    assert response.request.headers["authorization"] == "Bearer the-token"


FOREIGN = [
    "//evil.example/x",
    "///evil.example/x",
    "https://evil.example/x",
    "https://x.example.evil.example/",
    "https://x.example@evil.example/",
    "https://x.example:8443/",
    "https://sub.x.example/",
    "https://evil.example\\@x.example.evil/",
    "\t//evil.example/x",
    "\n//evil.example/x",
    "https:\\\\evil.example\\x",
]


@pytest.mark.parametrize("url", FOREIGN, ids=ascii)
async def test_the_token_never_goes_to_another_origin(url: str) -> None:
    provider = Provider()
    with suppress(OAuthError):
        await call(new_client(provider, api_base_url="https://x.example/api"), url)
    for request in provider.requests:
        assert (request.url.scheme, request.url.host) == ("https", "x.example")
        assert request.url.port is None


@pytest.mark.parametrize("url", [url for url in FOREIGN[:8] if "///" not in url])
async def test_a_foreign_origin_is_an_error_that_says_what_to_do(url: str) -> None:
    error = await refused(new_client(api_base_url="https://x.example/api"), url)
    assert error.code == "request.foreign_origin"
    assert "token_origin=" in error.description
    assert "withhold_token=True" in error.description


async def test_the_token_goes_to_another_origin_where_asked() -> None:
    client = new_client(api_base_url="https://x.example/api")
    response = await call(client, "https://y.example/z", token_origin="https://y.example")
    assert response.request.headers["authorization"] == "Bearer the-token"
    response = await call(client, "/z", token_origin="https://y.example")
    assert response.request.url.host == "x.example"
    error = await refused(client, "https://z.example/", token_origin="https://y.example")
    assert error.code == "request.foreign_origin"


async def test_token_origin_counts_without_api_base_url_too() -> None:
    client = new_client(api_base_url=None)
    response = await call(client, "https://y.example/z", token_origin="https://y.example/any")
    assert response.request.headers["authorization"] == "Bearer the-token"
    for origin in ("https://y.example", "https://y.example:8443", "y.example", "nonsense"):
        error = await refused(client, "https://z.example/", token_origin=origin)
        assert error.code == "request.foreign_origin"


async def test_a_request_without_the_token_may_go_anywhere() -> None:
    client = new_client(api_base_url="https://x.example/api")
    for url in ("https://evil.example/", "//evil.example/", "http://evil.example/"):
        response = await call(client, url, None, withhold_token=True)
        assert "authorization" not in response.request.headers
        response = await call(client, url, TOKEN, withhold_token=True)
        assert "the-token" not in str(response.request.headers.raw)


@pytest.mark.parametrize("url", ["http://x.example/user", "ftp://x.example/user"])
async def test_a_token_travels_over_https_only(url: str) -> None:
    for base in ("https://x.example", None):
        error = await refused(new_client(api_base_url=base), url)
        assert error.code in ("http.insecure", "configuration.api_base_url")
    error = await refused(
        new_client(api_base_url="https://x.example"), url, token_origin="http://x.example"
    )
    assert error.code == "http.insecure"


async def test_an_api_on_plain_http_gets_no_token() -> None:
    error = await refused(new_client(api_base_url="http://x.example/"), "user")
    assert error.code == "http.insecure"


@pytest.mark.parametrize("url", ["/user", "user", "", "?x", "x.example/user", "//x.example/user"])
async def test_a_relative_url_needs_a_base(url: str) -> None:
    error = await refused(new_client(api_base_url=None), url)
    assert isinstance(error, ConfigurationError)
    assert 'Missing "api_base_url" value' in error.description


@pytest.mark.parametrize("url", ["//[", "https://[::1", "https://x.example:port/", "https://é\n/"])
@pytest.mark.parametrize("base", ["https://x.example/api", None])
async def test_a_url_that_can_not_be_read_is_nothing_but_an_oauth_error(
    url: str, base: str | None
) -> None:
    with suppress(OAuthError):
        await call(new_client(api_base_url=base), url, withhold_token=True)
    if base is not None:
        await refused(new_client(api_base_url=base), url)


# -- the token -----------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, {}, {"access_token": None}, {"access_token": ""}])
async def test_no_token_is_a_clear_error(token: Any) -> None:
    error = await refused(new_client(), "https://x.example/", token=token)
    assert isinstance(error, MissingTokenError)
    assert (error.code, error.status_hint) == ("request.token_missing", 401)


async def test_headers_of_the_call_are_kept_but_for_the_token() -> None:
    headers = {"Accept": "text/csv", "Authorization": "Basic mine"}
    response = await call(new_client(), "https://x.example/", headers=headers)
    assert response.request.headers["accept"] == "text/csv"
    assert response.request.headers.get_list("authorization") == ["Bearer the-token"]
    assert headers == {"Accept": "text/csv", "Authorization": "Basic mine"}


async def test_options_of_httpx_are_passed_on() -> None:
    response = await call(
        new_client(), "https://x.example/", method="POST", json={"a": 1}, params={"b": "2"}
    )
    assert response.request.content == b'{"a":1}'
    assert response.request.url.query == b"b=2"


async def test_a_token_in_the_body_where_set() -> None:
    client = new_client(client_kwargs={"token_placement": "body"})
    response = await call(client, "https://x.example/", method="POST", data={"a": "1"})
    assert dict(parse_qsl(response.request.content.decode())) == {
        "a": "1",
        "access_token": "the-token",
    }
    assert "authorization" not in response.request.headers
    response = await call(client, "https://x.example/", method="POST", withhold_token=True)
    assert b"the-token" not in response.request.content


async def test_a_redirect_is_not_followed() -> None:
    provider = Provider()
    provider.at["/r"] = httpx2.Response(307, headers={"location": "https://evil.example/"})
    response = await call(new_client(provider), "https://x.example/r")
    assert response.status_code == 307
    assert len(provider.requests) == 1


@pytest.mark.parametrize("status", [200, 204, 401, 404, 500])
async def test_the_answer_is_the_apps_to_judge(status: int) -> None:
    provider = Provider()
    provider.at["/x"] = status
    assert (await call(new_client(provider), "https://x.example/x")).status_code == status


@pytest.mark.parametrize(
    "error",
    [
        httpx2.ConnectError("down"),
        httpx2.ReadTimeout("slow"),
        httpx2.RemoteProtocolError("no HTTP"),
        httpx2.DecodingError("no gzip"),
        ConnectionResetError("reset"),
        TimeoutError("slow"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_of_the_network_is_an_oauth_error(error: Exception) -> None:
    provider = Provider()
    provider.at["/x"] = error
    with pytest.raises(ProviderError) as caught:
        await call(new_client(provider), "https://x.example/x")
    assert caught.value.__cause__ is error
