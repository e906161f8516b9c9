"""The errors: what they carry, and what they never show."""

from __future__ import annotations

import copy
import re

import pytest

from reliant import errors
from reliant.errors import ConfigurationError, InvalidGrantError, OAuthError, TokenError, printable

CLASSES = [
    getattr(errors, name) for name in errors.__all__ if isinstance(getattr(errors, name), type)
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_is_an_oauth_error_with_all_members(cls: type[OAuthError]) -> None:
    error = cls()
    assert isinstance(error, OAuthError)
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", error.code)
    assert re.fullmatch(r"[a-z_]+", error.error)
    assert 400 <= error.status_hint < 600
    assert (error.description, error.uri, error.client_name) == ("", None, None)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_can_be_copied(cls: type[OAuthError]) -> None:
    """Those who wait for a shared call get copies."""
    error = cls("an_error", "What happened.", "https://op/e", code="area.rule", status_hint=418)
    error.client_name = "op"
    for twin in (copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is cls
        assert vars(twin) == vars(error)
        assert str(twin) == str(error) == "an_error: What happened."


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_is_drawn_in_the_docstring(cls: type[OAuthError]) -> None:
    assert re.search(rf"\b{cls.__name__}\b", errors.__doc__ or "")


def test_a_configuration_error_is_a_runtime_error_too_and_no_other_is() -> None:
    assert [cls for cls in CLASSES if issubclass(cls, RuntimeError)] == [ConfigurationError]


def test_invalid_grant_is_a_token_error() -> None:
    assert issubclass(InvalidGrantError, TokenError)


def test_an_error_without_a_description_is_its_name() -> None:
    assert str(OAuthError("access_denied")) == "access_denied"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain ü", "plain ü"),
        ("a\r\nb\tc\x00d\x1b[31m", "a  b c d [31m"),
        ("a\u2028b\u202ec\ud800d", "a b c d"),
        ("x" * 10, "x" * 10),
        ("x" * 11, "x" * 9 + "…"),
        ("\n" * 11, " " * 9 + "…"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text, 10 if len(text) in (10, 11) else 300) == shown
