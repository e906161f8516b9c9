"""The programs in examples/, unchanged, against the real provider."""

import runpy
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.helpers.oidc_provider import RunningProvider
from tests.helpers.person import NO_TLS, Form, Person
from tests.helpers.server import serve

pytestmark = pytest.mark.needs("oidc-provider")

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIENT = {
    "application_type": "native",  # one whose port may change
    "redirect_uris": ["http://127.0.0.1/callback"],
    "post_logout_redirect_uris": ["http://127.0.0.1/logged-out"],
    "response_types": ["code"],
}


@pytest.fixture(params=["starlette_app.py", "fastapi_app.py"])
def url(
    request: pytest.FixtureRequest, op: RunningProvider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    answer = httpx2.post(f"{op.issuer}/reg", json=CLIENT, verify=NO_TLS, trust_env=False)
    client = answer.raise_for_status().json()
    monkeypatch.setenv("ISSUER", op.issuer)
    monkeypatch.setenv("CLIENT_ID", client["client_id"])
    monkeypatch.setenv("CLIENT_SECRET", client["client_secret"])
    monkeypatch.setenv("SECRET_KEY", "a key only this test knows")
    program = runpy.run_path(str(EXAMPLES / request.param))
    with serve(program["app"]) as running:
        yield running


def test_login_profile_logout(url: str) -> None:
    with Person("alice") as alice:
        page = alice.sign_in(f"{url}/login")
        assert str(page.url) == f"{url}/profile"
        assert page.json()["email"] == "alice@example.test"
        page = alice.agree(alice.post(f"{url}/logout"))
        assert str(page.url).startswith(f"{url}/logged-out?state=")
        assert "You are logged out" in page.text
        assert "login" in Form(alice.visit(f"{url}/login").text).fields
