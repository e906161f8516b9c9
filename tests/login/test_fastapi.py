"""The same with FastAPI: dependencies, forms that it has read, its own error handlers.

(FastAPI reads the annotations, and would not find `auth` in them if they were texts.)
"""

import re
from functools import wraps
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Form, Request, WebSocket

from reliant import ConfigurationError, OAuthError
from reliant.login import Session, User
from tests.helpers.login_app import PAGE, SAME_ORIGIN, LoginApp, whoami
from tests.helpers.relying_party import new_browser


def new_app(kind: str) -> tuple[LoginApp, FastAPI]:
    given = LoginApp(kind)
    auth = given.auth
    app = FastAPI(
        middleware=[auth.middleware()],
        lifespan=auth.lifespan,
        exception_handlers={OAuthError: given.oauth.exception_handler},
    )
    app.router.routes.append(auth.routes("/auth"))
    strong = Depends(auth.required("email", acr_values="gold", preserve_post=True).user)

    @app.get("/whoami")
    async def home(request: Request) -> dict[str, Any]:
        user = request.user
        return {"sub": user.sub if user.is_authenticated else None}

    @app.get("/me")
    async def me(user: Annotated[User, Depends(auth.user)]) -> dict[str, Any]:
        return {"sub": user.sub, "claims": user.claims}

    @app.get("/sync")
    def sync(user: Annotated[User, Depends(auth.user)]) -> str:
        return user.sub

    @app.get("/token")
    async def token(session: Annotated[Session, Depends(auth.session)]) -> dict[str, Any]:
        return await session.token()

    @app.post("/pay")
    async def pay(
        user: Annotated[User, strong], amount: Annotated[int, Form()], to: Annotated[str, Form()]
    ) -> dict[str, Any]:
        return {"sub": user.sub, "amount": amount, "to": to}

    @app.get("/decorated")
    @auth.required()
    async def decorated(request: Request, number: int = 1) -> dict[str, Any]:
        return {"sub": request.user.sub, "number": number}

    @app.websocket("/ws")
    async def websocket(websocket: WebSocket, user: Annotated[User, Depends(auth.user)]) -> None:
        await websocket.accept()
        await websocket.send_text(user.sub)
        await websocket.close()

    given.app = app
    return given, app


@pytest.fixture(params=["cookies", "store"])
def app(request: pytest.FixtureRequest) -> LoginApp:
    return new_app(request.param)[0]


@pytest.mark.parametrize("path", ["/me", "/sync", "/token", "/decorated?number=1"])
def test_who_is_not_logged_in(app: LoginApp, path: str) -> None:
    assert app.browser().get(path).status_code == 401
    assert app.browser().get(path, headers=PAGE).status_code == 302


def test_who_is(app: LoginApp) -> None:
    browser = app.logged_in()
    assert browser.get("/me").json()["claims"]["sub"] == "alice"
    assert browser.get("/sync").json() == "alice"
    assert browser.get("/token").json()["access_token"]
    assert browser.get("/decorated?number=7").json() == {"sub": "alice", "number": 7}
    assert whoami(browser) == "alice"


def test_a_websocket(app: LoginApp) -> None:
    with app.logged_in().websocket_connect("wss://testserver/ws") as socket:
        assert socket.receive_text() == "alice"


def test_a_form_goes_through_a_stronger_login(app: LoginApp) -> None:
    browser = app.logged_in()
    form = {"amount": "5", "to": "bob"}
    response = browser.post("/pay", data=form, headers=SAME_ORIGIN)
    assert response.status_code == 303
    app.log_in(browser, path=response.headers["location"])
    page = browser.get("/auth/resume")
    assert re.findall('name="([^"]*)" value="([^"]*)"', page.text) == list(form.items())
    response = browser.post("/pay", data=form, headers=SAME_ORIGIN)
    assert response.json() == {"sub": "alice", "amount": 5, "to": "bob"}


def test_the_provider_ends_the_login(app: LoginApp) -> None:
    browser = app.logged_in()
    app.clock.advance(3600)
    app.provider.fault("token.error", "invalid_grant")
    assert browser.get("/token", headers=PAGE).status_code == 302
    assert whoami(browser) is None


def test_with_routes_given_at_the_start() -> None:
    given = LoginApp("store")
    app = FastAPI(routes=[given.auth.routes("/auth")], middleware=[given.auth.middleware()])
    browser = new_browser(app)
    assert given.log_in(browser).status_code == 303


def test_openapi_still_works(app: LoginApp) -> None:
    assert "/me" in app.browser().get("/openapi.json").json()["paths"]


@pytest.mark.parametrize("how", ["at the app", "at a router", "in a part"])
def test_a_decorator_in_the_wrong_place_is_told_at_the_start(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    given, app = new_app("cookies")
    router, part = APIRouter(), FastAPI()
    get = {"at the app": app.get, "at a router": router.get, "in a part": part.get}[how]

    @given.auth.required()
    @get("/open-to-all")
    async def endpoint(request: Request) -> str:
        return "for people who are logged in"

    app.include_router(router, prefix="/more")
    app.mount("/part", part)
    # An app may have another lifespan of its own.
    assert new_browser(app).get("/whoami").status_code == 200
    assert "Nobody would be asked for a login at 'endpoint'" in caplog.text
    with pytest.raises(ConfigurationError) as caught, new_browser(app):
        pass
    assert caught.value.code == "configuration.required"
    assert "'endpoint'" in caught.value.description


def within_another(endpoint: Any) -> Any:
    """An endpoint with a decorator of the app's own around it."""

    @wraps(endpoint)
    async def outer(*args: Any, **kwargs: Any) -> Any:
        return await endpoint(*args, **kwargs)

    return outer


def test_an_endpoint_may_be_open_in_one_place_and_not_in_another() -> None:
    given, app = new_app("cookies")

    async def page(request: Request) -> str:
        return "page"

    app.get("/for-all")(page)
    app.get("/for-some")(within_another(given.auth.required()(page)))
    with new_browser(app) as browser:
        assert browser.get("/for-all").status_code == 200
        assert browser.get("/for-some").status_code == 401
