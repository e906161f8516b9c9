"""Dynamic client registration (OIDC Registration 1.0, RFC 7591) and its management (RFC 7592)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reliant.errors import RegistrationError, printable
from reliant.protocol.messages import HttpRequest, HttpResponse, integer, json_object, text
from reliant.protocol.token_endpoint import fits_header
from reliant.protocol.values import Secret, is_secure_url, origin_of

__all__ = [
    "Registration",
    "build_management_request",
    "build_registration_request",
    "check_deletion_response",
    "parse_registration_response",
]


# Members that only the answers hold; an update must not send them back (RFC 7592 section 2.2).
_ANSWERED = {"registration_access_token", "registration_client_uri", "client_id_issued_at",
             "client_secret_expires_at"}  # fmt: skip

# How the names end of those members that decide how messages look, and must be text.
_TEXTS = ("_alg", "_enc", "token_endpoint_auth_method", "client_secret",
          "registration_access_token", "registration_client_uri")  # fmt: skip


@dataclass(frozen=True)
class Registration:
    """A client as the provider registered it: what the provider answered is the truth.

    ``metadata``: the whole answer, which counts over what was asked for;
    ``client_secret_expires_at``: Unix time, 0 for never.
    """

    client_id: str
    client_secret: Secret | None
    client_secret_expires_at: int
    registration_access_token: Secret | None
    registration_client_uri: str | None
    metadata: Mapping[str, Any] = field(repr=False)


def build_registration_request(
    endpoint: str,
    metadata: Mapping[str, Any],
    initial_access_token: str | None = None,
    software_statement: str | None = None,
) -> HttpRequest:
    """The request that registers a client (RFC 7591 section 3.1).

    ``metadata``: the client metadata to ask for; raises ``RegistrationError`` with
    ``registration.metadata`` where they contradict themselves.
    """
    document = dict(metadata)
    if software_statement is not None:
        document["software_statement"] = software_statement
    _check_metadata(document)
    return _json_request("POST", endpoint, document, initial_access_token)


def build_management_request(
    method: str, uri: str, access_token: str, metadata: Mapping[str, Any] | None = None
) -> HttpRequest:
    """The request that reads (GET), updates (PUT) or deletes (DELETE) a client (RFC 7592 2).

    ``metadata``: of an update; what the provider answered before may be among them.
    """
    if metadata is not None:
        metadata = {name: value for name, value in metadata.items() if name not in _ANSWERED}
        _check_metadata(metadata)
    return _json_request(method, uri, metadata, access_token)


def _json_request(
    method: str, url: str, document: Mapping[str, Any] | None, token: str | None
) -> HttpRequest:
    headers = {"accept": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if document is None:
        return HttpRequest(method, url, headers)
    headers["content-type"] = "application/json"
    # Frameworks give addresses as objects of their own, redirect_uris for one.
    return HttpRequest(method, url, headers, json.dumps(document, default=str).encode())


def _check_metadata(document: Mapping[str, Any]) -> None:
    if not document.get("redirect_uris"):
        raise _error("metadata", 'The client metadata need "redirect_uris".')
    if "jwks" in document and "jwks_uri" in document:
        raise _error("metadata", 'The client metadata have both "jwks" and "jwks_uri": one of them '
                     "only (RFC 7591 section 2).")  # fmt: skip
    for name in list(document):
        if name.endswith("_enc") and f"{name[:-4]}_alg" not in document:
            raise _error("metadata", f'The client metadata have "{name}" without its "_alg".')


def parse_registration_response(
    response: HttpResponse, hide: str | None = None, asked: str = ""
) -> Registration:
    """Judge the answer to a registration, a read or an update (RFC 7591 section 3.2, 7592 3).

    200 counts as well as 201, for some providers answer so. ``hide``: the initial access token;
    ``asked``: where the answer comes from, the one place that may be managed over plain http.
    Raises ``RegistrationError``: ``registration.refused`` with the provider's error,
    ``.status``, ``.not_json`` and its kin, ``.client_id``, ``.member``, ``.management``.
    """
    if response.status not in (200, 201):
        raise _refused(response, hide)
    document = json_object(response, RegistrationError, "registration")
    client_id = text(document.get("client_id"))
    if client_id is None or not _is_sendable(client_id):
        raise _error("client_id", "The answer to the registration has no usable client_id.")
    secret, access_token = document.get("client_secret"), document.get("registration_access_token")
    expires_at = integer(document.get("client_secret_expires_at") or 0)
    for name, value in document.items():
        if name.endswith(_TEXTS) and not _is_sendable(value):
            raise _error("member", f'The "{printable(name, 100)}" in the answer is not a usable '
                         "string.")  # fmt: skip
    if access_token and not fits_header(access_token):  # the HTTP library would quote it
        raise _error("member", 'The "registration_access_token" in the answer fits no header.')
    if expires_at is None:
        raise _error("member", 'The "client_secret_expires_at" in the answer is not a time.')
    uri = text(document.get("registration_client_uri"))
    # Plain http to this very machine is for those only who run the provider there.
    secure = uri is None or uri.startswith("https://") or origin_of(uri) == origin_of(asked)
    if uri is not None and not (secure and is_secure_url(uri)):
        raise _error("management", "The registration_client_uri in the answer is not https.")
    return Registration(
        client_id,
        Secret(secret) if secret else None,
        expires_at,
        Secret(access_token) if access_token else None,
        uri,
        document,
    )


def _is_sendable(value: object) -> bool:
    """A string or nothing; JSON may hold lone surrogates, which no message can."""
    return value is None or (isinstance(value, str) and not re.search("[\ud800-\udfff]", value))


def check_deletion_response(response: HttpResponse, hide: str | None = None) -> None:
    """Judge the answer to a deletion (RFC 7592 section 2.3); ``hide``: the access token."""
    if response.status not in (200, 204):
        raise _refused(response, hide)


def _refused(response: HttpResponse, hide: str | None) -> RegistrationError:
    try:
        document = json_object(response, RegistrationError, "registration")
    except RegistrationError:
        document = {}
    error, description = text(document.get("error")), text(document.get("error_description"))
    if error is None:
        return _error("status", f"The registration endpoint answers with {response.status}.")
    description = description or "The provider refused the registration."
    if hide:
        error, description = error.replace(hide, "[hidden]"), description.replace(hide, "[hidden]")
    return RegistrationError(
        printable(error, 100), printable(description), code="registration.refused"
    )


def _error(rule: str, description: str) -> RegistrationError:
    return RegistrationError(description=description, code=f"registration.{rule}")
