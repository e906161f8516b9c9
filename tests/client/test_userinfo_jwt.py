"""UserInfo as a signed JWT, as an encrypted one, and plain where it must not be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reliant import UserInfoError
from reliant.client import ClientSettings, OAuthClient
from reliant.protocol import jose
from reliant.testing import REMOVE, FakeProvider, append

CALLBACK = "https://rp.example/callback"


def private(kind: str, kid: str) -> dict[str, Any]:
    members = jose.generate_key(kind, kid).as_dict(private=True)
    return {name: value for name, value in members.items() if name not in ("alg", "use")}


OURS, OTHERS = private("ES256", "ours"), private("ES256", "ours")
ENCRYPTED = {
    "userinfo_encrypted_response_alg": "ECDH-ES",
    "userinfo_encrypted_response_enc": "A128GCM",
}
SIGNED = {"userinfo_signed_response_alg": "RS256"}


class Pair:
    """A provider, and a client of it registered with ``settings``."""

    def __init__(self, settings: dict[str, Any], at_provider: dict[str, Any] | None = None) -> None:
        self.provider = FakeProvider()
        registered = settings if at_provider is None else at_provider
        if "userinfo_signed_response_alg" in registered:
            self.provider.behaviour.userinfo_alg = registered["userinfo_signed_response_alg"]
        public = {name: value for name, value in OURS.items() if name != "d"}
        self.provider.add_client("c", "s" * 64, jwks={"keys": [public]}, **registered)
        given = {**self.provider.register_settings("c"), "client_keys": OURS, **settings}
        self.client = OAuthClient(ClientSettings.read("op", given))

    async def userinfo(self) -> Any:
        url, _, transaction = await self.client.start_login(CALLBACK, {})
        callback = await self.provider.sign_in(url)
        return await self.client.userinfo(
            await self.client.finish_login(transaction, callback.params)
        )


@pytest.mark.parametrize(
    "settings",
    [{}, SIGNED, ENCRYPTED, {**SIGNED, **ENCRYPTED}],
    ids=["plain", "signed", "encrypted", "both"],
)
async def test_each_form_is_read(settings: dict[str, Any]) -> None:
    claims = await Pair(settings).userinfo()
    assert claims["email"]
    assert claims.sub


async def test_a_signed_answer_nobody_registered_for_is_judged_too() -> None:
    pair = Pair({}, SIGNED)
    assert (await pair.userinfo()).sub
    with pair.provider.fault("userinfo.signature", "flip"), pytest.raises(UserInfoError) as caught:
        await pair.userinfo()
    assert caught.value.code == "userinfo.signature"


@pytest.mark.parametrize(
    ("fault", "value", "code"),
    [
        ("userinfo.signature", "xor", "signature"),
        ("userinfo.signature", "empty", "signature"),
        ("userinfo.key", "impostor", "signature"),
        ("userinfo.key", "unpublished", "key_unknown"),
        ("userinfo.alg", "none", "alg"),
        ("userinfo.alg", "ES256", "alg"),
        ("userinfo.alg", "HS256", "alg"),
        ("userinfo.iss", append("1"), "iss_mismatch"),
        ("userinfo.aud", append("1"), "aud_mismatch"),
        ("userinfo.aud", ["another"], "aud_mismatch"),
        ("userinfo.sub", append("1"), "sub_mismatch"),
        ("userinfo.sub", REMOVE, "sub_missing"),
        ("userinfo.header.crit", ["exp"], "malformed"),
        ("userinfo.content_type", "application/json", "not_signed"),
    ],
    ids=str,
)
async def test_a_signed_answer_that_is_not_right(fault: str, value: Any, code: str) -> None:
    pair = Pair(SIGNED)
    with pair.provider.fault(fault, value), pytest.raises(UserInfoError) as caught:
        await pair.userinfo()
    assert caught.value.code == f"userinfo.{code}"
    assert (await pair.userinfo()).sub


@pytest.mark.parametrize("member", ["iss", "aud"])
async def test_iss_and_aud_may_be_missing(member: str) -> None:
    """OIDC Core section 5.3.2 says SHOULD."""
    pair = Pair(SIGNED)
    pair.provider.fault(f"userinfo.{member}", REMOVE)
    assert (await pair.userinfo()).sub


@pytest.mark.parametrize(
    ("settings", "at_provider", "code"),
    [
        (SIGNED, {}, "not_signed"),
        (ENCRYPTED, {}, "not_signed"),
        (ENCRYPTED, SIGNED, "malformed"),
        ({**SIGNED, **ENCRYPTED}, ENCRYPTED, "malformed"),
        ({**ENCRYPTED, "client_keys": OTHERS}, ENCRYPTED, "malformed"),
        ({**ENCRYPTED, "userinfo_encrypted_response_enc": "A256GCM"}, ENCRYPTED, "malformed"),
        ({**ENCRYPTED, "userinfo_encrypted_response_alg": "RSA-OAEP"}, ENCRYPTED, "malformed"),
    ],
    ids=[
        "plain though signed",
        "plain though encrypted",
        "signed though encrypted",
        "encrypted though signed too",
        "another key",
        "another enc",
        "another alg",
    ],
)
async def test_an_answer_in_another_form_than_registered(
    settings: dict[str, Any], at_provider: dict[str, Any], code: str
) -> None:
    with pytest.raises(UserInfoError) as caught:
        await Pair(settings, at_provider).userinfo()
    assert caught.value.code == f"userinfo.{code}"


async def test_an_encrypted_answer_is_about_the_same_person() -> None:
    pair = Pair(ENCRYPTED)
    with pair.provider.fault("userinfo.sub", "mallory"), pytest.raises(UserInfoError) as caught:
        await pair.userinfo()
    assert caught.value.code == "userinfo.sub_mismatch"


@pytest.mark.parametrize(("placement", "method"), [("header", "GET"), ("body", "POST")])
async def test_the_token_travels_in_one_place(placement: str, method: str) -> None:
    pair = Pair({})
    pair.client.settings = replace(pair.client.settings, token_placement=placement)
    await pair.userinfo()
    sent = pair.provider.requests[-1]
    assert (sent.endpoint, sent.method) == ("userinfo", method)
    assert pair.provider.violations == []
