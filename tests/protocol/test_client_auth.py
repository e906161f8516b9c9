"""Client authentication: what each method adds, and which one is chosen."""

from __future__ import annotations

from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import pytest

from reliant.errors import ConfigurationError
from reliant.protocol.client_auth import (
    ClientSecretBasic,
    ClientSecretPost,
    Credentials,
    NoClientAuth,
    select_client_auth,
)
from reliant.protocol.messages import HttpRequest, form_request
from reliant.protocol.values import Secret

REQUEST = form_request("https://op.example/token", {"grant_type": "x", "code": "c"})
BASIC, POST = ("client_secret_basic",), ("client_secret_post",)

# Everything that form encoding, base64 and the colon of HTTP Basic could trip over.
ODD = ["plain", ":", "%", "+", "&", "a b", "#", '"', "ü", "=", "/", "?", "~", "%3A", "日本", "\n"]


@pytest.mark.parametrize("secret", ODD)
@pytest.mark.parametrize("client_id", ODD)
def test_basic_is_decoded_as_rfc_6749_says(client_id: str, secret: str) -> None:
    """Section 2.3.1: both are form-encoded before they are joined by a colon."""
    sent = ClientSecretBasic(client_id, Secret(secret)).authenticate(REQUEST)
    scheme, _, value = sent.headers["authorization"].partition(" ")
    assert scheme == "Basic"
    found_id, found_secret = b64decode(value).decode("ascii").split(":")
    assert (unquote_plus(found_id), unquote_plus(found_secret)) == (client_id, secret)
    assert sent.body == REQUEST.body


def test_basic_by_hand() -> None:
    sent = ClientSecretBasic("a:b", Secret("c d%")).authenticate(REQUEST)
    assert b64decode(sent.headers["authorization"].removeprefix("Basic ")) == b"a%3Ab:c+d%25"


@pytest.mark.parametrize("secret", ODD)
def test_post_puts_id_and_secret_into_the_form(secret: str) -> None:
    sent = ClientSecretPost("id", Secret(secret)).authenticate(REQUEST)
    form = parse_qsl(sent.body.decode())
    assert form == [
        ("grant_type", "x"),
        ("code", "c"),
        ("client_id", "id"),
        ("client_secret", secret),
    ]
    assert "authorization" not in sent.headers


def test_a_public_client_sends_its_id_alone() -> None:
    sent = NoClientAuth("an id").authenticate(REQUEST)
    assert dict(parse_qsl(sent.body.decode()))["client_id"] == "an id"
    assert "authorization" not in sent.headers
    assert "secret" not in sent.body.decode()


def test_a_request_without_a_body_gets_one() -> None:
    sent = NoClientAuth("id").authenticate(HttpRequest("POST", "https://op.example/x"))
    assert sent.body == b"client_id=id"


@pytest.mark.parametrize("method", [ClientSecretBasic, ClientSecretPost])
def test_no_secret_shows(method: Any) -> None:
    auth = method("id", Secret("s3cr3t"))
    sent = auth.authenticate(REQUEST)
    hidden = [repr(auth), str(auth), repr(sent), str(sent), repr(vars(auth))]
    assert not any("s3cr3t" in text or "aWQ6czNjcjN0" in text for text in hidden)


def test_the_request_itself_is_not_changed() -> None:
    before = REQUEST.body
    ClientSecretPost("id", Secret("s")).authenticate(REQUEST)
    ClientSecretBasic("id", Secret("s")).authenticate(REQUEST)
    assert REQUEST.body == before
    assert "authorization" not in REQUEST.headers


class Custom:
    name = "private_key_jwt"

    def authenticate(self, request: HttpRequest) -> HttpRequest:
        return request


CHOICES: list[tuple[str, Any, Any, Any, bool, str]] = [
    # method set, announced, secret, custom brought, chosen
    ("nothing said: basic", None, None, "s", False, "client_secret_basic"),
    ("announced empty: basic", None, (), "s", False, "client_secret_basic"),
    ("announced basic", None, BASIC, "s", False, "client_secret_basic"),
    ("announced post", None, POST, "s", False, "client_secret_post"),
    ("announced both: basic", None, POST + BASIC, "s", False, "client_secret_basic"),
    ("announced post among others", None, ("tls", *POST), "s", False, "client_secret_post"),
    ("set post, announced basic", "client_secret_post", BASIC, "s", False, "client_secret_post"),
    ("set basic, announced post", "client_secret_basic", POST, "s", False, "client_secret_basic"),
    ("set none with a secret", "none", BASIC, "s", False, "none"),
    ("no secret: public", None, BASIC, None, False, "none"),
    ("no secret, none announced", None, None, None, False, "none"),
    ("set none without a secret", "none", None, None, False, "none"),
    ("custom set", "private_key_jwt", BASIC, None, True, "private_key_jwt"),
    ("custom announced", None, ("private_key_jwt", *BASIC), "s", True, "private_key_jwt"),
    ("custom not announced", None, BASIC, "s", True, "client_secret_basic"),
    ("custom, nothing that fits announced", None, ("tls",), "s", True, "private_key_jwt"),
    ("custom brought, post set", "client_secret_post", None, "s", True, "client_secret_post"),
]


def select(method: Any, announced: Any, secret: Any, custom: bool) -> Any:
    brought = {Custom.name: Custom()} if custom else {}
    credentials = Credentials(
        "id", None if secret is None else Secret(secret), method, custom=brought
    )
    return select_client_auth(credentials, announced, None, lambda: 1_700_000_000)


@pytest.mark.parametrize(
    ("method", "announced", "secret", "custom", "chosen"),
    [case[1:] for case in CHOICES],
    ids=[case[0] for case in CHOICES],
)
def test_the_choice(method: Any, announced: Any, secret: Any, custom: bool, chosen: str) -> None:
    """The app's setting, else what the provider announces, else basic."""
    assert select(method, announced, secret, custom).name == chosen


@pytest.mark.parametrize(
    ("method", "announced"),
    [
        ("client_secret_JWT", None),
        ("private_key_jwks", None),
        ("client_secret_Basic", None),
        ("", None),
        (None, ("private_key_jwt", "tls_client_auth")),
        (None, ("none",)),
    ],
)
def test_a_method_that_is_not_supported_is_a_configuration_error(
    method: Any, announced: Any
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        select(method, announced, "s", False)
    assert caught.value.code == "client_auth.unsupported"


@pytest.mark.parametrize(
    "method", ["client_secret_basic", "client_secret_post", "client_secret_jwt"]
)
def test_a_secret_that_is_needed_and_missing_is_a_configuration_error(method: str) -> None:
    with pytest.raises(ConfigurationError, match='Missing "client_secret" value') as caught:
        select(method, None, None, False)
    assert caught.value.code == "client_auth.secret_missing"


def test_a_key_that_is_needed_and_missing_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="pass client_keys=") as caught:
        select("private_key_jwt", None, "s", False)
    assert caught.value.code == "client_auth.key_missing"
