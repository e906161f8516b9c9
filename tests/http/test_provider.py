"""OpenIDProvider: whose word counts, and when the keys are fetched again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from reliant.errors import ConfigurationError, MetadataError, OAuthError, ProviderError
from reliant.http.cached import COOLDOWN, DEFAULT_TTL
from reliant.http.provider import OpenIDProvider
from reliant.protocol import jose
from reliant.protocol.id_token import has_valid_signature, read_id_token
from reliant.protocol.jose import Key
from reliant.protocol.messages import HttpResponse
from tests.helpers.http import Clock, FakeTransport, json_response, text_response
from tests.helpers.tokens import ABSENT, claims, id_token, jwks, key_for, public

ISSUER = "https://op.example"
URL = ISSUER + "/.well-known/openid-configuration"
JWKS_URI = ISSUER + "/jwks"
DOCUMENT: dict[str, Any] = {
    "issuer": ISSUER,
    "token_endpoint": ISSUER + "/token",
    "jwks_uri": JWKS_URI,
    "scopes_supported": ["openid"],
}
DOWN = ProviderError(code="http.connection")


class World:
    """A provider behind a fake transport, and a clock."""

    def __init__(
        self,
        *keys: Key,
        url: str | None = URL,
        openid: bool = True,
        document: dict[str, Any] = DOCUMENT,
        **settings: Any,
    ) -> None:
        self.clock = Clock()
        self.transport = FakeTransport(
            {URL: json_response(document), JWKS_URI: json_response(jwks(*keys))}
        )
        urls = () if url is None else (url,)
        self.provider = OpenIDProvider(self.transport, settings, urls, openid, self.clock)

    def publish(self, *keys: Key) -> None:
        self.transport.answers[JWKS_URI] = json_response(jwks(*keys))

    @property
    def key_fetches(self) -> int:
        return self.transport.sent_to(JWKS_URI)

    @property
    def metadata_fetches(self) -> int:
        return self.transport.sent_to(URL)

    async def believes(self, token: str) -> bool:
        return await self.provider.try_keys(signed_in(token))


def signed_in(token: str) -> Callable[[tuple[Key, ...]], bool]:
    return lambda keys: has_valid_signature(read_id_token(token), keys)


def by(kid: str, key: Key | None = None) -> str:
    """A token signed by the key with this kid, or by `key` in its name."""
    return jose.sign_jwt(claims(), key or key_for("ES256", kid), "ES256", kid=kid)


ONE, TWO, THREE = (key_for("ES256", kid) for kid in ("one", "two", "three"))


# -- metadata ------------------------------------------------------------------------------------


async def test_metadata_are_fetched_once() -> None:
    world = World()
    assert await world.provider.metadata() == DOCUMENT
    assert await world.provider.metadata() == DOCUMENT
    assert world.metadata_fetches == 1
    world.clock.advance(DEFAULT_TTL)
    await world.provider.metadata()
    assert world.metadata_fetches == 2


async def test_what_the_app_sets_wins_over_discovery() -> None:
    world = World(token_endpoint="https://proxy.example/token", extra=1)
    metadata = await world.provider.metadata()
    assert metadata["token_endpoint"] == "https://proxy.example/token"
    assert metadata["jwks_uri"] == JWKS_URI
    assert metadata["extra"] == 1


async def test_without_an_address_the_apps_settings_are_all_there_is() -> None:
    world = World(url=None, token_endpoint="https://op.example/token")
    assert await world.provider.metadata() == {"token_endpoint": "https://op.example/token"}
    assert world.transport.requests == []


async def test_the_apps_issuer_must_be_the_documents() -> None:
    assert (await World(issuer=ISSUER).provider.metadata()).issuer == ISSUER
    with pytest.raises(MetadataError) as caught:
        await World(issuer=ISSUER + "/").provider.metadata()
    assert caught.value.code == "metadata.issuer_mismatch"


async def test_plain_oauth_may_have_no_issuer_and_openid_may_not() -> None:
    document = {"token_endpoint": "https://op.example/token"}
    assert await World(openid=False, document=document).provider.metadata() == document
    with pytest.raises(MetadataError) as caught:
        await World(openid=True, document=document).provider.metadata()
    assert caught.value.code == "metadata.issuer_missing"


BAD_METADATA: dict[str, HttpResponse | Exception] = {
    "301": text_response("", 301),
    "404": text_response("", 404),
    "HTML": text_response("<html>"),
    "null": json_response(None),
    "wrong issuer": json_response({**DOCUMENT, "issuer": "https://evil.example"}),
    "down": DOWN,
}


@pytest.mark.parametrize("answer", BAD_METADATA.values(), ids=BAD_METADATA.keys())
async def test_a_bad_answer_never_replaces_good_metadata(answer: Any) -> None:
    world = World()
    await world.provider.metadata()
    world.clock.advance(DEFAULT_TTL)
    world.transport.answers[URL] = answer
    assert await world.provider.metadata() == DOCUMENT
    assert world.metadata_fetches == 2


@pytest.mark.parametrize("answer", BAD_METADATA.values(), ids=BAD_METADATA.keys())
async def test_a_bad_answer_while_nothing_is_known_is_raised(answer: Any) -> None:
    world = World()
    world.transport.answers[URL] = answer
    with pytest.raises(OAuthError):
        await world.provider.metadata()
    world.transport.answers[URL] = json_response(DOCUMENT)
    assert await world.provider.metadata() == DOCUMENT


# -- keys ----------------------------------------------------------------------------------------


async def test_keys_are_fetched_once_and_serve_every_token() -> None:
    world = World(ONE)
    assert [await world.believes(by("one")) for _ in range(10)] == [True] * 10
    assert (world.key_fetches, world.metadata_fetches) == (1, 1)


async def test_a_thousand_tokens_on_a_cold_start_cost_one_fetch() -> None:
    world, token, results = World(ONE), by("one"), []

    async def ask() -> None:
        results.append(await world.believes(token))

    async with anyio.create_task_group() as tasks:
        for _ in range(1000):
            tasks.start_soon(ask)
    assert results == [True] * 1000
    assert (world.key_fetches, world.metadata_fetches) == (1, 1)


async def test_an_unknown_kid_makes_one_refetch_which_picks_up_a_rotation() -> None:
    world = World(ONE)
    await world.believes(by("one"))
    world.publish(ONE, TWO)
    assert await world.believes(by("two"))
    assert await world.believes(by("one"))
    assert world.key_fetches == 2


async def test_two_rotations_a_second_apart_are_both_picked_up() -> None:
    world = World(ONE)
    await world.believes(by("one"))
    for key, kid in ((TWO, "two"), (THREE, "three")):
        world.clock.advance(1)
        world.publish(key)
        assert await world.believes(by(kid))
    assert world.key_fetches == 3


async def test_a_new_key_under_an_old_kid_is_picked_up() -> None:
    """The kid is known, but the signature fails: the provider may have reused it."""
    world = World(ONE)
    assert await world.believes(by("one"))
    new = key_for("ES256", "new")
    world.transport.answers[JWKS_URI] = json_response({"keys": [public(new, kid="one")]})
    assert await world.believes(by("one", new))
    assert not await world.believes(by("one"))
    assert world.key_fetches == 3


async def test_a_storm_of_forged_tokens_costs_one_refetch_per_cooldown() -> None:
    world = World(ONE)
    await world.believes(by("one"))
    forged = [by(f"forged-{i}", TWO) for i in range(20)]
    assert not any([await world.believes(token) for token in forged])
    assert world.key_fetches == 2
    world.clock.advance(COOLDOWN)
    assert not any([await world.believes(token) for token in forged])
    assert world.key_fetches == 3
    assert await world.believes(by("one"))


async def test_a_storm_at_once_costs_one_refetch_too() -> None:
    world, results = World(ONE), []
    await world.believes(by("one"))

    async def ask(token: str) -> None:
        results.append(await world.believes(token))

    async with anyio.create_task_group() as tasks:
        for i in range(50):
            tasks.start_soon(ask, by(f"forged-{i}", TWO))
    assert results == [False] * 50
    assert world.key_fetches == 2


async def test_a_storm_does_not_keep_a_rotation_from_being_picked_up() -> None:
    world = World(ONE)
    assert not await world.believes(by("forged", THREE))
    world.publish(TWO)
    world.clock.advance(COOLDOWN)
    assert not await world.believes(by("forged", THREE))
    assert await world.believes(by("two"))


BAD_KEYS: dict[str, HttpResponse | Exception] = {
    "503": text_response("", 503),
    "HTML": text_response("<html>"),
    "a list": json_response([]),
    "{}": json_response({}),
    "no keys": json_response({"keys": []}),
    "strangers only": json_response({"keys": [{"kty": "LWE"}, None]}),
    "too many": json_response({"keys": [{}] * 101}),
    "down": DOWN,
}


@pytest.mark.parametrize("answer", BAD_KEYS.values(), ids=BAD_KEYS.keys())
async def test_a_bad_answer_never_replaces_good_keys(answer: Any) -> None:
    world = World(ONE)
    await world.believes(by("one"))
    world.transport.answers[JWKS_URI] = answer
    assert not await world.believes(by("two"))
    assert await world.believes(by("one"))
    world.clock.advance(DEFAULT_TTL)
    assert await world.believes(by("one"))
    assert world.key_fetches == 3


async def test_keys_of_nobody_while_none_are_known_serve_nobody_until_there_are_some() -> None:
    world = World()
    world.transport.answers[JWKS_URI] = json_response({"keys": []})
    assert not await world.believes(by("one"))
    world.clock.advance(COOLDOWN)
    world.publish(ONE)
    assert await world.believes(by("one"))


async def test_no_jwks_uri_is_a_configuration_error_with_the_text_users_look_for() -> None:
    world = World(document={"issuer": ISSUER})
    for ask in (world.provider.jwks, lambda: world.believes(by("one"))):
        with pytest.raises(RuntimeError, match='Missing "jwks_uri" in metadata') as caught:
            await ask()
        assert isinstance(caught.value, ConfigurationError)


async def test_jwks_is_the_document_and_force_fetches_it_anew() -> None:
    world = World(ONE)
    assert (await world.provider.jwks()).document == jwks(ONE)
    assert (await world.provider.jwks()).document == jwks(ONE)
    assert world.key_fetches == 1
    world.publish(TWO)
    assert (await world.provider.jwks(force=True)).document == jwks(TWO)
    assert (await world.provider.jwks()).document == jwks(TWO)
    assert world.key_fetches == 2


async def test_a_jwks_uri_that_moves_is_followed() -> None:
    world = World(ONE)
    await world.believes(by("one"))
    moved = "https://op.example/keys-v2"
    world.transport.answers[URL] = json_response({**DOCUMENT, "jwks_uri": moved})
    world.transport.answers[moved] = json_response(jwks(TWO))
    world.clock.advance(DEFAULT_TTL)
    assert await world.believes(by("two"))
    assert not await world.believes(by("one"))


# -- the app's own keys --------------------------------------------------------------------------


async def test_the_apps_own_keys_come_first() -> None:
    world = World(TWO, jwks=jwks(ONE))
    assert await world.believes(by("one"))
    assert world.key_fetches == 0
    assert await world.believes(by("two"))
    assert world.key_fetches == 1


async def test_the_apps_own_keys_alone_need_no_network() -> None:
    world = World(url=None, issuer=ISSUER, jwks=jwks(ONE))
    assert await world.believes(by("one"))
    assert not await world.believes(by("two"))
    assert world.transport.requests == []
    assert (await world.provider.jwks()).document == jwks(ONE)


async def test_the_apps_own_set_may_hold_shared_secrets_and_the_providers_may_not() -> None:
    secret = key_for("HS256")
    members = {"keys": [dict(secret.as_dict(private=True))]}
    token = id_token("HS256")
    assert await World(url=None, jwks=members).believes(token)
    world = World()
    world.transport.answers[JWKS_URI] = json_response(members)
    assert not await world.believes(token)


def test_an_own_set_that_is_none_is_an_error_at_once() -> None:
    with pytest.raises(MetadataError) as caught:
        World(jwks={"key": []})
    assert caught.value.code == "jwks.not_a_set"


async def test_noise_in_the_apps_own_set_is_ignored() -> None:
    noisy = {"keys": [None, {"kty": "LWE"}, public(TWO, alg=ABSENT, kid=ABSENT)]}
    assert await World(url=None, jwks=noisy).believes(by("two"))
