"""UserInfo, revocation and logout: the small chapters."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from reliant.errors import TokenError, UserInfoError
from reliant.protocol.claims import UserInfo
from reliant.protocol.logout import build_logout_url
from reliant.protocol.messages import HttpResponse
from reliant.protocol.revocation import build_revocation_request, check_revocation_response
from reliant.protocol.userinfo import (
    build_userinfo_request,
    check_userinfo_sub,
    parse_userinfo_response,
)
from tests.helpers.http import json_response, text_response

ALICE = {"sub": "alice", "email": "alice@example.org", "groups": ["a"]}


def judge(answer: HttpResponse, sub: str | None, openid: bool) -> UserInfo:
    """The claims of a plain answer."""
    claims = parse_userinfo_response(answer, signed=False)
    assert isinstance(claims, UserInfo)
    check_userinfo_sub(claims, sub, openid)
    return claims


def refused(answer: HttpResponse, sub: str | None = "alice", openid: bool = True) -> UserInfoError:
    with pytest.raises(UserInfoError) as caught:
        judge(answer, sub, openid)
    return caught.value


# -- UserInfo ------------------------------------------------------------------------------------


def test_a_good_answer_is_a_mapping_with_attributes() -> None:
    claims = judge(json_response(ALICE), "alice", openid=True)
    assert claims == ALICE
    assert (claims.sub, claims.email, claims.name) == ("alice", "alice@example.org", None)
    assert json.loads(json.dumps(claims)) == ALICE


def test_an_attribute_that_is_no_standard_claim_is_an_error() -> None:
    with pytest.raises(AttributeError, match="'UserInfo' object has no attribute 'groups'"):
        _ = UserInfo(ALICE).groups


@pytest.mark.parametrize("sub", ["bob", "Alice", "alice ", "alic\u0435", "\ud800"])
def test_the_sub_of_another_person_is_refused(sub: str) -> None:
    """OIDC Core section 5.3.2: it must exactly match the ID Token's."""
    error = refused(json_response({**ALICE, "sub": sub}))
    assert error.code == "userinfo.sub_mismatch"
    assert "alice" not in str(error)


@pytest.mark.parametrize("sub", [None, "", 5, ["alice"], {}, True])
def test_a_sub_that_is_no_text_is_refused(sub: Any) -> None:
    answer = json_response({**ALICE, "sub": sub})
    assert refused(answer).code == "userinfo.sub_missing"
    assert refused(answer, sub=None).code == "userinfo.sub_missing"
    assert refused(answer, openid=False).code == "userinfo.sub_missing"


def test_a_sub_is_compared_wherever_one_is_known() -> None:
    answer = json_response({**ALICE, "sub": "bob"})
    assert refused(answer, openid=False).code == "userinfo.sub_mismatch"
    assert judge(answer, None, openid=True).sub == "bob"


def test_plain_oauth_needs_no_sub() -> None:
    profile = {"login": "alice", "id": 5}
    assert judge(json_response(profile), None, openid=False) == profile
    assert refused(json_response(profile), None).code == "userinfo.sub_missing"


BAD_ANSWERS = {
    "401": (json_response(ALICE, 401), "token_refused"),
    "403": (json_response(ALICE, 403), "token_refused"),
    "404": (json_response(ALICE, 404), "status"),
    "302": (json_response(ALICE, 302), "status"),
    "500": (json_response(ALICE, 500), "status"),
    "204": (text_response("", 204), "status"),
    "empty": (text_response(""), "empty"),
    "HTML": (text_response("<html>"), "html"),
    "a JWT": (text_response("a.b.c"), "not_json"),
    "a JWT in other letters": (text_response("a.b.é", 200, "application/jwt"), "malformed"),
    "a form": (text_response("sub=alice"), "form_encoded"),
    "null": (json_response(None), "null"),
    "a list": (json_response([ALICE]), "not_object"),
    "a string": (json_response("alice"), "not_object"),
    "100,000 brackets": (text_response("[" * 100_000), "not_json"),
}


@pytest.mark.parametrize(("answer", "rule"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
@pytest.mark.parametrize("openid", [True, False], ids=["openid", "oauth"])
def test_an_answer_that_is_no_claims_is_refused(
    answer: HttpResponse, rule: str, openid: bool
) -> None:
    assert refused(answer, openid=openid).code == f"userinfo.{rule}"


@pytest.mark.parametrize("signed", [True, False])
def test_a_jwt_is_no_claims_before_its_signature_is_judged(signed: bool) -> None:
    answer = text_response(" a.b.c\n", 200, "application/jwt; charset=us-ascii")
    assert parse_userinfo_response(answer, signed) == "a.b.c"


def test_a_refused_token_is_a_401_to_the_browser() -> None:
    error = refused(text_response("", 401))
    assert (error.error, error.status_hint) == ("invalid_token", 401)


def test_the_token_travels_in_the_header() -> None:
    request = build_userinfo_request("https://op/me", "t", "header")
    assert (request.method, request.body) == ("GET", b"")
    assert request.headers["authorization"] == "Bearer t"
    assert "Bearer" not in repr(request)


def test_the_token_travels_in_the_body_where_set() -> None:
    request = build_userinfo_request("https://op/me", "t&", "body")
    assert request.method == "POST"
    assert parse_qsl(request.body.decode()) == [("access_token", "t&")]
    assert "authorization" not in request.headers
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


# -- revocation ----------------------------------------------------------------------------------


def test_the_request_that_revokes() -> None:
    request = build_revocation_request("https://op/revoke", "t", "refresh_token")
    assert dict(parse_qsl(request.body.decode())) == {
        "token": "t",
        "token_type_hint": "refresh_token",
    }
    assert build_revocation_request("https://op/revoke", "t", None).body == b"token=t"


@pytest.mark.parametrize("status", [200, 204])
def test_a_revocation_that_worked(status: int) -> None:
    check_revocation_response(text_response("anything", status))


@pytest.mark.parametrize("status", [201, 302, 400, 401, 404, 500, 503])
def test_a_revocation_that_failed(status: int) -> None:
    with pytest.raises(TokenError) as caught:
        check_revocation_response(json_response({"error": "unsupported_token_type"}, status))
    assert caught.value.code == "revocation.failed"


# -- logout --------------------------------------------------------------------------------------


def test_the_url_that_ends_a_session() -> None:
    url = build_logout_url(
        "https://op/end?x=1", id_token_hint="a.b.c", state="s", client_id=None, logout_hint="a b"
    )
    assert url == "https://op/end?x=1&id_token_hint=a.b.c&state=s&logout_hint=a%20b"


def test_a_logout_that_asks_for_nothing_is_the_bare_endpoint() -> None:
    assert build_logout_url("https://op/end", state=None) == "https://op/end"
