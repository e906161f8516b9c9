"""The endpoints clients call themselves: metadata, keys, tokens, UserInfo, revocation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any
from urllib.parse import unquote_plus

from starlette.responses import JSONResponse, Response

from reliant.testing.messages import ReceivedRequest, Refusal
from reliant.testing.model import Client, Grant, Model
from reliant.testing.tokens import id_token
from reliant.testing.users import claims_of, released

__all__ = ["discovery", "jwks", "revoke", "token", "userinfo"]

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def discovery(model: Model, request: ReceivedRequest) -> Response:
    """The provider metadata (OIDC Discovery 1.0 section 3)."""
    rules = model.behaviour
    metadata = {
        "issuer": model.issuer,
        "authorization_endpoint": model.url("authorize"),
        "token_endpoint": model.url("token"),
        "userinfo_endpoint": model.url("userinfo"),
        "jwks_uri": model.url("jwks"),
        "revocation_endpoint": model.url("revoke"),
        "end_session_endpoint": model.url("end-session"),
        "scopes_supported": ["openid", "profile", "email", "address", "phone", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": ["authorization_code"]
        + (["refresh_token"] if rules.refresh_tokens else []),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [model.signing_alg],
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "client_secret_post",
            "none",
        ],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
    if rules.announce_pkce:
        metadata["code_challenge_methods_supported"] = ["S256"]
    if rules.response_iss:
        metadata["authorization_response_iss_parameter_supported"] = True
    return JSONResponse(model.faults.alter("discovery", metadata))


def jwks(model: Model, request: ReceivedRequest) -> Response:
    """The JWK Set (RFC 7517 section 5)."""
    return JSONResponse(model.faults.alter("jwks", {"keys": model.keys.published}))


def token(model: Model, request: ReceivedRequest) -> Response:
    """The token endpoint (RFC 6749 sections 4.1.3, 5 and 6)."""
    _no_repeats(request)
    client = _authenticated(model, request)
    grant_type = request.params.get("grant_type")
    if grant_type == "authorization_code":
        grant = _from_code(model, request, client)
    elif grant_type == "refresh_token" and model.behaviour.refresh_tokens:
        grant = _from_refresh_token(model, request, client)
    else:
        raise Refusal("unsupported_grant_type", "there is no such grant type here")
    model.issue_tokens(grant)
    members: dict[str, Any] = {
        "access_token": grant.access_token,
        "token_type": "Bearer",
        "scope": grant.scope,
    }
    if model.behaviour.access_token_lifetime is not None:
        members["expires_in"] = model.behaviour.access_token_lifetime
    if model.behaviour.refresh_tokens:
        members["refresh_token"] = grant.refresh_token
    refreshed = grant_type == "refresh_token"
    if "openid" in grant.scope.split() and (model.behaviour.refresh_id_token or not refreshed):
        members["id_token"] = id_token(model, grant, refreshed=refreshed)
    return JSONResponse(model.faults.alter("token", members), headers=_NO_STORE)


def _from_code(model: Model, request: ReceivedRequest, client: Client) -> Grant:
    grant = model.redeem_code(_needed(request, "code"), client)
    if request.params.get("redirect_uri") != grant.redirect_uri:
        raise Refusal("invalid_grant", "redirect_uri is not the one the code was sent to")
    verifier = request.params.get("code_verifier")
    if grant.code_challenge is None:
        # A verifier without a challenge: someone took the challenge out (RFC 9700 section 2.1.1).
        if verifier is not None:
            raise Refusal("invalid_grant", "code_verifier was sent, code_challenge was not")
    elif verifier is None or not hmac.compare_digest(_s256(verifier), grant.code_challenge):
        raise Refusal("invalid_grant", "code_verifier does not fit code_challenge")
    return grant


def _from_refresh_token(model: Model, request: ReceivedRequest, client: Client) -> Grant:
    grant = model.redeem_refresh_token(_needed(request, "refresh_token"), client)
    asked = request.params.get("scope", grant.scope).split()
    if not set(asked) <= set(grant.scope.split()):
        raise Refusal("invalid_scope", "a refresh can't ask for more than was granted")
    return grant


def userinfo(model: Model, request: ReceivedRequest) -> Response:
    """The UserInfo endpoint (OIDC Core section 5.3, RFC 6750)."""
    grant = model.grant_of(_bearer_token(request))
    if grant is None:
        raise _unauthorized("invalid_token", "this access token is unknown, replaced or expired")
    claims = released(claims_of(grant.session.user, model.users), grant.scope)
    return JSONResponse(model.faults.alter("userinfo", claims), headers=_NO_STORE)


def _bearer_token(request: ReceivedRequest) -> str:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    posted = request.params.get("access_token")
    if posted is not None and (request.method != "POST" or scheme):
        raise Refusal("invalid_request", "send the access token once, and not in the URL")
    if posted is not None:
        return posted
    if scheme.lower() != "bearer":
        raise _unauthorized("invalid_request", "no access token was sent")
    return credentials.strip()


def _unauthorized(error: str, description: str) -> Refusal:
    challenge = f'Bearer error="{error}", error_description="{description}"'
    return Refusal(error, description, 401, challenge)


def revoke(model: Model, request: ReceivedRequest) -> Response:
    """The revocation endpoint (RFC 7009): 200 for an unknown token as well."""
    _no_repeats(request)
    client = _authenticated(model, request)
    model.revoke(_needed(request, "token"), client)
    return Response(headers=_NO_STORE)


def _authenticated(model: Model, request: ReceivedRequest) -> Client:
    """The client that sent the request, its method and secret judged (RFC 6749 section 2.3)."""
    method, client_id, secret = _credentials(request)
    client = model.clients.get(client_id)
    right = (client.client_secret if client else None) or ""
    challenge = "Basic" if method == "client_secret_basic" else None
    if client is None or not hmac.compare_digest(secret.encode(), right.encode()):
        raise Refusal("invalid_client", "unknown client or wrong secret", 401, challenge)
    if method not in client.auth_methods:
        raise Refusal("invalid_client", f"this client may not use {method}", 401, challenge)
    return client


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


def _no_repeats(request: ReceivedRequest) -> None:
    if request.repeated:
        raise Refusal("invalid_request", f"sent twice: {', '.join(sorted(request.repeated))}")


def _needed(request: ReceivedRequest, name: str) -> str:
    value = request.params.get(name)
    if not value:
        raise Refusal("invalid_request", f"{name} is missing")
    return value


def _s256(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
