"""Apps unit-test their handlers with a bare ASGI scope: a type, a session and a query."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from starlette.datastructures import URL
from starlette.requests import Request

from reliant import OAuthError
from reliant.protocol.values import s256
from reliant.starlette import OAuth, StarletteClient
from reliant.testing import REMOVE, FakeProvider
from tests.helpers.fake_api import FakeApi, form_of
from tests.helpers.relying_party import MemoryCache

TOKEN = {"access_token": "an-access-token", "token_type": "Bearer", "expires_in": 3600}


def bare(session: dict[str, Any] | None = None, query: Any = None, **scope: Any) -> Request:
    """The least a test can pass for a request."""
    scope = {"type": "http", "session": {} if session is None else session, **scope}
    if query is not None:
        scope["query_string"] = query
    return Request(scope)


def api(**answers: Any) -> FakeApi:
    return FakeApi({"/token": TOKEN, "/user": {"sub": "123"}, **answers})


def register(oauth: OAuth, transport: FakeApi, **settings: Any) -> StarletteClient:
    kwargs = {"transport": transport, **settings.pop("client_kwargs", {})}
    return oauth.register(
        "dev",
        **{
            "client_id": "dev",
            "client_secret": "dev-secret",
            "api_base_url": "https://op.example/",
            "access_token_url": "https://op.example/token",
            "authorize_url": "https://op.example/authorize",
            "client_kwargs": kwargs,
            **settings,
        },
    )


async def begin(
    client: StarletteClient, session: dict[str, Any], *args: Any, **params: Any
) -> dict[str, str]:
    """Begin a login; returns the parameters the provider gets."""
    response = await client.authorize_redirect(bare(session), *args, **params)
    assert response.status_code == 302
    return dict(httpx2.URL(response.headers["location"]).params)


@pytest.mark.parametrize("kind", [str, str.encode], ids=["text", "bytes"])
async def test_oauth2_login(kind: Any) -> None:
    transport = api()
    client = register(OAuth(), transport)
    session: dict[str, Any] = {}
    sent = await begin(client, session, "https://app.example/bar")
    assert sent["client_id"] == "dev"
    assert sent["response_type"] == "code"
    assert sent["redirect_uri"] == "https://app.example/bar"

    query = kind(urlencode({"code": "a-code", "state": sent["state"]}))
    token = await client.authorize_access_token(bare(session, query))
    assert token["access_token"] == token.access_token == "an-access-token"

    form = form_of(transport.requests[0])
    assert form["code"] == "a-code"
    assert form["redirect_uri"] == "https://app.example/bar"
    assert s256(form["code_verifier"]) == sent["code_challenge"]
    assert transport.requests[0].headers["authorization"].startswith("Basic ")
    user = await client.get("user", token=token)
    assert user.json() == {"sub": "123"}
    assert transport.requests[-1].headers["authorization"] == "Bearer an-access-token"


@pytest.mark.parametrize("uri", ["https://app.example/bar", URL("https://app.example/bar")])
async def test_the_redirect_uri_may_be_a_url(uri: Any) -> None:
    transport = api()
    client = register(OAuth(), transport)
    session: dict[str, Any] = {}
    sent = await begin(client, session, redirect_uri=uri)
    assert sent["redirect_uri"] == "https://app.example/bar"
    query = urlencode({"code": "c", "state": sent["state"]})
    await client.authorize_access_token(bare(session, query))
    assert form_of(transport.requests[0])["redirect_uri"] == "https://app.example/bar"


async def test_without_a_redirect_uri_none_is_sent() -> None:
    transport = api()
    client = register(OAuth(), transport)
    session: dict[str, Any] = {}
    sent = await begin(client, session)
    assert "redirect_uri" not in sent
    query = urlencode({"code": "c", "state": sent["state"]})
    await client.authorize_access_token(bare(session, query))
    assert "redirect_uri" not in form_of(transport.requests[0])


async def test_a_login_kept_in_a_cache_is_no_use_to_an_attackers_session() -> None:
    client = register(OAuth(cache=MemoryCache()), api())
    session: dict[str, Any] = {}
    sent = await begin(client, session, "https://app.example/bar")
    query = urlencode({"code": "a-code", "state": sent["state"]})

    with pytest.raises(OAuthError, match='Invalid "state" parameter') as caught:
        await client.authorize_access_token(bare({}, query))
    assert caught.value.error == "mismatching_state"
    assert caught.value.code == "state.other_browser"

    token = await client.authorize_access_token(bare(session, query))
    assert token["access_token"] == "an-access-token"


async def test_the_user_said_no() -> None:
    transport = api()
    client = register(OAuth(), transport)
    session: dict[str, Any] = {}
    sent = await begin(client, session, "https://app.example/bar")
    query = urlencode(
        {"error": "access_denied", "error_description": "Not allowed", "state": sent["state"]}
    )
    with pytest.raises(OAuthError) as caught:
        await client.authorize_access_token(bare(session, query))
    assert caught.value.error == "access_denied"
    assert caught.value.description == "Not allowed"
    assert caught.value.code == "authorization.denied"
    assert transport.requests == []


async def test_an_error_without_a_known_state_is_not_believed() -> None:
    client = register(OAuth(), api())
    with pytest.raises(OAuthError) as caught:
        await client.authorize_access_token(bare({}, "error=access_denied&error_description=x"))
    assert caught.value.code == "state.missing"
    assert str(caught.value).startswith('missing_state: Missing "state" parameter')


async def test_no_query_at_all() -> None:
    client = register(OAuth(), api())
    with pytest.raises(OAuthError, match='Missing "state" parameter'):
        await client.authorize_access_token(bare())


@pytest.mark.parametrize("kwargs", [{}, {"code_challenge_method": "S256"}], ids=["default", "S256"])
async def test_the_code_challenge_is_always_sent(kwargs: dict[str, Any]) -> None:
    sent = await begin(register(OAuth(), api(), client_kwargs=kwargs), {})
    assert sent["code_challenge_method"] == "S256"
    assert len(sent["code_challenge"]) == 43


async def test_a_code_verifier_may_be_given() -> None:
    transport = api()
    client = register(OAuth(), transport)
    session: dict[str, Any] = {}
    verifier = "v" * 50
    sent = await begin(client, session, code_verifier=verifier)
    assert sent["code_challenge"] == s256(verifier)
    assert "code_verifier" not in sent
    query = urlencode({"code": "c", "state": sent["state"]})
    await client.authorize_access_token(bare(session, query))
    assert form_of(transport.requests[0])["code_verifier"] == verifier


async def test_a_state_and_a_nonce_may_be_given() -> None:
    client = register(
        OAuth(), api(), issuer="https://op.example", client_kwargs={"scope": "openid"}
    )
    sent = await begin(client, {}, state="the-state", nonce="the-nonce")
    assert (sent["state"], sent["nonce"]) == ("the-state", "the-nonce")


async def test_extra_parameters_of_the_login() -> None:
    client = register(
        OAuth(), api(), authorize_params={"access_type": "offline"}, client_kwargs={"scope": "a"}
    )
    sent = await begin(client, {}, prompt="consent", scope="b c", login_hint=None)
    assert sent["access_type"] == "offline"
    assert sent["prompt"] == "consent"
    assert sent["scope"] == "b c"
    assert "login_hint" not in sent


async def test_extra_parameters_of_the_token_request() -> None:
    transport = api()
    client = register(OAuth(), transport, access_token_params={"resource": "r", "a": "settings"})
    session: dict[str, Any] = {}
    sent = await begin(client, session)
    query = urlencode({"code": "c", "state": sent["state"]})
    await client.authorize_access_token(bare(session, query), a="call", b="2")
    form = form_of(transport.requests[0])
    assert (form["resource"], form["a"], form["b"]) == ("r", "call", "2")


async def test_a_parameter_of_the_authorize_url_is_kept() -> None:
    client = register(OAuth(), api(), authorize_url="https://op.example/authorize?tenant=1")
    assert (await begin(client, {}))["tenant"] == "1"


async def test_withhold_token() -> None:
    transport = api(**{"/public": {"name": "a"}})
    client = register(OAuth(), transport)
    response = await client.get("/public", withhold_token=True)
    assert response.json() == {"name": "a"}
    assert "authorization" not in transport.requests[0].headers
    with pytest.raises(OAuthError) as caught:
        await client.get("/public")
    assert (caught.value.error, caught.value.code) == ("missing_token", "request.token_missing")


async def test_the_user_agent_reaches_the_metadata_and_the_token_endpoint() -> None:
    def metadata(request: httpx2.Request) -> httpx2.Response:
        if request.headers["user-agent"] != "TheApp/1":
            return httpx2.Response(403)
        document = {"authorization_endpoint": "https://op.example/authorize"}
        return httpx2.Response(200, json=document)

    transport = api(**{"/.well-known/openid-configuration": metadata})
    client = OAuth().register(
        "dev",
        client_id="dev",
        server_metadata_url="https://op.example/.well-known/openid-configuration",
        access_token_url="https://op.example/token",
        user_agent="TheApp/1",
        client_kwargs={"transport": transport},
    )
    session: dict[str, Any] = {}
    sent = await begin(client, session)
    query = urlencode({"code": "c", "state": sent["state"]})
    await client.authorize_access_token(bare(session, query))
    assert {request.headers["user-agent"] for request in transport.requests} == {"TheApp/1"}


async def test_a_form_post_callback() -> None:
    transport = api()
    client = register(OAuth(), transport)
    session: dict[str, Any] = {}
    sent = await begin(client, session)
    body = urlencode({"code": "c", "state": sent["state"]}).encode()
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop(0)

    scope = {
        "type": "http",
        "method": "POST",
        "session": session,
        "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
    }
    token = await client.authorize_access_token(Request(scope, receive))
    assert token["access_token"] == "an-access-token"


async def test_openid_login_with_everything_given_by_hand() -> None:
    provider = FakeProvider()
    oauth = OAuth()
    client = oauth.register("op", **provider.register_settings())
    session: dict[str, Any] = {}
    response = await client.authorize_redirect(bare(session), "https://app.example/callback")
    callback = await provider.sign_in(response.headers["location"])
    query = httpx2.URL(callback.url).query
    token = await client.authorize_access_token(bare(session, query))
    assert token["userinfo"]["sub"] == "alice"
    assert token.userinfo is not None
    assert token.userinfo["sub"] == token.userinfo.sub == "alice"
    assert token.userinfo.email is None


# -- logout --------------------------------------------------------------------------------------


def with_logout(oauth: OAuth) -> StarletteClient:
    return oauth.register(
        "dev", client_id="dev", end_session_endpoint="https://op.example/end-session"
    )


@pytest.mark.parametrize("cached", [False, True], ids=["session", "cache"])
@pytest.mark.parametrize("kind", [str, str.encode], ids=["text", "bytes"])
async def test_logout_there_and_back(cached: bool, kind: Any) -> None:
    client = with_logout(OAuth(cache=MemoryCache() if cached else None))
    session: dict[str, Any] = {}
    response = await client.logout_redirect(
        bare(session),
        post_logout_redirect_uri="https://app.example/bye",
        id_token_hint="an.id.token",
        logout_hint="alice",
        ui_locales="fr en",
    )
    assert response.status_code == 302
    url = httpx2.URL(response.headers["location"])
    assert str(url).startswith("https://op.example/end-session?")
    sent = dict(url.params)
    state = sent.pop("state")
    assert sent == {
        "id_token_hint": "an.id.token",
        "post_logout_redirect_uri": "https://app.example/bye",
        "logout_hint": "alice",
        "ui_locales": "fr en",
    }
    back = await client.validate_logout_response(bare(session, kind(f"state={state}")))
    assert back == {"post_logout_redirect_uri": "https://app.example/bye"}


async def test_the_logout_of_an_attackers_session_is_refused() -> None:
    client = with_logout(OAuth(cache=MemoryCache()))
    session: dict[str, Any] = {}
    response = await client.logout_redirect(bare(session), "https://app.example/bye")
    state = httpx2.URL(response.headers["location"]).params["state"]
    with pytest.raises(OAuthError, match='Invalid "state" parameter'):
        await client.validate_logout_response(bare({}, f"state={state}"))


async def test_a_logout_with_a_url_a_state_and_a_client_id() -> None:
    client = with_logout(OAuth())
    session: dict[str, Any] = {}
    response = await client.logout_redirect(
        bare(session), URL("https://app.example/bye"), state="mine", client_id="dev"
    )
    sent = dict(httpx2.URL(response.headers["location"]).params)
    assert sent == {
        "post_logout_redirect_uri": "https://app.example/bye",
        "state": "mine",
        "client_id": "dev",
    }
    back = await client.validate_logout_response(bare(session, "state=mine"))
    assert back["post_logout_redirect_uri"] == "https://app.example/bye"


async def test_without_a_way_back_no_state_is_sent() -> None:
    client = with_logout(OAuth())
    session: dict[str, Any] = {}
    response = await client.logout_redirect(bare(session), id_token_hint="hint", state="unused")
    assert dict(httpx2.URL(response.headers["location"]).params) == {"id_token_hint": "hint"}
    assert session == {}


async def test_a_logout_without_a_state_that_came_back() -> None:
    with pytest.raises(OAuthError, match='Missing "state" parameter'):
        await with_logout(OAuth()).validate_logout_response(bare())


async def test_a_logout_with_a_state_never_sent() -> None:
    with pytest.raises(OAuthError, match='Invalid "state" parameter'):
        await with_logout(OAuth()).validate_logout_response(bare({}, "state=invalid"))


async def test_a_provider_without_a_logout() -> None:
    provider = FakeProvider()
    provider.fault("discovery.end_session_endpoint", REMOVE)
    client = OAuth().register("op", **provider.register_settings())
    with pytest.raises(RuntimeError, match='Missing "end_session_endpoint"'):
        await client.logout_redirect(bare(), "https://app.example/bye")


async def test_the_logout_endpoint_comes_from_discovery() -> None:
    provider = FakeProvider()
    client = OAuth().register("op", **provider.register_settings())
    response = await client.logout_redirect(bare(), "https://app.example/bye")
    assert response.headers["location"].startswith("https://op.example/end-session?")
    before = len(provider.requests)
    with pytest.raises(OAuthError):
        await client.validate_logout_response(bare({}, "state=x"))
    assert len(provider.requests) == before  # no network call


async def test_create_logout_url() -> None:
    client = with_logout(OAuth())
    made = await client.create_logout_url("https://app.example/bye", "hint")
    assert set(made) == {"url", "state"}
    assert httpx2.URL(made["url"]).params["state"] == made["state"]
    assert (await client.create_logout_url())["state"] is None


# -- what is not there ---------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [False, True], ids=["session", "cache"])
async def test_a_scope_without_a_session(cached: bool) -> None:
    client = register(OAuth(cache=MemoryCache() if cached else None), api())
    request = Request({"type": "http"})
    with pytest.raises(RuntimeError, match="SessionMiddleware") as caught:
        await client.authorize_redirect(request)
    assert isinstance(caught.value, OAuthError)
    assert caught.value.code == "configuration.session"
    with pytest.raises(RuntimeError, match="SessionMiddleware"):
        await client.authorize_access_token(
            Request({"type": "http", "query_string": b"state=s&code=c"})
        )


async def test_cookies_in_a_bare_scope() -> None:
    client = register(OAuth(secret_key="key"), api())
    response = await client.authorize_redirect(Request({"type": "http"}))
    sent = httpx2.URL(response.headers["location"]).params
    cookie = response.headers["set-cookie"].partition(";")[0]
    query = urlencode({"code": "c", "state": sent["state"]})
    with pytest.raises(OAuthError) as caught:
        await client.authorize_access_token(Request({"type": "http", "query_string": query}))
    assert caught.value.code == "state.no_cookie"
    scope = {"type": "http", "query_string": query, "headers": [(b"cookie", cookie.encode())]}
    token = await client.authorize_access_token(Request(scope))
    assert token.access_token == "an-access-token"
