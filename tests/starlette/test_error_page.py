"""`oauth.exception_handler`: a page for people, JSON for programs, nothing for the curious."""

from __future__ import annotations

import re
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from reliant import OAuthError
from reliant.errors import (
    AuthorizationError,
    ConfigurationError,
    IDTokenError,
    InvalidGrantError,
    MetadataError,
    MissingTokenError,
    ProviderError,
    StateError,
    TokenError,
    UserInfoError,
)
from reliant.starlette import OAuth
from reliant.testing import FakeProvider
from tests.helpers.relying_party import SITE, build_app, new_browser, new_oauth, start

NAVIGATION = {"sec-fetch-mode": "navigate", "accept": "text/html"}


def _raising(error: Exception, oauth: OAuth | None = None) -> TestClient:
    async def endpoint(request: Request) -> Response:
        raise error

    handler = (oauth or OAuth()).exception_handler
    app = Starlette(routes=[Route("/", endpoint)], exception_handlers={OAuthError: handler})
    return new_browser(app, headers={})


@pytest.mark.parametrize(
    ("headers", "is_page"),
    [
        ({"sec-fetch-mode": "navigate"}, True),
        ({"sec-fetch-mode": "navigate", "accept": "*/*"}, True),
        ({"sec-fetch-mode": "cors", "accept": "text/html"}, False),
        ({"sec-fetch-mode": "same-origin"}, False),
        ({"accept": "text/html,application/xhtml+xml;q=0.9"}, True),
        ({"accept": "application/json"}, False),
        ({"accept": "*/*"}, False),
    ],
    ids=["navigate", "navigate-any", "cors", "same-origin", "html", "json", "any"],
)
def test_a_page_or_json(headers: dict[str, str], is_page: bool) -> None:
    response = _raising(StateError(description="Too late.")).get("/", headers=headers)
    assert response.status_code == 400
    if is_page:
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "Too late." in response.text
    else:
        assert response.json() == {
            "error": "mismatching_state",
            "error_description": "Too late.",
            "code": "state.unknown",
        }


@pytest.mark.parametrize(
    "headers", [NAVIGATION, {"accept": "application/json"}], ids=["page", "json"]
)
def test_the_headers(headers: dict[str, str]) -> None:
    response = _raising(StateError(description="x")).get("/", headers=headers)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AuthorizationError("access_denied", code="authorization.denied"), 400),
        (StateError(), 400),
        (InvalidGrantError(), 400),
        (IDTokenError(), 401),
        (MissingTokenError(), 401),
        (TokenError(), 502),
        (UserInfoError(), 502),
        (MetadataError(), 502),
        (ProviderError(), 502),
        (ProviderError(status_hint=504), 504),
        (ConfigurationError(), 500),
        (OAuthError(), 400),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_the_status(error: OAuthError, status: int) -> None:
    assert _raising(error).get("/", headers=NAVIGATION).status_code == status


HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


def test_what_the_provider_says_is_escaped() -> None:
    error = AuthorizationError("access_denied", HOSTILE, "javascript:alert(3)", code=HOSTILE)
    page = _raising(error).get("/", headers=NAVIGATION).text
    assert "<script>" not in page
    assert "<img" not in page
    assert "javascript:" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;" in page


def test_a_hostile_description_through_a_whole_login(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth), headers=NAVIGATION)
    url = httpx2.URL(start(browser))
    query = {
        "error": HOSTILE,
        "error_description": HOSTILE + "{title}%s",
        "state": url.params["state"],
        "iss": provider.issuer,
    }
    response = browser.get("/callback/op", params=query)
    assert response.status_code == 400
    assert "<script>" not in response.text
    assert "{title}%s" in response.text


def test_the_link_leads_to_the_login(provider: FakeProvider) -> None:
    oauth = new_oauth("session")
    oauth.register("op", **provider.register_settings())
    oauth.register("other", **provider.register_settings())
    browser = new_browser(build_app(oauth), headers=NAVIGATION)
    assert 'href="/"' in browser.get("/callback/op?state=x").text  # none has begun yet
    start(browser, "/login/op", return_to="/secret")
    assert 'href="/login/op"' in browser.get("/callback/op?state=x").text
    assert 'href="/"' in browser.get("/callback/other?state=x").text


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("/sign-in", "/sign-in"),
        ("//evil.example/", "/"),
        ("/%5Cevil.example", "/"),
        ("/%22onmouseover=%22x", "/&quot;onmouseover=&quot;x"),
    ],
    ids=["path", "host", "backslash", "quote"],
)
def test_the_link_is_escaped_and_stays_here(provider: FakeProvider, path: str, link: str) -> None:
    oauth = new_oauth("cookie")
    client = oauth.register("op", **provider.register_settings())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        """An app that begins a login wherever it is asked to."""
        request = Request(scope)
        try:
            if "state" in request.query_params:
                await client.authorize_access_token(request)
            response: Response = await client.authorize_redirect(request, f"{SITE}/callback")
        except OAuthError as exc:
            response = await oauth.exception_handler(request, exc)
        await response(scope, receive, send)

    browser = new_browser(app, headers=NAVIGATION)
    browser.get(httpx2.URL(f"{SITE}/").copy_with(raw_path=path.encode()))
    page = browser.get("/callback?state=x").text
    assert re.findall('<a href="(.*)">Try again</a>', page) == [link]


def test_the_link_shows_no_one_a_path_of_someone_else(provider: FakeProvider) -> None:
    oauth = new_oauth("cookie")
    client = oauth.register("op", **provider.register_settings())

    async def invited(request: Request) -> Response:
        return await client.authorize_redirect(request, f"{SITE}/callback/op")

    app = build_app(oauth)
    app.routes.append(Route("/invite/{secret}/login", invited))
    new_browser(app).get("/invite/for-alice-only/login")
    page = new_browser(app, headers=NAVIGATION).get("/callback/op?state=x").text
    assert "for-alice-only" not in page


def test_a_denied_login_reads_kindly() -> None:
    error = AuthorizationError("access_denied", code="authorization.denied")
    page = _raising(error).get("/", headers=NAVIGATION).text
    assert "<h1>Login canceled</h1>" in page
    assert "Try again" in page


SECRETIVE = [
    ConfigurationError(description="the database password is hunter2"),
    TokenError("invalid_client", "hunter2"),
    MetadataError(description="hunter2"),
    ProviderError(description="hunter2"),
]


@pytest.mark.parametrize("error", SECRETIVE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "headers", [NAVIGATION, {"accept": "application/json"}], ids=["page", "json"]
)
def test_what_is_the_apps_to_mend_is_not_told(error: OAuthError, headers: dict[str, str]) -> None:
    response = _raising(error).get("/", headers=headers)
    assert response.status_code >= 500
    assert "hunter2" not in response.text
    assert "The login service has a problem." in response.text


def test_a_missing_endpoint_tells_the_browser_nothing() -> None:
    oauth = new_oauth("session")
    oauth.register("op", client_id="id")
    response = new_browser(build_app(oauth), headers=NAVIGATION).get("/login/op")
    assert response.status_code == 500
    assert "authorize_url" not in response.text


def test_other_errors_are_not_its_business() -> None:
    async def endpoint(request: Request) -> Response:
        raise KeyError("x")

    oauth = OAuth()
    app = Starlette(
        routes=[Route("/", endpoint)], exception_handlers={KeyError: oauth.exception_handler}
    )
    with pytest.raises(KeyError):
        new_browser(app).get("/")


def test_a_bare_scope_will_do() -> None:
    response: Any = anyio.run(
        OAuth().exception_handler, Request({"type": "http"}), StateError(description="x")
    )
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("id_token.nonce", "The login failed"),
        ("state.unknown", "The login failed"),
        ("logout.method", "The logout failed"),
        ("configuration.api_base_url", "Something went wrong"),
        ("request.foreign_origin", "Something went wrong"),
    ],
)
def test_a_page_is_about_what_failed(code: str, title: str) -> None:
    error = OAuthError("invalid_request", "Why.", code=code, status_hint=400)
    page = _raising(error).get("/", headers=NAVIGATION)
    assert f"<h1>{title}</h1>" in page.text
