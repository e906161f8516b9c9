"""Several ASGI applications in one process, on one event loop, until Ctrl-C."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

__all__ = ["listen", "serve"]


def listen(host: str, port: int, tries: int = 20) -> socket.socket:
    """Listen on ``port`` or the next free one; raises ``OSError`` after ``tries`` taken ones."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or tries <= 1:
            raise
    return listen(host, port + 1, tries - 1)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: one handler stops all servers."""
        yield


def serve(apps: Sequence[tuple[ASGIApp, socket.socket]]) -> None:
    """Serve each application on its socket until SIGINT or SIGTERM."""
    servers = [
        _Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        for app, _ in apps
    ]

    def stop(number: int, frame: FrameType | None) -> None:
        for server in servers:
            # The second Ctrl-C does not wait for anyone.
            server.force_exit = server.should_exit
            server.should_exit = True

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            for server, (_, listener) in zip(servers, apps, strict=True):
                tasks.create_task(server.serve(sockets=[listener]))

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        asyncio.run(run())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
