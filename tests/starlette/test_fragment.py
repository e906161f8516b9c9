"""Answers in the fragment and by form_post: the page, its policy, and one round trip."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from reliant import ConfigurationError, OAuthError
from reliant.starlette import OAuth
from reliant.starlette.pages import fragment_page
from reliant.testing import REMOVE, Behaviour, Callback, FakeProvider, append

SITE = "https://rp.example"
TYPES = ("code", "id_token code", "id_token")


class Site:
    """An app that logs people in with ``settings``."""

    def __init__(self, store: str = "cookie", **settings: Any) -> None:
        self.provider = FakeProvider(behaviour=Behaviour(response_types=TYPES))
        self.oauth = OAuth(secret_key="the key of a test" if store == "cookie" else None)
        self.client = self.oauth.register("op", **{**self.provider.register_settings(), **settings})
        self.browser = TestClient(
            Starlette(
                routes=[
                    Route("/login", self._login),
                    Route("/callback", self._callback, methods=["GET", "POST"]),
                ],
                middleware=[
                    # "strict" shows that the page's own post needs no cookie across sites.
                    Middleware(SessionMiddleware, secret_key="s", same_site="strict")
                ],
                exception_handlers={OAuthError: self.oauth.exception_handler},
            ),
            SITE,
            follow_redirects=False,
            headers={"accept": "application/json"},
        )

    async def _login(self, request: Request) -> Response:
        return await self.client.authorize_redirect(request, f"{SITE}/callback")

    async def _callback(self, request: Request) -> Response:
        token = await self.client.authorize_access_token(request)
        return JSONResponse({"token": token, "sub": token["userinfo"]["sub"]})

    def sign_in(self) -> Callback:
        location = self.browser.get("/login").headers["location"]
        return anyio.run(self.provider.sign_in, location)

    def deliver(self, callback: Callback) -> httpx2.Response:
        """Do as a browser does: post the fragment where the page says, or the form."""
        if callback.form is not None:
            return self.browser.post(callback.url, data=callback.form)
        parts = urlsplit(callback.url)
        page = self.browser.get(parts._replace(fragment="").geturl())
        if not parts.fragment:
            return page
        assert '<form method="post">' in page.text, page.text
        return self.browser.post(parts.path, data=dict(parse_qsl(parts.fragment)))

    def log_in(self) -> Any:
        response = self.deliver(self.sign_in())
        assert response.status_code == 200, response.text
        return response.json()


# -- the page ------------------------------------------------------------------------------------


def test_the_policy_allows_this_script_alone_and_redirects_after_the_post() -> None:
    response = fragment_page()
    script = re.search(r"<script>(.*?)</script>", bytes(response.body).decode(), re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert response.headers["content-security-policy"] == (
        f"default-src 'none'; script-src 'sha256-{digest}'; frame-ancestors 'none'; base-uri 'none'"
    )
    assert response.headers["cache-control"] == "no-store"


def test_the_page_posts_to_its_own_address_without_the_fragment() -> None:
    body = bytes(fragment_page().body).decode()
    assert '<form method="post">' in body  # no action: to the address that the page has
    assert "history.replaceState(null, '', location.pathname + location.search)" in body


# -- round trips ---------------------------------------------------------------------------------

HYBRID, IMPLICIT = {"response_type": "code id_token"}, {"response_type": "id_token"}


@pytest.mark.parametrize("settings", [HYBRID, IMPLICIT], ids=["hybrid", "implicit"])
@pytest.mark.parametrize("store", ["cookie", "session"])
def test_an_answer_in_the_fragment_finishes_the_login(store: str, settings: dict[str, Any]) -> None:
    site = Site(store, **settings)
    shown = site.log_in()
    assert shown["sub"]
    has_code = "code" in settings["response_type"]
    assert ("access_token" in shown["token"]) == has_code
    assert site.provider.count("token") == has_code
    assert not site.provider.violations


@pytest.mark.parametrize("settings", [HYBRID, IMPLICIT], ids=["hybrid", "implicit"])
def test_form_post_finishes_it_as_well(settings: dict[str, Any]) -> None:
    site = Site(**settings, response_mode="form_post")
    location = site.browser.get("/login")
    assert "SameSite=None" in location.headers["set-cookie"]
    assert parse_qs(urlsplit(location.headers["location"]).query)["response_mode"] == ["form_post"]
    assert site.log_in()["sub"]


def test_form_post_is_not_for_session_cookies() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Site("session", **HYBRID, response_mode="form_post")
    assert caught.value.code == "configuration.form_post"


def test_an_answer_that_is_not_there_is_not_asked_for_again() -> None:
    """The page posts an empty form where the address has no fragment: that must be the end."""
    site = Site(**HYBRID)
    assert "<script>" in site.browser.get("/callback").text
    form = {"content-type": "application/x-www-form-urlencoded"}
    response = site.browser.post("/callback", content=b"", headers=form)
    assert (response.status_code, response.json()["code"]) == (400, "state.missing")
    assert "<script>" not in response.text


def test_without_a_fragment_mode_there_is_no_page() -> None:
    response = Site().browser.get("/callback")
    assert (response.status_code, response.json()["code"]) == (400, "state.missing")


def test_an_error_in_the_fragment_arrives_too() -> None:
    site = Site(**HYBRID)
    location = site.browser.get("/login").headers["location"]
    response = site.deliver(anyio.run(site.provider.deny, location))
    assert (response.status_code, response.json()["code"]) == (400, "authorization.denied")


# -- the front ID Token comes first --------------------------------------------------------------

BROKEN: dict[str, tuple[str, Any, str]] = {
    "iss": ("id_token.iss", append("1"), "id_token.iss_mismatch"),
    "sub": ("id_token.sub", REMOVE, "id_token.sub_missing"),
    "aud": ("id_token.aud", append("1"), "id_token.aud_mismatch"),
    "iat": ("id_token.iat", REMOVE, "id_token.iat_missing"),
    "nonce": ("id_token.nonce", append("1"), "id_token.nonce_mismatch"),
    "no nonce": ("id_token.nonce", REMOVE, "id_token.nonce_missing"),
    "c_hash": ("id_token.c_hash", append("1"), "id_token.c_hash"),
    "no c_hash": ("id_token.c_hash", REMOVE, "id_token.c_hash_missing"),
    "signature": ("id_token.signature", "xor", "id_token.signature"),
    "alg none": ("id_token.alg", "none", "id_token.alg"),
    "no ID Token": ("callback.id_token", REMOVE, "authorization.id_token_missing"),
    "no code": ("callback.code", REMOVE, "authorization.code_missing"),
    "another code": ("callback.code", append("1"), "id_token.c_hash"),
    "state": ("callback.state", append("1"), "state.unknown"),
}


@pytest.mark.parametrize("mode", ["fragment", "form_post"])
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_answer_never_costs_the_code(case: str, mode: str) -> None:
    fault, value, code = BROKEN[case]
    site = Site(**HYBRID, response_mode=mode)
    with site.provider.fault(fault, value):
        callback = site.sign_in()
        response = site.deliver(callback)
    assert response.json()["code"] == code
    assert 400 <= response.status_code < 500
    assert site.provider.count("token") == 0
    assert site.log_in()["sub"]  # the twin: the same login without the fault


def test_s_hash_is_checked_where_it_is() -> None:
    site = Site(**HYBRID)
    site.provider.behaviour.s_hash = True
    assert site.log_in()["sub"]
    with site.provider.fault("id_token.s_hash", append("1"), times=1):
        response = site.deliver(site.sign_in())
    assert response.json()["code"] == "id_token.s_hash"
    assert site.provider.count("token") == 1


@pytest.mark.parametrize(
    ("fault", "value", "code"),
    [
        ("id_token.iss", append("1"), "id_token.iss_mismatch"),
        ("id_token.sub", append("1"), "id_token.sub_mismatch"),
        ("id_token.nonce", append("1"), "id_token.nonce_mismatch"),
        ("id_token.at_hash", append("1"), "id_token.at_hash"),
    ],
)
def test_the_second_id_token_is_the_first_one_s(fault: str, value: Any, code: str) -> None:
    site = Site(**HYBRID)
    callback = site.sign_in()
    with site.provider.fault(fault, value):
        response = site.deliver(callback)
    assert response.json()["code"] == code
    assert site.provider.count("token") == 1


def test_an_answer_counts_once() -> None:
    site = Site(**HYBRID)
    callback = site.sign_in()
    assert site.deliver(callback).status_code == 200
    again = site.deliver(callback)
    assert again.status_code == 400
    assert again.json()["code"].startswith("state.")
    assert site.provider.count("token") == 1


def test_the_pages_own_post_names_its_origin() -> None:
    """With no-referrer a browser sends `Origin: null`, and checks against CSRF then refuse it."""
    assert fragment_page().headers["referrer-policy"] == "same-origin"
