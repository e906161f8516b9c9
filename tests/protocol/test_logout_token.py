"""The rules of logout tokens, each with a token that breaks it and nothing else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from reliant.errors import LogoutTokenError
from reliant.protocol.jose import Jws
from reliant.protocol.logout_token import LogoutToken, check_logout_claims, read_logout_token

ISSUER, CLIENT_ID, NOW = "https://op.example", "client", 1_700_000_000
EVENT = "http://schemas.openid.net/event/backchannel-logout"
ABSENT: Any = object()
GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "alice",
    "aud": CLIENT_ID,
    "iat": NOW,
    "exp": NOW + 120,
    "jti": "one",
    "sid": "session",
    "events": {EVENT: {}},
}


def token(typ: Any = ABSENT, alg: str = "RS256", **changes: Any) -> Jws:
    header = {
        name: value for name, value in {"alg": alg, "typ": typ}.items() if value is not ABSENT
    }
    claims = {name: value for name, value in {**GOOD, **changes}.items() if value is not ABSENT}
    return read_logout_token(f"{segment(header)}.{segment(claims)}.c2ln")


def segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def judge(logout_token: Jws) -> LogoutToken:
    return check_logout_claims(logout_token, ISSUER, CLIENT_ID, ("RS256",), NOW)


def test_a_good_token_says_who() -> None:
    assert judge(token()) == LogoutToken(ISSUER, "one", "alice", "session", NOW + 180)


ACCEPTED: dict[str, tuple[dict[str, Any], LogoutToken]] = {
    "sub alone": ({"sid": ABSENT}, LogoutToken(ISSUER, "one", "alice", None, NOW + 180)),
    "sid alone": ({"sub": ABSENT}, LogoutToken(ISSUER, "one", None, "session", NOW + 180)),
    "no exp": ({"exp": ABSENT}, LogoutToken(ISSUER, "one", "alice", "session", NOW + 660)),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_may_be_left_out(case: str) -> None:
    changes, expected = ACCEPTED[case]
    assert judge(token(**changes)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": "logout+jwt"},
        {"typ": "LOGOUT+JWT"},
        {"typ": "application/logout+jwt"},
        {"typ": "JWT"},
        {"aud": ["other", CLIENT_ID]},
        {"exp": NOW - 59},
        {"iat": NOW + 60},
        {"exp": NOW + 120.5},
        {"events": {EVENT: {"more": 1}, "urn:other": {}}},
        {"jti": "j" * 255},
        {"something": "else"},
    ],
    ids=str,
)
def test_what_else_is_fine(changes: dict[str, Any]) -> None:
    assert judge(token(**changes)).sub == "alice"


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("typ", {"typ": "at+jwt"}),
    ("typ", {"typ": "secevent+jwt"}),
    ("typ", {"typ": 5}),
    ("alg", {"alg": "none"}),
    ("alg", {"alg": "ES256"}),
    ("alg", {"alg": "HS256"}),
    ("iss", {"iss": "https://op.example/"}),
    ("iss", {"iss": ABSENT}),
    ("iss", {"iss": [ISSUER]}),
    ("aud", {"aud": "clientX"}),
    ("aud", {"aud": ABSENT}),
    ("aud", {"aud": []}),
    ("aud", {"aud": {CLIENT_ID: 1}}),
    ("iat", {"iat": ABSENT}),
    ("iat", {"iat": str(NOW)}),
    ("iat", {"iat": True}),
    ("iat", {"iat": NOW + 61}),
    ("exp", {"exp": NOW - 60}),
    ("exp", {"exp": None}),
    ("exp", {"exp": "soon"}),
    ("exp", {"exp": 1e300}),
    ("exp", {"exp": ABSENT, "iat": NOW - 660}),
    ("who", {"sub": ABSENT, "sid": ABSENT}),
    ("who", {"sub": ""}),
    ("who", {"sid": 5}),
    ("who", {"sub": ["alice"]}),
    ("events", {"events": ABSENT}),
    ("events", {"events": {"http://schemas.openid.net/event/foobar": {}}}),
    ("events", {"events": [EVENT]}),
    ("events", {"events": {EVENT: True}}),
    ("events", {"events": {EVENT: None}}),
    ("nonce", {"nonce": "n"}),
    ("nonce", {"nonce": None}),
    ("jti", {"jti": ABSENT}),
    ("jti", {"jti": ""}),
    ("jti", {"jti": 5}),
    ("jti", {"jti": "j" * 256}),
]


@pytest.mark.parametrize(("rule", "changes"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_is_refused(rule: str, changes: dict[str, Any]) -> None:
    with pytest.raises(LogoutTokenError) as caught:
        judge(token(**changes))
    assert caught.value.code == f"logout_token.{rule}"
    assert caught.value.status_hint == 400


@pytest.mark.parametrize(
    "text",
    ["", "a.b.c", "a.b", "e30.e30.", f"{segment({'alg': 'RS256'})}.{segment([])}.", "x" * 20_000],
    ids=lambda text: text[:20],
)
def test_what_can_not_be_read(text: str) -> None:
    with pytest.raises(LogoutTokenError) as caught:
        read_logout_token(text)
    assert caught.value.code == "logout_token.malformed"
    assert not text or text not in str(caught.value)
