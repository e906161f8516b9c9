"""Aggregated and distributed claims: what is read, whom it is asked of, what is left out."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from reliant.errors import UserInfoError
from reliant.protocol import jose
from reliant.protocol.claim_sources import (
    ClaimSource,
    SourcedClaim,
    build_claims_request,
    claim_sources,
    parse_claims_response,
    read_source,
    sourced_claims,
)
from reliant.protocol.messages import HttpResponse

ENDPOINT = "https://claims.example/score"


def userinfo(source: Any, **names: Any) -> dict[str, Any]:
    return {
        "sub": "alice",
        "_claim_names": names or {"score": "src1"},
        "_claim_sources": {"src1": source},
    }


def test_an_aggregated_source_brings_its_jwt() -> None:
    found = claim_sources(userinfo({"JWT": "a.b.c"}, address="src1", score="src1", age="src2"))
    assert found == [ClaimSource("src1", ("address", "score"), jwt="a.b.c")]
    assert "a.b.c" not in repr(found)


def test_a_distributed_source_brings_its_own_token() -> None:
    [source] = claim_sources(userinfo({"endpoint": ENDPOINT, "access_token": "theirs"}))
    assert "theirs" not in repr(source)
    request = build_claims_request(source)
    assert (request.method, request.url) == ("GET", ENDPOINT)
    assert request.headers["authorization"] == "Bearer theirs"


@pytest.mark.parametrize("token", [None, 5, "", "line\r\nbreak", {}], ids=repr)
def test_a_source_without_a_usable_token_is_asked_without_one(token: Any) -> None:
    [source] = claim_sources(userinfo({"endpoint": ENDPOINT, "access_token": token}))
    headers = build_claims_request(source).headers
    assert headers.get("authorization", "Bearer ") == "Bearer " or "authorization" not in headers
    assert "\n" not in str(headers)


LEFT_OUT: dict[str, dict[str, Any]] = {
    "no names": {"_claim_sources": {"src1": {"JWT": "a.b.c"}}},
    "no sources": {"_claim_names": {"score": "src1"}},
    "names of no use": {"_claim_names": ["score"], "_claim_sources": {"src1": {"JWT": "a.b.c"}}},
    "sources of no use": {"_claim_names": {"score": "src1"}, "_claim_sources": ["a.b.c"]},
    "source of no use": userinfo("a.b.c"),
    "nobody refers to it": userinfo({"JWT": "a.b.c"}, score="src2"),
    "reference of no use": userinfo({"JWT": "a.b.c"}, score=["src1"]),
    "JWT of no use": userinfo({"JWT": 5}),
    "plain http": userinfo({"endpoint": "http://claims.example/"}),
    "http on this machine": userinfo({"endpoint": "http://127.0.0.1:6379/"}),
    "http on localhost": userinfo({"endpoint": "http://localhost/"}),
    "a file": userinfo({"endpoint": "file:///etc/passwd"}),
    "no address": userinfo({"endpoint": "/claims"}),
    "an address of no use": userinfo({"endpoint": 5}),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_makes_no_sense_is_left_out(case: str) -> None:
    assert claim_sources(LEFT_OUT[case]) == []


def test_there_are_never_more_than_eight() -> None:
    many = [f"src{number}" for number in range(100)]
    claims = {
        "_claim_names": {name: name for name in many},
        "_claim_sources": {name: {"JWT": "a.b.c"} for name in many},
    }
    assert len(claim_sources(claims)) == 8


@pytest.mark.parametrize("body", [b"a.b.c", b" a.b.c\n"])
def test_the_answer_is_a_jwt(body: bytes) -> None:
    assert parse_claims_response(HttpResponse(200, {}, body)) == "a.b.c"


@pytest.mark.parametrize(
    "response",
    [
        HttpResponse(404, {}, b"a.b.c"),
        HttpResponse(302, {}, b"a.b.c"),
        HttpResponse(200, {}, b"\xff"),
    ],
    ids=["404", "302", "not text"],
)
def test_an_answer_that_is_none(response: HttpResponse) -> None:
    with pytest.raises(UserInfoError) as caught:
        parse_claims_response(response)
    assert caught.value.code == "claims.source"


def test_a_jwt_that_can_not_be_read() -> None:
    with pytest.raises(UserInfoError) as caught:
        read_source('{"score": 650}')
    assert caught.value.code == "claims.source"


def segment(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("issuer", ["https://claims.example", None, 5])
def test_only_what_was_asked_for_is_taken(issuer: Any) -> None:
    claims = {"iss": issuer, "score": 650, "sub": "someone", "email": "mallory@evil.example"}
    token = read_source(f"{segment({'alg': 'none'})}.{segment(claims)}.")
    source = ClaimSource("src1", ("score", "address"), jwt="")
    known = issuer if isinstance(issuer, str) else None
    assert sourced_claims(source, token, verified=False) == {
        "score": SourcedClaim(650, "src1", known, verified=False)
    }


def test_a_signed_jwt_can_be_read_as_well() -> None:
    key = jose.generate_key("ES256", "k")
    assert read_source(jose.sign_jwt({"score": 1}, key, "ES256", kid="k")).alg == "ES256"
