"""The ID Token of a refresh against the first one (OIDC Core section 12.2)."""

from __future__ import annotations

from typing import Any

import pytest

from reliant.errors import IDTokenError
from reliant.protocol.id_token import check_refreshed

ABSENT: Any = object()
OLD: dict[str, Any] = {
    "iss": "https://op.example",
    "sub": "alice",
    "aud": "client",
    "azp": "client",
    "auth_time": 1_700_000_000,
    "nonce": "the nonce",
    "iat": 1_700_000_000,
    "exp": 1_700_000_600,
}
NEW = {**OLD, "iat": 1_700_003_600, "exp": 1_700_004_200}


def changed(claims: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**claims, **changes}.items() if value is not ABSENT}


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ({}, {}),
        ({"nonce": ABSENT}, {}),
        ({"auth_time": ABSENT}, {}),
        ({"auth_time": 1_700_000_000.0}, {}),
        ({"aud": ["client"]}, {}),
        ({"aud": ["other", "client"]}, {"aud": ["client", "other"]}),
        ({"azp": ABSENT}, {"azp": ABSENT}),
        ({"auth_time": 5}, {"auth_time": ABSENT}),
        ({"nonce": ABSENT}, {"nonce": ABSENT}),
        ({"email": "new@example.org"}, {"email": "old@example.org"}),
    ],
    ids=str,
)
def test_what_may_differ(new: dict[str, Any], old: dict[str, Any]) -> None:
    check_refreshed(changed(NEW, new), changed(OLD, old))


@pytest.mark.parametrize("kept", [{}, {"sub": "alice"}, {"sub": "alice", "email": "a@b.example"}])
def test_an_app_that_kept_less_can_compare_less(kept: dict[str, Any]) -> None:
    check_refreshed(NEW, kept)


@pytest.mark.parametrize(
    ("code", "new", "old"),
    [
        ("sub_mismatch", {"sub": "bob"}, {}),
        ("refreshed_iss", {"iss": "https://op.example/"}, {}),
        ("refreshed_aud", {"aud": ["client", "other"]}, {}),
        ("refreshed_aud", {"aud": ["client"]}, {"aud": ["client", "other"]}),
        ("refreshed_auth_time", {"auth_time": 1_700_003_600}, {}),
        ("refreshed_azp", {"azp": "other"}, {}),
        ("refreshed_azp", {"azp": ABSENT}, {}),
        ("refreshed_azp", {}, {"azp": ABSENT}),
        ("refreshed_nonce", {"nonce": "another"}, {}),
        ("refreshed_nonce", {}, {"nonce": ABSENT}),
    ],
    ids=str,
)
def test_what_must_not_differ(code: str, new: dict[str, Any], old: dict[str, Any]) -> None:
    with pytest.raises(IDTokenError) as caught:
        check_refreshed(changed(NEW, new), changed(OLD, old))
    assert caught.value.code == f"id_token.{code}"
    assert "alice" not in str(caught.value)


def test_a_kept_sub_alone_still_tells_people_apart() -> None:
    with pytest.raises(IDTokenError) as caught:
        check_refreshed({**NEW, "sub": "bob"}, {"sub": "alice"})
    assert caught.value.code == "id_token.sub_mismatch"
