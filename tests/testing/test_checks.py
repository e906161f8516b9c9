"""Requests that are served although something is wrong with them, and said to be so."""

from __future__ import annotations

from typing import Any

import pytest

from reliant.testing import Behaviour, FakeProvider
from tests.testing.driver import REDIRECT_URI, Driver

pytestmark = pytest.mark.anyio


def _rules(driver: Driver) -> list[str]:
    return [one.partition(":")[0] for one in driver.provider.violations]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"scope": "profile"}, "scope"),
        ({"response_type": "id_token"}, "response_type"),
        ({"max_age": "0", "prompt": "none"}, "max_age"),
        ({"nonce": "with space"}, "nonce"),
        ({"nonce": "n" * 44}, "nonce"),
        ({"code_challenge_method": "plain"}, "code_challenge_method"),
        ({"claims": "nonsense"}, "claims"),
        ({"claims": "[]"}, "claims"),
        ({"claims": '{"access_token": {}}'}, "claims"),
        ({"claims": '{"userinfo": ["email"]}'}, "claims"),
        ({"claims": '{"userinfo": {"email": 1}}'}, "claims"),
        ({"request": "eyJ"}, "request"),
    ],
)
async def test_an_authorization_request(changes: dict[str, str], rule: str) -> None:
    driver = Driver()
    await driver.sign_in(**{"nonce": "nonce", **changes})
    assert _rules(driver) == [f"authorize.{rule}"]


async def test_a_good_one_is_not_said_to_be_bad() -> None:
    driver = Driver()
    await driver.tokens(nonce="nonce", claims='{"userinfo": {"email": null}, "id_token": {}}')
    assert driver.provider.violations == []
    driver.provider.violations.append("gone")
    driver.provider.clear()
    assert driver.provider.violations == []


async def test_a_nonce_may_be_demanded() -> None:
    driver = Driver(FakeProvider(behaviour=Behaviour(nonce_required=True)))
    callback = await driver.sign_in(nonce=None)
    assert callback.params["error"] == "invalid_request"
    assert _rules(driver) == ["authorize.nonce"]


@pytest.mark.parametrize("uri", ["http://rp.example/cb", "http://localhost/cb"])
async def test_http_is_for_the_code_on_this_machine(uri: str) -> None:
    rules = Behaviour(response_types=("code", "id_token"))
    driver = Driver(FakeProvider(behaviour=rules))
    driver.provider.add_client("any", "secret")
    await driver.sign_in(client_id="any", redirect_uri=uri, nonce="n", response_type="id_token")
    assert _rules(driver) == ["authorize.redirect_uri"]


async def test_a_client_that_registered_for_request_objects_must_send_them() -> None:
    driver = Driver()
    driver.provider.add_client(
        "web", "s", redirect_uris=[REDIRECT_URI], request_object_signing_alg="RS256"
    )
    await driver.sign_in(nonce="nonce")
    assert _rules(driver) == ["authorize.request"]


@pytest.mark.parametrize("verifier", ["a" * 43, "short"])
async def test_a_verifier_that_can_be_guessed(verifier: str) -> None:
    driver = Driver()
    await driver.redeem(await driver.sign_in(nonce="nonce"), code_verifier=verifier)
    assert _rules(driver) == ["token.code_verifier"]


async def test_a_verifier_is_used_once() -> None:
    driver = Driver()
    await driver.tokens(nonce="nonce")
    await driver.tokens(nonce="nonce")
    assert _rules(driver) == ["token.code_verifier"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("userinfo?access_token=x", {}),
        ("userinfo?access_token=x", {"Authorization": "Bearer x"}),
    ],
)
async def test_an_access_token_in_a_url(path: str, headers: dict[str, str]) -> None:
    driver = Driver()
    assert (await driver.send("GET", path, headers=headers)).status_code == 400
    assert _rules(driver)[-1] == "userinfo.access_token"


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"client_id": "web"}, ["end_session.id_token_hint"]),
        ({"client_id": "web", "state": None}, ["end_session.id_token_hint", "end_session.state"]),
    ],
)
async def test_a_logout_request(changes: dict[str, Any], rules: list[str]) -> None:
    driver = Driver()
    await driver.provider.sign_out(driver.logout_url(**changes))
    assert _rules(driver) == rules


@pytest.mark.parametrize(
    ("query", "status", "rules"),
    [
        ("resource=acct%3Aa%40op.example", 200, []),
        ("resource=https%3A%2F%2Fop.example%2Fa", 200, []),
        ("resource=acct:a@op.example", 200, ["webfinger.resource"]),
        ("resource=acct%3Aa%40else.example", 404, []),
        ("", 404, []),
    ],
)
async def test_webfinger(query: str, status: int, rules: list[str]) -> None:
    driver = Driver()
    response = await driver.send("GET", f".well-known/webfinger?{query}")
    assert response.status_code == status
    assert _rules(driver) == rules
    if status == 200:
        assert response.json()["links"][0]["href"] == "https://op.example"
