"""Token revocation (RFC 7009)."""

from __future__ import annotations

from reliant.errors import TokenError
from reliant.protocol.messages import HttpRequest, HttpResponse, form_request

__all__ = ["build_revocation_request", "check_revocation_response"]


def build_revocation_request(endpoint: str, token: str, hint: str | None) -> HttpRequest:
    """The request that revokes a token, before client authentication (section 2.1)."""
    return form_request(endpoint, {"token": token, "token_type_hint": hint})


def check_revocation_response(response: HttpResponse) -> None:
    """Judge the answer (section 2.2); raises ``TokenError`` with ``revocation.failed``."""
    if response.status not in (200, 204):
        raise TokenError(
            "revocation_failed",
            f"The revocation endpoint answers with status {response.status}; the token may still "
            "be valid.",
            code="revocation.failed",
        )
