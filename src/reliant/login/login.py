"""Login: people stay logged in, on any number of workers, until they or the provider end it."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Secret
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.routing import Mount

from reliant.client.token_family import Wanted
from reliant.client.uninterrupted import finished
from reliant.errors import ConfigurationError, LoginRequired, StoreError, printable
from reliant.login.challenge import NOBODY, asking
from reliant.login.http import SessionAuth
from reliant.login.kept_post import KeptPosts
from reliant.login.middleware import LoginMiddleware
from reliant.login.reception import LoginSettings, Reception
from reliant.login.required import Required
from reliant.login.routes import login_routes
from reliant.login.session import Session
from reliant.login.session_cookies import cookie_name
from reliant.login.setup import check_order, check_parts
from reliant.login.vault import Vault
from reliant.protocol.authorization import scopes_of
from reliant.protocol.claims import UserInfo
from reliant.protocol.transaction import LOGIN_LIFETIME
from reliant.protocol.values import is_local_path, is_secure_url, origin_of
from reliant.providers.logout import LOGOUTS, LogoutAt
from reliant.starlette.oauth import OAuth, read_secrets
from reliant.starlette.transactions import CookieStore
from reliant.storage.cookie_sessions import CookieSessions, IndexedCookieSessions
from reliant.storage.replay import ReplayGuard
from reliant.storage.safe import Safe
from reliant.storage.sessions import Sessions, StoredSessions
from reliant.storage.store import Store

__all__ = ["Login"]

log: logging.Logger = logging.getLogger("reliant")

IDLE, LIFETIME = 2 * 3600, 24 * 3600  # seconds
SHUTDOWN = 10.0  # seconds for what is still to be kept when the app stops
SHORTEST_SECRET = 32  # characters; less can be guessed by whoever has a cookie


class Login:
    """Login sessions for an app: middleware, routes, and what endpoints ask of them.

    ``oauth``: the registry; ``client``: the name of an OpenID Connect client registered there, also
    later; ``secret_key``: encrypts what is kept; a list accepts old keys after the newest;
    ``store``: where sessions live, ``MemoryStore`` or ``RedisStore``, by default encrypted in the
    browser's cookies; ``revocations``: with cookies, a store for the small index of sessions that
    were ended from afar; ``idle``: seconds without a request after which a session ends;
    ``lifetime``: seconds after which it ends in any case; ``load_user``: a hook, sync or async,
    from claims to the app's own user, which is ``request.user`` then; None where there is none;
    ``userinfo``: ask the UserInfo endpoint at each login, for claims that the ID Token lacks;
    ``base_url``: the site's own origin, where the Host header does not tell; ``after_login``,
    ``after_logout``: paths to go on to; ``allow_get_logout``: whether a link logs out;
    ``logout_at``: "auth0" or "cognito", for their ways of logout; ``clock``: a function returning
    Unix time, for tests. Raises ``ConfigurationError``.
    """

    def __init__(
        self,
        oauth: OAuth,
        client: str,
        *,
        secret_key: str | bytes | Secret | Sequence[str | bytes | Secret],
        store: Store | None = None,
        revocations: Store | None = None,
        idle: float = IDLE,
        lifetime: float = LIFETIME,
        load_user: Callable[[UserInfo], Any] | None = None,
        userinfo: bool = False,
        base_url: str | None = None,
        after_login: str = "/",
        after_logout: str = "/",
        allow_get_logout: bool = False,
        logout_at: LogoutAt | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(client, str):
            raise _error("client", 'The client is its name: Login(oauth, "op", ...).')
        secrets = read_secrets(secret_key)
        if min(map(len, secrets)) < SHORTEST_SECRET:
            log.warning("a secret_key of Login is short, and can be guessed from a cookie; make "
                        "one with secrets.token_urlsafe(32)")  # fmt: skip
        _check(store, revocations, idle, lifetime, base_url, (after_login, after_logout), logout_at)
        self._oauth = oauth
        self._store = shared = store or revocations
        sessions: Sessions
        if store is not None:
            sessions = StoredSessions(store, secrets, client, idle, clock)
        elif revocations is not None:
            sessions = IndexedCookieSessions(revocations, secrets, client, idle, lifetime, clock)
        else:
            sessions = CookieSessions(secrets, client, idle, clock)
        posts = None if shared is None else Safe(shared, secrets, f"post {client}")
        self._vault: Vault | None = None
        if shared is not None:
            safe = Safe(shared, secrets, f"vault {client}")
            self._vault = Vault(safe, lambda: self._reception.client, clock)
        self._reception = Reception(
            oauth,
            LoginSettings(
                name=client,
                lifetime=lifetime,
                base_url=base_url and _origin(base_url),
                after_login=after_login,
                after_logout=after_logout,
                allow_get_logout=allow_get_logout,
                logout_at=logout_at,
                load_user=load_user,
                userinfo=userinfo,
            ),
            sessions,
            KeptPosts(cookie_name(client, "post"), secrets, posts, LOGIN_LIFETIME, clock),
            CookieStore(secrets, LOGIN_LIFETIME, shared, clock),
            self._vault,
            clock,
        )
        self._guard = None if shared is None else ReplayGuard(shared, clock)

    # -- what the app is made of -------------------------------------------------------------

    def middleware(self) -> Middleware:
        """The middleware that knows who is logged in: ``Starlette(middleware=[...])``."""
        return Middleware(LoginMiddleware, reception=self._reception)

    def routes(self, prefix: str) -> Mount:
        """The routes of the login: ``Starlette(routes=[..., auth.routes("/auth")])``.

        ``/login``, ``/callback`` (the redirect URI to register at the provider), ``/logout`` and
        ``/logged-out`` (the post-logout redirect URI), ``/resume``, and the routes of
        ``client.routes()``, with the back-channel and front-channel logout plugged in.
        """
        self._reception.prefix = prefix.rstrip("/")
        return Mount(prefix, routes=login_routes(self._reception, self._guard))

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """A lifespan for the app: checks the set-up, and closes the connections at the end."""
        _ = self._reception.client
        if app is not None:
            check_order(app, self._reception.guarded)
            check_parts(app, self._reception.prefix, LoginMiddleware)
        try:
            await self._look_at_the_store()
            async with self._oauth:
                try:
                    yield
                finally:
                    await finished(SHUTDOWN)  # a refresh under way would lose its login
        finally:
            if self._store is not None:
                await self._store.aclose()

    async def _look_at_the_store(self) -> None:
        if self._store is not None:
            try:
                await self._store.time()
            except StoreError as exc:
                log.warning("the store of the login sessions does not answer: %s",
                            printable(str(exc.__cause__ or exc), 200))  # fmt: skip

    # -- what endpoints ask ------------------------------------------------------------------

    def required(
        self,
        *scopes: str,
        acr_values: str | Sequence[str] | None = None,
        max_age: int | None = None,
        preserve_post: bool = False,
    ) -> Required:
        """Require a login: ``@auth.required()``, or ``Depends(auth.required(...).user)``.

        Who is not logged in is led through a login and back, or told to in the way that a script,
        htmx or a WebSocket understands. ``scopes``: those the login must have been granted, or the
        answer is 403; ``acr_values``: contexts of authentication, one of which the login must have;
        ``max_age``: seconds since the person proved who they are (both lead through a stronger
        login, RFC 9470); ``preserve_post``: keep a posted form through a login, and send it after.
        """
        if any(not isinstance(scope, str) for scope in scopes):
            raise TypeError(
                'Write @auth.required(), with parentheses; scopes are texts: @auth.required("x").'
            )
        values = " ".join(scopes_of(acr_values)) or None
        return Required(self._reception, scopes, values, max_age, preserve_post)

    async def user(self, connection: HTTPConnection) -> Any:
        """Who is logged in: for FastAPI, ``Annotated[User, Depends(auth.user)]``.

        Raises ``LoginRequired`` where nobody is, which leads through a login and back.
        """
        return await self.required().user(connection)

    def session(self, connection: HTTPConnection) -> Session:
        """The session of a request; raises ``LoginRequired`` where there is none."""
        visit = self._reception.visit(connection)
        visit.personal = True
        with asking(self._reception.settings.name):
            if visit.session is None:
                raise LoginRequired(description=NOBODY)
        return visit.session

    def http(
        self,
        connection: HTTPConnection,
        *,
        resource: str | None = None,
        audience: str | None = None,
        scope: str | None = None,
    ) -> SessionAuth:
        """Authentication for API calls: ``await client.get(url, auth=auth.http(request))``.

        ``resource``, ``audience``, ``scope``: which access token, as for ``Session.token``. The
        token goes to the origin of ``api_base_url`` and of ``resource`` only. Raises
        ``LoginRequired`` where nobody is logged in.
        """
        base = self._reception.client.settings.api_base_url
        return SessionAuth(self.session(connection), Wanted(resource, audience, scope), base)

    @property
    def vault(self) -> Vault:
        """Tokens for background jobs; raises ``ConfigurationError`` where there is no store."""
        if self._vault is None:
            raise ConfigurationError(
                description="The vault needs a store: Login(store=RedisStore.from_url(...)).",
                code="configuration.vault",
            )
        return self._vault

    async def logout_everywhere(self, iss: str, sub: str) -> None:
        """End all sessions of a person, on every worker and device, from the next request on.

        Raises ``ConfigurationError`` for sessions in cookies without ``revocations``,
        ``StoreError``.
        """
        await self._reception.end_from_afar(iss, sub=sub)


def _check(
    store: Store | None,
    revocations: Store | None,
    idle: float,
    lifetime: float,
    base_url: str | None,
    paths: Sequence[str],
    logout_at: LogoutAt | None,
) -> None:
    if store is not None and revocations is not None:
        raise _error("revocations", "revocations= is for sessions in cookies; those in a store end "
                     "there.")  # fmt: skip
    for place in (store, revocations):
        if place is not None and (isinstance(place, type) or not hasattr(place, "getdel")):
            raise _error("store", "A store is an object: MemoryStore(), or for an address "
                         "RedisStore.from_url(\"redis://…\").")  # fmt: skip
    if not 0 < idle <= lifetime < inf:
        raise _error("lifetime", "idle and lifetime are seconds, and idle the smaller one.")
    if base_url is not None and not (
        is_secure_url(base_url) and urlsplit(base_url)[2:] in (("", "", ""), ("/", "", ""))
    ):
        raise _error("base_url", "base_url is the https origin of the site, without a path: "
                     "https://app.example.")  # fmt: skip
    if not all(map(is_local_path, paths)):
        raise _error("path", "after_login and after_logout are paths of this site.")
    if logout_at is not None and logout_at not in LOGOUTS:
        raise _error("logout_at", f"logout_at is one of {', '.join(LOGOUTS)}.")


def _origin(url: str) -> str:
    """An origin as browsers write it."""
    scheme, host, port = origin_of(url) or ("", "", 0)
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if port in (80, 443) else f"{scheme}://{host}:{port}"


def _error(rule: str, description: str) -> ConfigurationError:
    return ConfigurationError(description=description, code=f"configuration.{rule}")
