"""How a client proves who it is at the token endpoint (RFC 6749 section 2.3, OIDC Core section 9).

One small class a method. Each turns a finished request into an authenticated one.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol
from urllib.parse import quote_plus

from reliant.errors import ConfigurationError
from reliant.protocol.messages import HttpRequest
from reliant.protocol.values import Secret, encode_form

__all__ = [
    "ClientAuth",
    "ClientSecretBasic",
    "ClientSecretPost",
    "NoClientAuth",
    "select_client_auth",
]


class ClientAuth(Protocol):
    """A client authentication method; ``name`` as in ``token_endpoint_auth_method``."""

    @property
    def name(self) -> str:
        """Its name, as in ``token_endpoint_auth_method``."""
        ...

    def authenticate(self, request: HttpRequest) -> HttpRequest:
        """Return the request with the client's proof added."""
        ...


class ClientSecretBasic:
    """HTTP Basic with form-encoded id and secret (RFC 6749 section 2.3.1)."""

    name = "client_secret_basic"

    def __init__(self, client_id: str, client_secret: Secret) -> None:
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret.reveal())}"
        self._header = Secret("Basic " + b64encode(pair.encode()).decode())

    def authenticate(self, request: HttpRequest) -> HttpRequest:
        headers = {**request.headers, "authorization": self._header.reveal()}
        return replace(request, headers=headers)


class ClientSecretPost:
    """Id and secret in the form body (RFC 6749 section 2.3.1)."""

    name = "client_secret_post"

    def __init__(self, client_id: str, client_secret: Secret) -> None:
        self._client_id, self._client_secret = client_id, client_secret

    def authenticate(self, request: HttpRequest) -> HttpRequest:
        secret = self._client_secret.reveal()
        return _with(request, {"client_id": self._client_id, "client_secret": secret})


class NoClientAuth:
    """A public client: its id alone, with PKCE as the proof (OAuth 2.1)."""

    name = "none"

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id

    def authenticate(self, request: HttpRequest) -> HttpRequest:
        return _with(request, {"client_id": self._client_id})


def _with(request: HttpRequest, parameters: Mapping[str, str]) -> HttpRequest:
    form = encode_form(parameters).encode()
    return replace(request, body=request.body + b"&" + form if request.body else form)


def select_client_auth(
    method: str | None,
    announced: tuple[str, ...] | None,
    client_id: str,
    client_secret: Secret | None,
    custom: Mapping[str, ClientAuth],
) -> ClientAuth:
    """Choose the method: the app's, else what the provider announces, else basic.

    ``method``: the app's setting; ``announced``: ``token_endpoint_auth_methods_supported``;
    ``custom``: methods the app brought. A client without a secret is public.
    Raises ``ConfigurationError``: ``client_auth.unsupported``, ``client_auth.secret_missing``.
    """
    if method is None and client_secret is None and not custom:
        method = "none"
    elif method is None:
        known = [*custom]
        if client_secret is not None:
            known += ["client_secret_basic", "client_secret_post"]
        offered = announced or ("client_secret_basic",)
        method = next((name for name in known if name in offered), None)
        if method is None and custom:
            method = next(iter(custom))
    if method is not None and method in custom:
        return custom[method]
    if method == "none":
        return NoClientAuth(client_id)
    if method not in ("client_secret_basic", "client_secret_post"):
        raise ConfigurationError(
            description=f"No client authentication method fits: {method or announced} is not "
            "supported. Set token_endpoint_auth_method to client_secret_basic, "
            "client_secret_post or none, as registered at the provider.",
            code="client_auth.unsupported",
        )
    if client_secret is None:
        raise ConfigurationError(
            description=f'Missing "client_secret" value: {method} needs one.',
            code="client_auth.secret_missing",
        )
    chosen = ClientSecretBasic if method == "client_secret_basic" else ClientSecretPost
    return chosen(client_id, client_secret)
