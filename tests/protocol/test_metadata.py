"""Provider metadata: the issuer to the letter, no redirect, no surprise in a member's type."""

from __future__ import annotations

from typing import Any

import pytest

from reliant.errors import ConfigurationError, MetadataError
from reliant.protocol.messages import HttpResponse
from reliant.protocol.metadata import (
    ARRAY_MEMBERS,
    METADATA_MEMBERS,
    URL_MEMBERS,
    ServerMetadata,
    build_metadata_request,
    issuers_of,
    parse_server_metadata,
)
from tests.helpers.http import json_response, text_response

ISSUER = "https://op.example"
URL = ISSUER + "/.well-known/openid-configuration"
GOOD: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://op.example/authorize",
    "token_endpoint": "https://op.example/token",
    "jwks_uri": "https://op.example/jwks",
    "id_token_signing_alg_values_supported": ["RS256", "none"],
    "x_vendor": {"any": ["thing"]},
}


def judge(
    answer: HttpResponse, url: str = URL, issuer: str | None = None, openid: bool = True
) -> ServerMetadata:
    return parse_server_metadata(answer, url, issuer, openid)


def refusal(answer: HttpResponse, **context: Any) -> str:
    with pytest.raises(MetadataError) as caught:
        judge(answer, **context)
    return caught.value.code.removeprefix("metadata.")


def with_issuer(issuer: Any) -> HttpResponse:
    return json_response({**GOOD, "issuer": issuer})


# -- the answer ----------------------------------------------------------------------------------


def test_a_good_document_is_kept_whole() -> None:
    assert judge(json_response(GOOD)) == GOOD


BAD_ANSWERS = {
    "301": (json_response(GOOD, 301), "redirected"),
    "302": (json_response(GOOD, 302), "redirected"),
    "308": (json_response(GOOD, 308), "redirected"),
    "400": (json_response(GOOD, 400), "status"),
    "404": (text_response("<h1>Not found</h1>", 404, "text/html"), "status"),
    "500": (json_response(GOOD, 500), "status"),
    "201": (json_response(GOOD, 201), "status"),
    "204": (text_response("", 204), "status"),
    "empty": (text_response(""), "empty"),
    "blank": (text_response(" \r\n"), "empty"),
    "HTML": (text_response("<!doctype html><title>Log in</title>", 200, "text/html"), "html"),
    "HTML said to be JSON": (text_response("<p>", 200, "application/json"), "html"),
    "text": (text_response("hello"), "not_json"),
    "half a document": (text_response('{"issuer": "https://op'), "not_json"),
    "not UTF-8": (text_response(b'{"issuer": "\xff"}'), "not_json"),
    "100,000 brackets": (text_response("[" * 100_000), "not_json"),
    "null": (json_response(None), "null"),
    "a list": (json_response([GOOD]), "not_object"),
    "a string": (json_response(ISSUER), "not_object"),
    "a number": (json_response(5), "not_object"),
    "true": (json_response(True), "not_object"),
    "{}": (json_response({}), "issuer_missing"),
}


@pytest.mark.parametrize(("answer", "rule"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_an_answer_that_is_no_document_is_refused(answer: HttpResponse, rule: str) -> None:
    assert refusal(answer) == rule


def test_a_byte_order_mark_is_tolerated() -> None:
    body = b"\xef\xbb\xbf" + json_response(GOOD).body
    assert judge(text_response(body)) == GOOD


# -- the issuer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "found",
    [
        "https://evil.example",
        "http://op.example",
        "https://op.example:443",
        "https://OP.example",
        "https://op.example/tenant",
        "https://op.example//",
        "https://op.example?",
        " https://op.example",
        "https://op.example.",
        "op.example",
    ],
)
def test_another_issuer_is_refused(found: str) -> None:
    """OIDC Discovery section 4.3: it must be identical."""
    assert refusal(with_issuer(found)) == "issuer_mismatch"
    assert refusal(with_issuer(found), issuer=ISSUER) == "issuer_mismatch"


@pytest.mark.parametrize("found", [None, "", 5, True, [ISSUER], {"issuer": ISSUER}])
def test_an_issuer_that_is_no_string_is_refused(found: Any) -> None:
    assert refusal(with_issuer(found)) == "issuer_missing"
    assert refusal(with_issuer(found), issuer=ISSUER, openid=False) == "issuer_missing"


def test_an_issuer_may_end_with_a_slash_of_which_the_address_tells_nothing() -> None:
    assert judge(with_issuer(ISSUER + "/")).issuer == ISSUER + "/"


def test_the_configured_issuer_is_matched_with_its_slash() -> None:
    judge(with_issuer(ISSUER), issuer=ISSUER)
    judge(with_issuer(ISSUER + "/"), issuer=ISSUER + "/")
    assert refusal(with_issuer(ISSUER + "/"), issuer=ISSUER) == "issuer_mismatch"
    assert refusal(with_issuer(ISSUER), issuer=ISSUER + "/") == "issuer_mismatch"


def test_the_configured_issuer_wins_over_the_address() -> None:
    judge(with_issuer("https://other.example"), issuer="https://other.example")


def test_plain_oauth_may_have_no_issuer() -> None:
    document = {name: value for name, value in GOOD.items() if name != "issuer"}
    assert judge(json_response(document), openid=False).issuer is None
    assert refusal(json_response(document), openid=True) == "issuer_missing"
    assert refusal(json_response(document), openid=False, issuer=ISSUER) == "issuer_missing"


def test_plain_oauth_with_an_issuer_must_name_the_right_one() -> None:
    assert refusal(with_issuer("https://evil.example"), openid=False) == "issuer_mismatch"


ISSUERS = [
    ("https://op/.well-known/openid-configuration", "https://op"),
    ("https://op:8443/.well-known/openid-configuration", "https://op:8443"),
    ("https://op/tenant/.well-known/openid-configuration", "https://op/tenant"),
    ("https://op/a/b/.well-known/openid-configuration", "https://op/a/b"),
    ("https://op/.well-known/oauth-authorization-server", "https://op"),
    ("https://op/.well-known/oauth-authorization-server/tenant", "https://op/tenant"),
    ("https://op/.well-known/oauth-authorization-server/a/b", "https://op/a/b"),
    ("https://op/.well-known/openid-configuration/tenant", "https://op/tenant"),
    ("https://op/tenant/.well-known/oauth-authorization-server", "https://op/tenant"),
]


@pytest.mark.parametrize(("url", "issuer"), ISSUERS, ids=[url for url, _ in ISSUERS])
def test_the_issuer_is_told_by_the_address(url: str, issuer: str) -> None:
    """OIDC Discovery section 4.1 and RFC 8414 section 3.1."""
    assert issuers_of(url) == (issuer, issuer + "/")


@pytest.mark.parametrize(
    "url",
    [
        "https://op",
        "https://op/metadata.json",
        "https://op/.well-known/openid-configuration?appid=5",
        "https://op/.well-known/openid-configuration#x",
        "https://op/a/.well-known/openid-configuration/b",
        "https://op/.well-known/webfinger",
    ],
)
def test_an_address_that_does_not_tell_the_issuer(url: str) -> None:
    assert issuers_of(url) == ()
    assert judge(with_issuer("https://any.example"), url=url).issuer == "https://any.example"
    assert refusal(with_issuer("https://any.example"), url=url, issuer=ISSUER) == "issuer_mismatch"


# -- members -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 5, True, [], ["https://op"], {}, "https://op/\n", "é"])
@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri", "end_session_endpoint"])
def test_an_endpoint_that_is_no_url_text_is_refused(name: str, value: Any) -> None:
    assert refusal(json_response({**GOOD, name: value})) == "member"


def test_an_endpoint_with_a_lone_surrogate_is_refused() -> None:
    """JSON may hold one; no URL can, and no header either."""
    body = b'{"issuer": "https://op.example", "authorization_endpoint": "https://op/\\ud800"}'
    assert refusal(text_response(body)) == "member"


@pytest.mark.parametrize("value", [None, 5, "RS256", {}, [5], [None], ["RS256", 5], [["RS256"]]])
@pytest.mark.parametrize("name", ["id_token_signing_alg_values_supported", "scopes_supported"])
def test_an_array_that_is_none_of_strings_is_refused(name: str, value: Any) -> None:
    assert refusal(json_response({**GOOD, name: value})) == "member"


@pytest.mark.parametrize("name", sorted(URL_MEMBERS))
def test_every_url_member_is_judged(name: str) -> None:
    assert refusal(json_response({**GOOD, name: 5})) == "member"
    judge(json_response({**GOOD, name: "https://op.example/x"}))


@pytest.mark.parametrize("name", sorted(ARRAY_MEMBERS))
def test_every_array_member_is_judged(name: str) -> None:
    assert refusal(json_response({**GOOD, name: 5})) == "member"
    judge(json_response({**GOOD, name: []}))


def test_the_members_of_the_specifications_are_known() -> None:
    discovery = {"issuer", "op_policy_uri", "claims_parameter_supported", "acr_values_supported"}
    rfc8414 = {"revocation_endpoint", "code_challenge_methods_supported", "signed_metadata"}
    assert discovery | rfc8414 | set(URL_MEMBERS) | set(ARRAY_MEMBERS) <= METADATA_MEMBERS


# -- reading -------------------------------------------------------------------------------------

SECURE = [
    "https://op.example/token",
    "HTTPS://op.example/token",
    "http://127.0.0.1:8000/token",
    "http://127.1.2.3/token",
    "http://[::1]:8000/token",
    "http://localhost/token",
    "http://LOCALHOST./token",
    "http://op.localhost:8000/token",
]
INSECURE = [
    "http://op.example/token",
    "http://127.0.0.1.evil.test/token",
    "http://localhost.evil.test/token",
    "http://evil.test/?127.0.0.1",
    "http://127.0.0.1@evil.test/token",
    "http://notlocalhost/token",
    "http://127.0.0/token",
    "http://127.0.0.256/token",
    "http://128.0.0.1/token",
    "http://0.0.0.0/token",
    "http://[::2]/token",
    "http://[::ffff:7f00:1]/token",
    "ftp://op.example/token",
    "javascript:alert(1)",
    "//op.example/token",
    "/token",
    "op.example",
    "https://",
    "https:///token",
    "https://[::1",
    "https://op.example:port/token",
]


@pytest.mark.parametrize("url", SECURE)
def test_an_endpoint_on_https_or_loopback_is_given(url: str) -> None:
    assert ServerMetadata(token_endpoint=url).endpoint("token_endpoint") == url


@pytest.mark.parametrize("url", INSECURE)
def test_an_endpoint_anywhere_else_is_not(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ServerMetadata(token_endpoint=url).endpoint("token_endpoint")
    assert caught.value.code == "metadata.insecure"
    assert '"token_endpoint"' in caught.value.description


def test_an_address_is_judged_though_another_passed_before() -> None:
    metadata = ServerMetadata(token_endpoint="https://op.example/token")
    assert metadata.endpoint("token_endpoint") == "https://op.example/token"
    metadata["token_endpoint"] = "http://op.example/token"
    with pytest.raises(ConfigurationError):
        metadata.endpoint("token_endpoint")


@pytest.mark.parametrize("value", [None, "", 5, ["https://op"]])
def test_an_endpoint_that_is_absent_or_no_text_is_none(value: Any) -> None:
    assert ServerMetadata().endpoint("token_endpoint") is None
    assert ServerMetadata(token_endpoint=value).endpoint("token_endpoint") is None


def test_announced_values() -> None:
    assert ServerMetadata().announced("scopes_supported") is None
    assert ServerMetadata(scopes_supported=[]).announced("scopes_supported") == ()
    assert ServerMetadata(scopes_supported=("a",)).announced("scopes_supported") == ("a",)
    assert ServerMetadata(scopes_supported="a").announced("scopes_supported") is None


def test_the_request_is_a_get_for_json() -> None:
    request = build_metadata_request(URL)
    assert (request.method, request.url, request.body) == ("GET", URL, b"")
    assert request.headers == {"accept": "application/json"}
