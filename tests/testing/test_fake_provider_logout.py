"""The end-session endpoint."""

from __future__ import annotations

import httpx2
import pytest

from reliant.testing import Browser
from tests.testing.driver import Driver

pytestmark = pytest.mark.anyio


async def test_a_hint_signs_out_at_once_and_the_state_comes_back() -> None:
    driver, browser, hint = await _signed_in()
    where = await browser.sign_out(driver.logout_url(id_token_hint=hint))
    assert where == "https://rp.example/bye?state=out"
    assert driver.provider.count("confirm") == 0
    after = await driver.sign_in(browser, prompt="none")
    assert after.params["error"] == "login_required"


async def test_a_hint_from_before_the_keys_changed_still_counts() -> None:
    driver, browser, hint = await _signed_in()
    driver.provider.rotate_keys()
    await browser.sign_out(driver.logout_url(id_token_hint=hint))
    assert driver.provider.count("confirm") == 0


@pytest.mark.parametrize("hint", [None, "nonsense"])
async def test_without_a_good_hint_the_user_is_asked(hint: str | None) -> None:
    driver, browser, _ = await _signed_in()
    where = await browser.sign_out(driver.logout_url(id_token_hint=hint, client_id="web"))
    assert driver.provider.count("confirm") == 1
    assert where == "https://rp.example/bye?state=out"


async def test_the_user_may_stay() -> None:
    driver, browser, _ = await _signed_in()
    form = {"request": "client_id=web", "decision": "stay"}
    response = await driver.send("POST", "end-session/confirm", data=form, cookies=None)
    assert "stay" in response.text
    assert "code" in (await driver.sign_in(browser, prompt="none")).params


async def test_the_hint_of_another_user_is_no_proof() -> None:
    driver, browser, _ = await _signed_in()
    bob = await driver.redeem(await driver.provider.sign_in(driver.url(), "bob"))
    page = await _get(driver, browser, driver.logout_url(id_token_hint=bob.json()["id_token"]))
    assert page.status_code == 200
    assert "alice" in page.text


async def test_without_a_return_address_there_is_a_page() -> None:
    driver, browser, hint = await _signed_in()
    url = driver.logout_url(id_token_hint=hint, post_logout_redirect_uri=None)
    assert await browser.sign_out(url) == url


async def test_the_request_may_be_posted() -> None:
    driver, _, hint = await _signed_in()
    form = {"id_token_hint": hint, "post_logout_redirect_uri": "https://rp.example/bye"}
    response = await driver.send("POST", "end-session", data=form)
    assert response.headers["location"] == "https://rp.example/bye"


@pytest.mark.parametrize(
    "changes",
    [
        {"post_logout_redirect_uri": "https://evil.example/"},
        {"client_id": "other"},
        {"id_token_hint": None},
        {"id_token_hint": "nonsense"},
    ],
)
async def test_a_bad_request_ends_on_a_page(changes: dict[str, str | None]) -> None:
    driver, browser, hint = await _signed_in()
    url = driver.logout_url(**{"id_token_hint": hint, **changes})
    response = await _get(driver, browser, url)
    assert response.status_code == 400
    assert "location" not in response.headers


async def test_a_script_is_no_return_address() -> None:
    driver, browser, _ = await _signed_in()
    driver.provider.add_client("any", "secret")
    url = driver.logout_url(client_id="any", post_logout_redirect_uri="javascript:alert(1)")
    assert (await _get(driver, browser, url)).status_code == 400


async def _signed_in() -> tuple[Driver, Browser, str]:
    driver = Driver()
    browser = driver.provider.browser()
    tokens = (await driver.redeem(await driver.sign_in(browser))).json()
    return driver, browser, tokens["id_token"]


async def _get(driver: Driver, browser: Browser, url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(
        transport=driver.provider.transport, cookies=browser.cookies
    ) as client:
        return await client.get(url)
