"""What an app does not use it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest


def loaded_by(statement: str) -> set[str]:
    """The modules in a fresh process after one statement."""
    command = [sys.executable, "-c", f"{statement}\nimport sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "statement", ["import reliant.starlette", "from reliant import OAuthError"]
)
def test_the_api_of_the_seed_page_loads_no_sessions(statement: str) -> None:
    loaded = loaded_by(statement)
    assert not {name for name in loaded if name.startswith(("reliant.login", "redis"))}
    assert "reliant.storage.sessions" not in loaded


def test_sessions_load_no_redis_before_it_is_used() -> None:
    loaded = loaded_by("from reliant.login import Login, RedisStore")
    assert "reliant.login" in loaded
    assert "redis" not in loaded


def test_the_large_libraries_are_loaded_by_the_first_request_or_the_lifespan() -> None:
    alone = {"httpx2", "httpcore2", "joserfc", "cryptography", "reliant.protocol.sealing"}
    register = (
        "from reliant.starlette import OAuth; oauth = OAuth(secret_key='a secret key of the app'); "
        "oauth.register('op', client_id='x')"
    )
    assert not loaded_by(f"{register}; oauth.op") & alone
    assert alone <= loaded_by(f"{register}\nimport anyio\nanyio.run(oauth.__aenter__)")
