"""A login through the ready-made routes, and the session that comes of it."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from reliant.login import Login, Session, User
from reliant.protocol.claims import UserInfo
from reliant.starlette import OAuth
from reliant.storage.session_record import SessionRecord
from reliant.testing import Callback, extra
from tests.helpers.login_app import KINDS, PAGE, SAME_ORIGIN, SITE, LoginApp, take_cookies, whoami
from tests.helpers.relying_party import deliver, new_browser, sign_in


def cookies_of(response: Any) -> dict[str, str]:
    """The Set-Cookie headers of an answer, by name."""
    return {value.partition("=")[0]: value for value in response.headers.get_list("set-cookie")}


class TestTheWayThrough:
    def test_to_the_page_that_was_asked_for_and_on(self, app: LoginApp) -> None:
        browser = app.browser()
        challenge = browser.get("/me?tab=2", headers=PAGE)
        assert challenge.status_code == 302
        assert challenge.headers["location"] == "/auth/login?return_to=%2Fme%3Ftab%3D2"
        assert challenge.headers["cache-control"] == "no-store"
        response = app.log_in(browser, path=challenge.headers["location"])
        assert (response.status_code, response.headers["location"]) == (303, "/me?tab=2")
        page = browser.get("/me?tab=2", headers=PAGE)
        assert page.status_code == 200
        assert page.json()["sub"] == "alice"

    def test_who_is_logged_in(self, app: LoginApp) -> None:
        browser = app.logged_in()
        me = browser.get("/me").json()
        assert me["iss"] == app.provider.issuer
        assert me["sid"]
        assert me["claims"]["auth_time"] == app.clock.now
        assert me["user"] == "<User 'alice'>"
        assert me["created_at"] == app.clock.now
        assert me["expires_at"] == app.clock.now + 24 * 3600
        for _ in range(4):
            scopes = browser.get("/").json()["scopes"]
            assert scopes == ["authenticated", "openid", "profile", "email"]

    def test_no_token_is_opened_to_know_who_it_is(
        self, app: LoginApp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def count(text: str) -> SessionRecord | None:
            opened.append(text)
            return loads(text)

        browser, opened, loads = app.logged_in(), list[str](), SessionRecord.loads
        monkeypatch.setattr(SessionRecord, "loads", count)
        for _ in range(5):  # its first two requests in a minute, and then no more
            assert browser.get("/me").status_code == 200
        assert len(opened) == 2
        assert browser.get("/token").status_code == 200
        assert len(opened) == 3

    def test_nobody_is_logged_in(self, app: LoginApp) -> None:
        assert app.browser().get("/").json() == {"sub": None, "scopes": []}

    def test_two_people_in_two_browsers(self, app: LoginApp) -> None:
        alice, bob = app.logged_in("alice"), app.logged_in("bob")
        assert (whoami(alice), whoami(bob)) == ("alice", "bob")

    def test_the_redirect_uri(self, app: LoginApp) -> None:
        location = app.browser().get("/auth/login").headers["location"]
        assert "redirect_uri=https%3A%2F%2Ftestserver%2Fauth%2Fcallback&" in location

    def test_begun_by_the_provider(self, app: LoginApp) -> None:
        """OpenID Connect Core section 4."""
        browser = app.browser()
        response = browser.get(
            "/auth/initiate-login",
            params={"iss": app.provider.issuer, "target_link_uri": f"{SITE}/me"},
        )
        response = deliver(browser, sign_in(app.provider, response.headers["location"]))
        assert (response.status_code, response.headers["location"]) == (303, "/me")
        assert whoami(browser) == "alice"

    def test_the_place_that_a_provider_names_is_of_the_site_as_it_is_known(self) -> None:
        app = LoginApp("store", base_url="https://Public.example:443/")
        inside = app.browser(headers={"host": "internal:8080"})
        for site, status in (("https://public.example", 302), ("https://internal:8080", 400)):
            query = {"iss": app.provider.issuer, "target_link_uri": f"{site}/me"}
            assert inside.get("/auth/initiate-login", params=query).status_code == status
        response = inside.post("/auth/logout", headers={"origin": "https://public.example"})
        assert response.status_code == 303

    @pytest.mark.parametrize(
        "path",
        [
            "/auth/logout",
            "/auth/logout?x=y",
            "/auth/./logout",
            "/auth//x/../login",
            "/auth/%6cogin",
        ],
    )
    def test_no_login_leads_to_our_own_pages(self, app: LoginApp, path: str) -> None:
        browser, asked = app.browser(), quote(path, safe="")
        for url in (
            f"/auth/login?return_to={asked}",
            f"/auth/initiate-login?iss={app.provider.issuer}&target_link_uri={asked}",
        ):
            assert app.log_in(browser, path=url).headers["location"] == "/"

    def test_our_own_pages_are_no_place_to_come_back_to(self, app: LoginApp) -> None:
        for path in ("/auth/resume", "/auth/resume?x=1"):
            location = app.browser().get(path, headers=PAGE).headers["location"]
            assert location == f"/auth/login?return_to={quote(path, safe='')}"
        browser = app.browser(headers={**SAME_ORIGIN, "referer": f"{SITE}/auth/callback?code=x"})
        assert browser.post("/order").headers["location"] == "/auth/login"

    def test_over_http_the_log_says_why_it_can_not_work(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        for site, warned in (("http://localhost:8000", 0), ("http://testserver", 1)):
            browser = new_browser(LoginApp("store").app, site)
            for _ in range(2):
                browser.get("/auth/login")
            assert caplog.text.count("keep no session cookie") == warned

    def test_a_form_post_callback(self) -> None:
        oauth = OAuth(secret_key="without one the registry refuses form_post")
        app = LoginApp("store", oauth=oauth, settings={"response_mode": "form_post"})
        browser = app.browser()
        response = app.log_in(browser)
        assert response.status_code == 303
        assert whoami(browser) == "alice"


class TestTheCookie:
    def test_its_attributes(self, app: LoginApp) -> None:
        for value in cookies_of(app.log_in(app.browser())).values():
            assert value.startswith("__Host-")
            rest = value.partition("; ")[2]
            assert rest == f"Max-Age={48 * 3600}; Path=/; Secure; HttpOnly; SameSite=Lax"

    def test_each_login_has_a_new_one(self, app: LoginApp) -> None:
        browser = app.browser()
        first = cookies_of(app.log_in(browser))["__Host-login.op"]
        second = cookies_of(app.log_in(browser))["__Host-login.op"]
        assert first.partition(";")[0] != second.partition(";")[0]

    @pytest.mark.parametrize("app", ["store", "indexed"], indirect=True)
    def test_the_login_before_is_over(self, app: LoginApp) -> None:
        browser, thief = app.logged_in(), app.browser()
        take_cookies(thief, browser)
        assert whoami(thief) == "alice"
        app.clock.advance(1)
        app.log_in(browser)
        assert whoami(browser) == "alice"
        assert whoami(thief) is None

    def test_one_planted_before_the_login_is_not_taken_over(self, app: LoginApp) -> None:
        victim, attacker = app.browser(), app.logged_in("mallory")
        take_cookies(victim, attacker)
        app.log_in(victim, "alice")
        assert whoami(victim) == "alice"
        assert whoami(attacker) != "alice"

    def test_no_answer_but_the_login_sets_it(self, app: LoginApp) -> None:
        browser = app.logged_in()
        for path in ("/", "/me", "/token"):
            assert "set-cookie" not in browser.get(path).headers

    @pytest.mark.parametrize("path", ["/me", "/whoami"])
    def test_a_personal_page_is_kept_nowhere(self, app: LoginApp, path: str) -> None:
        """Also where it requires no login, and yet knows who is logged in."""
        assert app.logged_in().get(path).headers["cache-control"] == "no-store"

    def test_a_page_for_all_is_left_as_it_is(self, app: LoginApp, tmp_path: Path) -> None:
        async def dated(request: Request) -> Response:
            return Response(headers={"cache-control": "max-age=5"})

        (tmp_path / "style.css").touch()
        files = StaticFiles(directory=tmp_path)
        app.app.router.routes += [Route("/dated", dated), Mount("/static", files)]
        browser = app.logged_in()
        assert browser.get("/dated").headers["cache-control"] == "max-age=5"
        assert "cache-control" not in browser.get("/static/style.css").headers
        assert "cache-control" not in app.browser().get("/whoami").headers

    def test_a_login_is_not_for_caches(self, app: LoginApp) -> None:
        assert app.log_in(app.browser()).headers["cache-control"] == "no-store"

    def test_garbage_is_nobody(self, app: LoginApp) -> None:
        for value in ("", "x", "a.b.c", "é", "~", "x" * 5000, "a; __Host-login.op!a.1=9x"):
            browser = app.browser()
            cookie = f"__Host-login.op={value}".encode()
            response = browser.get("/", headers={b"cookie": cookie})
            assert response.json()["sub"] is None


class TestAgain:
    """A callback that comes twice goes where the first login went, without an error page."""

    def callback(self, app: LoginApp, browser: TestClient) -> Callback:
        url = browser.get("/auth/login?return_to=/me").headers["location"]
        return sign_in(app.provider, url)

    def test_reload_or_back(self, app: LoginApp, caplog: pytest.LogCaptureFixture) -> None:
        browser = app.browser()
        callback = self.callback(app, browser)
        for _ in range(3):
            response = deliver(browser, callback)
            assert (response.status_code, response.headers["location"]) == (303, "/me")
        assert app.provider.count("token") == 1
        assert caplog.text == ""

    def test_after_another_login(self, app: LoginApp) -> None:
        browser = app.browser()
        callback = self.callback(app, browser)
        deliver(browser, callback)
        app.log_in(browser, path="/auth/login?return_to=/other")
        response = deliver(browser, callback)
        assert (response.status_code, response.headers["location"]) == (303, "/me")
        assert whoami(browser) == "alice"

    def test_when_the_first_answer_got_lost(self, app: LoginApp) -> None:
        """The browser never saw the session; the provider still knows the person."""
        browser = app.browser()
        callback = self.callback(app, browser)
        lost = app.browser()
        take_cookies(lost, browser)
        deliver(lost, callback)
        response = deliver(browser, callback)
        assert response.status_code == 302
        assert response.headers["location"].startswith(f"{app.provider.issuer}/authorize?")
        response = deliver(browser, sign_in(app.provider, response.headers["location"]))
        assert (response.status_code, response.headers["location"]) == (303, "/me")
        assert whoami(browser) == "alice"

    def test_but_once_only(self, app: LoginApp) -> None:
        browser = app.browser()
        callback = self.callback(app, browser)
        for expected in (302, 400):
            lost = app.browser()
            take_cookies(lost, browser)
            deliver(lost, callback)
            response = deliver(browser, callback)
            assert response.status_code == expected
            if expected == 302:
                callback = sign_in(app.provider, response.headers["location"])
        assert response.json()["code"] == "state.used"

    def test_when_the_provider_s_page_was_open_for_too_long(self, app: LoginApp) -> None:
        browser = app.browser()
        callback = self.callback(app, browser)
        app.clock.advance(601)
        response = deliver(browser, callback)
        assert response.status_code == 302
        response = deliver(browser, sign_in(app.provider, response.headers["location"]))
        assert (response.status_code, response.headers["location"]) == (303, "/me")
        assert whoami(browser) == "alice"

    def test_two_logins_at_once(self, app: LoginApp) -> None:
        browser = app.browser()
        first, second = self.callback(app, browser), self.callback(app, browser)
        for callback in (second, first):
            assert deliver(browser, callback).status_code == 303
            assert whoami(browser) == "alice"

    def test_after_the_logout_it_is_an_error(self, app: LoginApp) -> None:
        """Nobody is logged in again who has just logged out."""
        browser = app.browser()
        callback = self.callback(app, browser)
        deliver(browser, callback)
        browser.post("/auth/logout", headers=SAME_ORIGIN)
        response = deliver(browser, callback)
        assert response.status_code == 400
        assert whoami(browser) is None

    def test_a_state_of_somebody_else(self, app: LoginApp) -> None:
        callback = self.callback(app, app.browser())
        browser = app.logged_in("bob")
        assert deliver(browser, callback).status_code == 400
        assert whoami(browser) == "bob"


class TestLateAnswers:
    """A request of the login before is still under way when somebody else logs in."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("fault", [None, "invalid_grant"])
    def test_they_change_nothing(self, kind: str, fault: str | None) -> None:
        app = LoginApp(kind)
        browser, late = app.logged_in("alice"), app.browser()
        take_cookies(late, browser)
        app.clock.advance(3600)
        with app.provider.fault("token.error", fault) if fault else nullcontext():
            answer = late.get("/token")
        assert answer.status_code == (401 if fault else 200)
        app.log_in(browser, "bob")
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            if "Max-Age=0" in rest:
                browser.cookies.delete(name) if name in browser.cookies else None
            else:
                browser.cookies.set(name, rest.partition(";")[0], domain="testserver.local")
        assert whoami(browser) == "bob"
        assert browser.get("/token").status_code == 200
        browser.post("/auth/logout", headers=SAME_ORIGIN)
        assert whoami(browser) is None


class TestFailures:
    def test_a_page_with_a_way_on(self, app: LoginApp) -> None:
        browser = app.browser()
        url = browser.get("/auth/login?return_to=/me").headers["location"]
        denied = anyio.run(app.provider.deny, url)
        page = browser.get(denied.url, headers=PAGE)
        assert page.status_code == 400
        assert "Login canceled" in page.text
        assert '<a href="/auth/login?return_to=%2Fme">Try again</a>' in page.text
        assert whoami(browser) is None
        # No new login begins when the page is reloaded, or answered no after a long time.
        assert browser.get(denied.url, headers=PAGE).status_code == 400
        app.clock.advance(601)
        assert browser.get(denied.url, headers=PAGE).status_code == 400

    def test_a_login_that_can_not_begin(self, app: LoginApp) -> None:
        with app.provider.fault("discovery.status", 503):
            page = app.browser().get("/auth/login?return_to=/me", headers=PAGE)
        assert page.status_code == 502
        assert '<a href="/auth/login?return_to=%2Fme">Try again</a>' in page.text

    @pytest.mark.parametrize("fault", ["id_token.nonce", "id_token.aud", "id_token.sub"])
    def test_a_bad_id_token_is_no_login(self, app: LoginApp, fault: str) -> None:
        browser = app.browser()
        with app.provider.fault(fault, None):
            response = app.log_in(browser)
        assert response.status_code == 401
        assert response.json()["code"].startswith("id_token.")
        assert "__Host-login.op" not in cookies_of(response)
        assert whoami(browser) is None

    def test_a_failed_login_leaves_the_old_session(self, app: LoginApp) -> None:
        browser = app.logged_in()
        with app.provider.fault("token.status", 500):
            assert app.log_in(browser, "bob").status_code == 502
        assert whoami(browser) == "alice"

    @pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil", "x"])
    def test_a_return_to_elsewhere(self, app: LoginApp, path: str) -> None:
        response = app.browser().get("/auth/login", params={"return_to": path})
        assert (response.status_code, response.json()["code"]) == (400, "return_to.not_local")

    def test_parameters_that_are_passed_on(self, app: LoginApp) -> None:
        response = app.browser().get(
            "/auth/login?prompt=login&login_hint=al&max_age=5&acr_values=2&ui_locales=de"
            "&scope=admin&client_id=other&state=mine&redirect_uri=https://evil.example"
        )
        url = response.headers["location"]
        for passed in ("prompt=login", "login_hint=al", "max_age=5", "acr_values=2"):
            assert passed in url
        for kept_out in ("admin", "other", "=mine", "evil"):
            assert kept_out not in url

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("prompt=a&prompt=b", "authorization.repeated_parameter"),
            (f"login_hint={'x' * 1025}", "login.parameter"),
            ("max_age=x", "login.parameter"),
            ("max_age=-1", "login.parameter"),
            ("max_age=%C2%B2", "login.parameter"),
        ],
    )
    def test_parameters_that_are_refused(self, app: LoginApp, query: str, code: str) -> None:
        response = app.browser().get(f"/auth/login?{query}")
        assert (response.status_code, response.json()["code"]) == (400, code)

    def test_a_provider_session_that_is_over(self, app: LoginApp) -> None:
        for value in (app.clock.now, 5, "soon", [1]):
            with app.provider.fault("id_token.session_expiry", extra(value)):
                response = app.log_in(app.browser())
            assert (response.status_code, response.json()["code"]) == (
                401, "id_token.session_expiry",
            )  # fmt: skip


class TestLifetime:
    def test_the_provider_caps_it(self, app: LoginApp) -> None:
        browser = app.browser()
        with app.provider.fault("id_token.session_expiry", extra(app.clock.now + 100)):
            app.log_in(browser)
        assert browser.get("/me").json()["expires_at"] == app.clock.now + 100
        app.clock.advance(99)
        assert whoami(browser) == "alice"
        app.clock.advance(1)
        assert whoami(browser) is None

    def test_it_ends_without_requests(self, app: LoginApp) -> None:
        browser = app.logged_in()
        app.clock.advance(2 * 3600 - 1)
        assert whoami(browser) == "alice"
        app.clock.advance(2 * 3600)
        assert whoami(browser) is None

    def test_it_lasts_with_them_but_not_for_ever(self, app: LoginApp) -> None:
        browser = app.logged_in()
        for _ in range(23):
            app.clock.advance(3600)
            assert whoami(browser) == "alice"
        app.clock.advance(3600)
        assert whoami(browser) is None


class TestTheAppsOwnUser:
    def users(self, claims: UserInfo) -> Any:
        return {"alice": "the user Alice"}.get(str(claims.sub))

    async def users_async(self, claims: UserInfo) -> Any:
        await anyio.lowlevel.checkpoint()
        return self.users(claims)

    @pytest.mark.parametrize("hook", ["users", "users_async"])
    @pytest.mark.parametrize("kind", ["cookies", "store"])
    def test_is_request_user(self, kind: str, hook: str) -> None:
        app = LoginApp(kind, load_user=getattr(self, hook))
        browser = app.browser()
        app.log_in(browser)
        assert browser.get("/me").json()["user"] == "'the user Alice'"

    @pytest.mark.parametrize("kind", ["cookies", "indexed", "store"])
    def test_what_it_changes_in_the_claims_is_gone_with_the_request(self, kind: str) -> None:
        found: list[list[str]] = []
        auth: list[Login] = []

        def promoted(claims: UserInfo) -> User:
            found.append(list(claims["groups"]))
            claims["groups"].append("admins")
            claims["home"]["country"] = "Nowhere"
            return User(claims)

        async def page(request: Request) -> Response:
            session = auth[0].session(request)
            session.tokens["userinfo"].update(sub="bob", acr="gold")
            session.claims["groups"].append("admins")
            before = session.tokens["access_token"]
            refreshed = (await session.token())["access_token"] != before
            session.tokens["userinfo"].update(sub="bob", acr="gold")
            session.claims["groups"].append("admins")
            return Response(str(refreshed))

        def routes(login: Login) -> list[Route]:
            auth.append(login)
            return [Route("/page", page)]

        app = LoginApp(kind, load_user=promoted, userinfo=True, routes=routes)
        app.provider.behaviour.access_token_lifetime = 300
        app.provider.users["alice"] = {"groups": ["staff"], "home": {"country": "France"}}
        browser = app.logged_in()
        for number in range(4):
            app.clock.advance(290 if number == 3 else 1)
            pages = [browser.get("/page").text for _ in range(2)]
            assert pages == (["True", "False"] if number == 3 else ["False", "False"])
            me = browser.get("/me").json()
            claims = me["claims"]
            assert (me["sub"], claims["sub"], claims.get("acr")) == ("alice", "alice", None)
            assert (claims["groups"], claims["home"]) == (["staff"], {"country": "France"})
        assert found == [["staff"]] * 13

    @pytest.mark.parametrize("kind", ["cookies", "store"])
    def test_whom_it_does_not_know(self, kind: str) -> None:
        app = LoginApp(kind, load_user=self.users)
        browser = app.browser()
        response = app.log_in(browser, "bob")
        assert (response.status_code, response.json()["code"]) == (403, "login.refused")
        assert "__Host-login.op" not in cookies_of(response)

    def test_who_is_not_known_may_be_somebody_else(self) -> None:
        """The provider remembers who it was, and must be told to ask again."""
        app = LoginApp(load_user=lambda claims: None)
        browser = app.browser()
        url = browser.get("/auth/login?return_to=/me").headers["location"]
        page = browser.get(sign_in(app.provider, url).url, headers=PAGE).text
        assert "<h1>No access</h1>" in page
        assert '<a href="/auth/login?return_to=%2Fme&amp;prompt=login">Try again</a>' in page

    @pytest.mark.parametrize("kind", ["cookies", "indexed", "store"])
    def test_whom_it_does_not_know_any_more(self, kind: str) -> None:
        known = ["alice"]
        app = LoginApp(kind, load_user=lambda c: User(c) if c.sub in known else None)
        browser = app.logged_in()
        known.clear()
        response = browser.get("/me")
        assert response.status_code == 401
        # Of a newer login, which that answer may come too late for, it takes nothing.
        names = [it.partition("=")[0] for it in response.headers.get_list("set-cookie")]
        assert "__Host-login.op" not in names
        assert bool(names) == (kind != "store")
        known.append("alice")
        assert browser.get("/me").status_code == 401  # that session is over


class TestUserInfo:
    def test_claims_that_the_id_token_lacks(self) -> None:
        for kind in ("cookies", "store"):
            app = LoginApp(kind, userinfo=True)
            claims = app.logged_in().get("/me").json()["claims"]
            assert claims["email"] == "alice@example.test"
            assert claims["iss"] == app.provider.issuer

    def test_nothing_is_refreshed_for_it(self) -> None:
        """A provider that rotates takes a refresh token that is used twice for theft."""
        app = LoginApp("store", userinfo=True)
        app.provider.behaviour.access_token_lifetime = 5
        browser = app.logged_in()
        assert app.provider.count("token") == 1
        for _ in range(2):
            app.clock.advance(5)
            assert browser.get("/token").status_code == 200
        assert whoami(browser) == "alice"

    def test_only_where_asked_for(self, app: LoginApp) -> None:
        assert "email" not in app.logged_in().get("/me").json()["claims"]
        assert app.provider.count("userinfo") == 0

    def test_a_userinfo_answer_about_another_is_no_login(self) -> None:
        app = LoginApp("store", userinfo=True)
        with app.provider.fault("userinfo.sub", "mallory"):
            response = app.log_in(app.browser())
        assert response.json()["code"] == "userinfo.sub_mismatch"


def test_the_issues_example_with_a_base_url() -> None:
    app = LoginApp("store", base_url="https://public.example")
    location = (
        app.browser().get("/auth/login", headers={"host": "internal:8080"}).headers["location"]
    )
    assert "redirect_uri=https%3A%2F%2Fpublic.example%2Fauth%2Fcallback&" in location


def test_the_app_waits_for_a_refresh_before_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked for it is gone; the token that it brings must be kept all the same."""
    app = LoginApp("store")
    browser = app.logged_in()
    cookie = browser.cookies["__Host-login.op"]
    app.clock.advance(3600)

    async def stop_in_the_midst() -> None:
        begun, acquire = anyio.Event(), app.store.acquire

        async def tell(*args: Any) -> Any:
            begun.set()
            await anyio.sleep(0.1)  # the app would be gone by then
            return await acquire(*args)

        monkeypatch.setattr(app.store, "acquire", tell)
        async with app.auth.lifespan(app.app):
            family = await app.auth._reception.sessions.find(cookie, lambda: True)
            assert family is not None
            session = Session(family, app.auth._reception._refresher, None)
            asked = asyncio.ensure_future(session.token())
            await begun.wait()
            asked.cancel()

    anyio.run(stop_in_the_midst)
    assert app.provider.count("token") == 2
    assert browser.get("/token").status_code == 200
    assert app.provider.count("token") == 2


def test_tabs_that_log_in_at_once_leave_one_session() -> None:
    """As those that a browser opens at its start; no answer knows of the others' cookies."""
    app = LoginApp("cookies")
    browser = app.browser()
    for _ in range(3):
        take_cookies(browser, app.logged_in())
    parts = [name for name in browser.cookies if name.startswith("__Host-login.op!")]
    assert len(parts) == 3 * 2
    assert whoami(browser) == "alice"
    assert len([name for name in browser.cookies if name.startswith("__Host-login.op!")]) == 2
    assert whoami(browser) == "alice"
