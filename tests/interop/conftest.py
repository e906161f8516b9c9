"""The real provider, started once for all interop tests."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.oidc_provider import RunningProvider, oidc_provider

# `native` lets the redirect URI have any port on 127.0.0.1.
NATIVE: dict[str, Any] = {
    "application_type": "native",
    "redirect_uris": ["http://127.0.0.1/callback"],
    "post_logout_redirect_uris": ["http://127.0.0.1/"],
    "response_types": ["code"],
    "grant_types": ["authorization_code", "refresh_token"],
}
CLIENTS: list[dict[str, Any]] = [
    {
        **NATIVE,
        "client_id": "confidential",
        "client_secret": "a-test-secret-of-at-least-32-characters",
        "token_endpoint_auth_method": "client_secret_basic",
    },
    {**NATIVE, "client_id": "public", "token_endpoint_auth_method": "none"},
]


@pytest.fixture(scope="session")
def op() -> Iterator[RunningProvider]:
    """The provider with `CLIENTS`; a test that uses it is marked `needs("oidc-provider")`."""
    with oidc_provider(CLIENTS) as running:
        yield running
