"""The UserInfo endpoint, and the endpoint that claims are referred to (OIDC Core 5.3, 5.6)."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.responses import JSONResponse, Response

from reliant.protocol import jose
from reliant.testing.checks import check_userinfo
from reliant.testing.messages import ReceivedRequest, Refusal
from reliant.testing.model import Model
from reliant.testing.signing import encrypted, sign
from reliant.testing.users import claims_of, released

__all__ = ["distributed", "userinfo"]

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def userinfo(model: Model, request: ReceivedRequest) -> Response:
    """The UserInfo endpoint (OIDC Core section 5.3, RFC 6750)."""
    check_userinfo(model, request)
    grant = model.grant_of(_bearer_token(request))
    if grant is None:
        raise _unauthorized("invalid_token", "this access token is unknown, replaced or expired")
    client = model.clients[grant.client_id]
    claims = released(claims_of(grant.session.user, model.users), grant.scope)
    claims |= _referred(model)
    if model.behaviour.userinfo_alg is not None:
        claims |= {"iss": model.issuer, "aud": client.client_id}
    claims = model.faults.alter("userinfo", claims)
    if model.behaviour.userinfo_alg is not None:
        text = sign(model, client.client_id, "userinfo", claims)
    elif "userinfo_encrypted_response_alg" in client.metadata:
        text = bytes(JSONResponse(claims).body).decode()
    else:
        return JSONResponse(claims, headers=_NO_STORE)
    text = encrypted(model, client, "userinfo", text)
    return Response(text, media_type="application/jwt", headers=_NO_STORE)


def _referred(model: Model) -> dict[str, Any]:
    """Where the claims are that stand elsewhere (OIDC Core section 5.6.2)."""
    rules = model.behaviour
    names, sources = dict[str, str](), dict[str, dict[str, str]]()
    if rules.aggregated_claims:
        sources["src1"] = {"JWT": jose.unsigned_jwt(rules.aggregated_claims)}
        names |= dict.fromkeys(rules.aggregated_claims, "src1")
    if rules.distributed_claims:
        token = secrets.token_urlsafe(24)
        model.seen.add(f"claims {token}")
        sources["src2"] = {"endpoint": model.url("claims"), "access_token": token}
        names |= dict.fromkeys(rules.distributed_claims, "src2")
    return {"_claim_names": names, "_claim_sources": sources} if names else {}


def distributed(model: Model, request: ReceivedRequest) -> Response:
    """The endpoint with the distributed claims: only for the token that names it."""
    check_userinfo(model, request)
    if f"claims {_bearer_token(request)}" not in model.seen:
        raise _unauthorized("invalid_token", "this is not the access token of these claims")
    claims = model.faults.alter("claims", model.behaviour.distributed_claims)
    key = model.keys.signing_key(model.signing_alg)
    token = jose.sign_jwt(claims, key, model.signing_alg, kid=key.kid)
    return Response(token, media_type="application/jwt", headers=_NO_STORE)


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
