"""An OpenID provider in a process of its own, as plain as one can be: it signs with RS256.

Run as a program it serves on a free port of loopback, prints its origin, and ends with its
standard input. One server is as many providers as are asked for: `/0`, `/1` and so on, each an
issuer with its own metadata and key set. There is no login page: whoever drives the browser makes
the code with `code_for` from the address it was sent to.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import uvicorn
from joserfc import jwk, jwt

CLIENT_ID, CLIENT_SECRET = "benchmark", "a secret of the benchmark, 32 bytes"


def code_for(location: str) -> str:
    """The code the provider would send back with: it holds what the token endpoint must know."""
    asked = dict(parse_qsl(urlsplit(location).query))
    wanted = {name: asked.get(name) for name in ("nonce", "code_challenge", "redirect_uri")}
    return base64url(json.dumps(wanted, separators=(",", ":")).encode())


class Provider:
    """The ASGI application; `GET /-/counts` tells and forgets what was asked for."""

    def __init__(self) -> None:
        self.origin = ""
        self.delay = 0.0  # seconds the token endpoint takes
        self.counts: Counter[str] = Counter()
        self.keys = [self._new_key("k0")]  # the newest first: it signs

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        tenant, _, what = scope["path"].lstrip("/").partition("/")
        self.counts[what] += tenant != "-"
        status, value = 200, await self._answer(tenant, what, body, dict(scope["headers"]))
        if value is None:
            status, value = 400, {"error": "invalid_grant"}
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"),
                   (b"pragma", b"no-cache")]  # fmt: skip
        if what != "token":
            headers[1:] = [(b"cache-control", b"max-age=3600")]
        octets = json.dumps(value).encode()
        headers.append((b"content-length", str(len(octets)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": octets})

    async def _answer(
        self, tenant: str, what: str, body: bytes, headers: Mapping[bytes, bytes]
    ) -> Any:
        issuer = f"{self.origin}/{tenant}"
        match what:
            case ".well-known/openid-configuration":
                return metadata(issuer)
            case "jwks":
                return {"keys": [self._public(key) for key in self.keys]}
            case "token":
                await asyncio.sleep(self.delay)
                return self._token(issuer, dict(parse_qsl(body.decode())))
            case "userinfo" | "api":
                authorized = headers.get(b"authorization", b"").startswith(b"Bearer ")
                return PERSON if authorized else None
            case "counts":
                counts, self.counts = self.counts, Counter()
                return counts
            case "rotate":
                self.keys.insert(0, self._new_key(f"k{len(self.keys)}"))
                return {}
            case "delay":
                self.delay = float(body)
                return {}
        return None

    def _token(self, issuer: str, form: Mapping[str, str]) -> Any:
        asked = json.loads(from_base64url(form["code"]))
        proof = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if asked["redirect_uri"] != form["redirect_uri"] or (
            asked["code_challenge"] not in (None, base64url(proof))
        ):
            return None
        now, access_token = int(time.time()), base64url(proof) * 3
        left_half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims = {
            "iss": issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "auth_time": now,
            "at_hash": base64url(left_half), "nonce": asked["nonce"], **PERSON,
        }  # fmt: skip
        key = self.keys[0]
        return {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": base64url(left_half),
            "scope": "openid profile email",
            "id_token": jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key),
        }

    @staticmethod
    def _new_key(kid: str) -> jwk.RSAKey:
        return jwk.RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})

    @staticmethod
    def _public(key: jwk.RSAKey) -> dict[str, Any]:
        return key.as_dict(private=False)


PERSON = {
    "sub": "248289761001", "name": "Jane Doe", "given_name": "Jane", "family_name": "Doe",
    "preferred_username": "j.doe", "email": "janedoe@example.com", "email_verified": True,
    "picture": "https://example.com/janedoe/me.jpg", "locale": "en",
    "amr": ["pwd", "otp"], "groups": [f"group-{number}" for number in range(20)],
}  # fmt: skip


def metadata(issuer: str) -> dict[str, Any]:
    """Metadata of the usual length."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "revocation_endpoint": f"{issuer}/revoke",
        "introspection_endpoint": f"{issuer}/introspect",
        "end_session_endpoint": f"{issuer}/logout",
        "registration_endpoint": f"{issuer}/register",
        "response_types_supported": ["code", "id_token", "code id_token", "none"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "PS256"],
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic", "client_secret_post", "private_key_jwt"
        ],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email", "phone", "address", "offline_access"],
        "claims_supported": ["aud", "email", "email_verified", "exp", "family_name",
                             "given_name", "iat", "iss", "locale", "name", "picture", "sub"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
    }  # fmt: skip


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def serve(certificate: str | None) -> None:
    """Serve until standard input ends; `certificate`: a PEM file, for https."""
    provider = Provider()
    config = uvicorn.Config(
        provider, log_level="warning", ws="none", lifespan="off", backlog=4096,
        timeout_keep_alive=600, ssl_certfile=certificate, ssl_keyfile=certificate,
    )  # fmt: skip
    server = uvicorn.Server(config)
    # By its number, for asyncio switches Nagle's algorithm off only where it knows it for TCP.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    scheme = "http" if certificate is None else "https"
    provider.origin = f"{scheme}://localhost:{listener.getsockname()[1]}"

    def wait() -> None:
        sys.stdin.read()
        server.should_exit = server.force_exit = True

    threading.Thread(target=wait, daemon=True).start()
    print(provider.origin, flush=True)
    await server.serve([listener])


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1] if len(sys.argv) > 1 else None))
