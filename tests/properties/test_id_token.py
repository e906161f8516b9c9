"""No text at all gets past the ID Token's judges, but the one that was signed."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from reliant.errors import IDTokenError
from reliant.protocol.id_token import (
    check_claims,
    check_options,
    has_valid_signature,
    read_id_token,
)
from reliant.protocol.jose import MalformedToken, import_jwk, parse_jws
from reliant.protocol.jwks import parse_jwks, select_keys
from tests.helpers.tokens import (
    ACCESS_TOKEN,
    NOW,
    claims,
    expected,
    id_token,
    jwks,
    key_for,
    public,
    unsigned,
)
from tests.properties.strategies import altered, any_json, any_text

KEYS = parse_jwks(jwks(), symmetric=False).keys
TOKENS = [id_token() for _ in range(3)]
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ALGORITHMS = st.sampled_from(["ES256", "RS256", "HS256", "none", "EdDSA"])


def judge(text: str) -> bool:
    """Whether a text is believed; raises nothing but the one documented error."""
    try:
        token = read_id_token(text)
        check_claims(token, expected(access_token=ACCESS_TOKEN), NOW)
    except IDTokenError:
        return False
    return has_valid_signature(token, KEYS)


def refusal(judge: Callable[..., Any], *args: Any) -> str | None:
    """The code of the ID Token's error, or None where all is well."""
    try:
        judge(*args)
    except IDTokenError as exc:
        error = exc
    else:
        return None
    assert str(error).isprintable()
    return error.code


def test_the_token_itself_is_believed() -> None:
    assert judge(TOKENS[0])


@given(any_text)
def test_any_text_is_refused(text: str) -> None:
    assert not judge(text)


@given(st.lists(st.text(BASE64URL, max_size=60) | any_text, max_size=5).map(".".join))
def test_any_parts_are_refused(text: str) -> None:
    assert not judge(text)


@given(any_text)
def test_parse_jws_raises_nothing_but_malformed_token(text: str) -> None:
    with suppress(MalformedToken):
        parse_jws(text)


@given(st.data())
def test_a_change_of_any_signed_character_is_refused(data: st.DataObject) -> None:
    token = data.draw(st.sampled_from(TOKENS))
    signed = token.rpartition(".")[0]
    place = data.draw(st.integers(0, len(signed) - 1))
    character = data.draw(st.sampled_from(BASE64URL + ".=+/ é") | st.characters())
    assume(token[place] != character)
    assert not judge(token[:place] + character + token[place + 1 :])


@given(st.data())
def test_a_character_more_or_less_is_refused(data: st.DataObject) -> None:
    token = TOKENS[0]
    signed = token.rpartition(".")[0]
    place = data.draw(st.integers(0, len(signed) - 1))
    assert not judge(token[:place] + token[place + 1 :])
    assert not judge(token[:place] + data.draw(st.sampled_from(BASE64URL)) + token[place:])


@given(st.integers(0, 64 * 8 - 1))
def test_a_flipped_bit_of_the_signature_is_refused(bit: int) -> None:
    head, _, signature = TOKENS[0].rpartition(".")
    octets = bytearray(base64.urlsafe_b64decode(signature + "=="))
    octets[bit // 8] ^= 1 << bit % 8
    assert not judge(f"{head}.{base64.urlsafe_b64encode(octets).decode().rstrip('=')}")


@given(altered({"alg": "ES256", "kid": "key-1", "typ": "JWT"}), altered(claims()), st.binary())
def test_any_header_and_claims_without_the_key_are_refused(
    header: dict[str, Any], payload: dict[str, Any], signature: bytes
) -> None:
    assert not judge(unsigned(header, payload, signature))


@given(altered(claims(auth_time=NOW, acr="gold", azp="client", nbf=NOW, at_hash="x")), ALGORITHMS)
def test_any_claims_are_judged_without_a_surprise(payload: dict[str, Any], alg: str) -> None:
    wanted = expected(access_token=ACCESS_TOKEN, max_age=60, acr_values="gold silver", sub="alice")
    code = refusal(
        lambda: check_claims(read_id_token(unsigned({"alg": alg}, payload)), wanted, NOW)
    )
    if code is None:
        assert payload["iss"] == wanted.issuer
        assert payload["sub"] == "alice"
        assert payload["nonce"] == wanted.nonce
        assert wanted.client_id in payload["aud"]
        assert payload["exp"] > NOW - 60
        assert payload["iat"] <= NOW + 60
        assert alg == "ES256"


@given(
    st.dictionaries(st.sampled_from(["sub", "hd", "groups"]), any_json, max_size=3),
    st.dictionaries(
        st.sampled_from(["sub", "hd", "groups"]),
        st.fixed_dictionaries({}, optional={"essential": st.booleans(), "value": any_json}),
    ),
)
def test_any_options_are_judged_without_a_surprise(
    payload: dict[str, Any], options: dict[str, Any]
) -> None:
    codes = (None, "id_token.claim_missing", "id_token.claim_value")
    assert refusal(check_options, payload, options) in codes


@given(st.sampled_from(["ES256", "RS256", "Ed25519", "HS256"]).flatmap(
    lambda alg: altered(public(key_for(alg)))
))  # fmt: skip
def test_any_key_is_imported_or_left_out(member: dict[str, Any]) -> None:
    key = import_jwk(member)
    if key is not None:
        for alg in ("RS256", "PS512", "ES256", "EdDSA", "HS256"):
            select_keys((key,), alg, "key-1")
            token = read_id_token(id_token(alg))
            has_valid_signature(token, (key,))


@given(any_json)
def test_anything_is_imported_or_left_out(value: Any) -> None:
    assert import_jwk(value) is None
