"""Signing and encrypting what the provider says, and getting it wrong when a fault asks for it."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

from reliant.protocol import jose
from reliant.testing.model import Client, Model

__all__ = ["encrypted", "sign", "signing_alg"]

# What the JOSE library signs as it stands; anything else is written over the header afterwards.
_SIGNED_MEMBERS = {"kid": str, "typ": str, "jku": str, "x5u": str, "jwk": dict, "x5c": list}


def signing_alg(model: Model, document: str) -> str:
    """The algorithm that a token of this kind is going to be signed with."""
    right = model.behaviour.userinfo_alg if document == "userinfo" else None
    return model.faults.peek(f"{document}.alg") or right or model.signing_alg


def sign(model: Model, client_id: str, document: str, claims: Mapping[str, Any]) -> str:
    """Sign ``claims`` as a ``document``: "id_token", "logout_token" or "userinfo"."""
    faults, alg = model.faults, signing_alg(model, document)
    if faults.take(f"{document}.rotate"):
        model.keys.rotate(keep_old=False)
    confused = faults.take(f"{document}.alg") not in (None, *jose.ASYMMETRIC_ALGORITHMS)
    if confused:
        header = faults.alter(f"{document}.header", {"alg": alg})
        token = _confused(model, alg, header, claims)
    else:
        key, kid = _key(model, client_id, alg, faults.take(f"{document}.key"))
        right = {"alg": alg} if kid is None else {"alg": alg, "kid": kid}
        token = _signed(faults.alter(f"{document}.header", right), claims, key, alg)
    return _break_signature(token, faults.take(f"{document}.signature"))


def encrypted(model: Model, client: Client, document: str, token: str) -> str:
    """Encrypt ``token`` if the client registered for that (OIDC Core section 10.2)."""
    alg = client.metadata.get(f"{document}_encrypted_response_alg")
    if alg is None:
        return token
    enc = client.metadata.get(f"{document}_encrypted_response_enc", "A128CBC-HS256")
    kinds = ("RSA",) if alg.startswith("RSA") else ("EC", "OKP")
    fitting = (key for key in model.client_keys(client) if key.key_type in kinds)
    key = next(key for key in fitting if key.get("use") in (None, "enc"))
    header = {"kid": key.kid} if key.kid else {}
    return jose.encrypt(token, key, alg, enc, cty="JWT", **header)


def _key(model: Model, client_id: str, alg: str, fault: str | None) -> tuple[jose.Key, str | None]:
    if alg in jose.SYMMETRIC_ALGORITHMS:
        secret = model.clients[client_id].client_secret or ""
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
    if fault == "xor":
        return f"{head}.{_base64url(bytes(octet ^ 0x5A for octet in octets))}"
    octets[len(octets) // 2] ^= 0xFF
    return f"{head}.{_base64url(bytes(octets))}"


def _segment(value: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(value).encode())


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
