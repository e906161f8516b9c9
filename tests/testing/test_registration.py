"""Clients that register themselves, and the checks of what they ask for."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from reliant.testing import Behaviour, FakeProvider
from tests.testing.driver import Driver

pytestmark = pytest.mark.anyio

METADATA = {"redirect_uris": ["https://rp.example/callback"]}


def _driver(**behaviour: Any) -> Driver:
    return Driver(FakeProvider(behaviour=Behaviour(registration=True, **behaviour)))


async def _register(driver: Driver, **changes: Any) -> httpx2.Response:
    return await driver.send("POST", "register", json=METADATA | changes)


async def test_a_client_registers_and_signs_in() -> None:
    driver = _driver(odd_strings=True)
    response = await _register(driver, client_name="Reliant")
    answer = response.json()
    assert response.status_code == 201
    assert answer["client_secret_expires_at"] == 0
    assert answer["id_token_signed_response_alg"] == "RS256"
    assert answer["client_name"] == "Reliant"
    assert driver.provider.violations == []
    driver.client = driver.provider.clients[answer["client_id"]]
    callback = await driver.sign_in(client_id=answer["client_id"])
    credentials = {name: answer[name] for name in ("client_id", "client_secret")}
    tokens = await driver.redeem(callback, **credentials)
    assert tokens.json()["error"] == "invalid_client"  # it is registered for Basic
    metadata = (await driver.send("GET", ".well-known/openid-configuration")).json()
    assert metadata["registration_endpoint"] == "https://op.example/register"


@pytest.mark.parametrize(
    ("answer", "rules"),
    [
        (httpx2.Response(200, json=METADATA["redirect_uris"]), ["logo_uri"]),
        (httpx2.Response(200, json=[]), ["logo_uri", "sector_identifier_uri"]),
        (httpx2.Response(200, json={}), ["logo_uri", "sector_identifier_uri"]),
        (
            httpx2.Response(
                200, json=METADATA["redirect_uris"], headers={"content-type": "image/x"}
            ),
            [],
        ),
    ],
)
async def test_what_the_metadata_point_to_is_fetched(
    answer: httpx2.Response, rules: list[str]
) -> None:
    driver = _driver()
    driver.provider.client_transport = httpx2.MockTransport(lambda request: answer)
    links = {
        "logo_uri": "https://rp.example/logo",
        "sector_identifier_uri": "https://rp.example/redirect-uris",
    }
    assert (await _register(driver, **links)).status_code == 201
    found = [one.partition(":")[0] for one in driver.provider.violations]
    assert found == [f"register.{rule}" for rule in rules]


@pytest.mark.parametrize("method", ["none", "private_key_jwt", "tls_client_auth"])
async def test_some_methods_need_no_secret(method: str) -> None:
    answer = (await _register(_driver(), token_endpoint_auth_method=method)).json()
    assert "client_secret" not in answer


async def test_the_provider_decides() -> None:
    driver = _driver(userinfo_alg="ES256")
    answer = (await _register(driver, id_token_signed_response_alg="PS512")).json()
    assert answer["id_token_signed_response_alg"] == "RS256"
    assert answer["userinfo_signed_response_alg"] == "ES256"


async def test_a_client_is_read_changed_and_deleted() -> None:
    driver = _driver()
    answer = (await _register(driver)).json()
    path = answer["registration_client_uri"].removeprefix("https://op.example/")
    headers = {"Authorization": f"Bearer {answer['registration_access_token']}"}
    assert (await driver.send("GET", path, headers=headers)).json() == answer
    update = {**METADATA, "client_id": answer["client_id"], "client_name": "New"}
    changed = await driver.send("PUT", path, headers=headers, json=update)
    assert changed.json()["client_name"] == "New"
    assert changed.json()["client_secret"] == answer["client_secret"]
    for wrong in ({"client_id": "other"}, {"client_secret_expires_at": 0}):
        refused = await driver.send("PUT", path, headers=headers, json=update | wrong)
        assert refused.status_code == 400
    assert (await driver.send("DELETE", path, headers=headers)).status_code == 204
    assert answer["client_id"] not in driver.provider.clients
    assert (await driver.send("GET", path, headers=headers)).status_code == 401


async def test_a_registration_is_its_owners() -> None:
    driver = _driver()
    uri = (await _register(driver)).json()["registration_client_uri"]
    path = uri.removeprefix("https://op.example/")
    assert (await driver.send("GET", path)).status_code == 401


async def test_an_initial_access_token() -> None:
    driver = _driver(initial_access_token="let me in")
    assert (await _register(driver)).status_code == 401
    headers = {"Authorization": "Bearer let me in"}
    answer = await driver.send("POST", "register", json=METADATA, headers=headers)
    assert answer.status_code == 201


async def test_no_registration_unless_it_is_switched_on() -> None:
    assert (await _register(Driver())).status_code == 403


@pytest.mark.parametrize("body", [b"", b"[]", b'{"redirect_uris": []}', b"{}"])
async def test_a_registration_that_can_not_be_read(body: bytes) -> None:
    response = await _driver().send("POST", "register", content=body)
    assert response.status_code == 400
    assert response.json()["error"] in ("invalid_client_metadata", "invalid_redirect_uri")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"response_types": ["id_token"]}, "grant_types"),
        ({"redirect_uris": ["/cb"]}, "redirect_uris"),
        ({"redirect_uris": ["https://rp.example/cb#x"]}, "redirect_uris"),
        ({"token_endpoint_auth_method": "magic"}, "token_endpoint_auth_method"),
        ({"jwks": {"keys": []}, "jwks_uri": "https://rp.example/jwks"}, "jwks"),
        ({"jwks": {"keys": [{"kty": "RSA", "d": "x"}]}}, "jwks"),
        ({"userinfo_encrypted_response_enc": "A128GCM"}, "userinfo_encrypted_response_enc"),
        ({"initiate_login_uri": "http://rp.example/login"}, "initiate_login_uri"),
        ({"default_max_age": "60"}, "default_max_age"),
        ({"require_auth_time": "yes"}, "require_auth_time"),
        ({"subject_type": "pairwise"}, "subject_type"),
        (
            {
                "response_types": ["id_token"],
                "grant_types": ["implicit"],
                "redirect_uris": ["https://localhost/cb"],
            },
            "redirect_uris",
        ),
    ],
)
async def test_a_registration_with_something_wrong(changes: dict[str, Any], rule: str) -> None:
    driver = _driver()
    await _register(driver, **changes)
    assert [one.partition(":")[0] for one in driver.provider.violations] == [f"register.{rule}"]
