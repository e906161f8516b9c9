"""Each fault by its name, and the names themselves."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from reliant.protocol import jose
from reliant.testing import FAULTS, REMOVE, FakeProvider, append, extra, from_now, repeat
from reliant.testing.faults import ENDPOINTS
from tests.testing.driver import Driver

pytestmark = pytest.mark.anyio

_EFFECTS = {"status", "body", "redirect", "reset", "content_type", "headers", "size", "delay"}
_PATHS = {
    "discovery": ("GET", ".well-known/openid-configuration"),
    "jwks": ("GET", "jwks"),
    "authorize": ("GET", "authorize"),
    "token": ("POST", "token"),
    "userinfo": ("GET", "userinfo"),
    "revoke": ("POST", "revoke"),
    "end_session": ("GET", "end-session"),
    "register": ("POST", "register"),
    "webfinger": ("GET", ".well-known/webfinger"),
    "claims": ("GET", "claims"),
}
_MEMBERS = [name for name in FAULTS if name.rpartition(".")[2] not in _EFFECTS]
_SIGNING = {
    f"{token}.{how}"
    for token in ("id_token", "logout_token", "userinfo")
    for how in ("alg", "key", "signature", "rotate")
}


def _of(document: str) -> list[str]:
    return [
        name.removeprefix(f"{document}.")
        for name in _MEMBERS
        if name.rpartition(".")[0] == document and name not in _SIGNING
    ]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("id_tokn.aud", "id_token.aud"),
        ("id_token.nonc", "id_token.nonce"),
        ("tokens.status", "token.status"),
        ("id_token.header.kd", "id_token.header.kid"),
        ("callback.sate", "callback.state"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{right}'"):
        FakeProvider().fault(wrong)


def test_a_name_like_no_other_points_to_the_list() -> None:
    with pytest.raises(ValueError, match="FAULTS lists them"):
        FakeProvider().fault("zzzz")


def test_a_value_no_one_knows_is_an_error() -> None:
    with pytest.raises(ValueError, match="'unpublished' or 'impostor'"):
        FakeProvider().fault("id_token.key", "lost")


def test_every_fault_says_what_it_does() -> None:
    assert all(FAULTS.values())
    assert {name.partition(".")[0] for name in FAULTS} >= set(ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_status(endpoint: str) -> None:
    driver = Driver()
    driver.provider.fault(f"{endpoint}.status", 503)
    response = await driver.send(*_PATHS[endpoint])
    assert (response.status_code, response.json()["error"]) == (503, "server_error")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_body_and_content_type_and_headers(endpoint: str) -> None:
    driver = Driver()
    driver.provider.fault(f"{endpoint}.body", b"\xff not JSON")
    driver.provider.fault(f"{endpoint}.content_type", "text/html")
    driver.provider.fault(f"{endpoint}.headers", {"Retry-After": "7"})
    response = await driver.send(*_PATHS[endpoint])
    assert (response.status_code, response.content) == (200, b"\xff not JSON")
    assert response.headers["content-type"] == "text/html"
    assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_redirect(endpoint: str) -> None:
    driver = Driver()
    driver.provider.fault(f"{endpoint}.redirect", "https://evil.example/")
    response = await driver.send(*_PATHS[endpoint])
    assert (response.status_code, response.headers["location"]) == (302, "https://evil.example/")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_reset(endpoint: str) -> None:
    driver = Driver()
    with driver.provider.fault(f"{endpoint}.reset"), pytest.raises(httpx2.ReadError):
        await driver.send(*_PATHS[endpoint])
    assert (await driver.send(*_PATHS[endpoint])).status_code


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_size(endpoint: str) -> None:
    driver = Driver()
    length = len((await driver.send(*_PATHS[endpoint])).content)
    driver.provider.fault(f"{endpoint}.size", 2_000_000)
    response = await driver.send(*_PATHS[endpoint])
    assert len(response.content) == length + 2_000_000
    if response.headers["content-type"] == "application/json":
        assert response.json()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_delay(endpoint: str) -> None:
    driver = Driver()
    driver.provider.fault(f"{endpoint}.delay", 0.05)
    before = time.monotonic()
    await driver.send(*_PATHS[endpoint])
    assert time.monotonic() - before >= 0.05


async def test_a_delay_beyond_the_timeout_is_a_timeout() -> None:
    provider = FakeProvider()
    provider.fault("jwks.delay", 5)
    async with httpx2.AsyncClient(transport=provider.transport, timeout=0.02) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await client.get("https://op.example/jwks")


async def test_a_missing_content_type() -> None:
    driver = Driver()
    driver.provider.fault("jwks.content_type", REMOVE)
    assert "content-type" not in (await driver.send("GET", "jwks")).headers


async def test_a_status_below_400_lets_the_endpoint_work() -> None:
    driver = Driver()
    driver.provider.fault("jwks.status", 203)
    for _ in range(2):
        response = await driver.send("GET", "jwks")
        assert response.status_code == 203
        assert response.json()["keys"]


async def test_a_failed_refresh_can_be_tried_again() -> None:
    driver = Driver()
    token = (await driver.tokens())["refresh_token"]
    with driver.provider.fault("token.status", 503):
        assert (await driver.refresh(token)).status_code == 503
    assert (await driver.refresh(token)).status_code == 200


async def test_a_fault_may_happen_a_number_of_times() -> None:
    driver = Driver()
    driver.provider.fault("jwks.status", 500, times=2)
    driver.provider.fault("jwks.keys", "wrong", times=1)
    statuses = [(await driver.send("GET", "jwks")).status_code for _ in range(3)]
    assert statuses == [500, 500, 200]


async def test_healing_by_name_and_all_at_once() -> None:
    driver = Driver()
    driver.provider.fault("jwks.status", 500)
    driver.provider.fault("token.status", 500)
    driver.provider.heal("jwks.status")
    assert (await driver.send("GET", "jwks")).status_code == 200
    assert (await driver.send("POST", "token")).status_code == 500
    driver.provider.heal()
    assert (await driver.send("POST", "token")).status_code == 401


async def test_an_error_of_the_token_endpoint_by_its_members() -> None:
    driver = Driver()
    driver.provider.fault("token.status", 400)
    driver.provider.fault("token.error", "invalid_grant")
    response = await driver.send("POST", "token")
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("member", _of("discovery"))
async def test_discovery_members(member: str) -> None:
    await _member("discovery", member, ".well-known/openid-configuration")


async def test_jwks_members() -> None:
    await _member("jwks", "keys", "jwks")


async def _member(document: str, member: str, path: str) -> None:
    driver = Driver()
    driver.provider.fault(f"{document}.{member}", ["wrong"])
    assert (await driver.send("GET", path)).json()[member] == ["wrong"]
    driver.provider.fault(f"{document}.{member}", REMOVE)
    assert member not in (await driver.send("GET", path)).json()


@pytest.mark.parametrize("member", _of("token"))
async def test_token_members(member: str) -> None:
    driver = Driver()
    driver.provider.fault(f"token.{member}", "wrong")
    assert (await driver.tokens())[member] == "wrong"
    driver.provider.fault(f"token.{member}", None)
    assert (await driver.tokens())[member] is None
    driver.provider.fault(f"token.{member}", REMOVE)
    assert member not in await driver.tokens()


@pytest.mark.parametrize("claim", _of("userinfo"))
async def test_userinfo_claims(claim: str) -> None:
    driver = Driver()
    token = (await driver.tokens())["access_token"]
    driver.provider.fault(f"userinfo.{claim}", "wrong")
    assert (await driver.userinfo(token)).json()[claim] == "wrong"
    driver.provider.fault(f"userinfo.{claim}", REMOVE)
    assert claim not in (await driver.userinfo(token)).json()


@pytest.mark.parametrize("parameter", _of("callback"))
@pytest.mark.parametrize("mode", ["query", "form_post"])
async def test_callback_parameters(parameter: str, mode: str) -> None:
    driver = Driver()
    driver.provider.fault(f"callback.{parameter}", "wrong")
    params = (await driver.sign_in(response_mode=mode)).params
    # An error takes the place of the code.
    assert ("code" in params) == (parameter != "error")
    assert params[parameter] == "wrong"
    driver.provider.fault(f"callback.{parameter}", REMOVE)
    assert parameter not in (await driver.sign_in(response_mode=mode)).params


@pytest.mark.parametrize("second", [None, "other"])
async def test_a_callback_parameter_twice(second: str | None) -> None:
    driver = Driver()
    driver.provider.fault("callback.state", repeat(second))
    query = parse_qs(urlsplit((await driver.sign_in()).url).query)
    assert query["state"] == ["the state", second or "the state"]


async def test_a_form_field_twice() -> None:
    driver = Driver()
    driver.provider.fault("callback.iss", repeat("other"))
    form = {
        "request": urlsplit(driver.url(response_mode="form_post")).query,
        "user": "alice",
        "decision": "sign-in",
    }
    page = await driver.send("POST", "login", data=form)
    assert page.text.count('name="iss"') == 2


@pytest.mark.parametrize("parameter", _of("logged_out"))
async def test_logged_out_parameters(parameter: str) -> None:
    driver = Driver()
    url = driver.logout_url(client_id="web")
    driver.provider.fault(f"logged_out.{parameter}", append("X"))
    assert await driver.provider.sign_out(url) == "https://rp.example/bye?state=outX"
    driver.provider.fault(f"logged_out.{parameter}", REMOVE)
    assert await driver.provider.sign_out(url) == "https://rp.example/bye"


@pytest.mark.parametrize("member", _of("revoke"))
async def test_revoke_errors(member: str) -> None:
    driver = Driver()
    driver.provider.fault("revoke.status", 400)
    driver.provider.fault(f"revoke.{member}", "wrong")
    assert (await driver.post("revoke", {"token": "x"})).json()[member] == "wrong"


@pytest.mark.parametrize("claim", _of("id_token"))
async def test_id_token_claims(claim: str) -> None:
    driver = Driver()
    driver.provider.fault(f"id_token.{claim}", "wrong")
    token = await _id_token(driver)
    assert token.claims[claim] == "wrong"
    assert _verifies(driver, token)
    driver.provider.fault(f"id_token.{claim}", REMOVE)
    assert claim not in (await _id_token(driver)).claims


async def test_changes_made_from_the_right_value() -> None:
    driver = Driver()
    driver.provider.fault("id_token.aud", append("1"))
    driver.provider.fault("id_token.exp", from_now(-360))
    driver.provider.fault("id_token.iss", lambda right: [right])
    driver.provider.fault("id_token.https://rp.example/groups", extra(["a"]))
    claims = (await _id_token(driver)).claims
    assert claims["aud"] == "web1"
    assert abs(claims["exp"] - time.time() + 360) < 5
    assert claims["iss"] == ["https://op.example"]
    assert claims["https://rp.example/groups"] == ["a"]


@pytest.mark.parametrize("member", _of("id_token.header"))
async def test_id_token_header(member: str) -> None:
    driver = Driver()
    driver.provider.fault(f"id_token.header.{member}", 7)
    assert _header((await driver.tokens())["id_token"])[member] == 7
    driver.provider.fault(f"id_token.header.{member}", REMOVE)
    token = (await driver.tokens())["id_token"]
    assert member == "typ" or member not in _header(token)


@pytest.mark.parametrize("value", [REMOVE, "another"])
async def test_an_odd_kid_is_signed(value: Any) -> None:
    driver = Driver()
    driver.provider.fault("id_token.header.kid", value)
    token = await _id_token(driver)
    assert token.kid == (None if value is REMOVE else value)
    assert _verifies(driver, token)


async def test_alg_none() -> None:
    driver = Driver()
    driver.provider.fault("id_token.alg", "none")
    token = (await driver.tokens())["id_token"]
    assert token.endswith(".")
    assert _header(token) == {"alg": "none"}


@pytest.mark.parametrize("signing_alg", ["RS256", "ES256", "HS384"])
async def test_alg_confusion_is_keyed_with_the_public_key(signing_alg: str) -> None:
    driver = Driver(FakeProvider(signing_alg=signing_alg))
    driver.provider.fault("id_token.alg", "HS256")
    token = (await driver.tokens())["id_token"]
    message, _, signature = token.rpartition(".")
    public: Any = jose.import_jwk(driver.provider.keys.published[0])
    mac = hmac.digest(public.as_pem(private=False), message.encode(), "sha256")
    assert signature == base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


async def test_another_published_algorithm() -> None:
    driver = Driver()
    driver.provider.fault("id_token.alg", "ES256")
    token = await _id_token(driver)
    assert token.alg == "ES256"
    assert len(driver.provider.keys.published) == 2
    assert _verifies(driver, token)


async def test_the_hash_of_the_access_token_follows_the_algorithm() -> None:
    driver = Driver()
    driver.provider.fault("id_token.alg", "ES384")
    tokens = await driver.tokens()
    at_hash = jose.parse_jws(tokens["id_token"]).claims["at_hash"]
    assert at_hash == jose.hash_of(tokens["access_token"], "ES384")


@pytest.mark.parametrize("alg", ["RS256", "HS256"])
async def test_foreign_keys(alg: str) -> None:
    driver = Driver(FakeProvider(signing_alg=alg))
    driver.provider.fault("id_token.key", "unpublished")
    unpublished = await _id_token(driver)
    driver.provider.fault("id_token.key", "impostor")
    impostor = await _id_token(driver)
    assert not _verifies(driver, unpublished)
    assert not _verifies(driver, impostor)
    if alg == "RS256":
        published = {key["kid"] for key in driver.provider.keys.published}
        assert unpublished.kid not in published
        assert impostor.kid in published


async def test_keys_that_change_right_before_a_token_is_signed() -> None:
    driver = Driver()
    before = (await driver.send("GET", "jwks")).json()["keys"]
    driver.provider.fault("id_token.rotate", times=1)
    token = await _id_token(driver)
    assert token.kid not in [key["kid"] for key in before]
    assert _verifies(driver, token)


@pytest.mark.parametrize("how", ["flip", "xor", "empty"])
async def test_broken_signatures(how: str) -> None:
    driver = Driver()
    driver.provider.fault("id_token.signature", how)
    token = (await driver.tokens())["id_token"]
    assert token.endswith(".") == (how == "empty")
    assert not _verifies(driver, jose.parse_jws(token))


async def _id_token(driver: Driver) -> jose.Jws:
    return jose.parse_jws((await driver.tokens())["id_token"])


def _verifies(driver: Driver, token: jose.Jws) -> bool:
    keys: list[Any] = [jose.import_jwk(key) for key in driver.provider.keys.published]
    keys.append(jose.secret_key(driver.client.client_secret or ""))
    return any(jose.verify_jws(token, key, token.alg) for key in keys)


def _header(token: str) -> dict[str, Any]:
    segment = token.split(".")[0]
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return header
