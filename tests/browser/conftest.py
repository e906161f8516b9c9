"""One Chromium for a module's tests, a new context for each, and a demo to walk through.

A test that fails leaves a picture of each of its pages in its tmp_path. No test may meet an error
of the server's (5xx) or break a page's Content-Security-Policy.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.helpers import programs
from tests.helpers.oidc_provider import read_line, stop

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
]
TIMEOUT = 10_000  # milliseconds for each step
ELSEWHERE = re.compile(r"^\w+://(?!127\.0\.0\.1[:/]|localhost[:/])")
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


# (As long as an async fixture lives, so does its event loop, and no other test may run one.)
@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=programs.chromium(), args=ARGUMENTS
        )
        yield chromium
        await chromium.close()


@pytest.fixture
def context_options() -> dict[str, Any]:
    """What is special about the test's browser; a test overrides it by a parameter."""
    return {}


@pytest.fixture
def problems() -> list[str]:
    """What went wrong in the browser; a test that means to do so clears it."""
    return []


@pytest.fixture
async def context(
    browser: Browser,
    context_options: dict[str, Any],
    problems: list[str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(**context_options)
    context.set_default_timeout(TIMEOUT)
    await context.route(ELSEWHERE, lambda route: route.abort())
    context.on("response", lambda it: problems.append(it.url) if it.status >= 500 else None)
    context.on(
        "console",
        lambda it: problems.append(it.text) if "Content Security Policy" in it.text else None,
    )
    yield context
    if request.node.stash.get(FAILED, False):
        for number, page in enumerate(context.pages):
            await page.screenshot(path=tmp_path / f"page-{number}.png", full_page=True)
    await context.close()
    assert problems == []


@pytest.fixture
async def page(context: BrowserContext) -> Page:
    return await context.new_page()


@dataclass(frozen=True)
class Demo:
    """Where the demo listens: the application on 127.0.0.1, the provider on localhost."""

    app: str
    provider: str


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    command = [sys.executable, "-m", "reliant.cli", "demo", "--port", "0"]
    with (
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        try:
            text = ""
            while "Ctrl-C" not in text:
                text += read_line(process).decode()
            yield Demo(*re.findall(r"http://\S+", text))
        finally:
            stop(process)
            stderr.seek(0)
            said = stderr.read()
    assert "Traceback" not in said, said
