"""What someone with a browser, a subdomain or a link tries against an app and its users."""

from __future__ import annotations

import time
from functools import partial
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from starlette.requests import Request

from reliant import MissingTokenError, OAuthError, UserInfoError
from reliant.http.cached import MAX_RENEWALS
from reliant.protocol import jose
from reliant.starlette import OAuth
from reliant.starlette.requests import cookies_of
from reliant.storage.references import References
from reliant.storage.replay import ReplayGuard
from reliant.testing import FakeProvider
from tests.helpers.fake_api import FakeApi
from tests.helpers.relying_party import (
    build_app,
    new_browser,
    new_oauth,
    sign_in,
    start,
)

PREFIX = "__Host-oauth."


def callback_request(url: str, *cookies: bytes) -> Request:
    """The callback as it arrives with these Cookie headers."""
    return Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "https",
            "path": "/callback/op",
            "query_string": httpx2.URL(url).query,
            "headers": [(b"host", b"testserver"), *((b"cookie", cookie) for cookie in cookies)],
        }
    )


# -- cookies from a subdomain --------------------------------------------------------------------


@pytest.mark.parametrize("disguise", [b"\xa0", b"\x85", b" \xa0", b"\x1c", b"\x0b"])
def test_a_cookie_planted_from_a_subdomain_begins_no_login(
    provider: FakeProvider, disguise: bytes
) -> None:
    """Browsers take `\\xa0__Host-x` from a subdomain, and Python's `strip` makes `__Host-x` of it.

    The attacker's own login would be finished in the victim's browser.
    """
    oauth = new_oauth("cookie")
    client = oauth.register("op", **provider.register_settings())
    attacker = new_browser(build_app(oauth))
    url = sign_in(provider, start(attacker), "alice").url
    name, value = next(it for it in attacker.cookies.items() if it[0].startswith(PREFIX))

    planted = callback_request(url, disguise + f"{name}={value}".encode())
    with pytest.raises(OAuthError) as caught:
        anyio.run(client.authorize_access_token, planted)
    assert caught.value.code == "state.no_cookie"

    own = callback_request(url, f"{name}={value}".encode())
    assert anyio.run(client.authorize_access_token, own).userinfo is not None


def test_cookies_are_read_from_all_their_headers_in_order() -> None:
    request = callback_request("https://testserver/", b"a=1;\tb=x=y ; c", b"", b"d=4; a=5")
    cookies = cookies_of(request)
    assert [it for it in cookies.items() if it[0]] == [
        ("a", "5"), ("b", "x=y"), ("c", ""), ("d", "4")
    ]  # fmt: skip


# -- cookies without end -------------------------------------------------------------------------


def test_logins_begun_by_a_stranger_never_fill_the_cookie_header(provider: FakeProvider) -> None:
    """Servers refuse a Cookie header of 8 KB: the whole site would be lost to the victim."""
    oauth = new_oauth("cookie")
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    for _ in range(10):
        start(browser, return_to="/" + "a" * 2000)
    pending = {name: value for name, value in browser.cookies.items() if name.startswith(PREFIX)}
    assert sum(len(name) + len(value) + 3 for name, value in pending.items()) < 6500

    for _ in range(8):
        start(browser)
    assert sum(name.startswith(PREFIX) for name in browser.cookies) == 8


# -- odd requests --------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["[", "[x]", "a]b", "a:b", "a:99999", "@"])
def test_a_host_that_is_none_is_no_500(store: str, provider: FakeProvider, host: str) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth), "http://testserver")
    response = browser.get("/callback/op?state=x", headers={"host": host})
    assert (response.status_code, response.json()["code"]) == (400, "state.no_cookie")


def test_no_cache_hands_a_login_or_logout_to_others(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    for path in ("/login/op", "/logout/op"):
        assert browser.get(path).headers["cache-control"] == "no-store"


# -- tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["s3cr3t ", "s3cr3t\n", "s3cr3t\x00", "s3cr3té", b"s3cr3t", 5])
@pytest.mark.parametrize("place", ["header", "body"])
async def test_a_token_that_fits_no_header_is_not_quoted_by_an_error(
    token: Any, place: str
) -> None:
    """The HTTP library says `Illegal header value b'Bearer …'`, and a traceback shows that."""
    api = FakeApi()
    client = OAuth().register(
        "op",
        client_id="client",
        api_base_url="https://api.example/",
        userinfo_endpoint="https://api.example/me",
        client_kwargs={"transport": api, "token_placement": place},
    )
    for attempt in (partial(client.get, "/x"), client.userinfo):
        with pytest.raises(MissingTokenError) as caught:
            await attempt(token={"access_token": token})
        assert caught.value.code == "request.token_unfit"
        assert caught.value.__cause__ is None
        assert "s3cr3t" not in str(caught.value)
    assert api.requests == []


async def test_what_the_app_keeps_beside_a_token_is_not_for_a_refresh_to_change() -> None:
    answer = {"access_token": "new", "token_type": "Bearer", "return_to": "//evil", "data": "evil"}
    api = FakeApi({"/token": answer, "/x": {}})
    client = OAuth().register(
        "op",
        client_id="client",
        access_token_url="https://op.example/token",
        api_base_url="https://api.example/",
        client_kwargs={"transport": api},
    )
    token = {"access_token": "old", "refresh_token": "r", "expires_at": 1, "data": {"tenant": 5}}
    response = await client.get("/x", token=token)
    assert token["access_token"] == "new"
    assert (token["data"], token.get("return_to")) == ({"tenant": 5}, None)
    assert "data" not in response.extensions["oauth_token"]


async def test_a_refresh_by_the_bare_string_does_not_make_the_person_forgotten() -> None:
    """Those who come late share its result, in which nobody's claims are."""
    answer = {"access_token": "new", "token_type": "Bearer"}
    api = FakeApi({"/token": answer, "/me": {"sub": "mallory"}})
    client = OAuth().register(
        "op",
        client_id="client",
        access_token_url="https://op.example/token",
        userinfo_endpoint="https://op.example/me",
        client_kwargs={"transport": api, "scope": "openid"},
    )
    await client.refresh_token("r")
    token = {"access_token": "old", "refresh_token": "r", "expires_at": 1}
    with pytest.raises(UserInfoError) as caught:
        await client.userinfo({**token, "userinfo": {"sub": "alice"}})
    assert caught.value.code == "userinfo.sub_mismatch"
    assert api.paths() == ["/token", "/me"]


# -- what anybody may post -----------------------------------------------------------------------

ISSUER = "https://op.example"
KEY = jose.generate_key("ES256", "op")


async def test_forged_logout_tokens_cost_few_fetches_though_the_key_set_changes_each_time() -> None:
    """As one does that is written anew for each request, or comes from servers out of step."""
    numbers, fetched = count(), []

    def jwks(request: httpx2.Request) -> httpx2.Response:
        fetched.append(request)
        return httpx2.Response(200, json={"keys": [jose.public_jwk(KEY)], "n": next(numbers)})

    client = OAuth().register(
        "op",
        client_id="client",
        issuer=ISSUER,
        jwks_uri=f"{ISSUER}/jwks",
        id_token_signed_response_alg="ES256",
        client_kwargs={"transport": httpx2.MockTransport(jwks)},
    )
    event: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    for number in range(30):
        claims = {
            "iss": ISSUER,
            "aud": "client",
            "sub": "x",
            "iat": int(time.time()),
            "events": event,
        }
        forged = jose.sign_jwt({**claims, "jti": "j"}, KEY, "ES256", kid=f"unknown {number}")
        with pytest.raises(OAuthError) as caught:
            await client.verifier.logout_token(forged)
        assert caught.value.code == "logout_token.key_unknown"
    assert len(fetched) == 1 + MAX_RENEWALS


class StrictCache(dict[str, str]):
    """As memcached: no key of more than 250 characters, none with white space or controls."""

    def get(self, key: str, default: Any = None) -> Any:
        self._check(key)
        return super().get(key, default)

    def set(self, key: str, value: str, seconds: int) -> None:
        self._check(key)
        self[key] = value

    def delete(self, key: str) -> None:
        self._check(key)
        self.pop(key, None)

    def _check(self, key: str) -> None:
        if len(key) > 250 or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("not a key")


@pytest.mark.parametrize("reference", ["x" * 5000, "a\r\nflush_all\r\n", "\x00", "\xff", "a b", ""])
async def test_no_reference_of_a_strangers_making_reaches_the_cache(reference: str) -> None:
    assert await References(cache=StrictCache()).take(reference) is None


@pytest.mark.parametrize("jti", ["x" * 255, "a\r\nflush_all", "\ud800", "a b"])
async def test_any_jti_is_remembered_by_any_cache(jti: str) -> None:
    cache = StrictCache()
    assert await ReplayGuard(cache).first_use(jti, time.time() + 60)
    assert not await ReplayGuard(cache).first_use(jti, time.time() + 60)


async def test_a_cache_that_can_gives_a_request_object_out_once_at_the_same_instant() -> None:
    class Atomic(StrictCache):
        async def getdel(self, key: str) -> str | None:
            found = self.pop(key, None)
            await anyio.lowlevel.checkpoint()
            return found

    kept, found = References(cache=Atomic()), []
    reference = await kept.keep("request object")

    async def take() -> None:
        found.append(await kept.take(reference))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(take)
    assert sorted(filter(None, found)) == ["request object"]


# -- claims of other parties ---------------------------------------------------------------------


@pytest.mark.parametrize(("sub", "verified"), [("alice", True), ("mallory", False)])
async def test_another_persons_token_proves_nothing_of_this_one(sub: str, verified: bool) -> None:
    """A claims source may hand out an ID Token that the provider made for someone else."""
    client = OAuth().register(
        "op", client_id="client", issuer=ISSUER, jwks={"keys": [jose.public_jwk(KEY)]}
    )
    claims = {"iss": ISSUER, "aud": "client", "sub": sub, "email": "m@example.org"}
    token = jose.sign_jwt(claims, KEY, "ES256", kid="op")
    sources = {"_claim_names": {"email": "s"}, "_claim_sources": {"s": {"JWT": token}}}
    found = await client.resolve_claims({"sub": "alice", **sources})
    assert found["email"].verified is verified
