"""Metadata, keys, tokens, UserInfo and revocation."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest

from reliant.protocol import jose
from reliant.testing import Behaviour, Callback, Client, FakeProvider
from tests.testing.driver import REDIRECT_URI, VERIFIER, Driver

pytestmark = pytest.mark.anyio


async def test_the_metadata_names_the_endpoints() -> None:
    driver = Driver()
    metadata = (await driver.send("GET", ".well-known/openid-configuration")).json()
    assert metadata["issuer"] == "https://op.example"
    assert metadata["token_endpoint"] == "https://op.example/token"
    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert metadata["code_challenge_methods_supported"] == ["S256"]


async def test_the_metadata_follows_the_behaviour() -> None:
    rules = Behaviour(response_iss=False, announce_pkce=False, refresh_tokens=False)
    driver = Driver(FakeProvider(behaviour=rules))
    metadata = (await driver.send("GET", ".well-known/openid-configuration")).json()
    assert "authorization_response_iss_parameter_supported" not in metadata
    assert "code_challenge_methods_supported" not in metadata
    assert metadata["grant_types_supported"] == ["authorization_code"]
    tokens = await driver.tokens()
    assert "refresh_token" not in tokens
    assert (await driver.refresh("x")).json()["error"] == "unsupported_grant_type"


async def test_an_issuer_may_have_a_path_and_end_with_a_slash() -> None:
    driver = Driver(FakeProvider("https://op.example/test/a/"))
    assert driver.provider.server_metadata_url == (
        "https://op.example/test/a/.well-known/openid-configuration"
    )
    tokens = await driver.tokens()
    assert jose.parse_jws(tokens["id_token"]).claims["iss"] == "https://op.example/test/a/"


async def test_the_id_token_has_its_claims_and_a_published_key_verifies_it() -> None:
    driver = Driver()
    tokens = await driver.tokens(acr_values="gold silver")
    token = await _verified(driver, tokens["id_token"])
    assert token.claims["iss"] == "https://op.example"
    assert (token.claims["sub"], token.claims["aud"]) == ("alice", "web")
    assert token.claims["nonce"] == "the nonce"
    assert token.claims["exp"] - token.claims["iat"] == 300
    assert token.claims["auth_time"] <= token.claims["iat"]
    assert token.claims["at_hash"] == jose.hash_of(tokens["access_token"], "RS256")
    assert (token.claims["acr"], token.claims["amr"]) == ("gold", ["pwd"])
    assert "email" not in token.claims


@pytest.mark.parametrize("alg", [*jose.ASYMMETRIC_ALGORITHMS, *jose.SYMMETRIC_ALGORITHMS])
async def test_every_algorithm_signs(alg: str) -> None:
    driver = Driver(FakeProvider(signing_alg=alg))
    token = jose.parse_jws((await driver.tokens())["id_token"])
    key: Any = jose.secret_key(driver.client.client_secret or "")
    if alg in jose.ASYMMETRIC_ALGORITHMS:
        (published,) = driver.provider.keys.published
        key = jose.import_jwk(published)
    else:
        assert driver.provider.keys.published == []
    assert jose.verify_jws(token, key, alg)


async def test_without_openid_there_is_no_id_token() -> None:
    assert "id_token" not in await Driver().tokens(scope="email")


async def test_auth_time_and_claims_as_the_behaviour_says() -> None:
    driver = Driver(FakeProvider(behaviour=Behaviour(auth_time=False, claims_in_id_token=True)))
    claims = jose.parse_jws((await driver.tokens())["id_token"]).claims
    assert "auth_time" not in claims
    assert claims["email"] == "alice@example.test"
    claims = jose.parse_jws((await driver.tokens(max_age="60"))["id_token"]).claims
    assert "auth_time" in claims


async def test_expires_in_may_be_left_out() -> None:
    driver = Driver(FakeProvider(behaviour=Behaviour(access_token_lifetime=None)))
    tokens = await driver.tokens()
    assert "expires_in" not in tokens
    assert (await driver.userinfo(tokens["access_token"])).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"code": "another"},
        {"redirect_uri": "https://rp.example/other"},
        {"redirect_uri": None},
        {"code_verifier": "a-wrong-code-verifier-of-at-least-43-characters"},
        {"code_verifier": None},
    ],
)
async def test_a_code_needs_all_that_belongs_to_it(changes: dict[str, str | None]) -> None:
    driver = Driver()
    response = await driver.redeem(await driver.sign_in(), **changes)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    assert response.headers["cache-control"] == "no-store"


async def test_a_verifier_without_a_challenge_is_a_downgrade() -> None:
    driver = Driver()
    callback = await driver.sign_in(code_challenge=None, code_challenge_method=None)
    assert (await driver.redeem(callback)).json()["error"] == "invalid_grant"
    callback = await driver.sign_in(code_challenge=None, code_challenge_method=None)
    assert (await driver.redeem(callback, code_verifier=None)).status_code == 200


async def test_a_second_use_of_a_code_ends_what_the_first_brought() -> None:
    driver = Driver()
    callback = await driver.sign_in()
    tokens = (await driver.redeem(callback)).json()
    assert (await driver.userinfo(tokens["access_token"])).status_code == 200
    assert (await driver.redeem(callback)).json()["error"] == "invalid_grant"
    assert (await driver.userinfo(tokens["access_token"])).status_code == 401
    assert (await driver.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_code_expires() -> None:
    driver = Driver()
    callback = await driver.sign_in()
    now = driver.provider.clock()
    driver.provider.clock = lambda: now + 61
    assert (await driver.redeem(callback)).json()["error"] == "invalid_grant"


async def test_a_code_belongs_to_its_client() -> None:
    driver = Driver()
    callback = await driver.sign_in()
    driver.client = driver.provider.add_client("other", "its secret")
    assert (await driver.redeem(callback)).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
    ],
)
async def test_a_token_request_needs_its_parameters(form: dict[str, str], error: str) -> None:
    response = await Driver().post("token", dict(form))
    assert (response.status_code, response.json()["error"]) == (400, error)


async def test_a_parameter_sent_twice_is_refused() -> None:
    content = "grant_type=refresh_token&refresh_token=a&refresh_token=b"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await Driver().send("POST", "token", content=content, headers=headers)
    assert response.json()["error"] == "invalid_request"


@pytest.mark.parametrize("method", ["basic", "post"])
async def test_the_client_authenticates(method: str) -> None:
    driver = Driver()
    form, options = _authenticated(driver.client, method, driver.client.client_secret or "")
    response = await driver.post("token", _grant(await driver.sign_in()) | form, **options)
    assert response.status_code == 200
    form, options = _authenticated(driver.client, method, "wrong")
    response = await driver.post("token", _grant(await driver.sign_in()) | form, **options)
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert response.headers.get("www-authenticate") == ("Basic" if method == "basic" else None)


async def test_a_client_may_use_its_own_method_only() -> None:
    driver = Driver()
    driver.client = driver.provider.add_client(
        "web", "secret", token_endpoint_auth_method="client_secret_basic"
    )
    refused = await driver.redeem(await driver.sign_in())
    assert refused.json()["error"] == "invalid_client"
    form, options = _authenticated(driver.client, "basic", "secret")
    response = await driver.post("token", _grant(await driver.sign_in()) | form, **options)
    assert response.status_code == 200


async def test_a_public_client_sends_no_secret_and_a_confidential_one_must() -> None:
    driver = Driver()
    driver.provider.add_client("spa")
    callback = await driver.sign_in(client_id="spa")
    assert (await driver.post("token", _grant(callback) | {"client_id": "spa"})).status_code == 200
    callback = await driver.sign_in()
    assert (await driver.post("token", _grant(callback) | {"client_id": "web"})).status_code == 401


@pytest.mark.parametrize(
    "header", ["Basic !", "Basic", "Bearer x", "Basic " + b64encode(b"\xff").decode()]
)
async def test_a_broken_authorization_header_is_an_unknown_client(header: str) -> None:
    response = await Driver().send("POST", "token", headers={"Authorization": header})
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("form", [{"client_secret": "x"}, {"client_id": "other"}])
async def test_two_ways_of_authentication_at_once_are_refused(form: dict[str, str]) -> None:
    driver = Driver()
    _, options = _authenticated(driver.client, "basic", driver.client.client_secret or "")
    response = await driver.post("token", dict(form), **options)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_a_refresh_brings_new_tokens_and_the_old_ones_die() -> None:
    driver = Driver()
    old = await driver.tokens()
    new = (await driver.refresh(old["refresh_token"])).json()
    assert new["access_token"] != old["access_token"]
    assert new["refresh_token"] != old["refresh_token"]
    assert (await driver.userinfo(old["access_token"])).status_code == 401
    assert (await driver.userinfo(new["access_token"])).status_code == 200
    before, after = (jose.parse_jws(tokens["id_token"]).claims for tokens in (old, new))
    assert after["at_hash"] == jose.hash_of(new["access_token"], "RS256")
    assert "nonce" not in after
    for claim in ("iss", "sub", "aud", "auth_time"):
        assert after[claim] == before[claim]


async def test_a_replaced_refresh_token_ends_the_whole_family() -> None:
    driver = Driver()
    old = await driver.tokens()
    new = (await driver.refresh(old["refresh_token"])).json()
    assert (await driver.refresh(old["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await driver.refresh(new["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await driver.userinfo(new["access_token"])).status_code == 401


async def test_refresh_as_the_behaviour_says() -> None:
    rules = Behaviour(rotate_refresh_tokens=False, refresh_id_token=False)
    driver = Driver(FakeProvider(behaviour=rules))
    old = await driver.tokens()
    new = (await driver.refresh(old["refresh_token"])).json()
    assert new["refresh_token"] == old["refresh_token"]
    assert "id_token" not in new


async def test_a_refresh_may_ask_for_less_but_not_for_more() -> None:
    driver = Driver()
    token = (await driver.tokens())["refresh_token"]
    assert (await driver.refresh(token, scope="openid phone")).json()["error"] == "invalid_scope"
    assert (await driver.refresh(token, scope="openid")).status_code == 200


async def test_a_refresh_token_belongs_to_its_client() -> None:
    driver = Driver()
    token = (await driver.tokens())["refresh_token"]
    driver.client = driver.provider.add_client("other", "its secret")
    assert (await driver.refresh(token)).json()["error"] == "invalid_grant"


async def test_userinfo_has_the_claims_of_the_scopes() -> None:
    driver = Driver()
    driver.provider.users["alice"] = {"name": "Alice A.", "email": "a@a.test", "groups": ["x"]}
    tokens = await driver.tokens(scope="openid profile")
    response = await driver.userinfo(tokens["access_token"])
    assert response.json() == {"sub": "alice", "name": "Alice A.", "groups": ["x"]}


async def test_userinfo_makes_up_users_it_does_not_know() -> None:
    driver = Driver()
    callback = await driver.provider.sign_in(driver.url(), "søren@example.org")
    tokens = (await driver.redeem(callback)).json()
    claims = (await driver.userinfo(tokens["access_token"])).json()
    assert claims["sub"].isascii()
    assert claims["name"] == "Søren Example"
    assert claims["email"].endswith("@example.org")


async def test_userinfo_takes_the_token_from_a_posted_form() -> None:
    driver = Driver()
    form = {"access_token": (await driver.tokens())["access_token"]}
    assert (await driver.send("POST", "userinfo", data=form)).json()["sub"] == "alice"
    assert (await driver.send("GET", "userinfo", params=form)).status_code == 400
    headers = {"Authorization": f"Bearer {form['access_token']}"}
    twice = await driver.send("POST", "userinfo", data=form, headers=headers)
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "x"}])
async def test_userinfo_challenges(headers: dict[str, str]) -> None:
    response = await Driver().send("GET", "userinfo", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer error=")


async def test_an_access_token_expires() -> None:
    driver = Driver()
    token = (await driver.tokens())["access_token"]
    now = driver.provider.clock()
    driver.provider.clock = lambda: now + 3600
    assert (await driver.userinfo(token)).status_code == 401


async def test_revoking_a_refresh_token_ends_the_grant() -> None:
    driver = Driver()
    tokens = await driver.tokens()
    response = await driver.post("revoke", {"token": tokens["refresh_token"]})
    assert (response.status_code, response.content) == (200, b"")
    assert (await driver.userinfo(tokens["access_token"])).status_code == 401
    assert (await driver.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_revoking_an_access_token_leaves_the_refresh_token() -> None:
    driver = Driver()
    tokens = await driver.tokens()
    await driver.post("revoke", {"token": tokens["access_token"]})
    assert (await driver.userinfo(tokens["access_token"])).status_code == 401
    assert (await driver.refresh(tokens["refresh_token"])).status_code == 200


async def test_revoking_a_replaced_access_token_leaves_the_new_one() -> None:
    driver = Driver()
    old = await driver.tokens()
    new = (await driver.refresh(old["refresh_token"])).json()
    await driver.post("revoke", {"token": old["access_token"]})
    assert (await driver.userinfo(new["access_token"])).status_code == 200


async def test_revoking_what_is_not_yours_does_nothing() -> None:
    driver = Driver()
    tokens = await driver.tokens()
    assert (await driver.post("revoke", {"token": "unknown"})).status_code == 200
    assert (await driver.post("revoke", {})).json()["error"] == "invalid_request"
    driver.client = driver.provider.add_client("other", "its secret")
    assert (await driver.post("revoke", {"token": tokens["refresh_token"]})).status_code == 200
    assert (await driver.userinfo(tokens["access_token"])).status_code == 200


async def test_rotated_keys() -> None:
    driver = Driver()
    old = (await driver.tokens())["id_token"]
    (retired,) = driver.provider.keys.published
    driver.provider.rotate_keys()
    new = await _verified(driver, (await driver.tokens())["id_token"])
    assert new.kid != jose.parse_jws(old).kid
    assert retired not in driver.provider.keys.published
    driver.provider.rotate_keys(keep_old=True)
    assert len(driver.provider.keys.published) == 2


async def test_noise_keys_are_there_and_the_right_one_too() -> None:
    driver = Driver()
    driver.provider.add_noise_keys()
    keys = (await driver.send("GET", "jwks")).json()["keys"]
    assert {key["kty"] for key in keys} == {"EC", "RSA", "LATTICE"}
    assert {key["use"] for key in keys} == {"sig", "enc"}
    assert "secp256k1" in {key.get("crv") for key in keys}
    assert not any({"d", "p", "k"} & set(key) for key in keys)
    await _verified(driver, (await driver.tokens())["id_token"])


async def _verified(driver: Driver, id_token: str) -> jose.Jws:
    token = jose.parse_jws(id_token)
    keys = (await driver.send("GET", "jwks")).json()["keys"]
    (published,) = [key for key in keys if key["kid"] == token.kid]
    key = jose.import_jwk(published)
    assert key is not None
    assert jose.verify_jws(token, key, token.alg)
    return token


def _grant(callback: Callback) -> dict[str, str | None]:
    return {
        "grant_type": "authorization_code",
        "code": callback.params["code"],
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    }


def _authenticated(
    client: Client, method: str, secret: str
) -> tuple[dict[str, str | None], dict[str, Any]]:
    if method == "post":
        return {"client_id": client.client_id, "client_secret": secret}, {}
    return {}, {"auth": (quote(client.client_id, safe=""), quote(secret, safe=""))}
