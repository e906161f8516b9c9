"""The floor: a login written by hand on the same libraries, without a single check.

Two routes, one pooled client, one POST, one signature verified with a key imported beforehand.
It asks for nothing that could be left out: no metadata, no error is handled, no claim is read.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import urlencode

import httpx2
from joserfc import jwk, jwt
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from benchmarks.provider import CLIENT_ID, CLIENT_SECRET


def build(origin: str) -> Starlette:
    issuer = f"{origin}/0"
    client = httpx2.AsyncClient(auth=(CLIENT_ID, CLIENT_SECRET))
    keys: dict[str, Any] = {}

    async def login(request: Request) -> Response:
        state, nonce = secrets.token_urlsafe(20), secrets.token_urlsafe(20)
        verifier = secrets.token_urlsafe(32)
        digest = hashlib.sha256(verifier.encode()).digest()
        request.session[state] = verifier
        query = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": str(request.url_for("callback")),
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return RedirectResponse(f"{issuer}/authorize?{urlencode(query)}", 302)

    async def callback(request: Request) -> Response:
        if "key" not in keys:  # once, in the warm-up
            keys["key"] = jwk.import_key((await client.get(f"{issuer}/jwks")).json()["keys"][0])
        form = {
            "grant_type": "authorization_code",
            "code": request.query_params["code"],
            "redirect_uri": str(request.url_for("callback")),
            "code_verifier": request.session.pop(request.query_params["state"]),
        }
        answer = await client.post(f"{issuer}/token", data=form)
        token = jwt.decode(answer.json()["id_token"], keys["key"])
        request.session["user"] = token.claims["sub"]
        return RedirectResponse("/", 303)

    return Starlette(
        routes=[Route("/login/0", login), Route("/callback/0", callback, name="callback")],
        middleware=[Middleware(SessionMiddleware, secret_key="a secret of the session")],
    )
