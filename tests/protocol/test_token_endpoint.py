"""The token endpoint: what is sent, and a code of its own for everything that may come back."""

from __future__ import annotations

import copy
import json
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import pytest

from reliant.errors import InvalidGrantError, TokenError
from reliant.protocol.messages import HttpResponse
from reliant.protocol.token_endpoint import (
    Token,
    build_code_request,
    build_refresh_request,
    merge_refreshed,
    parse_token_response,
)
from tests.helpers.http import json_response, text_response
from tests.helpers.tokens import ABSENT

NOW = 1_700_000_000
GOOD: dict[str, Any] = {
    "access_token": "the-access-token",
    "token_type": "Bearer",
    "expires_in": 3600,
    "refresh_token": "the-refresh-token",
    "scope": "openid email",
    "id_token": "head.body.signature",
}


def good(**changes: Any) -> HttpResponse:
    members = {**GOOD, **changes}
    return json_response({name: v for name, v in members.items() if v is not ABSENT})


def judge(answer: HttpResponse, *hide: str) -> Token:
    return parse_token_response(answer, NOW, hide)


def refused(answer: HttpResponse, *hide: str) -> TokenError:
    with pytest.raises(TokenError) as caught:
        judge(answer, *hide)
    return caught.value


# -- a good answer -------------------------------------------------------------------------------


def test_a_good_answer_is_a_dict_with_typed_attributes() -> None:
    token = judge(good())
    assert token == {**GOOD, "expires_at": NOW + 3600}
    assert token.access_token == "the-access-token"
    assert token.expires_at == NOW + 3600
    assert (token.userinfo, token.return_to, token.data) == (None, None, None)
    assert json.loads(json.dumps(token)) == token


def test_an_absent_member_is_none_and_a_misspelt_one_an_error() -> None:
    token = judge(good(scope=ABSENT, refresh_token=ABSENT, id_token=ABSENT, expires_in=ABSENT))
    assert (token.scope, token.refresh_token, token.id_token, token.expires_at) == (None,) * 4
    with pytest.raises(AttributeError, match="'Token' object has no attribute 'acces_token'"):
        _ = token.acces_token


def test_a_token_shows_the_names_of_its_members_only() -> None:
    token = judge(good())
    assert repr(token) == str(token) == f"{token}"
    assert "the-access-token" not in repr(token)
    assert "the-refresh-token" not in repr([token])


def test_a_token_can_be_copied() -> None:
    token = judge(good(vendor=1))
    for twin in (copy.copy(token), copy.deepcopy(token)):
        assert twin == token
        assert twin.raw == token.raw
        assert twin.access_token == token.access_token


def test_what_the_provider_calls_userinfo_is_not_believed() -> None:
    """Verified claims are never mixed with a member of that name; nor is return_to."""
    token = judge(good(userinfo={"sub": "mallory"}, return_to="https://evil.example"))
    assert "userinfo" not in token
    assert "return_to" not in token
    assert token.userinfo is None
    assert token.raw["userinfo"] == {"sub": "mallory"}


def test_extra_members_stay_readable() -> None:
    assert judge(good(tenant="t"))["tenant"] == "t"


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "text/plain", ""])
def test_the_media_type_does_not_matter_where_the_body_is_json(media_type: str) -> None:
    answer = good()
    assert judge(text_response(answer.body, 200, media_type)).access_token == "the-access-token"


# -- members -------------------------------------------------------------------------------------

ACCEPTED: list[tuple[str, Any, Any]] = [
    ("token_type", "bearer", "bearer"),
    ("token_type", "BEARER", "BEARER"),
    ("access_token", "a b~!", "a b~!"),
    ("refresh_token", None, ABSENT),
    ("refresh_token", "", ABSENT),
    ("scope", None, ABSENT),
    ("scope", "", ABSENT),
    ("scope", ["openid", "email"], "openid email"),
    ("id_token", None, ABSENT),
    ("id_token", "", ABSENT),
]


@pytest.mark.parametrize(
    ("name", "value", "kept"), ACCEPTED, ids=[f"{n}={v!r}" for n, v, _ in ACCEPTED]
)
def test_a_member_as_providers_send_it_is_taken(name: str, value: Any, kept: Any) -> None:
    assert judge(good(**{name: value})).get(name, ABSENT) == kept


LIFETIMES: list[tuple[Any, int | None]] = [
    (3600, 3600),
    (0, 0),
    ("3600", 3600),
    (3600.0, 3600),
    (3599.9, 3599),
    (None, None),
    ("", None),
    (ABSENT, None),
]


@pytest.mark.parametrize(("value", "seconds"), LIFETIMES, ids=lambda v: repr(v)[:12])
def test_a_lifetime_is_turned_into_a_moment(value: Any, seconds: int | None) -> None:
    expires_at = judge(good(expires_in=value)).expires_at
    assert expires_at == (None if seconds is None else NOW + seconds)


def test_a_moment_is_taken_where_no_lifetime_is_given() -> None:
    assert judge(good(expires_in=ABSENT, expires_at=NOW + 5)).expires_at == NOW + 5
    assert judge(good(expires_in=60, expires_at=NOW + 5)).expires_at == NOW + 60
    assert refused(good(expires_in=ABSENT, expires_at="soon")).code == "token.expires_in"


REFUSED: list[tuple[str, Any, str]] = [
    ("access_token", ABSENT, "access_token"),
    ("access_token", None, "access_token"),
    ("access_token", "", "access_token"),
    ("access_token", 5, "access_token"),
    ("access_token", ["t"], "access_token"),
    ("access_token", {"t": 1}, "access_token"),
    ("access_token", True, "access_token"),
    ("access_token", "a\r\nx: y", "access_token"),
    ("access_token", "a\x00", "access_token"),
    ("access_token", "a\x7f", "access_token"),
    ("access_token", "ä", "access_token"),
    ("access_token", "\ud800", "access_token"),
    ("token_type", ABSENT, "token_type_missing"),
    ("token_type", None, "token_type_missing"),
    ("token_type", "", "token_type"),
    ("token_type", "DPoP", "token_type"),
    ("token_type", "mac", "token_type"),
    ("token_type", "Bearer ", "token_type"),
    ("token_type", ["Bearer"], "token_type"),
    ("token_type", 5, "token_type"),
    ("expires_in", "soon", "expires_in"),
    ("expires_in", "-1", "expires_in"),
    ("expires_in", "3600s", "expires_in"),
    ("expires_in", "1e3", "expires_in"),
    ("expires_in", "٣", "expires_in"),
    ("expires_in", "9" * 400, "expires_in"),
    ("expires_in", -1, "expires_in"),
    ("expires_in", True, "expires_in"),
    ("expires_in", False, "expires_in"),
    ("expires_in", 10**15, "expires_in"),
    ("expires_in", 10**400, "expires_in"),
    ("expires_in", float("nan"), "expires_in"),
    ("expires_in", float("inf"), "expires_in"),
    ("expires_in", [3600], "expires_in"),
    ("expires_in", {}, "expires_in"),
    ("refresh_token", 5, "refresh_token"),
    ("refresh_token", ["r"], "refresh_token"),
    ("refresh_token", False, "refresh_token"),
    ("refresh_token", "r\n", "refresh_token"),
    ("scope", 5, "scope"),
    ("scope", ["openid", 5], "scope"),
    ("scope", [], "scope"),
    ("scope", {"openid": True}, "scope"),
    ("scope", "öpenid", "scope"),
    ("id_token", 5, "id_token"),
    ("id_token", {"sub": "alice"}, "id_token"),
    ("id_token", False, "id_token"),
    ("id_token", "a.b.c\n", "id_token"),
]


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    REFUSED,
    ids=[f"{n}={'absent' if v is ABSENT else ascii(v)[:20]}" for n, v, _ in REFUSED],
)
def test_a_member_of_no_use_is_refused(name: str, value: Any, rule: str) -> None:
    assert refused(good(**{name: value})).code == f"token.{rule}"


# -- answers that are no token -------------------------------------------------------------------

NOT_A_TOKEN = {
    "HTML": (text_response("<html>", 200, "text/html"), "token.html"),
    "HTML, 400": (text_response("<html>", 400, "text/html"), "token.html"),
    "204": (text_response("", 204), "token.empty"),
    "200 and nothing": (text_response(""), "token.empty"),
    "a list": (json_response([GOOD]), "token.not_object"),
    "a string": (json_response("token"), "token.not_object"),
    "null": (json_response(None), "token.null"),
    "form-encoded": (
        text_response("access_token=a&token_type=bearer", 200, "application/x-www-form-urlencoded"),
        "token.form_encoded",
    ),
    "form-encoded as text": (text_response("access_token=a", 200), "token.form_encoded"),
    "text": (text_response("no"), "token.not_json"),
    "half of JSON": (text_response('{"access_token": "a'), "token.not_json"),
    "a=b said to be JSON": (text_response("a=b", 200, "application/json"), "token.not_json"),
    "100,000 brackets": (text_response("[" * 100_000), "token.not_json"),
    "a number of 5,000 digits": (text_response("9" * 5000), "token.not_json"),
    "{}": (json_response({}), "token.access_token"),
    "200 and an error": (json_response({"error": "server_error"}), "token.error"),
    "200, a token and an error": (good(error="server_error"), "token.error"),
    "400 and an error": (json_response({"error": "invalid_request"}, 400), "token.error"),
    "401 and an error": (json_response({"error": "invalid_client"}, 401), "token.error"),
    "400 and a message": (json_response({"message": "no"}, 400), "token.status"),
    "400 and a token": (HttpResponse(400, {}, good().body), "token.status"),
    "201 and a token": (HttpResponse(201, {}, good().body), "token.status"),
    "302": (text_response("", 302), "token.redirected"),
    "307 and a token": (HttpResponse(307, {}, good().body), "token.redirected"),
    "500": (text_response("<h1>Oops</h1>", 500, "text/html"), "token.server_error"),
    "503 and an error": (json_response({"error": "x"}, 503), "token.server_error"),
}


@pytest.mark.parametrize(("answer", "code"), NOT_A_TOKEN.values(), ids=NOT_A_TOKEN.keys())
def test_an_answer_that_is_no_token_is_refused(answer: HttpResponse, code: str) -> None:
    assert refused(answer).code == code


# -- the provider's errors -----------------------------------------------------------------------


def test_the_providers_error_is_passed_on() -> None:
    answer = {
        "error": "invalid_request",
        "error_description": "The code is malformed.",
        "error_uri": "https://op.example/errors/5",
    }
    error = refused(json_response(answer, 400))
    assert error.error == "invalid_request"
    assert error.description == "The code is malformed."
    assert error.uri == "https://op.example/errors/5"
    assert not isinstance(error, InvalidGrantError)


@pytest.mark.parametrize("status", [400, 401, 200])
def test_invalid_grant_has_a_class_of_its_own(status: int) -> None:
    error = refused(json_response({"error": "invalid_grant"}, status))
    assert isinstance(error, InvalidGrantError)
    assert (error.code, error.status_hint) == ("token.invalid_grant", 400)


def test_invalid_client_says_what_to_check() -> None:
    error = refused(json_response({"error": "invalid_client"}, 401))
    assert "check client_id, client_secret and token_endpoint_auth_method" in error.description


@pytest.mark.parametrize("value", [None, "", 5, [], {"code": 1}, True])
def test_an_error_that_is_no_text_is_an_error_all_the_same(value: Any) -> None:
    answer = {"error": value, "error_description": value, "error_uri": value}
    error = refused(json_response(answer, 400))
    assert (error.error, error.code) == ("invalid_token_response", "token.error")
    assert (error.description, error.uri) == ("", None)


def test_an_error_fits_one_line_of_a_log() -> None:
    answer = {"error": "a\r\nb\x1b[31m", "error_description": "x\ud800\u2028" + "y" * 10_000}
    error = refused(json_response(answer, 400))
    assert error.error == "a  b [31m"
    assert error.description.startswith("x  y")
    assert len(error.description) == 300
    assert str(error).isprintable()


def test_secrets_that_the_provider_echoes_are_hidden() -> None:
    answer = {
        "error": "code-123",
        "error_description": "client_secret s3cr3t and code code-123 don't match",
        "error_uri": "https://op.example/?code=code-123",
    }
    error = refused(json_response(answer, 400), "s3cr3t", "code-123", "")
    assert error.error == "[hidden]"
    assert error.description == "client_secret [hidden] and code [hidden] don't match"
    assert error.uri == "https://op.example/?code=[hidden]"
    assert "s3cr3t" not in repr(error)


def test_a_secret_at_the_cut_does_not_show_its_beginning() -> None:
    answer = {"error": "e", "error_description": "x" * 295 + "s3cr3t-s3cr3t"}
    assert "s3" not in refused(json_response(answer, 400), "s3cr3t-s3cr3t").description


# -- requests ------------------------------------------------------------------------------------


def test_the_request_that_redeems_a_code() -> None:
    request = build_code_request("https://op/token", "c&c", "https://rp/cb", "v", {"resource": "r"})
    assert (request.method, request.url) == ("POST", "https://op/token")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["accept"] == "application/json"
    assert dict(parse_qsl(request.body.decode())) == {
        "grant_type": "authorization_code",
        "code": "c&c",
        "redirect_uri": "https://rp/cb",
        "code_verifier": "v",
        "resource": "r",
    }


def test_what_is_none_is_not_sent_and_a_list_repeats() -> None:
    request = build_code_request("https://op/token", "c", None, None, {"resource": ["a", "b"]})
    form = parse_qs(request.body.decode())
    assert form == {"grant_type": ["authorization_code"], "code": ["c"], "resource": ["a", "b"]}


def test_extra_parameters_do_not_replace_the_code() -> None:
    extra = {"code": "x", "redirect_uri": "x", "code_verifier": "x", "grant_type": "urn:x"}
    form = parse_qs(build_code_request("https://op/t", "c", "u", "v", extra).body.decode())
    assert form == {
        "code": ["c"],
        "redirect_uri": ["u"],
        "code_verifier": ["v"],
        "grant_type": ["urn:x"],
    }


def test_the_request_that_refreshes() -> None:
    extra = {"scope": "email", "grant_type": "x", "refresh_token": "x"}
    request = build_refresh_request("https://op/token", "r", extra)
    assert dict(parse_qsl(request.body.decode())) == {
        "grant_type": "refresh_token",
        "refresh_token": "r",
        "scope": "email",
    }


def test_requests_and_responses_show_no_secret_in_their_repr() -> None:
    assert "the-code" not in repr(build_code_request("https://op/t", "the-code", None, "v", {}))
    assert "the-access-token" not in repr(good())


# -- refreshed tokens ----------------------------------------------------------------------------


def test_what_a_refresh_leaves_out_stays_as_it_was() -> None:
    """RFC 6749 section 6: no new refresh token means the old one; likewise scope and ID Token."""
    old = {**judge(good()), "userinfo": {"sub": "alice"}, "vendor": "old"}
    new = judge(json_response({"access_token": "new", "token_type": "Bearer"}))
    token = merge_refreshed(old, new)
    assert token == {
        "access_token": "new",
        "token_type": "Bearer",
        "refresh_token": "the-refresh-token",
        "scope": "openid email",
        "id_token": "head.body.signature",
        "userinfo": {"sub": "alice"},
    }
    assert token.userinfo is not None
    assert token.userinfo.sub == "alice"


def test_what_a_refresh_brings_is_new() -> None:
    new = judge(good(access_token="new", refresh_token="newer", scope="email", expires_in=60))
    token = merge_refreshed(judge(good()), new)
    assert (token.access_token, token.refresh_token, token.scope) == ("new", "newer", "email")
    assert token.expires_at == NOW + 60
    assert token.raw == new.raw


def test_an_old_end_does_not_survive_a_refresh() -> None:
    new = judge(json_response({"access_token": "new", "token_type": "Bearer"}))
    assert "expires_at" not in merge_refreshed(judge(good()), new)
