"""The step-up challenge of RFC 9470, and the header it comes in (RFC 9110 section 11.6.1)."""

from __future__ import annotations

from typing import Any

import pytest

from reliant import LoginRequired
from reliant.protocol.step_up import (
    build_challenge,
    challenges,
    check_authentication,
    step_up_challenge,
)

NOW = 1_700_000_000
GOOD = 'Bearer error="insufficient_user_authentication"'


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Bearer", [("bearer", {})]),
        ('Bearer realm="x"', [("bearer", {"realm": "x"})]),
        ("Bearer realm=x, error=y", [("bearer", {"realm": "x", "error": "y"})]),
        ('Bearer a="1" , b = "2"', [("bearer", {"a": "1", "b": "2"})]),
        ('Basic realm="a", Bearer b="c"', [("basic", {"realm": "a"}), ("bearer", {"b": "c"})]),
        ("Negotiate, Bearer error=b", [("negotiate", {}), ("bearer", {"error": "b"})]),
        ("Negotiate YWJj==, Bearer a=b", [("negotiate", {}), ("bearer", {"a": "b"})]),
        (r'Bearer a="q\"u,o\\t", b="2"', [("bearer", {"a": r'q"u,o\t', "b": "2"})]),
        (", ,Bearer a=1,, b=2,", [("bearer", {"a": "1", "b": "2"})]),
        ("Bearer A=1, a=2", [("bearer", {"a": "1"})]),
        ('Bearer a="', [("bearer", {})]),
        ("", []),
        ("=", []),
        ('"x"', []),
        ("\x00", []),
    ],
)  # fmt: skip
def test_challenges(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert challenges(header) == expected


def test_a_huge_header_is_read_in_no_time() -> None:
    for header in ("a," * 100_000, 'Bearer a="' + "\\" * 100_000, "Bearer " + "a=b," * 50_000):
        assert len(challenges(header)) < 10_000


@pytest.mark.parametrize(
    ("header", "acr_values", "max_age"),
    [
        (GOOD, None, 0),  # it does not say what it wants: a login of now, at least
        (f'{GOOD}, acr_values="a b"', "a b", None),
        (f"{GOOD}, max_age=5", None, 5),
        (f'{GOOD}, max_age="0", acr_values=x', "x", 0),
        ('DPoP algs="ES256", error="insufficient_user_authentication", max_age=1', None, 1),
        (f'Basic realm="x", {GOOD}, max_age=2', None, 2),
        # What can't be understood is left out.
        (f"{GOOD}, max_age=-1", None, 0),
        (f"{GOOD}, max_age=soon", None, 0),
        (f"{GOOD}, max_age={10**9}, acr_values=x", "x", None),
        (f'{GOOD}, acr_values=""', None, 0),
        (f'{GOOD}, acr_values="{"x" * 5000}"', "x" * 1024, None),
    ],
)
def test_what_an_api_wants(header: str, acr_values: str | None, max_age: int | None) -> None:
    error = step_up_challenge(401, header)
    assert error is not None
    assert error.code == "session.insufficient_authentication"
    assert error.error == "insufficient_user_authentication"
    assert (error.acr_values, error.max_age) == (acr_values, max_age)


@pytest.mark.parametrize(
    ("status", "header"),
    [
        (401, None),
        (401, "Bearer"),
        (401, 'Bearer error="invalid_token"'),
        (401, 'Basic error="insufficient_user_authentication"'),
        (401, 'Bearer error_description="insufficient_user_authentication"'),
        (403, GOOD),
        (200, GOOD),
    ],
)
def test_what_is_no_challenge(status: int, header: str | None) -> None:
    assert step_up_challenge(status, header) is None


@pytest.mark.parametrize(
    ("claims", "acr_values", "max_age"),
    [
        ({}, None, None),
        ({"acr": "gold"}, "gold", None),
        ({"acr": "gold"}, "silver gold", None),
        ({"auth_time": NOW}, None, 0),
        ({"auth_time": NOW - 60}, None, 0),
        ({"auth_time": NOW - 360}, None, 300),
        ({"auth_time": float(NOW)}, None, 0),
        ({"acr": "gold", "auth_time": NOW}, "gold", 5),
    ],
)
def test_strong_and_fresh_enough(
    claims: dict[str, Any], acr_values: str | None, max_age: int | None
) -> None:
    check_authentication(claims, acr_values, max_age, NOW)


@pytest.mark.parametrize(
    ("claims", "acr_values", "max_age"),
    [
        ({}, "gold", None),
        ({"acr": None}, "gold", None),
        ({"acr": "golden"}, "gold", None),
        ({"acr": ""}, "gold", None),
        ({"acr": ["gold"]}, "gold", None),
        ({"acr": "silver gold"}, "silver gold", None),
        ({}, None, 300),
        ({"auth_time": NOW - 361}, None, 300),
        ({"auth_time": "soon"}, None, 300),
        ({"auth_time": True}, None, 300),
        ({"acr": "gold", "auth_time": NOW - 3600}, "gold", 5),
        ({"acr": "silver", "auth_time": NOW}, "gold", 5),
    ],
)
def test_not_strong_or_not_fresh_enough(
    claims: dict[str, Any], acr_values: str | None, max_age: int | None
) -> None:
    with pytest.raises(LoginRequired) as caught:
        check_authentication(claims, acr_values, max_age, NOW)
    assert (caught.value.acr_values, caught.value.max_age) == (acr_values, max_age)


def test_a_challenge_can_be_read_again() -> None:
    error = LoginRequired("insufficient_user_authentication", "", acr_values='a"\\b')
    header = build_challenge("Cookie", error, {"acr_values": error.acr_values, "max_age": None})
    assert challenges(header) == [
        ("cookie", {"error": "insufficient_user_authentication", "acr_values": 'a"\\b'})
    ]


@pytest.mark.parametrize("evil", ["a\r\nSet-Cookie: x=y", "ü", "\x00\x7f"])
def test_a_challenge_holds_nothing_that_a_header_can_not(evil: str) -> None:
    header = build_challenge("Bearer", LoginRequired(), {"a": evil})
    assert header.isascii()
    assert header.isprintable()
