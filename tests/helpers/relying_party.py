"""An app that logs people in and out, the browser in front of it, and caches for `OAuth`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from reliant import OAuthError
from reliant.starlette import OAuth, StarletteClient
from reliant.testing import Callback, FakeProvider

__all__ = [
    "SITE",
    "STORES",
    "AsyncCache",
    "GetdelCache",
    "MemoryCache",
    "build_app",
    "deliver",
    "log_in",
    "new_browser",
    "new_oauth",
    "sign_in",
    "start",
]

SITE = "https://testserver"
STORES = ("session", "cache", "cookie")


class MemoryCache:
    """A cache with the three methods that are asked for, positional arguments only."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.seconds: dict[str, int] = {}

    def get(self, key: str, /) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any, seconds: int, /) -> None:
        self.values[key] = value
        self.seconds[key] = seconds

    def delete(self, key: str, /) -> None:
        self.values.pop(key, None)


class AsyncCache:
    """The same as coroutines; others get their turn before each answer, as over a network."""

    def __init__(self) -> None:
        self.inner = MemoryCache()
        self.calls: list[str] = []

    async def get(self, key: str, /) -> Any:
        return await self._call("get", key)

    async def set(self, key: str, value: Any, seconds: int, /) -> None:
        await self._call("set", key, value, seconds)

    async def delete(self, key: str, /) -> None:
        await self._call("delete", key)

    async def _call(self, method: str, *args: Any) -> Any:
        self.calls.append(method)
        await anyio.lowlevel.checkpoint()
        result = getattr(self.inner, method)(*args)
        await anyio.lowlevel.checkpoint()
        return result


class GetdelCache(AsyncCache):
    """One that can read and delete in one step, as Redis does."""

    async def getdel(self, key: str, /) -> Any:
        self.calls.append("getdel")
        await anyio.lowlevel.checkpoint()
        return self.inner.values.pop(key, None)


def new_oauth(store: str, **options: Any) -> OAuth:
    """An `OAuth` that keeps logins in progress in one of `STORES`."""
    if store == "cache":
        options.setdefault("cache", MemoryCache())
    if store == "cookie":
        options.setdefault("secret_key", "the secret key of the app")
    return OAuth(**options)


def build_app(oauth: OAuth, session_secret: str = "the secret of the session") -> Starlette:
    """An app with one login, callback, logout and way back for each client, by its name.

    The query of `/login/<name>` is passed on to `authorize_redirect`; `data` as JSON.
    """

    def client_of(request: Request) -> StarletteClient:
        client = oauth.create_client(request.path_params["name"])
        assert client is not None
        return client

    async def login(request: Request) -> Response:
        client, params = client_of(request), dict[str, Any](request.query_params)
        if "data" in params:
            params["data"] = json.loads(params["data"])
        uri = request.url_for("callback", name=client.name)
        return await client.authorize_redirect(request, uri, **params)

    async def callback(request: Request) -> Response:
        token = await client_of(request).authorize_access_token(request)
        attributes = {"return_to": token.return_to, "data": token.data}
        return JSONResponse({"token": token, "userinfo": token.userinfo, **attributes})

    async def logout(request: Request) -> Response:
        client = client_of(request)
        uri = request.url_for("logged_out", name=client.name)
        return await client.logout_redirect(request, uri, **request.query_params)

    async def logged_out(request: Request) -> Response:
        return JSONResponse(await client_of(request).validate_logout_response(request))

    return Starlette(
        routes=[
            Route("/login/{name}", login),
            Route("/callback/{name}", callback, methods=["GET", "POST"], name="callback"),
            Route("/logout/{name}", logout),
            Route("/logged-out/{name}", logged_out, name="logged_out"),
        ],
        middleware=[Middleware(SessionMiddleware, secret_key=session_secret)],
        exception_handlers={OAuthError: oauth.exception_handler},
        lifespan=oauth.lifespan,
    )


def new_browser(app: Any, base_url: str = SITE, **options: Any) -> TestClient:
    """A browser with cookies of its own; it follows no redirect and asks for JSON."""
    options.setdefault("headers", {"accept": "application/json"})
    return TestClient(app, base_url=base_url, follow_redirects=False, **options)


def start(browser: TestClient, path: str = "/login/op", **params: Any) -> str:
    """Begin a login or logout; returns where at the provider the browser is sent."""
    response = browser.get(path, params=params)
    assert response.status_code == 302, response.text
    location: str = response.headers["location"]
    return location


def sign_in(provider: FakeProvider, url: str, user: str = "alice") -> Callback:
    """What the browser brings back from the provider."""
    return anyio.run(provider.sign_in, url, user)


def deliver(browser: TestClient, callback: Callback, **changes: str) -> httpx2.Response:
    """Bring the provider's answer to the app, some of its parameters changed."""
    if callback.form is not None:
        return browser.post(callback.url, data={**callback.form, **changes})
    url = httpx2.URL(callback.url)
    return browser.get(url.copy_merge_params(changes) if changes else url)


def log_in(
    browser: TestClient, provider: FakeProvider, path: str = "/login/op", **params: Any
) -> Mapping[str, Any]:
    """Log in as alice; returns what the callback of `build_app` shows."""
    response = deliver(browser, sign_in(provider, start(browser, path, **params)))
    assert response.status_code == 200, response.text
    shown: Mapping[str, Any] = response.json()
    return shown
