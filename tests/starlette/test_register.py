"""`OAuth` and `register`: where settings come from, and what names clients may have."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

import httpx2
import pytest
from starlette.config import Config, environ
from starlette.datastructures import URL, Secret
from starlette.requests import Request

from reliant import ConfigurationError, HttpRequest, OAuthClient, OAuthError
from reliant.client.settings import JSON_SETTINGS, REGISTERED, SETTINGS
from reliant.protocol.jose import generate_key
from reliant.protocol.metadata import JSON_MEMBERS, METADATA_MEMBERS
from reliant.starlette import OAuth, StarletteClient

# -- the classes as the documentation shows them -------------------------------------------------

SIGNATURES = {
    "authorize_redirect": "request, redirect_uri=None, *, return_to=None, data=None, **params",
    "create_authorization_url": "redirect_uri=None, **params",
    "save_authorize_data": "request, *, response=None, **data",
    "authorize_access_token": "request, *, claims_options=None, leeway=60, **params",
    "fetch_access_token": "redirect_uri=None, **params",
    "parse_id_token": "token, nonce, claims_options=None, leeway=60",
    "userinfo": "token=None, request=None",
    "refresh_token": "token",
    "load_server_metadata": "",
    "fetch_jwk_set": "force=False",
    "create_logout_url": "post_logout_redirect_uri=None, id_token_hint=None, state=None, *, "
    "client_id=None, logout_hint=None, ui_locales=None",
    "logout_redirect": "request, post_logout_redirect_uri=None, id_token_hint=None, state=None, "
    "client_id=None, logout_hint=None, ui_locales=None",
    "validate_logout_response": "request",
    "request": "method, url, token=None, request=None, withhold_token=False, *, "
    "token_origin=None, **options",
    **dict.fromkeys(
        ("get", "post", "put", "patch", "delete", "head", "options"),
        "url, token=None, request=None, withhold_token=False, **options",
    ),
}


def _parameters(function: Any) -> str:
    signature = inspect.signature(function)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    return str(inspect.Signature(bare))[1:-1]


@pytest.mark.parametrize("method", SIGNATURES)
def test_the_methods_of_a_client(method: str) -> None:
    function = getattr(StarletteClient, method)
    assert inspect.iscoroutinefunction(function)
    assert _parameters(function) == SIGNATURES[method]


def test_the_constructor() -> None:
    positional = "config=None, cache=None, fetch_token=None, update_token=None, *, secret_key=None"
    assert _parameters(OAuth.__init__).startswith(positional)
    assert _parameters(OAuth.register).startswith("name, overwrite=False, *, replace=False, **")


# -- names ---------------------------------------------------------------------------------------


def test_a_client_is_an_attribute() -> None:
    oauth = OAuth()
    client = oauth.register("google", client_id="id")
    assert oauth.google is client
    assert oauth.create_client("google") is client
    assert isinstance(client, StarletteClient)
    assert isinstance(client, OAuthClient)
    assert client.name == "google"


def test_a_name_may_be_a_keyword_argument() -> None:
    oauth = OAuth()
    assert oauth.register(name="google", client_id="id") is oauth.google


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    name = "google"
    with pytest.raises(AttributeError, match="No client is registered as 'google'"):
        getattr(OAuth(), name)
    assert not hasattr(OAuth(), "google")


def test_an_unknown_client_is_none() -> None:
    assert OAuth().create_client("google") is None


def test_a_name_is_taken_once() -> None:
    oauth = OAuth()
    first = oauth.register("google", client_id="first")
    with pytest.raises(ConfigurationError, match="replace=True") as caught:
        oauth.register("google", client_id="second")
    assert caught.value.code == "configuration.name_taken"
    assert oauth.google is first


def test_a_name_is_replaced_when_asked() -> None:
    oauth = OAuth()
    oauth.register("google", client_id="first")
    second = oauth.register("google", replace=True, client_id="second")
    assert oauth.google is second
    assert oauth.google.client_id == "second"


def test_a_bad_setting_replaces_nothing() -> None:
    oauth = OAuth()
    first = oauth.register("google", client_id="first")
    with pytest.raises(ConfigurationError):
        oauth.register("google", replace=True, clinet_id="second")
    assert oauth.google is first


def test_replace_needs_nothing_to_replace() -> None:
    assert OAuth().register("google", replace=True, client_id="id").client_id == "id"


def test_unregister_forgets_a_client() -> None:
    oauth = OAuth()
    oauth.register("google", client_id="id")
    oauth.unregister("google")
    assert oauth.create_client("google") is None
    assert not hasattr(oauth, "google")
    assert oauth.register("google", client_id="again").client_id == "again"


def test_unregister_of_no_client_is_an_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        OAuth().unregister("google")
    assert caught.value.code == "configuration.name_unknown"


@pytest.mark.parametrize(
    "name", ["", "register", "create_client", "aclose", "lifespan", "_clients", "__dict__"]
)
def test_some_names_are_the_registrys_own(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OAuth().register(name, client_id="id")
    assert caught.value.code == "configuration.name"


def test_clients_of_two_registries_are_strangers() -> None:
    first, second = OAuth(), OAuth()
    first.register("google", client_id="id")
    assert second.create_client("google") is None


# -- config --------------------------------------------------------------------------------------


class _HasGet:
    """All that is asked of a config object."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def get(self, key: str) -> Any:
        return self._values.get(key)


class _RaisingGet(_HasGet):
    def get(self, key: str) -> Any:
        return self._values[key]


class _Mapping(Mapping[str, Any]):
    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


CONFIGS: dict[str, Callable[[dict[str, str]], Any]] = {
    "starlette": lambda values: Config(environ=values),
    "dict": dict,
    "mapping": _Mapping,
    "object": _HasGet,
    "raising-object": _RaisingGet,
}
config_kinds = pytest.mark.parametrize("kind", CONFIGS)


@config_kinds
def test_settings_come_from_config(kind: str) -> None:
    config = CONFIGS[kind](
        {
            "MY_OP_CLIENT_ID": "the id",
            "MY_OP_CLIENT_SECRET": "the secret",
            "MY_OP_SERVER_METADATA_URL": "https://op.example/.well-known/openid-configuration",
            "MY_OP_CLIENT_KWARGS": '{"scope": "openid email"}',
            "OTHER_CLIENT_ID": "another's",
        }
    )
    client = OAuth(config).register("my_op")
    assert client.client_id == "the id"
    assert client.client_secret is not None
    assert client.client_secret.reveal() == "the secret"
    assert client.settings.server_metadata_url is not None
    assert client.settings.server_metadata_url.startswith("https://op.example/")
    assert client.settings.scope == "openid email"


def test_settings_come_from_a_file_and_the_environment(tmp_path: Any) -> None:
    file = tmp_path / "settings.env"
    file.write_text("GOOGLE_CLIENT_ID=from-file\nGOOGLE_CLIENT_SECRET='from file'\n")
    config = Config(file, environ={"GOOGLE_CLIENT_ID": "from-environment"})
    client = OAuth(config).register("google")
    assert client.client_id == "from-environment"
    assert client.client_secret is not None
    assert client.client_secret.reveal() == "from file"
    assert "GOOGLE_CLIENT_ID" not in environ


APP_KEY: Any = generate_key("ES256", "app-key")
# Settings of which not every text is one.
CHOICES = {
    "client_keys": APP_KEY.as_pem(private=True).decode(),
    "id_token_encrypted_response_alg": "ECDH-ES",
    "id_token_encrypted_response_enc": "A128GCM",
    "id_token_signed_response_alg": "ES256",
    "request_object": "uri",
    "request_object_encryption_alg": "RSA-OAEP-256",
    "request_object_encryption_enc": "A256GCM",
    "request_object_signing_alg": "PS256",
    "response_mode": "query",
    "response_type": "code id_token",
    "token_endpoint_auth_method": "client_secret_post",
    "token_endpoint_auth_signing_alg": "ES256",
    "userinfo_encrypted_response_alg": "RSA-OAEP",
    "userinfo_encrypted_response_enc": "A128CBC-HS256",
    "userinfo_signed_response_alg": "ES256",
}


def _value_of(setting: str) -> tuple[str, Any]:
    """A setting as it stands in a config file, and as it must arrive."""
    if setting in CHOICES:
        return CHOICES[setting], CHOICES[setting]
    if setting == "client_kwargs":
        return '{"scope": "openid", "timeout": 3}', {"scope": "openid", "timeout": 3}
    if setting == "jwks":
        return '{"keys": []}', {"keys": []}
    if setting in JSON_SETTINGS:
        document = {"a": 1} if setting.endswith(("_params", "_aliases")) else ["a", "b"]
        return json.dumps(document), document
    return f"https://op.example/{setting}", f"https://op.example/{setting}"


def _arrived(client: StarletteClient, setting: str) -> Any:
    names = {"authorize_url": "authorization_endpoint", "access_token_url": "token_endpoint"}
    if setting == "client_kwargs":
        return {"scope": client.settings.scope, **client.settings.http_options}
    if setting == "client_secret":
        assert client.client_secret is not None
        return client.client_secret.reveal()
    if setting in METADATA_MEMBERS | names.keys():
        return client.settings.metadata[names.get(setting, setting)]
    if setting in REGISTERED:
        return client.settings.registered[setting]
    if setting in ("response_mode", "response_type"):
        return client.settings.authorize_params[setting]
    if setting == "client_keys":
        (key,) = cast("tuple[Any]", client.settings.keys)
        return key.as_pem(private=True).decode()
    return getattr(client.settings, setting)


TEXT_AND_JSON = sorted(
    SETTINGS - {"compliance_fix", "fetch_token", "on_logout", "update_token", "client_auth_methods"}
)


@pytest.mark.parametrize("as_set", [False, True], ids=["JWK", "JWK Set"])
def test_the_clients_keys_come_from_config_as_json(as_set: bool) -> None:
    jwk = APP_KEY.as_dict(private=True)
    written = json.dumps({"keys": [jwk]} if as_set else jwk)
    (key,) = OAuth({"OP_CLIENT_KEYS": written}).register("op").settings.keys
    assert key.is_private
    assert key.kid == "app-key"


@pytest.mark.parametrize("written", ["{", "[]", '{"kty": "EC"}', "[1]"])
def test_json_that_is_no_key_is_an_error(written: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OAuth({"OP_CLIENT_KEYS": written}).register("op")
    assert caught.value.code == "configuration.client_keys"


@pytest.mark.parametrize("setting", TEXT_AND_JSON)
def test_every_setting_comes_from_config(setting: str) -> None:
    written, value = _value_of(setting)
    client = OAuth({f"OP_{setting.upper()}": written}).register("op")
    assert _arrived(client, setting) == value


@pytest.mark.parametrize("setting", TEXT_AND_JSON)
def test_every_setting_comes_from_register(setting: str) -> None:
    _, value = _value_of(setting)
    client = OAuth().register("op", **{setting: value})
    assert _arrived(client, setting) == value


@pytest.mark.parametrize(
    "setting",
    ["client_id", "client_secret", "access_token_url", "access_token_params", "refresh_token_url",
     "refresh_token_params", "authorize_url", "authorize_params", "api_base_url", "client_kwargs",
     "server_metadata_url", "userinfo_endpoint", "jwks_uri", "jwks", "issuer", "fetch_token",
     "update_token", "compliance_fix", "client_auth_methods", "token_endpoint_auth_method",
     "user_agent", "end_session_endpoint", "revocation_endpoint", "introspection_endpoint",
     "registration_endpoint", "scopes_supported", "id_token_signing_alg_values_supported",
     "token_endpoint_auth_methods_supported", "code_challenge_methods_supported",
     "authorization_endpoint", "token_endpoint"],
)  # fmt: skip
def test_the_documented_settings_are_there(setting: str) -> None:
    assert setting in SETTINGS


def test_a_config_may_hold_json_already_read() -> None:
    config = {"OP_CLIENT_KWARGS": {"scope": "openid"}, "OP_JWKS": {"keys": []}}
    client = OAuth(config).register("op")
    assert client.settings.scope == "openid"
    assert client.settings.metadata["jwks"] == {"keys": []}


@config_kinds
@pytest.mark.parametrize(
    "key", ["OP_CLIENT_KWARGS", "OP_AUTHORIZE_PARAMS", "OP_JWKS", "OP_SCOPES_SUPPORTED"]
)
def test_bad_json_in_config_is_named(kind: str, key: str) -> None:
    config = CONFIGS[kind]({key: "{'scope': the-secret"})
    with pytest.raises(ConfigurationError, match=key) as caught:
        OAuth(config).register("op")
    assert caught.value.code == "configuration.config_json"
    assert "the-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["client_kwargs", "authorize_params", "access_token_params", "jwks"]
)
@pytest.mark.parametrize("value", ["a string", ["a", "list"], 7])
def test_a_dict_setting_must_be_one(key: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=key) as caught:
        OAuth().register("op", **{key: value})
    assert caught.value.code == "configuration.type"


@pytest.mark.parametrize("key", ["fetch_token", "update_token", "compliance_fix", "on_logout"])
def test_a_hook_must_be_a_function(key: str) -> None:
    settings: dict[str, Any] = {key: "not a function"}
    with pytest.raises(ConfigurationError, match=key) as caught:
        OAuth().register("op", **settings)
    assert caught.value.code == "configuration.type"


@config_kinds
def test_what_register_is_given_wins(kind: str) -> None:
    config = CONFIGS[kind]({"OP_CLIENT_ID": "config", "OP_CLIENT_SECRET": "config"})
    client = OAuth(config).register("op", client_id="keyword", client_secret=None)
    assert client.client_id == "keyword"
    assert client.client_secret is not None  # None is "not given"
    assert client.client_secret.reveal() == "config"


@config_kinds
def test_overwrite_lets_config_win(kind: str) -> None:
    config = CONFIGS[kind]({"OP_CLIENT_ID": "config"})
    client = OAuth(config).register("op", overwrite=True, client_id="keyword", user_agent="keyword")
    assert client.client_id == "config"
    assert client.settings.user_agent == "keyword"


@config_kinds
def test_overwrite_merges_dict_settings(kind: str) -> None:
    config = CONFIGS[kind]({"OP_CLIENT_KWARGS": '{"scope": "config"}'})
    client = OAuth(config).register("op", True, client_kwargs={"scope": "keyword", "timeout": 3})
    assert client.settings.scope == "config"
    assert client.settings.http_options == {"timeout": 3}


def test_without_overwrite_a_dict_setting_is_taken_whole() -> None:
    config = {"OP_CLIENT_KWARGS": '{"scope": "config", "timeout": 3}'}
    client = OAuth(config).register("op", client_kwargs={"scope": "keyword"})
    assert client.settings.scope == "keyword"
    assert client.settings.http_options == {}


def test_a_secret_of_starlettes_kind() -> None:
    client = OAuth().register("op", client_secret=Secret("hidden"))
    assert client.client_secret is not None
    assert client.client_secret.reveal() == "hidden"


def test_a_client_never_shows_its_secret() -> None:
    client = OAuth().register("op", client_id="id", client_secret="hidden-secret")
    for text in (repr(client), str(client), repr(client.settings), repr(client.client_secret)):
        assert "hidden-secret" not in text


def test_urls_of_starlettes_kind() -> None:
    client = OAuth().register("op", authorize_url=URL("https://op.example/authorize"))
    assert client.settings.metadata["authorization_endpoint"] == "https://op.example/authorize"


# -- misspelt settings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("acess_token_url", "access_token_url"),
        ("authorise_url", "authorize_url"),
        ("client_secrets", "client_secret"),
        ("server_metadat_url", "server_metadata_url"),
        ("userinfo_endpont", "userinfo_endpoint"),
        ("client_kwarg", "client_kwargs"),
        ("update_tokens", "update_token"),
    ],
)
def test_a_misspelt_setting_names_the_nearest(wrong: str, right: str) -> None:
    settings: dict[str, Any] = {wrong: "value"}
    with pytest.raises(ConfigurationError) as caught:
        OAuth().register("op", **settings)
    assert caught.value.code == "configuration.unknown_setting"
    assert f"There is no setting `{wrong}`; did you mean `{right}`?" in str(caught.value)
    assert isinstance(caught.value, RuntimeError)


def test_a_setting_like_none_is_refused_without_a_guess() -> None:
    with pytest.raises(ConfigurationError, match=r"There is no setting `qwxz`\.$"):
        OAuth().register("op", qwxz=1)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("scopes", "scope"),
        ("timeouts", "timeout"),
        ("code_challenge_methode", "code_challenge_method"),
        ("token_placment", "token_placement"),
        ("verfy", "verify"),
    ],
)
def test_a_misspelt_member_of_client_kwargs_names_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(ConfigurationError, match=f"`{wrong}`; did you mean `{right}`"):
        OAuth().register("op", client_kwargs={wrong: "value"})


@pytest.mark.parametrize("option", ["follow_redirects", "cookies", "auth", "base_url", "app"])
def test_options_that_would_leak_tokens_are_no_members_of_client_kwargs(option: str) -> None:
    with pytest.raises(ConfigurationError, match=option) as caught:
        OAuth().register("op", client_kwargs={option: True})
    assert caught.value.code == "configuration.unknown_setting"


@pytest.mark.parametrize(
    ("kwargs", "code"),
    [
        ({"code_challenge_method": "plain"}, "configuration.code_challenge_method"),
        ({"token_placement": "uri"}, "configuration.token_placement"),
    ],
    ids=["plain", "token-in-url"],
)
def test_a_weak_choice_is_refused(kwargs: dict[str, str], code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OAuth().register("op", client_kwargs=kwargs)
    assert caught.value.code == code


@pytest.mark.parametrize("kwargs", [{"code_challenge_method": "S256"}, {"token_placement": "body"}])
def test_a_sound_choice_is_taken(kwargs: dict[str, str]) -> None:
    OAuth().register("op", client_kwargs=kwargs)


def test_the_http_clients_options_are_all_taken() -> None:
    options = {
        "transport": httpx2.MockTransport(lambda request: httpx2.Response(200)),
        "timeout": 3,
        "verify": True,
        "proxy": None,
        "headers": {"x-app": "1"},
        "limits": httpx2.Limits(max_connections=2),
        "trust_env": False,
    }
    client = OAuth().register("op", client_kwargs={"scope": "openid", **options})
    assert set(client.settings.http_options) == set(options)
    assert client.settings.scope == "openid"


async def test_metadata_never_reach_the_http_client() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={})

    client = OAuth().register(
        "op",
        api_base_url="https://api.example/",
        client_kwargs={"transport": httpx2.MockTransport(answer), "headers": {"x-app": "1"}},
        user_agent="TheApp/2",
        **{name: _value_of(name)[1] for name in METADATA_MEMBERS},
    )
    assert set(METADATA_MEMBERS) >= set(JSON_MEMBERS)
    await client.get("user", withhold_token=True)
    assert seen[0].headers["user-agent"] == "TheApp/2"
    assert seen[0].headers["x-app"] == "1"


async def test_the_default_user_agent_names_the_library() -> None:
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["user-agent"])
        return httpx2.Response(200, json={})

    client = OAuth().register("op", client_kwargs={"transport": httpx2.MockTransport(answer)})
    await client.get("https://api.example/", withhold_token=True)
    assert seen[0].startswith("Reliant/")


async def test_what_the_app_sets_wins_over_discovery() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        document = {
            "issuer": "https://op.example",
            "authorization_endpoint": "https://op.example/announced",
            "token_endpoint": "https://op.example/announced",
        }
        return httpx2.Response(200, json=document)

    client = OAuth().register(
        "op",
        client_id="id",
        server_metadata_url="https://op.example/.well-known/openid-configuration",
        authorize_url="https://op.example/set",
        client_kwargs={"transport": httpx2.MockTransport(answer)},
    )
    metadata = await client.load_server_metadata()
    assert metadata["authorization_endpoint"] == "https://op.example/set"
    assert metadata["token_endpoint"] == "https://op.example/announced"
    assert (await client.create_authorization_url())["url"].startswith("https://op.example/set?")


# -- client authentication of the app's own -------------------------------------------------------


class _Signed:
    name = "signed"

    def authenticate(self, request: HttpRequest) -> HttpRequest:
        return dataclasses.replace(request, headers={**request.headers, "x-signed": "yes"})


def _signed(client: Any, method: str, url: str, headers: dict[str, str], body: str) -> Any:
    assert (method, client.client_id) == ("POST", "id")
    return url, {**headers, "x-signed": "yes"}, body


@pytest.mark.parametrize("method", [_Signed(), ("signed", _signed)], ids=["object", "pair"])
@pytest.mark.parametrize(
    "chosen_by",
    [
        {"token_endpoint_auth_method": "signed"},
        {"token_endpoint_auth_methods_supported": ["client_secret_basic", "signed"]},
    ],
    ids=["setting", "announced"],
)
async def test_a_client_auth_method_of_the_apps_own(method: Any, chosen_by: dict[str, Any]) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"access_token": "a", "token_type": "Bearer"})

    client = OAuth().register(
        "op",
        client_id="id",
        access_token_url="https://op.example/token",
        client_auth_methods=[method],
        client_kwargs={"transport": httpx2.MockTransport(answer)},
        **chosen_by,
    )
    await client.fetch_access_token(code="c")
    assert seen[0].headers["x-signed"] == "yes"
    assert "authorization" not in seen[0].headers


@pytest.mark.parametrize("method", ["signed", object(), ("signed",), ("signed", None)], ids=repr)
def test_what_is_no_client_auth_method(method: Any) -> None:
    with pytest.raises(ConfigurationError, match="client_auth_methods"):
        OAuth().register("op", client_id="id", client_auth_methods=[method])


@pytest.mark.parametrize("place", ["setting", "client_kwargs"])
async def test_the_client_auth_method_is_a_setting_or_in_client_kwargs(place: str) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"access_token": "a", "token_type": "Bearer"})

    setting = {"token_endpoint_auth_method": "client_secret_post"}
    kwargs: dict[str, Any] = {"transport": httpx2.MockTransport(answer)}
    settings: dict[str, Any] = setting if place == "setting" else {}
    client = OAuth().register(
        "op",
        client_id="id",
        client_secret="secret",
        access_token_url="https://op.example/token",
        client_kwargs=kwargs if place == "setting" else kwargs | setting,
        **settings,
    )
    await client.fetch_access_token(code="c")
    assert b"client_secret=secret" in seen[0].content
    assert "authorization" not in seen[0].headers


# -- configuration errors that come later --------------------------------------------------------


async def test_missing_client_id() -> None:
    client = OAuth().register("op", authorize_url="https://op.example/a")
    with pytest.raises(RuntimeError, match='Missing "client_id" value') as caught:
        await client.create_authorization_url()
    assert isinstance(caught.value, OAuthError)


async def test_missing_authorize_url() -> None:
    client = OAuth().register("op", client_id="id")
    with pytest.raises(RuntimeError, match='Missing "authorize_url" value') as caught:
        await client.authorize_redirect(Request({"type": "http", "session": {}}))
    assert isinstance(caught.value, OAuthError)


async def test_missing_jwks_uri() -> None:
    client = OAuth().register("op", client_id="id")
    with pytest.raises(RuntimeError, match='Missing "jwks_uri" in metadata') as caught:
        await client.fetch_jwk_set()
    assert isinstance(caught.value, OAuthError)


async def test_missing_end_session_endpoint() -> None:
    client = OAuth().register("op", client_id="id")
    for attempt in (
        client.create_logout_url(),
        client.logout_redirect(Request({"type": "http", "session": {}})),
    ):
        with pytest.raises(RuntimeError, match='Missing "end_session_endpoint"') as caught:
            await attempt
        assert isinstance(caught.value, OAuthError)


async def test_missing_access_token_url() -> None:
    client = OAuth().register("op", client_id="id")
    with pytest.raises(RuntimeError, match='Missing "access_token_url" value'):
        await client.fetch_access_token(code="c")


async def test_openid_needs_an_issuer() -> None:
    client = OAuth().register(
        "op",
        client_id="id",
        authorize_url="https://op.example/a",
        client_kwargs={"scope": "openid"},
    )
    with pytest.raises(RuntimeError, match='Missing "issuer" value'):
        await client.create_authorization_url()


async def test_plain_oauth_needs_none() -> None:
    client = OAuth().register(
        "op", client_id="id", authorize_url="https://op.example/a", client_kwargs={"scope": "read"}
    )
    assert "nonce" not in await client.create_authorization_url()


@pytest.mark.parametrize(("scope", "code"), [("read", None), ("openid", "metadata.issuer_missing")])
async def test_metadata_without_an_issuer(scope: str, code: str | None) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"authorization_endpoint": "https://op.example/a"})

    client = OAuth().register(
        "op",
        client_id="id",
        server_metadata_url="https://op.example/.well-known/openid-configuration",
        client_kwargs={"scope": scope, "transport": httpx2.MockTransport(answer)},
    )
    request = Request({"type": "http", "session": {}})
    if code is None:
        assert (await client.authorize_redirect(request)).status_code == 302
        return
    with pytest.raises(OAuthError) as caught:
        await client.authorize_redirect(request)
    assert caught.value.code == code
