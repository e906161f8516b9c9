"""The registry: ``oauth.register("google", ...)``, then ``oauth.google``."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

from starlette.datastructures import Secret
from starlette.requests import Request
from starlette.responses import Response

from reliant import __version__
from reliant.client.settings import JSON_SETTINGS, REGISTERED, SETTINGS, ClientSettings
from reliant.errors import (
    ConfigurationError,
    FragmentAnswer,
    LoginRequired,
    OAuthError,
    printable,
)
from reliant.http.transport import HttpTransport, warm_up
from reliant.protocol.jose import load_libraries
from reliant.protocol.transaction import LOGIN_LIFETIME
from reliant.protocol.webfinger import (
    build_webfinger_request,
    normalize_identifier,
    parse_webfinger_response,
)
from reliant.starlette.client import StarletteClient
from reliant.starlette.transactions import CacheStore, CookieStore, SessionStore, TransactionStore

__all__ = ["OAuth", "read_secrets"]

log: logging.Logger = logging.getLogger("reliant")


class OAuth:
    """A registry of clients, one for each provider people can log in with.

    ``config``: Starlette's ``Config``, a mapping, or an object with ``get``: it fills settings
    that ``register`` was not given, as ``<NAME>_CLIENT_ID`` and so on; ``cache``: an object with
    ``get(key)``, ``set(key, value, seconds)`` and ``delete(key)`` that keeps logins in progress;
    ``fetch_token``, ``update_token``: hooks for all clients, called with the client's name first;
    ``secret_key``: keeps logins in progress in encrypted cookies instead of a session; a list
    accepts old keys after the newest; ``login_lifetime``: seconds a login may take;
    ``on_logout``: a hook called with a ``LogoutEvent`` when a provider tells of a logout.
    """

    def __init__(
        self,
        config: Any = None,
        cache: Any = None,
        fetch_token: Callable[..., Any] | None = None,
        update_token: Callable[..., Any] | None = None,
        *,
        secret_key: str | bytes | Secret | Sequence[str | bytes | Secret] | None = None,
        login_lifetime: int = LOGIN_LIFETIME,
        on_logout: Callable[..., Any] | None = None,
    ) -> None:
        if config is not None and not callable(getattr(config, "get", None)):
            raise _error("type", "config is Starlette's Config, a mapping, or an object with get; "
                         "a key is passed as secret_key=.")  # fmt: skip
        self._clients: dict[str, StarletteClient] = {}
        self._retired: list[StarletteClient] = []
        self._config = config
        self._fetch_token = fetch_token
        self._update_token = update_token
        self._on_logout = on_logout
        self._cache = cache
        self._form_post = secret_key is not None
        self._transactions = _transaction_store(secret_key, cache, login_lifetime)

    def register(
        self, name: str, overwrite: bool = False, *, replace: bool = False, **settings: Any
    ) -> StarletteClient:
        """Register a client, which is then ``oauth.<name>``.

        ``overwrite``: let ``config`` win over what is given here; ``replace``: take the place of a
        client registered before; ``settings``: see the documentation's list. Returns the client.
        Raises ``ConfigurationError``: ``configuration.unknown_setting``, ``.name_taken`` and
        others, with the setting's name.
        """
        return self._install(
            name,
            self._new_client(name, replace, _merge(settings, self._from_config(name), overwrite)),
        )

    async def register_dynamically(
        self,
        name: str,
        issuer: str,
        metadata: Mapping[str, Any],
        *,
        initial_access_token: str | None = None,
        software_statement: str | None = None,
        replace: bool = False,
        **settings: Any,
    ) -> StarletteClient:
        """Register this app at a provider, and the client it then is here (RFC 7591).

        ``issuer``: the provider; ``metadata``: the client metadata to ask for, ``redirect_uris``
        at the least; with ``client_keys`` among the ``settings`` their public parts go along.
        What the provider answers counts, and stands in ``client.registration``. Raises
        ``RegistrationError``, ``MetadataError``, ``ProviderError`` or ``ConfigurationError``.
        """
        asked = {key: metadata[key] for key in REGISTERED if key in metadata}
        client = self._new_client(name, replace, {**asked, **settings, "issuer": issuer})
        try:
            registration = await client.register_itself(
                metadata, initial_access_token, software_statement
            )
        except OAuthError:
            await client.transport.aclose()
            raise
        client.adopt_registration(registration)
        return self._install(name, client)

    async def find_issuer(self, identifier: str, **client_kwargs: Any) -> str:
        """Ask an account's site for its OpenID provider (WebFinger, OIDC Discovery section 2).

        ``identifier``: what the person typed: ``you@example.org``, an ``acct:`` URI or an https
        address; ``client_kwargs``: options of the HTTP client. Returns the issuer, for
        ``register`` or ``register_dynamically``. Raises ``MetadataError`` or ``ProviderError``.
        """
        resource, host = normalize_identifier(identifier)
        transport = HttpTransport(client_kwargs, f"Reliant/{__version__}")
        try:
            return parse_webfinger_response(
                await transport.send(build_webfinger_request(resource, host))
            )
        finally:
            await transport.aclose()

    def unregister(self, name: str) -> None:
        """Forget a client; raises ``ConfigurationError`` where there is none of that name."""
        client = self._clients.pop(name, None)
        if client is None:
            raise _error("name_unknown", f"There is no client {name!r}.")
        self._retired.append(client)

    def create_client(self, name: str) -> StarletteClient | None:
        """Return the client registered as ``name``, or None."""
        return self._clients.get(name)

    def __getattr__(self, name: str) -> StarletteClient:
        clients: dict[str, StarletteClient] = self.__dict__.get("_clients", {})
        if name not in clients:
            raise AttributeError(f"No client is registered as {name!r}")
        return clients[name]

    def _new_client(self, name: str, replace: bool, settings: Mapping[str, Any]) -> StarletteClient:
        if not name or name.startswith("_") or hasattr(type(self), name):
            raise _error("name", f"{name!r} can't be a client's name: OAuth needs it for itself.")
        if name in self._clients and not replace:
            raise _error("name_taken", f"There is a client {name!r} already; pass replace=True to "
                         "take its place.")  # fmt: skip
        merged = dict(settings)
        for hook, shared in (
            ("fetch_token", self._fetch_token),
            ("update_token", self._update_token),
        ):
            if merged.get(hook) is None and shared is not None:
                merged[hook] = partial(shared, name)
        merged.setdefault("on_logout", self._on_logout)
        return StarletteClient(
            ClientSettings.read(name, merged), self._transactions, self._form_post, self._cache
        )

    def _install(self, name: str, client: StarletteClient) -> StarletteClient:
        if name in self._clients:
            self.unregister(name)
        self._clients[name] = client
        return client

    # -- life --------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close the connections of the running event loop; a later request opens new ones."""
        for client in (*self._clients.values(), *self._retired):
            await client.transport.aclose()
        self._retired = [client for client in self._retired if client.transport.is_open]

    async def __aenter__(self) -> Self:
        warm_up()
        load_libraries()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """A lifespan for the app: ``Starlette(lifespan=oauth.lifespan)``."""
        async with self:
            yield

    async def exception_handler(self, request: Request, exc: Exception) -> Response:
        """Show a failed login: ``Starlette(exception_handlers={OAuthError: ...})``.

        A page with a "try again" link for browsers, JSON for fetch clients. What they don't get to
        see is in the log.
        """
        from reliant.starlette.error_page import error_response
        from reliant.starlette.pages import fragment_page

        if isinstance(exc, FragmentAnswer):
            return fragment_page()
        if not isinstance(exc, OAuthError) or isinstance(exc, LoginRequired):
            raise exc  # the middleware of Login leads through a login
        if exc.client_name is None:  # a login or logout has logged its failure itself
            log.warning(
                "request failed: code=%s error=%s: %s",
                exc.code,
                exc.error,
                printable(exc.description, 500),
            )
        client = self._clients.get(exc.client_name or "")
        return error_response(request, exc, (client and client.login_path) or "/")

    # -- configuration -----------------------------------------------------------------------

    def _from_config(self, name: str) -> dict[str, Any]:
        if self._config is None:
            return {}
        found = {}
        for setting in SETTINGS:
            key = f"{name}_{setting}".upper()
            value = _look_up(self._config, key)
            if value is not None:
                found[setting] = _decode(key, value) if setting in JSON_SETTINGS else value
        return found


def _transaction_store(secret_key: Any, cache: Any, lifetime: int) -> TransactionStore:
    if secret_key is None:
        return SessionStore(lifetime) if cache is None else CacheStore(cache, lifetime)
    return CookieStore(read_secrets(secret_key), lifetime, cache)


def read_secrets(secret_key: Any) -> list[str | bytes]:
    """The keys in a ``secret_key=``, newest first; raises ``ConfigurationError``."""
    several = isinstance(secret_key, Sequence) and not isinstance(secret_key, str | bytes)
    secrets = [
        str(secret) if isinstance(secret, Secret) else secret
        for secret in (secret_key if several else [secret_key])
    ]
    if not secrets or not all(isinstance(secret, str | bytes) and secret for secret in secrets):
        raise _error("secret_key", "secret_key is text that is not empty, or a list of such, "
                     "newest first; make one with secrets.token_urlsafe().")  # fmt: skip
    return secrets


def _look_up(config: Any, key: str) -> Any:
    from starlette.config import Config

    if isinstance(config, Config):
        return config.get(key, default=None)
    try:
        return config.get(key)
    except KeyError:
        return None


def _decode(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as exc:
        raise _error("config_json", f"The value of {key} must be JSON.") from exc


def _merge(given: Mapping[str, Any], config: Mapping[str, Any], overwrite: bool) -> dict[str, Any]:
    first, second = (config, given) if overwrite else (given, config)
    merged = {**second, **{key: value for key, value in first.items() if value is not None}}
    if overwrite:  # a member of a dict setting wins as well, and the others stay
        for key in config.keys() & given.keys():
            if isinstance(config[key], Mapping) and isinstance(given[key], Mapping):
                merged[key] = {**given[key], **config[key]}
    return merged


def _error(rule: str, description: str) -> ConfigurationError:
    return ConfigurationError(description=description, code=f"configuration.{rule}")
