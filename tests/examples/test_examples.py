"""The programs in examples/, each run against a FakeProvider: login, profile, refresh, logout."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.testclient import TestClient

from reliant.testing import FakeProvider

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py"))
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))  # tested by themselves
# https, as the Secure cookies of the logins do not travel otherwise.
APP = "https://app.example"


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture(params=PROGRAMS)
def client(
    request: pytest.FixtureRequest, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    (registered,) = provider.clients.values()
    monkeypatch.setenv("ISSUER", provider.issuer)
    monkeypatch.setenv("CLIENT_ID", registered.client_id)
    monkeypatch.setenv("CLIENT_SECRET", registered.client_secret or "")
    monkeypatch.setenv("SECRET_KEY", "a key that only this test knows")
    program: dict[str, Any] = runpy.run_path(str(EXAMPLES / request.param))
    # The programs themselves know no transport: this one leads to the provider in this process.
    program["oauth"].register("op", replace=True, **provider.register_settings())
    with TestClient(program["app"], base_url=APP, follow_redirects=False) as client:
        yield client


def log_in(client: TestClient, provider: FakeProvider) -> str:
    """Log in as alice and return where the callback leads."""
    url = client.get("/login").headers["location"]
    response = client.get(anyio.run(provider.sign_in, url).url)
    assert response.status_code == 303, response.text
    return str(response.headers["location"])


def test_there_are_examples_for_both_frameworks() -> None:
    assert PROGRAMS == ["fastapi_app.py", "starlette_app.py"]


def test_login_profile_logout(client: TestClient, provider: FakeProvider) -> None:
    assert 'href="/login"' in client.get("/").text
    assert log_in(client, provider) == "/profile"
    assert client.get("/profile").json()["email"] == "alice@example.test"

    response = client.post("/logout")
    assert response.status_code in (302, 307)
    back = anyio.run(provider.sign_out, response.headers["location"])
    assert "logged out" in client.get(back).text
    assert client.get("/profile").status_code in (307, 401)


def test_refresh(client: TestClient, provider: FakeProvider) -> None:
    log_in(client, provider)
    response = client.post("/refresh")
    assert (response.status_code, response.headers["location"]) == (303, "/profile")
    assert provider.count("token") == 2
    assert client.get("/profile").json()["sub"] == "alice"


def test_who_is_not_logged_in(client: TestClient) -> None:
    assert client.get("/profile").status_code in (307, 401)
    assert client.post("/refresh").status_code == 401
    assert client.post("/logout").status_code in (303, 401)


def test_a_failed_login_is_a_page(client: TestClient, provider: FakeProvider) -> None:
    url = client.get("/login").headers["location"]
    back = anyio.run(provider.deny, url).url
    page = client.get(back, headers={"Accept": "text/html"})
    assert page.status_code == 400
    assert re.search(r'<a href="/login">Try again</a>', page.text)


@pytest.mark.parametrize("name", [*PROGRAMS, *FOLDERS])
def test_the_readme_names_every_example(name: str) -> None:
    assert f"({name}" in (EXAMPLES / "README.md").read_text()
