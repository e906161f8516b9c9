"""fastapi-sso, as its page "Generic provider" shows it; it has PKCE only where a class asks for it.

It checks no ID Token: the person is asked for with the access token, on the same connection.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi_sso.sso.base import OpenID
from fastapi_sso.sso.generic import create_provider
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import RedirectResponse, Response

from benchmarks.browser import SITE
from benchmarks.provider import CLIENT_ID, CLIENT_SECRET


def build(origin: str) -> Any:
    discovery = {
        "authorization_endpoint": f"{origin}/0/authorize",
        "token_endpoint": f"{origin}/0/token",
        "userinfo_endpoint": f"{origin}/0/userinfo",
    }

    def convert(response: dict[str, Any], session: Any) -> OpenID:
        return OpenID(id=response["sub"], email=response["email"], provider="op")

    provider = create_provider(
        name="op",
        default_scope=["openid", "profile", "email"],
        discovery_document=discovery,
        response_convertor=convert,
    )
    provider.uses_pkce = True
    sso = provider(
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        redirect_uri=f"https://{SITE}/callback/0",
        allow_insecure_http=True,
    )
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="a secret of the session")

    @app.get("/login/0")
    async def login() -> Response:
        async with sso:
            redirect: Response = await sso.get_login_redirect()
            return redirect

    @app.get("/callback/0")
    async def callback(request: Request) -> Response:
        async with sso:
            person = await sso.verify_and_process(request)
        request.session["user"] = person.id
        return RedirectResponse("/", 303)

    return app
