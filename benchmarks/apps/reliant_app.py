"""Reliant, as its quickstart shows it: every check, the login in progress in the session."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from benchmarks.provider import CLIENT_ID, CLIENT_SECRET
from reliant.starlette import OAuth


def new_oauth(origin: str, **options: Any) -> OAuth:
    """`options`: of `OAuth`."""
    oauth = OAuth(**options)
    oauth.register(
        "op",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        server_metadata_url=f"{origin}/0/.well-known/openid-configuration",
        client_kwargs={"scope": "openid profile email"},
    )
    return oauth


def build(origin: str, **options: Any) -> Starlette:
    """`options`: of `OAuth`."""
    oauth = new_oauth(origin, **options)

    async def login(request: Request) -> Response:
        return await oauth.op.authorize_redirect(request, request.url_for("callback"))

    async def callback(request: Request) -> Response:
        token = await oauth.op.authorize_access_token(request)
        request.session["user"] = token["userinfo"]["sub"]
        return RedirectResponse("/", 303)

    return Starlette(
        routes=[Route("/login/0", login), Route("/callback/0", callback, name="callback")],
        middleware=[Middleware(SessionMiddleware, secret_key="a secret of the session")],
        lifespan=oauth.lifespan,
    )


def build_cookie(origin: str) -> Starlette:
    """The login in progress in an encrypted cookie of its own."""
    return build(origin, secret_key="a secret of the app")


def build_cache(origin: str) -> Starlette:
    """The login in progress in the memory of the process."""
    return build(origin, cache=Memory())


class Memory(dict[str, Any]):
    """A cache of one process; nothing in it ends by itself."""

    def set(self, key: str, value: Any, seconds: int) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)
