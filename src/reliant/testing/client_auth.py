"""How clients prove who they are at the token endpoint (RFC 6749 2.3, OIDC Core 9, RFC 8705)."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from reliant.protocol import jose
from reliant.testing.messages import ReceivedRequest, Refusal
from reliant.testing.model import Client, Model

__all__ = ["authenticated"]

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST = 24 * 3600  # seconds an assertion may have to live
_BY_TLS = ("tls_client_auth", "self_signed_tls_client_auth")


def authenticated(model: Model, request: ReceivedRequest) -> Client:
    """The client that sent the request, its method and proof judged."""
    if "client_assertion" in request.params:
        client, method = _by_assertion(model, request)
    else:
        client, method = _by_secret(model, request)
    challenge = "Basic" if method == "client_secret_basic" else None
    if method not in client.auth_methods:
        raise Refusal("invalid_client", f"this client may not use {method}", 401, challenge)
    return client


def _by_secret(model: Model, request: ReceivedRequest) -> tuple[Client, str]:
    method, client_id, secret = _credentials(request)
    client = model.clients.get(client_id)
    if client is not None and method == "none" and client.token_endpoint_auth_method in _BY_TLS:
        # In-process there is no certificate to see: the address used stands for it.
        if not request.endpoint.startswith("mtls_"):
            raise Refusal("invalid_client", "no client certificate was sent to this address", 401)
        return client, str(client.token_endpoint_auth_method)
    right = (client.client_secret if client else None) or ""
    if client is None or not hmac.compare_digest(secret.encode(), right.encode()):
        challenge = "Basic" if method == "client_secret_basic" else None
        raise Refusal("invalid_client", "unknown client or wrong secret", 401, challenge)
    return client, method


def _credentials(request: ReceivedRequest) -> tuple[str, str, str]:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    client_id, secret = request.params.get("client_id", ""), request.params.get("client_secret")
    if not scheme:
        return ("none", client_id, "") if not secret else ("client_secret_post", client_id, secret)
    if secret is not None:
        raise Refusal("invalid_request", "two ways of client authentication at once")
    try:
        text = base64.b64decode(encoded, validate=True).decode() if scheme == "Basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    # Both halves are form-encoded before they are joined (RFC 6749 section 2.3.1).
    user, _, password = (unquote_plus(part) for part in text.partition(":"))
    if client_id not in ("", user):
        raise Refusal("invalid_request", "client_id differs from the one in the header")
    return "client_secret_basic", user, password


def _by_assertion(model: Model, request: ReceivedRequest) -> tuple[Client, str]:
    """Judge an assertion (RFC 7523 section 3)."""
    params = request.params
    if params.get("client_assertion_type") != _ASSERTION:
        raise _bad("client_assertion_type is not jwt-bearer")
    if "authorization" in request.headers or "client_secret" in params:
        raise Refusal("invalid_request", "two ways of client authentication at once")
    try:
        assertion = jose.parse_jws(params["client_assertion"])
    except jose.MalformedToken as exc:
        raise _bad(str(exc)) from exc
    client = model.clients.get(str(assertion.claims.get("iss")))
    if client is None or params.get("client_id", client.client_id) != client.client_id:
        raise _bad("iss is no client, or not the one that client_id names")
    by_secret = assertion.alg in jose.SYMMETRIC_ALGORITHMS
    if assertion.alg != client.metadata.get("token_endpoint_auth_signing_alg", assertion.alg):
        raise _bad("another algorithm was registered")
    keys = [jose.secret_key(client.client_secret or "")] if by_secret else model.client_keys(client)
    if not any(jose.verify_jws(assertion, key, assertion.alg) for key in keys):
        raise _bad("no key of the client's made the signature")
    _check_claims(model, client, assertion.claims)
    return client, "client_secret_jwt" if by_secret else "private_key_jwt"


def _check_claims(model: Model, client: Client, claims: Mapping[str, Any]) -> None:
    now, aud = model.clock(), claims.get("aud")
    audiences = aud if isinstance(aud, list) else [aud]
    ours = (model.issuer, model.url("token"), model.url("mtls/token"))
    if claims.get("sub") != client.client_id:
        raise _bad("sub is not the client")
    if not set(ours) & set(audiences):
        raise _bad("aud is neither the issuer nor the token endpoint")
    if not isinstance(claims.get("iat"), int | float):
        raise _bad("iat is missing")
    exp = claims.get("exp")
    if not isinstance(exp, int | float) or not now < exp <= now + _LONGEST:
        raise _bad("exp is missing, past, or more than a day ahead")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti or f"jti {jti}" in model.seen:
        raise _bad("jti is missing or was used before")
    model.seen.add(f"jti {jti}")


def _bad(why: str) -> Refusal:
    return Refusal("invalid_client", f"client_assertion: {why}", 401)
