"""What the provider fetches from clients and posts to them, over a transport the test hands in."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from reliant.testing.messages import Refusal
from reliant.testing.model import Client, LogoutCall, Model

__all__ = ["fetch", "load_client_keys", "post_logout_token"]


async def fetch(model: Model, url: str) -> httpx2.Response:
    """GET ``url``, no redirect followed; raises ``Refusal`` if there is no answer."""
    return await _send(model, "GET", url)


async def load_client_keys(model: Model) -> None:
    """Fetch the key sets of the clients that registered a ``jwks_uri``."""
    for client in tuple(model.clients.values()):
        if "jwks_uri" in client.metadata:
            answer = await fetch(model, client.metadata["jwks_uri"])
            model.fetched_jwks[client.client_id] = answer.json()


async def post_logout_token(model: Model, client: Client, token: str) -> None:
    """Post a logout token and keep the answer (OIDC Back-Channel Logout 1.0 section 2.5)."""
    form = model.faults.alter("back_channel", {"logout_token": token})
    url = client.metadata["backchannel_logout_uri"]
    model.logout_calls.append(LogoutCall(url, form, await _send(model, "POST", url, form)))


async def _send(
    model: Model, method: str, url: str, form: Mapping[str, str] | None = None
) -> httpx2.Response:
    if model.client_transport is None:
        raise Refusal("server_error", "FakeProvider(client_transport=...) is needed for this")
    async with httpx2.AsyncClient(transport=model.client_transport, timeout=5) as client:
        try:
            return await client.request(method, url, data=form)
        except httpx2.HTTPError as exc:
            raise Refusal("server_error", f"{url} does not answer") from exc
