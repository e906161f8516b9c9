"""An application and a provider, each at an address of its own, with pages of a test's own.

The addresses stay for a module; every test puts a new application and a new provider there.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from reliant import OAuthError, Token
from reliant.starlette import LogoutEvent, OAuth
from reliant.testing import Behaviour, FakeProvider
from tests.helpers.server import serve


class Place:
    """An address, and what answers there: pages of a test's own first, then the application."""

    def __init__(self) -> None:
        self.url = ""
        self.app: Any = None
        self.pages: dict[str, str] = {}  # HTML by path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = self.pages.get(scope.get("path", ""))
        app = self.app if page is None else HTMLResponse(page)
        await app(scope, receive, send)

    @property
    def elsewhere(self) -> str:
        """The same address by the name localhost, which makes it another site to a browser."""
        return self.url.replace("127.0.0.1", "localhost")


@contextmanager
def places(number: int) -> Iterator[list[Place]]:
    """Serve that many places."""
    with ExitStack() as stack:
        found = [Place() for _ in range(number)]
        for place in found:
            place.app = PlainTextResponse("Nothing is here yet", 404)
            place.url = stack.enter_context(serve(place))
        yield found


class App:
    """A site that people log in to, its sessions on the server."""

    def __init__(self, oauth: OAuth, *, same_site: str, **settings: Any) -> None:
        self.sessions: dict[str, Token] = {}
        self.callbacks: list[str] = []  # the method of each request to the callback
        self.logouts: list[LogoutEvent] = []
        self.home = "/me"  # where a login ends that has no return_to
        self._oauth, self._same_site = oauth, same_site
        self._op = oauth.register("op", on_logout=self._logged_out_elsewhere, **settings)

    def asgi(self, *, sessions: bool) -> Starlette:
        """The application; `sessions`: with the middleware behind `request.session`."""
        return Starlette(
            routes=[
                Route("/login", self._login),
                Route("/callback", self._callback, methods=["GET", "POST"], name="callback"),
                Route("/me", self._me),
                Mount("/op", routes=self._op.routes(lambda it: it.url_for("callback"))),
            ],
            middleware=[Middleware(SessionMiddleware, secret_key="a key of this test's")]
            if sessions
            else [],
            exception_handlers={OAuthError: self._oauth.exception_handler},
            lifespan=self._oauth.lifespan,
        )

    async def _login(self, request: Request) -> Response:
        uri = request.url_for("callback")
        return await self._op.authorize_redirect(request, uri, **request.query_params)

    async def _callback(self, request: Request) -> Response:
        self.callbacks.append(request.method)
        token = await self._op.authorize_access_token(request)
        key = secrets.token_urlsafe()
        self.sessions[key] = token
        response = RedirectResponse(token.return_to or self.home, 303)
        same_site: Any = self._same_site
        response.set_cookie("login", key, secure=True, httponly=True, samesite=same_site)
        return response

    async def _me(self, request: Request) -> Response:
        """Who is logged in."""
        token = self.sessions.get(request.cookies.get("login", ""))
        return PlainTextResponse("Nobody" if token is None else f"Hello, {token['userinfo'].sub}")

    def _logged_out_elsewhere(self, event: LogoutEvent) -> None:
        """End the session that is meant: the one of that `sid`, else that of the very request."""
        self.logouts.append(event)
        mine = event.request.cookies.get("login", "")
        for key, token in list(self.sessions.items()):
            if token["userinfo"].get("sid") == event.sid if event.sid else key == mine:
                del self.sessions[key]


class Sites:
    """The application on 127.0.0.1; the provider on localhost, so of another site."""

    def __init__(self, app: Place, provider: Place, stranger: Place) -> None:
        self.at_app, self.at_provider, self.at_stranger = app, provider, stranger
        self.provider: FakeProvider
        self.app: App

    def build(
        self,
        store: str = "cookie",
        *,
        same_site_provider: bool = False,
        same_site: str = "lax",
        response_type: str = "code",
        response_mode: str | None = None,
        **metadata: Any,
    ) -> App:
        """Put a new application and a new provider where they belong.

        `store`: "cookie" (secret_key) or "session" (SessionMiddleware); `same_site_provider`: the
        provider is on 127.0.0.1 too; `same_site`: of the application's own cookie; `metadata`: of
        the client, with addresses below the application's.
        """
        place = self.at_provider
        self.provider = FakeProvider(
            place.url if same_site_provider else place.elsewhere,
            clients=[],
            signing_alg="ES256",
            behaviour=Behaviour(
                response_types=("code", "id_token", "code id_token"), session_management=True
            ),
        )
        url = self.at_app.url
        self.provider.add_client(
            "the-app",
            "a-secret-only-these-two-know",
            redirect_uris=[f"{url}/callback"],
            **{name: url + it if isinstance(it, str) else it for name, it in metadata.items()},
        )
        params = {"response_type": response_type, "response_mode": response_mode}
        self.app = App(
            OAuth(secret_key="a key of this test's" if store == "cookie" else None),
            same_site=same_site,
            authorize_params={name: it for name, it in params.items() if it is not None},
            **self.provider.register_settings(),
        )
        self.at_app.app = self.app.asgi(sessions=store == "session")
        self.at_provider.app = self.provider
        for at in (self.at_app, self.at_provider, self.at_stranger):
            at.pages.clear()
        return self.app

    def url(self, path: str) -> str:
        """An address of the application."""
        return self.at_app.url + path
