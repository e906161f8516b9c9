"""What a hostile provider tries, and what a reader of logs hopes for."""

from __future__ import annotations

import pytest

from reliant.errors import AuthorizationError, TokenError
from reliant.protocol.authorization import parse_authorization_response
from reliant.protocol.messages import HttpResponse
from reliant.protocol.metadata import issuers_of
from reliant.protocol.token_endpoint import parse_token_response
from tests.helpers.http import json_response
from tests.helpers.tokens import expected

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
