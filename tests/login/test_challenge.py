"""Who is not logged in is told so in the way that who asks understands."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from reliant.login import Login
from reliant.protocol.step_up import challenges
from tests.helpers.login_app import SITE, LoginApp

REFERER = {"referer": f"{SITE}/list?page=2#top"}


@pytest.fixture
def browser() -> TestClient:
    return LoginApp("cookies").browser(headers={"accept": "*/*"})


@pytest.mark.parametrize(
    "headers",
    [
        {"accept": "text/html,application/xhtml+xml"},
        {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "*/*"},
        {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ],
    ids=str,
)
def test_a_page_is_led_to_the_login(browser: TestClient, headers: dict[str, str]) -> None:
    response = browser.get("/me?a=1&b=%C3%BC", headers=headers)
    assert response.status_code == 302
    assert response.headers["location"] == "/auth/login?return_to=%2Fme%3Fa%3D1%26b%3D%25C3%25BC"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"accept": "application/json"},
        {"accept": "text/event-stream", "sec-fetch-mode": "cors"},
        {"accept": "text/html", "sec-fetch-mode": "cors"},
        {"accept": "text/html", "sec-fetch-mode": "same-origin"},
        {"accept": "text/html", "x-requested-with": "XMLHttpRequest"},
    ],
    ids=str,
)
def test_a_program_gets_problem_details(browser: TestClient, headers: dict[str, str]) -> None:
    response = browser.get("/me", headers={**headers, **REFERER})
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    login = "/auth/login?return_to=%2Flist%3Fpage%3D2"
    assert response.json() == {
        "type": "about:blank",
        "title": "Login required",
        "status": 401,
        "detail": "Nobody is logged in here. Log in first.",
        "code": "session.login_required",
        "login_url": login,
    }
    assert response.headers["cache-control"] == "no-store"
    (challenge,) = challenges(response.headers["www-authenticate"])
    assert challenge == ("cookie", {"form-action": login})


def test_htmx_leads_its_whole_page_there(browser: TestClient) -> None:
    headers = {"hx-request": "true", "hx-current-url": f"{SITE}/board/7", "sec-fetch-mode": "cors"}
    response = browser.get("/me", headers=headers)
    assert response.status_code == 401
    assert response.headers["hx-redirect"] == "/auth/login?return_to=%2Fboard%2F7"


@pytest.mark.parametrize(
    "page",
    ["https://evil.example/x", f"{SITE}.evil.example/x", f"{SITE}//evil.example", "garbage",
     f"{SITE}/auth/callback?code=x&state=y", f"{SITE}/auth/login", ""],
)  # fmt: skip
def test_a_page_elsewhere_is_no_place_to_go_on_to(browser: TestClient, page: str) -> None:
    for headers in ({"hx-request": "true", "hx-current-url": page}, {"referer": page}):
        response = browser.get("/me", headers=headers)
        assert response.json()["login_url"] == "/auth/login"


def test_other_methods_of_a_page(browser: TestClient) -> None:
    page = {"accept": "text/html", **REFERER}
    assert browser.head("/me", headers=page).status_code == 302
    response = browser.post("/order", headers=page)
    assert response.status_code == 303
    assert response.headers["location"] == "/auth/login?return_to=%2Flist%3Fpage%3D2"


def test_a_path_too_long_to_come_back_to(browser: TestClient) -> None:
    response = browser.get(f"/me?{'x' * 3000}", headers={"accept": "text/html"})
    assert (response.status_code, response.headers["location"]) == (302, "/auth/login")


class TestWebSockets:
    def test_nobody(self, browser: TestClient) -> None:
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            browser.websocket_connect("wss://testserver/ws") as socket,
        ):
            socket.receive_text()
        assert (caught.value.code, caught.value.reason) == (4401, "session.login_required")

    def test_with_a_subprotocol(self, browser: TestClient) -> None:
        """Browsers drop a connection that takes none of those they offer, and see no code."""
        offered = ["b", "a"]
        with browser.websocket_connect("wss://testserver/ws", subprotocols=offered) as socket:
            assert str(socket.accepted_subprotocol) == "b"
            with pytest.raises(WebSocketDisconnect) as caught:
                socket.receive_text()
        assert caught.value.code == 4401

    def test_without_a_scope(self) -> None:
        browser = LoginApp("store", routes=_late_token).logged_in()
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            browser.websocket_connect("wss://testserver/admin") as socket,
        ):
            socket.receive_text()
        assert (caught.value.code, caught.value.reason) == (4403, "session.scope")

    @pytest.mark.parametrize("kind", ["cookies", "indexed", "store"])
    def test_somebody(self, kind: str) -> None:
        browser = LoginApp(kind).logged_in()
        with browser.websocket_connect("wss://testserver/ws") as socket:
            assert socket.receive_text() == "alice"

    def test_a_session_that_ends_meanwhile(self) -> None:
        """The token that is asked for in an open connection is that of a login that is over."""
        app = LoginApp("store", routes=_late_token)
        browser = app.logged_in()
        with browser.websocket_connect("wss://testserver/late") as socket:
            assert socket.receive_text() == "open"
            app.clock.advance(3600)
            app.provider.fault("token.error", "invalid_grant")
            socket.send_text("go on")
            with pytest.raises(WebSocketDisconnect) as caught:
                socket.receive_text()
        assert (caught.value.code, caught.value.reason) == (4401, "session.ended")


def _late_token(auth: Login) -> list[Any]:
    @auth.required()
    async def late(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("open")
        await websocket.receive_text()
        await auth.session(websocket).token()

    @auth.required("admin")
    async def admin(websocket: WebSocket) -> None:
        await websocket.accept()

    return [WebSocketRoute("/late", late), WebSocketRoute("/admin", admin)]
