"""An app with `Login` for Starlette and for FastAPI, on two servers that share one Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import httpx2
from fastapi import Depends, FastAPI, Form
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reliant.login import Login, RedisStore, User
from reliant.starlette import OAuth
from tests.helpers.oidc_provider import RunningProvider
from tests.helpers.person import NO_TLS
from tests.helpers.server import serve
from tests.interop.apps import settings_for

__all__ = ["APPS", "GOLD", "Client", "LoginSite", "MovingClock", "login_site"]

SECRET = "a key of this test's, long enough for all of it"
GOLD = "urn:mace:incommon:iap:silver"  # the strongest there is at this provider
UNREGISTERED: dict[str, Any] = {"client_id": "none yet", "client_kwargs": {"scope": "openid"}}


class MovingClock:
    """Goes on by itself, and ahead when told; the provider's goes with it."""

    def __init__(self, op: RunningProvider) -> None:
        self._ahead = 0.0
        self._op = op

    def __call__(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds
        url = f"{self._op.issuer}/_ctl/clock"
        answer = httpx2.post(url, json={"ahead": self._ahead}, verify=NO_TLS, trust_env=False)
        assert answer.status_code == 200, answer.text


def starlette_app(auth: Login) -> Starlette:
    @auth.required()
    async def me(request: Request) -> Response:
        session = auth.session(request)
        return JSONResponse(
            {**session.claims, "refresh_token": session.family.record.token.refresh_token}
        )

    @auth.required()
    async def token(request: Request) -> Response:
        return JSONResponse(await auth.session(request).token(**request.query_params))

    @auth.required(acr_values=GOLD, preserve_post=True)
    async def pay(request: Request) -> Response:
        form = await request.form()
        return JSONResponse({"acr": auth.session(request).claims["acr"], "amount": form["amount"]})

    @auth.required(max_age=300)
    async def fresh(request: Request) -> Response:
        return JSONResponse({"auth_time": auth.session(request).claims["auth_time"]})

    return Starlette(
        routes=[
            Route("/me", me),
            Route("/token", token),
            Route("/pay", pay, methods=["POST"]),
            Route("/fresh", fresh),
            auth.routes("/auth"),
        ],
        middleware=[auth.middleware()],
        lifespan=auth.lifespan,
    )


# (FastAPI reads the annotations, and would not find `auth` in them if they were texts: the
# dependencies are defaults here.)
def fastapi_app(auth: Login) -> FastAPI:
    app = FastAPI(
        routes=[auth.routes("/auth")], middleware=[auth.middleware()], lifespan=auth.lifespan
    )
    session, user = Depends(auth.session), Depends(auth.user)
    strong = Depends(auth.required(acr_values=GOLD, preserve_post=True).user)
    recent = Depends(auth.required(max_age=300).user)

    @app.get("/me")
    async def me(user: User = user, session: Any = session) -> dict[str, Any]:
        return {**user.claims, "refresh_token": session.family.record.token.refresh_token}

    @app.get("/token")
    async def token(session: Any = session, resource: str | None = None) -> Any:
        return await session.token(resource=resource)

    @app.post("/pay")
    async def pay(amount: Annotated[str, Form()], user: User = strong) -> dict[str, Any]:
        return {"acr": user.claims["acr"], "amount": amount}

    @app.get("/fresh")
    async def fresh(user: User = recent) -> dict[str, Any]:
        return {"auth_time": user.claims["auth_time"]}

    return app


@dataclass(frozen=True)
class Client:
    """A client as the provider knows it."""

    op: RunningProvider
    client_id: str
    client_secret: str

    def count(self, event: str) -> int:
        """How often the provider noted an event of this client."""
        url = f"{self.op.issuer}/_ctl/events"
        events = httpx2.get(url, verify=NO_TLS, trust_env=False).json()
        return sum(it["kind"] == event and it.get("client") == self.client_id for it in events)

    def is_active(self, token: str) -> bool:
        """Whether the provider still takes a token (RFC 7662)."""
        answer = httpx2.post(
            f"{self.op.issuer}/token/introspection",
            data={"token": token},
            auth=(self.client_id, self.client_secret),
            verify=NO_TLS,
            trust_env=False,
        )
        return bool(answer.json()["active"])


APPS: dict[str, Callable[[Login], Any]] = {"starlette": starlette_app, "fastapi": fastapi_app}


@dataclass(frozen=True)
class LoginSite:
    """An app that is served at two addresses; a browser takes its cookies to both."""

    op: RunningProvider
    urls: tuple[str, str]
    oauths: tuple[OAuth, OAuth]
    clock: MovingClock

    def register(
        self, scope: str = "openid offline_access", resources: Sequence[str] = (), **metadata: Any
    ) -> Client:
        """Register a new client at the provider for this app.

        `resources`: those that logins ask for; tokens are for the first of them.
        """
        wanted = {
            "redirect_uris": [f"{url}/auth/callback" for url in self.urls],
            "post_logout_redirect_uris": [f"{url}/auth/logged-out" for url in self.urls],
            "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token"],
            "backchannel_logout_uri": f"{self.urls[0]}/auth/backchannel-logout",
            **metadata,
        }
        url = f"{self.op.issuer}/reg"
        answer = httpx2.post(url, json=wanted, verify=NO_TLS, trust_env=False)
        assert answer.status_code == 201, answer.text
        client_id, secret = answer.json()["client_id"], answer.json()["client_secret"]
        # This provider gives offline_access only to who consents to it at that very login.
        # It issues a token for one resource only, which must be named where there are more.
        first = {"resource": resources[0]} if resources else {}
        settings = {
            **settings_for(self.op, client_id, secret),
            "client_kwargs": {"scope": scope},
            "authorize_params": {"prompt": "consent", "resource": list(resources)},
            "access_token_params": first,
            "refresh_token_params": first,
        }
        for oauth in self.oauths:
            client = oauth.register("op", replace=True, **settings)
            client._clock = client.verifier._clock = client.token_endpoint._clock = self.clock
        return Client(self.op, client_id, secret)


@contextmanager
def login_site(
    kind: str, op: RunningProvider, redis: str, clock: MovingClock
) -> Iterator[LoginSite]:
    """Serve an app of a kind in `APPS` twice; it has no client yet."""
    with ExitStack() as stack:
        urls, oauths = [], []
        for _ in range(2):
            oauth = OAuth()
            oauth.register("op", **UNREGISTERED)
            store = RedisStore.from_url(redis, prefix=f"{kind}:")
            auth = Login(oauth, "op", secret_key=SECRET, store=store, clock=clock)
            urls.append(stack.enter_context(serve(APPS[kind](auth))))
            oauths.append(oauth)
        yield LoginSite(op, (urls[0], urls[1]), (oauths[0], oauths[1]), clock)
