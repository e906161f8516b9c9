"""Refreshing: once for all who ask, told once, and never a used-up token sent again."""

from __future__ import annotations

from typing import Any

import anyio
import httpx2
import pytest

from reliant.client import OAuthClient
from reliant.errors import (
    ConfigurationError,
    IDTokenError,
    InvalidGrantError,
    MissingTokenError,
    OAuthError,
    ProviderError,
    TokenError,
)
from reliant.protocol.jose import hash_of
from tests.helpers.http import Clock
from tests.helpers.op import Provider, new_client
from tests.helpers.tokens import ABSENT, ISSUER, NOW, claims, id_token

API = "https://api.example/v1/"


def old_token(**changes: Any) -> dict[str, Any]:
    """A token that expired a second ago."""
    token = {
        "access_token": "old",
        "refresh_token": "refresh-0",
        "token_type": "Bearer",
        "expires_at": NOW - 1,
        "scope": "openid email",
        "userinfo": {"sub": "alice"},
        **changes,
    }
    return {name: value for name, value in token.items() if value is not ABSENT}


class Told:
    """An `update_token` that keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any]] = []

    async def __call__(
        self, token: Any, refresh_token: Any = None, access_token: Any = None
    ) -> None:
        await anyio.lowlevel.checkpoint()
        self.calls.append((dict(token), refresh_token, access_token))


async def get(client: OAuthClient, token: Any) -> httpx2.Response:
    return await client.send_api_request("GET", API, token, False, None, {})


def bearer_of(response: httpx2.Response) -> str:
    return str(response.request.headers["authorization"])


# -- refresh_token -------------------------------------------------------------------------------


async def test_a_refresh_returns_the_new_token_with_what_was_left_unchanged() -> None:
    provider = Provider()
    provider.at["/token"] = provider.token(refresh_token=None)
    token = await new_client(provider).refresh_token(old_token())
    assert (token.access_token, token.refresh_token) == ("access-1", "refresh-0")
    assert (token.scope, token.expires_at) == ("openid email", NOW + 3600)
    assert token.userinfo == {"sub": "alice"}
    assert provider.forms() == [{"grant_type": "refresh_token", "refresh_token": "refresh-0"}]


async def test_a_bare_refresh_token_will_do() -> None:
    provider = Provider()
    token = await new_client(provider).refresh_token("refresh-0")
    assert token.access_token == "access-1"
    assert provider.forms()[0]["refresh_token"] == "refresh-0"


async def test_the_client_authenticates() -> None:
    provider = Provider()
    await new_client(provider).refresh_token("refresh-0")
    assert provider.sent_to("/token")[0].headers["authorization"].startswith("Basic ")


async def test_refresh_token_url_and_params_are_used() -> None:
    provider = Provider()
    provider.at["/refresh"] = provider.token()
    client = new_client(
        provider, refresh_token_url=ISSUER + "/refresh", refresh_token_params={"scope": "email"}
    )
    await client.refresh_token("refresh-0")
    assert provider.forms("/refresh")[0]["scope"] == "email"
    assert provider.sent_to("/token") == []


@pytest.mark.parametrize(
    ("asked", "works"), [("email", True), ("openid email", True), ("openid phone", False)]
)
async def test_the_scope_never_grows(asked: str, works: bool) -> None:
    provider = Provider()
    client = new_client(provider, refresh_token_params={"scope": asked})
    if works:
        await client.refresh_token(old_token())
        assert provider.forms()[0]["scope"] == asked
        return
    with pytest.raises(ConfigurationError) as caught:
        await client.refresh_token(old_token())
    assert caught.value.code == "configuration.refresh_scope"
    assert provider.sent_to("/token") == []


@pytest.mark.parametrize("refresh_token", [ABSENT, None, "", 5, ["r"]])
async def test_a_token_that_can_not_be_refreshed_is_a_clear_error(refresh_token: Any) -> None:
    with pytest.raises(MissingTokenError, match="offline_access") as caught:
        await new_client().refresh_token(old_token(refresh_token=refresh_token))
    assert caught.value.code == "request.refresh_token_missing"


async def test_a_refresh_token_that_is_used_up_has_a_class_of_its_own() -> None:
    provider, told = Provider(), Told()
    provider.at["/token"] = httpx2.Response(400, json={"error": "invalid_grant"})
    with pytest.raises(InvalidGrantError):
        await new_client(provider, update_token=told).refresh_token(old_token())
    assert told.calls == []


async def test_an_echoed_refresh_token_is_hidden() -> None:
    provider = Provider()
    provider.at["/token"] = httpx2.Response(
        400, json={"error": "invalid_grant", "error_description": "refresh-0 is used up"}
    )
    with pytest.raises(TokenError) as caught:
        await new_client(provider).refresh_token("refresh-0")
    assert caught.value.description == "[hidden] is used up"


# -- the new ID Token (OIDC Core section 12.2) ---------------------------------------------------


async def test_a_new_id_token_is_validated_and_its_claims_replace_the_old() -> None:
    provider = Provider()
    provider.issue(nonce=ABSENT, email="new@example.org")
    token = await new_client(provider).refresh_token(old_token())
    assert token.userinfo == claims(nonce=ABSENT, email="new@example.org")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sub": "bob"}, "id_token.sub_mismatch"),
        ({"iss": "https://evil.example"}, "id_token.iss_mismatch"),
        ({"aud": "other"}, "id_token.aud_mismatch"),
        ({"at_hash": hash_of("other", "ES256")}, "id_token.at_hash"),
    ],
    ids=str,
)
async def test_a_new_id_token_that_breaks_a_rule_is_an_error(
    changes: dict[str, Any], code: str
) -> None:
    provider, told = Provider(), Told()
    provider.issue(**changes)
    with pytest.raises(IDTokenError) as caught:
        await new_client(provider, update_token=told).refresh_token(old_token())
    assert caught.value.code == code
    assert told.calls == []


@pytest.mark.parametrize(
    "changes", [{"exp": NOW - 60}, {"iat": NOW + 61}, {"nbf": NOW + 61}], ids=str
)
async def test_a_new_id_token_that_can_not_be_judged_now_is_left_out(
    changes: dict[str, Any],
) -> None:
    """The old refresh token may be used up: a clock that is wrong must not end the login."""
    provider = Provider()
    provider.issue(**changes)
    old = old_token()
    token = await new_client(provider).refresh_token(old)
    assert token["access_token"] == "access-1"
    assert token.get("id_token") == old.get("id_token")
    assert token.get("userinfo") == old.get("userinfo")


async def test_the_person_is_known_from_the_old_id_token_too() -> None:
    provider = Provider()
    provider.issue(sub="bob")
    old = old_token(userinfo=ABSENT, id_token=id_token())
    with pytest.raises(IDTokenError) as caught:
        await new_client(provider).refresh_token(old)
    assert caught.value.code == "id_token.sub_mismatch"


async def test_without_a_person_known_any_will_do() -> None:
    provider = Provider()
    provider.issue(sub="bob")
    token = await new_client(provider).refresh_token("refresh-0")
    assert token.userinfo is not None
    assert token.userinfo.sub == "bob"


# -- API calls with an expired token -------------------------------------------------------------


@pytest.mark.parametrize(
    ("expires_at", "refreshed"),
    [
        (NOW - 1, True),
        (NOW, True),
        (NOW + 10, True),
        (NOW + 11, False),
        (str(NOW - 1), True),
        (float(NOW - 1), True),
        (None, False),
        (ABSENT, False),
        ("soon", False),
    ],
)
async def test_a_token_is_refreshed_ten_seconds_before_its_end(
    expires_at: Any, refreshed: bool
) -> None:
    token = old_token(expires_at=expires_at)
    response = await get(new_client(), token)
    assert bearer_of(response) == ("Bearer access-1" if refreshed else "Bearer old")
    assert ("oauth_token" in response.extensions) is refreshed


async def test_the_caller_gets_the_new_token() -> None:
    token = old_token()
    response = await get(new_client(), token)
    assert token["access_token"] == "access-1"
    assert token["expires_at"] == NOW + 3600
    assert response.extensions["oauth_token"]["refresh_token"] == "refresh-1"


async def test_a_mapping_that_is_no_dict_is_left_alone() -> None:
    from types import MappingProxyType

    token = MappingProxyType(old_token())
    response = await get(new_client(), token)
    assert token["access_token"] == "old"
    assert response.extensions["oauth_token"]["access_token"] == "access-1"


async def test_update_token_is_told_once_and_by_name() -> None:
    told = Told()
    await get(new_client(update_token=told), old_token())
    ((token, refresh_token, access_token),) = told.calls
    assert (token["access_token"], refresh_token, access_token) == ("access-1", "refresh-0", "old")


async def test_update_token_may_be_sync() -> None:
    calls: list[Any] = []

    def update(token: Any, refresh_token: Any = None, access_token: Any = None) -> None:
        calls.append((token.access_token, refresh_token, access_token))

    await get(new_client(update_token=update), old_token())
    assert calls == [("access-1", "refresh-0", "old")]


@pytest.mark.parametrize("same_dict", [True, False], ids=["one dict", "a copy each"])
async def test_a_hundred_coroutines_refresh_once(same_dict: bool) -> None:
    provider, told, shared = Provider(), Told(), old_token()
    client = new_client(provider, update_token=told)
    bearers: list[str] = []

    async def call() -> None:
        token = shared if same_dict else old_token()
        bearers.append(bearer_of(await get(client, token)))
        assert token["access_token"] == "access-1"

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(call)
    assert bearers == ["Bearer access-1"] * 100
    assert len(provider.forms()) == 1
    assert len(told.calls) == 1


async def test_who_comes_late_with_the_old_token_gets_the_new_one() -> None:
    """A provider that rotates takes a second use of a refresh token for theft."""
    clock, provider, told = Clock(NOW), Provider(), Told()
    client = new_client(provider, clock, update_token=told)
    await get(client, old_token())
    clock.advance(29)
    late = old_token()
    assert bearer_of(await get(client, late)) == "Bearer access-1"
    assert late["refresh_token"] == "refresh-1"
    assert len(provider.forms()) == len(told.calls) == 1


async def test_who_comes_too_late_asks_the_provider() -> None:
    clock, provider = Clock(NOW), Provider()
    client = new_client(provider, clock)
    await get(client, old_token())
    clock.advance(30)
    await get(client, old_token())
    assert len(provider.forms()) == 2


async def test_a_refresh_token_that_is_not_rotated_serves_again() -> None:
    clock, provider = Clock(NOW), Provider()
    provider.at["/token"] = lambda _: provider.token(refresh_token=None, expires_in=15)
    client, token = new_client(provider, clock), old_token()
    for n in (1, 2, 3):
        assert bearer_of(await get(client, token)) == f"Bearer access-{n}"
        clock.advance(6)
    assert [form["refresh_token"] for form in provider.forms()] == ["refresh-0"] * 3


async def test_people_with_tokens_of_their_own_are_not_mixed_up() -> None:
    provider = Provider()
    provider.at["/token"] = lambda request: {
        "access_token": "for-"
        + dict(httpx2.QueryParams(request.content.decode()))["refresh_token"],
        "token_type": "Bearer",
    }
    client, bearers = new_client(provider), dict[str, str]()

    async def call(name: str) -> None:
        bearers[name] = bearer_of(await get(client, old_token(refresh_token=name)))

    async with anyio.create_task_group() as tasks:
        for i in range(50):
            tasks.start_soon(call, f"r{i}")
    assert bearers == {f"r{i}": f"Bearer for-r{i}" for i in range(50)}


async def test_a_failed_refresh_is_shared_and_not_kept() -> None:
    provider, errors = Provider(), []
    provider.at["/token"] = 500
    client = new_client(provider)

    async def call() -> None:
        with pytest.raises(TokenError) as caught:
            await get(client, old_token())
        errors.append(caught.value.code)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(call)
    assert errors == ["token.server_error"] * 20
    assert len(provider.forms()) == 1
    provider.at["/token"] = provider.token()
    assert bearer_of(await get(client, old_token())) == "Bearer access-1"


async def test_when_update_token_fails_those_who_wait_do_not_use_the_token_up_again() -> None:
    provider, outcomes = Provider(), []

    async def update(token: Any, **names: Any) -> None:
        raise RuntimeError("the database is down")

    client = new_client(provider, update_token=update)

    async def call() -> None:
        try:
            outcomes.append(bearer_of(await get(client, old_token())))
        except RuntimeError as exc:
            outcomes.append(str(exc))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(call)
    assert outcomes.count("the database is down") == 1
    assert outcomes.count("Bearer access-1") == 19
    assert len(provider.forms()) == 1


async def test_when_the_one_who_refreshes_is_cancelled_another_takes_over() -> None:
    provider, go, reached = Provider(), anyio.Event(), anyio.Event()

    async def answer(_: httpx2.Request) -> dict[str, Any]:
        reached.set()
        await go.wait()
        return provider.token()

    provider.at["/token"] = answer
    client, bearers = new_client(provider), list[str]()
    leader = anyio.CancelScope()

    async def lead() -> None:
        with leader:
            await get(client, old_token())

    async def follow() -> None:
        bearers.append(bearer_of(await get(client, old_token())))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lead)
            await reached.wait()
            for _ in range(5):
                tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            leader.cancel()
            await anyio.wait_all_tasks_blocked()
            go.set()
    assert bearers == ["Bearer access-1"] * 5
    assert len(provider.forms()) == 2


@pytest.mark.parametrize("refresh_token", [ABSENT, None, "", 5])
async def test_an_expired_token_that_can_not_be_refreshed_is_a_clear_error(
    refresh_token: Any,
) -> None:
    with pytest.raises(MissingTokenError, match="Log in again") as caught:
        await get(new_client(), old_token(refresh_token=refresh_token))
    assert (caught.value.code, caught.value.error) == ("request.token_expired", "token_expired")
    assert caught.value.status_hint == 401


async def test_a_token_in_its_last_seconds_that_can_not_be_refreshed_is_used() -> None:
    token = old_token(refresh_token=ABSENT, expires_at=NOW + 5)
    assert bearer_of(await get(new_client(), token)) == "Bearer old"


async def test_userinfo_refreshes_too() -> None:
    provider, token = Provider(), old_token()
    assert (await new_client(provider).userinfo(token)).sub == "alice"
    assert provider.sent_to("/userinfo")[0].headers["authorization"] == "Bearer access-1"
    assert token["access_token"] == "access-1"


async def test_a_provider_that_is_down_is_an_oauth_error() -> None:
    provider = Provider()
    provider.at["/token"] = httpx2.ConnectError("down")
    with pytest.raises(ProviderError):
        await get(new_client(provider), old_token())
    with pytest.raises(OAuthError):
        await new_client(provider).refresh_token("r")
