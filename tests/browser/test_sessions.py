"""Chromium stays logged in: on 127.0.0.1 an app with `Login`, on localhost, another site, the rest.

The clock of app and provider stands still until a test moves it.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Iterator
from html import escape
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect
from starlette.responses import Response

from reliant import StoreError
from reliant.login import MemoryStore, RedisStore
from reliant.starlette import OAuth
from tests.browser.conftest import ARGUMENTS, TIMEOUT
from tests.browser.login_site import LoginSite
from tests.browser.two_sites import places
from tests.helpers import programs
from tests.helpers.login_app import LoginApp
from tests.helpers.redis import redis_server

pytestmark = pytest.mark.needs("chromium")

IDLE = 2 * 3600
CALLBACK = re.compile(r"/auth/callback\b")
REDIS = pytest.param("redis", marks=pytest.mark.needs("redis-server"))


@pytest.fixture(scope="module")
def addresses() -> Iterator[LoginSite]:
    with places(3) as found:
        yield LoginSite(*found)


@pytest.fixture
def site(addresses: LoginSite) -> Iterator[LoginSite]:
    """A test builds what it needs; no request to the provider may have had anything wrong."""
    yield addresses
    assert addresses.provider.violations == []


@pytest.fixture(params=["cookies", "store"])
def app(request: pytest.FixtureRequest, site: LoginSite) -> Iterator[LoginApp]:
    """The app with sessions in each kind of place that a test names."""
    if request.param != "redis":
        yield site.build(request.param)
        return
    with redis_server() as server:
        store = RedisStore.from_url(server.url)
        yield site.build("store", store=store)
        for loop in list(store._connected):  # that of the app's thread
            asyncio.run_coroutine_threadsafe(store.aclose(), loop).result(TIMEOUT / 1000)


async def sign_in(page: Page, user: str = "alice") -> None:
    """On the provider's page."""
    await page.get_by_label("User name").fill(user)
    await page.get_by_role("button", name="Sign in").click()


async def log_in(page: Page, site: LoginSite, user: str = "alice", path: str = "/account") -> None:
    """Open a page of the app, which leads through the provider and back to it."""
    await page.goto(site.url(path))
    await sign_in(page, user)
    await expect(page).to_have_url(site.url(path))


async def expect_heading(page: Page, text: str) -> None:
    await expect(page.get_by_role("heading", level=1)).to_have_text(text)


async def expect_account(page: Page, user: str = "alice") -> None:
    await expect(page).to_have_url(re.compile(r"/account$"))
    await expect_heading(page, f"The account of {user}")


async def expect_sign_in_page(page: Page) -> None:
    await expect(page.get_by_label("User name")).to_be_visible()


async def ask(page: Page, path: str, times: int = 1) -> Any:
    """What a script of the page gets that fetches a path: status and JSON, or a list of these."""
    answers = await page.evaluate(
        """([path, times]) => Promise.all(Array.from({length: times}, async () => {
            const answer = await fetch(path);
            return [answer.status, answer.headers.get('content-type'), await answer.json()];
        }))""",
        [path, times],
    )
    for status, media_type, _ in answers:
        assert media_type == ("application/problem+json" if status == 401 else "application/json")
    found = [(status, body) for status, _, body in answers]
    return found[0] if times == 1 else found


async def whoami(page: Page) -> Any:
    status, body = await ask(page, "/whoami")
    assert status == 200
    return body["sub"]


async def shown(page: Page) -> Any:
    """The JSON that the app answered a navigation with."""
    return json.loads(await page.locator("body").inner_text())


async def forget_at_provider(context: BrowserContext) -> None:
    """As if the provider's own session had run out in this browser."""
    await context.clear_cookies(domain="localhost")


# -- login ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["cookies", "store", REDIS], indirect=True)
async def test_a_login(page: Page, context: BrowserContext, site: LoginSite, app: LoginApp) -> None:
    await page.goto(site.url("/home"))
    await expect_heading(page, "Nobody is logged in")
    await page.get_by_role("link", name="Account").click()
    await expect(page).to_have_url(re.compile(re.escape(site.at_provider.elsewhere)))
    await sign_in(page)
    await expect_account(page)
    assert await whoami(page) == "alice"
    cookies = [it for it in await context.cookies(site.url("/")) if "login" in it["name"]]
    assert cookies
    for cookie in cookies:
        assert cookie["name"].startswith("__Host-login.op")
        assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"]) == ("Lax", True, True)
    assert await page.evaluate("document.cookie") == ""


async def test_a_login_whose_answer_is_posted(page: Page, site: LoginSite) -> None:
    """By the provider's page, from another site: the session's own cookie stays behind then."""
    app = site.build(
        "store",
        oauth=OAuth(secret_key="a key of this test's"),
        settings={"authorize_params": {"response_mode": "form_post"}},
    )
    async with page.expect_request(CALLBACK) as callback:
        await log_in(page, site)
    assert (await callback.value).method == "POST"
    await expect_account(page)

    await page.go_back()  # where the provider, who knows the person by now, posts again
    await expect_account(page)
    app.clock.advance(IDLE)
    await page.goto(site.url("/account"))
    await expect_account(page)


@pytest.mark.parametrize("app", ["store"], indirect=True)
async def test_two_accounts_in_two_profiles(
    browser: Browser, page: Page, site: LoginSite, app: LoginApp
) -> None:
    other = await browser.new_context()
    other.set_default_timeout(TIMEOUT)
    bobs = await other.new_page()
    try:
        await page.goto(site.url("/account"))
        await bobs.goto(site.url("/account"))
        await sign_in(bobs, "bob")
        await sign_in(page, "alice")
        await expect_account(page, "alice")
        await expect_account(bobs, "bob")

        await page.goto(site.url("/home"))
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_url(site.url("/"))
        assert (await whoami(page), await whoami(bobs)) == (None, "bob")
    finally:
        await other.close()


@pytest.mark.parametrize("app", ["cookies"], indirect=True)
async def test_a_session_that_takes_many_cookies(
    page: Page, context: BrowserContext, site: LoginSite, app: LoginApp
) -> None:
    async def count() -> int:
        names = [it["name"] for it in await context.cookies(site.url("/"))]
        return sum(name.startswith("__Host-login.op!") for name in names)

    site.provider.behaviour.claims_in_id_token = True
    site.provider.users["alice"] = {"sub": "alice", "picture": secrets.token_urlsafe(6000)}
    await log_in(page, site)
    assert await count() == 1 + 7  # when it was last used, and the record
    assert (await ask(page, "/me"))[1]["claims"]["picture"] == site.provider.users["alice"][
        "picture"
    ]

    site.provider.users["alice"] = {"sub": "alice"}
    app.clock.advance(3600)
    assert (await ask(page, "/token"))[0] == 200
    assert await count() == 1 + 4  # the claims stay; the new ID Token is small
    assert await whoami(page) == "alice"

    await page.goto(site.url("/home"))
    await page.get_by_role("button", name="Log out").click()
    await expect(page).to_have_url(site.url("/"))
    assert [it for it in await context.cookies(site.url("/")) if "login" in it["name"]] == []


# -- again: pressed twice, reloaded, gone back -----------------------------------------------------


async def test_everything_pressed_twice(page: Page, site: LoginSite, app: LoginApp) -> None:
    await page.goto(site.url("/home"))
    await page.get_by_role("link", name="Log in").dblclick()
    await page.get_by_label("User name").fill("alice")
    await page.get_by_role("button", name="Sign in").dblclick()
    await expect_account(page)
    assert await whoami(page) == "alice"


async def test_an_answer_that_never_arrived(page: Page, site: LoginSite, app: LoginApp) -> None:
    """The app has made the session, and the browser has not heard of it."""

    async def ignore(message: Any) -> None:
        pass

    async def lose(scope: Any, receive: Any, send: Any) -> None:
        site.at_app.app = app.app
        await app.app(scope, receive, ignore)
        await Response(status_code=204)(scope, receive, send)  # a browser stays where it is

    await page.goto(site.url("/account"))
    site.at_app.app = lose
    async with page.expect_response(CALLBACK):
        await sign_in(page)
    await expect_sign_in_page(page)
    await sign_in(page)
    await expect_account(page)


async def test_the_callback_opened_again(page: Page, site: LoginSite, app: LoginApp) -> None:
    async with page.expect_request(CALLBACK) as callback:
        await log_in(page, site)
    url = (await callback.value).url
    for _ in range(2):
        response = await page.goto(url)
        assert response is not None
        assert response.status == 200
        await expect_account(page)
    assert site.provider.count("token") == 1


async def test_going_back_after_the_login(page: Page, site: LoginSite, app: LoginApp) -> None:
    """The provider, who knows by now who it is, leads to the callback at once."""
    await page.goto(site.url("/home"))
    await page.get_by_role("link", name="Log in").click()
    await sign_in(page)
    await expect_account(page)
    async with page.expect_request(CALLBACK):
        await page.go_back()
    await expect_account(page)
    assert site.provider.count("token") == 1


async def test_the_provider_s_page_was_open_for_too_long(
    page: Page, site: LoginSite, app: LoginApp
) -> None:
    await page.goto(site.url("/account"))
    app.clock.advance(3600)
    await sign_in(page)
    await expect_account(page)


async def test_two_tabs_at_once(context: BrowserContext, site: LoginSite, app: LoginApp) -> None:
    tabs = [await context.new_page() for _ in range(3)]
    paths = ["/account", "/home", "/order"]
    for tab, path in zip(tabs, paths, strict=True):
        await tab.goto(site.url(f"/auth/login?return_to={path}"))
    await asyncio.gather(*map(sign_in, tabs))
    for tab, path in zip(tabs, paths, strict=True):
        await expect(tab).to_have_url(site.url(path))
        assert await whoami(tab) == "alice"


async def test_a_login_canceled_and_tried_again(page: Page, site: LoginSite, app: LoginApp) -> None:
    await page.goto(site.url("/account"))
    await page.get_by_role("button", name="Cancel").click()
    await expect_heading(page, "Login canceled")
    await page.get_by_role("link", name="Try again").click()
    await sign_in(page)
    await expect_account(page)


# -- while a page is open --------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["cookies", "indexed", "store"], indirect=True)
async def test_a_session_that_nobody_used_is_over(
    page: Page, site: LoginSite, app: LoginApp
) -> None:
    await log_in(page, site)
    for _ in range(3):
        app.clock.advance(IDLE - 1)
        assert await whoami(page) == "alice"  # what a script fetches is use
    app.clock.advance(IDLE)
    status, problem = await ask(page, "/me")
    assert (status, problem["code"]) == (401, "session.login_required")
    assert problem["login_url"] == "/auth/login?return_to=%2Faccount"
    assert await whoami(page) is None

    async with page.expect_response(CALLBACK):  # the provider still knows who it is
        await page.evaluate("url => { location.href = url }", problem["login_url"])
    await expect_account(page)
    assert await whoami(page) == "alice"


@pytest.mark.parametrize("app", ["cookies", "indexed", "store", REDIS], indirect=True)
async def test_a_token_is_refreshed_and_nobody_notices(
    page: Page, site: LoginSite, app: LoginApp
) -> None:
    await log_in(page, site)
    navigations: list[str] = []
    page.on("framenavigated", lambda frame: navigations.append(frame.url))
    _, first = await ask(page, "/token")
    app.clock.advance(3590)
    answers = await ask(page, "/token", times=8)
    tokens = {body["access_token"] for status, body in answers if status == 200}
    assert len(answers) == 8
    assert len(tokens) == 1
    assert tokens != {first["access_token"]}
    app.clock.advance(1800)
    assert (await ask(page, "/token"))[1]["access_token"] in tokens
    assert site.provider.count("token") == 2
    assert navigations == []


@pytest.mark.parametrize("app", ["indexed", "store", REDIS], indirect=True)
async def test_a_logout_at_the_provider_while_a_page_is_open(
    page: Page, site: LoginSite, app: LoginApp
) -> None:
    await log_in(page, site)
    assert (await ask(page, "/me"))[0] == 200
    await site.provider.end_sessions("alice")
    (call,) = site.provider.logout_calls
    assert call.response.status_code == 200

    status, problem = await ask(page, "/me")
    assert (status, problem["title"]) == (401, "Login required")
    await page.reload()
    await expect_sign_in_page(page)
    app.clock.advance(1)
    await sign_in(page)
    await expect_account(page)
    assert await whoami(page) == "alice"


@pytest.mark.parametrize("kind", ["indexed", "store"])
async def test_a_logout_by_a_frame_of_the_provider_s(
    page: Page, site: LoginSite, kind: str
) -> None:
    """No cookie comes with it, for the frame is a third party's."""
    site.build(kind, front_channel=True)
    await log_in(page, site)
    (frame,) = await site.provider.end_sessions("alice")
    site.at_provider.pages["/bye"] = f'<iframe src="{escape(frame)}"></iframe>'
    other = await page.context.new_page()
    await other.goto(f"{site.provider.issuer}/bye")
    await expect(other.frame_locator("iframe").get_by_text("Logged out.")).to_be_visible()
    assert (await ask(page, "/me"))[0] == 401


async def test_htmx_leads_the_whole_page_to_the_login(
    page: Page, site: LoginSite, app: LoginApp
) -> None:
    await log_in(page, site, path="/board")
    load = page.get_by_role("button", name="Load")
    await load.click()
    await expect(page.locator("p")).to_contain_text('"sub":"alice"')
    app.clock.advance(IDLE)
    async with page.expect_response(CALLBACK):
        await load.click()
    await expect(page).to_have_url(site.url("/board"))
    await load.click()
    await expect(page.locator("p")).to_contain_text('"sub":"alice"')


# Sends a text when the socket opens, then `more`; resolves to what came, and how it closed.
SOCKET = """(more) => new Promise((resolve) => {
    const socket = new WebSocket('/echo'), heard = [];
    socket.onopen = () => socket.send('who?');
    socket.onmessage = async ({data}) => {
        heard.push(data);
        if (more) { await goOn(); socket.send('and now?'); } else { socket.close(1000); }
    };
    socket.onclose = ({code, reason, wasClean}) => resolve([...heard, code, reason, wasClean]);
})"""


async def test_what_a_websocket_hears(page: Page, site: LoginSite, app: LoginApp) -> None:
    await page.goto(site.url("/home"))
    assert await page.evaluate(SOCKET) == [4401, "session.login_required", True]
    await log_in(page, site)
    assert await page.evaluate(SOCKET) == ["alice", 1000, "", True]


@pytest.mark.parametrize("app", ["store"], indirect=True)
async def test_a_websocket_whose_login_ends_meanwhile(
    page: Page, site: LoginSite, app: LoginApp
) -> None:
    def go_on() -> None:
        app.clock.advance(3600)
        site.provider.fault("token.error", "invalid_grant")

    await page.expose_function("goOn", go_on)
    await log_in(page, site)
    assert await page.evaluate(SOCKET, True) == ["alice", 4401, "session.ended", True]
    assert (await ask(page, "/me"))[0] == 401


# -- a form posted too late ------------------------------------------------------------------------

NOTE = '  Two lines,\n\tand "more" <b>&amp;</b>;\n\nüñí 😀 \n'


async def order(page: Page, site: LoginSite) -> None:
    """Log in as alice, and fill in the form without sending it."""
    await log_in(page, site, path="/order")
    await page.get_by_label("Note").fill(NOTE)


async def order_too_late(
    page: Page, context: BrowserContext, site: LoginSite, app: LoginApp
) -> None:
    """Send the form when the session is over, here and at the provider."""
    await order(page, site)
    app.clock.advance(IDLE)
    await forget_at_provider(context)
    await page.get_by_role("button", name="Buy").click()


def count_posts(page: Page) -> list[str]:
    """The addresses that something is posted to from now on."""
    found: list[str] = []
    page.on("request", lambda it: found.append(it.url) if it.method == "POST" else None)
    return found


async def test_a_form_is_sent_after_the_login(
    page: Page, context: BrowserContext, site: LoginSite, app: LoginApp
) -> None:
    buy = page.get_by_role("button", name="Buy")
    await order(page, site)
    await buy.click()
    await expect(page).to_have_url(site.url("/order?shop=7"))
    expected = await shown(page)
    assert dict(expected["fields"])["note"] == NOTE.replace("\n", "\r\n")

    await page.go_back()
    await page.get_by_label("Note").fill(NOTE)
    app.clock.advance(IDLE)
    await forget_at_provider(context)
    posts = count_posts(page)
    await buy.click()
    await sign_in(page)
    await expect(page).to_have_url(site.url("/order?shop=7"))
    assert await shown(page) == expected
    # Once in vain and once for good; between them the login at the provider.
    assert [url for url in posts if url.startswith(site.url("/"))] == [page.url] * 2

    await page.go_back()
    await expect(page).not_to_have_url(re.compile("/auth/resume"))
    assert len([url for url in posts if url.startswith(site.url("/"))]) == 2


async def test_a_form_is_sent_without_a_step_where_the_provider_knows_the_person(
    page: Page, site: LoginSite, app: LoginApp
) -> None:
    await order(page, site)
    app.clock.advance(IDLE)
    await page.get_by_role("button", name="Buy").click()
    await expect(page).to_have_url(site.url("/order?shop=7"))
    assert (await shown(page))["sub"] == "alice"


@pytest.mark.parametrize("app", ["store"], indirect=True)
async def test_a_form_waits_for_a_login_that_takes_two_tries(
    page: Page, context: BrowserContext, site: LoginSite, app: LoginApp
) -> None:
    await order_too_late(page, context, site, app)
    await page.get_by_role("button", name="Cancel").click()
    await page.get_by_role("link", name="Try again").click()
    await sign_in(page)
    await expect(page).to_have_url(site.url("/order?shop=7"))
    assert dict((await shown(page))["fields"])["note"] == NOTE.replace("\n", "\r\n")


async def test_a_form_is_not_sent_for_another_person(
    page: Page, context: BrowserContext, site: LoginSite, app: LoginApp
) -> None:
    await order_too_late(page, context, site, app)
    posts = count_posts(page)
    await sign_in(page, "bob")
    await expect(page).to_have_url(site.url("/"))
    assert await whoami(page) == "bob"
    await page.goto(site.url("/auth/resume"))
    await expect(page).to_have_url(site.url("/"))
    assert [url for url in posts if url.startswith(site.url("/"))] == []


@pytest.mark.parametrize("app", ["store"], indirect=True)
@pytest.mark.parametrize("context_options", [{"java_script_enabled": False}])
async def test_a_form_is_sent_by_a_button_where_there_are_no_scripts(
    page: Page, site: LoginSite, app: LoginApp
) -> None:
    await order(page, site)
    app.clock.advance(IDLE)
    await page.get_by_role("button", name="Buy").click()
    await expect_heading(page, "Sending your form")
    assert await fits_a_phone(page)
    await page.get_by_role("button", name="Send it").click()
    await expect(page).to_have_url(site.url("/order?shop=7"))


# -- logout ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["cookies", "store", REDIS], indirect=True)
async def test_a_logout(
    page: Page, context: BrowserContext, site: LoginSite, app: LoginApp
) -> None:
    async with page.expect_request(CALLBACK) as callback:
        await log_in(page, site)
    await page.goto(site.url("/home"))
    await page.get_by_role("button", name="Log out").click()
    await expect(page).to_have_url(site.url("/"))
    assert await whoami(page) is None
    assert [
        it["name"] for it in await context.cookies(site.url("/")) if "login" in it["name"]
    ] == []

    # Nobody is logged in again who opens the callback again; and the provider asks who it is.
    await page.goto((await callback.value).url)
    await expect_heading(page, "The login failed")
    await page.get_by_role("link", name="Try again").click()
    await expect_sign_in_page(page)


async def test_a_logout_after_the_session_is_over(
    page: Page, site: LoginSite, app: LoginApp
) -> None:
    """Whoever comes next to this browser is asked who they are."""
    await log_in(page, site)
    await page.goto(site.url("/home"))
    app.clock.advance(IDLE)
    await page.get_by_role("button", name="Log out").click()
    if app.kind == "store":  # from there the ID Token went with the session: the provider asks
        await page.get_by_role("button", name="Sign out").click()
        (missing,) = site.provider.violations
        assert missing.startswith("end_session.id_token_hint")
        site.provider.violations.clear()
    await expect(page).to_have_url(site.url("/"))
    await page.goto(site.url("/account"))
    await expect_sign_in_page(page)


@pytest.mark.parametrize("app", ["store"], indirect=True)
@pytest.mark.parametrize("stranger", ["localhost", "127.0.0.1"])
async def test_another_site_logs_nobody_out(
    page: Page, site: LoginSite, app: LoginApp, stranger: str
) -> None:
    """Nor does another origin of this very site, to which a SameSite cookie is sent."""
    await log_in(page, site)
    site.at_stranger.pages["/"] = (
        f'<form method="post" action="{site.url("/auth/logout")}"><button>Kittens</button></form>'
        f'<img src="{site.url("/auth/logout")}">'
    )
    await page.goto(site.at_stranger.url.replace("127.0.0.1", stranger))
    await page.get_by_role("button", name="Kittens").click()
    await expect_heading(page, "You are not logged out")
    await page.goto(site.url("/account"))
    await expect_account(page)


@pytest.mark.parametrize("app", ["cookies", "store"], indirect=True)
async def test_nobody_goes_back_to_what_was_shown_before_the_logout(
    browser: Browser, site: LoginSite, app: LoginApp
) -> None:
    """Browsers as people have them keep whole pages in memory, to which the back button leads."""
    whole = await browser.browser_type.launch(
        executable_path=programs.chromium(),
        args=ARGUMENTS,
        ignore_default_args=["--disable-back-forward-cache"],
    )
    try:
        page = await whole.new_page()
        page.set_default_timeout(TIMEOUT)
        await log_in(page, site)
        await page.goto(site.url("/home"))
        await expect_heading(page, "Hello, alice")
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_url(site.url("/"))
        await page.go_back()
        await expect_heading(page, "Nobody is logged in")
        await page.go_back()
        await expect_sign_in_page(page)
    finally:
        await whole.close()


# -- what the library shows ------------------------------------------------------------------------


async def fits_a_phone(page: Page) -> bool:
    await page.set_viewport_size({"width": 320, "height": 568})
    widths = "[document.documentElement.scrollWidth, window.innerWidth]"
    wide, window = await page.evaluate(widths)
    return bool(wide <= window)


class FarAway(MemoryStore):
    """A store that can be away."""

    away = False

    async def get(self, key: str, *, renew: float | None = None) -> str | None:
        if self.away:
            raise StoreError(description="The store does not answer.")
        return await super().get(key, renew=renew)


async def test_a_store_that_is_away_logs_nobody_out(
    page: Page, site: LoginSite, problems: list[str]
) -> None:
    store = FarAway()
    site.build("store", store=store)
    await log_in(page, site)
    await page.goto(site.url("/home"))
    store.away = True
    await page.get_by_role("link", name="Account").click()
    await expect_heading(page, "Please try again")
    store.away = False
    await page.get_by_role("link", name="Try again").click()
    await expect_account(page)

    await page.goto(site.url("/home"))
    store.away = True
    await page.get_by_role("button", name="Log out").click()
    await expect_heading(page, "Please try again")
    assert await fits_a_phone(page)
    store.away = False
    await page.get_by_role("link", name="Try again").click()
    await expect_heading(page, "Hello, alice")
    assert problems == [site.url("/account"), site.url("/auth/logout")]
    problems.clear()
