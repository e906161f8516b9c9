"""Logout at providers that have it without being OpenID Connect's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urljoin

from reliant.errors import ConfigurationError
from reliant.protocol.metadata import ServerMetadata
from reliant.protocol.values import append_query

__all__ = ["LOGOUTS", "LogoutAt", "provider_logout_url"]

LogoutAt = Literal["auth0", "cognito"]


@dataclass(frozen=True)
class ProviderLogout:
    """Where a provider logs people out, and what it calls the way back.

    ``beside``: the metadata member whose address it lies at; ``path``: from there; ``back``: the
    parameter with the address to come back to, which is registered at the provider.
    """

    beside: str
    path: str
    back: str


LOGOUTS: dict[LogoutAt, ProviderLogout] = {
    # auth0.com/docs/api/authentication/logout/auth-0-logout: "Allowed Logout URLs"
    "auth0": ProviderLogout("issuer", "/v2/logout", "returnTo"),
    # docs.aws.amazon.com/cognito/latest/developerguide/logout-endpoint.html: the domain is that of
    # the hosted pages, not that of the issuer; "Allowed sign-out URLs"
    "cognito": ProviderLogout("authorization_endpoint", "/logout", "logout_uri"),
}


def provider_logout_url(
    at: LogoutAt, metadata: ServerMetadata, client_id: str, return_to: str
) -> str:
    """The address that logs a browser out at such a provider.

    Raises ``ConfigurationError`` with ``configuration.logout_at`` where its metadata do not tell.
    """
    logout = LOGOUTS[at]
    beside = metadata.endpoint(logout.beside)
    if beside is None:
        raise ConfigurationError(
            description=f'The provider\'s metadata have no "{logout.beside}", beside which '
            "its logout lies.",
            code="configuration.logout_at",
        )
    url = urljoin(beside, logout.path)
    return append_query(url, {"client_id": client_id, logout.back: return_to})
