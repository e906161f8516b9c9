"""Logging out: here, at the provider, and from there."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest

from reliant import ConfigurationError
from reliant.login import Session
from reliant.login.visit import Visit
from reliant.starlette import LogoutEvent
from reliant.testing import REMOVE, FakeProvider
from tests.helpers.login_app import PAGE, SAME_ORIGIN, LoginApp, take_cookies, whoami
from tests.helpers.relying_party import new_browser

LOGOUT = "https://testserver/auth/backchannel-logout"


class TestFromHere:
    def test_the_whole_way(self, app: LoginApp) -> None:
        browser = app.logged_in()
        response = browser.post("/auth/logout", headers=SAME_ORIGIN)
        assert response.status_code == 303
        assert response.headers["cache-control"] == "no-store"
        assert whoami(browser) is None
        back = anyio.run(app.provider.sign_out, response.headers["location"])
        assert back.startswith("https://testserver/auth/logged-out?state=")
        response = browser.get(back)
        assert (response.status_code, response.headers["location"]) == (303, "/")

    @pytest.mark.parametrize("how", ["logout", "another login"])
    def test_a_copy_that_was_used_while_the_browser_was_not(self, app: LoginApp, how: str) -> None:
        """The session is over for the browser, and not for who took its cookies."""
        with app.browser() as browser, app.browser() as thief:
            app.log_in(browser)
            take_cookies(thief, browser)
            for _ in range(3):
                app.clock.advance(3600)
                assert whoami(thief) == "alice"
            if how == "logout":
                browser.post("/auth/logout", headers=SAME_ORIGIN)
            else:
                app.log_in(browser)
            assert whoami(thief) is None

    def test_what_the_provider_is_told(self, app: LoginApp) -> None:
        browser = app.logged_in()
        url = urlsplit(browser.post("/auth/logout", headers=SAME_ORIGIN).headers["location"])
        query = parse_qs(url.query)
        assert query["post_logout_redirect_uri"] == ["https://testserver/auth/logged-out"]
        assert query["id_token_hint"][0].count(".") == 2
        assert query["client_id"] == ["fake-client"]

    def test_a_hint_that_the_provider_can_not_read_any_more(self, app: LoginApp) -> None:
        response = app.logged_in().post("/auth/logout", headers=SAME_ORIGIN)
        with_other_keys = FakeProvider(app.provider.issuer, signing_alg="ES256")
        back = anyio.run(with_other_keys.sign_out, response.headers["location"])
        assert back.startswith("https://testserver/auth/logged-out?state=")

    def test_the_tokens_are_revoked(self, app: LoginApp) -> None:
        browser = app.logged_in()
        browser.post("/auth/logout", headers=SAME_ORIGIN)
        assert app.provider.count("revoke") == 1
        (revoked,) = [r for r in app.provider.requests if r.endpoint == "revoke"]
        assert revoked.params["token_type_hint"] == "refresh_token"

    def test_those_of_a_refresh_that_came_in_between(
        self, app: LoginApp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        browser = app.logged_in()
        app.clock.advance(3600)
        reception = app.auth._reception
        end_session, newest = reception.end_session, []

        async def refresh_first(visit: Visit) -> Any:
            family = await reception.sessions.find(visit.value or "", lambda: True)
            assert family is not None
            await Session(family, reception._refresher, None).token()
            newest.append(family.record.token.refresh_token)
            return await end_session(visit)

        monkeypatch.setattr(reception, "end_session", refresh_first)
        browser.post("/auth/logout", headers=SAME_ORIGIN)
        (revoked,) = [r for r in app.provider.requests if r.endpoint == "revoke"]
        assert [revoked.params["token"]] == newest

    @pytest.mark.parametrize("app", ["indexed", "store"], indirect=True)
    def test_a_copy_of_the_cookie_is_worth_nothing(self, app: LoginApp) -> None:
        browser, thief = app.logged_in(), app.browser()
        for name, value in browser.cookies.items():
            thief.cookies.set(name, value, domain="testserver.local")
        assert whoami(thief) == "alice"
        browser.post("/auth/logout", headers=SAME_ORIGIN)
        assert whoami(thief) is None

    def test_the_session_ends_whatever_the_provider_does(self, app: LoginApp) -> None:
        browser = app.logged_in()
        for fault in ("discovery.status", "revoke.status"):
            app.provider.fault(fault, 503)
        app.oauth.register("op", replace=True, **app.provider.register_settings())
        response = browser.post("/auth/logout", headers=SAME_ORIGIN)
        assert (response.status_code, response.headers["location"]) == (303, "/")
        assert whoami(browser) is None

    def test_a_provider_without_logout_and_revocation(self) -> None:
        provider = FakeProvider()
        provider.fault("discovery.end_session_endpoint", REMOVE)
        provider.fault("discovery.revocation_endpoint", REMOVE)
        app = LoginApp("store", provider=provider, after_logout="/bye")
        browser = app.logged_in()
        response = browser.post("/auth/logout", headers=SAME_ORIGIN)
        assert (response.status_code, response.headers["location"]) == (303, "/bye")
        assert provider.count("revoke") == 0

    def test_a_session_that_was_over(self, app: LoginApp) -> None:
        """Or the next one at this browser would be logged in as its person, with one click."""
        browser = app.logged_in()
        app.clock.advance(2 * 3600)
        url = urlsplit(browser.post("/auth/logout", headers=SAME_ORIGIN).headers["location"])
        assert url.path == "/end-session"
        query = parse_qs(url.query)
        assert query["client_id"] == [app.oauth.op.client_id]
        assert query["post_logout_redirect_uri"] == ["https://testserver/auth/logged-out"]
        response = browser.post("/auth/logout", headers=SAME_ORIGIN)
        assert (response.status_code, response.headers["location"]) == (303, "/")

    def test_nobody(self, app: LoginApp) -> None:
        response = app.browser().post("/auth/logout", headers=SAME_ORIGIN)
        assert (response.status_code, response.headers["location"]) == (303, "/")

    @pytest.mark.parametrize("query", ["", "?state=unknown", "?state=a&x=b"])
    def test_the_way_back_is_no_place_to_be_stuck(self, app: LoginApp, query: str) -> None:
        response = app.browser().get(f"/auth/logged-out{query}")
        assert (response.status_code, response.headers["location"]) == (303, "/")


class TestCrossSite:
    @pytest.mark.parametrize(
        "headers",
        [
            {"sec-fetch-site": "same-origin"},
            {"origin": "https://testserver"},
            {"sec-fetch-site": "same-origin", "origin": "https://testserver"},
        ],
        ids=str,
    )
    def test_a_page_of_this_site(self, app: LoginApp, headers: dict[str, str]) -> None:
        browser = app.logged_in()
        assert browser.post("/auth/logout", headers=headers).status_code == 303
        assert whoami(browser) is None

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"sec-fetch-site": "none"},
            {"origin": "https://evil.example"},
            {"origin": "https://sub.testserver"},
            {"origin": "http://testserver"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site", "origin": "https://testserver"},
        ],
        ids=str,
    )
    def test_any_other(self, app: LoginApp, headers: dict[str, str]) -> None:
        browser = app.logged_in()
        response = browser.post("/auth/logout", headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "logout.cross_site")
        assert whoami(browser) == "alice"

    def test_what_a_person_sees_of_it(self, app: LoginApp) -> None:
        browser = app.logged_in()
        page = browser.post("/auth/logout", headers={**PAGE, "sec-fetch-site": "cross-site"}).text
        assert "<h1>You are not logged out</h1>" in page
        assert '<a href="/">Try again</a>' in page

    def test_a_link_where_the_app_allows_it(self) -> None:
        app = LoginApp("store", allow_get_logout=True)
        browser = app.logged_in()
        assert browser.get("/auth/logout", headers=PAGE).status_code == 303
        assert whoami(browser) is None

    def test_and_nowhere_else(self, app: LoginApp) -> None:
        browser = app.logged_in()
        for method in ("GET", "HEAD"):
            assert browser.request(method, "/auth/logout", headers=PAGE).status_code == 405
        assert browser.get("/auth/logout").json()["code"] == "logout.method"
        assert whoami(browser) == "alice"

    def test_behind_a_proxy_with_a_base_url(self) -> None:
        app = LoginApp("store", base_url="https://public.example/")
        inside = {"host": "internal:8000", "accept": "application/json"}
        browser = new_browser(app.app, "https://public.example", headers=inside)
        assert app.log_in(browser).status_code == 303
        for origin, status in (("https://internal:8000", 403), ("https://public.example", 303)):
            response = browser.post("/auth/logout", headers={"origin": origin})
            assert response.status_code == status


class TestProvidersWithAWayOfTheirOwn:
    def location(self, issuer: str, logout_at: Any, **settings: Any) -> str:
        app = LoginApp(
            "store", provider=FakeProvider(issuer), logout_at=logout_at, settings=settings
        )
        browser = app.logged_in()
        response = browser.post("/auth/logout", headers=SAME_ORIGIN)
        assert whoami(browser) is None
        location: str = response.headers["location"]
        return location

    def test_auth0(self) -> None:
        assert self.location("https://tenant.auth0.example/", "auth0") == (
            "https://tenant.auth0.example/v2/logout?client_id=fake-client"
            "&returnTo=https%3A%2F%2Ftestserver%2Fauth%2Flogged-out"
        )

    def test_cognito(self) -> None:
        """Its pages are on another host than its issuer."""
        provider = FakeProvider("https://cognito-idp.example/pool")
        app = LoginApp("store", provider=provider, logout_at="cognito")
        browser = app.logged_in()
        metadata = anyio.run(app.oauth.op.load_server_metadata)
        metadata["authorization_endpoint"] = "https://login.example/oauth2/authorize"
        response = browser.post("/auth/logout", headers=SAME_ORIGIN)
        assert response.headers["location"] == (
            "https://login.example/logout?client_id=fake-client"
            "&logout_uri=https%3A%2F%2Ftestserver%2Fauth%2Flogged-out"
        )


class TestFromTheProvider:
    @pytest.mark.parametrize("app", ["indexed", "store"], indirect=True)
    def test_the_back_channel_ends_the_session(self, app: LoginApp) -> None:
        app.use_back_channel()
        alice, also_alice, bob = app.logged_in(), app.logged_in(), app.logged_in("bob")
        app.clock.advance(1)
        app.end_at_provider("alice")
        assert [call.response.status_code for call in app.provider.logout_calls] == [200, 200]
        assert [whoami(one) for one in (alice, also_alice, bob)] == [None, None, "bob"]
        app.clock.advance(1)
        app.log_in(alice)
        assert whoami(alice) == "alice"

    @pytest.mark.parametrize("app", ["indexed", "store"], indirect=True)
    def test_one_session_by_its_sid(self, app: LoginApp) -> None:
        app.use_back_channel()
        one, other = app.logged_in(), app.logged_in()
        sid = one.get("/me").json()["sid"]
        app.provider.client_transport = httpx2.ASGITransport(app.app)
        with app.provider.fault("logout_token.sub", REMOVE):
            session = next(s for s in app.provider._model.sessions.values() if s.sid == sid)
            app.clock.advance(1)
            anyio.run(self.tell, app.provider, session)
        assert (whoami(one), whoami(other)) == (None, "alice")

    async def tell(self, provider: FakeProvider, session: Any) -> None:
        from reliant.testing.logout import tell_clients

        await tell_clients(provider._model, session)

    @pytest.mark.parametrize("app", ["indexed", "store"], indirect=True)
    def test_all_sessions_where_there_is_no_sid(self, app: LoginApp) -> None:
        app.use_back_channel()
        browsers = [app.logged_in() for _ in range(3)]
        app.clock.advance(1)
        with app.provider.fault("logout_token.sid", REMOVE):
            app.provider.client_transport = httpx2.ASGITransport(app.app)
            session = next(iter(app.provider._model.sessions.values()))
            anyio.run(self.tell, app.provider, session)
        assert [whoami(one) for one in browsers] == [None, None, None]

    @pytest.mark.parametrize("app", ["indexed", "store"], indirect=True)
    @pytest.mark.parametrize(
        "fault", ["logout_token.iss", "logout_token.aud", "logout_token.nonce"]
    )
    def test_a_bad_logout_token_ends_nothing(self, app: LoginApp, fault: str) -> None:
        app.use_back_channel()
        browser = app.logged_in()
        with app.provider.fault(fault, "other"):
            app.end_at_provider()
        (call,) = app.provider.logout_calls
        assert call.response.status_code == 400
        assert whoami(browser) == "alice"

    @pytest.mark.parametrize("app", ["indexed", "store"], indirect=True)
    def test_each_logout_token_counts_once(self, app: LoginApp) -> None:
        app.use_back_channel()
        app.logged_in()
        app.end_at_provider()
        (call,) = app.provider.logout_calls
        app.clock.advance(1)
        browser = app.logged_in()
        response = browser.post(LOGOUT, data=call.form)
        assert (response.status_code, response.json()["code"]) == (400, "logout_token.replay")
        assert whoami(browser) == "alice"

    @pytest.mark.parametrize("app", ["cookies"], indirect=True)
    def test_cookies_alone_say_that_they_can_not(
        self, app: LoginApp, caplog: pytest.LogCaptureFixture
    ) -> None:
        app.use_back_channel()
        browser = app.logged_in()
        app.end_at_provider()
        (call,) = app.provider.logout_calls
        assert call.response.status_code == 400
        assert whoami(browser) == "alice"
        assert "can't be ended from afar" in caplog.text

    def test_the_front_channel_by_sid(self, app: LoginApp) -> None:
        browser, elsewhere = app.logged_in(), app.logged_in()
        sid = browser.get("/me").json()["sid"]
        app.clock.advance(1)
        query = {"iss": app.provider.issuer, "sid": sid}
        page = browser.get("/auth/frontchannel-logout", params=query)
        assert page.status_code == 200
        assert whoami(browser) is None
        assert whoami(elsewhere) == "alice"

    @pytest.mark.parametrize("app", ["indexed", "store"], indirect=True)
    def test_the_front_channel_without_the_cookie(self, app: LoginApp) -> None:
        """As in a frame of another site: browsers send no cookie there."""
        browser = app.logged_in()
        query = {"iss": app.provider.issuer, "sid": browser.get("/me").json()["sid"]}
        app.clock.advance(1)
        assert app.browser().get("/auth/frontchannel-logout", params=query).status_code == 200
        assert whoami(browser) is None

    def test_the_front_channel_without_sid_is_about_this_browser(self, app: LoginApp) -> None:
        """In a frame of the provider's page, which is where it belongs."""
        browser, other = app.logged_in(), app.logged_in()
        frame = {"sec-fetch-dest": "iframe", "referer": f"{app.provider.issuer}/end-session?x=y"}
        assert browser.get("/auth/frontchannel-logout", headers=frame).status_code == 200
        assert (whoami(browser), whoami(other)) == (None, "alice")

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"sec-fetch-dest": "iframe"},
            {"sec-fetch-dest": "iframe", "referer": "https://hostile.testserver/"},
            {"sec-fetch-dest": "image", "referer": "https://op.example/"},
            {"sec-fetch-dest": "document", "referer": "https://op.example/"},
            {"referer": "https://op.example/"},
        ],
    )
    def test_a_link_to_the_front_channel_logs_no_one_out(
        self, app: LoginApp, headers: dict[str, str]
    ) -> None:
        """Nor does a picture, or a frame of anybody else; such can stand anywhere."""
        browser = app.logged_in()
        assert app.provider.issuer == "https://op.example"
        assert browser.get("/auth/frontchannel-logout", headers=headers).status_code == 200
        assert whoami(browser) == "alice"

    def test_another_issuer(self, app: LoginApp) -> None:
        browser = app.logged_in()
        sid = browser.get("/me").json()["sid"]
        query = {"iss": "https://other.example", "sid": sid}
        assert browser.get("/auth/frontchannel-logout", params=query).status_code == 400
        assert whoami(browser) == "alice"

    def test_the_app_s_own_hook_is_told_after(self) -> None:
        events: list[LogoutEvent] = []
        app = LoginApp("store", settings={"on_logout": events.append})
        app.use_back_channel()
        app.logged_in()
        app.end_at_provider()
        assert [(event.channel, event.sub) for event in events] == [("back", "alice")]


class TestEverywhere:
    @pytest.mark.parametrize("app", ["indexed", "store"], indirect=True)
    def test_all_sessions_of_one_person(self, app: LoginApp) -> None:
        browsers = [app.logged_in(), app.logged_in(), app.logged_in("bob")]
        app.clock.advance(1)
        anyio.run(app.auth.logout_everywhere, app.provider.issuer, "alice")
        assert [whoami(one) for one in browsers] == [None, None, "bob"]

    @pytest.mark.parametrize("app", ["cookies"], indirect=True)
    def test_cookies_alone_can_not(self, app: LoginApp) -> None:
        with pytest.raises(ConfigurationError) as caught:
            anyio.run(app.auth.logout_everywhere, app.provider.issuer, "alice")
        assert caught.value.code == "configuration.revocations"
