"""UserInfo, revocation and logout through the client."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from reliant.errors import ConfigurationError, MissingTokenError, OAuthError, TokenError
from tests.helpers.op import METADATA, Provider, new_client
from tests.helpers.tokens import id_token

TOKEN = {"access_token": "the-token", "userinfo": {"sub": "alice"}}
WELL_KNOWN = "/.well-known/openid-configuration"


def without(*names: str) -> Provider:
    provider = Provider()
    provider.at[WELL_KNOWN] = {n: v for n, v in METADATA.items() if n not in names}
    return provider


# -- UserInfo ------------------------------------------------------------------------------------


async def test_userinfo_of_the_person_who_logged_in() -> None:
    claims = await new_client().userinfo(TOKEN)
    assert (claims.sub, claims.email) == ("alice", "alice@example.org")


@pytest.mark.parametrize(
    "known", [{"userinfo": {"sub": "alice"}}, {"id_token": id_token()}], ids=["claims", "id_token"]
)
async def test_userinfo_of_another_person_is_refused(known: dict[str, Any]) -> None:
    provider = Provider()
    provider.at["/userinfo"] = {"sub": "bob"}
    with pytest.raises(OAuthError) as caught:
        await new_client(provider).userinfo({"access_token": "t", **known})
    assert caught.value.code == "userinfo.sub_mismatch"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (401, "userinfo.token_refused"),
        (500, "userinfo.status"),
        ([], "userinfo.not_object"),
        ({}, "userinfo.sub_missing"),
        ({"sub": None}, "userinfo.sub_missing"),
        (httpx2.ReadTimeout("slow"), "http.timeout"),
        (httpx2.Response(200, content=b"x" * 2**21), "http.too_large"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_bad_userinfo_answer_has_a_code_of_its_own(answer: Any, code: str) -> None:
    provider = Provider()
    provider.at["/userinfo"] = answer
    with pytest.raises(OAuthError) as caught:
        await new_client(provider).userinfo(TOKEN)
    assert caught.value.code == code


async def test_userinfo_without_a_token_or_an_endpoint_is_a_clear_error() -> None:
    with pytest.raises(MissingTokenError):
        await new_client().userinfo()
    with pytest.raises(ConfigurationError, match='Missing "userinfo_endpoint" in metadata'):
        await new_client(without("userinfo_endpoint")).userinfo(TOKEN)


async def test_userinfo_with_the_token_in_the_body() -> None:
    provider = Provider()
    await new_client(provider, client_kwargs={"token_placement": "body"}).userinfo(TOKEN)
    (request,) = provider.sent_to("/userinfo")
    assert (request.method, request.content) == ("POST", b"access_token=the-token")


# -- revocation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "hint", "sent"),
    [
        ({"access_token": "a", "refresh_token": "r"}, None, ("r", "refresh_token")),
        ({"access_token": "a"}, None, ("a", "access_token")),
        ("s", None, ("s", None)),
        ("s", "access_token", ("s", "access_token")),
    ],
)
async def test_a_token_is_revoked(token: Any, hint: str | None, sent: Any) -> None:
    provider = Provider()
    await new_client(provider).revoke_token(token, hint)
    (form,) = provider.forms("/revoke")
    assert (form["token"], form.get("token_type_hint")) == sent
    assert provider.sent_to("/revoke")[0].headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize("token", ["", {}, {"access_token": None}])
async def test_no_token_to_revoke_is_a_clear_error(token: Any) -> None:
    provider = Provider()
    with pytest.raises(MissingTokenError):
        await new_client(provider).revoke_token(token)
    assert provider.sent_to("/revoke") == []


async def test_a_revocation_that_fails_is_an_error() -> None:
    provider = Provider()
    provider.at["/revoke"] = 503
    with pytest.raises(TokenError) as caught:
        await new_client(provider).revoke_token("t")
    assert caught.value.code == "revocation.failed"
    with pytest.raises(ConfigurationError, match='Missing "revocation_endpoint" in metadata'):
        await new_client(without("revocation_endpoint")).revoke_token("t")


# -- logout --------------------------------------------------------------------------------------


async def logout(provider: Provider | None = None, **params: Any) -> tuple[dict[str, str], Any]:
    made = await new_client(provider).create_logout_url(**params)
    assert made["url"].startswith(METADATA["end_session_endpoint"])
    return dict(parse_qsl(urlsplit(made["url"]).query)), made["state"]


async def test_a_logout_that_comes_back() -> None:
    query, state = await logout(
        post_logout_redirect_uri=httpx2.URL("https://rp.example/bye"), id_token_hint="a.b.c"
    )
    assert state
    assert query == {
        "post_logout_redirect_uri": "https://rp.example/bye",
        "id_token_hint": "a.b.c",
        "state": state,
    }


async def test_every_logout_has_a_state_of_its_own_unless_given() -> None:
    back: dict[str, Any] = {"post_logout_redirect_uri": "https://rp.example/bye"}
    assert (await logout(**back))[1] != (await logout(**back))[1]
    assert (await logout(**back, state="mine"))[1] == "mine"


async def test_without_a_way_back_no_state_is_sent() -> None:
    query, state = await logout(id_token_hint="a.b.c", state="mine")
    assert (query, state) == ({"id_token_hint": "a.b.c"}, None)
    assert await logout() == ({}, None)


async def test_without_a_hint_the_client_says_who_it_is() -> None:
    back: dict[str, Any] = {"post_logout_redirect_uri": "https://rp.example/bye"}
    assert (await logout(**back))[0]["client_id"] == "client"
    assert (await logout(**back, client_id="other"))[0]["client_id"] == "other"
    assert "client_id" not in (await logout(**back, id_token_hint="a.b.c"))[0]


async def test_other_parameters_of_a_logout() -> None:
    query, _ = await logout(logout_hint="alice", ui_locales="de en")
    assert query == {"logout_hint": "alice", "ui_locales": "de en"}


async def test_a_missing_logout_endpoint_is_named_with_the_text_users_look_for() -> None:
    with pytest.raises(RuntimeError, match='Missing "end_session_endpoint" in metadata') as caught:
        await logout(without("end_session_endpoint"))
    assert isinstance(caught.value, ConfigurationError)
    assert caught.value.code == "configuration.end_session_endpoint"
