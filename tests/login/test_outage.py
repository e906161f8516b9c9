"""The store does not answer: nobody is logged out by that, and nobody is let in."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from starlette.websockets import WebSocketDisconnect

from reliant import StoreError
from reliant.login import MemoryStore
from tests.helpers.http import Clock
from tests.helpers.login_app import PAGE, SAME_ORIGIN, LoginApp, whoami
from tests.helpers.relying_party import deliver, sign_in


class AwayStore(MemoryStore):
    """A store that can be away: wholly, for some methods, or once it was called so often."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.away: set[str] = set()
        self.left: int | None = None

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name not in ("away", "left"):
            if {name, "all"} & self.away or self.left == 0:
                raise StoreError(description="The store does not answer. Check that it runs.")
            if self.left is not None:
                self.left -= 1
        return super().__getattribute__(name)


@pytest.fixture
def store() -> AwayStore:
    return AwayStore()


@pytest.fixture(params=["indexed", "store"])
def app(request: pytest.FixtureRequest, store: AwayStore) -> LoginApp:
    app = LoginApp(request.param, store=store)
    store._clock = store._texts._clock = app.clock
    store._collections._clock = store._locks._clock = store._fences._clock = app.clock
    return app


def assert_away(response: httpx2.Response) -> None:
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert response.headers["cache-control"] == "no-store"
    assert "set-cookie" not in response.headers


def test_a_session_that_can_not_be_read(app: LoginApp, store: AwayStore) -> None:
    browser = app.logged_in()
    store.away = {"all"}
    for path in ("/", "/me", "/token", "/auth/resume"):
        for headers in ({}, PAGE):
            assert_away(browser.get(path, headers=headers))
    page = browser.get("/me", headers=PAGE)
    assert "can&#x27;t tell for the moment who is logged in" in page.text
    assert '<a href="/me">Try again</a>' in page.text
    assert browser.get("/me").json()["code"] == "store.unavailable"
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        browser.websocket_connect("wss://testserver/ws") as socket,
    ):
        socket.receive_text()
    assert caught.value.code == 1013
    store.away = set()
    assert whoami(browser) == "alice"


def test_who_brings_no_cookie_is_served(app: LoginApp, store: AwayStore) -> None:
    store.away = {"all"}
    assert whoami(app.browser()) is None
    assert app.browser().get("/me").status_code == 401


def test_a_login_that_can_not_be_kept_says_so(app: LoginApp, store: AwayStore) -> None:
    browser = app.browser()
    callback = sign_in(app.provider, browser.get("/auth/login").headers["location"])
    store.away = {"set", "collect"}
    response = deliver(browser, callback)
    assert_away(response)
    assert response.json()["code"] == "login.not_stored"
    assert "could not keep the login" in response.json()["error_description"]
    store.away = set()
    assert whoami(browser) is None
    # The page leads to the same callback, and so through one more round.
    assert deliver(browser, callback).headers["location"].startswith(app.provider.issuer)


def test_a_store_that_is_away_uses_up_no_login(app: LoginApp, store: AwayStore) -> None:
    store.away = {"all"}
    browser = app.browser()
    callback = sign_in(app.provider, browser.get("/auth/login").headers["location"])
    assert_away(deliver(browser, callback))
    assert app.provider.count("token") == 0
    store.away = set()
    assert deliver(browser, callback).status_code == 303
    assert whoami(browser) == "alice"


def test_a_logout_that_can_not_be_carried_out(app: LoginApp, store: AwayStore) -> None:
    """Nobody is told to be logged out whose session goes on."""
    browser = app.logged_in()
    store.away = {"getdel", "advance", "time"}
    response = browser.post(
        "/auth/logout", headers={**SAME_ORIGIN, "referer": "https://testserver/me?tab=2"}
    )
    assert_away(response)
    # Back to the page with the button: the address of the logout is none to open.
    assert '<a href="/me?tab=2">Try again</a>' in response.text
    store.away = set()
    assert whoami(browser) == "alice"


def test_the_provider_may_send_its_logout_again(app: LoginApp, store: AwayStore) -> None:
    app.use_back_channel()
    browser = app.logged_in()
    app.clock.advance(1)
    store.away = {"members", "time"}
    app.end_at_provider()
    (call,) = app.provider.logout_calls
    assert call.response.status_code == 400
    assert whoami(browser) == "alice"
    store.away = set()
    assert browser.post(call.url, data=call.form).status_code == 200
    assert whoami(browser) is None


@pytest.mark.parametrize("command", range(1, 8))
def test_a_logout_of_the_provider_is_never_lost(
    app: LoginApp, store: AwayStore, command: int
) -> None:
    """From some command on the store is away, also to take back that the token was used."""
    app.use_back_channel()
    browser = app.logged_in()
    app.clock.advance(1)
    store.left = command
    app.end_at_provider()
    (call,) = app.provider.logout_calls
    store.left = None
    if call.response.status_code != 200:
        app.clock.advance(15)
        browser.post(call.url, data=call.form)
    assert whoami(browser) is None
    app.clock.advance(15)
    assert browser.post(call.url, data=call.form).json()["code"] == "logout_token.replay"


def test_an_old_session_that_can_not_be_deleted(app: LoginApp, store: AwayStore) -> None:
    browser = app.logged_in()
    store.away = {"getdel"}
    assert app.log_in(browser, "bob").status_code == 303
    assert whoami(browser) == "bob"


@pytest.mark.parametrize("app", ["store"], indirect=True)
def test_a_refresh_that_can_not_be_locked(app: LoginApp, store: AwayStore) -> None:
    browser = app.logged_in()
    app.clock.advance(3600)
    store.away = {"acquire"}
    assert_away(browser.get("/token"))
    assert app.provider.count("token") == 1
    store.away = set()
    assert browser.get("/token").status_code == 200
