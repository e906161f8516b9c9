"""A login calls no more functions of this library than it did: a count, never a time.

It is the warm login of `benchmarks/`: the provider's documents are there and its connection is
open. Whoever makes a login do more on purpose sets the number anew, and says in the commit what
for.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

import reliant
from reliant.protocol import jose
from reliant.starlette import OAuth
from tests.helpers import tcp
from tests.helpers.relying_party import new_oauth
from tests.helpers.tokens import jwks, key_for

HOME = str(Path(reliant.__file__).parent)
CALLS = {"session": 206, "cache": 210, "cookie": 223}
ROOM = 1.05  # noticeably more is more than that


class Provider:
    """Three answers, each given as it is; the connection stays open."""

    def __init__(self) -> None:
        self.origin = ""
        self.answers: dict[str, Any] = {}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Provider]:
        async with tcp.serve_octets(self._handle, self._hear) as self.origin:
            names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            paths = {name: f"{self.origin}/{name}" for name in names}
            self.answers["/.well-known/openid-configuration"] = {"issuer": self.origin, **paths}
            self.answers["/jwks_uri"] = jwks(key_for("RS256"))
            yield self

    def _hear(self, head: bytes) -> None:
        self._asked = head.split()[1].decode()

    async def _handle(self, stream: Any) -> None:
        while True:
            body = json.dumps(self.answers[self._asked]).encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n"
            await stream.send(head.encode() + body)
            self._hear(await stream.receive())

    def sign_in(self, location: str) -> str:
        """Make the answer that redeems the code; returns the callback's query."""
        asked = dict(parse_qsl(urlsplit(location).query))
        now, key = int(time.time()), key_for("RS256")
        claims = {"iss": self.origin, "aud": "client", "sub": "alice", "iat": now, "exp": now + 60,
                  "nonce": asked["nonce"], "at_hash": jose.hash_of("access", "RS256")}  # fmt: skip
        self.answers["/token_endpoint"] = {
            "access_token": "access",
            "token_type": "Bearer",
            "expires_in": 3600,
            "id_token": jose.sign_jwt(claims, key, "RS256", kid=key.kid),
        }
        return f"code=c&state={asked['state']}"


class Calls(Counter[str]):
    """The calls of the library's functions, each coroutine once however often it waits."""

    @contextmanager
    def counted(self) -> Iterator[None]:
        frames: set[FrameType] = set()  # kept, or another one could be at the same place

        def note(frame: FrameType, event: str, argument: object) -> None:
            code = frame.f_code
            # A comprehension is a function for some releases of Python only.
            named = not code.co_name.startswith("<")
            if event == "call" and code.co_filename.startswith(HOME) and named:
                frames.add(frame)

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            yield
        finally:
            sys.setprofile(before)
        self.update(frame.f_code.co_qualname for frame in frames)


def request(path: str, query: str, session: Any, cookie: str) -> Request:
    headers = [(b"host", b"app.example")] + ([(b"cookie", cookie.encode())] if cookie else [])
    return Request(
        {
            "type": "http", "method": "GET", "scheme": "https", "path": path, "headers": headers,
            "query_string": query.encode(), "path_params": {}, "session": session,
        }
    )  # fmt: skip


async def log_in(oauth: OAuth, provider: Provider, calls: Calls) -> None:
    session: dict[str, Any] = {}
    begun = request("/login", "", session, "")
    with calls.counted():
        answer = await oauth.op.authorize_redirect(begun, "https://app.example/callback")
    query = provider.sign_in(answer.headers["location"])
    cookie = answer.headers.get("set-cookie", "").partition(";")[0]
    returned = request("/callback", query, session, cookie)
    with calls.counted():
        token = await oauth.op.authorize_access_token(returned)
    assert token["userinfo"]["sub"] == "alice"


async def test_a_login_makes_no_more_calls_than_it_did(store: str) -> None:
    oauth, calls = new_oauth(store), Calls()
    async with Provider().serving() as provider, oauth:
        oauth.register(
            "op",
            client_id="client",
            client_secret="secret",
            issuer=provider.origin,
            client_kwargs={"scope": "openid profile", "trust_env": False},
        )
        await log_in(oauth, provider, Calls())
        await log_in(oauth, provider, calls)
    total = calls.total()
    most = ", ".join(f"{name} {number}" for name, number in calls.most_common(12))
    assert total <= CALLS[store] * ROOM, f"{total} calls, once {CALLS[store]}; most of all {most}"
    assert total > CALLS[store] / 2, "the count counts no more"
