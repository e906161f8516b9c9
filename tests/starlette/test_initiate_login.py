"""Logins that another site begins (OIDC Core section 4)."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from reliant.starlette import OAuth
from reliant.testing import FakeProvider

SITE = "https://rp.example"


class Site:
    def __init__(self, redirect_uri: Any = f"{SITE}/callback") -> None:
        self.provider = FakeProvider("https://op.example/")
        self.oauth = OAuth(secret_key="the key of a test")
        self.client = self.oauth.register("op", **self.provider.register_settings())
        app = Starlette(
            routes=[
                Mount("/op", routes=self.client.routes(redirect_uri)),
                Route("/login", self._login),
                Route("/callback", self._callback, name="callback"),
            ]
        )
        self.browser = TestClient(app, SITE, follow_redirects=False)

    async def _login(self, request: Request) -> Response:
        return await self.client.authorize_redirect(request, f"{SITE}/callback")

    async def _callback(self, request: Request) -> Response:
        token = await self.client.authorize_access_token(request)
        return JSONResponse({"sub": token["userinfo"]["sub"], "return_to": token.return_to})

    def initiate(self, method: str = "GET", **params: str) -> Any:
        params = {"iss": self.provider.issuer, **params}
        if method == "POST":
            response = self.browser.post("/op/initiate-login", data=params)
            if response.status_code == 303:  # to itself, where the session cookie comes along
                return self.browser.get(response.headers["location"])
            return response
        return self.browser.get(f"/op/initiate-login?{urlencode(params)}")

    def finish(self, response: Any) -> Any:
        assert response.status_code == 302, response.text
        callback = anyio.run(self.provider.sign_in, response.headers["location"])
        return self.browser.get(callback.url).json()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_known_issuer_begins_a_login(method: str) -> None:
    site = Site()
    shown = site.finish(site.initiate(method, target_link_uri=f"{SITE}/account?a=b"))
    assert shown["return_to"] == "/account?a=b"
    assert shown["sub"]


def test_only_the_issuer_is_needed() -> None:
    site = Site()
    assert site.finish(site.initiate())["return_to"] is None


@pytest.mark.parametrize(
    "redirect_uri",
    [f"{SITE}/callback", lambda request: request.url_for("callback")],
    ids=["text", "function"],
)
def test_the_callback_may_depend_on_the_request(redirect_uri: Any) -> None:
    site = Site(redirect_uri)
    sent = parse_qs(urlsplit(site.initiate().headers["location"]).query)
    assert sent["redirect_uri"] == [f"{SITE}/callback"]


def test_the_hint_is_passed_on_and_nothing_else() -> None:
    site = Site()
    response = site.initiate(login_hint="alice & bob", scope="admin", prompt="none", max_age="0")
    sent = parse_qs(urlsplit(response.headers["location"]).query)
    assert sent["login_hint"] == ["alice & bob"]
    assert sent["scope"] == ["openid profile email"]
    assert not {"prompt", "max_age"} & sent.keys()


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/account", "/account"),
        (f"{SITE}/", "/"),
        (f"{SITE}/a%20b?next=https://evil.example", "/a%20b?next=https://evil.example"),
        (f"{SITE}/@evil.example", "/@evil.example"),
    ],
)
def test_a_target_of_this_site(target: str, path: str) -> None:
    site = Site()
    assert site.finish(site.initiate(target_link_uri=target))["return_to"] == path


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "http://rp.example/account",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "/%0d/\r\nlocation: https://evil.example/",
        f"{SITE}//evil.example/",
        f"{SITE}/\\evil.example/",
        f"{SITE}.evil.example/",
        f"{SITE}@evil.example/",
        f"{SITE}:443@evil.example/",
        f"{SITE}:8443/account",
        f"{SITE.upper()}/account",
        SITE,
        "account",
        "javascript:alert(1)",
        " /account",
        "/a b",
        "/<script>",
        "/é",
        "/" + "x" * 2048,
        '/"' + '"' * 2000,
        "/" + "\U0001f600" * 2000,
    ],
    ids=lambda target: target[:40].encode("ascii", "backslashreplace").decode(),
)
def test_a_target_elsewhere_is_refused(target: str, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    with caplog.at_level(logging.INFO, "reliant"):
        response = site.initiate(target_link_uri=target)
    assert (response.status_code, response.json()["code"]) == (400, "route.target_link_uri")
    assert "location" not in response.headers
    assert "set-cookie" not in response.headers
    assert len(caplog.records) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_it_is_no_place_to_try_again(method: str) -> None:
    """The link of the error page would lead to a 400, for everybody."""
    site = Site()
    site.initiate(method)
    assert site.client.login_path is None
    site.browser.get("/login")
    site.initiate(method)
    assert site.client.login_path == "/login"


def test_what_fails_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.browser.get("/login")  # so that the metadata are at hand
    site.client.settings = replace(site.client.settings, client_id=None)
    with caplog.at_level(logging.INFO, "reliant"):
        assert site.initiate().status_code == 503
    assert len(caplog.records) == 1


def test_a_post_from_elsewhere_ends_no_session() -> None:
    """Its session cookie stays behind, and one set now would take the place of the person's own."""
    site = Site()
    response = site.browser.post("/op/initiate-login", data={"iss": site.provider.issuer})
    assert response.status_code == 303
    assert "set-cookie" not in response.headers
    assert response.headers["location"].startswith("/op/initiate-login?iss=")
    assert response.headers["cache-control"] == "no-store"
