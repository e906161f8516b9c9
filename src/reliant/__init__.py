"""OAuth 2.0 and OpenID Connect for Starlette and FastAPI, as a Relying Party.

The registry lives in ``reliant.starlette``; a provider to test against in ``reliant.testing``.
"""

__version__ = "0.1.0"

from reliant.client import ClientSettings, OAuthClient
from reliant.errors import (
    AuthorizationError,
    ConfigurationError,
    FragmentAnswer,
    IDTokenError,
    InvalidGrantError,
    LoginRequired,
    LogoutTokenError,
    MetadataError,
    MissingTokenError,
    OAuthError,
    ProviderError,
    RegistrationError,
    StateError,
    StoreError,
    TokenError,
    UserInfoError,
)
from reliant.protocol.claims import UserInfo
from reliant.protocol.client_auth import ClientAuth
from reliant.protocol.messages import HttpRequest, HttpResponse
from reliant.protocol.metadata import ServerMetadata
from reliant.protocol.registration import Registration
from reliant.protocol.token_endpoint import Token
from reliant.protocol.values import Secret

__all__ = [
    "AuthorizationError",
    "ClientAuth",
    "ClientSettings",
    "ConfigurationError",
    "FragmentAnswer",
    "HttpRequest",
    "HttpResponse",
    "IDTokenError",
    "InvalidGrantError",
    "LoginRequired",
    "LogoutTokenError",
    "MetadataError",
    "MissingTokenError",
    "OAuthClient",
    "OAuthError",
    "ProviderError",
    "Registration",
    "RegistrationError",
    "Secret",
    "ServerMetadata",
    "StateError",
    "StoreError",
    "Token",
    "TokenError",
    "UserInfo",
    "UserInfoError",
]
