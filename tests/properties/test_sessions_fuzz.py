"""Whatever strangers send to an app with login sessions: never a crash, and never a session."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliant import Token
from reliant.login.session_cookies import read_value, written
from reliant.protocol.step_up import build_challenge, challenges, step_up_challenge
from reliant.protocol.values import is_local_path
from reliant.storage.cookie_sessions import CookieSessions
from reliant.storage.memory import MemoryStore
from reliant.storage.session_record import SessionRecord
from reliant.storage.sessions import Sessions, StoredSessions
from tests.helpers.http import Clock
from tests.helpers.login_app import LoginApp
from tests.properties.strategies import any_json, any_text

SECRETS = ["a secret key of the application, 40 long"]
NAME = "__Host-login.op"
APPS = {kind: LoginApp(kind) for kind in ("cookies", "indexed", "store")}
BROWSERS = {kind: app.browser() for kind, app in APPS.items()}

header_text = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=60)
cookie_octets = header_text.map(lambda text: text.encode("latin-1"))
values = st.one_of(
    any_text,
    st.sampled_from(["", ".", "..", "~", "a~b", "a.b.c", "²", "9x", "1", "eyJ.eyJ"]),
    st.lists(st.sampled_from([".", "~", "A" * 43, "A" * 22, "eyJhbGciOiJkaXIifQ", "", "x"]),
             max_size=8).map("".join),
)  # fmt: skip


@given(any_text | header_text)
def test_any_www_authenticate(header: str) -> None:
    for scheme, params in challenges(header):
        assert scheme == scheme.lower()
        assert all(name == name.lower() for name in params)
    error = step_up_challenge(401, f"Bearer error=insufficient_user_authentication, {header}")
    assert error is not None
    assert error.max_age is None or error.max_age >= 0
    built = build_challenge("Bearer", error, {"acr_values": error.acr_values})
    assert built.isascii()
    assert built.isprintable()


@given(
    st.dictionaries(
        st.sampled_from([NAME, f"{NAME}!x", *(f"{NAME}!x.{n}" for n in range(10))]),
        values | st.just("x"),
    )
)
def test_any_cookies(cookies: dict[str, str]) -> None:
    value = read_value(cookies, NAME)
    assert value is None or value.startswith(cookies[NAME])


@given(st.text("abcABC019-_.", min_size=1, max_size=90), st.text("abcABC019-_.", max_size=9000))
def test_a_value_survives_the_cookies(head: str, body: str) -> None:
    value = f"{head}~stamp~{body}" if body else head
    lines = written(NAME, value, 60, [])
    cookies = dict(line.partition(";")[0].split("=", 1) for line in lines)
    assert read_value(cookies, NAME) == value


@given(values)
def test_no_value_that_was_not_made_here(value: str) -> None:
    clock = Clock()
    places: list[Sessions] = [
        CookieSessions(SECRETS, "op", 60, clock),
        StoredSessions(MemoryStore(clock), SECRETS, "op", 60, clock),
    ]
    for sessions in places:

        async def look(sessions: Sessions = sessions) -> Any:
            return await sessions.find(value, lambda: True)

        assert anyio.run(look) is None
        assert sessions.mark_of(value) is None
        assert not sessions.was_of(value, "https://op.example", "alice")
        assert not sessions.was_of(sessions.trace_of(value), "https://op.example", "alice")


@given(st.dictionaries(any_text, any_json, max_size=4), any_json, any_text)
def test_a_record_survives_being_kept(claims: dict[str, Any], extra: Any, text: str) -> None:
    token = Token({"access_token": "a", "userinfo": claims, "extra": extra})
    record = SessionRecord(
        token=token, created_at=1.5, latest_end=2.5, profile={"x": extra}, landings=((text, text),)
    )
    found = SessionRecord.loads(record.dumps())
    assert found is not None
    assert found.dumps() == record.dumps()
    assert found.landings == record.landings


paths = st.sampled_from(
    ["/", "/me", "/order", "/token", "/auth/login", "/auth/callback", "/auth/logout",
     "/auth/logged-out", "/auth/resume", "/auth/frontchannel-logout", "/auth/initiate-login"]
)  # fmt: skip
headers = st.dictionaries(
    st.sampled_from(
        ["accept", "sec-fetch-mode", "sec-fetch-site", "hx-request", "hx-current-url", "referer",
         "origin", "content-type", "x-requested-with", "content-length"]
    ),
    st.sampled_from(
        [b"text/html", b"navigate", b"same-origin", b"true", b"https://testserver/x?y#z", b"null",
         b"https://testserver", b"application/x-www-form-urlencoded", b"5", b"\xff\xfe", b"-1"]
    ) | cookie_octets,
)  # fmt: skip
fields = st.lists(
    st.tuples(
        st.sampled_from(["state", "code", "iss", "sid", "return_to", "max_age", "prompt", "x"]),
        any_text.map(lambda text: text.encode("utf-8", "replace")) | st.just(b"/me"),
    ),
    max_size=4,
)


@pytest.mark.parametrize("kind", list(APPS))
@given(st.sampled_from(["GET", "POST", "HEAD"]), paths, fields, headers, cookie_octets, st.binary())
def test_any_request(
    kind: str,
    method: str,
    path: str,
    query: list[Any],
    given_headers: dict[str, bytes],
    cookie: bytes,
    body: bytes,
) -> None:
    sent = [(name.encode(), value) for name, value in given_headers.items()]
    sent.append((b"cookie", b"__Host-login.op=" + cookie))
    BROWSERS[kind].cookies.clear()
    response = BROWSERS[kind].request(
        method, f"{path}?{urlencode(query)}", headers=sent, content=body
    )
    assert response.status_code < 500, response.text
    if response.status_code == 200:
        assert '"sub":null' in response.text or method == "HEAD" or "frontchannel" in path
    location = response.headers.get("location", "/")
    assert is_local_path(location) or location.startswith(APPS[kind].provider.issuer)
    assert not any(
        line.startswith(NAME) and "Max-Age=0" not in line
        for line in response.headers.get_list("set-cookie")
    )
