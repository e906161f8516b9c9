"""Request objects, by value and by reference (OIDC Core section 6, RFC 9101)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from reliant.protocol import jose
from reliant.testing.messages import ReceivedRequest, Refusal
from reliant.testing.model import Client, Model
from reliant.testing.outbound import fetch

__all__ = ["with_request_object"]

_SKEW = 300  # seconds
_NOT_PARAMETERS = ("iss", "aud", "exp", "iat", "nbf", "jti")


async def with_request_object(model: Model, request: ReceivedRequest) -> ReceivedRequest:
    """The request with what its request object says, which wins over the plain parameters."""
    params, supported = request.params, model.behaviour.request_objects
    if "value" in supported and "request" in params:
        token = params["request"]
    elif "uri" in supported and "request_uri" in params:
        token = (await fetch(model, params["request_uri"])).text
    else:
        return request
    client = model.clients.get(params.get("client_id", ""))
    if client is None:
        raise Refusal("invalid_client", "there is no client with this client_id")
    claims = _opened(model, client, token, params.get("request_uri"))
    _check(model, client, params, claims)
    inside = {name: _text(value) for name, value in claims.items() if name not in _NOT_PARAMETERS}
    merged = {**params, **inside}
    merged.pop("request", None)
    merged.pop("request_uri", None)
    return replace(request, params=merged, query=urlencode(merged))


def _opened(model: Model, client: Client, token: str, uri: str | None) -> Mapping[str, Any]:
    try:
        parsed = jose.parse_jws(token)
    except jose.MalformedToken as exc:
        raise _bad(str(exc)) from exc
    registered = client.metadata.get("request_object_signing_alg")
    if parsed.alg != (registered or parsed.alg) or (parsed.alg == "none") != (registered == "none"):
        raise _bad("it is not signed with the registered algorithm")
    if parsed.alg == "none":
        if uri is not None and not uri.startswith("https:"):
            raise _bad("without a signature it must come over https")
    elif not any(jose.verify_jws(parsed, key, parsed.alg) for key in model.client_keys(client)):
        raise _bad("no key of the client's made the signature")
    return parsed.claims


def _check(
    model: Model, client: Client, params: Mapping[str, str], claims: Mapping[str, Any]
) -> None:
    now = model.clock()
    for name in ("client_id", "response_type"):
        if name not in params or claims.get(name, params[name]) != params[name]:
            raise _bad(f"{name} must stand outside as well, and be the same")
    if not now - _SKEW < claims.get("exp", now) < now + 50 * 365 * 86400:
        raise _bad("exp is past, or more than fifty years ahead")
    if not now - 86400 < claims.get("iat", now) < now + _SKEW:
        raise _bad("iat is in the future, or more than a day ago")
    if not isinstance(claims.get("max_age", 0), int):
        raise _bad("max_age is not a number")
    aud = claims.get("aud", model.issuer)
    if claims.get("iss", client.client_id) != client.client_id:
        raise _bad("iss is not the client")
    if model.issuer not in (aud if isinstance(aud, list) else [aud]):
        raise _bad("aud is not the issuer")
    if {"request", "request_uri"} & claims.keys() or claims.get("sub") == client.client_id:
        raise _bad("it holds request, request_uri, or the client as sub")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _bad(why: str) -> Refusal:
    return Refusal("invalid_request_object", f"the request object is not valid: {why}")
