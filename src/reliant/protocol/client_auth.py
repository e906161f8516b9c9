"""How a client proves who it is at the token endpoint (RFC 6749 section 2.3, OIDC Core section 9).

One small class a method. Each turns a finished request into an authenticated one.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote_plus

from reliant.errors import ConfigurationError
from reliant.protocol.jose import (
    ASYMMETRIC_ALGORITHMS,
    SYMMETRIC_ALGORITHMS,
    Key,
    secret_key,
    sign_jwt,
    signing_key,
)
from reliant.protocol.messages import HttpRequest
from reliant.protocol.values import Secret, encode_form, random_token

__all__ = [
    "ClientAuth",
    "ClientSecretBasic",
    "ClientSecretPost",
    "Credentials",
    "JwtClientAuth",
    "NoClientAuth",
    "TlsClientAuth",
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
        return HttpRequest(request.method, request.url, headers, request.body)


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


class TlsClientAuth:
    """The client certificate of the connection, with the id in the body (RFC 8705 section 2)."""

    def __init__(self, name: str, client_id: str) -> None:
        self.name = name
        self._client_id = client_id

    def authenticate(self, request: HttpRequest) -> HttpRequest:
        return _with(request, {"client_id": self._client_id})


class JwtClientAuth:
    """A signed assertion (RFC 7523 section 2.2): ``client_secret_jwt`` or ``private_key_jwt``.

    ``key``, ``alg``: what signs it; ``audience``: the provider's issuer, or None for the address
    the request goes to; ``clock``: a function returning Unix time. Each request, a retry as well,
    gets an assertion of its own, good for a minute.
    """

    LIFETIME = 60  # seconds

    def __init__(
        self,
        name: str,
        client_id: str,
        key: Key,
        alg: str,
        audience: str | None,
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self._client_id, self._key, self._alg = client_id, key, alg
        self._audience, self._clock = audience, clock

    def authenticate(self, request: HttpRequest) -> HttpRequest:
        now = int(self._clock())
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._audience or request.url,
            "jti": random_token(16),
            "iat": now,
            "exp": now + self.LIFETIME,
        }
        header = {"kid": self._key.kid} if self.name == "private_key_jwt" else {}
        assertion = sign_jwt(claims, self._key, self._alg, **header)
        return _with(
            request,
            {
                "client_id": self._client_id,
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": assertion,
            },
        )


def _with(request: HttpRequest, parameters: Mapping[str, str]) -> HttpRequest:
    form = encode_form(parameters).encode()
    body = request.body + b"&" + form if request.body else form
    return HttpRequest(request.method, request.url, request.headers, body)


@dataclass(frozen=True)
class Credentials:
    """What a client has to prove who it is.

    ``method``: ``token_endpoint_auth_method`` where the app set it; ``keys``: its private keys;
    ``signing_alg``: ``token_endpoint_auth_signing_alg``; ``audience``: of assertions; ``custom``:
    methods the app brought itself.
    """

    client_id: str
    client_secret: Secret | None = None
    method: str | None = None
    keys: Sequence[Key] = field(default=(), repr=False)
    signing_alg: str | None = None
    audience: str | None = None
    custom: Mapping[str, ClientAuth] = field(default_factory=dict, repr=False)


def select_client_auth(
    credentials: Credentials,
    announced: tuple[str, ...] | None,
    announced_algs: tuple[str, ...] | None,
    clock: Callable[[], float],
) -> ClientAuth:
    """Choose the method: the app's, else what the provider announces, else basic.

    ``announced``, ``announced_algs``: the provider's ``token_endpoint_auth_methods_supported`` and
    ``token_endpoint_auth_signing_alg_values_supported``. A client without secret and keys is
    public. Raises ``ConfigurationError``: ``client_auth.unsupported``, ``.secret_missing``,
    ``.key_missing``.
    """
    method = credentials.method
    if method is None:
        method = _preferred(credentials, announced)
    if method is not None and method in credentials.custom:
        return credentials.custom[method]
    if method == "none":
        return NoClientAuth(credentials.client_id)
    if method in ("tls_client_auth", "self_signed_tls_client_auth"):
        return TlsClientAuth(method, credentials.client_id)
    if method == "private_key_jwt":
        return _private_key_jwt(credentials, announced_algs, clock)
    if method not in ("client_secret_basic", "client_secret_post", "client_secret_jwt"):
        raise ConfigurationError(
            description=f"No client authentication method fits: {method or announced} is not "
            "supported, or needs what register() was not given. Set token_endpoint_auth_method "
            "as registered at the provider.",
            code="client_auth.unsupported",
        )
    if credentials.client_secret is None:
        raise ConfigurationError(
            description=f'Missing "client_secret" value: {method} needs one.',
            code="client_auth.secret_missing",
        )
    if method == "client_secret_jwt":
        key = secret_key(credentials.client_secret.reveal())
        alg = credentials.signing_alg or _first(SYMMETRIC_ALGORITHMS, announced_algs) or "HS256"
        if alg not in SYMMETRIC_ALGORITHMS:
            raise ConfigurationError(
                description="client_secret_jwt signs with HS256, HS384 or HS512: set "
                "token_endpoint_auth_signing_alg to one of them, or leave it out.",
                code="client_auth.unsupported",
            )
        return JwtClientAuth(method, credentials.client_id, key, alg, credentials.audience, clock)
    chosen = ClientSecretBasic if method == "client_secret_basic" else ClientSecretPost
    return chosen(credentials.client_id, credentials.client_secret)


def _preferred(credentials: Credentials, announced: tuple[str, ...] | None) -> str | None:
    able = list(credentials.custom)
    if credentials.client_secret is not None:
        able += ["client_secret_basic", "client_secret_post"]
    if credentials.keys:
        able.append("private_key_jwt")
    if credentials.client_secret is not None:
        able.append("client_secret_jwt")
    if not able:
        return "none"
    offered = announced or ("client_secret_basic",)  # an empty list says nothing (RFC 8414 3.2)
    found = next((name for name in able if name in offered), None)
    return found or next(iter(credentials.custom), None)


def _private_key_jwt(
    credentials: Credentials, announced_algs: tuple[str, ...] | None, clock: Callable[[], float]
) -> ClientAuth:
    wanted = (credentials.signing_alg,) if credentials.signing_alg else ASYMMETRIC_ALGORITHMS
    for alg in wanted:
        if announced_algs is None or alg in announced_algs or credentials.signing_alg:
            key = signing_key(credentials.keys, alg)
            if key is not None:
                return JwtClientAuth(
                    "private_key_jwt", credentials.client_id, key, alg, credentials.audience, clock
                )
    raise ConfigurationError(
        description="private_key_jwt needs a private key for an algorithm the provider takes: "
        "pass client_keys= (PEM, JWK or JWK Set) to register().",
        code="client_auth.key_missing",
    )


def _first(ours: tuple[str, ...], offered: tuple[str, ...] | None) -> str | None:
    return next((alg for alg in ours if alg in (offered or ())), None)
