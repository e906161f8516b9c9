"""What `register` takes: every setting is known, of the right type, and shows no secret."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from reliant.client import ClientSettings, OAuthClient
from reliant.client.settings import JSON_SETTINGS, SETTINGS
from reliant.errors import ConfigurationError
from reliant.protocol.messages import HttpRequest
from reliant.protocol.metadata import METADATA_MEMBERS
from reliant.protocol.values import Secret


def read(**given: Any) -> ClientSettings:
    return ClientSettings.read("op", given)


def refused(**given: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        read(**given)
    return caught.value


def test_nothing_at_all_is_fine() -> None:
    settings = read()
    assert (settings.client_id, settings.client_secret, settings.scope) == (None, None, None)
    assert settings.metadata == {}
    assert OAuthClient(settings).name == "op"


def test_none_counts_as_not_given() -> None:
    assert read(**dict.fromkeys(SETTINGS)) == read()


def test_the_settings_of_the_seed_page_are_known() -> None:
    page = {
        "client_id", "client_secret", "access_token_url", "access_token_params",
        "refresh_token_url", "refresh_token_params", "authorize_url", "authorize_params",
        "api_base_url", "client_kwargs", "server_metadata_url", "userinfo_endpoint", "jwks_uri",
        "jwks", "issuer", "fetch_token", "update_token", "compliance_fix", "client_auth_methods",
        "token_endpoint_auth_method", "user_agent",
    }  # fmt: skip
    assert page | METADATA_MEMBERS <= SETTINGS
    assert JSON_SETTINGS < SETTINGS


TYPOS = [
    ("acces_token_url", "access_token_url"),
    ("access_token_uri", "access_token_url"),
    ("authorise_url", "authorize_url"),
    ("authorize_uri", "authorize_url"),
    ("client_secrets", "client_secret"),
    ("clientid", "client_id"),
    ("server_metadata_uri", "server_metadata_url"),
    ("jwks_url", "jwks_uri"),
    ("client_kwarg", "client_kwargs"),
    ("update_tokens", "update_token"),
    ("end_session_url", "end_session_endpoint"),
    ("userinfo_url", "userinfo_endpoint"),
]


@pytest.mark.parametrize(("typo", "meant"), TYPOS)
def test_a_misspelt_setting_is_an_error_with_the_nearest_name(typo: str, meant: str) -> None:
    error = refused(**{typo: "x"})
    assert error.code == "configuration.unknown_setting"
    assert f"`{typo}`" in error.description
    if typo not in ("userinfo_url", "end_session_url"):
        assert f"did you mean `{meant}`?" in error.description


def test_a_setting_like_no_other_is_an_error_without_a_guess() -> None:
    error = refused(xyzzy="x")
    assert error.description == "There is no setting `xyzzy`."


KWARGS_TYPOS = [
    ("scopes", "scope"),
    ("token_placment", "token_placement"),
    ("code_challenge_methods", "code_challenge_method"),
    ("time_out", "timeout"),
    ("proxies", "proxy"),
    ("header", "headers"),
]


@pytest.mark.parametrize(("typo", "meant"), KWARGS_TYPOS)
def test_a_misspelt_member_of_client_kwargs_is_an_error(typo: str, meant: str) -> None:
    error = refused(client_kwargs={typo: "x"})
    assert error.code == "configuration.unknown_setting"
    assert f"no member of client_kwargs `{typo}`; did you mean `{meant}`?" in error.description


@pytest.mark.parametrize("name", ["follow_redirects", "cookies", "auth", "base_url", "params"])
def test_options_that_would_leak_tokens_are_not_taken(name: str) -> None:
    assert refused(client_kwargs={name: None}).code == "configuration.unknown_setting"


@pytest.mark.parametrize("name", ["issuer", "jwks_uri", "token_endpoint", "client_id"])
def test_settings_do_not_hide_among_client_kwargs(name: str) -> None:
    assert refused(client_kwargs={name: "x"}).code == "configuration.unknown_setting"


WRONG_TYPES: list[tuple[str, Any]] = [
    *((name, "a=b") for name in ("access_token_params", "refresh_token_params")),
    *((name, ["a"]) for name in ("authorize_params", "client_kwargs")),
    *((name, "a function") for name in ("fetch_token", "update_token", "compliance_fix")),
    ("jwks", '{"keys": []}'),
    ("jwks", [{"kty": "EC"}]),
    ("id_token_signing_alg_values_supported", "HS256"),
    ("id_token_signing_alg_values_supported", 5),
    ("scopes_supported", {"openid": True}),
    ("token_endpoint_auth_methods_supported", "client_secret_post"),
    ("client_auth_methods", ["client_secret_basic"]),
    ("client_auth_methods", [("name", "no function")]),
    ("client_auth_methods", [("name", print, "three")]),
    ("client_auth_methods", [object()]),
    ("client_auth_methods", [(5, print)]),
]


@pytest.mark.parametrize(
    ("name", "value"), WRONG_TYPES, ids=[f"{n}={v!r:.20}" for n, v in WRONG_TYPES]
)
def test_a_setting_of_the_wrong_type_is_an_error_at_once(name: str, value: Any) -> None:
    assert refused(**{name: value}).code == "configuration.type"


@pytest.mark.parametrize("name", ["state", "nonce", "code_verifier"])
def test_what_each_login_has_anew_is_no_default_of_all_logins(name: str) -> None:
    assert refused(authorize_params={name: "x" * 43}).code == "configuration.authorize_params"
    read(authorize_params={"prompt": "login"})


@pytest.mark.parametrize("method", ["plain", "s256", "none", ""])
def test_pkce_can_not_be_weakened(method: str) -> None:
    error = refused(client_kwargs={"code_challenge_method": method})
    assert error.code == "configuration.code_challenge_method"


@pytest.mark.parametrize("method", ["S256", None])
def test_pkce_s256_may_be_said(method: str | None) -> None:
    read(client_kwargs={"code_challenge_method": method})


@pytest.mark.parametrize("placement", ["uri", "query", "Header", "", None])
def test_a_token_is_placed_in_the_header_or_the_body_only(placement: Any) -> None:
    error = refused(client_kwargs={"token_placement": placement})
    assert error.code == "configuration.token_placement"


def test_what_was_given_is_where_it_belongs() -> None:
    settings = read(
        client_id=123,
        client_secret="s",
        server_metadata_url=httpx2.URL("https://op.example/x"),
        client_kwargs={
            "scope": "openid",
            "prompt": "login",
            "token_endpoint_auth_method": "client_secret_post",
            "timeout": 5,
        },
        authorize_params={"ui_locales": "de"},
    )
    assert settings.client_id == "123"
    assert settings.client_secret == Secret("s")
    assert settings.server_metadata_url == "https://op.example/x"
    assert settings.scope == "openid"
    assert settings.authorize_params == {"prompt": "login", "ui_locales": "de"}
    assert settings.registered == {"token_endpoint_auth_method": "client_secret_post"}
    assert settings.http_options == {"timeout": 5}
    assert settings.token_placement == "header"


def test_the_setting_wins_over_client_kwargs() -> None:
    kwargs = {"token_endpoint_auth_method": "none", "prompt": "login"}
    settings = read(
        token_endpoint_auth_method="client_secret_post",
        authorize_params={"prompt": "none"},
        client_kwargs=kwargs,
    )
    assert settings.registered == {"token_endpoint_auth_method": "client_secret_post"}
    assert settings.authorize_params == {"prompt": "none"}


def test_both_names_of_an_endpoint_are_metadata() -> None:
    settings = read(
        authorize_url="https://op/a",
        access_token_url="https://op/t",
        userinfo_endpoint=httpx2.URL("https://op/u"),
        issuer="https://op",
        scopes_supported=["a"],
    )
    assert settings.metadata == {
        "authorization_endpoint": "https://op/a",
        "token_endpoint": "https://op/t",
        "userinfo_endpoint": "https://op/u",
        "issuer": "https://op",
        "scopes_supported": ["a"],
    }


def test_the_page_name_of_an_endpoint_wins() -> None:
    settings = read(authorize_url="https://op/a", authorization_endpoint="https://op/b")
    assert settings.metadata == {"authorization_endpoint": "https://op/a"}


class Method:
    name = "my_method"

    def authenticate(self, request: HttpRequest) -> HttpRequest:
        return request


def test_client_auth_methods_are_objects_or_pairs() -> None:
    pair = ("my_pair", lambda client, method, url, headers, body: (url, headers, body))
    methods = read(client_auth_methods=[Method(), pair]).client_auth_methods
    assert sorted(methods) == ["my_method", "my_pair"]


async def test_every_metadata_member_stays_away_from_the_http_client() -> None:
    """They once reached the constructor of the HTTP client, which refused them."""
    values: dict[str, Any] = dict.fromkeys(METADATA_MEMBERS, "https://op.example/x")
    values |= {name: ["x"] for name in METADATA_MEMBERS & JSON_SETTINGS}
    values["jwks"] = {"keys": []}
    settings = read(**values)
    assert settings.metadata == values
    assert settings.http_options == {}
    client = OAuthClient(settings)
    client.transport.client()
    await client.transport.aclose()


async def test_options_of_the_http_client_reach_it() -> None:
    client = OAuthClient(
        read(client_kwargs={"timeout": 3, "headers": {"x": "1"}}, user_agent="A/1")
    )
    http = client.transport.client()
    assert http.timeout == httpx2.Timeout(3)
    assert (http.headers["x"], http.headers["user-agent"]) == ("1", "A/1")
    await client.transport.aclose()


def test_no_secret_shows() -> None:
    settings = read(
        client_id="id",
        client_secret="s3cr3t",
        access_token_params={"client_assertion": "s3cr3t"},
        refresh_token_params={"password": "s3cr3t"},
        jwks={"keys": [{"kty": "oct", "k": "s3cr3t"}]},
        client_kwargs={"headers": {"authorization": "s3cr3t"}, "cert": ("a", "b", "s3cr3t")},
        client_auth_methods=[("pair", lambda *parts: parts)],
    )
    client = OAuthClient(settings)
    shown = [repr(settings), str(settings), f"{settings}", repr(client), str(client)]
    assert not any("s3cr3t" in text for text in shown)
    assert repr(client) == "<OAuthClient 'op'>"
    assert "s3cr3t" not in repr(client.client_secret)
    assert client.client_secret == "s3cr3t"
