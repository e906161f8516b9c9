"""Reliant with many providers registered, as a service with tenants has them."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route

from benchmarks.provider import CLIENT_ID, CLIENT_SECRET
from reliant.starlette import OAuth, StarletteClient


def build(origin: str, tenants: int, **options: Any) -> Starlette:
    """`options`: of `OAuth`."""
    oauth = OAuth(**options)
    for tenant in range(tenants):
        oauth.register(
            f"op{tenant}",
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            server_metadata_url=f"{origin}/{tenant}/.well-known/openid-configuration",
            client_kwargs={"scope": "openid profile email"},
        )

    async def login(request: Request) -> Response:
        client: StarletteClient = getattr(oauth, f"op{request.path_params['tenant']}")
        uri = request.url_for("callback", tenant=request.path_params["tenant"])
        return await client.authorize_redirect(request, uri)

    async def callback(request: Request) -> Response:
        client = getattr(oauth, f"op{request.path_params['tenant']}")
        token = await client.authorize_access_token(request)
        request.session["user"] = token["userinfo"]["sub"]
        return RedirectResponse("/", 303)

    return Starlette(
        routes=[
            Route("/login/{tenant}", login),
            Route("/callback/{tenant}", callback, name="callback"),
            Mount("/op0", routes=oauth.op0.routes()),
        ],
        middleware=[Middleware(SessionMiddleware, secret_key="a secret of the session")],
        lifespan=oauth.lifespan,
    )
