"""Hybrid and implicit logins, and the provider that behaves like the conformance suite."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from reliant.protocol import jose
from reliant.testing import Behaviour, Callback, FakeProvider
from tests.testing.driver import Driver

pytestmark = pytest.mark.anyio


def _driver(**changes: Any) -> Driver:
    return Driver(FakeProvider(behaviour=Behaviour.certification(**changes)))


def _claims(callback: Callback) -> Any:
    return jose.parse_jws(callback.params["id_token"]).claims


@pytest.mark.parametrize(
    ("response_type", "members"),
    [
        ("code id_token", {"code", "id_token"}),
        ("id_token code", {"code", "id_token"}),
        ("id_token", {"id_token"}),
        ("code token", {"code", "access_token", "token_type"}),
        ("id_token token", {"id_token", "access_token", "token_type"}),
    ],
)
@pytest.mark.parametrize("mode", [None, "form_post"])
async def test_each_response_type(response_type: str, members: set[str], mode: str | None) -> None:
    callback = await _driver().sign_in(response_type=response_type, response_mode=mode)
    assert callback.params.keys() == members | {"state"}
    assert callback.method == ("POST" if mode else "GET")
    assert bool(urlsplit(callback.url).fragment) == (mode is None)
    assert urlsplit(callback.url).query == ""


async def test_the_hashes_bind_what_travels_beside_the_id_token() -> None:
    callback = await _driver(s_hash=True).sign_in(response_type="code id_token token")
    params, claims = callback.params, _claims(callback)
    assert claims["c_hash"] == jose.hash_of(params["code"], "RS256")
    assert claims["at_hash"] == jose.hash_of(params["access_token"], "RS256")
    assert claims["s_hash"] == jose.hash_of("the state", "RS256")


async def test_an_id_token_that_comes_alone_holds_all_claims() -> None:
    driver = _driver()
    alone = _claims(await driver.sign_in(response_type="id_token"))
    beside = _claims(await driver.sign_in(response_type="code id_token"))
    assert alone["email"] == "alice@example.test"
    assert "email" not in beside
    assert "c_hash" not in alone


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "id_token", "nonce": None}, "invalid_request"),
        ({"response_type": "id_token", "response_mode": "query"}, "invalid_request"),
        ({"response_type": "code", "response_mode": "fragment"}, "invalid_request"),
        ({"response_type": "code code2"}, "unsupported_response_type"),
    ],
)
async def test_what_a_response_type_needs(changes: dict[str, str | None], error: str) -> None:
    callback = await _driver().sign_in(**changes)
    assert callback.params["error"] == error
    assert not {"code", "id_token"} & callback.params.keys()


async def test_an_error_takes_the_place_of_every_token() -> None:
    driver = _driver()
    driver.provider.fault("callback.error", "server_error")
    callback = await driver.sign_in(response_type="code id_token token")
    assert callback.params == {"error": "server_error", "state": "the state"}


async def test_only_the_newest_access_token_counts() -> None:
    driver = _driver(auth_methods=("client_secret_post",))
    callback = await driver.sign_in(response_type="code token")
    assert (await driver.userinfo(callback.params["access_token"])).status_code == 200
    token = (await driver.redeem(callback)).json()["access_token"]
    assert (await driver.userinfo(callback.params["access_token"])).status_code == 401
    assert (await driver.userinfo(token)).status_code == 200


async def test_the_suite_says_no_more_than_it_must() -> None:
    driver = _driver()
    metadata = (await driver.send("GET", ".well-known/openid-configuration")).json()
    assert metadata["response_types_supported"][1] == "id_token code"
    assert metadata["token_endpoint_auth_methods_supported"] == ["client_secret_basic"]
    assert metadata["id_token_signing_alg_values_supported"][0] == "none"
    assert (
        not {
            "code_challenge_methods_supported",
            "authorization_response_iss_parameter_supported",
            "registration_endpoint",
        }
        & metadata.keys()
    )
    callback = await driver.sign_in()
    assert callback.params.keys() == {"code", "state"}
    tokens = (await driver.redeem(callback)).json()
    assert tokens.keys() == {"access_token", "token_type", "id_token", "scope"}
    token = jose.parse_jws(tokens["id_token"])
    assert token.header.keys() == {"alg", "kid"}
    assert token.claims.keys() == {"iss", "sub", "aud", "exp", "iat", "nonce", "at_hash"}


async def test_the_suite_has_a_crowded_key_set() -> None:
    driver = _driver()
    before = (await driver.send("GET", "jwks")).json()["keys"]
    kinds = [(key.get("crv", key["kty"]), key["use"]) for key in before]
    assert sorted(kinds) == [
        ("Ed25519", "sig"),
        ("P-256", "enc"),
        ("P-256", "sig"),
        ("P-256", "sig"),
        ("RSA", "enc"),
        ("RSA", "sig"),
        ("RSA", "sig"),
        ("secp256k1", "sig"),
    ]
    assert not any("alg" in key for key in before if key["use"] == "sig")
    driver.provider.rotate_keys()
    after = (await driver.send("GET", "jwks")).json()["keys"]
    assert not {key["kid"] for key in before} & {key["kid"] for key in after}


@pytest.mark.parametrize("alg", ["RS512", "PS256", "ES256", "ES384", "EdDSA"])
async def test_the_crowd_signs_with_every_algorithm(alg: str) -> None:
    provider = FakeProvider(signing_alg=alg, behaviour=Behaviour.certification())
    token = jose.parse_jws((await Driver(provider).tokens())["id_token"])
    keys = [jose.import_jwk(key) for key in provider.keys.published]
    assert any(key is not None and jose.verify_jws(token, key, alg) for key in keys)


async def test_the_key_set_may_lie_elsewhere() -> None:
    driver = _driver(jwks_suffix="/abc")
    metadata = (await driver.send("GET", ".well-known/openid-configuration")).json()
    assert metadata["jwks_uri"] == "https://op.example/jwks/abc"
    assert (await driver.send("GET", "jwks/abc")).json()["keys"]


async def test_identifiers_may_be_hard_to_quote() -> None:
    driver = _driver(refresh_tokens=True)
    tokens = await driver.tokens()
    assert not tokens["refresh_token"].replace("-", "").replace("_", "").isalnum()
    again = (await driver.refresh(tokens["refresh_token"])).json()
    assert again["refresh_token"] != tokens["refresh_token"]
    assert jose.parse_jws(again["id_token"]).claims["nonce"] == "the nonce"


async def test_the_parameters_of_a_fragment_are_read() -> None:
    callback = Callback("https://rp.example/cb?tenant=1#code=a&state=b")
    assert callback.params == {"tenant": "1", "code": "a", "state": "b"}
    assert parse_qs(urlsplit(callback.url).query) == {"tenant": ["1"]}
