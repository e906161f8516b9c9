"""ID Tokens: the right claims, the faults asked for, a signature."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

from reliant.protocol import jose
from reliant.testing.model import Grant, Model
from reliant.testing.users import claims_of, released

__all__ = ["id_token"]

_ALGORITHMS = jose.ASYMMETRIC_ALGORITHMS + jose.SYMMETRIC_ALGORITHMS
# What the JOSE library signs as it stands; anything else is written over the header afterwards.
_SIGNED_MEMBERS = {"kid": str, "typ": str, "jku": str, "x5u": str, "jwk": dict, "x5c": list}


def id_token(model: Model, grant: Grant, *, refreshed: bool = False) -> str:
    """The ID Token of ``grant``, its access token bound in (OIDC Core sections 2 and 12.2)."""
    now = int(model.clock())
    session, rules = grant.session, model.behaviour
    user = claims_of(session.user, model.users)
    claims: dict[str, Any] = {
        "iss": model.issuer,
        "sub": user["sub"],
        "aud": grant.client_id,
        "exp": now + rules.id_token_lifetime,
        "iat": now,
        "sid": session.sid,
    }
    if grant.nonce is not None and not refreshed:
        claims["nonce"] = grant.nonce
    if rules.auth_time or grant.max_age_asked:
        claims["auth_time"] = session.auth_time
    if grant.acr is not None:
        claims |= {"acr": grant.acr, "amr": ["pwd"]}
    if rules.claims_in_id_token:
        claims |= released(user, grant.scope)
    wanted = model.faults.take("id_token.alg")
    if grant.access_token is not None:
        hash_alg = wanted if wanted in _ALGORITHMS else model.signing_alg
        claims["at_hash"] = jose.hash_of(grant.access_token, hash_alg)
    return _sign(model, grant, model.faults.alter("id_token", claims), wanted)


def _sign(model: Model, grant: Grant, claims: Mapping[str, Any], wanted: str | None) -> str:
    faults = model.faults
    alg = wanted or model.signing_alg
    if wanted is not None and wanted not in jose.ASYMMETRIC_ALGORITHMS:
        token = _confused(model, wanted, faults.alter("id_token.header", {"alg": wanted}), claims)
    else:
        key, kid = _key(model, grant, alg, faults.take("id_token.key"))
        right = {"alg": alg} if kid is None else {"alg": alg, "kid": kid}
        token = _signed(faults.alter("id_token.header", right), claims, key, alg)
    return _break_signature(token, faults.take("id_token.signature"))


def _key(model: Model, grant: Grant, alg: str, fault: str | None) -> tuple[jose.Key, str | None]:
    if alg in jose.SYMMETRIC_ALGORITHMS:
        secret = model.clients[grant.client_id].client_secret or ""
        return jose.secret_key(f"not {secret}" if fault else secret), None
    right = model.keys.signing_key(alg)
    if fault is None:
        return right, right.kid
    stranger = model.keys.stranger(alg)
    return stranger, right.kid if fault == "impostor" else stranger.kid


def _signed(header: Mapping[str, Any], claims: Mapping[str, Any], key: jose.Key, alg: str) -> str:
    signable = {
        name: value
        for name, value in header.items()
        if isinstance(value, _SIGNED_MEMBERS.get(name, ()))
    }
    token = jose.sign_jwt(claims, key, alg, **signable)
    if set(signable) | {"alg"} == set(header) and header["alg"] == alg:
        return token
    return ".".join((_segment(header), *token.split(".")[1:]))


def _confused(model: Model, alg: str, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """No signature for "none"; else the HMAC an attacker can make from the public key."""
    message = f"{_segment(header)}.{_segment(claims)}"
    if alg not in jose.SYMMETRIC_ALGORITHMS:
        return f"{message}."
    published = model.signing_alg if model.signing_alg in jose.ASYMMETRIC_ALGORITHMS else "RS256"
    key: Any = model.keys.signing_key(published)
    mac = hmac.digest(key.as_pem(private=False), message.encode(), f"sha{alg[2:]}")
    return f"{message}.{_base64url(mac)}"


def _break_signature(token: str, fault: str | None) -> str:
    head, _, signature = token.rpartition(".")
    if fault is None or not signature:
        return token
    if fault == "empty":
        return f"{head}."
    octets = bytearray(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    octets[len(octets) // 2] ^= 0xFF
    return f"{head}.{_base64url(bytes(octets))}"


def _segment(value: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(value).encode())


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
