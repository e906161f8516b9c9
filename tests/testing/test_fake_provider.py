"""FakeProvider as a test holds it."""

from __future__ import annotations

import time

import httpx2
import pytest
from starlette.testclient import TestClient

from reliant import testing
from reliant.testing import Client, FakeProvider
from tests.testing.driver import Driver

pytestmark = pytest.mark.anyio


def test_the_facade_is_complete_and_sorted() -> None:
    assert sorted(testing.__all__, key=lambda name: (not name.isupper(), name)) == testing.__all__
    assert all(hasattr(testing, name) for name in testing.__all__)


def test_the_settings_for_register() -> None:
    provider = FakeProvider()
    settings = provider.register_settings()
    assert settings["client_id"] in provider.clients
    assert settings["client_secret"] == provider.clients[settings["client_id"]].client_secret
    assert settings["server_metadata_url"] == provider.server_metadata_url
    assert settings["client_kwargs"] == {
        "scope": "openid profile email",
        "transport": provider.transport,
    }


def test_the_settings_of_a_named_and_of_a_public_client() -> None:
    provider = FakeProvider()
    provider.add_client("spa")
    settings = provider.register_settings("spa", scope="openid")
    assert "client_secret" not in settings
    assert settings["client_kwargs"]["scope"] == "openid"
    with pytest.raises(KeyError):
        provider.register_settings("nobody")


def test_clients_given_replace_the_default_one() -> None:
    assert set(FakeProvider(clients=[Client("one", "s")]).clients) == {"one"}


async def test_the_log_of_requests() -> None:
    driver = Driver()
    tokens = await driver.tokens()
    await driver.userinfo(tokens["access_token"])
    assert [request.endpoint for request in driver.provider.requests] == [
        "authorize",
        "login",
        "token",
        "userinfo",
    ]
    token = driver.provider.requests[2]
    assert (token.method, token.url) == ("POST", "https://op.example/token")
    assert token.params["grant_type"] == "authorization_code"
    assert token.headers["content-type"] == "application/x-www-form-urlencoded"
    assert driver.provider.count("token") == 1


async def test_clear_forgets_all_but_clients_users_and_keys() -> None:
    driver = Driver()
    browser = driver.provider.browser()
    driver.provider.users["alice"] = {"name": "A"}
    tokens = (await driver.redeem(await driver.sign_in(browser))).json()
    driver.provider.fault("token.status", 500)
    driver.provider.clear()
    assert driver.provider.requests == []
    assert (await driver.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await driver.userinfo(tokens["access_token"])).status_code == 401
    assert (await driver.sign_in(browser, prompt="none")).params["error"] == "login_required"
    assert "web" in driver.provider.clients
    assert "alice" in driver.provider.users


async def test_the_provider_is_an_asgi_application() -> None:
    provider = FakeProvider()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(provider)) as client:
        response = await client.get(provider.server_metadata_url)
    assert response.json()["issuer"] == provider.issuer


def test_it_also_serves_synchronous_tests() -> None:
    with TestClient(FakeProvider(), base_url="https://op.example") as client:
        assert client.get("/jwks").json()["keys"]
        assert client.get("/nothing").status_code == 404
        assert client.post("/jwks").status_code == 405


def test_a_second_provider_costs_next_to_nothing() -> None:
    FakeProvider()
    before = time.process_time()
    for _ in range(20):
        FakeProvider()
    # About 0.2 ms each on a small machine; making an RSA key would cost a hundred times that.
    assert (time.process_time() - before) / 20 < 0.005
