"""The examples people already have, word for word but for the import.

They stand in `examples/` as text, since they are written in the style of their pages. The seed
page shows the registration, `token["userinfo"]` and the two logout handlers; its `/login` and
`/authorize` are the usual ones. It leaves out the argument of `authorize_access_token(request)`.
"""

from __future__ import annotations

import html
import json
import re
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from reliant.http.transport import HttpTransport
from reliant.testing import FakeProvider
from tests.helpers.relying_party import SITE, deliver, new_browser, sign_in, start

EXAMPLES = Path(__file__).parent / "examples"


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    """A provider at the address the examples name; nothing goes out to the network."""
    provider = FakeProvider("https://accounts.google.com")
    provider.add_client("...", "...")
    original = HttpTransport.__init__

    def in_process(self: HttpTransport, options: Mapping[str, Any], user_agent: str) -> None:
        original(self, {**options, "transport": provider.transport}, user_agent)

    monkeypatch.setattr(HttpTransport, "__init__", in_process)
    return provider


class _Routes(list[Route]):
    """What is left of `@app.route` on Starlette 1.x: a list of `Route`s."""

    def route(self, path: str) -> Callable[[Any], Any]:
        def add(endpoint: Any) -> Any:
            self.append(Route(path, endpoint))
            return endpoint

        return add


def _run(name: str, **names: Any) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name), init_globals=names)


def _on_starlette() -> Any:
    routes = _Routes()
    _run(
        "seed_page.txt", app=routes, JSONResponse=JSONResponse, PlainTextResponse=PlainTextResponse
    )
    return Starlette(routes=routes)


def _on_fastapi() -> Any:
    # FastAPI's application has lost `route` with Starlette 1.x; its router still has it.
    router = APIRouter()
    _run(
        "seed_page.txt", app=router, JSONResponse=JSONResponse, PlainTextResponse=PlainTextResponse
    )
    app = FastAPI()
    app.include_router(router)
    return app


@pytest.mark.parametrize("build", [_on_starlette, _on_fastapi], ids=["starlette", "fastapi"])
def test_the_seed_page(build: Callable[[], Any], google: FakeProvider) -> None:
    app = build()
    app.add_middleware(SessionMiddleware, secret_key="session")
    browser = new_browser(app)

    url = start(browser, "/login")
    assert url.startswith("https://accounts.google.com/authorize?")
    response = deliver(browser, sign_in(google, url))
    assert response.json()["sub"] == "alice"
    assert response.json()["iss"] == "https://accounts.google.com"

    url = start(browser, "/logout")
    sent = httpx2.URL(url).params
    assert sent["post_logout_redirect_uri"] == f"{SITE}/logged-out"
    assert sent["id_token_hint"].count(".") == 2
    back = anyio.run(google.sign_out, url)
    assert back.startswith(f"{SITE}/logged-out?state=")
    assert browser.get(back).text == "You have been logged out."


def _shown_user(browser: TestClient) -> Any:
    found = re.fullmatch(r'<pre>(.*)</pre><a href="/logout">logout</a>', browser.get("/").text)
    return json.loads(html.unescape(found[1])) if found else None


@pytest.fixture
def fastapi_browser(
    google: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TestClient:
    (tmp_path / ".env").write_text("GOOGLE_CLIENT_ID=...\nGOOGLE_CLIENT_SECRET=...\n")
    monkeypatch.chdir(tmp_path)
    return new_browser(_run("fastapi_google_login.txt")["app"])


def test_the_usual_example_of_fastapi(google: FakeProvider, fastapi_browser: TestClient) -> None:
    browser = fastapi_browser
    assert browser.get("/").text == '<a href="/login">login</a>'
    response = deliver(browser, sign_in(google, start(browser, "/login")))
    assert (response.status_code, response.headers["location"]) == (307, "/")
    user = _shown_user(browser)
    assert (user["sub"], user["aud"]) == ("alice", "...")
    assert browser.get("/logout").headers["location"] == "/"
    assert _shown_user(browser) is None


def test_the_usual_example_of_fastapi_shows_an_error(
    google: FakeProvider, fastapi_browser: TestClient
) -> None:
    browser = fastapi_browser
    callback = anyio.run(google.deny, start(browser, "/login"))
    assert deliver(browser, callback).text == "<h1>access_denied</h1>"
    assert deliver(browser, callback).text == "<h1>mismatching_state</h1>"
    assert _shown_user(browser) is None
