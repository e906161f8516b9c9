"""Receiving requests: who it is, how a session begins and ends, what an error is answered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from posixpath import normpath
from typing import Any
from urllib.parse import unquote

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response

from reliant.client.token_family import Refresher
from reliant.errors import (
    ConfigurationError,
    IDTokenError,
    LoginRequired,
    OAuthError,
    StoreError,
    printable,
)
from reliant.login.challenge import challenge_response, kind_of
from reliant.login.kept_post import KeptPost, KeptPosts
from reliant.login.session import Session, User
from reliant.login.session_cookies import (
    cleared,
    cookie_name,
    faded,
    read_value,
    strays,
    written,
)
from reliant.login.vault import Vault
from reliant.login.visit import Visit
from reliant.protocol.authorization import scopes_of
from reliant.protocol.claims import UserInfo
from reliant.protocol.step_up import check_authentication
from reliant.protocol.token_endpoint import Token
from reliant.protocol.values import append_query, is_secure_url, origin_of
from reliant.providers.logout import LogoutAt, provider_logout_url
from reliant.starlette.browser_flow import BrowserFlow
from reliant.starlette.client import StarletteClient
from reliant.starlette.error_page import error_response
from reliant.starlette.logout_event import LogoutEvent
from reliant.starlette.oauth import OAuth
from reliant.starlette.requests import cookies_of, header_of
from reliant.starlette.transactions import TransactionStore
from reliant.storage.calls import call
from reliant.storage.cookie_sessions import CookieSessions
from reliant.storage.memory import MemoryStore
from reliant.storage.session_record import SessionRecord
from reliant.storage.sessions import RemoteSessions, Sessions, StoredSessions

__all__ = ["LoginSettings", "Reception", "note"]

log: logging.Logger = logging.getLogger("reliant")

MAX_LANDINGS = 4
OUR_PAGES = ("/login", "/callback", "/logout", "/logged-out", "/initiate-login")
JUST_NOW = 30.0  # seconds; who comes again so soon for the same page goes round in a circle
COOKIE_KEPT = 24 * 3600  # seconds a cookie outlives its session, to tell whose that was


@dataclass(frozen=True)
class LoginSettings:
    """What ``Login`` was given, as far as it is not a part of its own."""

    name: str
    lifetime: float
    base_url: str | None
    after_login: str
    after_logout: str
    allow_get_logout: bool
    logout_at: LogoutAt | None
    load_user: Callable[[UserInfo], Any] | None
    userinfo: bool


class Reception:
    """What middleware, routes and requirements of one login share."""

    def __init__(
        self,
        oauth: OAuth,
        settings: LoginSettings,
        sessions: Sessions,
        posts: KeptPosts,
        transactions: TransactionStore,
        vault: Vault | None,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.sessions = sessions
        self.posts = posts
        self.clock = clock
        self.prefix: str | None = None  # where the routes are
        self.guarded: list[tuple[object, object]] = []  # endpoints, and what asks before them
        self._oauth = oauth
        self._transactions = transactions
        self._vault = vault
        self._refresher = Refresher(lambda: self.client, clock)
        self._cookie = cookie_name(settings.name)
        self._key = f"reliant.login.{settings.name}"
        self._warned: set[str] = set()

    @property
    def client(self) -> StarletteClient:
        """The registered client; raises ``ConfigurationError`` where there is none."""
        name = self.settings.name
        client = self._oauth.create_client(name)
        if client is None:
            raise ConfigurationError(
                description=f"There is no client {name!r}: register it before the first request.",
                code="configuration.client_unknown",
            )
        if "openid" not in _scopes_asked(client):
            raise ConfigurationError(
                description=f"Login needs an ID Token: add openid to the scope of {name!r}.",
                code="configuration.openid",
            )
        return client

    @property
    def flow(self) -> BrowserFlow:
        """The way through the browser, with transactions of the login's own."""
        return BrowserFlow(self.client, self._transactions)

    # -- a request comes in ------------------------------------------------------------------

    def new_visit(self, connection: HTTPConnection) -> Visit:
        """What a request has to do with the login, before the session is looked for."""
        present = cookies_of(connection)
        visit = Visit(
            connection,
            self.settings.base_url,
            f"{connection.scope.get('root_path', '')}{self.prefix or ''}",
            present,
            read_value(present, self._cookie),
        )
        connection.scope[self._key] = visit
        return visit

    def visit(self, connection: HTTPConnection) -> Visit:
        """The visit that the middleware began; raises ``ConfigurationError`` where it did not."""
        visit = connection.scope.get(self._key)
        if not isinstance(visit, Visit):
            raise ConfigurationError(
                description="The middleware of Login is missing: add middleware="
                "[auth.middleware()] to the application.",
                code="configuration.middleware",
            )
        return visit

    async def recognise(self, visit: Visit) -> None:
        """Find out who it is; raises ``StoreError`` where that can't be told."""
        if visit.value is None:
            return
        family = await self.sessions.find(visit.value, lambda: not visit.answered)
        if family is None:
            self._tell_of_strangers(visit.value)
            return
        if family.outline.vault is not None and self._vault is not None:
            family.record = await self._vault.refreshed(family.record)
            if family.outline.expires_at <= self.clock():
                await family.end()
                return
        session = Session(family, self._refresher, self._vault)
        user = await self._user(session.outline.person())
        if user is None:  # the application does not know them any more
            await family.end()
            visit.cookies += faded(self._cookie, visit.value, visit.present)
            return
        visit.session, visit.user = session, user

    def _tell_of_strangers(self, value: str) -> None:
        """Say in the log what makes people go in circles where workers know not the same."""
        if isinstance(self.sessions, CookieSessions) and "~" not in value:
            return  # what is left of a session that was ended here
        if self.sessions.mark_of(value) is None:
            self._warn_once("a session cookie is none of ours: it was made with another secret_key "
                            "(all workers need the same, and the same at each start), or by a "
                            "stranger")  # fmt: skip
        elif isinstance(self.sessions, StoredSessions) and isinstance(
            self.sessions.store, MemoryStore
        ):
            self._warn_once("a session is not in this process's MemoryStore: it has ended, or "
                            "another process has it; several workers need a RedisStore, or "
                            "none")  # fmt: skip

    def _warn_once(self, text: str, *values: object) -> None:
        if text not in self._warned:
            self._warned.add(text)
            log.warning(text, *values)

    async def _user(self, claims: UserInfo) -> Any:
        if self.settings.load_user is None:
            return User(claims)
        return await call(self.settings.load_user, claims)

    # -- sessions begin and end --------------------------------------------------------------

    def redirect_uri(self, request: Request) -> str:
        """The address of the callback, as it must be registered at the provider."""
        uri = self.address(request, "callback")
        if not is_secure_url(uri):
            self._warn_once("the redirect_uri is %s, and over http browsers keep no session "
                            "cookie: let the server trust the forwarded headers of its proxy, or "
                            "set Login(base_url=...)", printable(uri, 200))  # fmt: skip
        return uri

    def address(self, request: Request, name: str) -> str:
        """The whole address of a route."""
        visit = self.visit(request)
        if visit.origin is None:
            raise ConfigurationError(
                description="The request has no Host header, so the callback's address can't be "
                "told: set Login(base_url=...).",
                code="configuration.base_url",
            )
        return f"{visit.origin}{visit.base}/{name}"

    async def begin_session(
        self, visit: Visit, token: Token, landing: tuple[str, str], begun: float
    ) -> None:
        """Begin a session under a new secret, in the place of the one this browser had.

        ``landing``: a digest of the login's state, and the path it leads to; ``begun``: when the
        callback came, by ``sessions.time``. Raises ``OAuthError`` with ``login.refused`` where the
        app's ``load_user`` knows no such user, ``StoreError`` with ``login.not_stored``,
        ``IDTokenError`` with ``id_token.session_expiry``, ``LoginRequired`` where it was ended
        meanwhile.
        """
        old, now = visit.session, self.clock()
        kept = {name: token[name] for name in token if name not in ("return_to", "data")}
        kept["obtained_at"] = int(now)
        # A provider may leave out what it granted as it was asked (RFC 6749 section 5.1).
        kept.setdefault("scope", " ".join(_scopes_asked(self.client)))
        before = () if old is None else old.outline.landings
        profile: Mapping[str, Any] = {}
        if self.settings.userinfo:  # with the token as it came: refreshing is the family's
            own = ("refresh_token", "expires_at")
            profile = await self.client.userinfo({k: kept[k] for k in kept if k not in own})
        record = SessionRecord(
            token=Token(kept),
            created_at=begun,
            latest_end=now + self.settings.lifetime,
            profile=profile,
            landings=(landing, *before)[:MAX_LANDINGS],
        )
        if record.expires_at <= now:
            raise IDTokenError(
                description='The "session_expiry" of the ID Token is no time to come: the '
                "provider's own session is over. Log in again.",
                code="id_token.session_expiry",
            )
        if await self._user(record.person()) is None:
            who = printable(f"{record.claims['iss']} {record.claims['sub']}", 500)
            log.warning("load_user returned None for %s", who)
            raise OAuthError(
                "access_denied",
                "You have logged in at the provider, but this site knows no such user.",
                code="login.refused",
                status_hint=403,
            )
        await self._store(visit, record)
        if visit.value is not None:
            try:
                await self.sessions.delete(visit.value)
            except StoreError:
                log.warning("session %s replaces one that was not deleted; it runs out", record.id)
        visit.session = None

    async def _store(self, visit: Visit, record: SessionRecord) -> None:
        try:
            value = await self.sessions.create(record)
        except StoreError as exc:
            raise _not_stored() from exc
        visit.cookies += self._cookies(visit, value, record, begins=True)

    async def begins(self) -> float:
        """When a login begins that a callback brings, for ``begin_session``.

        Asked before all else, so that a store that is away uses up no login. Raises ``StoreError``
        with ``login.not_stored``.
        """
        try:
            return await self.sessions.time()
        except StoreError as exc:
            raise _not_stored() from exc

    def last_session(self, visit: Visit) -> str | None:
        """What stands for the session that this browser has, or had; None where it had none."""
        return None if visit.value is None else self.sessions.mark_of(visit.value)

    async def end_session(self, visit: Visit) -> SessionRecord | None:
        """End the session of a request, here and in the browser; return what lay there last."""
        last = None if visit.value is None else await self.sessions.delete(visit.value)
        session, visit.session, visit.over = visit.session, None, True
        return last if last is not None or session is None else session.family.record

    async def provider_logout(self, event: LogoutEvent) -> None:
        """End what the provider says is over, then tell the app's own hook."""
        visit = self.visit(event.request)
        own = visit.session
        if own is not None and event.channel == "front" and _is_about(event, own):
            await self.end_session(visit)
        is_named = event.sid is not None or event.sub is not None
        if is_named and (isinstance(self.sessions, RemoteSessions) or not visit.over):
            proven = event.channel == "back"
            await self.end_from_afar(event.iss, sid=event.sid, sub=event.sub, proven=proven)
        hook = self.client.settings.on_logout
        if hook is not None:
            await call(hook, event)

    async def end_from_afar(
        self, iss: str, *, sid: str | None = None, sub: str | None = None, proven: bool = True
    ) -> None:
        """End sessions as ``RemoteSessions.end`` does; ``ConfigurationError`` where none can be."""
        if not isinstance(self.sessions, RemoteSessions):
            raise ConfigurationError(
                description="Sessions that live in cookies alone can't be ended from afar: use "
                "Login(store=...), or give it revocations=.",
                code="configuration.revocations",
            )
        await self.sessions.end(iss, sid=sid, sub=sub, proven=proven)

    async def logout_at_provider(
        self, request: Request, last: SessionRecord | None
    ) -> Response | None:
        """A redirect that ends the provider's session too; None where it has no such thing."""
        client, back = self.client, self.address(request, "logged-out")
        metadata = await client.load_server_metadata()
        if self.settings.logout_at is not None:
            url = provider_logout_url(self.settings.logout_at, metadata, client.client_id, back)
            return RedirectResponse(url, 303, headers={"cache-control": "no-store"})
        if metadata.endpoint("end_session_endpoint") is None:
            return None
        hint = None if last is None else last.token.id_token
        # With the client's id: the key that signed an ID Token of yesterday may be gone.
        response = await self.flow.begin_logout(request, back, hint, client_id=client.client_id)
        response.status_code = 303
        return response

    async def revoke(self, record: SessionRecord) -> None:
        """Give the tokens of an ended session back, if the provider takes them (RFC 7009)."""
        if record.vault is not None:
            return  # they are another's now
        try:
            metadata = await self.client.load_server_metadata()
            if metadata.endpoint("revocation_endpoint") is not None:
                await self.client.revoke_token(record.token)
        except OAuthError as exc:
            log.warning("session %s: its tokens were not revoked: code=%s", record.id,
                        exc.code)  # fmt: skip

    # -- answers -----------------------------------------------------------------------------

    def cookies_due(self, visit: Visit) -> list[str]:
        """Set-Cookie values for the answer to a request."""
        session, present = visit.session, visit.present
        if visit.over:
            return [*cleared(self._cookie, present), *visit.cookies]
        if session is None or visit.value is None:
            return visit.cookies
        if session.family.over:
            return [*faded(self._cookie, visit.value, present), *visit.cookies]
        value = _renewed(session)
        if value is None:
            return [*strays(self._cookie, visit.value, present), *visit.cookies]
        return [*self._cookies(visit, value, session.outline, begins=False), *visit.cookies]

    def _cookies(
        self, visit: Visit, value: str, record: SessionRecord, *, begins: bool
    ) -> list[str]:
        max_age = int(record.expires_at - self.clock()) + COOKIE_KEPT
        return written(self._cookie, value, max_age, visit.present, begins=begins)

    def is_asked(self, error: LoginRequired) -> bool:
        """Tell whether it is this login that is needed, and not another one of the app."""
        return error.client_name in (None, self.settings.name)

    async def answer(self, visit: Visit, error: OAuthError) -> Response:
        """What a request is answered with that ended in an error."""
        try:
            if isinstance(error, LoginRequired):
                return await self._challenge(visit, error)
        except OAuthError as exc:
            error = exc
        note(error)
        return error_response(visit.connection, error, self._try_again(visit, error))

    def _try_again(self, visit: Visit, error: OAuthError) -> str:
        """Where an error page leads on to."""
        reads = visit.connection.scope.get("method") in ("GET", "HEAD")
        here = visit.path if reads else visit.page
        login, return_to = f"{visit.base}/login", visit.return_to
        if isinstance(error, StoreError):
            return here or login
        if error.code == "logout.cross_site":
            return here or self.settings.after_logout
        if error.code == "session.scope":
            return_to = here
        # The provider knows who it is, and would not ask who else it may be.
        other = "login" if error.code in ("login.refused", "session.scope") else None
        return append_query(login, {"return_to": return_to, "prompt": other})

    def login_path(self, visit: Visit, **parameters: Any) -> str:
        """The path of the login route; parameters that are None are left out."""
        if self.prefix is None:
            raise ConfigurationError(
                description='The routes of Login are missing: add auth.routes("/auth") to the '
                "application's routes.",
                code="configuration.routes",
            )
        return append_query(f"{visit.base}/login", parameters)

    async def _challenge(self, visit: Visit, error: LoginRequired) -> Response:
        connection = visit.connection
        if kind_of(connection) != "page":
            return_to = visit.page
        elif connection.scope.get("method") in ("GET", "HEAD"):
            return_to = visit.path
        else:
            return_to = f"{visit.base}/resume" if await self._keep_post(visit) else visit.page
        return_to = self.landing(visit, return_to)
        self._check_circle(visit, return_to, error)
        login = self.login_path(
            visit, return_to=return_to, acr_values=error.acr_values, max_age=error.max_age
        )
        return challenge_response(connection, error, login)

    def landing(self, visit: Visit, path: str | None) -> str | None:
        """The path if a login may lead there: of our own routes to the one that sends a form."""
        plain = normpath(unquote((path or "").partition("?")[0].partition("#")[0]))
        return None if plain in [f"{visit.base}{page}" for page in OUR_PAGES] else path

    def _check_circle(self, visit: Visit, return_to: str | None, error: LoginRequired) -> None:
        """Refuse to begin a login that has just been made for this very page, and did not help."""
        record = None if visit.session is None else visit.session.outline
        if record is None or [path for _, path in record.landings[:1]] != [return_to]:
            return
        now = self.clock()
        if abs(now - record.created_at) > JUST_NOW:
            return
        try:
            check_authentication(record.claims, error.acr_values, error.max_age, now)
        except LoginRequired:
            return  # this one can help
        raise OAuthError(
            "access_denied",
            "You have just logged in for this page, and it asks for a login again. Another one "
            f"would not help: what it needs is more than a login gives (code: {error.code}).",
            code="login.circle",
            status_hint=403,
        ) from error

    async def _keep_post(self, visit: Visit) -> bool:
        """Keep a form that a page of this site posted in a session that was ours."""
        mark = self.last_session(visit)
        if visit.form is None or mark is None or not visit.is_from_here or visit.path is None:
            return False
        post = KeptPost(visit.path, visit.form, self.sessions.trace_of(visit.value or ""))
        cookies = await self.posts.keep(post, mark, visit.present)
        visit.cookies += cookies or []
        return cookies is not None


def _renewed(session: Session) -> str | None:
    try:
        return session.family.renewed()
    except OAuthError as exc:  # too large: the browser goes on with what it has
        log.warning("session %s: the browser does not get its new tokens: code=%s",
                    session.outline.id, exc.code)  # fmt: skip
        return None


def _not_stored() -> StoreError:
    return StoreError(
        description="A login could not be kept, for the store does not answer. Check that its "
        "server runs and that this machine reaches it.",
        code="login.not_stored",
    )


def note(error: OAuthError) -> None:
    """Let the log have an error that a request ended in."""
    if error.client_name is None:  # a login or logout has logged its failure itself
        log.warning("request failed: code=%s error=%s: %s", error.code, error.error,
                    printable(error.description, 500))  # fmt: skip


def _scopes_asked(client: StarletteClient) -> list[str]:
    settings = client.settings
    return scopes_of(settings.authorize_params.get("scope", settings.scope))


def _is_about(event: LogoutEvent, own: Session) -> bool:
    """Tell whether a front-channel logout means the session of the browser that brings it."""
    if event.sid is not None:
        return event.sid == own.sid
    # A link or a frame can lead here from anywhere, and logs no one out: that is what /logout wants
    # a POST for. It does in a frame of the provider's page.
    page = header_of(event.request, "referer") or ""
    in_frame = header_of(event.request, "sec-fetch-dest") == "iframe"
    return in_frame and origin_of(page) is not None and origin_of(page) == origin_of(event.iss)
