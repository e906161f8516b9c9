"""What certification asks for, at the real provider: each client registers itself there."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from reliant import IDTokenError, RegistrationError, Token, TokenError
from reliant.protocol import jose
from reliant.protocol.transaction import LoginTransaction
from reliant.starlette import LogoutEvent, OAuth, StarletteClient
from tests.helpers.oidc_provider import RunningProvider

pytestmark = pytest.mark.needs("oidc-provider")

CALLBACK = "http://127.0.0.1/callback"
METADATA: dict[str, Any] = {
    "application_type": "native",
    "redirect_uris": [CALLBACK],
    "response_types": ["code"],
    "grant_types": ["authorization_code", "refresh_token"],
    "token_endpoint_auth_method": "client_secret_basic",
}


def key(alg: str, use: str) -> dict[str, Any]:
    members: dict[str, Any] = dict(jose.generate_key(alg, f"{use}-{alg}").as_dict(private=True))
    del members["alg"]
    return {**members, "use": use}


SIGNING = {alg: key(alg, "sig") for alg in ("RS256", "ES256", "Ed25519")}
ENCRYPTION = {"RSA": key("RS256", "enc"), "EC": key("ES256", "enc")}
KEYS = [*SIGNING.values(), *ENCRYPTION.values()]


# -- a person at a browser -----------------------------------------------------------------------


class Form(HTMLParser):
    """The form of a page."""

    def __init__(self, page: httpx2.Response) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page.text)
        self.action = str(page.url.join(self.action))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = found["action"]
        elif tag == "input":
            self.fields[found["name"]] = found.get("value", "")
        elif tag == "button" and "name" in found:
            self.fields.setdefault(found["name"], found.get("value", ""))


class Person:
    """Keeps cookies, follows redirects, says yes to every form, until the way leads to an app."""

    def __init__(self, provider: str) -> None:
        jar = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
        self.provider = provider
        self.http = httpx2.AsyncClient(cookies=jar, trust_env=False)

    async def visit(self, url: str) -> tuple[str, dict[str, str]]:
        """Where the browser ends up outside the provider, and what it brings there."""
        page = await self.http.get(url)
        for _ in range(12):
            if page.next_request is not None:
                url = str(page.next_request.url)
                if not url.startswith(self.provider):
                    return url.partition("?")[0], dict(parse_qsl(urlsplit(url).query))
                page = await self.http.send(page.next_request)
                continue
            form = Form(page)
            if not form.action.startswith(self.provider):
                return form.action, form.fields
            if not form.fields:
                return str(page.url), {}
            answers = {"login": "alice", "password": "any will do"}
            fields = {name: answers.get(name, value) for name, value in form.fields.items()}
            page = await self.http.post(form.action, data=fields)
        raise AssertionError(f"there is no end: {page.text}")


@pytest.fixture
async def alice(op: RunningProvider) -> AsyncIterator[Person]:
    person = Person(op.issuer)
    yield person
    await person.http.aclose()


@pytest.fixture
async def oauth() -> AsyncIterator[OAuth]:
    async with OAuth(secret_key="a key only this test knows") as oauth:
        yield oauth


async def register(
    oauth: OAuth, op: RunningProvider, metadata: dict[str, Any], **settings: Any
) -> StarletteClient:
    return await oauth.register_dynamically(
        "op",
        op.issuer,
        {**METADATA, **metadata},
        client_kwargs={"scope": "openid profile email"},
        **settings,
    )


async def log_in(client: StarletteClient, alice: Person, **params: Any) -> Token:
    url, state, transaction = await client.start_login(CALLBACK, params)
    where, answer = await alice.visit(url)
    assert where == CALLBACK, answer
    assert answer.get("state") == state, answer
    return await client.finish_login(transaction, answer)


# -- registration --------------------------------------------------------------------------------


async def test_a_registration_has_a_life(op: RunningProvider, oauth: OAuth, alice: Person) -> None:
    client = await register(oauth, op, {"client_name": "First"})
    assert (await client.read_registration()).metadata["client_name"] == "First"
    registration = client.registration
    assert registration is not None
    updated = await client.update_registration({**registration.metadata, "client_name": "Second"})
    assert updated.metadata["client_name"] == "Second"
    assert (await log_in(client, alice))["userinfo"]["sub"] == "alice"
    await client.delete_registration()
    with pytest.raises(TokenError) as caught:
        await client.fetch_access_token(grant_type="authorization_code", code="x")
    assert caught.value.error == "invalid_client"


async def test_a_refused_registration_says_why(op: RunningProvider, oauth: OAuth) -> None:
    with pytest.raises(RegistrationError) as caught:
        await register(oauth, op, {"redirect_uris": ["https://rp.example/cb#fragment"]})
    assert caught.value.code == "registration.refused"
    assert caught.value.error in ("invalid_redirect_uri", "invalid_client_metadata")


# -- client authentication -----------------------------------------------------------------------


@pytest.mark.parametrize("alg", [None, *SIGNING])
async def test_private_key_jwt(
    op: RunningProvider, oauth: OAuth, alice: Person, alg: str | None
) -> None:
    metadata = {"token_endpoint_auth_method": "private_key_jwt"}
    if alg is not None:
        metadata["token_endpoint_auth_signing_alg"] = alg
    client = await register(oauth, op, metadata, client_keys=KEYS)
    assert client.client_secret is None
    token = await log_in(client, alice, scope="openid offline_access", prompt="consent")
    assert token["userinfo"]["sub"] == "alice"
    assert (await client.refresh_token(token))["access_token"] != token["access_token"]


async def test_another_s_private_key_is_refused(
    op: RunningProvider, oauth: OAuth, alice: Person
) -> None:
    metadata = {"token_endpoint_auth_method": "private_key_jwt"}
    published = {"keys": [jose.public_jwk(jose.generate_key("ES256", "sig-ES256"))]}
    client = await register(
        oauth, op, {**metadata, "jwks": published}, client_keys=SIGNING["ES256"]
    )
    with pytest.raises(TokenError) as caught:
        await log_in(client, alice)
    assert caught.value.error == "invalid_client"


@pytest.mark.parametrize("alg", [None, "HS256", "HS512"])
async def test_client_secret_jwt(
    op: RunningProvider, oauth: OAuth, alice: Person, alg: str | None
) -> None:
    metadata = {"token_endpoint_auth_method": "client_secret_jwt"}
    if alg is not None:
        metadata["token_endpoint_auth_signing_alg"] = alg
    client = await register(oauth, op, metadata)
    assert (await log_in(client, alice))["userinfo"]["sub"] == "alice"


# -- response types ------------------------------------------------------------------------------


@pytest.mark.parametrize("response_type", ["code id_token", "id_token"])
async def test_an_id_token_by_form_post(
    op: RunningProvider, oauth: OAuth, alice: Person, response_type: str
) -> None:
    grants = ["implicit"] + (["authorization_code"] if "code" in response_type else [])
    client = await register(
        oauth,
        op,
        {"response_types": [response_type], "grant_types": grants},
        response_type=response_type,
        response_mode="form_post",
    )
    token = await log_in(client, alice)
    assert token["userinfo"]["sub"] == "alice"
    assert ("access_token" in token) == ("code" in response_type)
    if "access_token" in token:
        assert (await client.userinfo(token))["email"] == "alice@example.test"


async def test_a_code_of_another_login_is_not_used(
    op: RunningProvider, oauth: OAuth, alice: Person
) -> None:
    client = await register(
        oauth,
        op,
        {"response_types": ["code id_token"], "grant_types": ["implicit", "authorization_code"]},
        response_type="code id_token",
        response_mode="form_post",
    )
    answers: list[dict[str, str]] = []
    transactions: list[LoginTransaction] = []
    for _ in range(2):
        url, _, transaction = await client.start_login(CALLBACK, {})
        answers.append((await alice.visit(url))[1])
        transactions.append(transaction)
    with pytest.raises(IDTokenError) as caught:
        await client.finish_login(transactions[0], {**answers[0], "code": answers[1]["code"]})
    assert caught.value.code == "id_token.c_hash"
    assert (await client.finish_login(transactions[0], answers[0]))["access_token"]


# -- encryption ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alg", "enc"),
    [
        ("RSA-OAEP", "A128GCM"),
        ("RSA-OAEP-256", "A256GCM"),
        ("ECDH-ES", "A128CBC-HS256"),
        ("ECDH-ES+A128KW", "A256CBC-HS512"),
        ("ECDH-ES+A256KW", "A192GCM"),
    ],
)
async def test_encrypted_id_token_and_userinfo(
    op: RunningProvider, oauth: OAuth, alice: Person, alg: str, enc: str
) -> None:
    metadata = {
        "id_token_signed_response_alg": "ES256",
        "id_token_encrypted_response_alg": alg,
        "id_token_encrypted_response_enc": enc,
        "userinfo_signed_response_alg": "PS256",
        "userinfo_encrypted_response_alg": alg,
        "userinfo_encrypted_response_enc": enc,
    }
    client = await register(oauth, op, metadata, client_keys=KEYS)
    token = await log_in(client, alice)
    assert token["id_token"].count(".") == 4
    assert token["userinfo"]["sub"] == "alice"
    assert (await client.userinfo(token))["email"] == "alice@example.test"


async def test_signed_userinfo(op: RunningProvider, oauth: OAuth, alice: Person) -> None:
    client = await register(oauth, op, {"userinfo_signed_response_alg": "ES384"})
    token = await log_in(client, alice)
    claims = await client.userinfo(token)
    assert (claims["iss"], claims["aud"]) == (op.issuer, client.client_id)


# -- request objects -----------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256"])
async def test_a_request_object_by_value(
    op: RunningProvider, oauth: OAuth, alice: Person, alg: str
) -> None:
    client = await register(
        oauth,
        op,
        {"request_object_signing_alg": alg, "require_signed_request_object": True},
        client_keys=KEYS,
        request_object="value",
    )
    token = await log_in(client, alice, max_age=600, claims={"id_token": {"email": None}})
    assert token["userinfo"]["auth_time"]
    assert token["userinfo"]["email"] == "alice@example.test"


async def test_an_encrypted_request_object(
    op: RunningProvider, oauth: OAuth, alice: Person
) -> None:
    client = await register(
        oauth,
        op,
        {"request_object_signing_alg": "ES256", "request_object_encryption_alg": "RSA-OAEP-256"},
        client_keys=KEYS,
        request_object="value",
    )
    assert (await log_in(client, alice))["userinfo"]["sub"] == "alice"


# -- back-channel logout -------------------------------------------------------------------------


@contextmanager
def serve(app: Any, listener: socket.socket) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield  # the listener is open: whoever connects waits until the server accepts
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("encrypted", [False, True], ids=["signed", "encrypted"])
async def test_a_logout_is_delivered(op: RunningProvider, alice: Person, encrypted: bool) -> None:
    told: list[LogoutEvent] = []
    oauth = OAuth(secret_key="a key only this test knows", on_logout=told.append)
    encryption = {
        "id_token_encrypted_response_alg": "ECDH-ES",
        "id_token_encrypted_response_enc": "A128GCM",
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        site = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = await register(
            oauth,
            op,
            {
                "backchannel_logout_uri": f"{site}/op/backchannel-logout",
                "backchannel_logout_session_required": True,
                "post_logout_redirect_uris": [f"{site}/bye"],
                **(encryption if encrypted else {}),
            },
            client_keys=KEYS,
        )
        app = Starlette(routes=[Mount("/op", routes=client.routes())])
        with serve(app, listener):
            token = await log_in(client, alice)
            # The hint goes back to the provider, which can read what it signed, not what it sealed.
            hint = None if encrypted else token["id_token"]
            logout = await client.create_logout_url(f"{site}/bye", hint)
            where, answer = await alice.visit(logout["url"])
            assert (where, answer) == (f"{site}/bye", {"state": logout["state"]})
    await oauth.aclose()
    (event,) = told
    assert (event.channel, event.iss, event.sub) == ("back", op.issuer, "alice")
    assert event.sid == token["userinfo"]["sid"]
