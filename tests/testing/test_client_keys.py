"""What clients do with keys: authenticate, sign requests, decrypt answers."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx2
import pytest

from reliant.protocol import jose
from reliant.testing import Behaviour, FakeProvider, ProviderRefused
from tests.testing.driver import REDIRECT_URI, VERIFIER, Driver

pytestmark = pytest.mark.anyio

KEY = jose.generate_key("ES256", "client-key")


def _for_encryption(alg: str) -> jose.Key:
    members = {**jose.generate_key(alg, f"enc-{alg}").as_dict(private=True), "use": "enc"}
    del members["alg"]
    return jose.import_private_keys(members)[0]


DECRYPTING = [_for_encryption("RS256"), _for_encryption("ES256")]
JWKS = {"keys": [jose.public_jwk(key) for key in (KEY, *DECRYPTING)]}
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SECRET = "a secret of thirty-two octets or more"


def _provider(**behaviour: Any) -> FakeProvider:
    methods = ("private_key_jwt", "client_secret_jwt", "client_secret_post", "none")
    return FakeProvider(behaviour=Behaviour(auth_methods=methods, **behaviour))


def _driver(provider: FakeProvider, **metadata: Any) -> Driver:
    driver = Driver(provider)
    driver.client = provider.add_client(
        "web",
        SECRET,
        redirect_uris=[REDIRECT_URI],
        **{"jwks": JWKS, **metadata},
    )
    return driver


def _assertion(key: jose.Key = KEY, alg: str = "ES256", **changes: Any) -> dict[str, str | None]:
    now = int(time.time())
    claims = {
        "iss": "web",
        "sub": "web",
        "aud": "https://op.example",
        "jti": str(time.perf_counter_ns()),
        "iat": now,
        "exp": now + 60,
        **changes,
    }
    token = jose.sign_jwt({k: v for k, v in claims.items() if v is not None}, key, alg)
    return {
        "client_id": "web",
        "client_assertion_type": JWT_BEARER,
        "client_assertion": token,
    }


@pytest.mark.parametrize(("key", "alg"), [(KEY, "ES256"), (jose.secret_key(SECRET), "HS256")])
async def test_an_assertion_proves_who_the_client_is(key: jose.Key, alg: str) -> None:
    driver = _driver(_provider())
    response = await driver.redeem(await driver.sign_in(), **_assertion(key, alg))
    assert response.status_code == 200, response.text


async def test_an_assertion_counts_once() -> None:
    driver = _driver(_provider())
    form = _assertion()
    assert (await driver.redeem(await driver.sign_in(), **form)).status_code == 200
    again = await driver.redeem(await driver.sign_in(), **form)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "nobody"},
        {"sub": "other"},
        {"aud": "https://else.example"},
        {"jti": None},
        {"iat": None},
        {"exp": None},
        {"exp": 1},
        {"exp": int(time.time()) + 90_000},
        {"key": jose.generate_key("ES256")},
    ],
)
async def test_a_bad_assertion(changes: dict[str, Any]) -> None:
    driver = _driver(_provider())
    response = await driver.redeem(await driver.sign_in(), **_assertion(**changes))
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("changes", "metadata"),
    [
        ({"client_assertion_type": "other"}, {}),
        ({"client_assertion": "nonsense"}, {}),
        ({"client_id": "other"}, {}),
        ({"client_secret": "too"}, {}),
        ({}, {"token_endpoint_auth_signing_alg": "RS256"}),
        ({}, {"token_endpoint_auth_method": "client_secret_post"}),
    ],
)
async def test_an_assertion_out_of_place(changes: dict[str, str], metadata: dict[str, str]) -> None:
    driver = _driver(_provider(), **metadata)
    response = await driver.redeem(await driver.sign_in(), **_assertion() | changes)
    assert response.status_code >= 400


async def test_a_certificate_counts_at_the_alias_only() -> None:
    provider = _provider(mtls_aliases=True)
    driver = _driver(provider, token_endpoint_auth_method="tls_client_auth")
    aliases = (await driver.send("GET", ".well-known/openid-configuration")).json()
    assert aliases["mtls_endpoint_aliases"]["token_endpoint"] == "https://op.example/mtls/token"
    assert (await driver.redeem(await driver.sign_in(), client_id="web")).status_code == 401
    code = (await driver.sign_in()).params["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
        "client_id": "web",
    }
    assert (await driver.post("mtls/token", dict(form))).status_code == 200
    assert provider.count("mtls_token") == 1


@pytest.mark.parametrize("alg", ["RSA-OAEP", "ECDH-ES"])
async def test_what_is_encrypted_for_the_client(alg: str) -> None:
    driver = _driver(
        _provider(userinfo_alg="RS256"),
        id_token_encrypted_response_alg=alg,
        id_token_encrypted_response_enc="A256GCM",
        userinfo_encrypted_response_alg=alg,
    )
    metadata = (await driver.send("GET", ".well-known/openid-configuration")).json()
    assert metadata["userinfo_signing_alg_values_supported"] == ["RS256"]
    tokens = await driver.tokens()
    opened = jose.decrypt(tokens["id_token"], DECRYPTING, alg, "A256GCM")
    assert jose.parse_jws(opened).claims["aud"] == "web"
    answer = await driver.userinfo(tokens["access_token"])
    assert answer.headers["content-type"].startswith("application/jwt")
    opened = jose.decrypt(answer.text, DECRYPTING, alg, "A128CBC-HS256")
    assert jose.parse_jws(opened).claims["iss"] == "https://op.example"


async def test_userinfo_that_is_encrypted_and_not_signed() -> None:
    driver = _driver(_provider(), userinfo_encrypted_response_alg="RSA-OAEP")
    answer = await driver.userinfo((await driver.tokens())["access_token"])
    assert json.loads(jose.decrypt(answer.text, DECRYPTING, None, None))["sub"] == "alice"


# -- request objects ------------------------------------------------------------------------------


def _request_object(alg: str = "ES256", key: jose.Key = KEY, **changes: Any) -> str:
    claims = {
        "client_id": "web",
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": "openid",
        "state": "inside",
        "max_age": 600,
        "iss": "web",
        "aud": "https://op.example",
        **changes,
    }
    return jose.unsigned_jwt(claims) if alg == "none" else jose.sign_jwt(claims, key, alg)


def _with_objects(alg: str = "ES256", *ways: str) -> Driver:
    provider = _provider(request_objects=ways or ("value", "uri"))
    return _driver(provider, request_object_signing_alg=alg)


async def test_a_request_object_wins_over_the_parameters_beside_it() -> None:
    driver = _with_objects()
    callback = await driver.sign_in(request=_request_object(), redirect_uri=None, nonce="n")
    assert callback.params["state"] == "inside"
    assert driver.provider.violations == []


@pytest.mark.parametrize("alg", ["ES256", "none"])
async def test_a_request_object_may_be_fetched(alg: str) -> None:
    driver = _with_objects(alg)
    served = {"https://rp.example/object": _request_object(alg)}
    driver.provider.client_transport = httpx2.MockTransport(
        lambda request: httpx2.Response(200, text=served.pop(str(request.url)))
    )
    callback = await driver.sign_in(request_uri="https://rp.example/object")
    assert callback.params["state"] == "inside"
    assert served == {}


async def test_without_a_transport_nothing_is_fetched() -> None:
    with pytest.raises(ProviderRefused, match="client_transport"):
        await _with_objects().sign_in(request_uri="https://rp.example/object")


async def test_a_client_that_does_not_answer() -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("no")

    driver = _with_objects()
    driver.provider.client_transport = httpx2.MockTransport(fail)
    with pytest.raises(ProviderRefused, match="does not answer"):
        await driver.sign_in(request_uri="https://rp.example/object")


@pytest.mark.parametrize(
    "bad",
    [
        "nonsense",
        _request_object("none"),
        _request_object("RS256", jose.generate_key("RS256")),
        _request_object(key=jose.generate_key("ES256")),
        _request_object(client_id="other"),
        _request_object(response_type="id_token"),
        _request_object(exp=1),
        _request_object(iat=1),
        _request_object(max_age="600"),
        _request_object(iss="other"),
        _request_object(aud="https://else.example"),
        _request_object(request="another"),
        _request_object(sub="web"),
    ],
)
async def test_a_bad_request_object(bad: str) -> None:
    with pytest.raises(ProviderRefused, match="request object"):
        await _with_objects().sign_in(request=bad)


async def test_an_unsigned_request_object_must_come_over_https() -> None:
    driver = _with_objects("none")
    driver.provider.client_transport = httpx2.MockTransport(
        lambda request: httpx2.Response(200, text=_request_object("none"))
    )
    with pytest.raises(ProviderRefused, match="https"):
        await driver.sign_in(request_uri="http://rp.example/object")


async def test_the_keys_of_a_client_may_be_fetched() -> None:
    provider = _provider(request_objects=("value",))
    assert provider.client_transport is None
    driver = _driver(provider, jwks=None, jwks_uri="https://rp.example/jwks.json")
    provider.client_transport = httpx2.MockTransport(
        lambda request: httpx2.Response(200, json=JWKS)
    )
    callback = await driver.sign_in(request=_request_object())
    assert callback.params["state"] == "inside"


async def test_a_request_object_of_nobody() -> None:
    with pytest.raises(ProviderRefused, match="no client"):
        await _with_objects().sign_in(request=_request_object(), client_id="nobody")
