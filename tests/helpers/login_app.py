"""An app whose people stay logged in, and the browser in front of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from reliant.login import Login, MemoryStore, Store
from reliant.starlette import OAuth
from reliant.testing import FakeProvider
from tests.helpers.http import Clock
from tests.helpers.relying_party import deliver, new_browser, sign_in

__all__ = ["KINDS", "PAGE", "SAME_ORIGIN", "SECRET", "SITE", "LoginApp", "take_cookies", "whoami"]

SITE = "https://testserver"
SECRET = "a secret key of the app, 40 characters.."
KINDS = ["cookies", "indexed", "store"]

# What a browser sends when a person follows a link, and when a page posts a form of its own.
PAGE = {"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-site": "none"}
SAME_ORIGIN = {**PAGE, "sec-fetch-site": "same-origin", "origin": SITE}


class LoginApp:
    """An app with `Login` in front of a `FakeProvider`, all in one process.

    `kind`: where sessions live; `options`: of `Login`. `clock` tells the time to all of it.
    """

    def __init__(
        self,
        kind: str = "store",
        *,
        store: Store | None = None,
        provider: FakeProvider | None = None,
        oauth: OAuth | None = None,
        settings: dict[str, Any] | None = None,
        routes: Callable[[Login], list[Any]] | None = None,
        **options: Any,
    ) -> None:
        self.kind = kind
        self.clock = Clock()
        self.provider = provider or FakeProvider()
        self.provider.clock = self.clock
        self.store = store or MemoryStore(self.clock)
        self.oauth = oauth or OAuth()
        self.oauth.register("op", **self.provider.register_settings(), **(settings or {}))
        client = self.oauth.op
        client._clock = client.verifier._clock = client.token_endpoint._clock = self.clock
        place: dict[str, Any] = {
            "cookies": {},
            "indexed": {"revocations": self.store},
            "store": {"store": self.store},
        }[kind]
        given = {"secret_key": SECRET, "clock": self.clock, **place, **options}
        self.auth = Login(self.oauth, "op", **given)
        self.app = Starlette(
            routes=[*_pages(self.auth), *(routes(self.auth) if routes else ()),
                    self.auth.routes("/auth")],
            middleware=[self.auth.middleware()],
            lifespan=self.auth.lifespan,
        )  # fmt: skip

    def browser(self, **options: Any) -> TestClient:
        """A browser with cookies of its own; it follows no redirect and asks for JSON."""
        return new_browser(self.app, SITE, **options)

    def log_in(
        self, browser: TestClient, user: str = "alice", path: str = "/auth/login"
    ) -> httpx2.Response:
        """Log in; returns the answer of the callback."""
        response = browser.get(path, headers=PAGE)
        assert response.status_code == 302, response.text
        return deliver(browser, sign_in(self.provider, response.headers["location"], user))

    def logged_in(self, user: str = "alice", **options: Any) -> TestClient:
        """A browser in which somebody has logged in."""
        browser = self.browser(**options)
        response = self.log_in(browser, user)
        assert response.status_code == 303, response.text
        return browser

    def use_back_channel(self) -> None:
        """Register the address that the provider's logout tokens go to."""
        (client,) = self.provider.clients.values()
        uri = "https://testserver/auth/backchannel-logout"
        self.provider.add_client(client.client_id, client.client_secret, backchannel_logout_uri=uri)

    def end_at_provider(self, user: str = "alice") -> None:
        """The provider ends all sessions of somebody, and tells the app by the back channel."""
        self.provider.client_transport = httpx2.ASGITransport(self.app)
        anyio.run(self.provider.end_sessions, user)


def whoami(browser: TestClient) -> str | None:
    """Who is logged in, as the app sees it."""
    response = browser.get("/whoami")
    assert response.status_code == 200, response.text
    name: str | None = response.json()["sub"]
    return name


def take_cookies(browser: TestClient, other: TestClient) -> None:
    """Let a browser have the cookies of another."""
    for name, value in other.cookies.items():
        browser.cookies.set(name, value, domain="testserver.local")


def _pages(auth: Login) -> list[Any]:
    async def home(request: Request) -> Response:
        known = request.user.is_authenticated
        sub = auth.session(request).sub if known else None
        return JSONResponse({"sub": sub, "scopes": request.auth.scopes})

    @auth.required()
    async def me(request: Request) -> Response:
        session = auth.session(request)
        return JSONResponse({
            "sub": session.sub, "iss": session.iss, "sid": session.sid, "claims": session.claims,
            "created_at": session.created_at, "expires_at": session.expires_at,
            "user": repr(request.user),
        })  # fmt: skip

    @auth.required()
    async def token(request: Request) -> Response:
        query = dict(request.query_params)
        return JSONResponse(await auth.session(request).token(**query))

    @auth.required()
    async def websocket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(auth.session(websocket).sub)
        await websocket.close()

    @auth.required(preserve_post=True)
    async def order(request: Request) -> Response:
        form = await request.form()
        fields = [[name, value] for name, value in form.multi_items()]
        return JSONResponse({"sub": auth.session(request).sub, "fields": fields})

    return [
        Route("/", home),
        Route("/whoami", home),
        Route("/me", me),
        Route("/token", token),
        Route("/order", order, methods=["POST"]),
        WebSocketRoute("/ws", websocket),
    ]
