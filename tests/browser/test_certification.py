"""Chromium runs the pages that tests/conformance only fetches: their scripts, frames and cookies.

The application is on 127.0.0.1 and the provider on localhost: two sites, where a test does not
say otherwise.
"""

import asyncio
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from reliant.starlette import LogoutEvent
from tests.browser.conftest import ARGUMENTS, TIMEOUT
from tests.browser.two_sites import Sites, places
from tests.helpers import programs

pytestmark = pytest.mark.needs("chromium")

HYBRID = "code id_token"


@pytest.fixture(scope="module")
def addresses() -> Iterator[Sites]:
    with places(3) as found:
        yield Sites(*found)


@pytest.fixture
def sites(addresses: Sites) -> Iterator[Sites]:
    """A test builds what it needs; no request may have had anything wrong but plain http."""
    yield addresses
    found = addresses.provider.violations
    assert [it for it in found if "http is for response_type=code only" not in it] == []


async def sign_in(page: Page, user: str = "alice") -> None:
    await page.get_by_label("User name").fill(user)
    await page.get_by_role("button", name="Sign in").click()


async def log_in(page: Page, sites: Sites, path: str = "/login") -> None:
    await page.goto(sites.url(path))
    await sign_in(page)
    await expect(page.get_by_text("Hello, alice")).to_be_visible()


async def expect_failure(page: Page, title: str, code: str) -> None:
    """The library's page for a login that failed."""
    await expect(page.get_by_role("heading", level=1)).to_have_text(title)
    await expect(page.get_by_text(f"Code: {code}")).to_be_visible()


# -- the answer in a fragment ------------------------------------------------------------------


@pytest.mark.parametrize("store", ["cookie", "session"])
async def test_a_hybrid_login(page: Page, sites: Sites, store: str) -> None:
    app = sites.build(store, response_type=HYBRID)
    seen: list[str] = []
    page.on("framenavigated", lambda frame: seen.append(frame.url))

    await log_in(page, sites, "/login?return_to=/me%3Ftab%3D1")
    await expect(page).to_have_url(sites.url("/me?tab=1"))
    assert app.callbacks == ["GET", "POST"]
    (token,) = app.sessions.values()
    assert {"access_token", "id_token"} <= token.keys()
    # The answer came in the fragment, which the page takes out of the history.
    (arrival,) = [url for url in seen if "#" in url]
    assert arrival.startswith(sites.url("/callback#"))
    assert "id_token=" in arrival
    assert seen[seen.index(arrival) + 1] == sites.url("/callback")


async def test_a_hybrid_login_that_ends_on_another_site(page: Page, sites: Sites) -> None:
    """Browsers apply a page's form-action to the redirects after its form too."""
    app = sites.build(response_type=HYBRID)
    elsewhere = sites.at_stranger.elsewhere
    sites.at_stranger.pages["/welcome"] = "<h1>Welcome</h1>"
    app.home = f"{elsewhere}/welcome"

    await page.goto(sites.url("/login"))
    await sign_in(page)
    await expect(page).to_have_url(app.home)
    assert len(app.sessions) == 1


async def test_an_id_token_by_form_post(page: Page, sites: Sites) -> None:
    app = sites.build(response_type="id_token", response_mode="form_post")
    await log_in(page, sites)
    assert app.callbacks == ["POST"]
    (token,) = app.sessions.values()
    assert "access_token" not in token


async def test_an_error_in_the_fragment(page: Page, sites: Sites) -> None:
    app = sites.build("session", response_type=HYBRID)
    await page.goto(sites.url("/login"))
    await page.get_by_role("button", name="Cancel").click()
    await expect_failure(page, "Login canceled", "authorization.denied")
    assert app.sessions == {}
    await page.get_by_role("link", name="Try again").click()
    await expect(page.get_by_label("User name")).to_be_visible()


async def test_a_callback_without_a_fragment(page: Page, sites: Sites) -> None:
    app = sites.build(response_type=HYBRID)
    await page.goto(sites.url("/callback"))
    await expect_failure(page, "The login failed", "state.missing")
    assert app.callbacks == ["GET", "POST"]


async def test_a_fragment_that_no_provider_wrote(page: Page, sites: Sites) -> None:
    """What it holds is no more than text in fields, whatever their names."""
    app = sites.build(response_type=HYBRID)
    odd = urlencode(
        [
            ("append", "1"),
            ("submit", "1"),
            ("action", "/me"),
            ("state", '"><script>alert(1)</script>'),
        ]
    )
    await page.goto(sites.url(f"/callback#{odd}"))
    await expect_failure(page, "The login failed", "state.no_cookie")
    assert app.callbacks == ["GET", "POST"]


@pytest.mark.parametrize("context_options", [{"java_script_enabled": False}])
async def test_a_fragment_without_scripts(page: Page, sites: Sites) -> None:
    app = sites.build(response_type=HYBRID)
    await page.goto(sites.url("/callback#code=a&state=b"))
    await expect(page.locator("noscript")).to_be_visible()
    assert "needs scripts" in await page.locator("noscript").inner_text()
    assert app.callbacks == ["GET"]


# -- front-channel logout ----------------------------------------------------------------------

FRAME = "/op/frontchannel-logout"
WATCH = "/op/check-session"


async def log_out_at_the_provider(page: Page, sites: Sites) -> None:
    (token,) = sites.app.sessions.values()
    hint = urlencode({"id_token_hint": token["id_token"]})
    await page.goto(f"{sites.provider.issuer}/end-session?{hint}")
    await expect(page.get_by_role("heading", name="Signed out")).to_be_visible()


async def framed(page: Page, sites: Sites) -> LogoutEvent:
    """Log in here, out at the provider, and return what its frame told the application."""
    await log_in(page, sites)
    async with page.expect_event("requestfinished", lambda it: FRAME in it.url):
        await log_out_at_the_provider(page, sites)
    # The page is shown in the frame, or Chromium would put one of its own there.
    await expect(page.frame_locator("iframe").get_by_text("Logged out.")).to_be_attached()
    (event,) = sites.app.logouts
    assert event.channel == "front"
    return event


async def test_front_channel_logout(page: Page, sites: Sites) -> None:
    """The frame is a third party's, and Chromium as it comes withholds cookies from those.

    So not even SameSite=None brings the session's cookie along: the sid is what works.
    """
    app = sites.build(
        same_site="none", frontchannel_logout_uri=FRAME, frontchannel_logout_session_required=True
    )
    event = await framed(page, sites)
    assert "login" not in event.request.cookies
    assert event.sid is not None
    assert app.sessions == {}
    await page.goto(sites.url("/me"))
    await expect(page.get_by_text("Nobody")).to_be_visible()


async def test_front_channel_logout_by_cookie(
    browser: Browser, sites: Sites, tmp_path: Path
) -> None:
    """A Chromium set to allow third-party cookies sends those with SameSite=None, and no others."""
    # The setting is one of a profile; there is none for contexts like those of the other tests.
    preferences = tmp_path / "Default" / "Preferences"
    preferences.parent.mkdir()
    preferences.write_text(json.dumps({"profile": {"cookie_controls_mode": 0}}))
    context = await browser.browser_type.launch_persistent_context(
        tmp_path, executable_path=programs.chromium(), args=ARGUMENTS
    )
    try:
        for same_site in ("none", "lax"):
            app = sites.build(same_site=same_site, frontchannel_logout_uri=FRAME)
            event = await framed(context.pages[0], sites)
            assert event.sid is None
            assert ("login" in event.request.cookies) == (same_site == "none")
            assert len(app.sessions) == (0 if same_site == "none" else 1)
    finally:
        await context.close()


async def test_front_channel_logout_of_one_site(page: Page, sites: Sites) -> None:
    """Where provider and application are of one site, the frame is no third party: Lax will do."""
    app = sites.build(same_site_provider=True, frontchannel_logout_uri=FRAME)
    event = await framed(page, sites)
    assert "login" in event.request.cookies
    assert app.sessions == {}


async def test_a_stranger_may_not_frame_the_logout(
    page: Page, sites: Sites, problems: list[str]
) -> None:
    app = sites.build(frontchannel_logout_uri=FRAME, frontchannel_logout_session_required=True)
    await log_in(page, sites)
    guessed = urlencode({"iss": sites.provider.issuer, "sid": "guessed"})
    frame = escape(sites.url(f"{FRAME}?{guessed}"))
    sites.at_stranger.pages["/"] = f'<h1>Kittens</h1><iframe src="{frame}"></iframe>'
    async with page.expect_console_message(lambda it: "frame-ancestors" in it.text) as refusal:
        await page.goto(sites.at_stranger.elsewhere)
    assert f"frame-ancestors {sites.provider.issuer}" in (await refusal.value).text
    await expect(page.frame_locator("iframe").get_by_text("Logged out.")).not_to_be_attached()
    assert len(problems) == 1
    problems.clear()
    # The request was made all the same, as anyone can; without the sid it ends nothing.
    assert len(app.logouts) == len(app.sessions) == 1


# -- session management ------------------------------------------------------------------------

EVERY = 5_000  # milliseconds from one question of the page to the next


class Messages:
    """What each frame's window hears, by the frame's path."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []
        self._news = asyncio.Event()

    async def listen(self, context: BrowserContext) -> None:
        await context.expose_binding("heard", self._hear)
        await context.add_init_script(
            "addEventListener('message', (event) => heard(location.pathname, event.data))"
        )

    def _hear(self, source: Any, path: str, data: Any) -> None:
        self.heard.append((path, data))
        self._news.set()

    async def count(self, number: int) -> list[tuple[str, Any]]:
        """All that was heard, once it is that many."""
        async with asyncio.timeout(TIMEOUT / 1000):
            while len(self.heard) < number:
                await self._news.wait()
                self._news.clear()
        return self.heard


async def test_the_session_is_watched(context: BrowserContext, page: Page, sites: Sites) -> None:
    """Provider and application are of one site here, and two origins.

    The provider's frame reads the provider's cookie, which Chromium as it comes withholds from a
    third party's frame: across sites it would tell of a change that was none.
    """
    app = sites.build(same_site_provider=True)
    await log_in(page, sites)
    (token,) = app.sessions.values()
    query = escape(urlencode({"session_state": token["session_state"]}))
    frame = f'<iframe src="/op/check-session?{query}" hidden></iframe>'
    sites.at_app.pages["/home"] = f"<h1>Home</h1>{frame}"

    # The provider hears the question, the page in the frame its answer, and /home what came of it.
    asked = ("/check-session", f"the-app {token['session_state']}")
    unchanged, changed = [asked, (WATCH, "unchanged")], [asked, (WATCH, "changed")]
    messages = Messages()
    await messages.listen(context)
    await page.clock.install()
    await page.goto(sites.url("/home"))
    assert await messages.count(2) == unchanged
    await page.clock.run_for(EVERY)
    assert await messages.count(4) == unchanged * 2

    await log_out_at_the_provider(await context.new_page(), sites)
    await page.clock.run_for(EVERY)
    told = [("/home", {"session": "changed"})]
    assert await messages.count(7) == unchanged * 2 + changed + told
    # That was all: it asks no more.
    await page.clock.run_for(3 * EVERY)
    await page.evaluate("postMessage('the end')")
    assert (await messages.count(8))[7:] == [("/home", "the end")]


async def test_a_stranger_may_not_watch_the_session(
    page: Page, sites: Sites, problems: list[str]
) -> None:
    sites.build(same_site_provider=True)
    frame = sites.url(f"{WATCH}?session_state=x.y")
    sites.at_stranger.pages["/"] = f'<h1>Kittens</h1><iframe src="{frame}"></iframe>'
    async with page.expect_console_message(lambda it: "frame-ancestors" in it.text) as refusal:
        await page.goto(sites.at_stranger.url)
    assert "frame-ancestors 'self'" in (await refusal.value).text
    assert len(problems) == 1
    problems.clear()


# -- a login that begins at the provider -------------------------------------------------------


@pytest.mark.parametrize(
    ("store", "method"), [("cookie", "get"), ("cookie", "post"), ("session", "get")]
)
async def test_a_login_that_begins_at_the_provider(
    page: Page, sites: Sites, store: str, method: str
) -> None:
    app = sites.build(store, initiate_login_uri="/op/initiate-login")
    target = sites.url("/me?from=portal")
    start = urlsplit(
        sites.provider.initiate_login_url("the-app", login_hint="alice", target_link_uri=target)
    )
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in parse_qsl(start.query)
    )
    action = escape(start._replace(query="").geturl())
    sites.at_provider.pages["/portal"] = (
        f'<form method="{method}" action="{action}">{fields}<button>The app</button></form>'
    )
    await page.goto(f"{sites.provider.issuer}/portal")
    await page.get_by_role("button", name="The app").click()
    await expect(page.get_by_label("User name")).to_have_value("alice")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page).to_have_url(target)
    await expect(page.get_by_text("Hello, alice")).to_be_visible()
    assert len(app.sessions) == 1
