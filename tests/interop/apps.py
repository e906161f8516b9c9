"""The application of the interop tests, for Starlette and for FastAPI, and a site that runs it.

Each test registers a client of its own at the provider (dynamic registration), and says in its
own lines what is special about that client.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from reliant import OAuthError, Token
from reliant.starlette import OAuth, StarletteClient
from tests.helpers.oidc_provider import RunningProvider
from tests.helpers.person import NO_TLS
from tests.helpers.server import serve

# -- the application ---------------------------------------------------------------------------


async def login(request: Request) -> Response:
    """Begin a login; parameters of the query go into the authorization request."""
    params = dict(request.query_params)
    return await client_of(request).authorize_redirect(
        request, url_of(request, "callback"), return_to=params.pop("return_to", None), **params
    )


async def callback(request: Request) -> Response:
    token = await client_of(request).authorize_access_token(request)
    response = RedirectResponse(token.return_to or f"/{name_of(request)}/me", 303)
    key = secrets.token_urlsafe()
    request.app.state.tokens[key] = token
    response.set_cookie(f"login_{name_of(request)}", key, httponly=True, samesite="lax")
    return response


async def me(request: Request) -> Response:
    """Who the ID Token says it is."""
    token = token_of(request)
    return JSONResponse(None if token is None else token.userinfo)


async def userinfo(request: Request) -> Response:
    """Who the UserInfo endpoint says it is."""
    return JSONResponse(await client_of(request).userinfo(token=token_of(request)))


async def refresh(request: Request) -> Response:
    token = token_of(request)
    assert token is not None
    new = await client_of(request).refresh_token(token)
    request.app.state.tokens[login_of(request)] = new
    return JSONResponse({"other_access_token": new.access_token != token.access_token})


async def logout(request: Request) -> Response:
    token = request.app.state.tokens.pop(login_of(request), None)
    return await client_of(request).logout_redirect(
        request,
        url_of(request, "logged_out"),
        id_token_hint=None if token is None else token.id_token,
    )


async def logged_out(request: Request) -> Response:
    return JSONResponse(await client_of(request).validate_logout_response(request))


def name_of(request: Request) -> str:
    return str(request.path_params["name"])


def url_of(request: Request, page: str) -> str:
    return str(request.url_for(page, name=name_of(request)))


def client_of(request: Request) -> StarletteClient:
    client: StarletteClient | None = request.app.state.oauth.create_client(name_of(request))
    assert client is not None
    return client


def login_of(request: Request) -> str:
    return request.cookies.get(f"login_{name_of(request)}", "")


def token_of(request: Request) -> Token | None:
    token: Token | None = request.app.state.tokens.get(login_of(request))
    return token


PAGES = (login, callback, me, userinfo, refresh, logout, logged_out)


def starlette_app(**options: Any) -> Starlette:
    routes = [Route(f"/{{name}}/{page.__name__}", page, methods=["GET", "POST"]) for page in PAGES]
    return Starlette(routes=routes, **options)


def fastapi_app(**options: Any) -> FastAPI:
    app = FastAPI(**options)
    for page in PAGES:
        app.api_route(f"/{{name}}/{page.__name__}", methods=["GET", "POST"])(page)
    return app


APPS: dict[str, Callable[..., Starlette]] = {"starlette": starlette_app, "fastapi": fastapi_app}


# -- where logins in progress are kept ---------------------------------------------------------


class Cache:
    """The least a cache must do."""

    def __init__(self) -> None:
        self._data: dict[str, str] = {}

    async def get(self, key: str) -> str | None:
        return self._data.get(key)

    async def set(self, key: str, value: str, seconds: int) -> None:
        self._data[key] = value

    async def delete(self, key: str) -> None:
        self._data.pop(key, None)


STORES: dict[str, Callable[[], OAuth]] = {
    "session": OAuth,
    "cookie": lambda: OAuth(secret_key="a key only this test knows"),
    "cache": lambda: OAuth(cache=Cache()),
}


# -- a site that runs it -----------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """An application that is served at `url`; its pages are below `/NAME/`."""

    url: str
    oauth: OAuth
    tokens: dict[str, Token]

    def page(self, path: str, name: str = "op") -> str:
        return f"{self.url}/{name}/{path}"

    def register(self, settings: Mapping[str, Any], name: str = "op") -> None:
        """Register a client, in the place of the one before."""
        self.oauth.register(name, replace=True, **settings)

    @property
    def client(self) -> StarletteClient:
        client = self.oauth.create_client("op")
        assert client is not None
        return client

    @property
    def token(self) -> Token:
        """The token of the one login there is."""
        (token,) = self.tokens.values()
        return token


@contextmanager
def site(app: str = "starlette", store: str = "cookie") -> Iterator[Site]:
    """Serve an application without clients; `app` and `store` are names in `APPS` and `STORES`."""
    oauth = STORES[store]()
    # The cookies of secret_key= need no SessionMiddleware, and here they have none.
    sessions = [Middleware(SessionMiddleware, secret_key="a key only this test knows")]
    application = APPS[app](
        exception_handlers={OAuthError: oauth.exception_handler},
        lifespan=oauth.lifespan,
        middleware=[] if store == "cookie" else sessions,
    )
    application.state.oauth, application.state.tokens = oauth, {}
    with serve(application) as url:
        yield Site(url, oauth, application.state.tokens)


class Sites:
    """One site for each application and store, started when it is first asked for."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._running: dict[tuple[str, str], Site] = {}

    def get(self, app: str = "starlette", store: str = "cookie") -> Site:
        """The site; nobody is logged in there."""
        if (app, store) not in self._running:
            self._running[app, store] = self._stack.enter_context(site(app, store))
        running = self._running[app, store]
        running.tokens.clear()
        return running

    def close(self) -> None:
        self._stack.close()


def client_at(
    op: RunningProvider, running: Site, name: str = "op", **metadata: Any
) -> dict[str, Any]:
    """Register a client at the provider; returns what `oauth.register` needs to know."""
    wanted = {
        "redirect_uris": [running.page("callback", name)],
        "response_types": ["code"],
        "post_logout_redirect_uris": [running.page("logged_out", name)],
        "grant_types": ["authorization_code", "refresh_token"],
        **metadata,
    }
    answer = httpx2.post(f"{op.issuer}/reg", json=wanted, verify=NO_TLS, trust_env=False)
    assert answer.status_code == 201, answer.text
    client = answer.json()
    return settings_for(op, client["client_id"], client.get("client_secret"))


def settings_for(op: RunningProvider, client_id: str, client_secret: str | None) -> dict[str, Any]:
    return {
        "client_id": client_id,
        "client_secret": client_secret,
        "server_metadata_url": f"{op.issuer}/.well-known/openid-configuration",
        "client_kwargs": {"scope": "openid profile email"},
    }
