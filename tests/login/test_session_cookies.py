"""A session's value in one cookie or several, each small enough for browsers."""

from __future__ import annotations

import pytest

from reliant.login.session_cookies import cleared, cookie_name, faded, read_value, strays, written
from reliant.storage.cookie_sessions import MAX_BODY

NAME = "__Host-login.op"


def browser(set_cookies: list[str], before: dict[str, str] | None = None) -> dict[str, str]:
    """The cookies of a browser after an answer."""
    cookies = dict(before or {})
    for line in set_cookies:
        pair, _, attributes = line.partition(";")
        name, _, value = pair.partition("=")
        if "Max-Age=0" in attributes:
            cookies.pop(name, None)
        else:
            cookies[name] = value
    return cookies


@pytest.mark.parametrize("size", [0, 1, 3798, 3799, 3800, 7598, 7599, 8 * 3799])
def test_a_value_comes_back(size: int) -> None:
    value = f"head~stamp~{'x' * size}" if size else "head"
    lines = written(NAME, value, 60, [])
    assert max(map(len, lines)) <= 4096
    assert read_value(browser(lines), NAME) == value


def test_the_largest_session_that_is_kept_comes_back() -> None:
    value = f"head~stamp~{'x' * MAX_BODY}"
    lines = written(NAME, value, 60, [])
    assert len(lines) == 2 + 8
    assert read_value(browser(lines), NAME) == value


def test_what_several_logins_at_once_left_goes() -> None:
    """None of them knew of the others when it was answered."""
    cookies: dict[str, str] = {}
    for head in ("one", "two", "three"):
        cookies = browser(written(NAME, f"{head}~s~{'x' * 9000}", 60, []), cookies)
    assert len(cookies) == 1 + 3 * 4
    value = read_value(cookies, NAME) or ""
    after = browser(strays(NAME, value, cookies), cookies)
    assert len(after) == 1 + 4
    assert read_value(after, NAME) == value
    assert strays(NAME, value, after) == []


def test_a_smaller_value_leaves_nothing_over() -> None:
    cookies = browser(written(NAME, f"h~s~{'x' * 12_000}", 60, []))
    assert len(cookies) == 6
    lines = written(NAME, f"h~~{'y' * 5000}", 60, cookies, begins=False)
    after = browser(lines, cookies)
    assert len(after) == 4
    assert read_value(after, NAME) == f"h~s~{'y' * 5000}"


def test_what_is_left_over_where_the_browser_did_not_send_it_is_not_read() -> None:
    """As in a POST from another site, whose answer can't clear what did not come along."""
    cookies = browser(written(NAME, f"h~s~{'x' * 12_000}", 60, []))
    after = browser(written(NAME, f"h~s~{'y' * 5000}", 60, []), cookies)
    assert len(after) == 6
    assert read_value(after, NAME) == f"h~s~{'y' * 5000}"


def test_stamp_and_body_are_written_apart() -> None:
    cookies = browser(written(NAME, "h~old~body", 60, []))
    cookies = browser(written(NAME, "h~new~", 60, cookies, begins=False), cookies)
    assert read_value(cookies, NAME) == "h~new~body"
    cookies = browser(written(NAME, "h~~other", 60, cookies, begins=False), cookies)
    assert read_value(cookies, NAME) == "h~new~other"


def test_a_late_answer_does_not_put_back_the_login_before() -> None:
    """Nor does it spoil the newer one, or take it away; what it left goes with the next answer."""
    cookies = browser(written(NAME, "alice~1~body", 60, []))
    late = written(NAME, f"alice~2~{'x' * 9000}", 60, cookies, begins=False)
    gone = faded(NAME, "alice~1~body", cookies)
    newer = browser(written(NAME, "bob~1~body", 60, cookies), cookies)
    for answer in (late, gone):
        after = browser(answer, newer)
        assert read_value(after, NAME) == "bob~1~body"
        after = browser(written(NAME, "bob~2~", 60, after, begins=False), after)
        assert after.keys() == newer.keys()


def test_a_late_answer_does_not_undo_a_logout() -> None:
    cookies = browser(written(NAME, "alice~1~body", 60, []))
    late = written(NAME, "alice~2~other", 60, cookies, begins=False)
    after = browser(late, browser(cleared(NAME, cookies), cookies))
    assert read_value(after, NAME) is None


def test_a_value_without_body_takes_the_old_one_away() -> None:
    cookies = browser(written(NAME, "h~s~body", 60, []))
    assert browser(written(NAME, "secret", 60, cookies), cookies) == {NAME: "secret"}


def test_clearing_takes_what_is_ours() -> None:
    cookies = {NAME: "h", f"{NAME}!h": "s", f"{NAME}!h.1": "1x", f"{NAME}x": "y", "other": "z"}
    assert browser(cleared(NAME, cookies), cookies).keys() == {f"{NAME}x", "other"}


@pytest.mark.parametrize("cookies", [{}, {NAME: ""}, {f"{NAME}!.1": "1x"}])
def test_no_value(cookies: dict[str, str]) -> None:
    assert read_value(cookies, NAME) is None


@pytest.mark.parametrize("first", ["9" + "x" * 10, "0x", "²x", "-1x"])
def test_odd_numbers_of_cookies(first: str) -> None:
    assert (read_value({NAME: "h", f"{NAME}!h.1": first}, NAME) or "").startswith("h")


def test_names_of_clients_can_be_anything() -> None:
    assert cookie_name("op") == NAME
    assert cookie_name("a b;c=d") == "__Host-login.a%20b%3Bc%3Dd"
