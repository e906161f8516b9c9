"""Whole ways through the house, against a provider in the same process."""

from __future__ import annotations

import json
import logging
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from reliant import InvalidGrantError, OAuthError, Token
from reliant.starlette import OAuth, StarletteClient
from reliant.testing import Behaviour, FakeProvider, append
from tests.helpers.relying_party import (
    SITE,
    build_app,
    deliver,
    log_in,
    new_browser,
    new_oauth,
    sign_in,
    start,
)

KEPT_SECRET = ("access_token", "refresh_token", "id_token")

# -- an app as people write it -------------------------------------------------------------------


def _app(client: StarletteClient) -> Starlette:
    """It keeps the token in the session, shows the user, refreshes, logs out."""

    async def login(request: Request) -> Response:
        return await client.authorize_redirect(
            request, request.url_for("callback"), return_to=request.query_params.get("next", "/")
        )

    async def callback(request: Request) -> Response:
        token = await client.authorize_access_token(request)
        request.session["token"] = token
        return RedirectResponse(token.return_to or "/", 303)

    async def me(request: Request) -> Response:
        return JSONResponse(await client.userinfo(token=request.session["token"]))

    async def api(request: Request) -> Response:
        token = request.session["token"]
        response = await client.get("userinfo", token=token)
        request.session["token"] = token  # it may have been refreshed
        return JSONResponse(response.json(), response.status_code)

    async def logout(request: Request) -> Response:
        token = request.session.pop("token")
        return await client.logout_redirect(
            request, request.url_for("logged_out"), id_token_hint=token["id_token"]
        )

    async def logged_out(request: Request) -> Response:
        return JSONResponse(await client.validate_logout_response(request))

    return Starlette(
        routes=[
            Route("/login", login),
            Route("/callback", callback, name="callback"),
            Route("/me", me),
            Route("/api", api),
            Route("/logout", logout),
            Route("/logged-out", logged_out, name="logged_out"),
        ],
        middleware=[Middleware(SessionMiddleware, secret_key="session", https_only=True)],
    )


def test_login_userinfo_refresh_logout(store: str) -> None:
    provider = FakeProvider(behaviour=Behaviour(access_token_lifetime=5))  # at once due for refresh
    client = new_oauth(store).register("op", api_base_url="https://op.example/",
                                       **provider.register_settings())  # fmt: skip
    browser = new_browser(_app(client))
    there = provider.browser()

    url = start(browser, "/login", next="/me")
    response = deliver(browser, anyio.run(there.sign_in, url))
    assert (response.status_code, response.headers["location"]) == (303, "/me")
    assert browser.get("/me").json()["email"] == "alice@example.test"

    assert browser.get("/api").json()["sub"] == "alice"
    assert browser.get("/api").json()["sub"] == "alice"
    refreshes = [r for r in provider.requests if r.params.get("grant_type") == "refresh_token"]
    assert len(refreshes) == len({r.params["refresh_token"] for r in refreshes})

    url = start(browser, "/logout")
    back = anyio.run(there.sign_out, url)
    assert browser.get(back).json() == {"post_logout_redirect_uri": f"{SITE}/logged-out"}


def test_the_provider_shows_its_page_again_after_logout(provider: FakeProvider) -> None:
    client = new_oauth("cookie").register("op", **provider.register_settings())
    browser, there = new_browser(_app(client)), provider.browser()
    deliver(browser, anyio.run(there.sign_in, start(browser, "/login"), "alice"))
    silent = anyio.run(there.sign_in, start(browser, "/login"), "bob")
    deliver(browser, silent)
    assert browser.get("/me").json()["sub"] == "alice"  # single sign-on: nobody was asked
    anyio.run(there.sign_out, start(browser, "/logout"))
    deliver(browser, anyio.run(there.sign_in, start(browser, "/login"), "bob"))
    assert browser.get("/me").json()["sub"] == "bob"


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "ES512", "EdDSA"])
def test_a_login_with_each_kind_of_key(alg: str) -> None:
    provider = FakeProvider(signing_alg=alg)
    provider.add_noise_keys()
    oauth = new_oauth("session")
    oauth.register("op", **provider.register_settings())
    assert log_in(new_browser(build_app(oauth)), provider)["userinfo"]["sub"] == "alice"


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_a_login_with_each_way_of_client_authentication(
    provider: FakeProvider, method: str
) -> None:
    secret = None if method == "none" else "a secret: with % and + and ü"
    provider.add_client("the client", secret, token_endpoint_auth_method=method)
    oauth = new_oauth("session")
    oauth.register(
        "op", **provider.register_settings("the client"), token_endpoint_auth_method=method
    )
    assert log_in(new_browser(build_app(oauth)), provider)["userinfo"]["aud"] == "the client"


def test_max_age_and_acr_are_checked(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    shown = log_in(browser, provider, max_age="60", acr_values="silver gold")
    assert shown["userinfo"]["acr"] == "silver"
    for fault, value, code in (
        ("id_token.acr", "bronze", "id_token.acr"),
        ("id_token.auth_time", 1000, "id_token.auth_time"),
    ):
        with provider.fault(fault, value):
            url = start(browser, max_age="60", acr_values="silver gold")
            assert deliver(browser, sign_in(provider, url)).json()["code"] == code


def test_a_login_without_openid(provider: FakeProvider) -> None:
    """No ID Token comes back, and none is missed."""
    oauth = new_oauth("session")
    oauth.register("op", **provider.register_settings(scope="profile"))
    shown = log_in(new_browser(build_app(oauth)), provider)
    assert shown["userinfo"] is None
    assert shown["token"]["scope"] == "profile"


def test_the_token_can_go_into_a_session(provider: FakeProvider) -> None:
    oauth = new_oauth("session")
    oauth.register("op", **provider.register_settings())
    token = log_in(new_browser(build_app(oauth)), provider)["token"]
    assert json.loads(json.dumps(token)) == token
    assert {"access_token", "token_type", "expires_at", "id_token", "userinfo"} <= set(token)


# -- how often the provider is asked -------------------------------------------------------------


def _asked(provider: FakeProvider) -> list[str]:
    browsers = ("authorize", "login", "end_session", "confirm")
    return [request.endpoint for request in provider.requests if request.endpoint not in browsers]


def test_a_cold_login_costs_three_requests_and_a_warm_one_one(
    store: str, provider: FakeProvider
) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    log_in(browser, provider)
    assert _asked(provider) == ["discovery", "token", "jwks"]
    provider.requests.clear()
    log_in(browser, provider)
    assert _asked(provider) == ["token"]


def test_a_logout_costs_none(provider: FakeProvider) -> None:
    oauth = new_oauth("session")
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    log_in(browser, provider)
    provider.requests.clear()
    start(browser, "/logout/op")
    assert _asked(provider) == []


async def _log_in(client: StarletteClient, provider: FakeProvider) -> Token:
    session: dict[str, Any] = {}
    response = await client.authorize_redirect(
        Request({"type": "http", "session": session}), f"{SITE}/callback"
    )
    callback = await provider.sign_in(response.headers["location"])
    query = httpx2.URL(callback.url).query
    return await client.authorize_access_token(
        Request({"type": "http", "session": session, "query_string": query})
    )


async def test_many_first_logins_at_once_ask_for_each_document_once(
    provider: FakeProvider,
) -> None:
    client = OAuth().register("op", **provider.register_settings())
    for endpoint in ("discovery", "jwks"):
        provider.fault(f"{endpoint}.delay", 0.01)  # so that all ask before the answer is there
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(_log_in, client, provider)
    assert provider.count("discovery") == provider.count("jwks") == 1
    assert provider.count("token") == 20


# -- keys rotate ---------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_old", [False, True], ids=["gone", "kept"])
async def test_a_rotation_is_picked_up_at_the_callback(
    provider: FakeProvider, keep_old: bool
) -> None:
    client = OAuth().register("op", **provider.register_settings())
    for expected in (1, 2, 3):  # twice in a row: the second is picked up at once as well
        assert (await _log_in(client, provider))["userinfo"]["sub"] == "alice"
        assert provider.count("jwks") == expected
        assert (await _log_in(client, provider))["userinfo"]["sub"] == "alice"
        assert provider.count("jwks") == expected
        provider.rotate_keys(keep_old=keep_old)


@pytest.mark.parametrize(
    ("fault", "value"), [("key", "unpublished"), ("key", "impostor"), ("signature", "flip")]
)
async def test_forged_tokens_do_not_make_us_ask_again_and_again(
    provider: FakeProvider, fault: str, value: str
) -> None:
    client = OAuth().register("op", **provider.register_settings())
    await _log_in(client, provider)
    provider.fault(f"id_token.{fault}", value)
    for _ in range(5):
        with pytest.raises(OAuthError):
            await _log_in(client, provider)
    assert provider.count("jwks") == 2  # the first, and one refetch for all five
    provider.heal()
    await _log_in(client, provider)


@pytest.mark.parametrize(
    ("name", "value"), [("jwks.status", 503), ("jwks.body", "<html>"), ("jwks.keys", [])]
)
async def test_a_bad_reply_never_replaces_good_keys(
    provider: FakeProvider, name: str, value: Any
) -> None:
    client = OAuth().register("op", **provider.register_settings())
    await _log_in(client, provider)
    provider.fault(name, value)
    provider.fault("id_token.key", "unpublished", times=1)
    with pytest.raises(OAuthError) as caught:
        await _log_in(client, provider)
    assert caught.value.code == "id_token.key_unknown"
    assert (await _log_in(client, provider))["userinfo"]["sub"] == "alice"


# -- refresh -------------------------------------------------------------------------------------


class _Refreshing:
    """A client with an API, the updates it was told of, and a token that has expired."""

    def __init__(self, provider: FakeProvider) -> None:
        self.provider = provider
        self.told: list[Token] = []
        self.client = OAuth(update_token=self._update).register(
            "op", api_base_url=f"{provider.issuer}/", **provider.register_settings()
        )

    async def _update(
        self, name: str, token: Token, refresh_token: str | None, access_token: str | None
    ) -> None:
        await anyio.lowlevel.checkpoint()
        self.told.append(token)

    async def expired(self) -> dict[str, Any]:
        return {**await _log_in(self.client, self.provider), "expires_at": 1000}

    def refreshes(self) -> int:
        return sum(r.params.get("grant_type") == "refresh_token" for r in self.provider.requests)


async def test_an_expired_token_is_refreshed_once_for_all_who_ask(provider: FakeProvider) -> None:
    rp = _Refreshing(provider)
    old = await rp.expired()
    provider.fault("token.delay", 0.01)  # so that all ask before the answer is there
    tokens = [dict(old) for _ in range(50)]
    responses: list[httpx2.Response] = []

    async def ask(token: dict[str, Any]) -> None:
        responses.append(await rp.client.get("userinfo", token=token))

    async with anyio.create_task_group() as tasks:
        for token in tokens:
            tasks.start_soon(ask, token)
    assert [response.status_code for response in responses] == [200] * 50
    assert rp.refreshes() == 1
    assert len(rp.told) == 1
    new = rp.told[0]
    assert new["access_token"] != old["access_token"]
    for token, response in zip(tokens, responses, strict=True):
        assert token["access_token"] == new["access_token"]  # the caller's dict
        assert token["refresh_token"] == new["refresh_token"]
        assert response.extensions["oauth_token"]["access_token"] == new["access_token"]


async def test_who_comes_late_with_the_old_token_is_served_too(provider: FakeProvider) -> None:
    rp = _Refreshing(provider)
    old = await rp.expired()
    for _ in range(3):
        assert (await rp.client.get("userinfo", token=dict(old))).status_code == 200
    assert rp.refreshes() == 1


async def test_a_token_that_has_time_left_is_not_refreshed(provider: FakeProvider) -> None:
    rp = _Refreshing(provider)
    token = await _log_in(rp.client, provider)
    response = await rp.client.get("userinfo", token=token)
    assert "oauth_token" not in response.extensions
    assert rp.refreshes() == 0
    assert rp.told == []


async def test_the_refreshed_token_keeps_what_did_not_change(provider: FakeProvider) -> None:
    provider.behaviour.rotate_refresh_tokens = False
    provider.behaviour.refresh_id_token = False
    rp = _Refreshing(provider)
    old = await rp.expired()
    new = await rp.client.refresh_token(old)
    for name in ("refresh_token", "scope", "id_token", "userinfo"):
        assert new[name] == old[name]
    assert new.expires_at is not None
    assert new.expires_at > 1000


async def test_a_new_id_token_is_validated(provider: FakeProvider) -> None:
    rp = _Refreshing(provider)
    old = await rp.expired()
    provider.fault("id_token.sub", "mallory")
    with pytest.raises(OAuthError) as caught:
        await rp.client.get("userinfo", token=old)
    assert caught.value.code == "id_token.sub_mismatch"
    assert rp.told == []


async def test_a_refresh_that_is_refused_is_refused_to_all(provider: FakeProvider) -> None:
    rp = _Refreshing(provider)
    old = await rp.expired()
    provider.fault("token.delay", 0.01)  # so that all ask before the answer is there
    provider.fault("token.status", 400)
    provider.fault("token.error", "invalid_grant")
    failures: list[Exception] = []

    async def ask() -> None:
        with pytest.raises(InvalidGrantError) as caught:
            await rp.client.get("userinfo", token=dict(old))
        failures.append(caught.value)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(ask)
    assert len(failures) == len({id(failure) for failure in failures}) == 10
    assert rp.refreshes() == 1
    assert rp.told == []
    for failure in failures:
        assert old["refresh_token"] not in str(failure)


async def test_who_is_cancelled_takes_no_one_along(provider: FakeProvider) -> None:
    rp = _Refreshing(provider)
    old = await rp.expired()
    provider.fault("token.delay", 0.05, times=1)
    responses: list[httpx2.Response] = []

    async def ask() -> None:
        responses.append(await rp.client.get("userinfo", token=dict(old)))

    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(0):
            await ask()  # gone before its answer
        for _ in range(5):
            tasks.start_soon(ask)
    assert [response.status_code for response in responses] == [200] * 5


async def test_a_refreshed_token_serves_userinfo_as_well(provider: FakeProvider) -> None:
    rp = _Refreshing(provider)
    old = await rp.expired()
    user = await rp.client.userinfo(token=old)
    assert user.sub == "alice"
    assert old["access_token"] == rp.told[0]["access_token"]


async def test_revoked_tokens_are_dead(provider: FakeProvider) -> None:
    rp = _Refreshing(provider)
    token = await _log_in(rp.client, provider)
    await rp.client.revoke_token(token)
    assert (await rp.client.get("userinfo", token=token)).status_code == 401
    with pytest.raises(InvalidGrantError):
        await rp.client.refresh_token(token)


async def test_nothing_secret_is_logged_or_shown(
    provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    (registered,) = provider.clients.values()
    with caplog.at_level(logging.DEBUG):
        rp = _Refreshing(provider)
        old = await rp.expired()
        await rp.client.get("userinfo", token=old)
        await rp.client.userinfo(token=old)
        token = await rp.client.refresh_token(old)
        made = await rp.client.create_logout_url(f"{SITE}/bye", token.id_token)
        await rp.client.revoke_token(token)
    redeemed = next(request for request in provider.requests if request.endpoint == "token")
    secrets = {redeemed.params["code"], redeemed.params["code_verifier"], made["state"]}
    secrets |= {issued[name] for issued in (rp.told[0], token) for name in KEPT_SECRET}
    secrets.add(registered.client_secret or "")
    shown = f"{token!r} {token} {rp.client!r} {rp.client.settings!r} {rp.told!r}"
    lines = [caplog.handler.format(record) for record in caplog.records]
    # The browser of this test logs the addresses it visits; the endpoints below are ours.
    heard = "\n".join(line for line in lines if "/authorize" not in line and "/login" not in line)
    assert "/token" in heard
    for secret in secrets:
        assert len(secret) > 8
        assert secret not in heard
        assert secret not in shown


# -- logout --------------------------------------------------------------------------------------


def test_a_logout_whose_state_was_changed_on_the_way(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    provider.fault("logged_out.state", append("x"))
    back = anyio.run(provider.sign_out, start(browser, "/logout/op"))
    assert browser.get(back).json()["code"] == "state.unknown"


def test_two_logouts_and_a_login_at_once(store: str, provider: FakeProvider) -> None:
    oauth = new_oauth(store)
    oauth.register("op", **provider.register_settings())
    browser = new_browser(build_app(oauth))
    first, login, second = (
        start(browser, path) for path in ("/logout/op", "/login/op", "/logout/op")
    )
    for url in (second, first):
        assert browser.get(anyio.run(provider.sign_out, url)).status_code == 200
    assert deliver(browser, sign_in(provider, login)).status_code == 200
