"""Request objects: what is inside, what stands outside, who can read them."""

from __future__ import annotations

from typing import Any

import pytest

from reliant.errors import ConfigurationError
from reliant.protocol import base64url, jose
from reliant.protocol.request_object import (
    build_request_object,
    encrypt_request_object,
    outer_parameters,
)

NOW = 1_700_000_000
ISSUER = "https://op.example/"
PARAMETERS = {
    "response_type": "code",
    "client_id": "a client/with odd & characters",
    "redirect_uri": "https://rp.example/callback",
    "scope": "openid profile",
    "state": "the state",
    "nonce": "the nonce",
}


def build(alg: str, key: jose.Key | None, **parameters: Any) -> jose.Jws:
    text = build_request_object(
        {**PARAMETERS, **parameters}, PARAMETERS["client_id"], ISSUER, key, alg, NOW
    )
    return jose.parse_jws(text)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "Ed25519"])
def test_it_is_signed_and_says_from_whom_to_whom_and_when(alg: str) -> None:
    key = jose.generate_key(alg, "k1")
    token = build(alg, key)
    assert token.header == {"alg": alg, "kid": "k1", "typ": "oauth-authz-req+jwt"}
    assert jose.verify_jws(token, key, alg)
    jti = token.claims["jti"]
    assert token.claims == {
        **PARAMETERS,
        "iss": PARAMETERS["client_id"],
        "aud": ISSUER,
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 300,
        "jti": jti,
    }
    assert build(alg, key).claims["jti"] != jti


def test_a_parameter_can_not_pose_as_the_client() -> None:
    token = build("none", None, iss="someone", aud="elsewhere", exp=NOW * 2)
    assert token.claims["iss"] == PARAMETERS["client_id"]
    assert token.claims["aud"] == ISSUER
    assert token.claims["exp"] == NOW + 300


def test_none_has_no_signature() -> None:
    token = build("none", None)
    assert token.header == {"alg": "none"}
    assert token.claims["state"] == "the state"


def test_a_signature_needs_a_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        build("RS256", None)
    assert caught.value.code == "configuration.client_keys"


CLAIMS = {"userinfo": {"email": None}, "id_token": {"acr": {"essential": True}}}


@pytest.mark.parametrize(
    ("given", "inside"),
    [
        ({"max_age": 60}, {"max_age": 60}),
        ({"max_age": "60"}, {"max_age": 60}),
        ({"claims": CLAIMS}, {"claims": CLAIMS}),
        ({"claims": '{"userinfo": {"email": null}}'}, {"claims": {"userinfo": {"email": None}}}),
        ({"login_hint": "60"}, {"login_hint": "60"}),
    ],
    ids=str,
)
def test_numbers_and_objects_are_json_s_own(given: dict[str, Any], inside: dict[str, Any]) -> None:
    """OIDC Core section 6.1."""
    claims = build("none", None, **given).claims
    assert {name: claims[name] for name in inside} == inside


def test_claims_that_are_no_json() -> None:
    with pytest.raises(ConfigurationError) as caught:
        build("none", None, claims="email")
    assert caught.value.code == "configuration.claims"


def test_what_stands_outside_too() -> None:
    assert outer_parameters(PARAMETERS) == {
        name: PARAMETERS[name] for name in ("client_id", "response_type", "scope")
    }
    assert outer_parameters({"client_id": "c", "state": "s"}) == {"client_id": "c"}


@pytest.mark.parametrize("kid", ["op-key", None])
@pytest.mark.parametrize(("kind", "alg"), [("RS256", "RSA-OAEP-256"), ("ES256", "ECDH-ES")])
def test_it_can_be_encrypted_for_the_provider(kind: str, alg: str, kid: str | None) -> None:
    members = {
        name: value
        for name, value in jose.generate_key(kind).as_dict(private=True).items()
        if name not in ("kid", "use", "alg")
    }
    if kid is not None:
        members["kid"] = kid
    private = jose.import_private_keys({**members, "kid": "op-key"})[0]
    public = jose.import_jwk(members)
    assert public is not None
    sealed = encrypt_request_object("a.b.c", public, alg, "A128GCM")
    assert jose.decrypt(sealed, [private], alg, "A128GCM") == "a.b.c"
    header = base64url.decode(sealed.partition(".")[0].encode()).decode()
    assert ('"kid":"op-key"' in header) == (kid is not None)
    assert "null" not in header


def test_which_of_the_provider_s_keys_can_encrypt() -> None:
    def key(kind: str, **changes: Any) -> jose.Key:
        members = jose.public_jwk(jose.generate_key(kind))
        members.update(changes)
        for name, value in changes.items():
            if value is None:
                del members[name]
        found = jose.import_jwk(members)
        assert found is not None
        return found

    signs = key("RS256")
    for_all = key("RS256", use=None, alg=None)
    oaep = key("RS256", use="enc", alg="RSA-OAEP")
    elliptic = key("ES256", use="enc", alg=None)
    edwards = key("Ed25519", use=None, alg=None)
    assert jose.encryption_key([signs], "RSA-OAEP") is None
    assert jose.encryption_key([signs, for_all], "RSA-OAEP") is for_all
    assert jose.encryption_key([signs, oaep], "RSA-OAEP") is oaep
    assert jose.encryption_key([oaep], "RSA-OAEP-256") is None
    assert jose.encryption_key([oaep, elliptic], "ECDH-ES+A128KW") is elliptic
    assert jose.encryption_key([edwards], "ECDH-ES") is None  # it can only sign
