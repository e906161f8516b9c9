"""OAuth 2.0 and OpenID Connect for Starlette and FastAPI, as a Relying Party.

The registry lives in ``reliant.starlette``; a provider to test against in ``reliant.testing``.
"""

__version__ = "0.1.0"

from reliant.client import ClientSettings, OAuthClient
from reliant.errors import (
    AuthorizationError,
    ConfigurationError,
    IDTokenError,
    InvalidGrantError,
    MetadataError,
    MissingTokenError,
    OAuthError,
    ProviderError,
    StateError,
    TokenError,
    UserInfoError,
)
from reliant.protocol.claims import UserInfo
from reliant.protocol.client_auth import ClientAuth
from reliant.protocol.messages import HttpRequest, HttpResponse
from reliant.protocol.metadata import ServerMetadata
from reliant.protocol.token_endpoint import Token
from reliant.protocol.values import Secret

__all__ = [
    "AuthorizationError",
    "ClientAuth",
    "ClientSettings",
    "ConfigurationError",
    "HttpRequest",
    "HttpResponse",
    "IDTokenError",
    "InvalidGrantError",
    "MetadataError",
    "MissingTokenError",
    "OAuthClient",
    "OAuthError",
    "ProviderError",
    "Secret",
    "ServerMetadata",
    "StateError",
    "Token",
    "TokenError",
    "UserInfo",
    "UserInfoError",
]
