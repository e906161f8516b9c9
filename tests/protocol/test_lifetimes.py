"""When a session ends, and when an access token is due."""

from __future__ import annotations

from typing import Any

import pytest

from reliant.protocol.lifetimes import freshness, obtained_at, remaining, session_end

NOW = 1_700_000_000


@pytest.mark.parametrize(
    ("expiry", "end"),
    [
        (None, 1000), (999, 999), (1001, 1000), (0, 0), (-5, -5), ("900", 900), (900.9, 900),
        # What is no time is a session that is over.
        ("soon", 0), (True, 0), ([], 0), ({}, 0), (float("nan"), 0), (10**20, 0), ("", 0),
    ],
)  # fmt: skip
def test_the_end_of_a_session(expiry: Any, end: float) -> None:
    claims = {} if expiry is None else {"session_expiry": expiry}
    assert session_end(claims, 1000) == end


@pytest.mark.parametrize(
    ("left", "lifetime", "spread", "state"),
    [
        (3600, 3600, 0, "fresh"), (61, 3600, 0, "fresh"), (60, 3600, 0, "due"),
        (75, 3600, 1, "due"), (76, 3600, 1, "fresh"), (68, 3600, 0.5, "fresh"),
        (67, 3600, 0.5, "due"), (1, 3600, 0, "due"), (0, 3600, 0, "expired"),
        (-1, 3600, 0, "expired"), (20, 60, 1, "fresh"), (15, 60, 0, "due"), (1, 2, 0, "fresh"),
        (60, None, 0, "due"), (61, None, 0, "fresh"), (5, 0, 0, "fresh"),
    ],
)  # fmt: skip
def test_freshness(left: int, lifetime: int | None, spread: float, state: str) -> None:
    token = {"expires_at": NOW + left, "expires_in": lifetime}
    assert freshness(token, NOW, spread) == state


@pytest.mark.parametrize("expires_at", [None, "soon", True])
def test_a_token_whose_end_is_not_known_is_fresh(expires_at: Any) -> None:
    assert freshness({"expires_at": expires_at}, NOW, 0) == "fresh"
    assert remaining({"expires_at": expires_at}, NOW) == float("inf")


def test_what_is_left_and_when_it_came() -> None:
    token = {"expires_at": NOW + 30, "expires_in": 100}
    assert remaining(token, NOW) == 30
    assert obtained_at(token) == NOW - 70
    assert obtained_at({"expires_at": NOW}) is None
    assert obtained_at({"expires_in": 5}) is None
