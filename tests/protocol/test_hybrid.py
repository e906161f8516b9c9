"""Response types, and the hashes that tie an ID Token to what came beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from reliant.errors import AuthorizationError, ConfigurationError, IDTokenError
from reliant.protocol import jose
from reliant.protocol.authorization import (
    authorization_parameters,
    new_login,
    parse_authorization_response,
)
from reliant.protocol.id_token import Expected, check_claims

ISSUER, CLIENT_ID, NOW = "https://op.example", "client", 1_700_000_000
CODE, STATE, ACCESS_TOKEN = "the-code", "the-state", "the-access-token"
ABSENT: Any = object()

# -- response types ------------------------------------------------------------------------------


def ask(scope: str = "openid", **parameters: Any) -> dict[str, Any]:
    state, transaction = new_login("https://rp.example/cb", {"scope": scope, **parameters})
    return authorization_parameters(CLIENT_ID, state, transaction, {"scope": scope, **parameters})


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("code", "code"),
        ("code id_token", "code id_token"),
        ("id_token code", "code id_token"),
        ("  id_token   code ", "code id_token"),
        (["id_token", "code"], "code id_token"),
        ("id_token", "id_token"),
    ],
    ids=str,
)
def test_a_response_type_is_a_set(given: Any, sent: str) -> None:
    assert ask(response_type=given)["response_type"] == sent


@pytest.mark.parametrize("response_type", ["code", "code id_token", "id_token"])
def test_the_nonce_is_always_there_and_pkce_wherever_a_code_is(response_type: str) -> None:
    parameters = ask(response_type=response_type)
    assert 20 <= len(parameters["nonce"]) <= 43
    has_code = "code" in response_type.split()
    assert ("code_challenge" in parameters) == has_code
    assert ("code_challenge_method" in parameters) == has_code


@pytest.mark.parametrize(
    "response_type",
    [
        "token",
        "id_token token",
        "code token",
        "code id_token token",
        "none",
        "",
        "CODE",
        "code code2",
        None,
    ],
)
def test_a_response_type_that_puts_a_token_into_the_browser_is_refused(response_type: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ask(response_type=response_type)
    assert caught.value.code == "configuration.response_type"


@pytest.mark.parametrize("response_type", ["code id_token", "id_token"])
def test_an_id_token_needs_openid(response_type: str) -> None:
    assert ask("openid email", response_type=response_type)
    with pytest.raises(ConfigurationError) as caught:
        ask("email", response_type=response_type)
    assert caught.value.code == "configuration.response_type"


@pytest.mark.parametrize("response_type", ["code id_token", "id_token"])
def test_an_id_token_never_travels_in_a_query(response_type: str) -> None:
    for mode in ("form_post", "fragment", None):
        assert ask(response_type=response_type, response_mode=mode)
    with pytest.raises(ConfigurationError) as caught:
        ask(response_type=response_type, response_mode="query")
    assert caught.value.code == "configuration.response_mode"
    assert ask(response_type="code", response_mode="query")["response_mode"] == "query"


# -- the answer ----------------------------------------------------------------------------------

ANSWER = {"state": STATE, "code": CODE, "id_token": "a.b.c", "access_token": "t"}


@pytest.mark.parametrize(
    ("response_type", "code", "id_token"),
    [("code", CODE, None), ("code id_token", CODE, "a.b.c"), ("id_token", None, "a.b.c")],
)
def test_only_what_was_asked_for_is_taken(
    response_type: str, code: str | None, id_token: str | None
) -> None:
    answer = parse_authorization_response(ANSWER, ISSUER, False, response_type)
    assert (answer.code, answer.id_token) == (code, id_token)
    assert CODE not in repr(answer)
    assert "a.b.c" not in repr(answer)


@pytest.mark.parametrize(
    ("response_type", "missing", "code"),
    [
        ("code", "code", "code_missing"),
        ("code id_token", "code", "code_missing"),
        ("code id_token", "id_token", "id_token_missing"),
        ("id_token", "id_token", "id_token_missing"),
    ],
)
def test_what_was_asked_for_must_come(response_type: str, missing: str, code: str) -> None:
    parameters = {name: value for name, value in ANSWER.items() if name != missing}
    with pytest.raises(AuthorizationError) as caught:
        parse_authorization_response(parameters, ISSUER, False, response_type)
    assert caught.value.code == f"authorization.{code}"


def test_an_id_token_beside_the_code_stands_in_for_iss() -> None:
    assert parse_authorization_response(ANSWER, ISSUER, True, "code id_token").code == CODE
    with pytest.raises(AuthorizationError) as caught:
        parse_authorization_response(ANSWER, ISSUER, True, "code")
    assert caught.value.code == "authorization.iss_missing"
    mixed_up = {**ANSWER, "iss": "https://evil.example"}
    with pytest.raises(AuthorizationError) as caught:
        parse_authorization_response(mixed_up, ISSUER, True, "code id_token")
    assert caught.value.code == "authorization.iss_mismatch"


def test_an_error_counts_more_than_a_code_beside_it() -> None:
    with pytest.raises(AuthorizationError) as caught:
        parse_authorization_response(
            {**ANSWER, "error": "login_required"}, ISSUER, False, "code id_token"
        )
    assert (caught.value.code, caught.value.error) == ("authorization.error", "login_required")


@pytest.mark.parametrize(
    ("given", "kept"), [("a.b", "a.b"), ("x" * 1025, None)], ids=["short", "long"]
)
def test_the_session_state_is_kept(given: str, kept: str | None) -> None:
    answer = parse_authorization_response({**ANSWER, "session_state": given}, ISSUER, False, "code")
    assert answer.session_state == kept


# -- hashes --------------------------------------------------------------------------------------


def half(value: str, digest: str = "sha256") -> str:
    octets = hashlib.new(digest, value.encode()).digest()
    return base64.urlsafe_b64encode(octets[: len(octets) // 2]).rstrip(b"=").decode()


def judge(alg: str = "RS256", expected: dict[str, Any] | None = None, **hashes: Any) -> None:
    def segment(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"iss": ISSUER, "sub": "alice", "aud": CLIENT_ID, "iat": NOW, "exp": NOW + 60}
    claims.update((name, value) for name, value in hashes.items() if value is not ABSENT)
    token = jose.parse_jws(f"{segment({'alg': alg})}.{segment(claims)}.c2ln")
    beside: dict[str, Any] = {"code": CODE, "state": STATE, "access_token": ACCESS_TOKEN}
    beside = beside if expected is None else expected
    check_claims(token, Expected(ISSUER, CLIENT_ID, (alg,), **beside), NOW)


GOOD: dict[str, Any] = {"c_hash": half(CODE), "s_hash": half(STATE), "at_hash": half(ACCESS_TOKEN)}


@pytest.mark.parametrize(
    ("alg", "digest"),
    [
        ("RS256", "sha256"),
        ("PS384", "sha384"),
        ("ES512", "sha512"),
        ("HS256", "sha256"),
        ("EdDSA", "sha512"),
        ("Ed25519", "sha512"),
    ],
)
def test_the_algorithm_names_the_hash(alg: str, digest: str) -> None:
    judge(alg, {"code": CODE}, c_hash=half(CODE, digest))
    with pytest.raises(IDTokenError) as caught:
        judge(alg, {"code": CODE}, c_hash=half(CODE, "sha224"))
    assert caught.value.code == "id_token.c_hash"


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    "wrong",
    [lambda right: right + "1", lambda _: half("another"), lambda _: "", lambda _: 5, lambda _: []],
    ids=["longer", "of another", "empty", "number", "list"],
)
def test_a_hash_belongs_to_what_came_beside_it(name: str, wrong: Any) -> None:
    judge(**GOOD)
    with pytest.raises(IDTokenError) as caught:
        judge(**{**GOOD, name: wrong(GOOD[name])})
    assert caught.value.code == f"id_token.{name}"


def test_which_hashes_may_be_missing() -> None:
    judge(**{**GOOD, "s_hash": ABSENT, "at_hash": ABSENT})
    with pytest.raises(IDTokenError) as caught:
        judge(**{**GOOD, "c_hash": ABSENT})
    assert caught.value.code == "id_token.c_hash_missing"
    with pytest.raises(IDTokenError) as caught:
        judge(**{**GOOD, "c_hash": None})
    assert caught.value.code == "id_token.c_hash_missing"
    for name in ("s_hash", "at_hash"):  # null is not the same as absent
        with pytest.raises(IDTokenError) as caught:
            judge(**{**GOOD, name: None})
        assert caught.value.code == f"id_token.{name}"


def test_a_hash_of_what_did_not_come_here_says_nothing() -> None:
    """A token from the token endpoint may go on telling of the code that is gone."""
    judge(expected={}, c_hash=half("gone"), at_hash=half("unknown"), s_hash=half("unknown"))
