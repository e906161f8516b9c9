"""Encrypted tokens, and the keys an app decrypts and signs with."""

from __future__ import annotations

import json
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from joserfc.jwk import JWKRegistry

from reliant.errors import IDTokenError
from reliant.protocol import base64url, jose
from reliant.protocol.id_token import read_id_token
from reliant.protocol.jose import (
    CONTENT_ENCRYPTION_ALGORITHMS,
    KEY_MANAGEMENT_ALGORITHMS,
    Key,
    MalformedToken,
    decrypt,
    encrypt,
    import_private_keys,
    public_jwk,
)

SIGNED = jose.sign_jwt({"sub": "alice"}, jose.generate_key("ES256", "op"), "ES256", kid="op")
BIG_HEADER = {"iss": "https://op.example/" + "x" * 100, "aud": "client" * 20, "cty": "JWT"}


@cache
def key_for(alg: str, number: int = 1) -> Key:
    """A private key that can decrypt ``alg``."""
    if alg.startswith("RSA"):
        private: Any = rsa.generate_private_key(65537, 2048)
    else:
        private = ec.generate_private_key(ec.SECP256R1())
    (key,) = import_private_keys(pem(private))
    return key


def pem(key: Any, password: bytes | None = None) -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    form = serialization.PrivateFormat.PKCS8
    octets: bytes = key.private_bytes(serialization.Encoding.PEM, form, encryption)
    return octets


def public_of(key: Key) -> Key:
    found = jose.import_jwk(public_jwk(key))
    assert found is not None
    return found


def seal(key: Key, alg: str, enc: str = "A128GCM", **header: Any) -> str:
    return encrypt(SIGNED, public_of(key), alg, enc, **header)


def with_header(token: str, **changes: Any) -> str:
    """The token with another header, as someone on the way could write it."""
    head, _, rest = token.partition(".")
    header = {**json.loads(base64url.decode(head.encode())), **changes}
    return f"{urlsafe_b64encode(json.dumps(header).encode()).rstrip(b'=').decode()}.{rest}"


@pytest.mark.parametrize("enc", CONTENT_ENCRYPTION_ALGORITHMS)
@pytest.mark.parametrize("alg", KEY_MANAGEMENT_ALGORITHMS)
def test_each_algorithm_opens_with_the_right_key_only(alg: str, enc: str) -> None:
    token = seal(key_for(alg), alg, enc)
    assert decrypt(token, [key_for(alg)], alg, enc) == SIGNED
    assert decrypt(token, [key_for(alg)], None, None) == SIGNED
    with pytest.raises(MalformedToken, match="can't be decrypted"):
        decrypt(token, [key_for(alg, 2)], alg, enc)


@pytest.mark.parametrize("alg", KEY_MANAGEMENT_ALGORITHMS)
def test_a_key_of_another_kind_opens_nothing(alg: str) -> None:
    other = key_for("ECDH-ES" if alg.startswith("RSA") else "RSA-OAEP")
    token = seal(key_for(alg), alg)
    with pytest.raises(MalformedToken):
        decrypt(token, [other], alg, None)
    assert decrypt(token, [other, key_for(alg)], alg, None) == SIGNED


@pytest.mark.parametrize("kind", [("OKP", "X25519"), ("OKP", "Ed25519"), ("EC", "P-384")])
def test_a_key_on_another_curve_is_passed_by(kind: tuple[str, str]) -> None:
    other = JWKRegistry.generate_key(*kind)
    token = seal(key_for("ECDH-ES"), "ECDH-ES")
    with pytest.raises(MalformedToken):
        decrypt(token, [other], None, None)
    assert decrypt(token, [other, key_for("ECDH-ES")], None, None) == SIGNED


@pytest.mark.parametrize("enc", ["A128GCM", "A128CBC-HS256"])
@pytest.mark.parametrize("alg", KEY_MANAGEMENT_ALGORITHMS)
def test_what_was_tampered_with_does_not_open(alg: str, enc: str) -> None:
    parts = seal(key_for(alg), alg, enc).split(".")
    for number, part in enumerate(parts):
        if not part:  # ECDH-ES has no encrypted key
            continue
        for changed in ("", "AAAA", part[:-6] + ("AAAAAA" if part[-6:] != "AAAAAA" else "BBBBBB")):
            token = ".".join((*parts[:number], changed, *parts[number + 1 :]))
            with pytest.raises(MalformedToken):
                decrypt(token, [key_for(alg)], alg, enc)


@pytest.mark.parametrize(
    "changes",
    [
        {"zip": "DEF"},
        {"crit": ["exp"], "exp": 1},
        {"alg": "RSA1_5"},
        {"alg": "dir"},
        {"alg": "A128KW"},
        {"alg": "PBES2-HS256+A128KW", "p2c": 10**9, "p2s": "AAAA"},
        {"alg": "none"},
        {"alg": 5},
        {"alg": None},
        {"enc": "A128CBC"},
        {"enc": 5},
        {"epk": None},
        {"epk": {}},
        {"epk": "x"},
        {"epk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}},
        {"epk": public_jwk(jose.generate_key("ES384"))},
        {"epk": public_jwk(jose.generate_key("Ed25519"))},
        {"apu": 5},
        {"kid": 5},
    ],
    ids=lambda changes: str(changes)[:40],
)
@pytest.mark.parametrize("alg", ["RSA-OAEP", "ECDH-ES", "ECDH-ES+A128KW"])
def test_a_header_of_no_use(alg: str, changes: dict[str, Any]) -> None:
    token = seal(key_for(alg), alg)
    with pytest.raises(MalformedToken):
        decrypt(with_header(token, **changes), [key_for(alg)], None, None)


def test_compression_is_refused_even_where_it_was_agreed_on_the_way() -> None:
    """A few octets could unpack to any size."""
    with pytest.raises(MalformedToken, match="zip"):
        decrypt(with_header(seal(key_for("RSA-OAEP"), "RSA-OAEP"), zip="DEF"), [], None, None)


@pytest.mark.parametrize(
    ("alg", "enc"), [("RSA-OAEP", "A128GCM"), ("RSA-OAEP-256", "A256GCM"), ("ECDH-ES", "A128GCM")]
)
def test_only_the_registered_algorithms_count(alg: str, enc: str) -> None:
    token = seal(key_for("RSA-OAEP"), "RSA-OAEP-256")
    with pytest.raises(MalformedToken, match="other algorithms than registered"):
        decrypt(token, [key_for("RSA-OAEP")], alg, enc)


def test_a_provider_may_write_more_into_the_header() -> None:
    token = seal(key_for("ECDH-ES"), "ECDH-ES", **BIG_HEADER)
    assert decrypt(token, [key_for("ECDH-ES")], None, None) == SIGNED


@pytest.mark.parametrize("text", ["....", "a.b.c.d.e", "e30....", "bnVsbA....", "é....", "W10...."])
def test_what_is_no_jwe(text: str) -> None:
    with pytest.raises(MalformedToken):
        decrypt(text, [key_for("RSA-OAEP")], None, None)


# -- kid -----------------------------------------------------------------------------------------


def test_the_kid_says_which_key_and_counts_for_nothing_where_it_names_none() -> None:
    first, second = key_for("RSA-OAEP", 1), key_for("RSA-OAEP", 2)
    for kid in (second.kid, "another name for it", None):
        header = {} if kid is None else {"kid": kid}
        token = seal(second, "RSA-OAEP", **header)
        assert decrypt(token, [first, second], None, None) == SIGNED
    with pytest.raises(MalformedToken):  # the named key alone is tried
        decrypt(seal(second, "RSA-OAEP", kid=first.kid), [first, second], None, None)


# -- ID Tokens -----------------------------------------------------------------------------------


def test_an_encrypted_id_token_is_read() -> None:
    key = key_for("RSA-OAEP")
    token = read_id_token(seal(key, "RSA-OAEP"), (key,), "RSA-OAEP", "A128GCM")
    assert (token.alg, token.claims) == ("ES256", {"sub": "alice"})


def inner(text: str) -> str:
    return encrypt(text, public_of(key_for("RSA-OAEP")), "RSA-OAEP", "A128GCM")


REFUSED: dict[str, tuple[str, Callable[[], str], tuple[Any, ...]]] = {
    "without keys": ("encrypted", lambda: seal(key_for("RSA-OAEP"), "RSA-OAEP"), ()),
    "not encrypted": ("not_encrypted", lambda: SIGNED, ((key_for("RSA-OAEP"),), "RSA-OAEP")),
    "another algorithm": (
        "malformed",
        lambda: seal(key_for("RSA-OAEP"), "RSA-OAEP"),
        ((key_for("RSA-OAEP"),), "ECDH-ES"),
    ),
    "not signed inside": (
        "malformed",
        lambda: inner('{"sub": "alice"}'),
        ((key_for("RSA-OAEP"),), "RSA-OAEP"),
    ),
    "encrypted twice": (
        "malformed",
        lambda: inner(inner(SIGNED)),
        ((key_for("RSA-OAEP"),), "RSA-OAEP"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_id_token_that_is_refused(case: str) -> None:
    code, make, how = REFUSED[case]
    with pytest.raises(IDTokenError) as caught:
        read_id_token(make(), *how)
    assert caught.value.code == f"id_token.{code}"


# -- the app's own keys --------------------------------------------------------------------------


EC_KEY = ec.generate_private_key(ec.SECP256R1())
JWK = dict(import_private_keys(pem(EC_KEY))[0].as_dict(private=True))
SHAPES: dict[str, Any] = {
    "PEM": pem(EC_KEY),
    "PEM text": pem(EC_KEY).decode(),
    "PEM of the old form": EC_KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ),
    "JWK": JWK,
    "JWK Set": {"keys": [JWK]},
    "list": [pem(EC_KEY)],
    "list of sets": [{"keys": [JWK]}],
    "RSA": pem(rsa.generate_private_key(65537, 2048)),
    "Ed25519": pem(ed25519.Ed25519PrivateKey.generate()),
    "X25519": pem(x25519.X25519PrivateKey.generate()),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shapes_of_private_keys(shape: str) -> None:
    (key,) = import_private_keys(SHAPES[shape])
    assert key.kid
    assert key.is_private
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & public_jwk(key).keys()


def test_a_kid_of_the_app_s_own_stays() -> None:
    assert [key.kid for key in import_private_keys([{**JWK, "kid": "a"}, {**JWK, "kid": "b"}])] == [
        "a",
        "b",
    ]
    unnamed = {name: value for name, value in JWK.items() if name != "kid"}
    assert import_private_keys(unnamed)[0].kid == import_private_keys(pem(EC_KEY))[0].kid


BAD_KEYS: dict[str, Any] = {
    "nothing": [],
    "empty set": {"keys": []},
    "text": "not a key",
    "octets": b"\x00\x01",
    "a number": 5,
    "keys of no use": {"keys": None},
    "members of no use": {"keys": ["x"]},
    "public PEM": EC_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ),
    "public JWK": {name: value for name, value in JWK.items() if name != "d"},
    "one of two is public": [JWK, {name: value for name, value in JWK.items() if name != "d"}],
    "shared secret": {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"},
    "one of two is a shared secret": {
        "keys": [JWK, {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"}]
    },
    "behind a password": pem(EC_KEY, b"password"),
    "unknown kty": {"kty": "LATTICE", "d": "AA"},
    "unknown curve": pem(ec.generate_private_key(ec.BrainpoolP256R1())),
    "no kty": {"d": "AA"},
    "another d": {**JWK, "crv": "P-384"},
    "short RSA": pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505 (it must be refused)
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_keys_of_no_use(case: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joserfc warns of the short RSA key, and goes on
        with pytest.raises((ValueError, TypeError)) as caught:
            import_private_keys(BAD_KEYS[case])
    assert str(JWK["d"]) not in str(caught.value)
