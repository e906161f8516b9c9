"""A browser without a network: it calls the app as raw ASGI and keeps its cookies.

The CPU time of the app is what this process uses while a call of the app lasts; what the browser
itself does before and after is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from benchmarks.provider import code_for

App = Callable[[Any, Any, Any], Awaitable[None]]

SITE = "app.example"
_HEADERS = [
    (b"host", SITE.encode()),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"connection", b"keep-alive"),
    (b"sec-fetch-dest", b"document"),
    (b"sec-fetch-mode", b"navigate"),
]


@dataclass
class Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> str:
        return next(value.decode() for key, value in self.headers if key == name)


class Browser:
    """One person's browser; `cpu`: seconds of CPU time that the app has used for it.

    `paths`: of the login and the callback, with the tenant in braces.
    """

    def __init__(self, app: App, paths: tuple[str, str] = ("/login/{}", "/callback/{}")) -> None:
        self._app = app
        self._login, self._callback = paths
        self._cookies: dict[str, str] = {}
        self.cpu = 0.0

    async def get(self, target: str) -> Answer:
        """GET a path of the site, with its query."""
        path, _, query = target.partition("?")
        return await self._call("GET", path, query.encode(), b"")

    async def post(self, path: str, form: bytes) -> Answer:
        """POST a form."""
        return await self._call("POST", path, b"", form)

    async def log_in(self, tenant: str = "0") -> None:
        """A whole login: away to the provider and back."""
        await self.come_back(await self.leave(tenant), tenant)

    async def leave(self, tenant: str = "0") -> str:
        """Begin a login; returns the address at the provider."""
        answer = await self.get(self._login.format(tenant))
        assert answer.status in (302, 303, 307), answer.body
        return answer.header(b"location")

    async def come_back(self, location: str, tenant: str = "0") -> None:
        """Bring the provider's answer to the callback."""
        asked = dict(parse_qsl(urlsplit(location).query))
        state = asked.get("state", "")
        path = self._callback.format(tenant)
        answer = await self.get(f"{path}?code={code_for(location)}&state={state}")
        assert answer.status == 303, answer.body
        assert answer.header(b"location") == "/"

    async def _call(self, method: str, path: str, query: bytes, body: bytes) -> Answer:
        headers = list(_HEADERS)
        if self._cookies:
            pairs = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
            headers.append((b"cookie", pairs.encode()))
        if method == "POST":
            headers.append((b"content-type", b"application/x-www-form-urlencoded"))
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "https", "path": path, "raw_path": path.encode(), "query_string": query,
            "root_path": "", "headers": headers, "client": ("127.0.0.1", 50000),
            "server": (SITE, 443),
        }  # fmt: skip
        answer = Answer(0, [], b"")

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], message["headers"]
            else:
                answer.body += message.get("body", b"")

        begun = time.process_time()
        await self._app(scope, receive, send)
        self.cpu += time.process_time() - begun
        for name, value in answer.headers:
            if name == b"set-cookie":
                self._keep(value.decode("latin-1"))
        return answer

    def _keep(self, header: str) -> None:
        pair, _, attributes = header.partition(";")
        name, _, value = pair.partition("=")
        if "max-age=0" in attributes.lower() or "1970" in attributes:
            self._cookies.pop(name, None)
        else:
            self._cookies[name] = value
