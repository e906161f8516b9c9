"""Apps whose people stay logged in: with Reliant's sessions, and with what is there without it.

All keep the same: what a login brought, tokens and claims.
"""

from __future__ import annotations

import json
import time
from typing import Any

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from benchmarks.apps.reliant_app import new_oauth
from reliant import Token
from reliant.login import Login, MemoryStore, RedisStore, Store
from reliant.storage.session_record import SessionRecord
from reliant.storage.sessions import StoredSessions

SECRET = "a secret of the app, long enough for it"
IDLE = 7200


def build(origin: str, store: Store | None = None) -> Starlette:
    """Reliant's sessions: in cookies, or in a store."""
    auth = Login(
        new_oauth(origin, secret_key=SECRET), "op", secret_key=SECRET, store=store, idle=IDLE
    )

    async def page(request: Request) -> Response:
        return PlainTextResponse(auth.session(request).sub)

    return Starlette(
        routes=[Route("/", page), auth.routes("/auth")],
        middleware=[auth.middleware()],
        lifespan=auth.lifespan,
    )


def build_redis(origin: str, redis: str) -> Starlette:
    """Reliant's sessions in Redis."""
    return build(origin, RedisStore.from_url(redis))


def build_middleware(origin: str) -> Starlette:
    """The same in the cookie of Starlette's `SessionMiddleware`: signed, not encrypted."""
    oauth = new_oauth(origin, secret_key=SECRET)

    async def login(request: Request) -> Response:
        return await oauth.op.authorize_redirect(request, request.url_for("callback"))

    async def callback(request: Request) -> Response:
        request.session["token"] = await oauth.op.authorize_access_token(request)
        return RedirectResponse("/", 303)

    async def page(request: Request) -> Response:
        return PlainTextResponse(request.session["token"]["userinfo"]["sub"])

    return Starlette(
        routes=[
            Route("/", page),
            Route("/auth/login", login),
            Route("/auth/callback", callback, name="callback"),
        ],
        middleware=[Middleware(SessionMiddleware, secret_key=SECRET)],
        lifespan=oauth.lifespan,
    )


def build_get(origin: str, redis: str) -> Starlette:
    """A text as large as such a session, got from Redis by its key, and no more."""
    oauth, client = new_oauth(origin, secret_key=SECRET), Redis.from_url(redis)

    async def login(request: Request) -> Response:
        return await oauth.op.authorize_redirect(request, request.url_for("callback"))

    async def callback(request: Request) -> Response:
        token = await oauth.op.authorize_access_token(request)
        await client.set("a session", json.dumps(token), IDLE)
        return RedirectResponse("/", 303)

    async def page(request: Request) -> Response:
        assert await client.get("a session")
        return PlainTextResponse("sub")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/auth/login", login),
            Route("/auth/callback", callback, name="callback"),
        ],
        lifespan=oauth.lifespan,
    )


async def build_filled(origin: str, sessions: int, redis: str = "") -> Starlette:
    """Reliant's sessions in a store that holds so many of other people.

    `redis`: the address of a database for this number alone, which is filled once.
    """
    store: Store = RedisStore.from_url(redis) if redis else MemoryStore()
    others, now = StoredSessions(store, [SECRET], "op", IDLE), time.time()
    is_full = await store.get("full") is not None
    await store.set("full", "1", IDLE)
    for number in range(0 if is_full else sessions):
        claims = {"iss": f"{origin}/0", "sub": f"person {number}", "sid": f"session {number}"}
        token: dict[str, Any] = {"access_token": "a" * 40, "token_type": "Bearer"}
        record = SessionRecord(Token({**token, "userinfo": claims}), now, now + 86400)
        await others.create(record)
    return build(origin, store)
