"""Calls to an API with an access token: where it may go, and whether it still serves (RFC 6750)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urljoin

from reliant.errors import ConfigurationError, MissingTokenError, OAuthError
from reliant.protocol.messages import integer, text
from reliant.protocol.token_endpoint import fits_header
from reliant.protocol.values import is_secure_url, origin_of

__all__ = ["check_destination", "is_at", "needs_refresh", "resolve_url"]

REFRESH_EARLY = 10  # seconds before its end at which a token counts as expired


def resolve_url(url: str, base: str | None) -> str:
    """Resolve a URL against ``api_base_url`` (RFC 3986 section 5).

    Raises ``ConfigurationError`` with ``configuration.api_base_url`` for a relative one without it.
    """
    if base is not None:
        try:
            return urljoin(base, url)
        except ValueError:  # such as "//[": it has no origin, so the next step refuses it
            return url
    if origin_of(url) is None:
        raise ConfigurationError(
            description='Missing "api_base_url" value: a relative URL needs one.',
            code="configuration.api_base_url",
        )
    return url


def check_destination(url: str, places: Sequence[str], advice: str) -> None:
    """Judge whether the access token may travel to ``url``.

    ``places``: URLs whose origins may see it, any where there are none; ``advice``: what to do
    where it may not. Raises ``ConfigurationError`` with ``http.insecure``, ``OAuthError`` with
    ``request.foreign_origin``.
    """
    if not is_secure_url(url):
        raise ConfigurationError(
            description="An access token travels over https only, or to this machine.",
            code="http.insecure",
        )
    if places and not is_at(url, places):
        raise OAuthError(
            "foreign_origin",
            f"The URL is on another origin than the API, so the access token stays here. {advice}",
            code="request.foreign_origin",
        )


def is_at(url: str, places: Sequence[str]) -> bool:
    """Tell whether a URL has the origin of one of these."""
    return origin_of(url) in map(origin_of, places)


def needs_refresh(token: Mapping[str, Any] | None, now: int) -> str | None:
    """Judge whether a token can be sent as it is.

    ``now``: Unix time in seconds. Returns None where it can, or the refresh token to use first.
    Raises ``MissingTokenError``: ``request.token_missing``, ``.token_unfit``, ``.token_expired``.
    """
    if token is None or not token.get("access_token"):
        raise MissingTokenError(
            description="There is no token to send: pass token=, or give register() a "
            "fetch_token function and pass request=."
        )
    if not fits_header(token["access_token"]):
        # The HTTP library would quote it in its error.
        raise MissingTokenError(
            description="The access token can't be sent: it is not text of visible ASCII.",
            code="request.token_unfit",
        )
    expires_at = integer(token.get("expires_at"))
    if expires_at is None or now < expires_at - REFRESH_EARLY:
        return None
    refresh_token = text(token.get("refresh_token"))
    if refresh_token is None and now >= expires_at:
        raise MissingTokenError(
            "token_expired",
            "The access token has expired and there is no refresh token. Log in again.",
            code="request.token_expired",
        )
    return refresh_token
