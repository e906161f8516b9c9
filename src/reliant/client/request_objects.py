"""The authorization request as a JWT, by value or by reference (RFC 9101, OIDC Core section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reliant.client.settings import ClientSettings
from reliant.errors import ConfigurationError, MetadataError
from reliant.http.provider import OpenIDProvider
from reliant.protocol.jose import ASYMMETRIC_ALGORITHMS, encryption_key, signing_key
from reliant.protocol.metadata import ServerMetadata
from reliant.protocol.request_object import (
    build_request_object,
    encrypt_request_object,
    outer_parameters,
)
from reliant.storage.references import References

__all__ = ["as_request_object"]


async def as_request_object(
    query: Mapping[str, Any],
    settings: ClientSettings,
    provider: OpenIDProvider,
    issuer: str,
    references: References,
    now: int,
) -> dict[str, Any]:
    """Pack the parameters of an authorization request into a request object.

    ``references``: where it waits to be fetched with ``request_object="uri"``; ``now``: Unix time
    in seconds. Returns the parameters that travel openly, with ``request`` or ``request_uri``.
    Raises ``ConfigurationError`` and ``MetadataError`` (``jwks.no_encryption_key``).
    """
    metadata = await provider.metadata()
    registered = settings.registered
    alg = registered.get("request_object_signing_alg") or _signing_alg(settings, metadata)
    key = signing_key(settings.keys, alg) if alg != "none" else None
    request = build_request_object(query, settings.id, issuer, key, alg, now)
    encryption = registered.get("request_object_encryption_alg")
    if encryption is not None:
        enc = registered.get("request_object_encryption_enc", "A128CBC-HS256")
        request = await _encrypted(request, provider, encryption, enc)
    outer = outer_parameters(query)
    if settings.request_object == "value":
        return {**outer, "request": request}
    if settings.request_uri_base is None:
        raise ConfigurationError(
            description='Missing "request_uri_base" value: the https address of the route '
            "that serves request objects, as client.routes() has it.",
            code="configuration.request_uri_base",
        )
    reference = await references.keep(request)
    return {**outer, "request_uri": f"{settings.request_uri_base.rstrip('/')}/{reference}"}


def _signing_alg(settings: ClientSettings, metadata: ServerMetadata) -> str:
    offered = metadata.announced("request_object_signing_alg_values_supported")
    for alg in ASYMMETRIC_ALGORITHMS:
        fits = offered is None or alg in offered
        if fits and signing_key(settings.keys, alg) is not None:
            return alg
    return "RS256"


async def _encrypted(text: str, provider: OpenIDProvider, alg: str, enc: str) -> str:
    key = encryption_key((await provider.jwks()).keys, alg)
    if key is None:
        raise MetadataError(
            description=f"The provider has no key to encrypt with {alg}.",
            code="jwks.no_encryption_key",
        )
    return encrypt_request_object(text, key, alg, enc)
