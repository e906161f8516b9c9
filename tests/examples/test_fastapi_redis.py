"""The example with sessions in Redis: every page of it, with a real Redis and a FakeProvider."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio.from_thread import BlockingPortal
from starlette.testclient import TestClient

from reliant.testing import FakeProvider, from_now
from tests.helpers.person import NO_TLS
from tests.helpers.redis import RedisServer, free_ports, redis_server
from tests.helpers.server import serve

pytestmark = pytest.mark.needs("redis-server")

FOLDER = Path(__file__).parents[2] / "examples" / "fastapi_redis"
SITE = "https://app.example"
PAGE = {"accept": "text/html", "sec-fetch-mode": "navigate"}
FORM = {**PAGE, "sec-fetch-site": "same-origin"}  # what a page of the site posts
SCRIPT = {"accept": "*/*", "sec-fetch-mode": "cors", "referer": f"{SITE}/"}
START_SECONDS = 20


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def provider() -> FakeProvider:
    provider = FakeProvider()
    provider.add_client(
        "my-app", "its-secret", backchannel_logout_uri=f"{SITE}/auth/backchannel-logout"
    )
    return provider


def settings(provider: FakeProvider, redis: RedisServer) -> dict[str, str]:
    return {
        "ISSUER": provider.issuer,
        "CLIENT_ID": "my-app",
        "CLIENT_SECRET": "its-secret",
        "API_URL": f"{provider.issuer}/userinfo",
        "SECRET_KEY": "a key that only this test knows, long enough",
        "REDIS_URL": redis.url,
    }


@dataclass
class Running:
    """The program, as it runs in this process; ``portal``: to its event loop."""

    app: Any
    provider: FakeProvider
    portal: BlockingPortal

    def browser(self) -> TestClient:
        browser = TestClient(self.app, base_url=SITE, follow_redirects=False, headers=PAGE)
        browser.portal = self.portal
        return browser

    def log_in(self, browser: TestClient, path: str = "/auth/login") -> str:
        """Log in as alice; returns where the callback leads."""
        url = browser.get(path).headers["location"]
        response = browser.get(self.portal.call(self.provider.sign_in, url).url)
        assert response.status_code == 303, response.text
        return str(response.headers["location"])

    def logged_in(self) -> TestClient:
        browser = self.browser()
        self.log_in(browser)
        return browser


@pytest.fixture
def running(
    provider: FakeProvider, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    for name, value in settings(provider, redis).items():
        monkeypatch.setenv(name, value)
    program = runpy.run_path(str(FOLDER / "app.py"))
    app = program["app"]
    # The program itself knows no transport: these lead to the provider in this process.
    program["oauth"].register(
        "op",
        replace=True,
        api_base_url=f"{provider.issuer}/userinfo",
        **provider.register_settings("my-app"),
    )
    provider.client_transport = httpx2.ASGITransport(app)
    with TestClient(app) as client:
        app.state.api._transport = httpx2.ASGITransport(provider.app)
        assert client.portal is not None
        yield Running(app, provider, client.portal)


def pre(response: httpx2.Response) -> str:
    """What a page shows in its block of text."""
    assert response.status_code == 200, response.text
    found = re.search("<pre>(.*?)</pre>", response.text, re.DOTALL)
    assert found is not None, response.text
    return unescape(found[1])


class TestPages:
    def test_home(self, running: Running) -> None:
        browser = running.browser()
        assert 'href="/auth/login"' in browser.get("/").text
        assert running.log_in(browser) == "/"
        assert "Hello, Alice Example" in browser.get("/").text

    @pytest.mark.parametrize("path", ["/account", "/api-call", "/message", "/payment"])
    def test_through_the_login_and_back(self, running: Running, path: str) -> None:
        browser = running.browser()
        response = browser.get(path)
        assert response.status_code == 302
        assert running.log_in(browser, response.headers["location"]) == path
        page = browser.get(path)
        assert page.status_code == 200
        assert page.headers["cache-control"] == "no-store"

    def test_account(self, running: Running) -> None:
        text = pre(running.logged_in().get("/account"))
        for shown in ("alice@example.test", '"authenticated"', '"ends": 1'):
            assert shown in text

    def test_a_script_is_told_where_the_login_is(self, running: Running) -> None:
        browser = running.browser()
        response = browser.get("/api/me", headers=SCRIPT)
        assert response.status_code == 401
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["login_url"] == "/auth/login?return_to=%2F"
        running.log_in(browser)
        assert browser.get("/api/me", headers=SCRIPT).json()["sub"] == "alice"

    def test_payment_wants_a_recent_login(self, running: Running) -> None:
        browser = running.browser()
        with running.provider.fault("id_token.auth_time", from_now(-400)):
            running.log_in(browser)
        challenge = browser.get("/payment")
        assert challenge.headers["location"] == "/auth/login?return_to=%2Fpayment&max_age=300"
        assert running.log_in(browser, challenge.headers["location"]) == "/payment"
        assert "Go ahead, Alice Example" in browser.get("/payment").text


class TestForm:
    def test_sent(self, running: Running) -> None:
        text = "<b> & so on"
        response = running.logged_in().post("/message", data={"text": text}, headers=FORM)
        assert pre(response) == text

    def test_sent_after_the_session_has_ended(self, running: Running, redis: RedisServer) -> None:
        browser = running.logged_in()
        with redis.client() as client:
            client.flushall()
        response = browser.post("/message", data={"text": "half an hour's work"}, headers=FORM)
        assert response.status_code == 303
        assert running.log_in(browser, response.headers["location"]) == "/auth/resume"
        page = browser.get("/auth/resume")
        assert 'name="text" value="half an hour&#x27;s work"' in page.text
        assert 'action="/message"' in page.text

    def test_another_site_s_form_is_not_kept(self, running: Running) -> None:
        cross_site = {**PAGE, "sec-fetch-site": "cross-site"}
        response = running.browser().post("/message", data={"text": "x"}, headers=cross_site)
        assert response.headers["location"] == "/auth/login"

    def test_a_form_with_a_field_missing(self, running: Running) -> None:
        assert running.logged_in().post("/message", headers=FORM).status_code == 422


class TestTokens:
    def test_an_api_call(self, running: Running) -> None:
        page = running.logged_in().get("/api-call")
        assert "The API answers 200" in page.text
        assert "alice@example.test" in pre(page)

    def test_refreshed_first(self, running: Running) -> None:
        browser = running.browser()
        with running.provider.fault("token.expires_in", 0):
            running.log_in(browser)
        before = running.provider.count("token")
        for _ in range(2):
            assert "The API answers 200" in browser.get("/api-call").text
        assert running.provider.count("token") == before + 1

    def test_the_provider_has_ended_the_login(self, running: Running) -> None:
        browser = running.browser()
        with running.provider.fault("token.expires_in", 0):
            running.log_in(browser)
        with running.provider.fault("token.error", "invalid_grant"):
            response = browser.get("/api-call")
        assert response.headers["location"] == "/auth/login?return_to=%2Fapi-call"
        assert "Welcome" in browser.get("/").text

    def test_the_provider_is_away(self, running: Running) -> None:
        browser = running.browser()
        with running.provider.fault("token.expires_in", 0):
            running.log_in(browser)
        with running.provider.fault("token.status", 503):
            assert browser.get("/api-call").status_code == 502
        assert "The API answers 200" in browser.get("/api-call").text

    def test_a_report_is_written_in_the_background(self, running: Running) -> None:
        browser = running.logged_in()
        response = browser.post("/reports", headers=FORM)
        assert response.status_code == 303
        assert "alice@example.test" in pre(browser.get(response.headers["location"]))
        assert "Not ready" in pre(browser.get("/reports/another"))
        assert running.browser().get(response.headers["location"]).status_code == 302

    def test_a_report_needs_a_refresh_token(self, running: Running) -> None:
        running.provider.behaviour.refresh_tokens = False
        response = running.logged_in().post("/reports", headers=FORM)
        assert response.status_code == 401
        assert "request.refresh_token_missing" in response.text


class TestTheEnd:
    def test_log_out(self, running: Running) -> None:
        browser = running.logged_in()
        response = browser.post("/auth/logout", headers=FORM)
        back = running.portal.call(running.provider.sign_out, response.headers["location"])
        assert browser.get(back).headers["location"] == "/"
        assert "Welcome" in browser.get("/").text
        assert browser.get("/account").status_code == 302

    def test_no_other_site_logs_out(self, running: Running) -> None:
        browser = running.logged_in()
        cross_site = {**PAGE, "sec-fetch-site": "cross-site"}
        assert browser.post("/auth/logout", headers=cross_site).status_code == 403
        assert "Hello" in browser.get("/").text

    def test_everywhere(self, running: Running) -> None:
        here, there = running.logged_in(), running.logged_in()
        response = here.post("/logout-everywhere", headers=FORM)
        assert (response.status_code, response.headers["location"]) == (303, "/")
        for browser in (here, there):
            assert "Welcome" in browser.get("/").text

    def test_everywhere_is_for_people_who_are_logged_in(self, running: Running) -> None:
        other = running.logged_in()
        assert running.browser().post("/logout-everywhere", headers=FORM).status_code == 303
        assert "Hello" in other.get("/").text

    def test_by_the_provider(self, running: Running) -> None:
        browser = running.logged_in()
        running.portal.call(running.provider.end_sessions, "alice")
        assert [call.response.status_code for call in running.provider.logout_calls] == [200]
        assert "Welcome" in browser.get("/").text


def test_without_redis_nobody_is_logged_out(running: Running, redis: RedisServer) -> None:
    browser = running.logged_in()
    redis.stop()
    try:
        response = browser.get("/account")
    finally:
        redis.start()
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert "Nobody is logged out by that" in response.text
    assert "set-cookie" not in response.headers


def test_with_several_workers(redis: RedisServer, tmp_path: Path) -> None:
    """As the README says: uvicorn, two processes, cookies that are Secure over plain http."""
    (port,) = free_ports(1)
    site = f"http://127.0.0.1:{port}"
    providers: list[FakeProvider] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await providers[0].app(scope, receive, send)

    with serve(app) as issuer, (tmp_path / "log").open("w+") as log:
        provider = FakeProvider(issuer)
        provider.add_client("my-app", "its-secret")
        providers.append(provider)
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(FOLDER), "app:app"]
        process = subprocess.Popen(
            [*command, "--port", str(port), "--workers", "2"],
            env={**os.environ, **settings(provider, redis)},
            stdout=log,
            stderr=log,
        )
        try:
            _stay_logged_in(site, provider)
        finally:
            process.terminate()
            process.wait(START_SECONDS)
            log.seek(0)
            output = log.read()
        assert "Traceback" not in output, output


def _stay_logged_in(site: str, provider: FakeProvider) -> None:
    jar = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
    with httpx2.Client(
        base_url=site, cookies=jar, headers=PAGE, verify=NO_TLS, trust_env=False
    ) as browser:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                url = browser.get("/auth/login").headers["location"]
            except httpx2.TransportError:
                assert time.monotonic() < deadline, "the program did not start in time"
                time.sleep(0.05)
            else:
                break
        assert browser.get(anyio.run(provider.sign_in, url).url).status_code == 303
        for _ in range(10):
            with httpx2.Client(cookies=jar, verify=NO_TLS, trust_env=False) as connection:
                assert "Hello, Alice" in connection.get(f"{site}/").text
                assert "The API answers 200" in connection.get(f"{site}/api-call").text
        response = browser.post("/auth/logout", headers=FORM)
        assert response.headers["location"].startswith(f"{provider.issuer}/end-session?")
        assert "Welcome" in browser.get("/").text
