"""What `Login` takes, and what it says of what it can't take."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from reliant import ConfigurationError, StoreError
from reliant.login import Login, MemoryStore
from reliant.starlette import OAuth
from reliant.testing import FakeProvider
from tests.helpers.login_app import PAGE, SECRET, LoginApp, take_cookies, whoami
from tests.helpers.relying_party import new_browser


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"secret_key": ""}, "configuration.secret_key"),
        ({"secret_key": []}, "configuration.secret_key"),
        ({"secret_key": None}, "configuration.secret_key"),
        ({"idle": 0}, "configuration.lifetime"),
        ({"idle": 100, "lifetime": 99}, "configuration.lifetime"),
        ({"base_url": "http://app.example"}, "configuration.base_url"),
        ({"base_url": "app.example"}, "configuration.base_url"),
        ({"after_login": "https://elsewhere.example"}, "configuration.path"),
        ({"after_logout": "//elsewhere.example"}, "configuration.path"),
        ({"base_url": "https://app.example/path"}, "configuration.base_url"),
        ({"logout_at": "other"}, "configuration.logout_at"),
        ({"store": MemoryStore}, "configuration.store"),
        ({"revocations": "redis://127.0.0.1"}, "configuration.store"),
        ({"store": MemoryStore(), "revocations": MemoryStore()}, "configuration.revocations"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_what_it_refuses(options: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Login(OAuth(), "op", **{"secret_key": SECRET, **options})
    assert caught.value.code == code


def test_a_client_is_named() -> None:
    oauth: Any = OAuth()
    client: Any = oauth.register("op", **FakeProvider().register_settings())
    with pytest.raises(ConfigurationError) as caught:
        Login(oauth, client, secret_key=SECRET)
    assert caught.value.code == "configuration.client"


@pytest.mark.parametrize("secret", [SECRET, SECRET.encode(), Secret(SECRET), [SECRET, "old"]])
def test_secret_keys(secret: Any) -> None:
    app = LoginApp("cookies", secret_key=secret)
    assert whoami(app.logged_in()) == "alice"


def test_a_short_secret_key_is_told(caplog: pytest.LogCaptureFixture) -> None:
    Login(OAuth(), "op", secret_key="short")
    assert "secret_key of Login is short" in caplog.text
    assert "secrets.token_urlsafe(32)" in caplog.text
    caplog.clear()
    Login(OAuth(), "op", secret_key=SECRET)
    assert caplog.text == ""


def test_old_secret_keys_serve_on() -> None:
    before = LoginApp("store")
    browser = before.logged_in()
    after = LoginApp("store", store=before.store, secret_key=["a new key" * 5, SECRET])
    after.clock = before.clock
    other = after.browser()
    for name, value in browser.cookies.items():
        other.cookies.set(name, value, domain="testserver.local")
    assert whoami(other) == "alice"


async def start(auth: Login) -> None:
    async with auth.lifespan(None):
        pass


def test_the_client_may_be_registered_later() -> None:
    oauth = OAuth()
    auth = Login(oauth, "op", secret_key=SECRET)
    with pytest.raises(ConfigurationError) as caught:
        anyio.run(start, auth)
    assert caught.value.code == "configuration.client_unknown"
    oauth.register("op", **FakeProvider().register_settings())
    anyio.run(start, auth)


def test_a_client_without_openid() -> None:
    oauth = OAuth()
    oauth.register("op", **FakeProvider().register_settings(scope="email"))
    with pytest.raises(ConfigurationError) as caught:
        anyio.run(start, Login(oauth, "op", secret_key=SECRET))
    assert caught.value.code == "configuration.openid"
    assert "openid" in caught.value.description


def test_a_store_that_is_away_at_the_start_is_no_reason_to_stop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Away(MemoryStore):
        async def time(self) -> float:
            raise StoreError(description="It does not answer.") from OSError("port 6379: refused")

    with LoginApp("store", store=Away()).browser() as browser:
        assert whoami(browser) is None
    assert "the store of the login sessions does not answer: port 6379: refused" in caplog.text


def test_an_app_that_lacks_a_part_is_told_so_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    oauth = OAuth()
    oauth.register("op", **FakeProvider().register_settings())
    auth = Login(oauth, "op", secret_key=SECRET)
    with new_browser(Starlette(lifespan=auth.lifespan)):
        assert [it.split(":")[0] for it in caplog.messages] == [
            "the routes of Login are missing", "the middleware of Login is missing",
        ]  # fmt: skip
    caplog.clear()
    routes = [auth.routes("/auth")]
    app = Starlette(routes=routes, lifespan=auth.lifespan, middleware=[auth.middleware()])
    with new_browser(app):
        assert caplog.messages == []


def test_what_lets_people_go_in_circles_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with LoginApp("store").logged_in() as browser:
        other_store = LoginApp("store").browser()
        other_key = LoginApp("store", secret_key="another secret key, of as many letters").browser()
        for other in (other_store, other_key):
            take_cookies(other, browser)
            for _ in range(3):
                assert whoami(other) is None
    assert len(caplog.messages) == 2
    assert "this process's MemoryStore" in caplog.messages[0]
    assert "another secret_key" in caplog.messages[1]


def test_what_is_left_of_a_session_is_no_stranger(caplog: pytest.LogCaptureFixture) -> None:
    app = LoginApp("cookies")
    browser = app.logged_in()
    app.clock.advance(3600)
    with app.provider.fault("token.error", "invalid_grant"):
        assert browser.get("/token").status_code == 401
    assert whoami(browser) is None
    assert "is none of ours" not in caplog.text


@pytest.mark.parametrize("prefix", ["/auth", "/sub/auth"])
def test_routes_elsewhere_than_they_were_told(prefix: str) -> None:
    app = LoginApp("store")
    app.app.router.routes = [Mount("/sub", routes=[app.auth.routes(prefix)])]
    response = app.browser().get(f"/sub{prefix}/login")
    assert (response.status_code, response.json()["code"]) == (500, "configuration.routes")


def test_the_lifespan_closes_the_store() -> None:
    class Closing(MemoryStore):
        closed = 0

        async def aclose(self) -> None:
            self.closed += 1

    store = Closing()
    app = LoginApp("store", store=store)
    with app.browser():
        assert store.closed == 0
    assert store.closed == 1


class TestTwoLoginsInOneApp:
    """Each with its own client, cookies and routes."""

    @pytest.fixture
    def providers(self) -> dict[str, FakeProvider]:
        return {name: FakeProvider(f"https://{name}.example") for name in ("staff", "guests")}

    @pytest.fixture
    def browser(self, providers: dict[str, FakeProvider]) -> TestClient:
        oauth = OAuth()
        logins = {}
        for name, provider in providers.items():
            oauth.register(name, **provider.register_settings())
            logins[name] = Login(oauth, name, secret_key=SECRET, store=MemoryStore())

        async def show(request: Request) -> Response:
            return JSONResponse(request.user.iss)

        def pages(name: str, auth: Login) -> list[Any]:
            async def token(request: Request) -> Response:
                return JSONResponse(await auth.session(request).token())

            guarded = auth.required(acr_values="gold")(show)
            return [
                Route(f"/{name}", auth.required()(show)),
                Route(f"/{name}/token", token),
                Route(f"/{name}/gold", guarded),
                auth.routes(f"/auth/{name}"),
            ]

        app = Starlette(
            routes=[route for name, auth in logins.items() for route in pages(name, auth)],
            middleware=[auth.middleware() for auth in logins.values()],
        )
        return new_browser(app)

    def log_in(self, browser: TestClient, provider: FakeProvider, path: str) -> None:
        callback = anyio.run(provider.sign_in, browser.get(path).headers["location"])
        assert browser.get(callback.url).status_code == 303

    def test_each_has_its_own_people(
        self, browser: TestClient, providers: dict[str, FakeProvider]
    ) -> None:
        self.log_in(browser, providers["staff"], "/auth/staff/login")
        assert browser.get("/staff").json() == "https://staff.example"
        assert browser.get("/guests").status_code == 401
        self.log_in(browser, providers["guests"], "/auth/guests/login")
        for name in providers:
            assert browser.get(f"/{name}").json() == f"https://{name}.example"

    @pytest.mark.parametrize("name", ["staff", "guests"])
    @pytest.mark.parametrize("page", ["", "/token", "/gold"])
    def test_a_page_leads_to_the_login_that_it_requires(
        self, browser: TestClient, providers: dict[str, FakeProvider], name: str, page: str
    ) -> None:
        location = browser.get(f"/{name}{page}", headers=PAGE).headers["location"]
        assert location.startswith(f"/auth/{name}/login?return_to=%2F{name}")
        for other in providers:
            self.log_in(browser, providers[other], f"/auth/{other}/login")
        if page == "/gold":
            location = browser.get(f"/{name}{page}", headers=PAGE).headers["location"]
            assert location.startswith(f"/auth/{name}/login?return_to=%2F{name}%2Fgold&acr_values")
        else:
            assert browser.get(f"/{name}{page}").status_code == 200

    @pytest.mark.parametrize("name", ["staff", "guests"])
    def test_a_login_that_its_provider_ended(
        self, browser: TestClient, providers: dict[str, FakeProvider], name: str
    ) -> None:
        for other, provider in providers.items():
            provider.behaviour.access_token_lifetime = 0
            self.log_in(browser, provider, f"/auth/{other}/login")
        providers[name].fault("token.error", "invalid_grant")
        location = browser.get(f"/{name}/token", headers=PAGE).headers["location"]
        assert location.startswith(f"/auth/{name}/login?")


def test_an_app_below_a_path() -> None:
    inner = LoginApp("store")
    browser = new_browser(Starlette(routes=[Mount("/app", inner.app)]))
    page = {"accept": "text/html"}
    location = browser.get("/app/me", headers=page).headers["location"]
    assert location == "/app/auth/login?return_to=%2Fapp%2Fme"
    url = browser.get(location).headers["location"]
    callback = anyio.run(inner.provider.sign_in, url)
    assert callback.url.startswith("https://testserver/app/auth/callback?")
    response = browser.get(callback.url)
    assert response.headers["location"] == "/app/me"
    assert browser.get("/app/me").json()["sub"] == "alice"
