"""The provider as this client sees it: its metadata and keys, cached."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from reliant.errors import ConfigurationError, MetadataError
from reliant.http.cached import Cached, lifetime_of
from reliant.http.transport import Transport
from reliant.protocol.jose import Key
from reliant.protocol.jwks import JwkSet, build_jwks_request, parse_jwks, parse_jwks_response
from reliant.protocol.metadata import ServerMetadata, build_metadata_request, parse_server_metadata

__all__ = ["OpenIDProvider"]


class OpenIDProvider:
    """Metadata and keys of one provider.

    ``settings``: the metadata members the app set, which win over discovery; ``urls``: the
    addresses the metadata document may have, tried in turn; ``openid``: whether logins ask for an
    ID Token.
    """

    def __init__(
        self,
        transport: Transport,
        settings: Mapping[str, Any],
        urls: tuple[str, ...],
        openid: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._settings = settings
        self._openid = openid
        self._clock = clock
        self._static = ServerMetadata(settings)
        self._metadata = Cached(self._metadata_fetcher(urls), clock) if urls else None
        self._keys: Cached[JwkSet] | None = None
        self._keys_url: str | None = None
        own = settings.get("jwks")
        self._own_keys = parse_jwks(own, symmetric=True) if own is not None else None

    @property
    def own_keys(self) -> tuple[Key, ...]:
        """The keys the app gave with ``jwks``."""
        return self._own_keys.keys if self._own_keys is not None else ()

    async def metadata(self) -> ServerMetadata:
        """The metadata: what the app set, over what the provider announces."""
        if self._metadata is None:
            return self._static
        fresh = self._metadata.fresh
        return await self._metadata.get() if fresh is None else fresh

    async def jwks(self, force: bool = False) -> JwkSet:
        """The provider's key set; ``force`` fetches it anew.

        Raises ``ConfigurationError`` (``configuration.jwks_uri``) where no address is known.
        """
        if self._own_keys is not None and not force:
            return self._own_keys
        cached = self._remote_keys(await self.metadata())
        return await (cached.fetch() if force else cached.get())

    async def try_keys(self, works: Callable[[tuple[Key, ...]], bool]) -> bool:
        """Tell whether some of the provider's keys satisfy ``works``.

        The app's own keys come first, then the cached ones, then those of one more fetch, unless
        such a fetch has brought nothing new a moment ago.
        """
        if self._own_keys is not None and works(self._own_keys.keys):
            return True
        metadata = await self.metadata()
        if self._own_keys is not None and not metadata.endpoint("jwks_uri"):
            return False
        cached = self._remote_keys(metadata)
        keys = cached.fresh or await cached.get()
        if works(keys.keys):
            return True
        renewed = await cached.renew(keys)
        return renewed is not keys and works(renewed.keys)

    def _metadata_fetcher(
        self, urls: tuple[str, ...]
    ) -> Callable[[], Awaitable[tuple[ServerMetadata, float]]]:
        async def fetch() -> tuple[ServerMetadata, float]:
            for url in urls:
                response = await self._transport.send(build_metadata_request(url))
                if response.status != 404 or url == urls[-1]:
                    break
            document = parse_server_metadata(
                response, url, self._settings.get("issuer"), self._openid
            )
            return ServerMetadata({**document, **self._settings}), lifetime_of(response.headers)

        return fetch

    def _remote_keys(self, metadata: ServerMetadata) -> Cached[JwkSet]:
        url = metadata.endpoint("jwks_uri")
        if url is None:
            raise ConfigurationError(
                description='Missing "jwks_uri" in metadata: without the provider\'s keys no ID '
                "Token can be checked. Set server_metadata_url, jwks_uri or jwks.",
                code="configuration.jwks_uri",
            )
        if self._keys is None or self._keys_url != url:
            self._keys_url = url
            self._keys = Cached(self._keys_fetcher(url), self._clock)
        return self._keys

    def _keys_fetcher(self, url: str) -> Callable[[], Awaitable[tuple[JwkSet, float]]]:
        async def fetch() -> tuple[JwkSet, float]:
            response = await self._transport.send(build_jwks_request(url))
            keys = parse_jwks_response(response)
            kept = self._keys.value if self._keys is not None else None
            if not keys.keys and kept is not None and kept.keys:
                raise MetadataError(
                    description="The provider's key set holds no key that can be used.",
                    code="jwks.no_usable_key",
                )
            return keys, lifetime_of(response.headers)

        return fetch
