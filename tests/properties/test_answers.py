"""Whatever a provider answers: a value of the right kind, or an OAuthError that fits one line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reliant.errors import OAuthError
from reliant.protocol.authorization import (
    authorization_parameters,
    build_authorization_url,
    parse_authorization_response,
)
from reliant.protocol.claims import UserInfo
from reliant.protocol.jwks import parse_jwks_response
from reliant.protocol.messages import HttpResponse
from reliant.protocol.metadata import parse_server_metadata
from reliant.protocol.token_endpoint import merge_refreshed, parse_token_response
from reliant.protocol.transaction import LoginTransaction, LogoutTransaction
from reliant.protocol.userinfo import check_userinfo_sub, parse_userinfo_response
from reliant.protocol.values import encode_form, is_secure_url
from tests.helpers.op import METADATA, METADATA_URL
from tests.helpers.tokens import ISSUER, NOW, jwks
from tests.properties.strategies import altered, answers, any_json, any_text

TOKEN = {
    "access_token": "a",
    "token_type": "Bearer",
    "expires_in": 3600,
    "expires_at": NOW,
    "refresh_token": "r",
    "scope": "openid",
    "id_token": "a.b.c",
}
TOKEN_ERROR = {"error": "invalid_grant", "error_description": "no s3cr3t", "error_uri": "https://x"}
ANSWER = [
    "code", "state", "iss", "error", "error_description", "error_uri", "id_token", "session_state",
]  # fmt: skip
LOGIN = {
    "code_verifier": "v" * 43, "nonce": "n", "redirect_uri": "https://rp", "return_to": "/",
    "data": {}, "max_age": 5, "acr_values": "a", "response_type": "code id_token",
}  # fmt: skip


def value_of(judge: Callable[[], Any], *areas: str) -> Any:
    """What a judge returns, or None for an error of its own."""
    try:
        return judge()
    except OAuthError as exc:
        error = exc
    assert error.code.partition(".")[0] in areas
    assert str(error).isprintable()
    assert "s3cr3t" not in str(error)
    return None


@given(answers(TOKEN) | answers(TOKEN_ERROR))
def test_the_token_endpoint(answer: HttpResponse) -> None:
    token = value_of(lambda: parse_token_response(answer, NOW, ["s3cr3t"]), "token")
    if token is None:
        return
    for name in ("access_token", "refresh_token", "scope", "id_token"):
        value = token.get(name)
        assert value is None or (value.isascii() and value.isprintable())
    assert token.access_token
    assert token.token_type.lower() == "bearer"
    assert token.expires_at is None or isinstance(token.expires_at, int)
    assert token.userinfo is None
    encode_form({"token": token.access_token, "refresh_token": token.refresh_token})
    assert merge_refreshed({"refresh_token": "old"}, token).refresh_token


@given(answers(METADATA), st.sampled_from([None, ISSUER]), st.booleans())
def test_metadata(answer: HttpResponse, issuer: str | None, openid: bool) -> None:
    metadata = value_of(
        lambda: parse_server_metadata(answer, METADATA_URL, issuer, openid), "metadata"
    )
    if metadata is None:
        return
    assert metadata.issuer in ((ISSUER, ISSUER + "/") if openid else (ISSUER, ISSUER + "/", None))
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        url = value_of(partial(metadata.endpoint, name), "metadata")
        assert url is None or is_secure_url(url)
        if url is not None:
            query = authorization_parameters("client", "state", LoginTransaction("v" * 43), {})
            build_authorization_url(url, query).encode("ascii")
    announced = metadata.announced("id_token_signing_alg_values_supported")
    assert announced is None or all(isinstance(alg, str) for alg in announced)


@given(answers(jwks()))
def test_key_sets(answer: HttpResponse) -> None:
    keys = value_of(lambda: parse_jwks_response(answer), "jwks")
    assert keys is None or len(keys.keys) <= len(keys.document["keys"])


@given(
    answers({"sub": "alice", "email": "a@example.org"}),
    st.sampled_from([None, "alice"]),
    st.booleans(),
    st.booleans(),
)
def test_userinfo(answer: HttpResponse, sub: str | None, openid: bool, signed: bool) -> None:
    def judge() -> UserInfo | str:
        claims = parse_userinfo_response(answer, signed)
        if isinstance(claims, UserInfo):
            check_userinfo_sub(claims, sub, openid)
        return claims

    claims = value_of(judge, "userinfo")
    if claims is not None and (signed or isinstance(claims, str)):
        assert answer.media_type == "application/jwt"  # its signature is still to be judged
        assert isinstance(claims, str)
        return
    if claims is not None and sub is not None:
        assert claims.sub == sub
    if claims is not None and openid:
        assert claims["sub"]


@given(
    st.dictionaries(
        st.sampled_from(ANSWER),
        any_text | st.sampled_from([ISSUER, "access_denied", "c" * 9000]),
    ),
    st.sampled_from([None, ISSUER]),
    st.booleans(),
    st.sampled_from(["code", "code id_token", "id_token"]),
)
def test_the_answer_of_a_login(
    parameters: dict[str, str], issuer: str | None, promised: bool, response_type: str
) -> None:
    answer = value_of(
        lambda: parse_authorization_response(parameters, issuer, promised, response_type),
        "authorization",
    )
    if answer is not None:
        wanted = response_type.split()
        for name in ("code", "id_token"):
            assert getattr(answer, name) == (parameters[name] if name in wanted else None)
        assert answer.session_state in (None, parameters.get("session_state"))
        assert "error" not in parameters
        assert issuer is None or parameters.get("iss", issuer) == issuer
        assert "iss" in parameters or not promised or "id_token" in wanted


@given(altered(LOGIN) | st.dictionaries(any_text, any_json))
def test_the_record_of_a_login(record: dict[str, Any]) -> None:
    """A record is authentic, but may be one of an older version, or of something else."""
    login = LoginTransaction.from_record(record)
    LogoutTransaction.from_record(record)
    if login is not None:
        assert isinstance(login.code_verifier, str)
        assert LoginTransaction.from_record(login.record()) is not None
