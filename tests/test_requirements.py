"""The rule about missing programs: left out loudly here, a failure where everything is required."""

import sys
from pathlib import Path

import pytest

from tests.helpers import programs

NEEDY = """
    import pytest

    @pytest.mark.needs("unicorn")
    def test_rides():
        raise AssertionError("ran without its unicorn")

    @pytest.mark.needs("python", "unicorn")
    def test_gallops():
        raise AssertionError("ran without its unicorn")

    @pytest.mark.needs("python")
    def test_walks():
        pass
"""


def no_unicorn() -> Path:
    raise programs.MissingProgramError("none in sight")


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A test run inside this one, with this project's conftest and two programs of its own."""
    invented = {
        "python": programs.Program(lambda: Path(sys.executable), get="you have it"),
        "unicorn": programs.Program(no_unicorn, get="catch unicorn"),
    }
    monkeypatch.setattr(programs, "PROGRAMS", invented)
    monkeypatch.delenv("RELIANT_REQUIRE", raising=False)
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
    return pytester


def test_a_missing_program_leaves_its_tests_out_and_says_so_once(inner: pytest.Pytester) -> None:
    inner.makepyfile(NEEDY)
    result = inner.runpytest()
    result.assert_outcomes(passed=1, skipped=2)
    lines = [line for line in result.outlines if "unicorn" in line]
    assert lines == ["2 tests left out. unicorn: none in sight. To get it: catch unicorn"]
    result.stdout.fnmatch_lines(["*= LEFT OUT =*"])


def test_a_missing_program_fails_its_tests_where_all_is_required(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELIANT_REQUIRE", "all")
    inner.makepyfile(NEEDY)
    result = inner.runpytest()
    result.assert_outcomes(passed=1, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["required, but missing: unicorn: none in sight*"])


def test_nothing_is_said_when_nothing_was_left_out(inner: pytest.Pytester) -> None:
    inner.makepyfile("def test_walks(): pass")
    result = inner.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*LEFT OUT*")


def test_a_test_that_skips_itself_is_named_too(inner: pytest.Pytester) -> None:
    inner.makepyfile("import pytest\ndef test_rests(): pytest.skip('tired')")
    result = inner.runpytest()
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["1 test left out. tired"])


def test_a_misspelt_need_is_an_error_not_a_skip(inner: pytest.Pytester) -> None:
    inner.makepyfile("import pytest\n@pytest.mark.needs('unicron')\ndef test_rides(): pass")
    result = inner.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no such program; known are python, unicorn"])


def test_an_unknown_value_of_the_switch_is_refused(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELIANT_REQUIRE", "most")
    result = inner.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*RELIANT_REQUIRE may be 'all' or absent"])


def test_every_program_is_found_or_its_absence_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for name, program in programs.PROGRAMS.items():
        reason = programs.why_missing(name)
        assert reason is None or reason.endswith(f"To get it: {program.get}")
    assert programs.why_missing("chromium") is not None


@pytest.mark.parametrize(
    ("prints", "version"), [("v24.19.0", 24), ("v18.20.1", 18), ("no version", 0), ("", 0)]
)
def test_the_version_of_node_is_read(tmp_path: Path, prints: str, version: int) -> None:
    fake = tmp_path / "node"
    fake.write_text(f"#!/bin/sh\necho {prints}\n")
    fake.chmod(0o755)
    assert programs.node_version(fake) == version


def test_a_node_that_does_not_start_has_no_version(tmp_path: Path) -> None:
    assert programs.node_version(tmp_path / "absent") == 0


async def test_async_tests_need_no_marker() -> None:
    """It would be skipped, or fail, if the anyio plugin did not take it."""
