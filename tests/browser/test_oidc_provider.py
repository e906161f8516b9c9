"""Chromium logs in and out of a FastAPI application at the real provider, which is another site."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.helpers.oidc_provider import RunningProvider, oidc_provider
from tests.interop.apps import Site, Sites, client_at

pytestmark = pytest.mark.needs("chromium", "oidc-provider")


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningProvider]:
    """On localhost, while the application is on 127.0.0.1."""
    with oidc_provider([], issuerHost="localhost") as running:
        yield running


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with closing(Sites()) as running:
        yield running


@pytest.fixture(params=["session", "cookie", "cache"])
def app(request: pytest.FixtureRequest, sites: Sites, provider: RunningProvider) -> Site:
    running = sites.get("fastapi", request.param)
    running.register(client_at(provider, running))
    return running


async def sign_in(page: Page) -> None:
    """On the provider's pages: who it is, and what it agrees to."""
    await page.get_by_placeholder("Enter any login").fill("alice")
    await page.get_by_placeholder("and password").fill("any will do")
    await page.get_by_role("button", name="Sign-in").click()
    await page.get_by_role("button", name="Continue").click()


async def shown(page: Page) -> Any:
    """The JSON that the application answered with."""
    return json.loads(await page.locator("body").inner_text())


async def test_login_and_logout(page: Page, app: Site, provider: RunningProvider) -> None:
    await page.goto(app.page("login"))
    await expect(page).to_have_url(re.compile(re.escape(provider.issuer)))
    await sign_in(page)
    await expect(page).to_have_url(app.page("me"))
    assert (await shown(page))["sub"] == "alice"
    await page.goto(app.page("userinfo"))
    assert (await shown(page))["email"] == "alice@example.test"

    await page.goto(app.page("logout"))
    await page.get_by_role("button", name="Yes, sign me out").click()
    await expect(page).to_have_url(re.compile(re.escape(app.page("logged_out"))))
    assert await shown(page) == {"post_logout_redirect_uri": app.page("logged_out")}
    await page.goto(app.page("me"))
    assert await shown(page) is None


@pytest.mark.parametrize("app", ["cookie"], indirect=True)
async def test_form_post(page: Page, app: Site) -> None:
    await page.goto(app.page("login?response_mode=form_post"))
    await sign_in(page)
    await expect(page).to_have_url(app.page("me"))
    assert (await shown(page))["sub"] == "alice"


async def test_a_login_canceled_and_tried_again(page: Page, app: Site) -> None:
    await page.goto(app.page("login"))
    await page.get_by_role("link", name="Cancel").click()
    await expect(page.get_by_role("heading", name="Login canceled")).to_be_visible()
    assert app.tokens == {}
    await page.get_by_role("link", name="Try again").click()
    await sign_in(page)
    await expect(page).to_have_url(app.page("me"))
