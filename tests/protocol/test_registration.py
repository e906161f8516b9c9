"""Registration: what goes out, and how the answer is judged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reliant.errors import RegistrationError
from reliant.protocol.messages import HttpResponse
from reliant.protocol.registration import (
    build_management_request,
    build_registration_request,
    check_deletion_response,
    parse_registration_response,
)

ENDPOINT = "https://op.example/register"
METADATA = {"redirect_uris": ["https://rp.example/callback"]}
TOKEN = "an-access-token-to-register-with"
GOOD: dict[str, Any] = {
    "client_id": "the client",
    "client_secret": "the-secret",
    "client_secret_expires_at": 0,
    "registration_access_token": "the-management-token",
    "registration_client_uri": "https://op.example/register/1",
    "id_token_signed_response_alg": "ES256",
}


def answer(status: int = 201, **changes: Any) -> HttpResponse:
    document = {**GOOD, **changes}
    return HttpResponse(status, {"content-type": "application/json"}, json.dumps(document).encode())


def body(status: int, octets: bytes) -> HttpResponse:
    return HttpResponse(status, {}, octets)


# -- requests ------------------------------------------------------------------------------------


def test_the_request_is_json_without_a_token() -> None:
    request = build_registration_request(ENDPOINT, METADATA)
    assert (request.method, request.url) == ("POST", ENDPOINT)
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers
    assert json.loads(request.body) == METADATA


def test_the_initial_access_token_travels_in_the_header() -> None:
    request = build_registration_request(ENDPOINT, METADATA, TOKEN)
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in repr(request)
    assert TOKEN.encode() not in request.body


def test_the_software_statement_is_a_member() -> None:
    request = build_registration_request(ENDPOINT, METADATA, software_statement="a.b.c")
    assert json.loads(request.body) == {**METADATA, "software_statement": "a.b.c"}
    assert "software_statement" not in METADATA


def test_an_address_may_be_an_object_that_prints_as_one() -> None:
    class Address:
        def __str__(self) -> str:
            return "https://rp.example/callback"

    request = build_registration_request(ENDPOINT, {"redirect_uris": [Address()]})
    assert json.loads(request.body) == METADATA


CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "no redirect_uris": {"redirect_uris": []},
    "jwks and jwks_uri": {"jwks": {"keys": []}, "jwks_uri": "https://rp.example/jwks.json"},
    "_enc without _alg": {"id_token_encrypted_response_enc": "A256GCM"},
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_metadata_that_contradict_themselves_are_not_sent(case: str) -> None:
    metadata = {**METADATA, **CONTRADICTIONS[case]}
    with pytest.raises(RegistrationError) as caught:
        build_registration_request(ENDPOINT, metadata)
    assert caught.value.code == "registration.metadata"
    with pytest.raises(RegistrationError) as caught:
        build_management_request("PUT", ENDPOINT, TOKEN, metadata)
    assert caught.value.code == "registration.metadata"


def test_an_update_sends_back_nothing_that_only_answers_hold() -> None:
    """RFC 7592 section 2.2."""
    metadata = {**METADATA, **GOOD, "client_id_issued_at": 5}
    request = build_management_request("PUT", ENDPOINT, TOKEN, metadata)
    assert json.loads(request.body) == {
        **METADATA,
        "client_id": "the client",
        "client_secret": "the-secret",
        "id_token_signed_response_alg": "ES256",
    }


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_reading_and_deleting_have_no_body(method: str) -> None:
    request = build_management_request(method, ENDPOINT, TOKEN)
    assert (request.method, request.body) == (method, b"")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert "content-type" not in request.headers


# -- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201])
def test_a_good_answer(status: int) -> None:
    registration = parse_registration_response(answer(status))
    assert registration.client_id == "the client"
    assert registration.client_secret == "the-secret"
    assert registration.client_secret_expires_at == 0
    assert registration.registration_access_token == "the-management-token"
    assert registration.registration_client_uri == "https://op.example/register/1"
    assert registration.metadata["id_token_signed_response_alg"] == "ES256"


def test_no_secret_shows_itself() -> None:
    shown = repr(parse_registration_response(answer()))
    assert "the-secret" not in shown
    assert "the-management-token" not in shown


@pytest.mark.parametrize("nothing", ["", None])
def test_what_is_empty_is_absent(nothing: Any) -> None:
    registration = parse_registration_response(
        answer(
            client_secret=nothing,
            client_secret_expires_at=None,
            registration_access_token=nothing,
            registration_client_uri=nothing,
            userinfo_signed_response_alg=None,
        )
    )
    assert registration.client_secret is None
    assert registration.registration_access_token is None
    assert registration.registration_client_uri is None


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("client_id", {"client_id": None}),
        ("client_id", {"client_id": ""}),
        ("client_id", {"client_id": 5}),
        ("member", {"client_secret": 5}),
        ("member", {"client_secret": ["the-secret"]}),
        ("member", {"client_secret_expires_at": "never"}),
        ("member", {"registration_access_token": {}}),
        ("member", {"registration_client_uri": 5}),
        ("member", {"token_endpoint_auth_method": ["none"]}),
        ("member", {"id_token_signed_response_alg": {"alg": "none"}}),
        ("member", {"userinfo_encrypted_response_enc": 5}),
        ("management", {"registration_client_uri": "http://op.example/register/1"}),
    ],
    ids=str,
)
def test_an_answer_with_a_wrong_member(code: str, changes: dict[str, Any]) -> None:
    with pytest.raises(RegistrationError) as caught:
        parse_registration_response(answer(**changes))
    assert caught.value.code == f"registration.{code}"


ERROR = {"error": "invalid_redirect_uri", "error_description": "no such host"}


@pytest.mark.parametrize(
    ("response", "code", "error"),
    [
        (body(400, json.dumps(ERROR).encode()), "refused", "invalid_redirect_uri"),
        (body(401, b'{"error":"invalid_token"}'), "refused", "invalid_token"),
        (body(403, b""), "status", "registration_failed"),
        (body(400, b"<html>"), "status", "registration_failed"),
        (body(400, b'{"error":5}'), "status", "registration_failed"),
        (body(400, b'["error"]'), "status", "registration_failed"),
        (body(302, b""), "status", "registration_failed"),
        (body(204, b""), "status", "registration_failed"),
        (body(500, b"{}"), "status", "registration_failed"),
        (body(201, b""), "empty", "registration_failed"),
        (body(201, b"<html>"), "html", "registration_failed"),
        (body(201, b"[]"), "not_object", "registration_failed"),
    ],
    ids=lambda value: value.body.decode()[:30] if isinstance(value, HttpResponse) else str(value),
)
def test_a_refusal(response: HttpResponse, code: str, error: str) -> None:
    with pytest.raises(RegistrationError) as caught:
        parse_registration_response(response)
    assert (caught.value.code, caught.value.error) == (f"registration.{code}", error)


@pytest.mark.parametrize("member", ["error", "error_description"])
def test_a_refusal_that_echoes_the_token_does_not_show_it(member: str) -> None:
    document = {**ERROR, member: f"who is {TOKEN}?\n"}
    response = body(401, json.dumps(document).encode())
    with pytest.raises(RegistrationError) as caught:
        parse_registration_response(response, hide=TOKEN)
    assert TOKEN not in str(caught.value)
    assert "[hidden]" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(RegistrationError) as caught:
        check_deletion_response(response, hide=TOKEN)
    assert TOKEN not in str(caught.value)


def test_deletion() -> None:
    check_deletion_response(body(204, b""))
    check_deletion_response(body(200, b""))
    with pytest.raises(RegistrationError) as caught:
        check_deletion_response(body(405, b""))
    assert caught.value.code == "registration.status"
