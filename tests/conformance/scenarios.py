"""What happens in a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

import httpx2
from starlette.applications import Starlette

from reliant import OAuthError
from reliant.testing import FakeProvider
from tests.conformance.relying_party import (
    DOCUMENTS,
    LOGGED_OUT_URI,
    ROUTES,
    RelyingParty,
    Visitor,
    tags,
)
from tests.conformance.setups import CLIENT_ID, CLIENT_SECRET, Setup

__all__ = ["Run"]

_ACCOUNTS = {
    "oidc.disc.webfinger_url": "https://op.example/reliant/oidcc-client-test",
}


class Run:
    """A provider, an RP registered there, a visitor, and what they went through."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.provider: FakeProvider = setup.provider()
        self.rp = RelyingParty()
        self.page: httpx2.Response | None = None
        self.logout_pages: list[httpx2.Response] = []
        self.visitor: Visitor

    async def play(self) -> None:
        """Register and play the scenario; what the RP refuses is in ``rp.errors``."""
        try:
            await self._register()
        except OAuthError as exc:
            self.rp.errors.append(exc)
            return
        app = self.rp.app()
        self.provider.client_transport = httpx2.ASGITransport(app)
        self.visitor = Visitor(self.rp, self.provider)
        self.rp.params = self.setup.params
        if self.setup.warm_keys:
            await self.rp.client.fetch_jwk_set()
        await _SCENARIOS[self.setup.scenario](self)

    async def _register(self) -> None:
        setup, oauth = self.setup, self.rp.oauth
        issuer = self.provider.issuer
        if setup.scenario == "webfinger":
            account = _ACCOUNTS.get(setup.case.row["id"], "acct:reliant.test@op.example")
            issuer = await oauth.find_issuer(account, transport=self.provider.transport)
        settings = setup.client_settings(self.provider.transport)
        metadata = setup.client_metadata()
        if setup.case.dynamic:
            self.provider.client_transport = httpx2.ASGITransport(Starlette(routes=DOCUMENTS))
            await oauth.register_dynamically("op", issuer, metadata, **settings)
            return
        secret = CLIENT_SECRET if "secret" in setup.case.client_auth else None
        self.provider.add_client(CLIENT_ID, secret, **metadata)
        oauth.register("op", client_id=CLIENT_ID, client_secret=secret, issuer=issuer, **settings)

    async def login(self) -> None:
        """One login, with UserInfo where there is an access token."""
        self.page = await self.visitor.log_in()

    async def two_logins(self) -> None:
        """Two logins, the provider's keys replaced between them."""
        await self.login()
        self.provider.rotate_keys()
        await self.login()

    async def third_party(self) -> None:
        """A login that the provider begins."""
        self.page = await self.visitor.log_in(
            self.provider.initiate_login_url(self.rp.client.client_id)
        )

    async def refresh(self) -> None:
        """A login, then a refresh that may go wrong, then UserInfo with the new token."""
        await self.login()
        assert self.rp.token is not None, self.rp.errors
        self.provider.requests.clear()
        for name, value in self.setup.refresh_faults.items():
            self.provider.fault(name, value)
        self.before_refresh = dict(self.rp.token)
        try:
            self.rp.token = await self.rp.client.refresh_token(self.rp.token)
            await self.rp.fetch_userinfo()
        except OAuthError as exc:
            self.rp.errors.append(exc)

    async def logout(self) -> None:
        """A login, then a logout through the provider, and back."""
        await self.login()
        assert self.rp.token is not None, self.rp.errors
        where = await self.visitor.log_out()
        for frame in self.visitor.at_provider.frames:
            self.logout_pages.append(await self.visitor.open(frame, cross_site=True))
        assert where.startswith(LOGGED_OUT_URI), where
        self.page = await self.visitor.open(where)

    async def replay(self) -> None:
        """A logout whose logout token comes a second time."""
        await self.logout()
        form = dict(self.provider.logout_calls[-1].form)
        self.logout_pages.append(await self.visitor.open(f"{ROUTES}/backchannel-logout", form))

    async def front_channel_from_provider(self) -> None:
        """A login, then a logout that begins at the provider."""
        await self.login()
        for frame in await self.provider.end_sessions("alice"):
            self.logout_pages.append(await self.visitor.open(frame, cross_site=True))

    async def session_management(self) -> None:
        """A login, the page that watches the session, a logout. (tests/browser has its scripts.)"""
        await self.login()
        assert self.rp.token is not None, self.rp.errors
        state = quote(self.rp.token["session_state"], safe="")
        self.page = await self.visitor.open(f"{ROUTES}/check-session?session_state={state}")
        (frame,) = tags(self.page.text, "iframe")
        async with httpx2.AsyncClient(transport=self.provider.transport) as client:
            answer = await client.get(str(frame["src"]))
        assert answer.status_code == 200
        await self.visitor.log_out()

    def count(self, endpoint: str) -> int:
        """How many requests reached an endpoint."""
        return self.provider.count(endpoint)

    def endpoints(self) -> list[str]:
        """The endpoints in the order they were called."""
        return [request.endpoint for request in self.provider.requests]


_SCENARIOS: dict[str, Callable[[Run], Awaitable[None]]] = {
    "login": Run.login,
    "webfinger": Run.login,
    "two_logins": Run.two_logins,
    "third_party": Run.third_party,
    "refresh": Run.refresh,
    "logout": Run.logout,
    "back_channel": Run.logout,
    "front_channel": Run.logout,
    "front_channel_from_provider": Run.front_channel_from_provider,
    "replay": Run.replay,
    "session_management": Run.session_management,
}
