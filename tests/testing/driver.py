"""Drives a FakeProvider by hand, the way a client would."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import urlencode

import httpx2

from reliant.testing import Browser, Callback, FakeProvider

VERIFIER = "Zk3vPq8sT1xYb7LmWc0RnHf5uJd2GiEaKo9-VtNw4_zQ"
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)
REDIRECT_URI = "https://rp.example/callback"


class Driver:
    """A client of ``provider``: "web", with a secret and one registered address of each kind."""

    def __init__(self, provider: FakeProvider | None = None) -> None:
        self.provider = provider or FakeProvider()
        self.client = self.provider.add_client(
            "web",
            "a secret: with % and + and so on, long enough for HS512, which wants 64 octets",
            redirect_uris=[REDIRECT_URI],
            post_logout_redirect_uris=["https://rp.example/bye"],
        )

    def url(self, **changes: str | None) -> str:
        """An authorization URL; a parameter changed to None is left out."""
        params: dict[str, str | None] = {
            "client_id": "web",
            "redirect_uri": REDIRECT_URI,
            "response_type": "code",
            "scope": "openid profile email",
            "state": "the state",
            "nonce": "the nonce",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        return self._address("authorize", params | changes)

    def logout_url(self, **changes: str | None) -> str:
        """An end-session URL."""
        params: dict[str, str | None] = {
            "post_logout_redirect_uri": "https://rp.example/bye",
            "state": "out",
        }
        return self._address("end-session", params | changes)

    async def sign_in(self, browser: Browser | None = None, /, **changes: str | None) -> Callback:
        """Sign in as alice."""
        return await (browser or self.provider.browser()).sign_in(self.url(**changes))

    async def redeem(self, callback: Callback, **changes: str | None) -> httpx2.Response:
        """Send the token request for a callback."""
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": callback.params["code"],
            "redirect_uri": REDIRECT_URI,
            "code_verifier": VERIFIER,
        }
        return await self.post("token", form | changes)

    async def refresh(self, refresh_token: str, **changes: str | None) -> httpx2.Response:
        """Send a refresh request."""
        form: dict[str, str | None] = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
        }
        return await self.post("token", form | changes)

    async def tokens(self, **changes: str | None) -> dict[str, Any]:
        """Log in and return the token response."""
        response = await self.redeem(await self.sign_in(**changes))
        assert response.status_code == 200, response.text
        tokens: dict[str, Any] = response.json()
        return tokens

    async def post(self, path: str, form: dict[str, str | None], **options: Any) -> httpx2.Response:
        """Post a form; with client_secret_post unless the form or the options say otherwise."""
        if "auth" not in options and "client_id" not in form:
            form = {
                "client_id": self.client.client_id,
                "client_secret": self.client.client_secret,
                **form,
            }
        return await self.send("POST", path, data=_sent(form), **options)

    async def userinfo(self, access_token: str) -> httpx2.Response:
        """Ask for the user's claims."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return await self.send("GET", "userinfo", headers=headers)

    async def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send any request to a path below the issuer."""
        url = f"{self.provider.issuer.rstrip('/')}/{path}"
        async with httpx2.AsyncClient(transport=self.provider.transport, timeout=2) as client:
            return await client.request(method, url, **options)

    def _address(self, path: str, params: dict[str, str | None]) -> str:
        return f"{self.provider.issuer.rstrip('/')}/{path}?{urlencode(_sent(params))}"


def _sent(params: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in params.items() if value is not None}
