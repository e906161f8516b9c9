"""The steps of a login one by one: the URL, what to remember, the token, the claims."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from reliant import IDTokenError, OAuthError, Token, UserInfo
from reliant.protocol import jose
from reliant.starlette import OAuth, StarletteClient
from reliant.testing import FakeProvider, from_now
from tests.helpers.fake_api import FakeApi
from tests.helpers.relying_party import SITE, deliver, new_browser, new_oauth, sign_in, start

CALLBACK = f"{SITE}/callback"
METADATA_URL = "https://op.example/.well-known/openid-configuration"


def _app(client: StarletteClient, give_response: bool, **params: Any) -> Starlette:
    """An app that keeps its logins by hand."""

    async def login(request: Request) -> Response:
        made = await client.create_authorization_url(CALLBACK, **params)
        response = RedirectResponse(made["url"], 302)
        more: dict[str, Any] = {"response": response} if give_response else {}
        await client.save_authorize_data(
            request, redirect_uri=CALLBACK, return_to="/on", data=[1], **made, **more
        )
        return response

    async def callback(request: Request) -> Response:
        return JSONResponse(await client.authorize_access_token(request))

    return Starlette(
        routes=[Route("/login", login), Route("/callback", callback, methods=["GET", "POST"])],
        middleware=[Middleware(SessionMiddleware, secret_key="session")],
    )


@pytest.mark.parametrize("give_response", [True, False], ids=["with-response", "without"])
@pytest.mark.parametrize("store", ["session", "cache"])
def test_a_login_by_hand(store: str, provider: FakeProvider, give_response: bool) -> None:
    client = new_oauth(store).register("op", **provider.register_settings())
    browser = new_browser(_app(client, give_response, prompt="login"))
    url = start(browser, "/login")
    assert httpx2.URL(url).params["prompt"] == "login"
    token = deliver(browser, sign_in(provider, url)).json()
    assert token["userinfo"]["sub"] == "alice"
    assert (token["return_to"], token["data"]) == ("/on", [1])


def test_a_login_by_hand_kept_in_a_cookie(provider: FakeProvider) -> None:
    client = new_oauth("cookie").register("op", **provider.register_settings())
    browser = new_browser(_app(client, True))
    token = deliver(browser, sign_in(provider, start(browser, "/login"))).json()
    assert token["userinfo"]["sub"] == "alice"


def test_a_cookie_needs_the_response_it_goes_with(provider: FakeProvider) -> None:
    client = new_oauth("cookie").register("op", **provider.register_settings())
    with pytest.raises(RuntimeError, match="response=") as caught:
        new_browser(_app(client, False)).get("/login")
    assert isinstance(caught.value, OAuthError)
    assert caught.value.code == "configuration.response"


def test_a_form_post_login_by_hand(provider: FakeProvider) -> None:
    client = new_oauth("cookie").register("op", **provider.register_settings())
    browser = new_browser(_app(client, True, response_mode="form_post"))
    response = browser.get("/login")
    assert response.headers["set-cookie"].endswith("SameSite=None")
    callback = sign_in(provider, response.headers["location"])
    assert callback.method == "POST"
    assert deliver(browser, callback).json()["userinfo"]["sub"] == "alice"


async def test_what_create_authorization_url_returns(provider: FakeProvider) -> None:
    client = OAuth().register("op", **provider.register_settings())
    made = await client.create_authorization_url(CALLBACK, max_age=60, acr_values="silver gold")
    assert set(made) == {"url", "state", "nonce", "code_verifier", "max_age", "acr_values"}
    sent = httpx2.URL(made["url"]).params
    assert sent["state"] == made["state"]
    assert sent["nonce"] == made["nonce"]
    assert sent["redirect_uri"] == CALLBACK
    assert made["code_verifier"] not in made["url"]
    other = await client.create_authorization_url(CALLBACK)
    assert {"state", "nonce", "code_verifier"} <= set(other)
    for name in ("state", "nonce", "code_verifier"):
        assert other[name] != made[name]


@pytest.mark.parametrize(
    ("data", "missing"),
    [({"code_verifier": "v" * 43}, "state"), ({"state": "s"}, "code_verifier")],
    ids=["no-state", "no-verifier"],
)
async def test_save_authorize_data_needs_what_was_made(data: dict[str, str], missing: str) -> None:
    client = OAuth().register("op", client_id="id")
    with pytest.raises(RuntimeError, match=f'Missing "{missing}" value'):
        await client.save_authorize_data(Request({"type": "http", "session": {}}), **data)


async def test_save_authorize_data_refuses_a_return_to_elsewhere() -> None:
    client = OAuth().register("op", client_id="id")
    with pytest.raises(OAuthError) as caught:
        await client.save_authorize_data(
            Request({"type": "http", "session": {}}),
            state="s",
            code_verifier="v" * 43,
            return_to="//evil.example",
        )
    assert caught.value.code == "return_to.not_local"


async def _code(provider: FakeProvider, made: dict[str, Any]) -> str:
    return (await provider.sign_in(made["url"])).params["code"]


async def _token(provider: FakeProvider, client: StarletteClient) -> tuple[Token, str]:
    """A token whose ID Token nobody has validated yet, and the nonce of its login."""
    made = await client.create_authorization_url(CALLBACK)
    token = await client.fetch_access_token(
        CALLBACK, code=await _code(provider, made), code_verifier=made["code_verifier"]
    )
    return token, made["nonce"]


async def test_fetch_access_token_and_parse_id_token(provider: FakeProvider) -> None:
    client = OAuth().register("op", **provider.register_settings())
    token, nonce = await _token(provider, client)
    assert isinstance(token, dict)
    assert json.loads(json.dumps(token)) == token
    assert token.access_token == token["access_token"]
    assert token.token_type == "Bearer"
    assert token.expires_at == token["expires_at"]
    assert token.refresh_token == token["refresh_token"]
    assert token.scope == "openid profile email"
    assert token.id_token == token["id_token"]
    assert token.userinfo is None  # not validated yet
    claims = await client.parse_id_token(token, nonce)
    assert isinstance(claims, UserInfo)
    assert (claims["sub"], claims.sub, claims.nonce) == ("alice", "alice", nonce)


@pytest.mark.parametrize(
    ("nonce", "code"), [("another", "id_token.nonce_mismatch"), (None, None)], ids=["other", "None"]
)
async def test_the_nonce_is_checked_where_it_is_known(
    provider: FakeProvider, nonce: str | None, code: str | None
) -> None:
    client = OAuth().register("op", **provider.register_settings())
    token, _ = await _token(provider, client)
    if code is None:
        assert await client.parse_id_token(token, nonce) is not None
        return
    with pytest.raises(IDTokenError) as caught:
        await client.parse_id_token(token, nonce)
    assert caught.value.code == code


async def test_parse_id_token_without_one_is_none(provider: FakeProvider) -> None:
    client = OAuth().register("op", **provider.register_settings())
    assert await client.parse_id_token({"access_token": "a"}, None) is None


CLAIMS_OPTIONS: dict[str, tuple[dict[str, Any], str | None]] = {
    "value": ({"sub": {"value": "alice"}}, None),
    "value-other": ({"sub": {"value": "bob"}}, "id_token.claim_value"),
    "values": ({"sub": {"values": ["alice", "bob"]}}, None),
    "values-other": ({"sub": {"values": ["bob"]}}, "id_token.claim_value"),
    "values-of-a-list": ({"aud": {"values": ["fake-client"]}}, None),
    "essential": ({"sub": {"essential": True}}, None),
    "essential-absent": ({"hd": {"essential": True}}, "id_token.claim_missing"),
    "optional-absent": ({"hd": {"essential": False}}, None),
    "value-absent": ({"hd": {"value": "example.org"}}, "id_token.claim_missing"),
    "validate": ({"sub": {"validate": lambda claims, value: value == claims["sub"]}}, None),
    "validate-no": ({"sub": {"validate": lambda claims, value: False}}, "id_token.claim_value"),
    "issuer": ({"iss": {"value": "https://op.example"}}, None),
    "issuers": ({"iss": {"values": ["https://op.example", "https://b.example"]}}, None),
    "issuer-other": ({"iss": {"value": "https://evil.example"}}, "id_token.claim_value"),
    "nothing": ({}, None),
}


@pytest.mark.parametrize("case", CLAIMS_OPTIONS)
async def test_claims_options_add_checks(provider: FakeProvider, case: str) -> None:
    options, code = CLAIMS_OPTIONS[case]
    client = OAuth().register("op", **provider.register_settings())
    token, nonce = await _token(provider, client)
    if code is None:
        assert await client.parse_id_token(token, nonce, claims_options=options) is not None
        return
    with pytest.raises(IDTokenError) as caught:
        await client.parse_id_token(token, nonce, claims_options=options)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("fault", "value", "options", "code"),
    [
        ("id_token.iss", "https://evil.example", {"iss": {"value": "https://evil.example"}},
         "id_token.iss_mismatch"),
        ("id_token.aud", "other", {"aud": {"values": ["other"]}}, "id_token.aud_mismatch"),
        ("id_token.exp", 1, {"exp": {"essential": False}}, "id_token.expired"),
        ("id_token.nonce", "other", {"nonce": {"validate": lambda claims, value: True}},
         "id_token.nonce_mismatch"),
    ],
    ids=["iss", "aud", "exp", "nonce"],
)  # fmt: skip
async def test_claims_options_never_remove_one(
    provider: FakeProvider, fault: str, value: Any, options: dict[str, Any], code: str
) -> None:
    provider.fault(fault, value)
    client = OAuth().register("op", **provider.register_settings())
    token, nonce = await _token(provider, client)
    with pytest.raises(IDTokenError) as caught:
        await client.parse_id_token(token, nonce, claims_options=options)
    assert caught.value.code == code


def test_claims_options_at_the_callback(provider: FakeProvider) -> None:
    client = OAuth().register("op", **provider.register_settings())
    seen: list[str] = []

    async def callback(request: Request) -> Response:
        for options, leeway in (({"sub": {"value": "bob"}}, 0),):
            try:
                await client.authorize_access_token(request, claims_options=options, leeway=leeway)
            except IDTokenError as exc:
                seen.append(exc.code)
        return Response()

    app = _app(client, False)
    app.routes[1] = Route("/callback", callback)
    browser = new_browser(app)
    deliver(browser, sign_in(provider, start(browser, "/login")))
    assert seen == ["id_token.claim_value"]


@pytest.mark.parametrize(("late", "leeway"), [(30, 60), (30, 29), (61, 3600)])
async def test_the_leeway_is_sixty_seconds_at_most(
    provider: FakeProvider, late: int, leeway: int
) -> None:
    provider.fault("id_token.exp", from_now(-late))
    client = OAuth().register("op", **provider.register_settings())
    token, nonce = await _token(provider, client)
    if late < min(leeway, 60):
        assert await client.parse_id_token(token, nonce, leeway=leeway) is not None
        return
    with pytest.raises(IDTokenError) as caught:
        await client.parse_id_token(token, nonce, leeway=leeway)
    assert caught.value.code == "id_token.expired"


# -- keys ----------------------------------------------------------------------------------------


def _keys(provider: FakeProvider) -> dict[str, Any]:
    return {"keys": [*provider.keys.published]}


def _static(provider: FakeProvider, **settings: Any) -> StarletteClient:
    """A client that was told everything and asks for no metadata."""
    known = provider.register_settings()
    del known["server_metadata_url"]
    return OAuth().register(
        "op",
        **known,
        issuer=provider.issuer,
        authorize_url=f"{provider.issuer}/authorize",
        access_token_url=f"{provider.issuer}/token",
        **settings,
    )


async def test_the_given_keys_are_enough(provider: FakeProvider) -> None:
    client = _static(provider, jwks=_keys(provider))
    token, nonce = await _token(provider, client)
    assert await client.parse_id_token(token, nonce) is not None
    assert provider.count("discovery") == provider.count("jwks") == 0


async def test_keys_neither_given_nor_announced(provider: FakeProvider) -> None:
    client = _static(provider)
    token, nonce = await _token(provider, client)
    with pytest.raises(RuntimeError, match='Missing "jwks_uri" in metadata'):
        await client.parse_id_token(token, nonce)


async def test_the_given_keys_come_first(provider: FakeProvider) -> None:
    client = _static(provider, jwks=_keys(provider), jwks_uri=f"{provider.issuer}/jwks")
    token, nonce = await _token(provider, client)
    assert await client.parse_id_token(token, nonce) is not None
    assert provider.count("jwks") == 0


async def test_the_uri_is_asked_for_a_key_that_was_not_given(provider: FakeProvider) -> None:
    client = _static(provider, jwks=_keys(provider), jwks_uri=f"{provider.issuer}/jwks")
    provider.rotate_keys()
    token, nonce = await _token(provider, client)
    assert await client.parse_id_token(token, nonce) is not None
    assert provider.count("jwks") == 1


async def test_given_keys_without_a_uri_are_all_there_is(provider: FakeProvider) -> None:
    client = _static(provider, jwks=_keys(provider))
    provider.rotate_keys()
    token, nonce = await _token(provider, client)
    with pytest.raises(IDTokenError) as caught:
        await client.parse_id_token(token, nonce)
    assert caught.value.code == "id_token.key_unknown"


@pytest.mark.parametrize("given", [True, False], ids=["given", "fetched"])
async def test_keys_of_other_kinds_are_ignored(provider: FakeProvider, given: bool) -> None:
    provider.add_noise_keys()
    more = {"jwks": _keys(provider)} if given else {"jwks_uri": f"{provider.issuer}/jwks"}
    client = _static(provider, **more)
    token, nonce = await _token(provider, client)
    assert await client.parse_id_token(token, nonce) is not None


async def test_fetch_jwk_set(provider: FakeProvider) -> None:
    client = OAuth().register("op", **provider.register_settings())
    assert await client.fetch_jwk_set() == _keys(provider)
    provider.rotate_keys()
    assert await client.fetch_jwk_set() != _keys(provider)  # the kept one
    assert await client.fetch_jwk_set(force=True) == _keys(provider)
    assert await client.fetch_jwk_set() == _keys(provider)
    assert provider.count("jwks") == 2


async def test_load_server_metadata(provider: FakeProvider) -> None:
    client = OAuth().register("op", **provider.register_settings())
    metadata = await client.load_server_metadata()
    assert metadata["issuer"] == metadata.issuer == provider.issuer
    assert metadata["token_endpoint"] == f"{provider.issuer}/token"
    await client.load_server_metadata()
    assert provider.count("discovery") == 1


SYMMETRIC = ("HS256", "HS384", "HS512")


@pytest.mark.parametrize("alg", SYMMETRIC)
async def test_hmac_only_when_set(alg: str) -> None:
    provider = FakeProvider(signing_alg=alg)
    asked = OAuth().register("op", **provider.register_settings(), id_token_signed_response_alg=alg)
    token, nonce = await _token(provider, asked)
    assert await asked.parse_id_token(token, nonce) is not None
    assert provider.count("jwks") == 0

    unasked = OAuth().register("op", **provider.register_settings())
    token, nonce = await _token(provider, unasked)
    with pytest.raises(IDTokenError) as caught:
        await unasked.parse_id_token(token, nonce)
    assert caught.value.code == "id_token.alg"


async def test_hmac_with_another_secret() -> None:
    provider = FakeProvider(signing_alg="HS256")
    client = OAuth().register(
        "op", **provider.register_settings(), id_token_signed_response_alg="HS256"
    )
    provider.fault("id_token.key", "unpublished")
    token, nonce = await _token(provider, client)
    with pytest.raises(IDTokenError) as caught:
        await client.parse_id_token(token, nonce)
    assert caught.value.code == "id_token.signature"


@pytest.mark.parametrize("alg", ["none", *SYMMETRIC, "ES256"])
async def test_an_algorithm_nobody_agreed_on(provider: FakeProvider, alg: str) -> None:
    client = OAuth().register("op", **provider.register_settings())
    provider.fault("id_token.alg", alg)
    token, nonce = await _token(provider, client)
    with pytest.raises(IDTokenError) as caught:
        await client.parse_id_token(token, nonce)
    assert caught.value.code == "id_token.alg"


async def test_none_can_not_be_asked_for(provider: FakeProvider) -> None:
    provider.fault("id_token.alg", "none")
    client = OAuth().register(
        "op", **provider.register_settings(), id_token_signed_response_alg="none"
    )
    token, nonce = await _token(provider, client)
    with pytest.raises(OAuthError) as caught:
        await client.parse_id_token(token, nonce)
    assert caught.value.code == "configuration.algorithm"


KEY = jose.secret_key("a secret of the app and the provider, long enough")


def _signed(key: Any = KEY, **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": "https://op.example", "sub": "1", "aud": "dev", "iat": now, "exp": now + 3600}
    return jose.sign_jwt({**claims, **changes}, key, "HS256", kid="f")


def _with_own_key(scope: str, **settings: Any) -> StarletteClient:
    """As apps written to the seed page have it: an oct key, and the list of algorithms."""
    jwk = {"kty": "oct", "kid": "f", "k": KEY.as_dict(private=True)["k"]}
    kwargs = {"scope": scope, **settings.pop("client_kwargs", {})}
    return OAuth().register(
        "dev",
        client_id="dev",
        issuer="https://op.example",
        jwks={"keys": [jwk]},
        id_token_signing_alg_values_supported=["HS256", "RS256"],
        client_kwargs=kwargs,
        **settings,
    )


async def test_hmac_with_a_key_of_the_apps_own_set() -> None:
    user = await _with_own_key("openid").parse_id_token({"id_token": _signed()}, None)
    assert user is not None
    assert user.sub == "1"


@pytest.mark.parametrize(
    ("id_token", "code"),
    [
        (_signed(), None),
        (_signed(nonce="n"), "id_token.nonce_unasked"),
        (_signed(iss="https://evil.example"), "id_token.iss_mismatch"),
        (_signed(jose.secret_key("a secret of someone else, as long as ours")),
         "id_token.signature"),
    ],
    ids=["right", "nonce", "iss", "signature"],
)  # fmt: skip
async def test_an_id_token_that_nobody_asked_for_is_validated_all_the_same(
    id_token: str, code: str | None
) -> None:
    answer = {"access_token": "a", "token_type": "Bearer", "id_token": id_token}
    client = _with_own_key(
        "profile",
        authorize_url="https://op.example/authorize",
        access_token_url="https://op.example/token",
        client_kwargs={"transport": FakeApi({"/token": answer})},
    )
    session: dict[str, Any] = {}
    response = await client.authorize_redirect(Request({"type": "http", "session": session}))
    state = httpx2.URL(response.headers["location"]).params["state"]
    request = Request({"type": "http", "session": session, "query_string": f"state={state}&code=c"})
    if code is None:
        token = await client.authorize_access_token(request)
        assert token.userinfo is not None
        assert token.userinfo.sub == "1"
        return
    with pytest.raises(IDTokenError) as caught:
        await client.authorize_access_token(request)
    assert caught.value.code == code


# -- the UserInfo endpoint -----------------------------------------------------------------------

Hook = Callable[..., Any]


def _sync_and_async(hook: Hook) -> list[Any]:
    async def slow(*args: Any, **kwargs: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return hook(*args, **kwargs)

    return [pytest.param(hook, id="sync"), pytest.param(slow, id="async")]


def _user_api() -> FakeApi:
    def user(request: httpx2.Request) -> httpx2.Response:
        if request.headers.get("authorization") != "Bearer users-token":
            return httpx2.Response(401)
        return httpx2.Response(200, json={"sub": "123", "email": "a@example.org", "plan": "pro"})

    return FakeApi({"/userinfo": user, "/user": user})


def _user_settings(transport: FakeApi) -> dict[str, Any]:
    return {
        "client_id": "dev",
        "userinfo_endpoint": "https://op.example/userinfo",
        "api_base_url": "https://op.example/",
        "client_kwargs": {"transport": transport},
    }


USERS_TOKEN = {"access_token": "users-token", "token_type": "Bearer"}


async def test_userinfo_with_a_token() -> None:
    client = OAuth().register("dev", **_user_settings(_user_api()))
    user = await client.userinfo(token=USERS_TOKEN)
    assert (user["sub"], user.sub, user.email, user["plan"]) == (
        "123",
        "123",
        "a@example.org",
        "pro",
    )
    assert user.phone_number is None
    plan = "plan"
    with pytest.raises(AttributeError):
        getattr(user, plan)  # only the standard claims are attributes
    assert await client.userinfo(USERS_TOKEN) == user


@pytest.mark.parametrize("hook", _sync_and_async(lambda request: USERS_TOKEN))
async def test_userinfo_of_a_request_with_the_clients_hook(hook: Hook) -> None:
    client = OAuth().register("dev", **_user_settings(_user_api()), fetch_token=hook)
    user = await client.userinfo(request=Request({"type": "http", "session": {}}))
    assert user.sub == "123"


@pytest.mark.parametrize(
    "hook", _sync_and_async(lambda name, request: USERS_TOKEN if name == "dev" else None)
)
async def test_userinfo_of_a_request_with_the_registrys_hook(hook: Hook) -> None:
    oauth = OAuth(fetch_token=hook)
    client = oauth.register("dev", **_user_settings(_user_api()))
    other = oauth.register("other", **_user_settings(_user_api()))
    request = Request({"type": "http", "session": {}})
    assert (await client.userinfo(request=request)).sub == "123"
    with pytest.raises(OAuthError) as caught:
        await other.userinfo(request=request)
    assert caught.value.code == "request.token_missing"


async def test_the_hook_gets_the_request() -> None:
    def hook(request: Request) -> Any:
        return request.session["token"]

    client = OAuth().register("dev", **_user_settings(_user_api()), fetch_token=hook)
    request = Request({"type": "http", "session": {"token": USERS_TOKEN}})
    assert (await client.get("user", request=request)).json()["sub"] == "123"


async def test_the_clients_hook_wins_over_the_registrys() -> None:
    oauth = OAuth(fetch_token=lambda name, request: {"access_token": "another"})
    client = oauth.register(
        "dev", **_user_settings(_user_api()), fetch_token=lambda request: USERS_TOKEN
    )
    assert (await client.userinfo(request=Request({"type": "http"}))).sub == "123"


async def test_a_token_wins_over_the_hook() -> None:
    client = OAuth().register(
        "dev", **_user_settings(_user_api()), fetch_token=lambda request: {"access_token": "other"}
    )
    user = await client.userinfo(token=USERS_TOKEN, request=Request({"type": "http"}))
    assert user.sub == "123"


@pytest.mark.parametrize("token", [None, {}, {"access_token": ""}], ids=["None", "empty", "blank"])
async def test_userinfo_without_a_token(token: Any) -> None:
    client = OAuth().register("dev", **_user_settings(_user_api()), fetch_token=lambda r: token)
    for attempt in (
        client.userinfo(token),
        client.userinfo(request=Request({"type": "http"})),
        client.get("user", request=Request({"type": "http"})),
    ):
        with pytest.raises(OAuthError) as caught:
            await attempt
        assert caught.value.code == "request.token_missing"
        assert caught.value.status_hint == 401


async def test_userinfo_without_an_endpoint() -> None:
    client = OAuth().register("dev", client_id="dev")
    with pytest.raises(RuntimeError, match='Missing "userinfo_endpoint" in metadata'):
        await client.userinfo(USERS_TOKEN)


async def test_userinfo_about_someone_else_is_refused(provider: FakeProvider) -> None:
    client = OAuth().register("op", **provider.register_settings())
    token, nonce = await _token(provider, client)
    token["userinfo"] = await client.parse_id_token(token, nonce)
    assert (await client.userinfo(token)).email == "alice@example.test"
    provider.fault("userinfo.sub", "bob")
    with pytest.raises(OAuthError) as caught:
        await client.userinfo(token)
    assert caught.value.code == "userinfo.sub_mismatch"


# -- update_token --------------------------------------------------------------------------------


def _refreshing_api() -> FakeApi:
    fresh = {"access_token": "fresh", "token_type": "Bearer", "refresh_token": "r2"}
    return FakeApi({"/token": fresh, "/user": {"ok": True}})


def _refreshing(transport: FakeApi) -> dict[str, Any]:
    return {**_user_settings(transport), "access_token_url": "https://op.example/token"}


def _old_token() -> dict[str, Any]:
    return {"access_token": "stale", "refresh_token": "r1", "expires_at": 100}


Told = list[tuple[Any, ...]]


def _hooks_of_the_client() -> list[Any]:
    def hook(
        told: Told, token: Token, refresh_token: str | None = None, access_token: str | None = None
    ) -> None:
        told.append((token["access_token"], refresh_token, access_token))

    return _sync_and_async(hook)


@pytest.mark.parametrize("hook", _hooks_of_the_client())
async def test_update_token_of_the_client(hook: Hook) -> None:
    told: Told = []
    client = OAuth().register(
        "dev",
        **_refreshing(_refreshing_api()),
        update_token=lambda *args, **kwargs: hook(told, *args, **kwargs),
    )
    await client.get("user", token=_old_token())
    assert told == [("fresh", "r1", "stale")]


def _hooks_of_the_registry() -> list[Any]:
    def hook(
        told: Told,
        name: str,
        token: Token,
        refresh_token: str | None = None,
        access_token: str | None = None,
    ) -> None:
        told.append((name, token["access_token"], refresh_token, access_token))

    return _sync_and_async(hook)


@pytest.mark.parametrize("hook", _hooks_of_the_registry())
async def test_update_token_of_the_registry(hook: Hook) -> None:
    told: Told = []
    oauth = OAuth(update_token=lambda *args, **kwargs: hook(told, *args, **kwargs))
    client = oauth.register("dev", **_refreshing(_refreshing_api()))
    token = await client.refresh_token(_old_token())
    assert (token.access_token, token.refresh_token) == ("fresh", "r2")
    assert told == [("dev", "fresh", "r1", "stale")]


async def test_refresh_token_takes_the_string_too() -> None:
    transport = _refreshing_api()
    client = OAuth().register("dev", **_refreshing(transport))
    assert (await client.refresh_token("r1")).access_token == "fresh"


async def test_refresh_token_without_one() -> None:
    client = OAuth().register("dev", **_refreshing(_refreshing_api()))
    with pytest.raises(OAuthError, match="offline_access") as caught:
        await client.refresh_token({"access_token": "stale"})
    assert caught.value.code == "request.refresh_token_missing"


# -- compliance hooks ----------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_compliance_fixes(is_async: bool) -> None:
    def token_response(response: httpx2.Response) -> httpx2.Response:
        members = response.json()
        return httpx2.Response(200, json={**members["result"], "token_type": "Bearer"})

    def token_request(url: str, headers: Any, body: str) -> Any:
        return url, {**headers, "x-fixed": "1"}, body

    def protected(url: str, headers: Any, data: Any) -> Any:
        return f"{url}?v=2", headers, data

    fixes: dict[str, Hook] = {
        "access_token_response": token_response,
        "access_token_request": token_request,
        "protected_request": protected,
    }

    def register_all(session: Any) -> None:
        for kind, hook in fixes.items():
            session.register_compliance_hook(kind, as_async(hook) if is_async else hook)

    def as_async(hook: Hook) -> Hook:
        async def slow(*args: Any) -> Any:
            await anyio.lowlevel.checkpoint()
            return hook(*args)

        return slow

    transport = FakeApi({"/token": {"result": {"access_token": "a"}}, "/user": {"ok": True}})
    client = OAuth().register(
        "dev",
        **_refreshing(transport),
        compliance_fix=as_async(register_all) if is_async else register_all,
    )
    token = await client.fetch_access_token(code="c")
    assert token.access_token == "a"
    await client.get("user", token=token)
    first, second = transport.requests
    assert first.headers["x-fixed"] == "1"
    assert str(second.url) == "https://op.example/user?v=2"


async def test_an_unknown_compliance_hook() -> None:
    def register_all(session: Any) -> None:
        session.register_compliance_hook("acces_token_response", print)

    client = OAuth().register("dev", **_refreshing(_refreshing_api()), compliance_fix=register_all)
    with pytest.raises(RuntimeError, match="There is no compliance hook"):
        await client.fetch_access_token(code="c")
