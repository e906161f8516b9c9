"""ID Tokens and logout tokens: the right claims, and the faults asked for."""

from __future__ import annotations

import secrets
from typing import Any

from reliant.protocol import jose
from reliant.testing.model import Client, Grant, Model, Session
from reliant.testing.signing import encrypted, sign, signing_alg
from reliant.testing.users import claims_of, released

__all__ = ["id_token", "logout_token"]

_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_LOGOUT_TOKEN_LIFETIME = 120  # seconds


def id_token(
    model: Model,
    grant: Grant,
    *,
    refreshed: bool = False,
    all_claims: bool = False,
    code: str | None = None,
    state: str | None = None,
) -> str:
    """The ID Token of ``grant``, its access token bound in (OIDC Core sections 2 and 12.2).

    ``all_claims``: no access token will follow; ``code``, ``state``: what goes beside it through
    the browser (section 3.3.2.11).
    """
    now = int(model.clock())
    session, rules = grant.session, model.behaviour
    user = claims_of(session.user, model.users)
    claims: dict[str, Any] = {
        "iss": model.issuer,
        "sub": user["sub"],
        "aud": grant.client_id,
        "exp": now + rules.id_token_lifetime,
        "iat": now,
    }
    if rules.sid:
        claims["sid"] = session.sid
    if grant.nonce is not None and (rules.refresh_nonce or not refreshed):
        claims["nonce"] = grant.nonce
    if rules.auth_time or (grant.max_age_asked and not refreshed):
        claims["auth_time"] = session.auth_time
    if grant.acr is not None:
        claims |= {"acr": grant.acr, "amr": ["pwd"]}
    if rules.claims_in_id_token or all_claims:
        claims |= released(user, grant.scope)
    alg = signing_alg(model, "id_token")
    if alg in jose.ASYMMETRIC_ALGORITHMS + jose.SYMMETRIC_ALGORITHMS:
        bound = {"at_hash": grant.access_token, "c_hash": code, "s_hash": state}
        claims |= {name: jose.hash_of(value, alg) for name, value in bound.items() if value}
    claims = model.faults.alter("id_token", claims)
    token = sign(model, grant.client_id, "id_token", claims)
    return encrypted(model, model.clients[grant.client_id], "id_token", token)


def logout_token(model: Model, client: Client, session: Session) -> str:
    """The logout token that tells ``client`` of the end of ``session`` (Back-Channel 1.0 2.4)."""
    now = int(model.clock())
    claims = {
        "iss": model.issuer,
        "sub": claims_of(session.user, model.users)["sub"],
        "aud": client.client_id,
        "jti": secrets.token_urlsafe(16),
        "sid": session.sid,
        "events": {_EVENT: {}},
        "iat": now,
        "exp": now + _LOGOUT_TOKEN_LIFETIME,
    }
    claims = model.faults.alter("logout_token", claims)
    token = sign(model, client.client_id, "logout_token", claims)
    return encrypted(model, client, "id_token", token)
