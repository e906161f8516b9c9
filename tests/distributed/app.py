"""The app that each worker serves: who is logged in, and a token that can be sent.

Its configuration: `issuer`; `redis`, an address; `kind`, where sessions live ("store", "indexed");
`die`, a file: the worker that finds and removes it kills itself right before it sends a refresh;
`die_after`, the same right after the answer has come.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
from hashlib import sha256
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reliant.login import Login, RedisStore
from reliant.starlette import OAuth

SECRET = "the secret key that all workers share...."


class _Server(uvicorn.Server):
    """Says on stdout when it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets is not None
        ready = {"port": sockets[0].getsockname()[1], "pid": os.getpid()}
        os.write(1, json.dumps(ready).encode() + b"\n")


def serve(config: dict[str, Any]) -> None:
    """Serve the app on a free port of loopback until told to stop."""
    logging.basicConfig(level=logging.WARNING)
    settings = uvicorn.Config(build(config), log_level="warning", ws="none")
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        _Server(settings).run([listener])


def build(config: dict[str, Any]) -> Starlette:
    """The app of one worker."""
    oauth = OAuth()
    oauth.register(
        "op",
        client_id="fake-client",
        client_secret=config["client_secret"],
        server_metadata_url=f"{config['issuer']}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid email"},
        compliance_fix=lambda hooks: _dying(hooks, config),
    )
    store = RedisStore.from_url(config["redis"])
    place: dict[str, Any] = {"store": store}
    if config["kind"] == "indexed":
        place = {"revocations": store}
    auth = Login(oauth, "op", secret_key=SECRET, **place)

    @auth.required()
    async def token(request: Request) -> Response:
        found = await auth.session(request).token()
        digest = sha256(str(found.access_token).encode()).hexdigest()[:16]
        return JSONResponse({"sub": request.user.sub, "token": digest})

    async def whoami(request: Request) -> Response:
        return JSONResponse(request.user.sub if request.user.is_authenticated else None)

    return Starlette(
        routes=[Route("/token", token), Route("/whoami", whoami), auth.routes("/auth")],
        middleware=[auth.middleware()],
        lifespan=auth.lifespan,
    )


def _dying(hooks: Any, config: dict[str, Any]) -> None:
    def before(url: Any, headers: Any, body: Any) -> Any:
        _die_if_there_is(config.get("die"))
        return url, headers, body

    def after(response: Any) -> Any:
        _die_if_there_is(config.get("die_after"))
        return response

    hooks.register_compliance_hook("refresh_token_request", before)
    hooks.register_compliance_hook("refresh_token_response", after)


def _die_if_there_is(path: str | None) -> None:
    try:
        Path(path or "no such file").unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
