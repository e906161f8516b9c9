"""The relying party: it logs in, does what the configuration says, and tells how it went."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx2
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import Message, Receive, Scope, Send

from examples.conformance_rp.config import Config, generate_keys
from reliant import FragmentAnswer, OAuthError
from reliant.starlette import LogoutEvent, OAuth, StarletteClient

__all__ = ["RelyingParty"]

log = logging.getLogger("conformance_rp")

NAME = "op"
ENDPOINTS = {
    "authorization_endpoint": "authorize",
    "end_session_endpoint": "end_session",
    "jwks_uri": "jwks",
    "registration_endpoint": "register",
    "token_endpoint": "token",
    "userinfo_endpoint": "userinfo",
}
SESSION_PAGE = """<!doctype html><html lang="en"><title>Session</title>
<p>The session at the provider: <b>unchanged</b>. <a href="/logout" target="_blank">Log out</a></p>
<iframe src="/check-session?{query}" hidden></iframe>
<script>addEventListener("message", (event) => {{
  if (event.origin === origin) document.querySelector("b").textContent = event.data.session;
}})</script>
"""
_NO_STORE = {"cache-control": "no-store"}


@dataclass
class Run:
    """One login and what came of it; ``ok`` is None until it has ended."""

    ok: bool | None = None
    error: str | None = None
    description: str | None = None
    claims: Mapping[str, Any] | None = None
    userinfo: Mapping[str, Any] | None = None
    sourced_claims: dict[str, Any] = field(default_factory=dict)
    logouts: list[dict[str, Any]] = field(default_factory=list)
    endpoints: list[str] = field(default_factory=list)
    token: Mapping[str, Any] = field(default_factory=dict, repr=False)


class RelyingParty:
    """One client at one provider, for one person at a time; ``members``: those of the file."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = members if "keys" in members else {**members, "keys": generate_keys()}
        self.set_up({})
        routes = [
            Route("/start", self.start),
            Route("/callback", self.callback, methods=["GET", "POST"]),
            Route("/logout", self.logout),
            Route("/logged-out", self.logged_out),
            Route("/session", self.session),
            Route("/result", self.result),
            Route("/register", self.register, methods=["POST"]),
            Route("/reset", self.reset, methods=["POST"]),
            Mount("/", self.client_routes),
        ]
        self._app = Starlette(routes=routes, exception_handlers={OAuthError: self.failed})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; sending the browser to the provider counts as a call too."""

        async def noting(message: Message) -> None:
            location = Headers(raw=message.get("headers", [])).get("location")
            if location is not None:
                self.run.endpoints.append(location)
            await send(message)

        await self._app(scope, receive, noting)

    # -- state -------------------------------------------------------------------------------

    def set_up(self, changes: Mapping[str, Any]) -> None:
        """Forget everything: no metadata, keys, registration or login of before survives.

        ``changes``: members that take the place of the file's. Where they are wrong, this raises
        ``ValueError``, ``TypeError``, ``OSError`` or ``OAuthError`` and changes nothing.
        """
        config = Config.read({**self._members, **changes})
        http = {"verify": config.tls(), "event_hooks": {"request": [self._record]}}
        kwargs = {"scope": config.scope, "token_placement": config.userinfo_by, **http}
        settings = {**config.settings, "client_kwargs": kwargs}
        oauth = OAuth(secret_key=secrets.token_urlsafe(), on_logout=self.on_logout)
        # Before it registers itself too: a provider may then ask for its keys at once.
        client = oauth.register(NAME, issuer=config.issuer or None, **settings)
        self.config, self.oauth, self._settings, self._http = config, oauth, settings, http
        self.run, self._names, self._ready = Run(), dict[str, str](), False
        self._use(client)

    def _use(self, client: StarletteClient) -> None:
        self.client = client
        self._client_routes = Router(client.routes(f"{self.config.base_url}/callback"))

    async def _record(self, request: httpx2.Request) -> None:
        self.run.endpoints.append(str(request.url))

    async def begin(self) -> None:
        """Make ready for a login: discover and register, unless that is done already."""
        if self.run.ok is not None:
            self.run = Run()
        if self._ready:
            return
        config, settings, client = self.config, self._settings, self.client
        issuer = config.issuer or await self.oauth.find_issuer(config.webfinger, **self._http)
        if config.dynamic:
            client = await self.oauth.register_dynamically(
                NAME,
                issuer,
                config.client_metadata,
                initial_access_token=config.initial_access_token or None,
                replace=True,
                **settings,
            )
        elif config.webfinger:
            client = self.oauth.register(NAME, replace=True, issuer=issuer, **settings)
        metadata = await client.load_server_metadata()
        self._names = {metadata[key]: ENDPOINTS[key] for key in ENDPOINTS if key in metadata}
        self._use(client)
        self._ready = True

    def on_logout(self, event: LogoutEvent) -> None:
        """End the one session there is: the suite puts the sid into a URL without escaping it."""
        self.run.token = {}
        self.run.logouts.append({"channel": event.channel, "sub": event.sub, "sid": event.sid})

    # -- pages -------------------------------------------------------------------------------

    async def start(self, request: Request) -> Response:
        await self.begin()
        return await self.client.authorize_redirect(request, f"{self.config.base_url}/callback")

    async def callback(self, request: Request) -> Response:
        run, client = self.run, self.client
        token = await client.authorize_access_token(request)
        run.token, run.claims = token, token.userinfo
        for act in self.config.acts:
            if act == "userinfo" and token.access_token is not None:
                run.userinfo = await client.userinfo(token)
            elif act == "claims":
                sourced = await client.resolve_claims(run.userinfo or {})
                run.sourced_claims = {name: vars(claim) for name, claim in sourced.items()}
            elif act == "refresh":
                run.token = token = await client.refresh_token(token)
        run.ok = True
        log.info("login accepted")
        return await (self.logout if "logout" in self.config.acts else self.result)(request)

    async def logout(self, request: Request) -> Response:
        id_token, self.run.token = self.run.token.get("id_token"), {}
        back = f"{self.config.base_url}/logged-out"
        return await self.client.logout_redirect(request, back, id_token)

    async def logged_out(self, request: Request) -> Response:
        await self.client.validate_logout_response(request)
        self.run.logouts.append({"channel": "rp"})
        return await self.result(request)

    async def session(self, request: Request) -> Response:
        """Watch the session at the provider (Session Management)."""
        query = urlencode({"session_state": self.run.token.get("session_state", "")})
        return HTMLResponse(SESSION_PAGE.format(query=query), headers=_NO_STORE)

    async def client_routes(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the library's own routes, those of the client there is at the moment."""
        if scope["path"] == "/initiate-login":
            await self.begin()
        await self._client_routes(scope, receive, send)

    async def failed(self, request: Request, exc: Exception) -> Response:
        """Remember the error and show its page; an answer in a fragment is none yet."""
        if isinstance(exc, OAuthError) and not isinstance(exc, FragmentAnswer):
            self.run.ok, self.run.error, self.run.description = False, exc.code, exc.description
        return await self.oauth.exception_handler(request, exc)

    # -- for who drives the tests ------------------------------------------------------------

    async def register(self, request: Request) -> Response:
        """Discover and register without a login, which another site may then begin."""
        await self.begin()
        return JSONResponse({"client_id": self.client.client_id})

    async def reset(self, request: Request) -> Response:
        """Begin anew, with the members of a JSON body in place of the file's."""
        body, old = await request.body(), self.oauth
        try:
            self.set_up(json.loads(body or "{}"))
        except (ValueError, TypeError, OSError, OAuthError) as exc:
            return JSONResponse({"error": str(exc)}, 400)
        await old.aclose()
        return JSONResponse({"ok": True})

    async def result(self, request: Request) -> Response:
        """Tell what came of the last login."""
        told = {name: value for name, value in vars(self.run).items() if name != "token"}
        told["endpoints"] = [self._name_of(url) for url in self.run.endpoints]
        return JSONResponse(told, headers=_NO_STORE)

    def _name_of(self, url: str) -> str:
        url = url.partition("?")[0]
        if "/.well-known/" in url:
            return "webfinger" if url.endswith("/webfinger") else "discovery"
        return self._names.get(url, url)
