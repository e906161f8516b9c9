"""The endpoints clients call themselves: metadata, keys, tokens, revocation."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from starlette.responses import JSONResponse, Response

from reliant.testing.checks import check_token_request
from reliant.testing.client_auth import authenticated
from reliant.testing.messages import ReceivedRequest, Refusal
from reliant.testing.model import Client, Grant, Model
from reliant.testing.tokens import id_token

__all__ = ["discovery", "jwks", "revoke", "token"]

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def discovery(model: Model, request: ReceivedRequest) -> Response:
    """The provider metadata (OIDC Discovery 1.0 section 3)."""
    rules = model.behaviour
    browser_types = any(kind != "code" for kind in rules.response_types)
    metadata = {
        "issuer": model.issuer,
        "authorization_endpoint": model.url("authorize"),
        "token_endpoint": model.url("token"),
        "userinfo_endpoint": model.url("userinfo"),
        "jwks_uri": model.url("jwks") + rules.jwks_suffix,
        "revocation_endpoint": model.url("revoke"),
        "end_session_endpoint": model.url("end-session"),
        "scopes_supported": ["openid", "profile", "email", "address", "phone", "offline_access"],
        "response_types_supported": list(rules.response_types),
        "response_modes_supported": ["query", "form_post"] + ["fragment"] * browser_types,
        "grant_types_supported": ["authorization_code"]
        + ["implicit"] * browser_types
        + ["refresh_token"] * rules.refresh_tokens,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": rules.id_token_algs or [model.signing_alg],
        "token_endpoint_auth_methods_supported": list(rules.auth_methods),
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": False,
        "request_parameter_supported": "value" in rules.request_objects,
        "request_uri_parameter_supported": "uri" in rules.request_objects,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "frontchannel_logout_supported": True,
        "frontchannel_logout_session_supported": True,
    }
    return JSONResponse(model.faults.alter("discovery", {**metadata, **_optional(model)}))


def _optional(model: Model) -> dict[str, Any]:
    rules, metadata = model.behaviour, dict[str, Any]()
    if rules.announce_pkce:
        metadata["code_challenge_methods_supported"] = ["S256"]
    if rules.response_iss:
        metadata["authorization_response_iss_parameter_supported"] = True
    if rules.registration:
        metadata["registration_endpoint"] = model.url("register")
    if rules.session_management:
        metadata["check_session_iframe"] = model.url("check-session")
    if rules.userinfo_alg is not None:
        metadata["userinfo_signing_alg_values_supported"] = [rules.userinfo_alg]
    if rules.mtls_aliases:
        metadata["mtls_endpoint_aliases"] = {
            "token_endpoint": model.url("mtls/token"),
            "userinfo_endpoint": model.url("mtls/userinfo"),
        }
    return metadata


def jwks(model: Model, request: ReceivedRequest) -> Response:
    """The JWK Set (RFC 7517 section 5)."""
    return JSONResponse(model.faults.alter("jwks", {"keys": model.keys.published}))


def token(model: Model, request: ReceivedRequest) -> Response:
    """The token endpoint (RFC 6749 sections 4.1.3, 5 and 6)."""
    _no_repeats(request)
    client = authenticated(model, request)
    check_token_request(model, request)
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


def revoke(model: Model, request: ReceivedRequest) -> Response:
    """The revocation endpoint (RFC 7009): 200 for an unknown token as well."""
    _no_repeats(request)
    client = authenticated(model, request)
    model.revoke(_needed(request, "token"), client)
    return Response(headers=_NO_STORE)


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
