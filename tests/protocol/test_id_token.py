"""ID Token validation: one good token, and for each rule of OIDC Core 3.1.3.7 its failing twin."""

from __future__ import annotations

from typing import Any

import pytest

from reliant.errors import ConfigurationError, IDTokenError
from reliant.protocol.id_token import (
    allowed_algorithms,
    check_claims,
    check_options,
    read_id_token,
)
from reliant.protocol.jose import ASYMMETRIC_ALGORITHMS, hash_of
from tests.helpers.tokens import (
    ABSENT,
    ACCESS_TOKEN,
    CLIENT_ID,
    ISSUER,
    NOW,
    claims,
    expected,
    id_token,
    key_for,
    read_token,
    segment,
    unsigned,
)

NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**400


def refusal(changes: dict[str, Any], alg: str = "ES256", **expectation: Any) -> str:
    """The code with which the good token, so changed, is refused."""
    with pytest.raises(IDTokenError) as caught:
        check_claims(read_token(alg, **changes), expected(**expectation), NOW)
    return caught.value.code.removeprefix("id_token.")


def accept(changes: dict[str, Any], alg: str = "ES256", **expectation: Any) -> None:
    check_claims(read_token(alg, **changes), expected(**expectation), NOW)


# -- steps 2 to 5, 9 to 11: a claim that must be there and be right ------------------------------

BAD_CLAIMS: list[tuple[str, Any, str]] = [
    ("iss", ABSENT, "iss_mismatch"),
    ("iss", None, "iss_mismatch"),
    ("iss", 5, "iss_mismatch"),
    ("iss", [ISSUER], "iss_mismatch"),
    ("iss", "https://evil.example", "iss_mismatch"),
    ("iss", ISSUER + "/", "iss_mismatch"),
    ("iss", ISSUER.upper(), "iss_mismatch"),
    ("iss", "\ud800", "iss_mismatch"),
    ("sub", ABSENT, "sub_missing"),
    ("sub", None, "sub_missing"),
    ("sub", "", "sub_missing"),
    ("sub", 5, "sub_missing"),
    ("sub", ["alice"], "sub_missing"),
    ("sub", "s" * 256, "sub_missing"),
    ("sid", 5, "sid"),
    ("sid", ["1"], "sid"),
    ("sid", "s" * 256, "sid"),
    ("aud", ABSENT, "aud_missing"),
    ("aud", None, "aud_missing"),
    ("aud", [], "aud_missing"),
    ("aud", {}, "aud_missing"),
    ("aud", 5, "aud_missing"),
    ("aud", "", "aud_mismatch"),
    ("aud", "other", "aud_mismatch"),
    ("aud", CLIENT_ID + " other", "aud_mismatch"),
    ("aud", ["other"], "aud_mismatch"),
    ("aud", [CLIENT_ID, 5], "aud_mismatch"),
    ("aud", [[CLIENT_ID]], "aud_mismatch"),
    ("aud", [CLIENT_ID, "other"], "azp_missing"),
    ("aud", [CLIENT_ID, CLIENT_ID], "azp_missing"),
    ("azp", "other", "azp_mismatch"),
    ("azp", None, "azp_mismatch"),
    ("azp", [CLIENT_ID], "azp_mismatch"),
    ("exp", ABSENT, "exp_missing"),
    ("exp", None, "exp_missing"),
    ("exp", True, "exp_missing"),
    ("exp", str(NOW + 600), "exp_missing"),
    ("exp", NAN, "exp_missing"),
    ("exp", INFINITY, "exp_missing"),
    ("exp", HUGE, "exp_missing"),
    ("exp", [NOW + 600], "exp_missing"),
    ("exp", NOW - 60, "expired"),
    ("exp", -NOW, "expired"),
    ("exp", 0, "expired"),
    ("iat", ABSENT, "iat_missing"),
    ("iat", None, "iat_missing"),
    ("iat", True, "iat_missing"),
    ("iat", str(NOW), "iat_missing"),
    ("iat", NAN, "iat_missing"),
    ("iat", -INFINITY, "iat_missing"),
    ("iat", -HUGE, "iat_missing"),
    ("iat", NOW + 61, "iat_future"),
    ("nbf", NOW + 61, "nbf"),
    ("nbf", None, "nbf"),
    ("nbf", True, "nbf"),
    ("nbf", str(NOW), "nbf"),
    ("nbf", NAN, "nbf"),
    ("nonce", ABSENT, "nonce_missing"),
    ("nonce", None, "nonce_missing"),
    ("nonce", "", "nonce_mismatch"),
    ("nonce", "another login's", "nonce_mismatch"),
    ("nonce", 5, "nonce_mismatch"),
    ("nonce", ["the nonce of this login"], "nonce_mismatch"),
]

GOOD_CLAIMS: list[tuple[str, Any]] = [
    ("sub", "s"),
    ("sub", "s" * 255),
    ("aud", CLIENT_ID),
    ("aud", [CLIENT_ID]),
    ("azp", CLIENT_ID),
    ("exp", NOW - 59),
    ("exp", NOW),
    ("exp", NOW + 0.5),
    ("exp", NOW + 10 * 365 * 86400),
    ("iat", NOW + 60),
    ("iat", NOW - 0.5),
    ("iat", 0),
    ("nbf", NOW + 60),
    ("nbf", NOW - 1),
    ("acr", 5),
    ("auth_time", "long ago"),
    ("at_hash", "not judged without an access token"),
]


def show(value: Any) -> str:
    text = "absent" if value is ABSENT else ascii(value)
    return text if len(text) < 30 else text[:27] + "..."


@pytest.mark.parametrize(
    ("name", "value", "rule"), BAD_CLAIMS, ids=[f"{n}={show(v)}" for n, v, _ in BAD_CLAIMS]
)
def test_a_claim_that_breaks_a_rule_is_refused(name: str, value: Any, rule: str) -> None:
    assert refusal({name: value}) == rule


@pytest.mark.parametrize(
    ("name", "value"), GOOD_CLAIMS, ids=[f"{n}={show(v)}" for n, v in GOOD_CLAIMS]
)
def test_a_claim_within_the_rules_is_accepted(name: str, value: Any) -> None:
    accept({name: value})


def test_the_good_token_is_accepted() -> None:
    accept({})


def test_several_audiences_are_accepted_with_azp() -> None:
    accept({"aud": ["other", CLIENT_ID], "azp": CLIENT_ID})
    assert refusal({"aud": ["other", CLIENT_ID], "azp": "other"}) == "azp_mismatch"


def test_the_sub_stays_the_one_known_from_before() -> None:
    accept({}, sub="alice")
    assert refusal({}, sub="bob") == "sub_mismatch"


def test_an_extra_claim_of_any_kind_is_ignored() -> None:
    accept({"https://claims.example/x": {"deep": [None, NAN]}})


# -- leeway --------------------------------------------------------------------------------------


@pytest.mark.parametrize("leeway", [0, 1, 30, 60])
def test_leeway_is_what_was_asked_for_up_to_60_seconds(leeway: int) -> None:
    accept({"exp": NOW - leeway + 1}, leeway=leeway)
    assert refusal({"exp": NOW - leeway}, leeway=leeway) == "expired"
    accept({"iat": NOW + leeway}, leeway=leeway)
    assert refusal({"iat": NOW + leeway + 1}, leeway=leeway) == "iat_future"


@pytest.mark.parametrize("leeway", [61, 3600, 10**9])
def test_more_leeway_than_60_seconds_is_cut(leeway: int) -> None:
    assert refusal({"exp": NOW - 60}, leeway=leeway) == "expired"
    assert refusal({"iat": NOW + 61}, leeway=leeway) == "iat_future"
    assert refusal({"nbf": NOW + 61}, leeway=leeway) == "nbf"
    assert refusal({"auth_time": NOW - 161}, leeway=leeway, max_age=100) == "auth_time"


# -- steps 6 to 8: the algorithm -----------------------------------------------------------------


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", "RS256", "HS256", "es256", "X" * 999])
def test_an_algorithm_that_was_not_agreed_on_is_refused(alg: str) -> None:
    assert refusal({}, alg=alg, algorithms=("ES256",)) == "alg"


def test_the_agreed_algorithm_is_accepted() -> None:
    accept({}, alg="RS256", algorithms=("ES256", "RS256"))


def test_the_message_names_the_algorithm_shortened() -> None:
    with pytest.raises(IDTokenError, match="'XXXXXXXXXXXXXXXXXXXX'; allowed here: ES256"):
        accept({}, alg="X" * 999)
    with pytest.raises(IDTokenError, match="allowed here: none that"):
        accept({}, algorithms=())


ALGORITHMS: list[tuple[str, Any, Any, Any, tuple[str, ...]]] = [
    ("nothing is said: RS256, as Discovery has it", None, None, None, ("RS256",)),
    ("announced ones", None, ("ES256", "RS256"), None, ("RS256", "ES256")),
    ("announced none is not ours", None, ("none", "ES256"), None, ("ES256",)),
    ("announced HMAC is not ours", None, ("HS256", "RS256"), None, ("RS256",)),
    ("announced unknown ones only", None, ("ES256K", "none"), None, ()),
    ("announced nothing at all", None, (), None, ()),
    ("the app's own list wins", None, ("RS256",), ("ES256",), ("ES256",)),
    ("the app's own list may hold HMAC", None, None, ("HS256", "none"), ("HS256",)),
    ("the registered one alone", "PS256", ("RS256",), None, ("PS256",)),
    ("the registered one over the app's list", "PS256", None, ("RS256",), ("PS256",)),
    ("HMAC where registered", "HS512", ("RS256",), None, ("HS512",)),
]


@pytest.mark.parametrize(
    ("registered", "announced", "own", "allowed"),
    [case[1:] for case in ALGORITHMS],
    ids=[case[0] for case in ALGORITHMS],
)
def test_allowed_algorithms(registered: Any, announced: Any, own: Any, allowed: Any) -> None:
    assert allowed_algorithms(registered, announced, own) == allowed


@pytest.mark.parametrize("alg", ["none", "", "RSA", "rs256", "ES256K"])
def test_a_registered_algorithm_that_is_not_ours_is_a_configuration_error(alg: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        allowed_algorithms(alg, None, None)
    assert caught.value.code == "configuration.algorithm"


# -- steps 11 to 13 ------------------------------------------------------------------------------


def test_a_nonce_is_not_judged_where_none_is_known() -> None:
    accept({}, nonce=None)
    accept({"nonce": ABSENT}, nonce=None)


@pytest.mark.parametrize("acr", [ABSENT, None, "bronze", "", "gold silver", ["gold"], 5, True])
def test_an_acr_that_was_not_asked_for_is_refused(acr: Any) -> None:
    assert refusal({"acr": acr}, acr_values="gold silver") == "acr"


@pytest.mark.parametrize("acr", ["gold", "silver"])
def test_an_acr_that_was_asked_for_is_accepted(acr: str) -> None:
    accept({"acr": acr}, acr_values="gold silver")


@pytest.mark.parametrize(
    ("auth_time", "rule"),
    [
        (ABSENT, "auth_time_missing"),
        (None, "auth_time_missing"),
        (True, "auth_time_missing"),
        (str(NOW), "auth_time_missing"),
        (NAN, "auth_time_missing"),
        (HUGE, "auth_time_missing"),
        (NOW - 161, "auth_time"),
        (NOW + 61, "auth_time"),
        (NOW * 1000, "auth_time"),
        (0, "auth_time"),
        (-1, "auth_time"),
    ],
    ids=show,
)
def test_a_sign_in_older_than_max_age_or_of_unknown_age_is_refused(
    auth_time: Any, rule: str
) -> None:
    assert refusal({"auth_time": auth_time}, max_age=100) == rule


@pytest.mark.parametrize("auth_time", [NOW + 60, NOW, NOW - 100, NOW - 160, NOW - 100.5])
def test_a_sign_in_within_max_age_is_accepted(auth_time: float) -> None:
    accept({"auth_time": auth_time}, max_age=100)


def test_max_age_0_wants_a_sign_in_of_this_minute() -> None:
    accept({"auth_time": NOW - 60}, max_age=0)
    assert refusal({"auth_time": NOW - 61}, max_age=0) == "auth_time"
    assert refusal({}, max_age=0) == "auth_time_missing"


# -- section 3.1.3.8: at_hash --------------------------------------------------------------------

# Made with `openssl dgst`: the left half of the hash that the algorithm's name tells.
HASHES = {
    "RS256": "uby9Z8Gb_H_x4fPjwNzguw",
    "ES384": "9gqw8f3voYDv2u5y8ObTDrn9GOrdAzTZ",
    "PS512": "B7p8o12G5vm-9CEZGSanwzMw-leqyauPjU1ebdjBHYw",
    "HS256": "uby9Z8Gb_H_x4fPjwNzguw",
    "EdDSA": "B7p8o12G5vm-9CEZGSanwzMw-leqyauPjU1ebdjBHYw",
    "Ed25519": "B7p8o12G5vm-9CEZGSanwzMw-leqyauPjU1ebdjBHYw",
    "Ed448": "JeN8d09yt9-7F7FMlSUv5B04uKxSawNYapK_oiF0nOtbJSMqHfScausgcgr-moB4vBhPY1jDl0e-",
}


@pytest.mark.parametrize(("alg", "good"), HASHES.items())
def test_the_hash_is_the_one_inside_the_algorithm(alg: str, good: str) -> None:
    accept({"at_hash": good}, alg, algorithms=(alg,), access_token=ACCESS_TOKEN)
    assert hash_of(ACCESS_TOKEN, alg) == good


@pytest.mark.parametrize("alg", ASYMMETRIC_ALGORITHMS)
def test_the_at_hash_of_the_access_token_is_accepted(alg: str) -> None:
    good = hash_of(ACCESS_TOKEN, alg)
    accept({"at_hash": good}, alg=alg, algorithms=(alg,), access_token=ACCESS_TOKEN)


@pytest.mark.parametrize("alg", ASYMMETRIC_ALGORITHMS)
def test_the_at_hash_of_another_access_token_is_refused(alg: str) -> None:
    bad = {"at_hash": hash_of("other", alg)}
    assert refusal(bad, alg, algorithms=(alg,), access_token=ACCESS_TOKEN) == "at_hash"


@pytest.mark.parametrize("value", [None, "", 5, [], "\ud800", hash_of(ACCESS_TOKEN, "ES384")])
def test_an_at_hash_of_any_other_kind_is_refused(value: Any) -> None:
    assert refusal({"at_hash": value}, access_token=ACCESS_TOKEN) == "at_hash"


def test_at_hash_may_be_absent_in_the_code_flow() -> None:
    accept({}, access_token=ACCESS_TOKEN)


# -- reading -------------------------------------------------------------------------------------

GOOD_HEADER = {"alg": "ES256", "kid": "key-1"}
HEAD, BODY, SIGNATURE = unsigned(GOOD_HEADER, claims()).split(".")
OTHER_ALPHABET = segment({"a": "???"}).replace("_", "/")

MALFORMED: dict[str, str] = {
    "empty": "",
    "two parts": f"{HEAD}.{BODY}",
    "four parts": f"{HEAD}.{BODY}.{SIGNATURE}.{SIGNATURE}",
    "five parts, as JWE has": f"{HEAD}.{BODY}.{BODY}.{BODY}.{SIGNATURE}",
    "header not base64url": f"!!.{BODY}.{SIGNATURE}",
    "payload not base64url": f"{HEAD}.!!.{SIGNATURE}",
    "payload padded": f"{HEAD}.{segment(b'{}')}=.{SIGNATURE}",
    "payload in the other alphabet": f"{HEAD}.{OTHER_ALPHABET}.{SIGNATURE}",
    "payload with bits left over": f"{HEAD}.{segment(b'{}')[:-1]}1.{SIGNATURE}",
    "payload with letters of no alphabet": f"{HEAD}.{segment(b'{}')}!!!!.{SIGNATURE}",
    "header not JSON": unsigned(b"alg", claims()),
    "payload not JSON": unsigned(GOOD_HEADER, b"sub"),
    "payload empty": f"{HEAD}..{SIGNATURE}",
    "header a list": unsigned(["alg"], claims()),
    "header a string": unsigned("alg", claims()),
    "header null": unsigned(None, claims()),
    "payload a list": unsigned(GOOD_HEADER, [claims()]),
    "payload a string": unsigned(GOOD_HEADER, "claims"),
    "payload null": unsigned(GOOD_HEADER, None),
    "payload not UTF-8": unsigned(GOOD_HEADER, b'{"sub": "\xff"}'),
    "no alg": unsigned({"kid": "key-1"}, claims()),
    "alg null": unsigned({"alg": None}, claims()),
    "alg a list": unsigned({"alg": ["ES256"]}, claims()),
    "kid a number": unsigned({**GOOD_HEADER, "kid": 5}, claims()),
    "kid a list": unsigned({**GOOD_HEADER, "kid": ["key-1"]}, claims()),
    "crit": unsigned({**GOOD_HEADER, "crit": ["exp"], "exp": 1}, claims()),
    "crit empty": unsigned({**GOOD_HEADER, "crit": []}, claims()),
    "crit null": unsigned({**GOOD_HEADER, "crit": None}, claims()),
    "payload not encoded (RFC 7797)": unsigned(
        {**GOOD_HEADER, "b64": False, "crit": ["b64"]}, claims()
    ),
    "header of 9 kB": unsigned({**GOOD_HEADER, "x": "x" * 9000}, claims()),
    "payload of 1 MB": unsigned(GOOD_HEADER, {"x": "x" * 1_000_000}),
    "signature of 10 kB": unsigned(GOOD_HEADER, claims(), b"x" * 10_000),
    "not ASCII": f"{HEAD}.{BODY}.é",
    "a lone surrogate": f"{HEAD}.{BODY}.\ud800",
    "spaces around": f" {HEAD}.{BODY}.{SIGNATURE} ",
    "90,000 brackets": unsigned(GOOD_HEADER, b"[" * 90_000),
    "100,000 brackets": unsigned(GOOD_HEADER, b"[" * 100_000),
    "a number of 5,000 digits": unsigned(GOOD_HEADER, b'{"exp": ' + b"9" * 5000 + b"}"),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_readable_token_is_refused(text: str) -> None:
    keys = (key_for("ES256"),)  # with which one of five parts would be decrypted
    for given in [keys] if text.count(".") == 4 else [keys, ()]:
        with pytest.raises(IDTokenError) as caught:
            read_id_token(text, given)
        assert caught.value.code == "id_token.malformed"
        assert caught.value.__cause__ is not None
        assert not text or text not in str(caught.value)


def test_an_encrypted_token_is_refused_where_there_is_no_key() -> None:
    text = MALFORMED["five parts, as JWE has"]
    with pytest.raises(IDTokenError, match="client_keys") as caught:
        read_id_token(text)
    assert caught.value.code == "id_token.encrypted"
    assert text not in str(caught.value)


def test_a_good_token_is_read() -> None:
    token = read_id_token(f"{HEAD}.{BODY}.{SIGNATURE}")
    assert (token.alg, token.kid) == ("ES256", "key-1")
    assert token.claims == claims()


def test_header_members_of_no_concern_are_ignored() -> None:
    """jku, jwk and x5u could name an attacker's key: they are never followed."""
    header = {**GOOD_HEADER, "typ": 5, "jku": "https://evil.example", "jwk": {"kty": "oct"}, "x": 1}
    assert read_id_token(unsigned(header, claims())).alg == "ES256"


def test_a_token_with_a_certificate_chain_and_many_groups_is_read() -> None:
    header = {**GOOD_HEADER, "x5c": ["M" * 4000]}
    groups = ["0" * 36] * 1000
    assert read_id_token(unsigned(header, claims(groups=groups))).claims["groups"] == groups


def test_the_repr_of_a_read_token_shows_no_claim() -> None:
    assert "alice" not in repr(read_id_token(id_token()))


# -- the app's own checks ------------------------------------------------------------------------

OPTIONS_MET: list[tuple[str, Any]] = [
    ("no option", {}),
    ("essential", {"hd": {"essential": True}}),
    ("value", {"hd": {"value": "example.org"}}),
    ("values", {"hd": {"values": ["example.com", "example.org"]}}),
    ("values as a set", {"hd": {"values": {"example.org"}}}),
    ("values as one string", {"hd": {"values": "example.org"}}),
    ("values of a list", {"groups": {"values": ["b", "c"]}}),
    ("validate", {"hd": {"validate": lambda _, value: value.endswith(".org")}}),
    ("validate by other claims", {"hd": {"validate": lambda claims, _: claims["sub"] == "alice"}}),
    ("optional and absent", {"absent": {"essential": False}}),
    ("all at once", {"hd": {"essential": True, "value": "example.org", "values": ["example.org"]}}),
]
OPTIONS_BROKEN: list[tuple[str, Any, str]] = [
    ("essential but absent", {"absent": {"essential": True}}, "claim_missing"),
    ("essential but null", {"null": {"essential": True}}, "claim_missing"),
    ("value but absent", {"absent": {"value": "x"}}, "claim_missing"),
    ("values but absent", {"absent": {"values": ["x"]}}, "claim_missing"),
    ("validate but absent", {"absent": {"validate": lambda *_: True}}, "claim_missing"),
    ("another value", {"hd": {"value": "example.com"}}, "claim_value"),
    ("none of the values", {"hd": {"values": ["example.com"]}}, "claim_value"),
    ("a part of the value", {"hd": {"values": "www.example.org"}}, "claim_value"),
    ("an object, values as a set", {"object": {"values": {"x"}}}, "claim_value"),
    ("objects, values as a set", {"objects": {"values": {"x"}}}, "claim_value"),
    ("no values", {"hd": {"values": []}}, "claim_value"),
    ("none of a list", {"groups": {"values": ["c"]}}, "claim_value"),
    ("validate says no", {"hd": {"validate": lambda *_: False}}, "claim_value"),
    ("one good, one bad", {"hd": {"value": "example.org"}, "sub": {"value": "b"}}, "claim_value"),
]
CLAIMS = {
    "sub": "alice",
    "hd": "example.org",
    "groups": ["a", "b"],
    "null": None,
    "object": {"x": 1},
    "objects": [{"x": 1}],
}


@pytest.mark.parametrize(
    "options", [case[1] for case in OPTIONS_MET], ids=[case[0] for case in OPTIONS_MET]
)
def test_claims_options_that_are_met(options: Any) -> None:
    check_options(CLAIMS, options)


@pytest.mark.parametrize(
    ("options", "rule"),
    [case[1:] for case in OPTIONS_BROKEN],
    ids=[case[0] for case in OPTIONS_BROKEN],
)
def test_claims_options_that_are_broken(options: Any, rule: str) -> None:
    with pytest.raises(IDTokenError) as caught:
        check_options(CLAIMS, options)
    assert caught.value.code == f"id_token.{rule}"
