"""What the middleware makes of the answers and errors of the application behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from reliant.login import Login
from reliant.starlette import OAuth
from reliant.testing import FakeProvider
from tests.helpers.login_app import PAGE, SECRET, SITE, LoginApp
from tests.helpers.relying_party import deliver, new_browser, sign_in


def pages(auth: Login) -> list[Any]:
    @auth.required()
    async def page(request: Request) -> Response:
        return PlainTextResponse("for who is logged in")

    async def broken(request: Request) -> Response:
        raise RuntimeError("the app's own")

    async def failed(request: Request) -> Response:
        return PlainTextResponse("out of order", 500)

    async def streamed(request: Request) -> Response:
        async def parts() -> AsyncIterator[str]:
            for part in ("out ", "of ", "order"):
                yield part

        return StreamingResponse(parts(), 500)

    @auth.required()
    async def together(request: Request) -> Response:
        session = auth.session(request)
        async with anyio.create_task_group() as group:
            group.start_soon(session.token)
            group.start_soon(session.token)
        return JSONResponse({})

    @auth.required()
    async def mixed(request: Request) -> Response:
        async def fail() -> None:
            raise RuntimeError("the app's own")

        async with anyio.create_task_group() as group:
            group.start_soon(auth.session(request).token)
            group.start_soon(fail)
        return JSONResponse({})

    async def cached(request: Request) -> Response:
        return PlainTextResponse("for all", headers={"cache-control": "public, max-age=600"})

    inner = [Route("/page", page), Route("/broken", broken), Route("/failed", failed)]
    api, known = FastAPI(), Depends(auth.user)

    @api.get("/page")
    async def endpoint(user: Any = known) -> str:
        return str(user.sub)

    return [
        Mount("/routes", routes=inner),
        Mount("/app", app=Starlette(routes=inner)),
        Mount("/api", app=api),
        Route("/streamed", streamed),
        Route("/failed", failed),
        Route("/together", together),
        Route("/mixed", mixed),
        Route("/cached", cached),
    ]


@pytest.fixture(params=["cookies", "store"])
def app(request: pytest.FixtureRequest) -> LoginApp:
    return LoginApp(request.param, routes=pages)


class TestMounted:
    """An application in the application answers 500 to what it does not know, then raises it."""

    @pytest.mark.parametrize("path", ["/routes/page", "/app/page", "/api/page"])
    def test_a_login_is_required(self, app: LoginApp, path: str) -> None:
        browser = app.browser()
        response = browser.get(path, headers=PAGE)
        assert response.status_code == 302
        assert response.headers["location"] == f"/auth/login?return_to={quote(path, safe='')}"
        assert browser.get(path).json()["code"] == "session.login_required"
        app.log_in(browser)
        assert browser.get(path).status_code == 200

    def test_its_own_errors_stay_its_own(self, app: LoginApp) -> None:
        browser = app.logged_in(raise_server_exceptions=False)
        for path in ("/app/broken", "/routes/broken"):
            response = browser.get(path)
            assert (response.status_code, response.text) == (500, "Internal Server Error")
        for path in ("/app/failed", "/failed", "/streamed"):
            response = browser.get(path)
            assert (response.status_code, response.text) == (500, "out of order")
            assert response.headers["cache-control"] == "no-store"


class TestOtherApplications:
    """What the ASGI specification allows them."""

    def test_an_answer_waits_for_nothing_that_comes_after(self, app: LoginApp) -> None:
        """A background task of an answer with status 500 runs when that has been sent."""
        sent: list[str] = []

        async def background() -> None:
            sent.append("task")

        async def failed(request: Request) -> Response:
            return PlainTextResponse("", 500, background=BackgroundTask(background))

        app.app.router.routes.append(Route("/later", failed))

        async def ask() -> None:
            async def send(message: Any) -> None:
                sent.append(message["type"])

            async def receive() -> Any:
                return {"type": "http.request"}

            scope = {"type": "http", "method": "GET", "path": "/later", "query_string": b"",
                     "headers": [], "scheme": "https"}  # fmt: skip
            await app.app(scope, receive, send)

        anyio.run(ask)
        assert sent == ["http.response.start", "http.response.body", "task"]

    def test_headers_that_can_not_be_added_to(self, app: LoginApp) -> None:
        async def plain(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": ()})
            await send({"type": "http.response.body", "body": b""})

        app.app.router.routes.append(Mount("/plain", plain))
        response = app.logged_in().get("/plain/x")
        assert response.headers["cache-control"] == "no-store"

    def test_a_middleware_that_copies_the_scope(self) -> None:
        """Two logins, and the endpoint sees whom it asked for."""

        class Copying:
            def __init__(self, app: Any) -> None:
                self.app = app

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                await self.app(dict(scope), receive, send)

        oauth = OAuth()
        logins = {}
        for name in ("one", "two"):
            provider = FakeProvider(f"https://{name}.example")
            oauth.register(name, **provider.register_settings())
            logins[name] = Login(oauth, name, secret_key=SECRET), provider

        @logins["one"][0].required()
        async def who(request: Request) -> Response:
            return PlainTextResponse(request.user.sub)

        app = Starlette(
            routes=[Route("/who", who), *(it.routes(f"/{n}") for n, (it, _) in logins.items())],
            middleware=[*(it.middleware() for it, _ in logins.values()), Middleware(Copying)],
        )
        browser = new_browser(app, SITE)
        for name, user in (("one", "alice"), ("two", "bob")):
            url = browser.get(f"/{name}/login").headers["location"]
            deliver(browser, sign_in(logins[name][1], url, user))
        assert browser.get("/who").text == "alice"

    def test_an_endpoint_that_is_an_object(self, app: LoginApp) -> None:
        class Endpoint:
            async def __call__(self, request: Request) -> Response:
                return PlainTextResponse(request.user.sub)

        app.app.router.routes.append(Route("/object", app.auth.required()(Endpoint())))
        assert app.logged_in().get("/object").text == "alice"


class TestTaskGroups:
    def test_errors_of_ours(self, app: LoginApp) -> None:
        browser = app.logged_in()
        app.clock.advance(3600)
        with app.provider.fault("token.error", "invalid_grant"):
            response = browser.get("/together", headers=PAGE)
        assert response.status_code == 302
        assert response.headers["location"] == "/auth/login?return_to=%2Ftogether"

    def test_with_others_among_them(self, app: LoginApp) -> None:
        browser = app.logged_in(raise_server_exceptions=False)
        app.clock.advance(3600)
        with app.provider.fault("token.error", "invalid_grant"):
            assert browser.get("/mixed").status_code == 500


def test_no_cache_keeps_an_answer_with_a_session() -> None:
    """Whatever the app says of the page: who got it next would be logged in as somebody else."""
    app = LoginApp("cookies", routes=pages)
    browser = app.logged_in()
    assert browser.get("/cached").headers["cache-control"] == "public, max-age=600"
    app.clock.advance(600)
    response = browser.get("/cached")
    assert "set-cookie" in response.headers
    assert response.headers["cache-control"] == "no-store"
