"""Prints what passed, profile by profile, where the run was asked for it: ``--profiles``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--profiles", action="store_true", help="print a table: profile, passed, all")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    report = yield
    callspec = getattr(item, "callspec", None)
    case = callspec and callspec.params.get("case")
    if case is not None:
        report.plans = case.plans
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not terminalreporter.config.getoption("profiles", default=False):
        return
    passed, run, left_out = Counter[str](), Counter[str](), Counter[str]()
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.getreports(outcome):
            for plan in getattr(report, "plans", ()):
                if outcome == "skipped":
                    left_out[plan] += 1
                elif report.when == "call" or outcome == "failed":
                    run[plan] += 1
                    passed[plan] += outcome == "passed"
    terminalreporter.section("PROFILES")
    terminalreporter.line(f"{'profile':40} passed / all   left out")
    for plan in sorted({*run, *left_out}):
        line = f"{plan:40} {passed[plan]:6} / {run[plan]:<5} {left_out[plan] or '':>8}"
        terminalreporter.line(line, red=passed[plan] < run[plan])
