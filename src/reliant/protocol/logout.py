"""RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0)."""

from __future__ import annotations

from typing import Any

from reliant.protocol.values import append_query

__all__ = ["build_logout_url"]


def build_logout_url(endpoint: str, **parameters: Any) -> str:
    """The URL that ends the session at the provider (section 2); None members are left out."""
    return append_query(endpoint, parameters)
