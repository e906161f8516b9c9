"""Whatever strangers send to the routes: never a crash, never a logout, never a foreign address."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from reliant.protocol import jose
from reliant.starlette import LogoutEvent, OAuth
from reliant.testing import Behaviour, FakeProvider

SITE = "https://rp.example"
ISSUER = "https://op.example"
FORM = "application/x-www-form-urlencoded"

told: list[LogoutEvent] = []
provider = FakeProvider(ISSUER, behaviour=Behaviour(session_management=True))
oauth = OAuth(secret_key="the key of a test", on_logout=told.append)
client = oauth.register(
    "op",
    **provider.register_settings(),
    client_keys=jose.generate_key("ES256", "ours").as_dict(private=True),
)
browser = TestClient(
    Starlette(routes=[Mount("/op", routes=client.routes(f"{SITE}/callback"))]),
    SITE,
    follow_redirects=False,
    raise_server_exceptions=True,
)

text = st.text(st.characters(codec="utf-8"), max_size=40)
names = st.sampled_from(
    ["logout_token", "iss", "sid", "target_link_uri", "login_hint", "session_state", "state", "x"]
)
token_like = st.builds(
    ".".join,
    st.lists(
        st.one_of(
            text.map(quote),
            st.sampled_from(["e30", "W10", "eyJhbGciOiJSUzI1NiJ9", "eyJhbGciOiJub25lIn0", ""]),
            st.binary(max_size=12).map(lambda octets: quote(octets)),
        ),
        min_size=2,
        max_size=6,
    ),
)
uris = st.one_of(
    text,
    st.builds(
        "".join,
        st.lists(
            st.sampled_from(
                ["/", "\\", "//", "@", ":", "?", "#", "%2f", "\t", SITE, "https:", "evil.example"]
            ),
            max_size=6,
        ),
    ),
)
values = st.one_of(text, token_like, uris, st.just(ISSUER))
fields = st.lists(st.tuples(names, values), max_size=6)
bodies = st.one_of(st.binary(max_size=200), fields.map(urlencode).map(str.encode))


def judge(response: Any) -> None:
    assert response.status_code < 500, response.text
    assert told == []
    if response.status_code == 400:
        assert response.headers["cache-control"] == "no-store"
        assert response.json()["code"].count(".") == 1


@settings(deadline=None, max_examples=150)
@given(bodies, st.sampled_from([FORM, FORM + ";charset=x", "text/plain", "application/json", ""]))
def test_no_one_logs_others_out_by_the_back_channel(body: bytes, media_type: str) -> None:
    headers = {"content-type": media_type}
    response = browser.post("/op/backchannel-logout", content=body, headers=headers)
    assert response.status_code == 400
    judge(response)


@settings(deadline=None, max_examples=100)
@given(token_like)
def test_no_text_is_a_logout_token(token: str) -> None:
    response = browser.post("/op/backchannel-logout", data={"logout_token": token})
    assert response.status_code == 400
    judge(response)


@settings(deadline=None, max_examples=100)
@given(text.filter(lambda value: value not in ("", ISSUER)), text)
def test_no_other_issuer_logs_out_by_the_front_channel(iss: str, sid: str) -> None:
    query = urlencode({"iss": iss, "sid": sid})
    response = browser.get(f"/op/frontchannel-logout?{query}")
    assert response.status_code == 400
    judge(response)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60).map(quote))
def test_any_session_state_is_a_page_or_a_400(query: str) -> None:
    response = browser.get(f"/op/check-session?session_state={query}")
    assert response.status_code in (200, 400)
    judge(response)
    if response.status_code == 200:
        assert response.text.count("<script") == 1


@settings(deadline=None, max_examples=150)
@given(fields, uris, st.sampled_from(["GET", "POST"]))
def test_an_initiated_login_leads_to_the_provider_alone(
    more: list[tuple[str, str]], target: str, method: str
) -> None:
    pairs = [("iss", ISSUER), ("target_link_uri", target)]
    pairs += [pair for pair in more if pair[0] not in ("iss", "target_link_uri")]
    query = urlencode(pairs)
    if method == "GET":
        response = browser.get(f"/op/initiate-login?{query}")
    else:
        headers = {"content-type": FORM}
        response = browser.post("/op/initiate-login", content=query.encode(), headers=headers)
        if response.status_code == 303:
            assert response.headers["location"].startswith("/op/initiate-login?")
            response = browser.get(response.headers["location"])
    assert response.status_code in (302, 400)
    judge(response)
    if response.status_code == 302:
        assert response.headers["location"].startswith(f"{ISSUER}/authorize?")
    browser.cookies.clear()


@settings(deadline=None, max_examples=100)
@given(bodies)
def test_any_query_of_any_route(body: bytes) -> None:
    query = quote(body, safe="=&+%")
    for path in ("check-session", "initiate-login", "jwks.json"):
        judge(browser.get(f"/op/{path}?{query}"))
    browser.cookies.clear()


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=60))
def test_no_reference_is_guessed(reference: str) -> None:
    response = browser.get(f"/op/request-objects/{quote(reference, safe='')}")
    assert response.status_code in (307, 404)  # 307: an address that a browser shortens


@pytest.fixture(autouse=True)
def _no_one_was_told() -> None:
    told.clear()
