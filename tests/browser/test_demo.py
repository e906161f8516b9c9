"""Chromium walks through the demo, whose application and provider are two sites to it."""

import re

import pytest
from playwright.async_api import BrowserContext, Page, Request, expect

from reliant import ConfigurationError
from reliant.starlette import OAuth
from tests.browser.conftest import Demo

pytestmark = pytest.mark.needs("chromium")

CALLBACK = re.compile(r"/callback\b")


async def sign_in(page: Page, user: str = "alice") -> None:
    """On the provider's page."""
    await page.get_by_label("User name").fill(user)
    await page.get_by_role("button", name="Sign in").click()


async def log_in(page: Page, demo: Demo, user: str = "alice") -> None:
    await page.goto(f"{demo.app}/login")
    await sign_in(page, user)
    await expect_heading(page, f"Hello, {user.title()} Example")


async def expect_heading(page: Page, text: str) -> None:
    await expect(page.get_by_role("heading", level=1)).to_have_text(text)


async def expect_failure(page: Page, title: str, code: str) -> None:
    """The library's page for a login that failed."""
    await expect_heading(page, title)
    await expect(page.get_by_text(f"Code: {code}")).to_be_visible()
    await expect(page.get_by_role("link", name="Try again")).to_be_visible()


# -- the whole visit ---------------------------------------------------------------------------


async def test_a_visit(page: Page, demo: Demo) -> None:
    await page.goto(demo.app)
    await page.get_by_role("link", name="Log in", exact=True).click()
    await expect(page).to_have_url(re.compile(re.escape(f"{demo.provider}/")))
    await sign_in(page)

    await expect(page).to_have_url(f"{demo.app}/profile")
    await expect_heading(page, "Hello, Alice Example")
    await expect(page.get_by_role("row", name="email alice@example.test")).to_be_visible()

    await page.get_by_role("button", name="Refresh").click()
    await expect(page.get_by_role("status")).to_have_text("The provider issued new tokens.")
    await page.get_by_role("button", name="UserInfo").click()
    await expect(page.get_by_role("status")).to_have_text("The UserInfo endpoint answered.")

    await page.get_by_role("button", name="Log out").click()
    await expect_heading(page, "You are logged out")
    # At the provider too: it asks for the name again.
    await page.goto(f"{demo.app}/profile")
    await expect(page.get_by_label("User name")).to_be_empty()


async def test_the_protected_page_comes_back_to_itself(page: Page, demo: Demo) -> None:
    await page.goto(f"{demo.app}/protected")
    await sign_in(page)
    await expect(page).to_have_url(f"{demo.app}/protected")
    await expect_heading(page, "A page for users only")


async def test_two_tabs_finish_in_reverse_order(context: BrowserContext, demo: Demo) -> None:
    first, second = await context.new_page(), await context.new_page()
    await first.goto(f"{demo.app}/protected")
    await second.goto(f"{demo.app}/profile")
    await sign_in(second)
    await expect(second).to_have_url(f"{demo.app}/profile")
    await sign_in(first)
    await expect(first).to_have_url(f"{demo.app}/protected")


# -- form_post ---------------------------------------------------------------------------------


async def test_form_post_brings_its_cookie_across_sites(
    context: BrowserContext, page: Page, demo: Demo
) -> None:
    await page.goto(demo.app)
    await page.get_by_role("link", name="Log in with form_post").click()
    await expect(page.get_by_label("User name")).to_be_visible()
    (cookie,) = await context.cookies(demo.app)
    assert cookie["name"].startswith("__Host-")
    assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"]) == ("None", True, True)

    async with page.expect_request(CALLBACK) as callback:
        await sign_in(page)
    await expect_heading(page, "Hello, Alice Example")
    request: Request = await callback.value
    assert request.method == "POST"
    assert cookie["name"] in (await request.all_headers())["cookie"]


async def test_a_lax_cookie_would_stay_behind(
    context: BrowserContext, page: Page, demo: Demo
) -> None:
    """This shows that the test above shows something; the page names the likely reason."""
    await page.goto(f"{demo.app}/login?response_mode=form_post")
    await expect(page.get_by_label("User name")).to_be_visible()
    (cookie,) = await context.cookies(demo.app)
    await context.clear_cookies(name=cookie["name"])
    await context.add_cookies(
        [
            {
                "name": cookie["name"],
                "value": cookie["value"],
                "url": demo.app.replace("http:", "https:"),
                "secure": True,
                "httpOnly": True,
                "sameSite": "Lax",
            }
        ]
    )
    await sign_in(page)
    await expect_failure(page, "The login failed", "state.no_cookie")
    await expect(page.get_by_text("SameSite=Lax")).to_be_visible()


def test_a_session_cookie_would_stay_behind_too_and_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="needs OAuth"):
        OAuth().register("op", authorize_params={"response_mode": "form_post"})


@pytest.mark.parametrize("context_options", [{"java_script_enabled": False}])
async def test_form_post_without_scripts(page: Page, demo: Demo) -> None:
    await page.goto(f"{demo.app}/login?response_mode=form_post")
    await sign_in(page)
    await page.get_by_role("button", name="Continue").click()
    await expect_heading(page, "Hello, Alice Example")


# -- what fails is a clear page ----------------------------------------------------------------


async def test_a_login_canceled_and_tried_again(page: Page, demo: Demo) -> None:
    await page.goto(f"{demo.app}/login")
    await page.get_by_role("button", name="Cancel").click()
    await expect_failure(page, "Login canceled", "authorization.denied")
    await page.get_by_role("link", name="Try again").click()
    await sign_in(page)
    await expect_heading(page, "Hello, Alice Example")


async def test_reloading_the_callback(page: Page, demo: Demo) -> None:
    await page.goto(f"{demo.app}/login")
    async with page.expect_request(CALLBACK) as callback:
        await sign_in(page)
    await expect_heading(page, "Hello, Alice Example")

    url = (await callback.value).url
    response = await page.goto(url)
    assert response is not None
    assert response.status == 400
    await expect_failure(page, "The login failed", "state.used")
    response = await page.reload()
    assert response is not None
    assert response.status == 400
    # The login of before still stands.
    await page.goto(f"{demo.app}/profile")
    await expect_heading(page, "Hello, Alice Example")


@pytest.mark.parametrize("mode", ["query", "form_post"])
async def test_going_back_after_a_login(page: Page, demo: Demo, mode: str) -> None:
    """The provider, who knows by now who it is, leads to the callback again at once."""
    await page.goto(f"{demo.app}/login?response_mode={mode}")
    await sign_in(page)
    await expect_heading(page, "Hello, Alice Example")

    await page.go_back()
    await expect_failure(page, "The login failed", "state.used")
    await page.get_by_role("link", name="Try again").click()
    await expect_heading(page, "Hello, Alice Example")


async def test_a_callback_out_of_nowhere(page: Page, demo: Demo) -> None:
    await page.goto(f"{demo.app}/callback")
    await expect_failure(page, "The login failed", "state.missing")
    await page.goto(f"{demo.app}/callback?code=stolen&state=stolen")
    await expect_failure(page, "The login failed", "state.no_cookie")


# -- how it looks ------------------------------------------------------------------------------


async def test_the_pages_fit_a_phone(page: Page, demo: Demo) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})

    async def fits() -> bool:
        overflow = "document.documentElement.scrollWidth - window.innerWidth"
        return int(await page.evaluate(overflow)) <= 0

    await page.goto(demo.app)
    assert await fits()
    await page.goto(f"{demo.app}/login")
    assert await fits()
    await page.get_by_role("button", name="Cancel").click()
    await expect_heading(page, "Login canceled")
    assert await fits()
    await log_in(page, demo)
    assert await fits()
    await page.get_by_role("button", name="Log out").click()
    await expect_heading(page, "You are logged out")
    assert await fits()
