"""The mistakes of someone who uses the library for the first time, and what they are told."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from starlette.requests import Request

from reliant import ConfigurationError, MissingTokenError, OAuthError, StateError, Token, UserInfo
from reliant.starlette import OAuth
from reliant.testing import FakeProvider
from tests.helpers.relying_party import build_app, deliver, new_browser, sign_in, start


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"scope": "openid"}, "`scope`; it is a member of client_kwargs."),
        ({"timeout": 5}, "`timeout`; it is a member of client_kwargs."),
        ({"redirect_uri": "x"}, "`redirect_uri`; it is passed to authorize_redirect."),
        (
            {"client_kwargs": {"client_secret": "x"}},
            "`client_secret`; it is a setting of its own, outside of them.",
        ),
    ],
)
def test_a_setting_in_the_wrong_place(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OAuth().register("op", **settings)
    assert caught.value.code == "configuration.unknown_setting"
    assert told in caught.value.description


def test_a_key_where_the_configuration_belongs() -> None:
    with pytest.raises(ConfigurationError, match="secret_key=") as caught:
        OAuth("a long random text")
    assert caught.value.code == "configuration.type"


async def test_another_first_argument_than_the_request() -> None:
    oauth = OAuth(secret_key="x")
    client: Any = oauth.register("op", **FakeProvider().register_settings())
    for call in (
        client.authorize_redirect("https://app.example/callback"),
        client.save_authorize_data("https://app.example/callback"),
        client.authorize_access_token("https://app.example/callback"),
        client.logout_redirect("https://app.example/logged-out"),
        client.validate_logout_response("https://app.example/logged-out"),
    ):
        with pytest.raises(TypeError, match="The first argument is the request; this is a str"):
            await call
    with pytest.raises(TypeError, match="no request"):
        await client.parse_id_token(Request({"type": "http"}), Token({}))


def test_another_secret_key_at_the_callback(provider: FakeProvider) -> None:
    ours, theirs = OAuth(secret_key="one"), OAuth(secret_key="another")
    for oauth in (ours, theirs):
        oauth.register("op", **provider.register_settings())
    browser, other = new_browser(build_app(ours)), new_browser(build_app(theirs))
    callback = sign_in(provider, start(browser))
    other.cookies = browser.cookies
    answer = deliver(other, callback).json()
    assert answer["code"] == "state.unknown"
    assert "another secret_key" in answer["error_description"]


@pytest.mark.parametrize(
    ("claims", "member", "note"),
    [
        (Token({"access_token": "x"}), "userinfo", "openid"),
        (UserInfo({"sub": "alice"}), "email", "userinfo(token)"),
    ],
)
def test_a_member_that_is_not_there(claims: dict[str, Any], member: str, note: str) -> None:
    with pytest.raises(KeyError) as caught:
        claims[member]
    assert caught.value.args == (member,)
    assert note in "".join(traceback.format_exception(caught.value))
    assert claims.get(member) is None
    assert member not in claims
    with pytest.raises(KeyError):
        Token({})["another"]


async def test_what_the_page_hides_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    request = Request({"type": "http", "headers": []})
    hidden = ConfigurationError(description="Set it.\nLOG FORGED", code="configuration.client_id")
    for error in (hidden, MissingTokenError(description="Pass one.")):
        await OAuth().exception_handler(request, error)
    assert [record.getMessage() for record in caplog.records] == [
        "request failed: code=configuration.client_id error=configuration_error: "
        "Set it. LOG FORGED",
        "request failed: code=request.token_missing error=missing_token: Pass one.",
    ]


async def test_a_failed_login_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    oauth = OAuth(secret_key="x")
    client = oauth.register("op", **FakeProvider().register_settings())
    request = Request({"type": "http", "headers": [], "query_string": b"state=x"})
    with pytest.raises(OAuthError) as caught:
        await client.authorize_access_token(request)
    assert isinstance(caught.value, StateError)
    await oauth.exception_handler(request, caught.value)
    assert [record.name for record in caplog.records] == ["reliant"]
