"""A provider of a few lines for tests of the client without a framework.

Every path answers well until a test puts another answer there: `provider.at["/token"] = 500`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import anyio.lowlevel
import httpx2

from reliant.client import ClientSettings, OAuthClient
from reliant.protocol.jose import Key
from tests.helpers.http import Clock
from tests.helpers.tokens import CLIENT_ID, ISSUER, NOW, id_token, jwks

SECRET = "s3cr3t: 100% & more"
METADATA_URL = ISSUER + "/.well-known/openid-configuration"
METADATA: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": ISSUER + "/authorize",
    "token_endpoint": ISSUER + "/token",
    "jwks_uri": ISSUER + "/jwks",
    "userinfo_endpoint": ISSUER + "/userinfo",
    "revocation_endpoint": ISSUER + "/revoke",
    "end_session_endpoint": ISSUER + "/logout",
    "id_token_signing_alg_values_supported": ["ES256", "RS256"],
}


class Provider:
    """What answers at `ISSUER`, and at every other host; `requests` holds what came."""

    def __init__(self, **metadata: Any) -> None:
        self.requests: list[httpx2.Request] = []
        self.issued = 0
        self.at: dict[str, Any] = {
            "/.well-known/openid-configuration": {**METADATA, **metadata},
            "/jwks": jwks(),
            "/token": lambda _: self.token(),
            "/userinfo": {"sub": "alice", "email": "alice@example.org"},
            "/revoke": {},
        }

    def token(self, **changes: Any) -> dict[str, Any]:
        """A new token response; each has tokens of its own."""
        self.issued += 1
        return {
            "access_token": f"access-{self.issued}",
            "refresh_token": f"refresh-{self.issued}",
            "token_type": "Bearer",
            "expires_in": 3600,
            **changes,
        }

    def issue(self, key: Key | None = None, alg: str = "ES256", **claims: Any) -> None:
        """Let the token endpoint answer with an ID Token, its claims changed."""
        self.at["/token"] = self.token(id_token=id_token(alg, key, **claims))

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        await anyio.lowlevel.checkpoint()  # as over a network, others get their turn
        answer = self.at.get(request.url.path, {"path": request.url.path})
        if callable(answer):
            answer = answer(request)
            if inspect.isawaitable(answer):
                answer = await answer
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx2.Response):
            return answer
        if isinstance(answer, int):
            return httpx2.Response(answer)
        return httpx2.Response(200, json=answer)

    def sent_to(self, path: str) -> list[httpx2.Request]:
        return [request for request in self.requests if request.url.path == path]

    def forms(self, path: str = "/token") -> list[dict[str, str]]:
        """The decoded forms that came to `path`."""
        return [dict(parse_qsl(request.content.decode())) for request in self.sent_to(path)]


def new_client(
    provider: Provider | None = None,
    clock: Clock | None = None,
    client_kwargs: Mapping[str, Any] | None = None,
    **settings: Any,
) -> OAuthClient:
    """A client of `provider` at the moment `NOW`, which asks for openid."""
    transport = httpx2.MockTransport(provider or Provider())
    given = {
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "server_metadata_url": METADATA_URL,
        "client_kwargs": {"scope": "openid email", "transport": transport, **(client_kwargs or {})},
        **settings,
    }
    return OAuthClient(ClientSettings.read("op", given), clock or Clock(NOW))
