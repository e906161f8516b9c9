"""Clients that register themselves, from the issuer alone to the last read."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from reliant import (
    ConfigurationError,
    IDTokenError,
    MetadataError,
    ProviderError,
    RegistrationError,
)
from reliant.client import ClientSettings, OAuthClient
from reliant.protocol import jose
from reliant.starlette import OAuth
from reliant.testing import REMOVE, Behaviour, FakeProvider

CALLBACK = "https://rp.example/callback"
METADATA = {"redirect_uris": [CALLBACK]}


class Registrar:
    """A provider that registers clients, and an app that asks it to."""

    def __init__(self, issuer: str = "https://op.example/", **behaviour: Any) -> None:
        self.provider = FakeProvider(issuer, behaviour=Behaviour(registration=True, **behaviour))
        self.oauth = OAuth(secret_key="the key of a test")

    async def register(self, **options: Any) -> Any:
        options = {"metadata": METADATA, "client_kwargs": self.client_kwargs, **options}
        return await self.oauth.register_dynamically(
            "op", self.provider.issuer, options.pop("metadata"), **options
        )

    @property
    def client_kwargs(self) -> dict[str, Any]:
        return {"scope": "openid", "transport": self.provider.transport}

    async def log_in(self, client: OAuthClient) -> Any:
        url, _, transaction = await client.start_login(CALLBACK, {})
        callback = await self.provider.sign_in(url)
        return await client.finish_login(transaction, callback.params)


# -- the issuer alone ----------------------------------------------------------------------------


def documents(found: dict[str, Any]) -> tuple[httpx2.MockTransport, list[str]]:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        document = found.get(str(request.url))
        if isinstance(document, int):
            return httpx2.Response(document)
        return httpx2.Response(404) if document is None else httpx2.Response(200, json=document)

    return httpx2.MockTransport(answer), asked


def client_of(issuer: str, transport: Any) -> OAuthClient:
    settings = {
        "client_id": "c",
        "issuer": issuer,
        "client_kwargs": {"scope": "openid", "transport": transport},
    }
    return OAuthClient(ClientSettings.read("op", settings))


OPENID, OAUTH = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"


@pytest.mark.parametrize(
    ("issuer", "url", "tries"),
    [
        ("https://op.example", f"https://op.example{OPENID}", 1),
        ("https://op.example/", f"https://op.example{OPENID}", 1),
        ("https://op.example", f"https://op.example{OAUTH}", 2),
        ("https://op.example/a", f"https://op.example/a{OPENID}", 1),
        ("https://op.example/a/", f"https://op.example/a{OPENID}", 1),
        ("https://op.example/a", f"https://op.example{OAUTH}/a", 2),
        ("https://op.example/a/", f"https://op.example{OAUTH}/a", 2),
        ("https://op.example/a", f"https://op.example{OPENID}/a", 3),
    ],
)
async def test_the_metadata_are_found(issuer: str, url: str, tries: int) -> None:
    transport, asked = documents({url: {"issuer": issuer}})
    assert (await client_of(issuer, transport).load_server_metadata()).issuer == issuer
    assert len(asked) == tries
    assert asked[-1] == url


@pytest.mark.parametrize(
    "named", ["https://op.example/a/", "https://op.example/A", "https://evil.example/a"]
)
async def test_they_name_the_issuer_to_the_letter(named: str) -> None:
    transport, _ = documents({f"https://op.example/a{OPENID}": {"issuer": named}})
    with pytest.raises(MetadataError) as caught:
        await client_of("https://op.example/a", transport).load_server_metadata()
    assert caught.value.code == "metadata.issuer_mismatch"


@pytest.mark.parametrize(("status", "tries"), [(404, 3), (500, 1), (302, 1)])
async def test_only_what_is_not_there_is_looked_for_elsewhere(status: int, tries: int) -> None:
    transport, asked = documents({f"https://op.example/a{OPENID}": status})
    with pytest.raises(MetadataError):
        await client_of("https://op.example/a", transport).load_server_metadata()
    assert len(asked) == tries


# -- registration --------------------------------------------------------------------------------


async def test_a_registered_client_logs_in() -> None:
    registrar = Registrar(odd_strings=True)
    client = await registrar.register()
    assert registrar.oauth.op is client
    assert client.client_id in registrar.provider.clients
    assert (await registrar.log_in(client))["userinfo"]["sub"]
    assert registrar.provider.violations == []


async def test_the_public_parts_of_its_keys_go_along() -> None:
    registrar = Registrar(auth_methods=("private_key_jwt",))
    key = jose.generate_key("ES256", "ours").as_dict(private=True)
    client = await registrar.register(
        metadata={**METADATA, "token_endpoint_auth_method": "private_key_jwt"}, client_keys=key
    )
    (sent,) = [one for one in registrar.provider.requests if one.endpoint == "register"]
    (published,) = json.loads(sent.body)["jwks"]["keys"]
    assert published["kid"] == "ours"
    assert "d" not in published
    assert client.client_secret is None
    assert (await registrar.log_in(client))["userinfo"]["sub"]


async def test_a_jwks_uri_takes_the_keys_place() -> None:
    registrar = Registrar()
    key = jose.generate_key("ES256", "ours").as_dict(private=True)
    uri = "https://rp.example/jwks.json"
    await registrar.register(metadata={**METADATA, "jwks_uri": uri}, client_keys=key)
    (sent,) = [one for one in registrar.provider.requests if one.endpoint == "register"]
    assert "jwks" not in json.loads(sent.body)


async def test_what_the_provider_answers_wins() -> None:
    registrar = Registrar()
    registrar.provider.fault("registration.id_token_signed_response_alg", "ES256")
    client = await registrar.register(
        metadata={**METADATA, "id_token_signed_response_alg": "PS512"}
    )
    assert client.settings.registered["id_token_signed_response_alg"] == "ES256"
    with pytest.raises(IDTokenError) as caught:
        await registrar.log_in(client)
    assert caught.value.code == "id_token.alg"


async def test_what_was_asked_for_counts_where_the_answer_is_silent() -> None:
    registrar = Registrar()
    registrar.provider.fault("registration.token_endpoint_auth_method", REMOVE)
    client = await registrar.register(
        metadata={**METADATA, "token_endpoint_auth_method": "client_secret_post"}
    )
    assert (await registrar.log_in(client))["userinfo"]["sub"]
    (sent,) = [one for one in registrar.provider.requests if one.endpoint == "token"]
    assert "client_secret" in sent.params


async def test_the_answer_none_is_refused_at_the_login() -> None:
    registrar = Registrar()
    registrar.provider.fault("registration.id_token_signed_response_alg", "none")
    client = await registrar.register()
    with pytest.raises(ConfigurationError) as caught:
        await registrar.log_in(client)
    assert caught.value.code == "configuration.algorithm"


async def test_200_is_as_good_as_201() -> None:
    registrar = Registrar()
    registrar.provider.fault("register.status", 200)
    assert (await registrar.register()).client_id


@pytest.mark.parametrize("token", ["wrong", None])
async def test_an_initial_access_token_is_needed_where_it_is(token: str | None) -> None:
    registrar = Registrar(initial_access_token="the-initial-token")
    assert await registrar.register(initial_access_token="the-initial-token")
    with pytest.raises(RegistrationError) as caught:
        await registrar.register(initial_access_token=token, replace=True)
    assert (caught.value.code, caught.value.error) == ("registration.refused", "invalid_token")
    assert "the-initial-token" not in str(caught.value)


async def test_a_software_statement_goes_along() -> None:
    registrar = Registrar()
    client = await registrar.register(software_statement="a.b.c")
    assert client.registration.metadata["software_statement"] == "a.b.c"


async def test_a_failed_registration_leaves_no_client() -> None:
    registrar = Registrar()
    with registrar.provider.fault("register.status", 400), pytest.raises(RegistrationError):
        await registrar.register()
    with registrar.provider.fault("register.reset"), pytest.raises(ProviderError):
        await registrar.register()
    assert registrar.oauth.create_client("op") is None
    assert await registrar.register()


async def test_a_provider_without_registration() -> None:
    registrar = Registrar()
    registrar.provider.fault("discovery.registration_endpoint", REMOVE)
    with pytest.raises(ConfigurationError) as caught:
        await registrar.register()
    assert caught.value.code == "configuration.registration_endpoint"


async def test_a_name_is_taken_once() -> None:
    registrar = Registrar()
    await registrar.register()
    with pytest.raises(ConfigurationError) as caught:
        await registrar.register()
    assert caught.value.code == "configuration.name_taken"
    assert await registrar.register(replace=True) is registrar.oauth.op


# -- management ----------------------------------------------------------------------------------


async def test_a_registration_is_read_updated_and_deleted() -> None:
    registrar = Registrar()
    client = await registrar.register()
    assert (await client.read_registration()).client_id == client.client_id
    wanted = {**client.registration.metadata, "client_name": "A new name"}
    updated = await client.update_registration(wanted)
    assert updated.metadata["client_name"] == "A new name"
    assert client.registration.metadata["client_name"] == "A new name"
    assert (await registrar.log_in(client))["userinfo"]["sub"]
    await client.delete_registration()
    assert client.client_id not in registrar.provider.clients
    with pytest.raises(ConfigurationError) as caught:
        await client.read_registration()
    assert caught.value.code == "configuration.registration"


@pytest.mark.parametrize(
    "member", ["client_secret", "registration_access_token", "registration_client_uri"]
)
async def test_what_a_read_does_not_repeat_stays(member: str) -> None:
    registrar = Registrar()
    client = await registrar.register()
    with registrar.provider.fault(f"registration.{member}", REMOVE):
        await client.read_registration()
    await client.read_registration()
    assert client.client_secret is not None
    assert (await registrar.log_in(client))["userinfo"]["sub"]


async def test_a_new_secret_and_token_count_at_once() -> None:
    registrar = Registrar()
    client = await registrar.register()
    registrar.provider.fault("registration.client_secret", "a new secret")
    registrar.provider.fault("registration.registration_access_token", "a-new-token")
    await client.read_registration()
    assert client.client_secret == "a new secret"
    with pytest.raises(RegistrationError) as caught:  # the provider only pretends to know it
        await client.read_registration()
    assert caught.value.error == "invalid_token"


async def test_without_management_there_is_nothing_to_read() -> None:
    registrar = Registrar()
    registrar.provider.fault("registration.registration_client_uri", REMOVE)
    client = await registrar.register()
    for call in (client.read_registration, client.delete_registration):
        with pytest.raises(ConfigurationError) as caught:
            await call()
        assert caught.value.code == "configuration.registration"


async def test_the_token_goes_to_https_only() -> None:
    registrar = Registrar()
    registrar.provider.fault("registration.registration_client_uri", "http://op.example/register/1")
    with pytest.raises(RegistrationError) as caught:
        await registrar.register()
    assert caught.value.code == "registration.management"


# -- the account's issuer ------------------------------------------------------------------------


async def test_an_account_leads_to_its_provider() -> None:
    provider = FakeProvider("https://op.example/")
    oauth = OAuth(secret_key="the key of a test")
    found = await oauth.find_issuer("alice@op.example", transport=provider.transport)
    assert found == provider.issuer
    assert provider.violations == []
    with pytest.raises(MetadataError) as caught:
        await oauth.find_issuer("alice@op.example:1", transport=provider.transport)
    assert caught.value.code == "webfinger.status"
