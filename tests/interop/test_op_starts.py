"""The real provider starts, knows its clients, ends with us, and fails aloud."""

import os
from pathlib import Path

import httpx2
import pytest

from tests.helpers import oidc_provider as helper
from tests.helpers import programs
from tests.helpers.oidc_provider import (
    ProviderDidNotStartError,
    RunningProvider,
    oidc_provider,
)
from tests.interop.conftest import CLIENTS

pytestmark = pytest.mark.needs("oidc-provider")


def test_it_publishes_a_key_for_every_algorithm_family(op: RunningProvider) -> None:
    keys = httpx2.get(f"{op.issuer}/jwks").json()["keys"]
    kinds = {(key["kty"], key.get("crv")) for key in keys if key["use"] == "sig"}
    curves = {("EC", "P-256"), ("EC", "P-384"), ("EC", "P-521"), ("OKP", "Ed25519")}
    assert kinds == {("RSA", None), *curves}
    assert not any("d" in key for key in keys)


@pytest.mark.parametrize("client_id", [client["client_id"] for client in CLIENTS])
def test_it_accepts_its_clients(op: RunningProvider, client_id: str) -> None:
    """The provider judges a client's metadata on first use, not at its start."""
    answer = authorize(op, client_id)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/interaction/")


def test_it_refuses_a_client_it_does_not_know(op: RunningProvider) -> None:
    answer = authorize(op, "stranger")
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_client"


def authorize(op: RunningProvider, client_id: str) -> httpx2.Response:
    """The first request of a login, on a port that was never registered."""
    parameters = {
        "client_id": client_id,
        "response_type": "code",
        "scope": "openid",
        "redirect_uri": "http://127.0.0.1:8765/callback",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    return httpx2.get(f"{op.issuer}/auth", params=parameters)


def test_it_ends_with_its_block() -> None:
    with oidc_provider([]) as running:
        os.kill(running.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(running.pid, 0)


def test_fresh_keys_are_other_keys(op: RunningProvider) -> None:
    with oidc_provider([], freshKeys="2") as rotated:
        new = httpx2.get(f"{rotated.issuer}/jwks").json()["keys"]
    old = httpx2.get(f"{op.issuer}/jwks").json()["keys"]
    assert not {key["kid"] for key in new} & {key["kid"] for key in old}


def test_a_failed_start_shows_what_the_process_said() -> None:
    with (
        pytest.raises(ProviderDidNotStartError, match="Issuer Identifier must be"),
        oidc_provider([], issuer="not a URL"),
    ):
        pass


def test_a_provider_that_never_gets_ready_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "silent.mjs"
    silent.write_text("console.error('thinking'); setInterval(() => {}, 1000);")
    monkeypatch.setattr(programs, "oidc_provider", lambda: silent)
    monkeypatch.setattr(helper, "START_SECONDS", 0.5)
    with (
        pytest.raises(ProviderDidNotStartError, match=r"no ready line within 0.5 s(?s:.*)thinking"),
        oidc_provider([]),
    ):
        pass
