"""What an endpoint requires: a login, scopes, a strong or fresh one (RFC 9470)."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from reliant import OAuthError
from reliant.login import Login
from reliant.protocol.step_up import challenges
from reliant.testing import REMOVE
from tests.helpers.login_app import PAGE, LoginApp


def pages(auth: Login) -> list[Any]:
    async def show(request: Request) -> Response:
        return JSONResponse({"acr": auth.session(request).claims.get("acr")})

    @auth.required()
    def sync(request: Request) -> Response:
        return PlainTextResponse(request.user.sub)

    class Methods(HTTPEndpoint):
        @auth.required()
        async def get(self, request: Request) -> Response:
            return PlainTextResponse(request.user.sub)

    return [
        Route("/strong", auth.required(acr_values="gold silver")(show)),
        Route("/list", auth.required(acr_values=["gold", "silver"])(show)),
        Route("/fresh", auth.required(max_age=300)(show)),
        Route("/both", auth.required(acr_values="gold", max_age=0)(show)),
        Route("/email", auth.required("email", "profile")(show)),
        Route("/admin", auth.required("admin")(show)),
        Route("/sync", sync),
        Route("/methods", Methods),
    ]


@pytest.fixture(params=["cookies", "store"])
def app(request: pytest.FixtureRequest) -> LoginApp:
    return LoginApp(request.param, routes=pages)


class TestTheDecorator:
    @pytest.mark.parametrize("path", ["/sync", "/methods", "/me"])
    def test_on_any_endpoint(self, app: LoginApp, path: str) -> None:
        assert app.browser().get(path).status_code == 401
        assert "alice" in app.logged_in().get(path).text

    def test_keeps_the_endpoint_s_name(self, app: LoginApp) -> None:
        async def named(request: Request) -> None:
            """What it does."""

        wrapped = app.auth.required()(named)
        assert (wrapped.__name__, wrapped.__doc__) == ("named", "What it does.")

    def test_an_endpoint_that_takes_no_request(self, app: LoginApp) -> None:
        def endpoint() -> None:
            pass

        with pytest.raises(TypeError, match=r"'endpoint' needs a parameter named request"):
            app.auth.required()(endpoint)

    def test_without_parentheses(self, app: LoginApp) -> None:
        endpoint: Any = self.test_an_endpoint_that_takes_no_request
        with pytest.raises(TypeError, match=r"@auth\.required\(\)"):
            app.auth.required(endpoint)

    def test_repr_tells_no_secret(self, app: LoginApp) -> None:
        assert "secret" not in repr(app.auth.required("x"))


class TestScopes:
    def test_granted(self, app: LoginApp) -> None:
        assert app.logged_in().get("/email").status_code == 200

    def test_a_provider_that_grants_what_was_asked_and_does_not_say_so(self, app: LoginApp) -> None:
        """RFC 6749 section 5.1."""
        with app.provider.fault("token.scope", REMOVE):
            browser = app.logged_in()
        assert browser.get("/email").status_code == 200
        assert browser.get("/admin").status_code == 403

    def test_granted_less_than_asked(self, app: LoginApp) -> None:
        with app.provider.fault("token.scope", "openid profile"):
            browser = app.logged_in()
        assert browser.get("/email").status_code == 403

    def test_not_granted(self, app: LoginApp) -> None:
        browser = app.logged_in()
        response = browser.get("/admin")
        assert (response.status_code, response.json()["code"]) == (403, "session.scope")
        page = browser.get("/admin?x=1", headers=PAGE).text
        assert "<h1>No access</h1>" in page
        assert (
            '<a href="/auth/login?return_to=%2Fadmin%3Fx%3D1&amp;prompt=login">Try again</a>'
            in page
        )

    def test_nobody(self, app: LoginApp) -> None:
        assert app.browser().get("/admin").status_code == 401


class TestStepUp:
    def test_through_a_stronger_login_and_back(self, app: LoginApp) -> None:
        browser = app.logged_in()
        challenge = browser.get("/strong?x=1", headers=PAGE)
        assert challenge.status_code == 302
        location = challenge.headers["location"]
        assert location == "/auth/login?return_to=%2Fstrong%3Fx%3D1&acr_values=gold%20silver"
        response = app.log_in(browser, path=location)
        assert response.headers["location"] == "/strong?x=1"
        assert browser.get("/strong").json() == {"acr": "gold"}
        assert browser.get("/list").json() == {"acr": "gold"}

    def test_a_program_is_told_what_is_needed(self, app: LoginApp) -> None:
        response = app.logged_in().get("/both")
        assert response.status_code == 401
        problem = response.json()
        assert problem["code"] == "session.insufficient_authentication"
        assert (problem["acr_values"], problem["max_age"]) == ("gold", 0)
        ((_, params),) = challenges(response.headers["www-authenticate"])
        assert params["error"] == "insufficient_user_authentication"
        assert (params["acr_values"], params["max_age"]) == ("gold", "0")
        assert params["form-action"] == problem["login_url"]

    def test_a_login_that_is_not_strong_enough_ends_in_an_error(self, app: LoginApp) -> None:
        """And not in a circle."""
        browser = app.logged_in()
        location = browser.get("/strong", headers=PAGE).headers["location"]
        with app.provider.fault("id_token.acr", "bronze"):
            response = app.log_in(browser, path=location)
        assert (response.status_code, response.json()["code"]) == (401, "id_token.acr")

    def test_who_leaves_the_demand_out_of_the_address_is_asked_again(self, app: LoginApp) -> None:
        browser = app.logged_in()
        app.log_in(browser, path="/auth/login?return_to=/strong")
        assert browser.get("/strong").status_code == 401

    def test_a_fresh_login(self, app: LoginApp) -> None:
        browser = app.logged_in()
        assert browser.get("/fresh").status_code == 200
        app.clock.advance(360)
        assert browser.get("/fresh").status_code == 200  # a minute of leeway
        app.clock.advance(1)
        challenge = browser.get("/fresh", headers=PAGE)
        assert challenge.headers["location"] == "/auth/login?return_to=%2Ffresh&max_age=300"
        assert app.log_in(browser, path=challenge.headers["location"]).status_code == 303
        assert browser.get("/fresh").status_code == 200

    def test_max_age_zero_can_be_met(self, app: LoginApp) -> None:
        browser = app.logged_in()
        location = browser.get("/both", headers=PAGE).headers["location"]
        assert "max_age=0" in location
        app.log_in(browser, path=location)
        app.clock.advance(30)
        assert browser.get("/both").status_code == 200

    @pytest.mark.parametrize("value", [None, "soon", True])
    def test_no_auth_time_is_not_fresh(self, app: LoginApp, value: Any) -> None:
        browser = app.browser()
        with app.provider.fault("id_token.auth_time", value):
            app.log_in(browser)
        assert browser.get("/fresh").status_code == 401

    def test_no_acr_is_not_strong(self, app: LoginApp) -> None:
        assert app.logged_in().get("/strong").status_code == 401


class TestMisuse:
    def test_no_middleware(self) -> None:
        app = LoginApp("store")
        app.app.user_middleware.clear()
        browser = app.browser()
        for path in ("/me", "/auth/login"):
            with pytest.raises(OAuthError) as caught:
                browser.get(path)
            assert caught.value.code == "configuration.middleware"

    def test_no_routes(self) -> None:
        app = LoginApp("store")
        app.auth._reception.prefix = None
        response = app.browser().get("/me", headers=PAGE)
        assert response.status_code == 500
