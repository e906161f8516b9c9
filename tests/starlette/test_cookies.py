"""The cookies a login in progress leaves: their attributes, their size, who can open them."""

from __future__ import annotations

import base64
import re
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.datastructures import CommaSeparatedStrings, Secret
from starlette.requests import Request
from starlette.testclient import TestClient

from reliant import ConfigurationError, OAuthError
from reliant.starlette import OAuth
from reliant.testing import FakeProvider
from tests.helpers.relying_party import (
    SITE,
    MemoryCache,
    build_app,
    deliver,
    log_in,
    new_browser,
    new_oauth,
    sign_in,
    start,
)

PREFIX = "__Host-oauth."


def _browser(provider: FakeProvider, secret_key: Any = "key", **options: Any) -> TestClient:
    oauth = OAuth(secret_key=secret_key, **options)
    oauth.register("op", **provider.register_settings())
    return new_browser(build_app(oauth))


def _pending(browser: TestClient) -> dict[str, str]:
    return {
        cookie.name: cookie.value or ""
        for cookie in browser.cookies.jar
        if cookie.name.startswith(PREFIX)
    }


# -- attributes ----------------------------------------------------------------------------------


def _set_cookie(browser: TestClient, path: str) -> list[str]:
    (header,) = browser.get(path).headers.get_list("set-cookie")
    return str(header).split("; ")


def test_the_cookie_of_a_login(provider: FakeProvider) -> None:
    browser = _browser(provider)
    pair, *attributes = _set_cookie(browser, "/login/op?state=the-state")
    assert re.fullmatch(r"__Host-oauth\.the-state=[\w-]+\.\.[\w-]+\.[\w-]+\.[\w-]+", pair)
    # It outlives the login's ten minutes by ten, so that "expired" can be told from "no cookie".
    assert attributes == ["Max-Age=1200", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"]


def test_the_cookie_of_a_login_by_form_post(provider: FakeProvider) -> None:
    _, *attributes = _set_cookie(_browser(provider), "/login/op?response_mode=form_post")
    assert attributes == ["Max-Age=1200", "Path=/", "Secure", "HttpOnly", "SameSite=None"]


def test_the_cookie_of_a_client_registered_with_form_post(provider: FakeProvider) -> None:
    oauth = OAuth(secret_key="key")
    settings = {**provider.register_settings(), "authorize_params": {"response_mode": "form_post"}}
    oauth.register("op", **settings)
    browser = new_browser(build_app(oauth))
    assert _set_cookie(browser, "/login/op")[-1] == "SameSite=None"
    assert _set_cookie(browser, "/login/op?response_mode=query")[-1] == "SameSite=Lax"
    assert _set_cookie(browser, "/logout/op")[-1] == "SameSite=Lax"  # the way back is a GET


def test_the_cookie_of_a_logout(provider: FakeProvider) -> None:
    pair, *attributes = _set_cookie(_browser(provider), "/logout/op?state=bye")
    assert pair.startswith(f"{PREFIX}bye=")
    assert attributes == ["Max-Age=1200", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"]


def test_the_cookie_lives_as_long_as_the_login_may_take(provider: FakeProvider) -> None:
    _, age, *_ = _set_cookie(_browser(provider, login_lifetime=60), "/login/op")
    assert age == "Max-Age=660"


def test_a_logout_that_does_not_come_back_leaves_nothing(provider: FakeProvider) -> None:
    oauth = OAuth(secret_key="key")
    client = oauth.register("op", **provider.register_settings())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        response = await client.logout_redirect(Request(scope))
        await response(scope, receive, send)

    response = new_browser(app).get("/")
    assert "set-cookie" not in response.headers
    assert "state" not in httpx2.URL(response.headers["location"]).params


def test_surplus_cookies_are_cleared(provider: FakeProvider) -> None:
    browser = _browser(provider)
    for number in range(8):
        start(browser, state=f"login-{number}")
    pair, cleared = browser.get("/login/op?state=login-8").headers.get_list("set-cookie")
    assert pair.startswith(f"{PREFIX}login-8=")
    assert cleared == f"{PREFIX}login-0=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert [*_pending(browser)] == [f"{PREFIX}login-{number}" for number in range(1, 9)]


def test_no_session_middleware_is_needed(provider: FakeProvider) -> None:
    oauth = OAuth(secret_key="key")
    oauth.register("op", **provider.register_settings())
    app = Starlette(routes=build_app(oauth).routes)
    assert log_in(new_browser(app), provider)["userinfo"]["sub"] == "alice"


@pytest.mark.parametrize("store", ["session", "cache"])
def test_without_a_secret_key_a_session_is_needed(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    app = Starlette(
        routes=build_app(oauth).routes, exception_handlers={OAuthError: oauth.exception_handler}
    )
    response = new_browser(app).get("/login/op")
    assert (response.status_code, response.json()["code"]) == (500, "configuration.session")


# -- size ----------------------------------------------------------------------------------------


def _session_size(browser: TestClient) -> int:
    return sum(len(f"{c.name}={c.value}") for c in browser.cookies.jar if c.name == "session")


def test_a_pending_login_costs_less_than_350_bytes_of_session(provider: FakeProvider) -> None:
    oauth = new_oauth("session")
    oauth.register("google", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    sizes = []
    for _ in range(8):
        start(browser, "/login/google")
        sizes.append(_session_size(browser))
    assert max(after - before for before, after in pairwise(sizes)) < 350
    assert sizes[-1] < 8 * 350


def test_a_pending_login_costs_less_than_350_bytes_of_cookie(provider: FakeProvider) -> None:
    oauth = new_oauth("cookie")
    oauth.register("google", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    start(browser, "/login/google")
    ((name, value),) = _pending(browser).items()
    assert len(f"{name}={value}") < 350


def test_a_pending_login_costs_a_marker_where_there_is_a_cache(provider: FakeProvider) -> None:
    oauth = new_oauth("cache")
    oauth.register("google", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    start(browser, "/login/google")
    before = _session_size(browser)
    start(browser, "/login/google")
    assert _session_size(browser) - before < 150


def test_no_url_is_stored(store: str, provider: FakeProvider) -> None:
    session: dict[str, Any] = {}
    cache = MemoryCache()
    oauth = new_oauth(store, **({"cache": cache} if store == "cache" else {}))
    client = oauth.register("op", **provider.register_settings())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request({**scope, "session": session})
        response = await client.authorize_redirect(request, f"{SITE}/callback/op")
        await response(scope, receive, send)

    browser = new_browser(app)
    assert browser.get("/").status_code == 302
    kept = repr((session, cache.values, _pending(browser)))
    assert "://" not in kept
    assert "testserver" not in kept
    assert "op.example" not in kept


# -- who can open them ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "opens"),
    [
        ("old", "old", True),
        ("old", ["new", "old"], True),
        (["old"], [b"new", b"old"], True),
        (Secret("old"), CommaSeparatedStrings("new, old"), True),
        (["old", "older"], "old", True),
        ("old", "new", False),
        (["old", "older"], "older", False),
    ],
    ids=[
        "same",
        "rotated",
        "bytes",
        "from-config",
        "the-newest-seals",
        "other",
        "an-old-one-never-seals",
    ],
)
def test_keys_rotate(provider: FakeProvider, old: Any, new: Any, opens: bool) -> None:
    before, after = _browser(provider, old), _browser(provider, new)
    callback = sign_in(provider, start(before))
    for name, value in _pending(before).items():
        after.cookies.set(name, value)
    response = deliver(after, callback)
    if opens:
        assert response.status_code == 200
    else:
        assert response.json()["code"] == "state.unknown"


@pytest.mark.parametrize("secret_key", ["", b"", [], [""], ["new", ""], [None], 5, ["a", 5]])
def test_a_secret_key_that_is_none_is_refused(secret_key: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OAuth(secret_key=secret_key)
    assert caught.value.code == "configuration.secret_key"


@pytest.mark.parametrize("place", [0, 2, 3, 4], ids=["header", "iv", "ciphertext", "tag"])
def test_a_tampered_cookie_is_no_login(provider: FakeProvider, place: int) -> None:
    browser = _browser(provider)
    callback = sign_in(provider, start(browser))
    ((name, value),) = _pending(browser).items()
    parts = value.split(".")
    parts[place] = parts[place].swapcase()
    browser.cookies.clear()
    browser.cookies.set(name, ".".join(parts))
    assert deliver(browser, callback).json()["code"] == "state.unknown"
    assert provider.count("token") == 0


@pytest.mark.parametrize(
    "value",
    ["", "x", "a.b.c.d.e", "....", "e30.e30.e30", "x" * 4000, "é".encode().decode("latin-1")],
)
def test_a_cookie_of_garbage_is_no_login(provider: FakeProvider, value: str) -> None:
    browser = _browser(provider)
    callback = sign_in(provider, start(browser))
    ((name, _),) = _pending(browser).items()
    browser.cookies.clear()
    header = f"{name}={value}".encode("latin-1")
    response = browser.get(callback.url, headers=[(b"cookie", header)])
    assert response.json()["code"] == "state.unknown"


def test_the_cookie_of_one_login_is_no_use_for_another_state(provider: FakeProvider) -> None:
    oauth = OAuth(secret_key="key")
    for name in ("op", "other"):
        oauth.register(name, **provider.register_settings())
    app = build_app(oauth)
    browser = new_browser(app)
    callback = sign_in(provider, start(browser))
    start(browser, "/login/other", state="others")
    swapped = new_browser(app)
    swapped.cookies.set(f"{PREFIX}{callback.params['state']}", _pending(browser)[f"{PREFIX}others"])
    assert deliver(swapped, callback).json()["code"] == "state.unknown"


def test_the_cookie_of_another_app_is_no_login(provider: FakeProvider) -> None:
    ours, theirs = _browser(provider, "our key"), _browser(provider, "their key")
    callback = sign_in(provider, start(theirs))
    for name, value in _pending(theirs).items():
        ours.cookies.set(name, value)
    assert deliver(ours, callback).json()["code"] == "state.unknown"


def test_nothing_of_a_login_can_be_read_in_its_cookie(provider: FakeProvider) -> None:
    browser = _browser(provider)
    url = httpx2.URL(start(browser, data='"the data"'))
    ((_, value),) = _pending(browser).items()
    opened = b"".join(base64.urlsafe_b64decode(part + "==") for part in value.split("."))
    assert url.params["nonce"].encode() not in opened
    assert b"the data" not in opened
    assert b"code_verifier" not in opened
