"""A form that was posted when the session was over: kept, and sent after the login."""

from __future__ import annotations

import re
from html import unescape
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from reliant.login import MemoryStore
from tests.helpers.login_app import PAGE, SAME_ORIGIN, LoginApp, take_cookies, whoami

FIELDS = {"item": 'a <b> & "c"', "note": "line 1\r\nline 2", "ü": "é ✓", "empty": ""}


def expire(app: LoginApp) -> None:
    app.clock.advance(2 * 3600)


def post(browser: TestClient, **headers: str) -> httpx2.Response:
    return browser.post("/order?x=1", data=FIELDS, headers={**SAME_ORIGIN, **headers})


def kept_by(app: LoginApp) -> list[str]:
    """The forms in the store, as they lie there."""
    assert isinstance(app.store, MemoryStore)
    entries = app.store._texts._entries
    return [entry.value for key, entry in entries.items() if key.startswith("post.")]


def page_fields(page: str) -> dict[str, str]:
    """The fields of the page that sends a kept form."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    return {unescape(name): unescape(value) for name, value in found}


class TestKept:
    def test_the_whole_way(self, app: LoginApp) -> None:
        browser = app.logged_in()
        expire(app)
        response = post(browser)
        assert response.status_code == 303
        location = response.headers["location"]
        assert location == "/auth/login?return_to=%2Fauth%2Fresume"
        response = app.log_in(browser, path=location)
        assert response.headers["location"] == "/auth/resume"

        page = browser.get("/auth/resume", headers=PAGE)
        assert page.status_code == 200
        assert page.headers["cache-control"] == "no-store"
        assert '<form method="post" action="/order?x=1">' in page.text
        assert page_fields(page.text) == FIELDS
        assert "script-src 'sha256-" in page.headers["content-security-policy"]
        assert "logged in again as alice" in page.text
        # No button to press beside the script, which would send it twice.
        assert page.text.count("<button>") == page.text.count("<noscript><button>") == 1

        response = browser.post("/order?x=1", data=page_fields(page.text), headers=SAME_ORIGIN)
        assert response.json() == {"sub": "alice", "fields": [[k, v] for k, v in FIELDS.items()]}

    def test_it_is_sent_once(self, app: LoginApp) -> None:
        browser = app.logged_in()
        expire(app)
        app.log_in(browser, path=post(browser).headers["location"])
        assert browser.get("/auth/resume").status_code == 200
        response = browser.get("/auth/resume")
        assert (response.status_code, response.headers["location"]) == (303, "/")

    def test_only_by_the_login_that_it_led_to(self, app: LoginApp) -> None:
        """Who gave a form up is not surprised by it later, through a link that somebody sent."""
        browser = app.logged_in()
        expire(app)
        post(browser)
        app.log_in(browser)
        for headers in (PAGE, {**PAGE, "sec-fetch-site": "cross-site"}):
            assert browser.get("/auth/resume", headers=headers).status_code == 303

    def test_not_by_who_only_looks(self, app: LoginApp) -> None:
        browser = app.logged_in()
        expire(app)
        app.log_in(browser, path=post(browser).headers["location"])
        assert browser.head("/auth/resume").status_code == 303
        assert browser.get("/auth/resume").status_code == 200

    def test_cookies_that_come_again_much_later(self) -> None:
        app = LoginApp("cookies")
        browser = app.logged_in()
        expire(app)
        location = post(browser).headers["location"]
        kept = {name: value for name, value in browser.cookies.items() if "post.op" in name}
        assert kept
        app.clock.advance(601)
        app.log_in(browser, path=location)
        for name, value in kept.items():
            browser.cookies.set(name, value, domain="testserver.local")
        assert browser.get("/auth/resume").status_code == 303

    def test_by_one_of_two_tabs(self, app: LoginApp) -> None:
        browser, other = app.logged_in(), app.browser()
        expire(app)
        app.log_in(browser, path=post(browser).headers["location"])
        take_cookies(other, browser)
        assert [it.get("/auth/resume").status_code for it in (browser, other)] == [200, 303]

    def test_another_person_does_not_get_it(self, app: LoginApp) -> None:
        browser = app.logged_in("alice")
        expire(app)
        app.log_in(browser, "bob", path=post(browser).headers["location"])
        for _ in range(2):
            response = browser.get("/auth/resume")
            assert (response.status_code, response.headers["location"]) == (303, "/")
        app.log_in(browser, "alice")
        assert browser.get("/auth/resume").status_code == 303

    @pytest.mark.parametrize("load_user", [None, lambda it: SimpleNamespace(display_name=it.name)])
    def test_a_name_that_no_page_can_show(self, load_user: Any) -> None:
        app = LoginApp("store", load_user=load_user)
        app.provider.behaviour.claims_in_id_token = True
        app.provider.users["alice"] = {"sub": "alice", "name": "Al\ud800ice"}
        browser = app.logged_in()
        expire(app)
        app.log_in(browser, path=post(browser).headers["location"])
        page = browser.get("/auth/resume", headers=PAGE)
        assert page.status_code == 200
        assert "logged in again as Al?ice" in page.text

    def test_a_stronger_login_leads_back_to_the_form(self) -> None:
        """The session is there, and what is needed is more (RFC 9470)."""
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route

        from reliant.login import Login

        def pages(auth: Login) -> list[Route]:
            @auth.required(acr_values="gold", preserve_post=True)
            async def pay(request: Request) -> Response:
                return JSONResponse(dict(await request.form()))

            return [Route("/pay", pay, methods=["POST"])]

        app = LoginApp("store", routes=pages)
        browser = app.logged_in()
        response = browser.post("/pay", data={"amount": "5"}, headers=SAME_ORIGIN)
        assert response.status_code == 303
        app.log_in(browser, path=response.headers["location"])
        page = browser.get("/auth/resume")
        assert '<form method="post" action="/pay">' in page.text
        response = browser.post("/pay", data=page_fields(page.text), headers=SAME_ORIGIN)
        assert response.json() == {"amount": "5"}

    def test_nobody_else_gets_it(self, app: LoginApp) -> None:
        browser = app.logged_in()
        expire(app)
        post(browser)
        other = app.logged_in("mallory")
        assert other.get("/auth/resume").status_code == 303
        assert app.browser().get("/auth/resume").status_code == 401

    def test_what_waits_is_encrypted(self) -> None:
        app = LoginApp("cookies")
        browser = app.logged_in()
        expire(app)
        cookies = "".join(post(browser).headers.get_list("set-cookie"))
        assert "__Host-post.op!post.1=" in cookies
        assert "line 1" not in cookies

        app = LoginApp("store")
        browser = app.logged_in()
        expire(app)
        post(browser)
        (kept,) = kept_by(app)
        assert "line 1" not in kept

    def test_beside_a_session_of_many_cookies(self, app: LoginApp) -> None:
        app.provider.behaviour.claims_in_id_token = True
        app.provider.users["alice"] = {"sub": "alice", "picture": "x" * 5000}
        browser = app.logged_in()
        expire(app)
        response = browser.post("/order", data={"a": "ü" * 600}, headers=SAME_ORIGIN)
        app.log_in(browser, path=response.headers["location"])
        assert page_fields(browser.get("/auth/resume").text) == {"a": "ü" * 600}

    def test_it_waits_ten_minutes(self) -> None:
        app = LoginApp("store")
        browser = app.logged_in()
        expire(app)
        location = post(browser).headers["location"]
        app.clock.advance(600)
        app.log_in(browser, path=location)
        assert browser.get("/auth/resume").status_code == 303

    def test_one_for_each_session(self) -> None:
        """So that nobody fills the store."""
        app = LoginApp("store")
        browser = app.logged_in()
        expire(app)
        for _ in range(5):
            post(browser)
        assert len(kept_by(app)) == 1


class TestNotKept:
    """What is no form of this site's, posted in a session of this site's, is asked again."""

    def assert_lost(self, app: LoginApp, response: httpx2.Response) -> None:
        assert response.status_code == 303
        assert response.headers["location"] == "/auth/login"
        cookies = response.headers.get_list("set-cookie")
        assert not any("post.op" in cookie for cookie in cookies)

    @pytest.mark.parametrize(
        "headers",
        [
            {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
            {"sec-fetch-site": "same-site"},
            {"sec-fetch-site": "", "origin": ""},
        ],
        ids=str,
    )
    def test_what_another_site_posts(self, app: LoginApp, headers: dict[str, str]) -> None:
        browser = app.logged_in()
        expire(app)
        self.assert_lost(app, post(browser, **headers))

    def test_who_never_had_a_session(self, app: LoginApp) -> None:
        self.assert_lost(app, post(app.browser()))

    def test_a_cookie_that_somebody_made_up(self, app: LoginApp) -> None:
        browser = app.browser()
        self.assert_lost(app, post(browser, cookie=f"__Host-login.op={'A' * 43}.x.y"))

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("application/json", b"{}"),
            ("multipart/form-data; boundary=x", b"--x--\r\n"),
            ("text/plain", b"a=b"),
            ("application/x-www-form-urlencoded", b"a=" + b"x" * 70_000),
            ("application/x-www-form-urlencoded", b"&".join([b"a=b"] * 300)),
            ("application/x-www-form-urlencoded", b"a=%ff"),
            ("application/x-www-form-urlencoded", b"a=\xff"),
        ],
        ids=["json", "multipart", "text", "large", "many", "not-utf8", "not-utf8-raw"],
    )
    def test_what_can_not_be_sent_again(
        self, app: LoginApp, content_type: str, body: bytes
    ) -> None:
        browser = app.logged_in()
        expire(app)
        headers = {**SAME_ORIGIN, "content-type": content_type}
        self.assert_lost(app, browser.post("/order", content=body, headers=headers))

    def test_more_than_cookies_hold(self) -> None:
        app = LoginApp("cookies")
        browser = app.logged_in()
        expire(app)
        response = browser.post("/order", data={"a": "x" * 5000}, headers=SAME_ORIGIN)
        self.assert_lost(app, response)

    def test_a_script_is_told_and_keeps_its_form_itself(self, app: LoginApp) -> None:
        browser = app.logged_in()
        expire(app)
        response = browser.post("/order", data=FIELDS, headers={"sec-fetch-mode": "cors"})
        assert response.status_code == 401
        assert "set-cookie" not in response.headers

    def test_a_form_too_large_to_keep_still_reaches_the_endpoint(self, app: LoginApp) -> None:
        browser = app.logged_in()
        response = browser.post("/order", data={"a": "x" * 100_000}, headers=SAME_ORIGIN)
        assert len(response.json()["fields"][0][1]) == 100_000
        assert whoami(browser) == "alice"
