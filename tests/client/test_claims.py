"""Aggregated and distributed claims: who is asked, what is believed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from reliant import OAuthError
from reliant.client import ClientSettings, OAuthClient
from reliant.protocol import jose

ISSUER, ENDPOINT = "https://op.example", "https://claims.example/score"
OP_KEY, OTHER_KEY = jose.generate_key("ES256", "op"), jose.generate_key("ES256", "op")
Answer = Callable[[httpx2.Request], httpx2.Response]


class Pair:
    """A client, and a network in which ``ENDPOINT`` answers as told."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer
        self.asked: list[httpx2.Request] = []
        settings = {
            "client_id": "client",
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}/jwks",
            "client_kwargs": {"transport": httpx2.MockTransport(self._answer), "timeout": 0.2},
        }
        self.client = OAuthClient(ClientSettings.read("op", settings))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        if str(request.url) == f"{ISSUER}/jwks":
            return httpx2.Response(200, json={"keys": [jose.public_jwk(OP_KEY)]})
        self.asked.append(request)
        assert self.answer is not None
        return self.answer(request)

    async def resolve(self, source: Any) -> Any:
        claims = {"_claim_names": {"score": "src"}, "_claim_sources": {"src": source}}
        return (await self.client.resolve_claims(claims))["score"]


def jwt(key: Any = OP_KEY, **claims: Any) -> str:
    return jose.sign_jwt({"score": 650, **claims}, key, "ES256", kid="op")


NOW = int(time.time())
BELIEVED: list[tuple[str, str, str | None, bool]] = [
    ("unsigned", jose.unsigned_jwt({"score": 650}), None, False),
    ("unsigned, as the provider", jose.unsigned_jwt({"score": 650, "iss": ISSUER}), ISSUER, False),
    ("the provider's", jwt(), None, True),
    ("the provider's, by name", jwt(iss=ISSUER, aud="client", exp=NOW + 3600), ISSUER, True),
    ("for several", jwt(aud=["other", "client"]), None, True),
    ("another key", jwt(OTHER_KEY), None, False),
    ("a foreign issuer", jwt(iss="https://bank.example"), "https://bank.example", False),
    ("for another client", jwt(aud="other"), None, False),
    ("for others", jwt(aud=["other", "more"]), None, False),
    ("stale", jwt(exp=NOW - 600), None, False),
    ("of no time", jwt(exp="soon"), None, False),
    (
        "by HMAC",
        jose.sign_jwt({"score": 650}, jose.secret_key("s" * 32), "HS256"),
        None,
        False,
    ),
]


@pytest.mark.parametrize(
    ("token", "issuer", "verified"), [row[1:] for row in BELIEVED], ids=[row[0] for row in BELIEVED]
)
async def test_what_is_believed(token: str, issuer: str | None, verified: bool) -> None:
    aggregated = await Pair().resolve({"JWT": token})
    distributed = await Pair(lambda _: httpx2.Response(200, text=token)).resolve(
        {"endpoint": ENDPOINT}
    )
    assert aggregated == distributed
    assert (aggregated.value, aggregated.issuer, aggregated.verified) == (650, issuer, verified)


async def test_a_source_gets_its_own_token_and_nothing_else() -> None:
    pair = Pair(lambda _: httpx2.Response(200, text=jwt()))
    await pair.resolve({"endpoint": ENDPOINT, "access_token": "theirs"})
    (request,) = pair.asked
    assert str(request.url) == ENDPOINT
    assert request.headers["authorization"] == "Bearer theirs"
    assert "cookie" not in request.headers


async def test_a_source_without_a_token_gets_none() -> None:
    pair = Pair(lambda _: httpx2.Response(200, text=jwt()))
    await pair.resolve({"endpoint": ENDPOINT})
    assert "authorization" not in pair.asked[0].headers


@pytest.mark.parametrize(
    "endpoint", ["http://claims.example/", "http://127.0.0.1:6379/", "ftp://claims.example/", "x"]
)
async def test_only_https_is_asked(endpoint: str) -> None:
    pair = Pair()
    claims = {
        "_claim_names": {"score": "src"},
        "_claim_sources": {"src": {"endpoint": endpoint, "access_token": "theirs"}},
    }
    assert await pair.client.resolve_claims(claims) == {}
    assert pair.asked == []


def slow(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.ReadTimeout("too slow")


BAD: dict[str, tuple[str, Answer]] = {
    "404": ("claims.source", lambda _: httpx2.Response(404)),
    "a redirect": (
        "claims.source",
        lambda _: httpx2.Response(302, headers={"location": "http://127.0.0.1/"}),
    ),
    "JSON": ("claims.source", lambda _: httpx2.Response(200, json={"score": 650})),
    "too large": ("http.too_large", lambda _: httpx2.Response(200, content=b"x" * 1_100_000)),
    "too slow": ("http.timeout", slow),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_source_that_does_not_answer_well(case: str) -> None:
    code, answer = BAD[case]
    pair = Pair(answer)
    with pytest.raises(OAuthError) as caught:
        await pair.resolve({"endpoint": ENDPOINT, "access_token": "theirs"})
    assert caught.value.code == code
    assert "theirs" not in str(caught.value)
    assert len(pair.asked) == 1


async def test_nothing_is_merged_with_the_provider_s_own_claims() -> None:
    claims = {
        "sub": "alice",
        "email": "alice@example.org",
        "_claim_names": {"email": "src"},
        "_claim_sources": {"src": {"JWT": jose.unsigned_jwt({"email": "mallory@evil.example"})}},
    }
    found = await Pair().client.resolve_claims(claims)
    assert claims["email"] == "alice@example.org"
    assert not found["email"].verified
