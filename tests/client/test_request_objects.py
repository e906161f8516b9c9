"""Logins whose request travels as a JWT: by value, by reference, unsigned, encrypted."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from reliant import ConfigurationError, MetadataError
from reliant.client import ClientSettings, OAuthClient
from reliant.protocol import jose
from reliant.storage.references import References
from reliant.testing import Behaviour, FakeProvider

CALLBACK = "https://rp.example/callback"
BASE = "https://rp.example/op/request-objects"
KEYS = {
    alg: jose.generate_key(alg, alg).as_dict(private=True) for alg in ("RS256", "ES256", "PS256")
}


class Pair:
    """A provider that takes request objects, and a client that sends them."""

    def __init__(self, how: str, alg: str | None = "RS256", **settings: Any) -> None:
        self.provider = FakeProvider(
            behaviour=Behaviour(request_objects=("value", "uri")),
            client_transport=httpx2.MockTransport(self._serve),
        )
        self.fetched: list[str] = []
        registered = {} if alg is None else {"request_object_signing_alg": alg}
        public = [
            {name: value for name, value in key.items() if name in ("kty", "n", "e", "x", "y")}
            | {"kid": key["kid"], "alg": key["alg"]}
            | ({"crv": key["crv"]} if "crv" in key else {})
            for key in KEYS.values()
        ]
        self.provider.add_client("c", "s" * 64, jwks={"keys": public}, **registered)
        given = {
            **self.provider.register_settings("c"),
            "client_keys": list(KEYS.values()),
            "request_object": how,
            "request_uri_base": BASE,
            **registered,
            **settings,
        }
        self.client = OAuthClient(ClientSettings.read("op", given))

    async def _serve(self, request: httpx2.Request) -> httpx2.Response:
        self.fetched.append(str(request.url))
        found = await self.client.request_objects.take(str(request.url).removeprefix(f"{BASE}/"))
        return httpx2.Response(404) if found is None else httpx2.Response(200, text=found)

    async def start(self, **params: Any) -> dict[str, str]:
        """What stands in the query of the authorization URL."""
        url, _, _ = await self.client.start_login(CALLBACK, params)
        return {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}

    async def log_in(self, **params: Any) -> Any:
        url, _, transaction = await self.client.start_login(CALLBACK, params)
        callback = await self.provider.sign_in(url)
        return await self.client.finish_login(transaction, callback.params)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "PS256", "none"])
@pytest.mark.parametrize("how", ["value", "uri"])
async def test_a_login_goes_through(how: str, alg: str) -> None:
    pair = Pair(how, alg)
    token = await pair.log_in(max_age=600, claims={"userinfo": {"email": None}})
    assert token["userinfo"]["sub"]
    assert pair.provider.violations == []
    assert len(pair.fetched) == (1 if how == "uri" else 0)


@pytest.mark.parametrize("how", ["value", "uri"])
async def test_only_what_must_stand_outside_does(how: str) -> None:
    sent = await Pair(how).start(login_hint="alice", prompt="login")
    assert sent.keys() == {
        "client_id",
        "response_type",
        "scope",
        "request" if how == "value" else "request_uri",
    }


async def test_what_is_inside() -> None:
    pair = Pair("value", "ES256")
    token = jose.parse_jws((await pair.start(login_hint="alice"))["request"])
    assert token.header == {"alg": "ES256", "kid": "ES256", "typ": "oauth-authz-req+jwt"}
    claims = token.claims
    assert (claims["iss"], claims["client_id"], claims["aud"]) == ("c", "c", pair.provider.issuer)
    assert claims["exp"] - claims["iat"] == 300
    assert claims["login_hint"] == "alice"
    assert {"state", "nonce", "code_challenge", "redirect_uri"} <= claims.keys()
    assert "code_verifier" not in claims


async def test_a_reference_can_not_be_guessed_and_serves_once() -> None:
    pair = Pair("uri")
    first, second = [(await pair.start())["request_uri"] for _ in range(2)]
    assert first != second
    assert first.startswith(f"{BASE}/")
    reference = first.removeprefix(f"{BASE}/")
    assert len(reference) >= 32
    assert await pair.client.request_objects.take(reference) is not None
    assert await pair.client.request_objects.take(reference) is None


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Cache:
    """A cache that gives octets back, as Redis does."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.seconds: list[int] = []

    async def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    async def set(self, key: str, value: str, seconds: int) -> None:
        self.values[key] = value.encode()
        self.seconds.append(seconds)

    async def delete(self, key: str) -> None:
        self.values.pop(key, None)


async def test_a_reference_lives_for_a_minute() -> None:
    clock = Clock()
    references = References(clock=clock)
    in_time, too_late = await references.keep("a"), await references.keep("b")
    clock.now += 59
    assert await references.take(in_time) == "a"
    clock.now += 1
    assert await references.take(too_late) is None


async def test_what_has_expired_is_forgotten() -> None:
    clock = Clock()
    references = References(clock=clock)
    for _ in range(5):
        await references.keep("a")
    clock.now += 61
    await references.keep("b")
    assert len(references._kept) == 1


async def test_workers_share_references_through_a_cache() -> None:
    cache = Cache()
    one, other = References(cache=cache), References(cache=cache)
    reference = await one.keep("a.b.c")
    assert cache.seconds == [60]
    assert await other.take(reference) == "a.b.c"
    assert await one.take(reference) is None


# -- algorithms ----------------------------------------------------------------------------------


async def test_none_is_never_the_default() -> None:
    pair = Pair("value", None)
    assert jose.parse_jws((await pair.start())["request"]).alg == "RS256"
    pair.provider.fault(
        "discovery.request_object_signing_alg_values_supported", ["none", "HS256", "ES256"]
    )
    assert jose.parse_jws((await Pair("value", None).start())["request"]).alg == "RS256"
    announced = Pair("value", None, request_object_signing_alg_values_supported=["none", "ES256"])
    assert jose.parse_jws((await announced.start())["request"]).alg == "ES256"


@pytest.mark.parametrize(
    "settings",
    [
        {"client_keys": None},
        {"client_keys": KEYS["ES256"]},
        {"request_object_signing_alg": "HS256"},
        {"request_object_signing_alg": "nonsense"},
        {"client_keys": None, "request_object_signing_alg_values_supported": ["none"]},
    ],
    ids=str,
)
async def test_without_a_fitting_key_nothing_is_sent(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await Pair("value", **settings).start()
    assert caught.value.code == "configuration.client_keys"


async def test_a_reference_needs_an_address() -> None:
    with pytest.raises(ConfigurationError) as caught:
        await Pair("uri", request_uri_base=None).start()
    assert caught.value.code == "configuration.request_uri_base"


def test_there_are_two_ways_only() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Pair("reference")
    assert caught.value.code == "configuration.request_object"


# -- encryption ----------------------------------------------------------------------------------


def encryption_key() -> tuple[dict[str, Any], jose.Key]:
    members = {**jose.generate_key("ES256", "op-enc").as_dict(private=True), "use": "enc"}
    members["alg"] = "ECDH-ES"
    (private,) = jose.import_private_keys(members)
    return jose.public_jwk(private), private


async def test_it_can_be_encrypted_for_the_provider() -> None:
    pair = Pair("value", request_object_encryption_alg="ECDH-ES")
    public, private = encryption_key()
    pair.provider.keys.published.append(public)
    sealed = (await pair.start())["request"]
    opened = jose.decrypt(sealed, [private], "ECDH-ES", "A128CBC-HS256")
    assert jose.parse_jws(opened).claims["iss"] == "c"


async def test_a_provider_without_a_key_gets_nothing_unencrypted() -> None:
    with pytest.raises(MetadataError) as caught:
        await Pair("value", request_object_encryption_alg="ECDH-ES").start()
    assert caught.value.code == "jwks.no_encryption_key"
