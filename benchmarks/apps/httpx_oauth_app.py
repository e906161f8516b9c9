"""httpx-oauth, as its pages "OAuth2" and "FastAPI" show it.

It leaves to the app to make a state, to keep it and to compare it, and to bring the PKCE verifier
to the callback, which its dependency would take from the query; so this app keeps both in the
session and passes the verifier by hand. It knows no ID Token: the person is asked for.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any

from fastapi import FastAPI, Request
from httpx_oauth.clients.openid import OpenID
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import RedirectResponse, Response

from benchmarks.provider import CLIENT_ID, CLIENT_SECRET


def build(origin: str) -> Any:
    client = OpenID(CLIENT_ID, CLIENT_SECRET, f"{origin}/0/.well-known/openid-configuration")
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="a secret of the session")

    @app.get("/login/0")
    async def login(request: Request) -> Response:
        state, verifier = secrets.token_urlsafe(20), secrets.token_urlsafe(32)
        request.session["login"] = {"state": state, "verifier": verifier}
        digest = hashlib.sha256(verifier.encode()).digest()
        return RedirectResponse(
            await client.get_authorization_url(
                str(request.url_for("callback")),
                state=state,
                scope=["openid", "profile", "email"],
                code_challenge=base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
                code_challenge_method="S256",
            ),
            302,
        )

    @app.get("/callback/0", name="callback")
    async def callback(request: Request, code: str, state: str) -> Response:
        login = request.session.pop("login")
        if not secrets.compare_digest(state, login["state"]):
            return Response("wrong state", 400)
        token = await client.get_access_token(
            code, str(request.url_for("callback")), login["verifier"]
        )
        request.session["user"], _ = await client.get_id_email(token["access_token"])
        return RedirectResponse("/", 303)

    return app
