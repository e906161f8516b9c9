"""Clients that register themselves, and look after it (OIDC Registration 1.0, RFC 7591, 7592)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from reliant.testing.checks import check_client_metadata
from reliant.testing.messages import ReceivedRequest, Refusal
from reliant.testing.model import Client, Model
from reliant.testing.outbound import fetch

__all__ = ["manage", "register"]

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_OURS = ("client_id", "client_secret", "redirect_uris", "post_logout_redirect_uris",
         "token_endpoint_auth_method")  # fmt: skip
_NOT_IN_UPDATES = {"registration_access_token", "registration_client_uri",
                   "client_secret_expires_at", "client_id_issued_at"}  # fmt: skip


async def register(model: Model, request: ReceivedRequest) -> Response:
    """The registration endpoint (RFC 7591 section 3)."""
    if not model.behaviour.registration:
        raise Refusal("access_denied", "clients can't register themselves here", 403)
    wanted = model.behaviour.initial_access_token
    if wanted is not None and _bearer(request) != wanted:
        raise _refused()
    metadata = _metadata(request)
    check_client_metadata(model, metadata)
    await _check_links(model, metadata)
    method = metadata.get("token_endpoint_auth_method", "client_secret_basic")
    keyless = ("none", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth")
    secret = None if method in keyless else model.random(48)
    client = _client(model.random(12), secret, {**metadata, "token_endpoint_auth_method": method})
    handle, access_token = secrets.token_urlsafe(12), secrets.token_urlsafe(24)
    model.clients[client.client_id] = client
    model.registrations[handle] = (client.client_id, access_token)
    return JSONResponse(_answer(model, client, handle), 201, _NO_STORE)


def manage(model: Model, request: ReceivedRequest) -> Response:
    """The client configuration endpoint: read, update, delete (RFC 7592 section 2)."""
    handle = request.url.rpartition("/")[2]
    client_id, access_token = model.registrations.get(handle, ("", ""))
    client = model.clients.get(client_id)
    if client is None or _bearer(request) != access_token:
        raise _refused()
    if request.method == "DELETE":
        del model.clients[client_id], model.registrations[handle]
        return Response(status_code=204, headers=_NO_STORE)
    if request.method == "PUT":
        metadata = _metadata(request)
        if metadata.pop("client_id", None) != client_id or _NOT_IN_UPDATES & metadata.keys():
            raise Refusal("invalid_request", "client_id is not this client's, or the update "
                          "holds what only the answer may hold")  # fmt: skip
        check_client_metadata(model, metadata)
        client = model.clients[client_id] = _client(client_id, client.client_secret, metadata)
    return JSONResponse(_answer(model, client, handle), headers=_NO_STORE)


def _client(client_id: str, secret: str | None, metadata: Mapping[str, Any]) -> Client:
    return Client(
        client_id,
        secret,
        tuple(metadata["redirect_uris"]),
        tuple(metadata.get("post_logout_redirect_uris", ())),
        metadata.get("token_endpoint_auth_method"),
        {name: value for name, value in metadata.items() if name not in _OURS},
    )


def _answer(model: Model, client: Client, handle: str) -> dict[str, Any]:
    """What the client is registered as: the provider's choice wins over what was asked for."""
    members: dict[str, Any] = {
        **client.metadata,
        "client_id": client.client_id,
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "token_endpoint_auth_method": client.token_endpoint_auth_method,
        "id_token_signed_response_alg": model.signing_alg,
        "registration_access_token": model.registrations[handle][1],
        "registration_client_uri": model.url(f"register/{handle}"),
    }
    if client.client_secret is not None:
        members |= {"client_secret": client.client_secret, "client_secret_expires_at": 0}
    if model.behaviour.userinfo_alg is not None:
        members["userinfo_signed_response_alg"] = model.behaviour.userinfo_alg
    return model.faults.alter("registration", members)


async def _check_links(model: Model, metadata: Mapping[str, Any]) -> None:
    """Fetch what the metadata point to (OIDC Registration sections 2 and 5)."""
    if "logo_uri" in metadata:
        logo = await fetch(model, metadata["logo_uri"])
        if not logo.headers.get("content-type", "").startswith("image/"):
            model.violations.append("register.logo_uri: there is no image")
    if "sector_identifier_uri" in metadata:
        listed = (await fetch(model, metadata["sector_identifier_uri"])).json()
        if not isinstance(listed, list) or not set(metadata["redirect_uris"]) <= set(listed):
            model.violations.append(
                "register.sector_identifier_uri: it does not list every redirect URI"
            )


def _metadata(request: ReceivedRequest) -> dict[str, Any]:
    try:
        document = json.loads(request.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Refusal("invalid_client_metadata", "the body is not a JSON object")
    uris = document.get("redirect_uris")
    if not isinstance(uris, list) or not uris:
        raise Refusal("invalid_redirect_uri", "redirect_uris is missing or empty")
    return document


def _bearer(request: ReceivedRequest) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _refused() -> Refusal:
    return Refusal("invalid_token", "this needs another access token", 401, "Bearer")
