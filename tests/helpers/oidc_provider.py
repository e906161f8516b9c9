"""Starts the real provider of tests/interop/op as a process of its own, and stops it again."""

import json
import os
import selectors
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import httpx2

from tests.helpers import programs

START_SECONDS = 10
STOP_SECONDS = 5


@dataclass(frozen=True)
class RunningProvider:
    """A provider that listens."""

    issuer: str
    port: int
    pid: int


class ProviderDidNotStartError(Exception):
    """The message ends with what the process wrote to stderr."""


@contextmanager
def oidc_provider(
    clients: Sequence[Mapping[str, Any]], *, trust: ssl.SSLContext | None = None, **settings: Any
) -> Iterator[RunningProvider]:
    """Run the provider with these clients, on a free port.

    `settings` are those of op.mjs; `trust` is needed to reach a provider with `tls` settings.
    """
    command = [programs.node(), programs.oidc_provider()]
    config = json.dumps({"clients": clients, **settings})
    with (
        tempfile.TemporaryFile("w+") as stderr,
        subprocess.Popen([*command, config], stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        try:
            yield ready(process, stderr, trust)
        finally:
            stop(process)


def ready(
    process: subprocess.Popen[bytes], stderr: IO[str], trust: ssl.SSLContext | None
) -> RunningProvider:
    """Wait for the ready line and for discovery; else say what the process said."""
    try:
        line = json.loads(read_line(process))
        running = RunningProvider(line["issuer"], line["port"], line["pid"])
        check_discovery(running, trust)
    except (ValueError, TimeoutError, httpx2.HTTPError) as error:
        stop(process)
        stderr.seek(0)
        message = f"{error} (exit status {process.returncode})\n{stderr.read()[-4000:]}"
        raise ProviderDidNotStartError(message) from error
    return running


def read_line(process: subprocess.Popen[bytes]) -> bytes:
    """The first line of stdout, within the time limit."""
    assert process.stdout is not None
    line = b""
    deadline = time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(deadline - time.monotonic()):
                raise TimeoutError(f"no ready line within {START_SECONDS} s")
            if not (chunk := os.read(process.stdout.fileno(), 4096)):
                raise ValueError("it ended before it was ready")
            line += chunk
    return line


def check_discovery(running: RunningProvider, trust: ssl.SSLContext | None) -> None:
    """It answers, and calls itself by the issuer it announced."""
    url = f"{running.issuer}/.well-known/openid-configuration"
    verify = True if trust is None else trust
    answer = httpx2.get(url, timeout=START_SECONDS, verify=verify, trust_env=False)
    if (issuer := answer.raise_for_status().json()["issuer"]) != running.issuer:
        raise ValueError(f"{url} names another issuer: {issuer}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, by its own process id; insist if it does not."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
