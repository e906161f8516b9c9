"""A login in progress belongs to one browser, one client, one state, and is taken once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reliant import OAuthError, StateError
from reliant.protocol.transaction import LoginTransaction
from reliant.starlette.transactions import (
    CacheStore,
    CookieStore,
    SessionStore,
    TransactionStore,
)
from reliant.testing import FakeProvider, extra
from tests.helpers.relying_party import (
    SITE,
    AsyncCache,
    GetdelCache,
    MemoryCache,
    build_app,
    deliver,
    log_in,
    new_browser,
    new_oauth,
    sign_in,
    start,
)

CACHES = pytest.mark.parametrize("cache_type", [MemoryCache, AsyncCache, GetdelCache])


def state_of(url: str) -> str:
    return str(httpx2.URL(url).params["state"])


def code_of(response: httpx2.Response) -> Any:
    return response.json().get("code")


# -- several at once -----------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first-first", "last-first"])
def test_two_tabs_log_in_at_once(
    store: str, provider: FakeProvider, order: tuple[int, int]
) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    urls = [start(browser, return_to=f"/tab/{tab}") for tab in (0, 1)]
    for tab in order:
        response = deliver(browser, sign_in(provider, urls[tab]))
        assert response.status_code == 200, response.text
        assert response.json()["return_to"] == f"/tab/{tab}"


@pytest.mark.parametrize("order", [("dev", "dev_x"), ("dev_x", "dev")], ids="-then-".join)
def test_two_providers_whose_names_share_a_prefix(store: str, order: tuple[str, str]) -> None:
    oauth = new_oauth(store)
    providers = {name: FakeProvider(f"https://{name[-1]}.example") for name in order}
    for name, provider in providers.items():
        oauth.register(name, **provider.register_settings())
    browser = new_browser(build_app(oauth))
    urls = {name: start(browser, f"/login/{name}") for name in order}
    for name in reversed(order):
        response = deliver(browser, sign_in(providers[name], urls[name], "bob"))
        assert response.status_code == 200, response.text
        assert response.json()["userinfo"]["iss"] == providers[name].issuer


@pytest.mark.parametrize(
    ("asked", "got", "state"),
    [("dev_x", "dev", "x_{}"), ("dev", "dev_x", "{}"), ("dev_x", "dev", "{}")],
    ids=["prefix-in-the-state", "longer-name", "shorter-name"],
)
def test_a_login_at_one_client_is_no_use_at_another(
    store: str, provider: FakeProvider, asked: str, got: str, state: str
) -> None:
    oauth = new_oauth(store)
    for name in ("dev", "dev_x"):
        oauth.register(name, **provider.register_settings())
    browser = new_browser(build_app(oauth))
    url = start(browser, f"/login/{asked}")
    query = {"state": state.format(state_of(url)), "code": "stolen", "iss": provider.issuer}
    response = browser.get(f"/callback/{got}", params=query)
    assert (response.status_code, code_of(response)) == (400, "state.unknown")
    assert provider.count("token") == 0
    assert deliver(browser, sign_in(provider, url)).status_code == 200


def test_a_state_chosen_to_meet_another_clients_key_is_refused(
    store: str, provider: FakeProvider
) -> None:
    oauth = new_oauth(store)
    for name in ("dev", "dev_x"):
        oauth.register(name, **provider.register_settings())
    browser = new_browser(build_app(oauth))
    start(browser, "/login/dev", state="x_hostile")
    query = {"state": "hostile", "code": "stolen", "iss": provider.issuer}
    assert code_of(browser.get("/callback/dev_x", params=query)) == "state.unknown"
    assert provider.count("token") == 0


def test_eight_are_pending_at_most_and_the_oldest_goes(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    urls = [start(browser) for _ in range(9)]
    responses = [deliver(browser, sign_in(provider, url)) for url in urls]
    assert [response.status_code for response in responses] == [400] + [200] * 8
    assert code_of(responses[0]) == "state.unknown"


def test_eight_logins_are_all_kept(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    urls = [start(browser) for _ in range(8)]
    assert {deliver(browser, sign_in(provider, url)).status_code for url in urls} == {200}


def test_what_is_dropped_leaves_the_cache_too(provider: FakeProvider) -> None:
    cache = MemoryCache()
    oauth = new_oauth("cache", cache=cache)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    for _ in range(20):
        start(browser)
    assert len(cache.values) == 8


# -- time ----------------------------------------------------------------------------------------


def test_a_login_that_took_too_long_says_so(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store, login_lifetime=0)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    response = deliver(browser, sign_in(provider, start(browser)))
    assert code_of(response) == "state.expired"
    assert response.json()["error"] == "mismatching_state"
    assert response.json()["error_description"] == (
        'Invalid "state" parameter: the login took too long; begin it again.'
    )
    assert provider.count("token") == 0


class _Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


_STORES: dict[str, Callable[[int, _Clock], TransactionStore]] = {
    "session": lambda lifetime, clock: SessionStore(lifetime, clock),
    "cache": lambda lifetime, clock: CacheStore(MemoryCache(), lifetime, clock),
    "cookie": lambda lifetime, clock: CookieStore(["key"], lifetime, clock=clock),
}


@pytest.mark.parametrize("seconds", [599, 600], ids=["in-time", "too-late"])
async def test_the_last_second_of_a_login(store: str, seconds: int) -> None:
    clock, session = _Clock(), dict[str, Any]()
    transactions = _STORES[store](600, clock)
    scope = {"type": "http", "session": session, "headers": [(b"cookie", b"a=b")]}
    login = LoginTransaction("v" * 43)
    cookies = await transactions.put(Request(scope), "op", "the-state", login)
    for cookie in cookies:
        scope["headers"] = [(b"cookie", cookie.partition(";")[0].encode())]
    clock.now += seconds
    if seconds < 600:
        taken = await transactions.take(
            Request(scope), "op", "the-state", LoginTransaction.from_record
        )
        assert taken == login
        return
    with pytest.raises(StateError) as caught:
        await transactions.take(Request(scope), "op", "the-state", LoginTransaction.from_record)
    assert caught.value.code == "state.expired"


async def test_a_login_lasts_ten_minutes_unless_told_otherwise() -> None:
    for options, seconds in (({}, 600), ({"login_lifetime": 60}, 60)):
        cache = MemoryCache()
        oauth = new_oauth("cache", cache=cache, **options)
        client = oauth.register("op", client_id="id", authorize_url="https://op.example/authorize")
        await client.authorize_redirect(Request({"type": "http", "session": {}}))
        assert [*cache.seconds.values()] == [seconds]


def test_a_login_gone_from_the_cache_long_ago_is_expired(provider: FakeProvider) -> None:
    cache = MemoryCache()
    oauth = new_oauth("cache", cache=cache, login_lifetime=0)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    callback = sign_in(provider, start(browser))
    cache.values.clear()
    assert code_of(deliver(browser, callback)) == "state.expired"


def test_a_login_lost_by_the_cache_says_what_may_have_been(provider: FakeProvider) -> None:
    cache = MemoryCache()
    oauth = new_oauth("cache", cache=cache)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    callback = sign_in(provider, start(browser))
    cache.values.clear()
    code, text = _failure(deliver(browser, callback))
    assert code == "state.used"
    assert "or the cache lost it" in text


@pytest.mark.parametrize("garbage", [b"\xff", "no JSON", "[]", "null", "{}", 7, '{"client": "op"}'])
def test_garbage_in_the_cache_is_a_login_that_is_not_there(
    provider: FakeProvider, garbage: object
) -> None:
    cache = MemoryCache()
    oauth = new_oauth("cache", cache=cache)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    callback = sign_in(provider, start(browser))
    cache.values = dict.fromkeys(cache.values, garbage)
    assert code_of(deliver(browser, callback)) == "state.unknown"


# -- once ----------------------------------------------------------------------------------------


def test_a_login_is_taken_once(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    callback = sign_in(provider, start(browser))
    assert deliver(browser, callback).status_code == 200
    again = deliver(browser, callback)
    assert (again.status_code, code_of(again)) == (400, "state.used")
    assert "it was used already, as when a page is reloaded" in again.json()["error_description"]
    assert provider.count("token") == 1


def test_a_failed_answer_uses_up_the_login_too(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    callback = sign_in(provider, start(browser))
    assert code_of(deliver(browser, callback, iss="https://evil.example")) == (
        "authorization.iss_mismatch"
    )
    assert code_of(deliver(browser, callback)) == "state.used"
    assert provider.count("token") == 0


def test_the_memory_of_used_logins_does_not_grow_the_session(provider: FakeProvider) -> None:
    oauth = new_oauth("session")
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    sizes = []
    for _ in range(6):
        log_in(browser, provider)
        sizes.append(sum(len(cookie.value or "") for cookie in browser.cookies.jar))
    assert sizes[-1] == sizes[-2]


async def _answers(
    apps: list[Any], cookies: httpx2.Cookies, path: str, times: int
) -> list[httpx2.Response]:
    """The same callback at each of the apps, all at once."""
    responses: list[httpx2.Response] = []

    async def bring(app: Any) -> None:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(
            transport=transport, base_url=SITE, cookies=cookies, headers={"accept": "*/*"}
        ) as browser:
            responses.append(await browser.get(path))

    async with anyio.create_task_group() as tasks:
        for app in apps * times:
            tasks.start_soon(bring, app)
    return responses


async def _begin(app: Any, provider: FakeProvider) -> tuple[httpx2.Cookies, str]:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url=SITE) as browser:
        response = await browser.get("/login/op")
        callback = await provider.sign_in(response.headers["location"])
        return browser.cookies, callback.url


@pytest.mark.parametrize("mode", ["cache", "cache-async", "cache-getdel", "cookie", "cookie+cache"])
async def test_many_callbacks_at_once_take_it_once(mode: str, provider: FakeProvider) -> None:
    options: dict[str, dict[str, Any]] = {
        "cache": {"cache": MemoryCache()},
        "cache-async": {"cache": AsyncCache()},
        "cache-getdel": {"cache": GetdelCache()},
        "cookie": {"secret_key": "key"},
        "cookie+cache": {"secret_key": "key", "cache": AsyncCache()},
    }
    oauth = new_oauth("given", **options[mode])
    oauth.register("op", **provider.register_settings())
    app = build_app(oauth)
    cookies, path = await _begin(app, provider)
    responses = await _answers([app], cookies, path, 10)
    codes = sorted(response.json().get("code", "success") for response in responses)
    assert codes == ["state.used"] * 9 + ["success"]
    assert provider.count("token") == 1


@pytest.mark.parametrize("secret_key", [None, "the shared key"], ids=["cache", "cookie+cache"])
async def test_two_workers_take_it_once(provider: FakeProvider, secret_key: str | None) -> None:
    cache = GetdelCache()
    apps = []
    for _ in range(2):
        oauth = new_oauth("given", cache=cache, secret_key=secret_key)
        oauth.register("op", **provider.register_settings())
        apps.append(build_app(oauth))
    cookies, path = await _begin(apps[0], provider)
    responses = await _answers([*apps], cookies, path, 5)
    codes = sorted(response.json().get("code", "success") for response in responses)
    assert codes == ["state.used"] * 9 + ["success"]


@CACHES
def test_two_workers_one_after_the_other_take_it_once(
    provider: FakeProvider, cache_type: type[MemoryCache] | type[AsyncCache]
) -> None:
    cache = cache_type()
    apps = []
    for _ in range(2):
        oauth = new_oauth("cookie", cache=cache)
        oauth.register("op", **provider.register_settings())
        apps.append(build_app(oauth))
    first = new_browser(apps[0])
    callback = sign_in(provider, start(first))
    second = new_browser(apps[1], cookies=dict(first.cookies))
    assert deliver(first, callback).status_code == 200
    assert code_of(deliver(second, callback)) == "state.used"
    assert provider.count("token") == 1


async def test_the_memory_of_used_cookies_does_not_grow() -> None:
    clock = _Clock()
    transactions = CookieStore(["key"], 600, clock=clock)
    for _ in range(50):
        request = Request({"type": "http"})
        (cookie,) = await transactions.put(request, "op", "s", LoginTransaction("v" * 43))
        headers = [(b"cookie", cookie.partition(";")[0].encode())]
        request = Request({"type": "http", "headers": headers})
        await transactions.take(request, "op", "s", LoginTransaction.from_record)
        clock.now += 100
    assert len(transactions._guard._used) <= 7


# -- login and logout ----------------------------------------------------------------------------


def test_the_state_of_a_login_ends_no_logout(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    url = start(browser)
    response = browser.get("/logged-out/op", params={"state": state_of(url)})
    assert code_of(response) == "state.unknown"
    assert deliver(browser, sign_in(provider, url)).status_code == 200  # it is still good


def test_the_state_of_a_logout_ends_no_login(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    state = state_of(start(browser, "/logout/op"))
    query = {"state": state, "code": "stolen", "iss": provider.issuer}
    assert code_of(browser.get("/callback/op", params=query)) == "state.unknown"
    assert provider.count("token") == 0
    assert browser.get("/logged-out/op", params={"state": state}).status_code == 200


def test_the_logout_of_one_client_is_no_use_at_another(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    for name in ("dev", "dev_x"):
        oauth.register(name, **provider.register_settings())
    browser = new_browser(build_app(oauth))
    state = state_of(start(browser, "/logout/dev"))
    assert code_of(browser.get(f"/logged-out/dev_x?state={state}")) == "state.unknown"
    assert browser.get(f"/logged-out/dev?state={state}").status_code == 200


def test_a_logout_is_validated_once(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    back = f"/logged-out/op?state={state_of(start(browser, '/logout/op'))}"
    assert browser.get(back).json() == {"post_logout_redirect_uri": f"{SITE}/logged-out/op"}
    assert code_of(browser.get(back)) == "state.used"


# -- each failed state says which case it is -----------------------------------------------------


def _failure(response: httpx2.Response) -> tuple[str, str]:
    assert response.status_code == 400
    body = response.json()
    assert body["error_description"].startswith(('Invalid "state" parameter', 'Missing "state"'))
    return body["code"], body["error_description"]


def test_no_state(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    start(browser)
    code, text = _failure(browser.get("/callback/op?code=c"))
    assert code == "state.missing"
    assert text.startswith('Missing "state" parameter')
    assert code_of(browser.get("/logged-out/op")) == "state.missing"


def test_an_empty_state_counts_as_none(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    assert code_of(new_browser(build_app(oauth)).get("/callback/op?code=c&state=")) == (
        "state.missing"
    )


def test_an_unknown_state(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    start(browser)
    code, text = _failure(browser.get("/callback/op?code=c&state=never-seen"))
    assert code == "state.unknown"
    assert "no login or logout in progress in this browser has it" in text


@pytest.mark.parametrize(
    ("base_url", "reason"),
    [
        ("http://testserver", "plain http"),
        ("https://www.testserver", "another host name"),
        ("http://127.0.0.1:8000", "localhost and 127.0.0.1 are two"),
    ],
    ids=["http", "other-host", "other-loopback-host"],
)
def test_no_cookie_came_back(
    store: str, provider: FakeProvider, base_url: str, reason: str
) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    app = build_app(oauth)
    callback = sign_in(provider, start(new_browser(app)))
    path = callback.url.removeprefix(SITE)
    code, text = _failure(new_browser(app, base_url).get(path))
    assert code == "state.no_cookie"
    assert reason in text


def test_no_cookie_came_back_with_a_post(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    app = build_app(oauth)
    state = state_of(start(new_browser(app)))
    code, text = _failure(new_browser(app).post("/callback/op", data={"state": state, "code": "c"}))
    assert code == "state.no_cookie"
    assert "SameSite=Lax" in text
    assert "response_mode=form_post" in text


def test_a_login_begun_in_another_browser(provider: FakeProvider) -> None:
    oauth = new_oauth("cache")
    oauth.register("op", **provider.register_settings())
    app = build_app(oauth)
    attacker, victim = new_browser(app), new_browser(app)
    start(victim)  # so that the victim has a session
    callback = sign_in(provider, start(attacker), "mallory")
    code, text = _failure(deliver(victim, callback))
    assert code == "state.other_browser"
    assert "begun in another browser or session" in text
    assert deliver(attacker, callback).status_code == 200  # and the attempt took nothing away


@pytest.mark.parametrize("store", ["session", "cookie"])
def test_a_login_begun_in_another_browser_is_unknown_without_a_cache(
    store: str, provider: FakeProvider
) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    app = build_app(oauth)
    attacker, victim = new_browser(app), new_browser(app)
    start(victim)
    assert code_of(deliver(victim, sign_in(provider, start(attacker)))) == "state.unknown"


HOSTILE_STATES = ["é", "\ud83d\ude00", "a b", "a;b=c", "\x00", "\r\nSet-Cookie: a=b", "x" * 9000,
                  "../..", "_state_op_x", "🍪"]  # fmt: skip


@pytest.mark.parametrize("state", HOSTILE_STATES, ids=ascii)
def test_any_state_at_all_may_come(store: str, provider: FakeProvider, state: str) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    start(browser)
    query = urlencode({"state": state, "code": "c"}, errors="replace")
    assert code_of(browser.get(f"/callback/op?{query}")) == "state.unknown"
    assert code_of(browser.get(f"/logged-out/op?{query}")) == "state.unknown"


def test_bytes_that_are_no_text_may_come(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    start(browser)
    assert code_of(browser.get("/callback/op?state=%ff%fe&code=%ff")) == "state.unknown"


@pytest.mark.parametrize("state", ["é", "a b;c", "x" * 500], ids=ascii)
def test_an_app_may_choose_any_state(store: str, provider: FakeProvider, state: str) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    assert log_in(browser, provider, state=state)["userinfo"]["sub"] == "alice"


def test_a_hostile_state_never_reaches_the_cache_as_it_is(provider: FakeProvider) -> None:
    asked: list[str] = []

    class Watched(MemoryCache):
        def get(self, key: str, /) -> Any:
            asked.append(key)
            return super().get(key)

    oauth = new_oauth("cache", cache=Watched())
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    start(browser)
    for state in HOSTILE_STATES:
        query = urlencode({"state": state, "code": "c"}, errors="replace")
        browser.get(f"/callback/op?{query}")
    assert asked
    assert all(key.isascii() and key.isprintable() and " " not in key for key in asked)
    assert max(map(len, asked)) < 200


LEFTOVERS: list[Any] = [
    {"data": {"redirect_uri": f"{SITE}/callback/op", "nonce": "n"}, "exp": 1e12},
    {"exp": 1e12},
    {"client": "op"},
    {"client": "op", "exp": 10**12},
    {"client": "op", "exp": 10**12, "data": []},
    {"client": "op", "exp": 10**12, "data": {"code_verifier": 5}},
    "text",
    None,
]


@pytest.mark.parametrize("store", ["session", "cache"])
@pytest.mark.parametrize("leftover", LEFTOVERS, ids=range(len(LEFTOVERS)))
async def test_what_another_library_left_in_the_session_is_no_login(
    store: str, leftover: Any
) -> None:
    """People update while others are in the middle of a login."""
    client = new_oauth(store).register("op", client_id="id", authorize_url="https://op.example/a")
    session: dict[str, Any] = {"_state_op_old": leftover}
    query = b"state=old&code=c"
    with pytest.raises(StateError):
        await client.authorize_access_token(
            Request({"type": "http", "session": session, "query_string": query})
        )
    response = await client.authorize_redirect(Request({"type": "http", "session": session}))
    assert response.status_code == 302


# -- the cache as it is called -------------------------------------------------------------------


@CACHES
def test_a_login_through_each_kind_of_cache(
    provider: FakeProvider, cache_type: type[MemoryCache] | type[AsyncCache]
) -> None:
    cache = cache_type()
    oauth = new_oauth("cache", cache=cache)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    assert log_in(browser, provider)["userinfo"]["sub"] == "alice"
    values = cache.values if isinstance(cache, MemoryCache) else cache.inner.values
    assert values == {}
    if isinstance(cache, GetdelCache):
        assert "getdel" in cache.calls
        assert "delete" not in cache.calls


def test_only_a_marker_stands_in_the_session_when_there_is_a_cache(provider: FakeProvider) -> None:
    oauth = new_oauth("cache")
    client = oauth.register("op", **provider.register_settings())
    session: dict[str, Any] = {}
    response = anyio.run(
        client.authorize_redirect,
        Request({"type": "http", "session": session}),
        f"{SITE}/callback/op",
    )
    url = httpx2.URL(response.headers["location"])
    assert state_of(str(url)) in repr(session)
    assert url.params["nonce"] not in repr(session)
    assert "verifier" not in repr(session)


def test_a_callback_on_another_origin_than_the_login(store: str, provider: FakeProvider) -> None:
    """Behind a proxy the app may see another address than the browser."""
    provider.add_client("proxied", "secret", redirect_uris=["https://public.example/callback"])
    oauth = new_oauth(store)
    client = oauth.register("op", **provider.register_settings("proxied"))

    async def login(request: Request) -> Response:
        return await client.authorize_redirect(request, "https://public.example/callback")

    app = build_app(oauth)
    app.routes.insert(0, Route("/proxied", login))
    browser = new_browser(app)
    callback = sign_in(provider, start(browser, "/proxied"))
    assert callback.url.startswith("https://public.example/callback?")
    inside = callback.url.replace("https://public.example/callback", f"{SITE}/callback/op")
    assert browser.get(inside).status_code == 200


# -- return_to and data --------------------------------------------------------------------------


def test_return_to_and_data_travel_and_come_back(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    shown = log_in(browser, provider, return_to="/account?tab=2", data='{"cart": [1, "é"]}')
    assert (shown["return_to"], shown["data"]) == ("/account?tab=2", {"cart": [1, "é"]})
    assert shown["token"]["return_to"] == "/account?tab=2"
    assert shown["token"]["data"] == {"cart": [1, "é"]}


def test_nothing_comes_back_that_was_not_given(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    shown = log_in(new_browser(build_app(oauth)), provider)
    assert (shown["return_to"], shown["data"]) == (None, None)
    assert {"return_to", "data"}.isdisjoint(shown["token"])


@pytest.mark.parametrize(
    "return_to",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example",
     "javascript:alert(1)", "account", "/\t/evil.example", "/a\nb", "/\\/evil", "",
     "/" + "a" * 3000],
    ids=lambda text: ascii(text[:20]) or "empty",
)  # fmt: skip
async def test_a_return_to_elsewhere_is_refused(store: str, return_to: str) -> None:
    client = new_oauth(store).register("op", client_id="id", authorize_url="https://op.example/a")
    with pytest.raises(OAuthError) as caught:
        await client.authorize_redirect(
            Request({"type": "http", "session": {}}), f"{SITE}/callback", return_to=return_to
        )
    assert caught.value.code == "return_to.not_local"


@pytest.mark.parametrize("return_to", ["/", "/account", "/a?next=//b", "/é", "/a#b"])
async def test_a_return_to_on_this_site_will_do(store: str, return_to: str) -> None:
    client = new_oauth(store).register("op", client_id="id", authorize_url="https://op.example/a")
    response = await client.authorize_redirect(
        Request({"type": "http", "session": {}}), f"{SITE}/callback", return_to=return_to
    )
    assert response.status_code == 302


async def test_data_that_is_not_json_is_refused(store: str) -> None:
    client = new_oauth(store).register("op", client_id="id", authorize_url="https://op.example/a")
    with pytest.raises(RuntimeError) as caught:
        await client.authorize_redirect(
            Request({"type": "http", "session": {}}), f"{SITE}/callback", data=object()
        )
    assert isinstance(caught.value, OAuthError)
    assert caught.value.code == "configuration.data_not_json"


async def test_more_data_than_a_cookie_holds_is_refused() -> None:
    client = new_oauth("cookie").register(
        "op", client_id="id", authorize_url="https://op.example/a"
    )
    with pytest.raises(RuntimeError, match="too large"):
        await client.authorize_redirect(
            Request({"type": "http", "session": {}}), f"{SITE}/callback", data="x" * 4000
        )


@pytest.mark.parametrize("member", ["userinfo", "return_to", "data"])
def test_what_the_token_response_calls_so_is_never_believed(
    store: str, provider: FakeProvider, member: str
) -> None:
    lie = {"sub": "mallory", "email": "admin@example.com"}
    provider.fault(f"token.{member}", extra(lie))
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    shown = log_in(new_browser(build_app(oauth)), provider)
    assert shown["userinfo"]["sub"] == "alice"
    assert shown["token"]["userinfo"]["sub"] == "alice"
    assert (shown["return_to"], shown["data"]) == (None, None)
    assert "mallory" not in repr(shown)


async def test_without_an_id_token_there_are_no_claims_to_believe() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        lies = {"userinfo": {"sub": "mallory"}, "return_to": "//evil", "data": {"admin": True}}
        return httpx2.Response(200, json={"access_token": "a", "token_type": "Bearer", **lies})

    client = new_oauth("session").register(
        "op",
        client_id="id",
        authorize_url="https://op.example/authorize",
        access_token_url="https://op.example/token",
        client_kwargs={"transport": httpx2.MockTransport(answer)},
    )
    session: dict[str, Any] = {}
    response = await client.authorize_redirect(
        Request({"type": "http", "session": session}), return_to="/account"
    )
    query = urlencode({"state": state_of(response.headers["location"]), "code": "c"})
    token = await client.authorize_access_token(
        Request({"type": "http", "session": session, "query_string": query.encode()})
    )
    assert token.userinfo is None
    assert token["return_to"] == token.return_to == "/account"
    assert "userinfo" not in token
    assert "data" not in token
    assert token.raw["data"] == {"admin": True}  # it stands where the whole response stands
