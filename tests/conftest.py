"""What all tests share: the async backend, and the programs beside Python that a test may need.

A test that needs more than Python says so: `@pytest.mark.needs("chromium")`. Where the program is
missing, the test is left out and the end of the run says what was left out and why. With
`RELIANT_REQUIRE=all`, as in CI, a missing program is a failure instead.
"""

import os
from collections import Counter

import pytest

from tests.helpers.programs import why_missing


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, the loop that uvicorn serves with."""
    return "asyncio"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*names): programs the test needs beside Python")
    if os.environ.get("RELIANT_REQUIRE", "") not in {"", "all"}:
        raise pytest.UsageError("RELIANT_REQUIRE may be 'all' or absent")


@pytest.hookimpl(tryfirst=True)  # before any fixture tries to start the missing program
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if (reason := why_missing(name)) is None:
                continue
            if os.environ.get("RELIANT_REQUIRE"):
                pytest.fail(f"required, but missing: {reason}", pytrace=False)
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Each reason once: also those of tests that skip themselves without the marker."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        terminalreporter.section("LEFT OUT", yellow=True)
    for reason, count in sorted(reasons.items()):
        terminalreporter.line(f"{count} test{'s' if count > 1 else ''} left out. {reason}")
