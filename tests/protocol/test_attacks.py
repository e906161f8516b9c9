"""What a hostile provider tries, and what a reader of logs hopes for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reliant.errors import (
    AuthorizationError,
    ConfigurationError,
    IDTokenError,
    RegistrationError,
    TokenError,
)
from reliant.protocol import jose
from reliant.protocol.authorization import parse_authorization_response
from reliant.protocol.id_token import check_claims
from reliant.protocol.messages import HttpResponse
from reliant.protocol.metadata import issuers_of
from reliant.protocol.registration import Registration, parse_registration_response
from reliant.protocol.request_object import encrypt_request_object
from reliant.protocol.token_endpoint import parse_token_response
from tests.helpers.http import json_response
from tests.helpers.tokens import NOW, claims, expected, key_for

TOKEN = {"access_token": "s3cr3t", "token_type": "Bearer"}


def test_a_body_that_is_no_text_does_not_show_in_the_cause() -> None:
    body = HttpResponse(200, {}, b"access_token=s3cr3t\xff")
    with pytest.raises(TokenError) as caught:
        parse_token_response(body, 0)
    assert caught.value.code == "token.form_encoded"
    assert "s3cr3t" not in repr(caught.value.__cause__)


def test_what_a_login_expects_does_not_show_its_secrets() -> None:
    assert "s3cr3t" not in repr(expected(nonce="s3cr3t-1", access_token="s3cr3t-2"))


@pytest.mark.parametrize("token", ["s3cr3t ", " s3cr3t", " "])
def test_an_access_token_that_fits_no_header_is_refused(token: str) -> None:
    with pytest.raises(TokenError) as caught:
        parse_token_response(json_response({**TOKEN, "access_token": token}), 0)
    assert caught.value.code == "token.access_token"


@pytest.mark.parametrize("uri", ["javascript:alert(1)", "data:text/html,x", "//evil", "/x", "\n"])
def test_a_page_about_an_error_is_a_web_page(uri: str) -> None:
    answer = {"error": "server_error", "error_uri": uri}
    with pytest.raises(AuthorizationError) as refused:
        parse_authorization_response(answer, None, False, "code")
    with pytest.raises(TokenError) as failed:
        parse_token_response(json_response(answer, 400), 0)
    assert (refused.value.uri, failed.value.uri) == (None, None)


@pytest.mark.parametrize("rest", [".evil", "2", ":1", "@evil"])
def test_what_follows_the_well_known_address_is_never_part_of_a_host(rest: str) -> None:
    assert issuers_of(f"https://op.example/.well-known/openid-configuration{rest}") == ()


# -- a token of another kind ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typ", "changes"),
    [
        ("logout+jwt", {}),
        ("application/Logout+JWT", {}),
        ("JWT", {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
        ("secevent+jwt", {"events": {}}),
    ],
)
def test_a_logout_token_is_no_id_token(typ: str, changes: dict[str, Any]) -> None:
    """Same issuer, audience, person and key: a refresh, which knows no nonce, would take it."""
    token = jose.sign_jwt(claims(**changes), key_for("ES256"), "ES256", typ=typ)
    with pytest.raises(IDTokenError) as caught:
        check_claims(jose.parse_jws(token), expected(), NOW)
    assert caught.value.code == "id_token.events"


# -- a hostile answer to a registration ----------------------------------------------------------


def registration(asked: str = "https://op.example/register", **members: Any) -> Registration:
    document = json.dumps({"client_id": "c", **members}).encode()
    return parse_registration_response(HttpResponse(201, {}, document), None, asked)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"client_id": "\ud800"}, "client_id"),
        ({"client_secret": "s3cr3t\udfff"}, "member"),
        ({"token_endpoint_auth_method": "\ud800"}, "member"),
        ({"registration_access_token": "s3cr3t\r\nx: y"}, "member"),
        ({"registration_access_token": "s3cr3t\xe9"}, "member"),
    ],
)
def test_what_no_message_can_carry_is_refused_at_once(members: dict[str, Any], code: str) -> None:
    """Later it would be a UnicodeEncodeError, which holds the secret, in every login."""
    with pytest.raises(RegistrationError) as caught:
        registration(**members)
    assert caught.value.code == f"registration.{code}"
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9200/_all", "http://localhost/", "HTTP://[::1]"])
def test_a_provider_elsewhere_gets_no_request_sent_to_this_machine(uri: str) -> None:
    """PUT and DELETE at what listens here and trusts whoever can reach it."""
    with pytest.raises(RegistrationError) as caught:
        registration(registration_client_uri=uri)
    assert caught.value.code == "registration.management"


def test_a_provider_on_this_machine_is_managed_here() -> None:
    uri = "http://127.0.0.1:8000/register/c"
    answer = registration("http://127.0.0.1:8000/register", registration_client_uri=uri)
    assert answer.registration_client_uri == uri


@pytest.mark.parametrize(
    ("alg", "enc"),
    [("dir", "A128GCM"), ("RSA1_5", "A128GCM"), ("RSA-x", "A128GCM"), ("RSA-OAEP", "\ud800")],
)
def test_an_encryption_of_the_providers_own_is_an_error_of_ours(alg: str, enc: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        encrypt_request_object("a.b.c", key_for("RS256"), alg, enc)
    assert caught.value.code == "configuration.algorithm"


# -- published keys ------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_a_published_key_holds_nothing_but_what_is_known_to_be_public(alg: str) -> None:
    secrets = dict.fromkeys(("k", "password", "seed"), "s3cr3t")
    private = {
        **key_for(alg).as_dict(private=True),
        **secrets,
        "key_ops": ["sign"],
        "x5t": "public",
    }
    (key,) = jose.import_private_keys(private)
    published = jose.public_jwk(key)
    assert published.keys() <= {"kty", "use", "alg", "kid", "crv", "x", "y", "n", "e", "x5t"}
    assert published["x5t"] == "public"
