"""A login without a framework: from the URL to the validated claims, and every way it may fail."""

from __future__ import annotations

import json
import logging
import traceback
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from reliant.client import OAuthClient
from reliant.errors import (
    AuthorizationError,
    ConfigurationError,
    IDTokenError,
    InvalidGrantError,
    OAuthError,
)
from reliant.protocol import jose
from reliant.protocol.token_endpoint import Token
from reliant.protocol.transaction import LoginTransaction
from tests.helpers.op import METADATA, METADATA_URL, SECRET, Provider, new_client
from tests.helpers.tokens import (
    ABSENT,
    ISSUER,
    NONCE,
    NOW,
    claims,
    id_token,
    jwks,
    key_for,
    unsigned,
)

VERIFIER = "v" * 43
LOGIN = LoginTransaction(VERIFIER, NONCE, "https://rp.example/cb")
PLAIN_LOGIN = LoginTransaction(VERIFIER, None, "https://rp.example/cb")
ANSWER = {"code": "the-code", "state": "the-state"}


async def finish(
    client: OAuthClient,
    login: LoginTransaction = LOGIN,
    answer: dict[str, str] = ANSWER,
    **params: Any,
) -> Token:
    return await client.finish_login(login, answer, **params)


async def refused(provider: Provider, login: LoginTransaction = LOGIN, **settings: Any) -> str:
    with pytest.raises(OAuthError) as caught:
        await finish(new_client(provider, **settings), login)
    return caught.value.code


def openid_provider(**claims: Any) -> Provider:
    provider = Provider()
    provider.issue(**claims)
    return provider


# -- the beginning -------------------------------------------------------------------------------


async def test_the_url_of_a_login() -> None:
    client = new_client(authorize_params={"ui_locales": "de", "prompt": "none"})
    url, state, login = await client.start_login("https://rp.example/cb", {"prompt": "login"})
    query = dict(parse_qsl(urlsplit(url).query))
    assert url.startswith(METADATA["authorization_endpoint"] + "?")
    assert (query["state"], query["nonce"]) == (state, login.nonce)
    assert (query["scope"], query["prompt"], query["ui_locales"]) == ("openid email", "login", "de")
    assert (query["client_id"], query["redirect_uri"]) == ("client", "https://rp.example/cb")
    assert SECRET not in url


async def test_create_authorization_url_returns_what_the_app_must_remember() -> None:
    made = await new_client().create_authorization_url(httpx2.URL("https://rp.example/cb"))
    assert made.keys() == {"url", "state", "nonce", "code_verifier"}
    own = await new_client().create_authorization_url(
        state="s", nonce="n", code_verifier=VERIFIER, scope="email"
    )
    assert (own["state"], own["nonce"], own["code_verifier"]) == ("s", "n", VERIFIER)


async def test_a_missing_endpoint_is_named_with_the_text_users_look_for() -> None:
    client = new_client(server_metadata_url=None, issuer=ISSUER, jwks_uri=ISSUER + "/jwks")
    for begin in (client.create_authorization_url(), client.start_login(None, {})):
        with pytest.raises(RuntimeError, match='Missing "authorize_url" value') as caught:
            await begin
        assert isinstance(caught.value, ConfigurationError)
    with pytest.raises(RuntimeError, match='Missing "access_token_url" value'):
        await client.fetch_access_token(code="c")


async def test_a_missing_client_id_is_named() -> None:
    with pytest.raises(ConfigurationError, match='Missing "client_id" value'):
        await new_client(client_id=None).create_authorization_url()


async def test_openid_needs_an_issuer_before_the_browser_is_sent_away() -> None:
    client = new_client(server_metadata_url=None, authorize_url="https://op.example/authorize")
    with pytest.raises(ConfigurationError) as caught:
        await client.create_authorization_url()
    assert caught.value.code == "configuration.issuer"
    assert await client.create_authorization_url(scope="email")


async def test_openid_needs_an_issuer_that_its_address_tells() -> None:
    """Where the address doesn't tell, whoever answers there could name any issuer."""
    provider = Provider()
    provider.at["/metadata"] = METADATA
    elsewhere: dict[str, Any] = {"server_metadata_url": ISSUER + "/metadata"}
    with pytest.raises(ConfigurationError) as caught:
        await new_client(provider, **elsewhere).create_authorization_url()
    assert caught.value.code == "configuration.issuer_unknown"
    assert await new_client(provider, issuer=ISSUER, **elsewhere).create_authorization_url()


# -- the end -------------------------------------------------------------------------------------


async def test_a_good_login() -> None:
    provider = openid_provider(email="alice@example.org")
    token = await finish(new_client(provider))
    assert token.userinfo is not None
    assert (token.userinfo.sub, token.userinfo.email) == ("alice", "alice@example.org")
    assert token["userinfo"] == claims(email="alice@example.org")
    assert token.expires_at == NOW + 3600
    assert json.loads(json.dumps(token)) == token
    (form,) = provider.forms()
    assert form == {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": "https://rp.example/cb",
        "code_verifier": VERIFIER,
    }


async def test_what_travelled_with_the_login_comes_back() -> None:
    login = LoginTransaction(VERIFIER, NONCE, None, "/account", {"cart": 5})
    token = await finish(new_client(openid_provider()), login)
    assert (token.return_to, token.data) == ("/account", {"cart": 5})
    assert (token["return_to"], token["data"]) == ("/account", {"cart": 5})


async def test_access_token_params_and_those_of_the_call_are_sent() -> None:
    provider = openid_provider()
    client = new_client(provider, access_token_params={"resource": "r", "x": "1"})
    await finish(client, x="2")
    (form,) = provider.forms()
    assert (form["resource"], form["x"]) == ("r", "2")


async def test_plain_oauth_needs_no_issuer_and_no_id_token() -> None:
    provider = Provider()
    client = new_client(
        provider, server_metadata_url=None, access_token_url=ISSUER + "/token", client_kwargs={
            "scope": "email"}
    )  # fmt: skip
    token = await finish(client, PLAIN_LOGIN)
    assert (token.access_token, token.userinfo) == ("access-1", None)


async def test_openid_without_an_id_token_is_an_error() -> None:
    assert await refused(Provider()) == "id_token.missing"


async def test_an_id_token_that_was_not_asked_for_is_validated_all_the_same() -> None:
    kwargs: dict[str, Any] = {"client_kwargs": {"scope": "email"}}
    token = await finish(new_client(openid_provider(nonce=ABSENT), **kwargs), PLAIN_LOGIN)
    assert token.userinfo is not None
    assert await refused(openid_provider(), PLAIN_LOGIN, **kwargs) == "id_token.nonce_unasked"
    assert await refused(openid_provider(aud="x"), PLAIN_LOGIN, **kwargs) == "id_token.aud_mismatch"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "https://evil.example"}, "id_token.iss_mismatch"),
        ({"aud": "other"}, "id_token.aud_mismatch"),
        ({"nonce": "other"}, "id_token.nonce_mismatch"),
        ({"nonce": ABSENT}, "id_token.nonce_missing"),
        ({"exp": NOW - 60}, "id_token.expired"),
        ({"at_hash": "other"}, "id_token.at_hash"),
        ({"key": key_for("ES256", "stranger")}, "id_token.key_unknown"),
        ({"key": key_for("ES384"), "alg": "ES384"}, "id_token.alg"),
    ],
    ids=str,
)
async def test_an_id_token_that_breaks_a_rule_ends_the_login(
    changes: dict[str, Any], code: str
) -> None:
    assert await refused(openid_provider(**changes)) == code


async def test_cheap_checks_come_before_a_key_fetch() -> None:
    provider = openid_provider(aud="other")
    await refused(provider)
    assert provider.sent_to("/jwks") == []


async def test_a_forged_signature_is_told_from_an_unknown_key() -> None:
    provider = Provider()
    forged = jose.sign_jwt(claims(), key_for("ES256", "stranger"), "ES256", kid="key-1")
    provider.at["/token"] = provider.token(id_token=forged)
    assert await refused(provider) == "id_token.signature"


async def test_max_age_and_acr_of_the_login_are_judged() -> None:
    login = LoginTransaction(VERIFIER, NONCE, max_age=60, acr_values="gold")
    good: dict[str, Any] = {"auth_time": NOW - 60, "acr": "gold"}
    assert await finish(new_client(openid_provider(**good)), login)
    assert await refused(openid_provider(**{**good, "acr": "tin"}), login) == "id_token.acr"
    assert await refused(openid_provider(acr="gold"), login) == "id_token.auth_time_missing"


async def test_claims_options_add_checks_and_remove_none() -> None:
    options = {"iss": {"value": "https://evil.example"}, "hd": {"essential": True}}
    with pytest.raises(IDTokenError) as caught:
        await finish(
            new_client(openid_provider(iss="https://evil.example")), claims_options=options
        )
    assert caught.value.code == "id_token.iss_mismatch"
    with pytest.raises(IDTokenError) as caught:
        await finish(new_client(openid_provider(hd="x")), claims_options=options)
    assert caught.value.code == "id_token.claim_value"


async def test_leeway_reaches_the_checks_and_is_cut() -> None:
    provider = openid_provider(exp=NOW - 30)
    assert await finish(new_client(provider))
    for leeway, exp in ((0, NOW), (3600, NOW - 60)):
        with pytest.raises(IDTokenError) as caught:
            await finish(new_client(openid_provider(exp=exp)), leeway=leeway)
        assert caught.value.code == "id_token.expired"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"error": "access_denied"}, "authorization.denied"),
        ({"error": "server_error"}, "authorization.error"),
        ({}, "authorization.code_missing"),
        ({"code": "c", "iss": "https://evil.example"}, "authorization.iss_mismatch"),
    ],
    ids=str,
)
async def test_a_bad_answer_redeems_no_code(answer: dict[str, str], code: str) -> None:
    provider = openid_provider()
    with pytest.raises(AuthorizationError) as caught:
        await finish(new_client(provider), answer=answer)
    assert caught.value.code == code
    assert provider.sent_to("/token") == []


async def test_a_promised_iss_must_come() -> None:
    provider = Provider(authorization_response_iss_parameter_supported=True)
    provider.issue()
    assert await refused(provider) == "authorization.iss_missing"
    assert await finish(new_client(provider), answer={**ANSWER, "iss": ISSUER})


async def test_an_old_code_has_a_class_of_its_own() -> None:
    provider = Provider()
    provider.at["/token"] = httpx2.Response(400, json={"error": "invalid_grant"})
    with pytest.raises(InvalidGrantError):
        await finish(new_client(provider))


# -- keys and algorithms -------------------------------------------------------------------------


async def test_hmac_with_the_client_secret_only_where_it_was_set() -> None:
    mac = id_token("HS256", jose.secret_key(SECRET))
    provider = Provider(id_token_signing_alg_values_supported=["HS256", "ES256"])
    provider.at["/token"] = provider.token(id_token=mac)
    assert await refused(provider) == "id_token.alg"
    assert await finish(new_client(provider, id_token_signed_response_alg="HS256"))
    assert provider.sent_to("/jwks") == []


async def test_hmac_where_set_takes_no_other_secret_and_no_other_algorithm() -> None:
    provider = Provider()
    provider.at["/token"] = provider.token(
        id_token=id_token("HS256", jose.secret_key("another client secret"))
    )
    hmac: dict[str, Any] = {"id_token_signed_response_alg": "HS256"}
    assert await refused(provider, **hmac) == "id_token.signature"
    assert await refused(openid_provider(), **hmac) == "id_token.alg"
    for none in (None, ""):
        assert await refused(provider, client_secret=none, **hmac) == "id_token.key_unknown"


@pytest.mark.parametrize("alg", ["none", "None", ""])
async def test_a_token_without_a_signature_never_passes(alg: str) -> None:
    announced = ["none", "ES256"]
    provider = Provider(id_token_signing_alg_values_supported=announced)
    provider.at["/token"] = provider.token(id_token=unsigned({"alg": alg}, claims(), b""))
    assert await refused(provider) == "id_token.alg"
    settings: dict[str, Any] = {"id_token_signing_alg_values_supported": announced}
    assert await refused(provider, **settings) == "id_token.alg"


async def test_the_algorithm_none_can_not_be_registered() -> None:
    code = await refused(openid_provider(), id_token_signed_response_alg="none")
    assert code == "configuration.algorithm"


async def test_the_apps_own_keys_come_before_the_providers() -> None:
    provider = openid_provider()
    assert await finish(new_client(provider, jwks=jwks(key_for("ES256"))))
    assert provider.sent_to("/jwks") == []
    assert await finish(new_client(provider, jwks=jwks(key_for("ES256", "old"))))
    assert len(provider.sent_to("/jwks")) == 1


async def test_fetch_jwk_set_and_metadata() -> None:
    client = new_client()
    assert await client.fetch_jwk_set() == jwks()
    assert await client.fetch_jwk_set(force=True) == jwks()
    assert await client.load_server_metadata() == METADATA


async def test_a_missing_jwks_uri_is_named_with_the_text_users_look_for() -> None:
    provider = Provider()
    provider.at["/.well-known/openid-configuration"] = {
        name: value for name, value in METADATA.items() if name != "jwks_uri"
    }
    provider.issue()
    with pytest.raises(RuntimeError, match='Missing "jwks_uri" in metadata') as caught:
        await finish(new_client(provider))
    assert isinstance(caught.value, OAuthError)


async def test_keys_down_is_an_error_of_the_provider() -> None:
    for answer, code in ((503, "jwks.status"), ([], "jwks.not_object"), ({}, "jwks.not_a_set")):
        provider = openid_provider()
        provider.at["/jwks"] = answer
        assert await refused(provider) == code


# -- fetch_access_token and parse_id_token -------------------------------------------------------


async def test_other_grants_say_which_they_are() -> None:
    provider = Provider()
    client = new_client(provider)
    token = await client.fetch_access_token(grant_type="client_credentials", scope="api")
    assert token.access_token == "access-1"
    assert provider.forms() == [{"grant_type": "client_credentials", "scope": "api"}]
    with pytest.raises(ConfigurationError, match='Missing "code" value') as caught:
        await client.fetch_access_token()
    assert caught.value.code == "configuration.code"


async def test_parse_id_token() -> None:
    client = new_client()
    parsed = await client.parse_id_token({"id_token": id_token()}, NONCE)
    assert parsed is not None
    assert parsed.sub == "alice"
    assert await client.parse_id_token({"access_token": "x"}, NONCE) is None
    with pytest.raises(IDTokenError) as caught:
        await client.parse_id_token({"id_token": id_token()}, "other")
    assert caught.value.code == "id_token.nonce_mismatch"


async def test_parse_id_token_judges_at_hash_by_the_access_token_beside_it() -> None:
    client = new_client()
    token = {"id_token": id_token(at_hash=jose.hash_of("a", "ES256")), "access_token": "a"}
    assert await client.parse_id_token(token, NONCE)
    with pytest.raises(IDTokenError):
        await client.parse_id_token({**token, "access_token": "b"}, NONCE)


# -- what comes back can be anything -------------------------------------------------------------

TOKEN_ANSWERS: dict[str, tuple[Any, str]] = {
    "HTML": (httpx2.Response(200, html="<p>"), "token.html"),
    "204": (204, "token.empty"),
    "a list": ([], "token.not_object"),
    "null": (httpx2.Response(200, text="null"), "token.null"),
    "form-encoded": (httpx2.Response(200, text="access_token=a"), "token.form_encoded"),
    "{}": ({}, "token.access_token"),
    "200 error": ({"error": "x"}, "token.error"),
    "400 message": (httpx2.Response(400, json={"message": "x"}), "token.status"),
    "302": (302, "token.redirected"),
    "500": (500, "token.server_error"),
    "2 MiB": (httpx2.Response(200, content=b"x" * 2**21), "http.too_large"),
    "slow": (httpx2.ReadTimeout("slow"), "http.timeout"),
    "reset": (httpx2.ReadError("reset"), "http.connection"),
    "a bug": (KeyError("bug"), "http.failed"),
}
METADATA_ANSWERS: dict[str, tuple[Any, str]] = {
    "404": (404, "metadata.status"),
    "301": (301, "metadata.redirected"),
    "HTML": (httpx2.Response(200, html="<p>"), "metadata.html"),
    "wrong issuer": ({**METADATA, "issuer": "https://evil.example"}, "metadata.issuer_mismatch"),
    "no issuer": ({"token_endpoint": ISSUER}, "metadata.issuer_missing"),
    "huge": ({**METADATA, "x": "x" * 2**20}, "http.too_large"),
}


@pytest.mark.parametrize(("answer", "code"), TOKEN_ANSWERS.values(), ids=TOKEN_ANSWERS.keys())
async def test_a_bad_answer_of_the_token_endpoint_has_a_code_of_its_own(
    answer: Any, code: str
) -> None:
    provider = Provider()
    provider.at["/token"] = answer
    assert await refused(provider) == code


@pytest.mark.parametrize(("answer", "code"), METADATA_ANSWERS.values(), ids=METADATA_ANSWERS.keys())
async def test_bad_metadata_have_a_code_of_their_own(answer: Any, code: str) -> None:
    provider = openid_provider()
    provider.at["/.well-known/openid-configuration"] = answer
    assert await refused(provider) == code


async def test_metadata_on_plain_http_are_not_fetched() -> None:
    url = METADATA_URL.replace("https", "http")
    assert await refused(openid_provider(), server_metadata_url=url) == "http.insecure"


async def test_an_endpoint_on_plain_http_is_not_used() -> None:
    code = await refused(openid_provider(), access_token_url="http://op.example/token")
    assert code == "metadata.insecure"


# -- secrets -------------------------------------------------------------------------------------


async def test_secrets_the_provider_echoes_do_not_show(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    provider = Provider()
    echo = f"bad client_secret {SECRET}, code the-code, verifier {VERIFIER}"
    provider.at["/token"] = httpx2.Response(
        401, json={"error": "invalid_client", "error_description": echo}
    )
    with pytest.raises(OAuthError) as caught:
        await finish(new_client(provider))
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(caught.value)
    assert caught.value.description == (
        "bad client_secret [hidden], code [hidden], verifier [hidden]"
    )
    assert not any(secret in shown for secret in (SECRET, "the-code", VERIFIER))


async def test_a_whole_login_logs_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    provider = openid_provider()
    client = new_client(
        provider, client_kwargs={"token_endpoint_auth_method": "client_secret_post"}
    )
    token = await finish(client)
    await client.userinfo(token)
    secrets = [SECRET, "the-code", VERIFIER, NONCE, token["id_token"], "access-1", "refresh-1"]
    logged = caplog.text + "".join(repr(vars(record)) for record in caplog.records)
    assert not any(secret in logged for secret in secrets)
    assert not any(secret in repr(token) + repr(client) for secret in secrets)
