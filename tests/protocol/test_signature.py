"""Signatures: each algorithm, the wrong key, a flipped bit, and key sets full of noise."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import pytest

from reliant.errors import MetadataError
from reliant.protocol import jose
from reliant.protocol.id_token import has_valid_signature, read_id_token
from reliant.protocol.jose import ASYMMETRIC_ALGORITHMS, SYMMETRIC_ALGORITHMS, Key, import_jwk
from reliant.protocol.jwks import (
    MAX_CANDIDATES,
    build_jwks_request,
    parse_jwks,
    parse_jwks_response,
    select_keys,
)
from tests.helpers.http import json_response, text_response
from tests.helpers.tokens import ABSENT, claims, id_token, jwks, key_for, public, segment, unsigned

ALL = ASYMMETRIC_ALGORITHMS + SYMMETRIC_ALGORITHMS


def keys_of(*members: Any) -> tuple[Key, ...]:
    """The usable keys of a JWK Set that a provider publishes."""
    return parse_jwks({"keys": list(members)}, symmetric=False).keys


def verifying_key(alg: str, kid: str | None = "key-1") -> Key:
    key = key_for(alg, kid)
    if alg in SYMMETRIC_ALGORITHMS:
        return key
    (imported,) = keys_of(public(key))
    return imported


def flip(token: str, part: int, bit: int = 0) -> str:
    """The token with one bit of one of its parts flipped."""
    parts = token.split(".")
    octets = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    octets[bit // 8] ^= 1 << bit % 8
    parts[part] = segment(bytes(octets))
    return ".".join(parts)


# -- each algorithm ------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ALL)
def test_a_good_signature_is_valid(alg: str) -> None:
    assert has_valid_signature(read_id_token(id_token(alg)), (verifying_key(alg),))


@pytest.mark.parametrize("alg", ALL)
@pytest.mark.parametrize("bit", [0, 77, 250])
def test_a_flipped_bit_in_the_signature_is_not(alg: str, bit: int) -> None:
    token = read_id_token(flip(id_token(alg), 2, bit))
    assert not has_valid_signature(token, (verifying_key(alg),))


@pytest.mark.parametrize("alg", ALL)
def test_changed_claims_are_not(alg: str) -> None:
    head, _, signature = id_token(alg).split(".")
    token = read_id_token(f"{head}.{segment(claims(sub='bob'))}.{signature}")
    assert not has_valid_signature(token, (verifying_key(alg),))


@pytest.mark.parametrize("alg", ALL)
def test_the_signature_of_another_key_is_not(alg: str) -> None:
    other = key_for(alg, "other")
    forged = jose.sign_jwt(claims(), other, alg, kid="key-1")
    assert not has_valid_signature(read_id_token(forged), (verifying_key(alg),))


@pytest.mark.parametrize("alg", ALL)
@pytest.mark.parametrize("signature", ["", "AA", "!!", "A"], ids=["none", "short", "text", "odd"])
def test_what_is_no_signature_is_not(alg: str, signature: str) -> None:
    unsigned_part = id_token(alg).rpartition(".")[0]
    token = read_id_token(f"{unsigned_part}.{signature}")
    assert not has_valid_signature(token, (verifying_key(alg),))


def test_the_largest_rsa_key_we_take_verifies() -> None:
    """RSA 8192 is in our range; its signature is longer than the JOSE library's own limit."""
    key = import_jwk(RSA_8192)
    assert key is not None
    assert jose.fits(key, "RS256")
    assert read_id_token(unsigned({"alg": "RS256"}, claims(), b"s" * 1024)).alg == "RS256"


# A modulus needs no factors to be imported as a public key.
RSA_8192 = {"kty": "RSA", "n": segment(b"\x80" + b"\x01" * 1023), "e": "AQAB"}


# -- confusion -----------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", SYMMETRIC_ALGORITHMS)
@pytest.mark.parametrize("as_pem", [True, False], ids=["PEM", "modulus"])
def test_an_hmac_made_with_the_public_key_is_not_valid(alg: str, as_pem: bool) -> None:
    """RFC 8725 section 2.1: the attacker knows the public key and signs with it."""
    key: Any = key_for("RS256")
    secret = key.as_pem(private=False) if as_pem else public(key)["n"].encode()
    message = unsigned({"alg": alg, "kid": "key-1"}, claims()).rpartition(".")[0]
    mac = hmac.digest(secret, message.encode(), f"sha{alg[2:]}")
    token = read_id_token(f"{message}.{segment(mac)}")
    assert not has_valid_signature(token, keys_of(public(key)))


@pytest.mark.parametrize("alg", ["none", "", "None", "ES256K", "A128KW", "__class__"])
def test_an_algorithm_that_is_not_ours_never_verifies(alg: str) -> None:
    token = read_id_token(unsigned({"alg": alg, "kid": "key-1"}, claims(), b""))
    assert not any(jose.verify_jws(token, verifying_key(name), alg) for name in ALL)


def test_the_algorithm_is_the_one_asked_for() -> None:
    token, key = read_id_token(id_token("RS256")), keys_of(public(key_for("RS256"), alg=ABSENT))[0]
    assert jose.verify_jws(token, key, "RS256")
    assert not jose.verify_jws(token, key, "PS256")


@pytest.mark.parametrize("alg", ASYMMETRIC_ALGORITHMS)
def test_a_published_key_without_alg_serves_the_algorithms_of_its_kind(alg: str) -> None:
    (key,) = keys_of(public(key_for(alg), alg=ABSENT))
    kinds = {"R": "RS256 RS384 RS512 PS256 PS384 PS512", "P": "RS256 RS384 RS512 PS256 PS384 PS512"}
    edwards = {"EdDSA": "EdDSA Ed25519", "Ed25519": "EdDSA Ed25519", "Ed448": "EdDSA Ed448"}
    wanted = (kinds | edwards).get(alg) or kinds.get(alg[0]) or alg
    assert [name for name in ALL if jose.fits(key, name)] == wanted.split()


# -- which key -----------------------------------------------------------------------------------


def test_kid_chooses_among_keys_of_one_kind() -> None:
    token = read_id_token(id_token())
    keys = keys_of(public(key_for("ES256", "other")), public(key_for("ES256")))
    assert [key.kid for key in select_keys(keys, token.alg, token.kid)] == ["key-1"]
    assert has_valid_signature(token, keys)


def test_without_kid_every_fitting_key_is_tried() -> None:
    token = read_id_token(jose.sign_jwt(claims(), key_for("ES256"), "ES256"))
    keys = keys_of(
        public(key_for("ES256", "other")), public(key_for("RS256")), public(key_for("ES256"))
    )
    assert [key.kid for key in select_keys(keys, "ES256", None)] == ["other", "key-1"]
    assert has_valid_signature(token, keys)


def test_without_kid_a_single_key_serves() -> None:
    token = read_id_token(jose.sign_jwt(claims(), key_for("ES256"), "ES256"))
    assert has_valid_signature(token, keys_of(public(key_for("ES256"))))


def test_an_unknown_kid_chooses_no_named_key() -> None:
    token = read_id_token(jose.sign_jwt(claims(), key_for("ES256"), "ES256", kid="new"))
    assert not has_valid_signature(token, keys_of(public(key_for("ES256"))))


def test_a_key_without_kid_may_stand_for_any() -> None:
    token = read_id_token(id_token())
    assert has_valid_signature(token, keys_of(public(key_for("ES256"), kid=ABSENT)))


def test_a_named_key_goes_before_those_without_kid() -> None:
    keys = keys_of(public(key_for("ES256", None)), public(key_for("ES256")))
    assert [key.kid for key in select_keys(keys, "ES256", "key-1")] == ["key-1"]


def test_two_keys_with_one_kid_are_both_tried() -> None:
    token = read_id_token(id_token())
    keys = keys_of(public(key_for("ES256", "other"), kid="key-1"), public(key_for("ES256")))
    assert has_valid_signature(token, keys)


def test_one_token_costs_no_more_than_eight_signature_checks() -> None:
    keys = keys_of(*(public(key_for("ES256"), kid=f"key-{i}") for i in range(20)))
    assert len(select_keys(keys, "ES256", None)) == MAX_CANDIDATES == 8


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"alg": "ES384"},
        {"use": ABSENT, "key_ops": ["sign"]},
        {"use": ABSENT, "key_ops": []},
    ],
    ids=str,
)
def test_a_key_for_something_else_is_not_used(changes: dict[str, Any]) -> None:
    token = read_id_token(id_token())
    assert not has_valid_signature(token, keys_of(public(key_for("ES256"), **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use": ABSENT},
        {"alg": ABSENT},
        {"use": ABSENT, "key_ops": ["verify"]},
        {"key_ops": ["verify"]},
        {"x5t": "AA", "https://vendor.example": {"x": 1}},
        {"x5c": ["MIIB"]},
        {"d": "AQAB"},
    ],
    ids=str,
)
def test_a_key_for_signatures_is_used(changes: dict[str, Any]) -> None:
    token = read_id_token(id_token())
    assert has_valid_signature(token, keys_of(public(key_for("ES256"), **changes)))


# -- noise ---------------------------------------------------------------------------------------

RSA, EC = public(key_for("RS256")), public(key_for("ES256"))
OKP = public(key_for("Ed25519"))
NOISE: dict[str, Any] = {
    "null": None,
    "a number": 5,
    "a string": "key",
    "a list": [EC],
    "an empty object": {},
    "kty absent": {**EC, "kty": None},
    "kty unknown": {"kty": "LWE", "kid": "key-1"},
    "kty a list": {**EC, "kty": ["EC"]},
    "kty an object": {**EC, "kty": {}},
    "curve secp256k1": {**EC, "crv": "secp256k1"},
    "curve unknown": {**EC, "crv": "P-257"},
    "curve a list": {**EC, "crv": ["P-256"]},
    "point off the curve": {**EC, "x": EC["y"]},
    "point too short": {**EC, "x": "AA"},
    "point absent": {k: v for k, v in EC.items() if k != "x"},
    "point a number": {**EC, "x": 5},
    "point not base64url": {**EC, "x": "!!"},
    "point not ASCII": {**EC, "x": "é" * 43},
    "point null": {**EC, "x": None},
    "OKP point too short": {**OKP, "x": "AA"},
    "OKP curve a list": {**OKP, "crv": []},
    "RSA of 1024 bits": {**RSA, "n": segment(b"\x80" + b"\x01" * 127)},
    "RSA of 2047 bits": {**RSA, "n": segment(b"\x7f" + b"\x01" * 255)},
    "RSA of 2040 bits, padded with zeros": {**RSA, "n": segment(b"\x00" + b"\x81" * 255)},
    "RSA of 16384 bits": {**RSA, "n": segment(b"\x80" + b"\x01" * 2047)},
    "RSA of a megabyte": {**RSA, "n": "A" * 1_000_000},
    "RSA n absent": {k: v for k, v in RSA.items() if k != "n"},
    "RSA n a number": {**RSA, "n": 5},
    "RSA n not base64url": {**RSA, "n": "!" * 342},
    "RSA n not ASCII": {**RSA, "n": RSA["n"] + "é"},
    "RSA n empty": {**RSA, "n": ""},
    "RSA e 1": {**RSA, "e": "AQ"},
    "RSA e 2": {**RSA, "e": "Ag"},
    "RSA e of a kilobyte": {**RSA, "e": "AQAB" * 256},
    "RSA e absent": {k: v for k, v in RSA.items() if k != "e"},
    "kid a number": {**EC, "kid": 5},
    "use a number": {**EC, "use": 5},
    "key_ops a number": {**EC, "key_ops": 5},
    "key_ops at odds with use": {**EC, "key_ops": ["encrypt"]},
    "alg a list": {**EC, "alg": ["ES256"]},
    "for encryption": {**EC, "use": "enc"},
    "for key agreement": {**OKP, "crv": "X25519", "alg": "ECDH-ES"},
    "a shared secret": {"kty": "oct", "k": segment(b"k" * 32), "kid": "key-1", "alg": "HS256"},
    "a shared secret that is short": {"kty": "oct", "k": "AA"},
    "a shared secret without k": {"kty": "oct"},
    "a private RSA key": {**RSA, "d": RSA["n"]},
    "a private RSA key whose d is a megabyte": {**RSA, "d": "_" * 1_000_000},
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE.keys())
def test_noise_in_a_key_set_leaves_the_good_key_usable(noise: Any) -> None:
    """RFC 7517 section 5: keys that aren't understood are ignored, one by one."""
    token = read_id_token(id_token())
    assert has_valid_signature(token, keys_of(noise, EC))
    assert has_valid_signature(token, keys_of(EC, noise))


UNUSABLE = [name for name in NOISE if not name.startswith(("for ", "a private"))]


@pytest.mark.parametrize("name", UNUSABLE)
def test_noise_is_no_key(name: str) -> None:
    assert keys_of(NOISE[name]) == ()


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519", "Ed448", "ES256"])
@pytest.mark.parametrize("crv", ["X25519", "X448"])
def test_a_key_for_key_agreement_verifies_nothing(alg: str, crv: str) -> None:
    member = {"kty": "OKP", "crv": crv, "x": segment(b"\x09" * (32 if crv == "X25519" else 56))}
    assert not has_valid_signature(read_id_token(id_token(alg)), keys_of(member))


@pytest.mark.parametrize("alg", ["RS256", "PS256"])
def test_an_rsa_key_of_an_even_modulus_verifies_nothing(alg: str) -> None:
    keys = keys_of({**RSA, "n": segment(b"\x80" * 256), "alg": alg})
    assert not has_valid_signature(read_id_token(id_token(alg)), keys)


@pytest.mark.parametrize("name", ["a private RSA key", "a private RSA key whose d is a megabyte"])
def test_private_members_are_not_read(name: str) -> None:
    (key,) = keys_of(NOISE[name])
    assert not key.is_private


def test_a_shared_secret_in_the_providers_set_is_never_used() -> None:
    secret = key_for("HS256")
    member = {**secret.as_dict(private=True)}
    token = read_id_token(id_token("HS256"))
    assert keys_of(member) == ()
    own = parse_jwks({"keys": [member]}, symmetric=True).keys
    assert has_valid_signature(token, own)


def test_a_thousand_noisy_bits_stay_within_100_keys() -> None:
    assert len(keys_of(*[EC] * 100)) == 100
    with pytest.raises(MetadataError) as caught:
        keys_of(*[EC] * 101)
    assert caught.value.code == "jwks.too_many"


# -- the answer of jwks_uri ----------------------------------------------------------------------

BAD_ANSWERS = {
    "503": (json_response(jwks(), 503), "jwks.status"),
    "404": (json_response(jwks(), 404), "jwks.status"),
    "302": (json_response(jwks(), 302), "jwks.status"),
    "201": (json_response(jwks(), 201), "jwks.status"),
    "204": (text_response("", 204), "jwks.status"),
    "empty": (text_response(""), "jwks.empty"),
    "HTML": (text_response("<!doctype html>"), "jwks.html"),
    "text": (text_response("no keys today"), "jwks.not_json"),
    "form": (text_response("keys=1"), "jwks.form_encoded"),
    "null": (json_response(None), "jwks.null"),
    "a list": (json_response([EC]), "jwks.not_object"),
    "a string": (json_response("keys"), "jwks.not_object"),
    "{}": (json_response({}), "jwks.not_a_set"),
    "keys null": (json_response({"keys": None}), "jwks.not_a_set"),
    "keys an object": (json_response({"keys": {"key-1": EC}}), "jwks.not_a_set"),
    "one bare key": (json_response(EC), "jwks.not_a_set"),
    "101 keys": (json_response({"keys": [EC] * 101}), "jwks.too_many"),
    "100,000 brackets": (text_response("[" * 100_000), "jwks.not_json"),
}


@pytest.mark.parametrize(("answer", "code"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_an_answer_that_is_no_key_set_is_refused(answer: Any, code: str) -> None:
    with pytest.raises(MetadataError) as caught:
        parse_jwks_response(answer)
    assert caught.value.code == code


@pytest.mark.parametrize("media_type", ["application/jwk-set+json", "application/json", "", "x"])
def test_the_media_type_of_a_key_set_does_not_matter(media_type: str) -> None:
    answer = json_response(jwks(), content_type=media_type)
    assert len(parse_jwks_response(answer).keys) == 1


def test_an_empty_set_and_one_of_strangers_only_are_sets() -> None:
    assert parse_jwks_response(json_response({"keys": []})).keys == ()
    assert parse_jwks_response(json_response({"keys": [None, {"kty": "LWE"}]})).keys == ()


def test_the_document_is_kept_as_it_came_and_the_keys_stay_out_of_the_repr() -> None:
    document = {"keys": [EC, None], "vendor": 1}
    keys = parse_jwks_response(json_response(document))
    assert keys.document == document
    assert "Key object" not in repr(keys)


def test_the_request_asks_for_a_key_set() -> None:
    request = build_jwks_request("https://op.example/jwks")
    assert (request.method, request.url, request.body) == ("GET", "https://op.example/jwks", b"")
    assert request.headers["accept"].startswith("application/jwk-set+json")
