"""``FakeProvider``: the provider as a test holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx2
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from reliant.testing.app import build_app
from reliant.testing.behaviour import Behaviour
from reliant.testing.browser import Browser, Callback
from reliant.testing.faults import ActiveFault
from reliant.testing.keys import KeyRing
from reliant.testing.logout import front_channel_urls, tell_clients
from reliant.testing.messages import ReceivedRequest
from reliant.testing.model import Client, LogoutCall, Model
from reliant.testing.transport import InProcessTransport

__all__ = ["FakeProvider"]

_DEFAULT_CLIENT = Client(
    "fake-client", "fake-secret-long-enough-for-any-HMAC-of-a-JWT-in-a-test-0123456"
)


class FakeProvider:
    """An OpenID Provider for tests: an ASGI application with real signatures, all in memory.

    ``issuer``: its identifier and the address its endpoints lie below; give the real address when
    a server runs it. ``clients``: the registered clients; without them there is one that may use
    any redirect URI. ``users``: claims by user name; any other name gets made-up ones.
    ``signing_alg``: how ID Tokens are signed. ``behaviour``: see ``Behaviour``.
    ``client_transport``: an httpx2 transport over which the provider reaches its clients: their
    key sets, request objects and back-channel logout.

    Never let strangers reach it: anyone signs in as anyone.
    """

    def __init__(
        self,
        issuer: str = "https://op.example",
        *,
        clients: Iterable[Client] | None = None,
        users: Mapping[str, Mapping[str, Any]] | None = None,
        signing_alg: str = "RS256",
        behaviour: Behaviour | None = None,
        client_transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        behaviour = behaviour or Behaviour()
        known = [_DEFAULT_CLIENT] if clients is None else clients
        self._model = Model(
            issuer=issuer,
            signing_alg=signing_alg,
            keys=KeyRing(signing_alg, behaviour.mixed_keys),
            behaviour=behaviour,
            clients={client.client_id: client for client in known},
            users=dict(users or {}),
            client_transport=client_transport,
        )
        self.issuer = issuer
        self.app: Starlette = build_app(self._model)
        self.transport: InProcessTransport = InProcessTransport(self.app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        await self.app(scope, receive, send)

    @property
    def server_metadata_url(self) -> str:
        """The address of the provider metadata."""
        return self._model.url(".well-known/openid-configuration")

    @property
    def behaviour(self) -> Behaviour:
        """How the provider behaves when nothing is wrong; change it at any time."""
        return self._model.behaviour

    @property
    def users(self) -> dict[str, Mapping[str, Any]]:
        """Claims by user name."""
        return self._model.users

    @property
    def clients(self) -> dict[str, Client]:
        """Registered clients by ``client_id``."""
        return self._model.clients

    @property
    def keys(self) -> KeyRing:
        """The signing keys and what the JWK Set publishes."""
        return self._model.keys

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Every request received, the oldest first."""
        return self._model.requests

    @property
    def violations(self) -> list[str]:
        """What was wrong with requests that were served all the same, the oldest first.

        Each begins with the name of its rule, as ``authorize.nonce: ...``.
        """
        return self._model.violations

    @property
    def logout_calls(self) -> list[LogoutCall]:
        """Every back-channel logout that was sent, with the client's answer."""
        return self._model.logout_calls

    @property
    def client_transport(self) -> httpx2.AsyncBaseTransport | None:
        """The transport over which the provider reaches its clients."""
        return self._model.client_transport

    @client_transport.setter
    def client_transport(self, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._model.client_transport = transport

    @property
    def clock(self) -> Callable[[], float]:
        """What tells the provider the time; set it to move the time."""
        return self._model.clock

    @clock.setter
    def clock(self, clock: Callable[[], float]) -> None:
        self._model.clock = clock

    def add_client(
        self,
        client_id: str,
        client_secret: str | None = None,
        *,
        redirect_uris: Iterable[str] | None = None,
        post_logout_redirect_uris: Iterable[str] | None = None,
        token_endpoint_auth_method: str | None = None,
        **metadata: Any,
    ) -> Client:
        """Register a client.

        ``client_secret``: None makes it a public client, which must use PKCE.
        ``redirect_uris``, ``post_logout_redirect_uris``: None accepts any address.
        ``token_endpoint_auth_method``: None accepts every method the secret allows.
        ``metadata``: further client metadata, ``jwks`` and ``backchannel_logout_uri`` for example.
        Returns the client.
        """
        client = Client(
            client_id,
            client_secret,
            None if redirect_uris is None else tuple(redirect_uris),
            None if post_logout_redirect_uris is None else tuple(post_logout_redirect_uris),
            token_endpoint_auth_method,
            metadata,
        )
        self.clients[client_id] = client
        return client

    def register_settings(
        self, client_id: str | None = None, *, scope: str = "openid profile email"
    ) -> dict[str, Any]:
        """The keyword arguments with which ``OAuth.register`` reaches this provider in-process.

        ``client_id``: whose, by default the first client's. ``scope``: what logins ask for.
        Returns a new dict; raises ``KeyError`` for a client that is not registered.
        """
        client = self.clients[client_id or next(iter(self.clients))]
        settings: dict[str, Any] = {
            "client_id": client.client_id,
            "server_metadata_url": self.server_metadata_url,
            "client_kwargs": {"scope": scope, "transport": self.transport},
        }
        if client.client_secret is not None:
            settings["client_secret"] = client.client_secret
        return settings

    def browser(self) -> Browser:
        """A new browser; it stays signed in at the provider from one visit to the next."""
        return Browser(self.transport)

    async def sign_in(self, url: str, user: str = "alice") -> Callback:
        """Do what a browser does with an authorization URL: sign in, go back to the client.

        ``url``: where the client redirected to. ``user``: any name. Each call is a new browser.
        Returns the callback; raises ``ProviderRefused`` if the provider shows an error page.
        """
        return await self.browser().sign_in(url, user)

    async def deny(self, url: str) -> Callback:
        """Do as ``sign_in`` does, but press Cancel; returns the callback with the error."""
        return await self.browser().deny(url)

    async def sign_out(self, url: str) -> str:
        """Do what a browser does with an end-session URL; returns where it is sent."""
        return await self.browser().sign_out(url)

    async def end_sessions(self, user: str) -> list[str]:
        """End every session of ``user`` at the provider, as its administrator might.

        The clients are told through the back channel. Returns the addresses that a browser would
        load in frames (OIDC Front-Channel Logout 1.0).
        """
        frames = []
        for session in [one for one in self._model.sessions.values() if one.user == user]:
            frames += front_channel_urls(self._model, session)
            await tell_clients(self._model, session)
            self._model.sign_out(session.sid)
        return frames

    def initiate_login_url(self, client_id: str, **params: str) -> str:
        """The address that begins a login from this side (OIDC Core section 4).

        ``params``: ``login_hint`` and ``target_link_uri``, if wanted. Raises ``KeyError`` for a
        client that registered no ``initiate_login_uri``.
        """
        uri = self.clients[client_id].metadata["initiate_login_uri"]
        return f"{uri}?{urlencode({'iss': self.issuer, **params})}"

    def fault(self, name: str, value: Any = True, *, times: int | None = None) -> ActiveFault:
        """Get something wrong from now on, until ``heal``.

        ``name``: one of ``FAULTS``. ``value``: what takes the right value's place; see
        ``reliant.testing.faults``. ``times``: how often, by default without end.
        Returns the fault, which as a context manager heals itself; raises ``ValueError`` for a
        name there is no fault for.
        """
        return self._model.faults.add(name, value, times)

    def heal(self, *names: str) -> None:
        """End the named faults, or all of them."""
        self._model.faults.heal(*names)

    def rotate_keys(self, *, keep_old: bool = False) -> None:
        """Sign with new keys from now on.

        ``keep_old``: the old keys stay in the JWK Set.
        """
        self.keys.rotate(keep_old)

    def add_noise_keys(self) -> None:
        """Publish keys no client can use: for encryption, on foreign curves, of unknown type."""
        self.keys.add_noise()

    def count(self, endpoint: str) -> int:
        """How many requests reached an endpoint (``token``, ``jwks``, ``discovery``, ...)."""
        return sum(request.endpoint == endpoint for request in self.requests)

    def clear(self) -> None:
        """Forget requests, sessions, tokens and faults; clients, users and keys stay."""
        self._model.forget()
        self.heal()
