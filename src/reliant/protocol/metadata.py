"""The provider's metadata: OpenID Connect Discovery 1.0 and RFC 8414."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from reliant.errors import ConfigurationError, MetadataError
from reliant.protocol.messages import HttpRequest, HttpResponse, json_object, text
from reliant.protocol.values import is_secure_url

__all__ = [
    "ARRAY_MEMBERS",
    "JSON_MEMBERS",
    "METADATA_MEMBERS",
    "ServerMetadata",
    "build_metadata_request",
    "issuers_of",
    "metadata_urls",
    "needed_endpoint",
    "parse_server_metadata",
]

URL_MEMBERS = (
    "authorization_endpoint", "backchannel_authentication_endpoint", "check_session_iframe",
    "device_authorization_endpoint", "end_session_endpoint", "introspection_endpoint", "jwks_uri",
    "pushed_authorization_request_endpoint", "registration_endpoint", "revocation_endpoint",
    "token_endpoint", "userinfo_endpoint",
)  # fmt: skip
ARRAY_MEMBERS = (
    "acr_values_supported", "authorization_details_types_supported",
    "authorization_encryption_alg_values_supported",
    "authorization_encryption_enc_values_supported",
    "authorization_signing_alg_values_supported", "backchannel_token_delivery_modes_supported",
    "claim_types_supported", "claims_locales_supported", "claims_supported",
    "code_challenge_methods_supported", "display_values_supported",
    "dpop_signing_alg_values_supported", "grant_types_supported",
    "id_token_encryption_alg_values_supported", "id_token_encryption_enc_values_supported",
    "id_token_signing_alg_values_supported",
    "introspection_endpoint_auth_methods_supported",
    "introspection_endpoint_auth_signing_alg_values_supported", "prompt_values_supported",
    "protected_resources", "request_object_encryption_alg_values_supported",
    "request_object_encryption_enc_values_supported",
    "request_object_signing_alg_values_supported", "response_modes_supported",
    "response_types_supported", "revocation_endpoint_auth_methods_supported",
    "revocation_endpoint_auth_signing_alg_values_supported", "scopes_supported",
    "subject_types_supported", "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported", "ui_locales_supported",
    "userinfo_encryption_alg_values_supported", "userinfo_encryption_enc_values_supported",
    "userinfo_signing_alg_values_supported",
)  # fmt: skip
FLAG_MEMBERS = (
    "authorization_response_iss_parameter_supported", "backchannel_logout_session_supported",
    "backchannel_logout_supported", "backchannel_user_code_parameter_supported",
    "claims_parameter_supported", "frontchannel_logout_session_supported",
    "frontchannel_logout_supported", "request_parameter_supported",
    "request_uri_parameter_supported", "require_pushed_authorization_requests",
    "require_request_uri_registration", "require_signed_request_object",
    "tls_client_certificate_bound_access_tokens",
)  # fmt: skip
TEXT_MEMBERS = ("issuer", "op_policy_uri", "op_tos_uri", "service_documentation",
                "signed_metadata")  # fmt: skip
JSON_MEMBERS = (*ARRAY_MEMBERS, *FLAG_MEMBERS, "jwks", "mtls_endpoint_aliases")
METADATA_MEMBERS = frozenset((*URL_MEMBERS, *TEXT_MEMBERS, *JSON_MEMBERS))

_WELL_KNOWN = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


class ServerMetadata(dict[str, Any]):
    """The provider's metadata as it stands for this client: a mapping with checked readers."""

    def __init__(self, *members: Any, **more: Any) -> None:
        super().__init__(*members, **more)
        self._secure: set[str] = set()  # addresses that passed the check

    @property
    def issuer(self) -> str | None:
        """The issuer identifier, or None."""
        return text(self.get("issuer"))

    def endpoint(self, name: str, *, mtls: bool = False) -> str | None:
        """The URL of an endpoint, or None; ``metadata.insecure`` where it is not https.

        ``mtls``: whether a client certificate is used there, which may have an address of its own
        (RFC 8705 section 5).
        """
        aliases = self.get("mtls_endpoint_aliases") if mtls else None
        alias = text(aliases.get(name)) if isinstance(aliases, Mapping) else None
        url = alias or text(self.get(name))
        if url is None or url in self._secure:
            return url
        if not is_secure_url(url):
            raise ConfigurationError(
                description=f'The provider\'s "{name}" is not an https URL, so no secret may '
                "travel there. Plain http works for loopback addresses only.",
                code="metadata.insecure",
            )
        self._secure.add(url)
        return url

    def announced(self, name: str) -> tuple[str, ...] | None:
        """The values of an array member, or None where the provider says nothing."""
        value = self.get(name)
        return tuple(value) if isinstance(value, list | tuple) else None


def needed_endpoint(
    metadata: ServerMetadata, name: str, missing: str, *, mtls: bool = False
) -> str:
    """The URL of an endpoint that must be known.

    ``missing``: what the error says first. Raises ``ConfigurationError`` with
    ``configuration.<name>`` where there is none.
    """
    url = metadata.endpoint(name, mtls=mtls)
    if url is None:
        raise ConfigurationError(
            description=f"{missing}: set it, or server_metadata_url, in register().",
            code=f"configuration.{name}",
        )
    return url


def build_metadata_request(url: str) -> HttpRequest:
    """The request for a metadata document (OIDC Discovery section 4.1)."""
    return HttpRequest("GET", url, {"accept": "application/json"})


def parse_server_metadata(
    response: HttpResponse, url: str, issuer: str | None, openid: bool
) -> ServerMetadata:
    """Judge a metadata document (OIDC Discovery section 4.3, RFC 8414 section 3.3).

    ``url``: where it came from; ``issuer``: the one the app configured, or None to take it from
    ``url``; ``openid``: whether logins rest on it, so that an issuer must be there and must match.
    Raises ``MetadataError``: ``metadata.status``, ``metadata.redirected``, ``metadata.not_json``
    and its kin, ``metadata.issuer_missing``, ``metadata.issuer_mismatch``, ``metadata.member``.
    Where ``url`` does not tell the issuer, the caller must have it from the app before it relies
    on it.
    """
    if 300 <= response.status < 400:
        raise _error("redirected", "The metadata address answers with a redirect, which is not "
                     "followed. Set server_metadata_url to the final address.")  # fmt: skip
    if response.status != 200:
        raise _error("status", f"The metadata address answers with status {response.status}. "
                     "Check server_metadata_url; it mostly ends with "
                     "/.well-known/openid-configuration.")  # fmt: skip
    document = ServerMetadata(json_object(response, MetadataError, "metadata"))
    for name in URL_MEMBERS:
        value = document.get(name, "")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise _error("member", f'The metadata member "{name}" is not a URL.')
    for name in ARRAY_MEMBERS:
        value = document.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _error("member", f'The metadata member "{name}" is not an array of strings.')
    _check_issuer(document, url, issuer, openid)
    return document


def _check_issuer(document: Mapping[str, Any], url: str, issuer: str | None, openid: bool) -> None:
    found = document.get("issuer")
    if not found and not openid and issuer is None:
        return  # a plain OAuth 2.0 server that has no issuer identifier
    if not isinstance(found, str) or not found:
        raise _error("issuer_missing", "The metadata document has no issuer.")
    expected = (issuer,) if issuer is not None else issuers_of(url)
    if expected and found not in expected:
        raise _error(
            "issuer_mismatch",
            "The metadata document names another issuer than the one it was asked of. Check "
            "server_metadata_url, or issuer if you set it: they must match to the letter.",
        )


def issuers_of(url: str) -> tuple[str, ...]:
    """The issuers whose metadata live at ``url``; empty where the address does not tell.

    Both forms of RFC 8414 section 3.1 are known. A trailing slash of the issuer leaves no trace in
    the address (OIDC Discovery section 4.1), so an issuer may be named with or without one.
    """
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        return ()
    for suffix in _WELL_KNOWN:
        before, found, after = parts.path.partition(suffix)
        if found and (not after or (not before and after.startswith("/"))):
            base = f"{parts.scheme}://{parts.netloc}{before or after}".rstrip("/")
            return (base, base + "/")
    return ()


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """The addresses at which an issuer's metadata may be, the likeliest first.

    OIDC Discovery section 4.1, then the two forms of RFC 8414 sections 3.1 and 5.
    """
    parts = urlsplit(issuer)
    base, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    openid, oauth = _WELL_KNOWN
    urls = (f"{base}{path}{openid}", f"{base}{oauth}{path}", f"{base}{openid}{path}")
    return tuple(dict.fromkeys(urls))


def _error(rule: str, description: str) -> MetadataError:
    return MetadataError(description=description, code=f"metadata.{rule}")
