"""Client authentication with assertions and certificates, and the choice among all methods."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest

from reliant.errors import ConfigurationError
from reliant.protocol import jose
from reliant.protocol.client_auth import (
    ClientAuth,
    ClientSecretPost,
    Credentials,
    JwtClientAuth,
    select_client_auth,
)
from reliant.protocol.messages import HttpRequest, form_request
from reliant.protocol.values import Secret

NOW = 1_700_000_000
CLIENT_ID = "client: with % and +"
SECRET = Secret("a secret that is long enough for HS512, which would like sixty-four octets")
ISSUER, ENDPOINT = "https://op.example", "https://op.example/token"
RSA, EC = jose.generate_key("RS256", "rsa"), jose.generate_key("ES256", "ec")
FREE_RSA = jose.import_private_keys(
    {name: value for name, value in RSA.as_dict(private=True).items() if name not in ("alg", "use")}
)[0]
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def select(
    announced: tuple[str, ...] | None = None,
    algs: tuple[str, ...] | None = None,
    **credentials: Any,
) -> ClientAuth:
    return select_client_auth(Credentials(CLIENT_ID, **credentials), announced, algs, lambda: NOW)


def request() -> HttpRequest:
    return form_request(ENDPOINT, {"grant_type": "authorization_code", "code": "c"})


def form_of(method: ClientAuth) -> dict[str, str]:
    sent = method.authenticate(request())
    assert "authorization" not in sent.headers
    found = parse_qs(sent.body.decode(), strict_parsing=True)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


def assertion_of(method: ClientAuth) -> jose.Jws:
    form = form_of(method)
    assert form["client_assertion_type"] == ASSERTION_TYPE
    assert form["client_id"] == CLIENT_ID
    assert (form["grant_type"], form["code"]) == ("authorization_code", "c")
    assert "client_secret" not in form
    return jose.parse_jws(form["client_assertion"])


METHODS: dict[str, dict[str, Any]] = {
    "client_secret_jwt": {"client_secret": SECRET},
    "private_key_jwt": {"keys": (EC,)},
}


@pytest.mark.parametrize("name", METHODS)
def test_the_claims_of_an_assertion(name: str) -> None:
    token = assertion_of(select(method=name, audience=ISSUER, **METHODS[name]))
    assert token.claims == {
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "aud": ISSUER,  # text, never a list
        "jti": token.claims["jti"],
        "iat": NOW,
        "exp": NOW + 60,
    }
    assert len(token.claims["jti"]) >= 20


@pytest.mark.parametrize("name", METHODS)
def test_each_try_has_an_assertion_of_its_own(name: str) -> None:
    method = select(method=name, audience=ISSUER, **METHODS[name])
    assert len({assertion_of(method).claims["jti"] for _ in range(5)}) == 5


@pytest.mark.parametrize("name", METHODS)
def test_without_an_issuer_the_audience_is_the_endpoint(name: str) -> None:
    assert assertion_of(select(method=name, **METHODS[name])).claims["aud"] == ENDPOINT


def test_a_private_key_signs_under_its_kid() -> None:
    token = assertion_of(select(method="private_key_jwt", keys=(EC,)))
    assert token.header == {"alg": "ES256", "kid": "ec"}
    assert jose.verify_jws(token, EC, "ES256")


def test_a_secret_signs_without_a_kid() -> None:
    token = assertion_of(select(method="client_secret_jwt", client_secret=SECRET))
    assert token.header == {"alg": "HS256"}
    assert jose.verify_jws(token, jose.secret_key(SECRET.reveal()), "HS256")


@pytest.mark.parametrize(
    ("alg", "credentials", "announced"),
    [
        ("RS256", {"keys": (FREE_RSA, EC)}, None),
        ("ES256", {"keys": (FREE_RSA, EC)}, ("ES256", "HS256")),
        ("PS256", {"keys": (FREE_RSA, EC)}, ("PS256",)),
        ("RS256", {"keys": (FREE_RSA, EC)}, ("ES256", "RS256")),
        ("ES256", {"keys": (EC,)}, ("RS256", "ES256")),
        ("PS384", {"keys": (FREE_RSA,), "signing_alg": "PS384"}, ("RS256",)),
        ("RS256", {"keys": (RSA,), "signing_alg": "RS256"}, None),
        ("HS256", {"client_secret": SECRET}, None),
        ("HS256", {"client_secret": SECRET}, ("RS256",)),
        ("HS384", {"client_secret": SECRET}, ("HS512", "HS384")),
        ("HS512", {"client_secret": SECRET, "signing_alg": "HS512"}, ("HS256",)),
    ],
    ids=str,
)
def test_the_algorithm_is_the_registered_one_or_one_that_is_announced(
    alg: str, credentials: dict[str, Any], announced: tuple[str, ...] | None
) -> None:
    name = "private_key_jwt" if "keys" in credentials else "client_secret_jwt"
    assert assertion_of(select(None, announced, method=name, **credentials)).alg == alg


@pytest.mark.parametrize(
    ("code", "credentials", "announced"),
    [
        ("key_missing", {"method": "private_key_jwt"}, None),
        ("key_missing", {"method": "private_key_jwt", "client_secret": SECRET}, None),
        ("key_missing", {"method": "private_key_jwt", "keys": (EC,)}, ("RS256",)),
        ("key_missing", {"method": "private_key_jwt", "keys": (RSA,)}, ("PS256",)),  # alg: RS256
        ("key_missing", {"method": "private_key_jwt", "keys": (EC,), "signing_alg": "RS256"}, None),
        ("key_missing", {"method": "private_key_jwt", "keys": (EC,), "signing_alg": "none"}, None),
        ("key_missing", {"method": "private_key_jwt", "keys": (EC,), "signing_alg": "HS256"}, None),
        ("key_missing", {"method": "private_key_jwt", "keys": (EC,), "signing_alg": "x"}, None),
        ("secret_missing", {"method": "client_secret_jwt"}, None),
        ("secret_missing", {"method": "client_secret_jwt", "keys": (EC,)}, None),
        (
            "unsupported",
            {"method": "client_secret_jwt", "client_secret": SECRET, "signing_alg": "ES256"},
            None,
        ),
        (
            "unsupported",
            {"method": "client_secret_jwt", "client_secret": SECRET, "signing_alg": "none"},
            None,
        ),
        ("unsupported", {"method": "attest_jwt_client_auth", "client_secret": SECRET}, None),
    ],
    ids=str,
)
def test_a_method_that_can_not_be_used(
    code: str, credentials: dict[str, Any], announced: tuple[str, ...] | None
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        select(None, announced, **credentials)
    assert caught.value.code == f"client_auth.{code}"
    assert SECRET.reveal() not in str(caught.value)


@pytest.mark.parametrize("name", ["tls_client_auth", "self_signed_tls_client_auth"])
def test_with_a_certificate_the_id_stands_in_the_body(name: str) -> None:
    method = select(method=name, client_secret=SECRET)
    assert method.name == name
    assert form_of(method) == {
        "grant_type": "authorization_code",
        "code": "c",
        "client_id": CLIENT_ID,
    }


CUSTOM = {"mine": ClientSecretPost(CLIENT_ID, SECRET)}
BOTH = {"client_secret": SECRET, "keys": (EC,)}
SELECTION: list[tuple[str, dict[str, Any], tuple[str, ...] | None]] = [
    ("none", {}, None),
    ("none", {}, ("client_secret_basic",)),
    ("client_secret_basic", {"client_secret": SECRET}, None),
    ("client_secret_post", {"client_secret": SECRET}, ("client_secret_post", "none")),
    ("client_secret_basic", BOTH, ("private_key_jwt", "client_secret_basic")),
    ("private_key_jwt", BOTH, ("client_secret_jwt", "private_key_jwt")),
    ("private_key_jwt", {"keys": (EC,)}, ("private_key_jwt",)),
    ("client_secret_jwt", {"client_secret": SECRET}, ("client_secret_jwt", "private_key_jwt")),
    ("private_key_jwt", {**BOTH, "method": "private_key_jwt"}, ("client_secret_basic",)),
    ("none", {**BOTH, "method": "none"}, ("client_secret_basic",)),
    ("client_secret_post", {"custom": CUSTOM, "method": "mine"}, ("client_secret_basic",)),
    ("client_secret_post", {"custom": CUSTOM}, ("client_secret_basic",)),
]


@pytest.mark.parametrize(("name", "credentials", "announced"), SELECTION, ids=str)
def test_which_method_is_chosen(
    name: str, credentials: dict[str, Any], announced: tuple[str, ...] | None
) -> None:
    assert select(announced, **credentials).name == name


@pytest.mark.parametrize(
    ("credentials", "announced"),
    [
        ({"client_secret": SECRET}, ("private_key_jwt",)),
        ({"client_secret": SECRET}, ("tls_client_auth",)),
        ({"keys": (EC,)}, ("client_secret_basic",)),
        ({"keys": (EC,)}, None),
    ],
    ids=str,
)
def test_no_method_is_ever_guessed(
    credentials: dict[str, Any], announced: tuple[str, ...] | None
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        select(announced, **credentials)
    assert caught.value.code == "client_auth.unsupported"


def test_nothing_secret_shows_itself() -> None:
    credentials = Credentials(CLIENT_ID, SECRET, keys=(EC,))
    assert SECRET.reveal() not in repr(credentials)
    method = JwtClientAuth("private_key_jwt", CLIENT_ID, EC, "ES256", ISSUER, lambda: NOW)
    assert str(method.authenticate(request())).find("client_assertion") == -1
