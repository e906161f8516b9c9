"""Every error that leaves the package.

::

    OAuthError                       catch this one
    ├── ConfigurationError           the app or its settings are wrong (also a RuntimeError)
    ├── StateError                   no login or logout in progress matches this browser and state
    ├── AuthorizationError           the provider answered the login with an error, or badly
    │   └── FragmentAnswer           its answer is still in the browser
    ├── TokenError                   the token endpoint answered with an error, or badly
    │   └── InvalidGrantError        the code or refresh token is used up, expired or revoked
    ├── MissingTokenError            an API call has no token to send
    ├── IDTokenError                 the ID Token is not valid for this login
    ├── UserInfoError                the UserInfo answer is not usable
    ├── LogoutTokenError             a logout from the provider is not valid
    ├── RegistrationError            the provider refused to register, read or change the client
    ├── LoginRequired                nobody is logged in here, or not as is needed
    ├── StoreError                   the store of the login sessions can't be reached
    ├── MetadataError                the provider's metadata or keys are not usable
    └── ProviderError                the provider could not be reached, or broke HTTP

``error`` is the OAuth error code where there is one (``access_denied``), ``code`` a stable name of
the rule that failed (``id_token.nonce_mismatch``), ``status_hint`` the HTTP status that fits an
answer to the browser. No message holds a token, a code or a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "AuthorizationError",
    "ConfigurationError",
    "FragmentAnswer",
    "IDTokenError",
    "InvalidGrantError",
    "LoginRequired",
    "LogoutTokenError",
    "MetadataError",
    "MissingTokenError",
    "OAuthError",
    "ProviderError",
    "RegistrationError",
    "StateError",
    "StoreError",
    "TokenError",
    "UserInfoError",
    "printable",
]


class OAuthError(Exception):
    """Something about a login, a logout or a token failed.

    ``error``: the OAuth error code; ``description``: what happened, the likely cause and the next
    step; ``uri``: a page about the error, from the provider; ``code``: the stable name of the rule
    that failed; ``status_hint``: the HTTP status that fits an answer to the browser.
    """

    default_error = "oauth_error"
    default_code = "oauth.error"
    default_status = 400

    def __init__(
        self,
        error: str | None = None,
        description: str | None = None,
        uri: str | None = None,
        *,
        code: str | None = None,
        status_hint: int | None = None,
    ) -> None:
        self.error: str = error or self.default_error
        self.description: str = description or ""
        # A link that an app may show: not one that runs a script.
        self.uri: str | None = uri if uri and uri.startswith(("https://", "http://")) else None
        self.code: str = code or self.default_code
        self.status_hint: int = status_hint or self.default_status
        self.client_name: str | None = None  # the registered client it happened to, once known
        super().__init__(f"{self.error}: {self.description}" if description else self.error)


class ConfigurationError(OAuthError, RuntimeError):
    """The app, or the settings of a client, must be changed."""

    default_error = "configuration_error"
    default_code = "configuration.invalid"
    default_status = 500


class StateError(OAuthError):
    """No login or logout in progress matches this browser and this ``state``.

    ``return_to``, ``data``: what the app gave the login to carry, where it took too long or its
    state was used already, and the browser still holds it; ``asked``: what the login was to be
    like, ``acr_values`` and ``max_age``.
    """

    default_error = "mismatching_state"
    default_code = "state.unknown"

    return_to: str | None = None
    data: object = None
    asked: Mapping[str, object] = MappingProxyType({})


class AuthorizationError(OAuthError):
    """The provider answered the login with an error, or its answer was not valid."""

    default_error = "invalid_response"
    default_code = "authorization.invalid"


class FragmentAnswer(AuthorizationError):
    """The answer is in the fragment of the callback's URL, which never reaches a server.

    ``oauth.exception_handler`` sends a page for it that posts the fragment to the callback.
    """

    default_error = "fragment_answer"
    default_code = "authorization.fragment"


class TokenError(OAuthError):
    """The token endpoint answered with an error, or its answer was not valid."""

    default_error = "invalid_token_response"
    default_code = "token.invalid"
    default_status = 502


class InvalidGrantError(TokenError):
    """The code or refresh token is used up, expired or revoked (RFC 6749 section 5.2)."""

    default_error = "invalid_grant"
    default_code = "token.invalid_grant"
    default_status = 400


class MissingTokenError(OAuthError):
    """An API call has no token to send."""

    default_error = "missing_token"
    default_code = "request.token_missing"
    default_status = 401


class IDTokenError(OAuthError):
    """The ID Token is not valid for this login (OIDC Core section 3.1.3.7)."""

    default_error = "invalid_id_token"
    default_code = "id_token.invalid"
    default_status = 401


class UserInfoError(OAuthError):
    """The UserInfo answer is not usable (OIDC Core section 5.3)."""

    default_error = "invalid_userinfo"
    default_code = "userinfo.invalid"
    default_status = 502


class LogoutTokenError(OAuthError):
    """A logout that claims to come from the provider is not valid (Back-Channel Logout 1.0 2.6)."""

    default_error = "invalid_request"
    default_code = "logout_token.invalid"


class RegistrationError(OAuthError):
    """The provider refused to register, read or change the client (RFC 7591, RFC 7592)."""

    default_error = "registration_failed"
    default_code = "registration.failed"
    default_status = 502


class LoginRequired(OAuthError):
    """Nobody is logged in here, the session is over, or the login is not strong or recent enough.

    Raised in a request, it leads through a login and back. ``acr_values``, ``max_age``: what the
    login must be like (RFC 9470 section 3): contexts of authentication, seconds.
    """

    default_error = "login_required"
    default_code = "session.login_required"
    default_status = 401

    def __init__(
        self,
        error: str | None = None,
        description: str | None = None,
        uri: str | None = None,
        *,
        code: str | None = None,
        status_hint: int | None = None,
        acr_values: str | None = None,
        max_age: int | None = None,
    ) -> None:
        super().__init__(error, description, uri, code=code, status_hint=status_hint)
        self.acr_values: str | None = acr_values
        self.max_age: int | None = max_age


class StoreError(OAuthError):
    """The store of the login sessions can't be reached; nobody is logged out by that."""

    default_error = "temporarily_unavailable"
    default_code = "store.unavailable"
    default_status = 503


class MetadataError(OAuthError):
    """The provider's metadata or keys are not usable."""

    default_error = "invalid_metadata"
    default_code = "metadata.invalid"
    default_status = 502


class ProviderError(OAuthError):
    """The provider could not be reached, was too slow, or broke HTTP."""

    default_error = "provider_unavailable"
    default_code = "http.failed"
    default_status = 502


def printable(text: str, limit: int = 300) -> str:
    """Make text from outside fit for one log line: no control characters, at most ``limit``."""
    clean = "".join(c if c.isprintable() else " " for c in text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
