"""How clients learn that a session is over: back channel, front channel, session_state."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from reliant.protocol import jose
from reliant.testing import Behaviour, Browser, FakeProvider, extra
from tests.testing.driver import REDIRECT_URI, Driver

pytestmark = pytest.mark.anyio

BACK = {"backchannel_logout_uri": "https://rp.example/back"}
FRONT = {
    "frontchannel_logout_uri": "https://rp.example/front?a=b",
    "frontchannel_logout_session_required": True,
}


async def _signed_in(**metadata: Any) -> tuple[Driver, Browser, str]:
    driver = Driver(FakeProvider(behaviour=Behaviour(session_management=True)))
    driver.provider.add_client(
        "web",
        driver.client.client_secret,
        redirect_uris=[REDIRECT_URI],
        post_logout_redirect_uris=["https://rp.example/bye"],
        **metadata,
    )
    driver.provider.client_transport = httpx2.MockTransport(lambda request: httpx2.Response(200))
    browser = driver.provider.browser()
    tokens = (await driver.redeem(await driver.sign_in(browser))).json()
    return driver, browser, tokens["id_token"]


async def test_a_logout_token_is_posted() -> None:
    driver, browser, hint = await _signed_in(**BACK)
    driver.provider.fault("back_channel.more", extra("ignored"))
    where = await browser.sign_out(driver.logout_url(id_token_hint=hint))
    assert where == "https://rp.example/bye?state=out"
    (call,) = driver.provider.logout_calls
    assert (call.url, call.response.status_code) == ("https://rp.example/back", 200)
    assert call.form["more"] == "ignored"
    token, session = jose.parse_jws(call.form["logout_token"]), jose.parse_jws(hint)
    assert token.claims["sid"] == session.claims["sid"]
    assert token.claims["exp"] == token.claims["iat"] + 120
    assert list(token.claims["events"].values()) == [{}]
    assert driver.provider.keys.made(token)


async def test_faults_of_the_logout_token() -> None:
    driver, browser, hint = await _signed_in(**BACK)
    driver.provider.fault("logout_token.alg", "none")
    driver.provider.fault("logout_token.nonce", "n")
    driver.provider.fault("logout_token.header.typ", "logout+jwt")
    await browser.sign_out(driver.logout_url(id_token_hint=hint))
    token = jose.parse_jws(driver.provider.logout_calls[0].form["logout_token"])
    assert token.header == {"alg": "none", "typ": "logout+jwt"}
    assert token.claims["nonce"] == "n"


async def test_frames_are_loaded_before_the_browser_goes_on() -> None:
    driver, browser, hint = await _signed_in(**FRONT)
    where = await browser.sign_out(driver.logout_url(id_token_hint=hint))
    assert where == "https://rp.example/bye?state=out"
    (frame,) = browser.frames
    query = parse_qs(urlsplit(frame).query)
    sid = jose.parse_jws(hint).claims["sid"]
    assert query == {"a": ["b"], "iss": ["https://op.example"], "sid": [sid]}


async def test_the_page_with_frames_allows_just_these() -> None:
    driver, browser, hint = await _signed_in(**FRONT)
    url = driver.logout_url(id_token_hint=hint, post_logout_redirect_uri=None)
    async with httpx2.AsyncClient(
        transport=driver.provider.transport, cookies=browser.cookies
    ) as client:
        page = await client.get(url)
    assert "frame-src https://rp.example" in page.headers["content-security-policy"]
    assert "refresh" not in page.headers


async def test_a_frame_without_the_session() -> None:
    driver, browser, hint = await _signed_in(frontchannel_logout_uri="https://rp.example/front")
    await browser.sign_out(driver.logout_url(id_token_hint=hint))
    assert browser.frames == ["https://rp.example/front"]


async def test_the_provider_may_end_sessions_by_itself() -> None:
    driver, browser, _ = await _signed_in(**BACK, **FRONT)
    assert await driver.provider.end_sessions("bob") == []
    (frame,) = await driver.provider.end_sessions("alice")
    assert frame.startswith("https://rp.example/front")
    assert len(driver.provider.logout_calls) == 1
    again = await driver.sign_in(browser, prompt="none")
    assert again.params["error"] == "login_required"


async def test_session_state_is_the_hash_of_what_the_frame_knows() -> None:
    driver, browser, _ = await _signed_in()
    callback = await driver.sign_in(browser)
    digest, _, salt = callback.params["session_state"].partition(".")
    state = browser.cookies["fake_provider_state"]
    text = f"web https://rp.example {state} {salt}"
    assert digest == hashlib.sha256(text.encode()).hexdigest()


async def test_the_page_that_watches_the_session() -> None:
    driver, _, _ = await _signed_in()
    metadata = (await driver.send("GET", ".well-known/openid-configuration")).json()
    assert metadata["check_session_iframe"] == "https://op.example/check-session"
    page = await driver.send("GET", "check-session")
    assert "frame-ancestors *" in page.headers["content-security-policy"]
    assert "postMessage" in page.text


async def test_a_login_that_begins_at_the_provider() -> None:
    driver = Driver()
    driver.provider.add_client("web", "s", initiate_login_uri="https://rp.example/start")
    url = driver.provider.initiate_login_url("web", login_hint="alice")
    assert parse_qs(urlsplit(url).query) == {
        "iss": ["https://op.example"],
        "login_hint": ["alice"],
    }
    with pytest.raises(KeyError):
        Driver().provider.initiate_login_url("web")


async def test_claims_that_stand_elsewhere() -> None:
    rules = Behaviour(aggregated_claims={"a": 1}, distributed_claims={"b": 2})
    driver = Driver(FakeProvider(behaviour=rules))
    claims = (await driver.userinfo((await driver.tokens())["access_token"])).json()
    assert claims["_claim_names"] == {"a": "src1", "b": "src2"}
    sources = claims["_claim_sources"]
    assert jose.parse_jws(sources["src1"]["JWT"]).claims == {"a": 1}
    assert sources["src2"]["endpoint"] == "https://op.example/claims"
    headers = {"Authorization": f"Bearer {sources['src2']['access_token']}"}
    answer = await driver.send("GET", "claims", headers=headers)
    assert jose.parse_jws(answer.text).claims == {"b": 2}
    assert (await driver.send("GET", "claims")).status_code == 401
    wrong = {"Authorization": "Bearer other"}
    assert (await driver.send("GET", "claims", headers=wrong)).status_code == 401
