"""Authlib, as its page "Starlette OAuth Client" shows it, with PKCE on."""

from __future__ import annotations

from authlib.integrations.starlette_client import OAuth
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from benchmarks.provider import CLIENT_ID, CLIENT_SECRET


def build(origin: str) -> Starlette:
    oauth = OAuth()
    oauth.register(
        name="op",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        server_metadata_url=f"{origin}/0/.well-known/openid-configuration",
        client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256"},
    )

    async def login(request: Request) -> Response:
        redirect: Response = await oauth.op.authorize_redirect(request, request.url_for("callback"))
        return redirect

    async def callback(request: Request) -> Response:
        token = await oauth.op.authorize_access_token(request)
        request.session["user"] = token["userinfo"]["sub"]
        return RedirectResponse("/", 303)

    return Starlette(
        routes=[Route("/login/0", login), Route("/callback/0", callback, name="callback")],
        middleware=[Middleware(SessionMiddleware, secret_key="a secret of the session")],
    )
