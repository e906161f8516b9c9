"""Tokens in requests, API calls with them, and a login that an API wants stronger (RFC 9470)."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reliant import ConfigurationError, LoginRequired, OAuthError
from reliant.login import Login, Session
from reliant.testing import Behaviour, FakeProvider, extra
from tests.helpers.login_app import (
    KINDS,
    PAGE,
    SAME_ORIGIN,
    SITE,
    LoginApp,
    take_cookies,
    whoami,
)

API = "https://api.example"


class Api(httpx2.AsyncBaseTransport):
    """An API that answers well; `answers` take the place of that, one by one."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []  # the token and the body of each
        self.answers: list[httpx2.Response] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        body = b"".join([chunk async for chunk in request.stream])
        token = request.headers.get("authorization", "none").removeprefix("Bearer ")
        self.requests.append((token, body))
        return self.answers.pop(0) if self.answers else httpx2.Response(200)

    @property
    def tokens(self) -> list[str]:
        return [token for token, _ in self.requests]


def pages(api: Api) -> Any:
    def routes(auth: Login) -> list[Route]:
        @auth.required(preserve_post=True)
        async def call(request: Request) -> Response:
            query = dict(request.query_params)
            url = query.pop("url", f"{API}/me")
            stream, follow = query.pop("stream", None), bool(query.pop("follow", None))
            content: Any = b"body" if request.method == "POST" else None
            if stream:
                content = _chunks()
            async with httpx2.AsyncClient(transport=api) as client:
                answer = await client.request(
                    request.method, url, content=content, auth=auth.http(request, **query),
                    follow_redirects=follow,
                )  # fmt: skip
            return JSONResponse({"status": answer.status_code})

        async def open_to_all(request: Request) -> Response:
            auth.http(request)
            return JSONResponse({})

        return [Route("/call", call, methods=["GET", "POST"]), Route("/open", open_to_all)]

    return routes


async def _chunks() -> Any:
    yield b"one"
    yield b"two"


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture(params=["cookies", "store"])
def app(request: pytest.FixtureRequest, api: Api) -> LoginApp:
    return LoginApp(request.param, routes=pages(api), settings={"api_base_url": API})


def unauthorized(challenge: str = "Bearer") -> httpx2.Response:
    return httpx2.Response(401, headers={"www-authenticate": challenge})


class TestSessionTokens:
    def test_a_token_is_refreshed_in_a_request_and_kept(self, app: LoginApp) -> None:
        browser = app.logged_in()
        first = browser.get("/token").json()
        app.clock.advance(3590)
        second = browser.get("/token").json()
        assert second["access_token"] != first["access_token"]
        assert second["expires_at"] == app.clock.now + 3600
        assert browser.get("/token").json() == second
        assert app.provider.count("token") == 2
        assert not {"refresh_token", "id_token"} & second.keys()

    def test_many_refreshes_in_a_row(self, app: LoginApp) -> None:
        browser = app.logged_in()
        for _ in range(20):
            app.clock.advance(3600)
            assert browser.get("/token").status_code == 200
        assert whoami(browser) == "alice"
        assert app.provider.violations == []

    def test_the_provider_ends_the_login(self, app: LoginApp) -> None:
        browser = app.logged_in()
        app.clock.advance(3600)
        with app.provider.fault("token.error", "invalid_grant"):
            response = browser.get("/token", headers=PAGE)
        assert response.status_code == 302
        assert response.headers["location"] == "/auth/login?return_to=%2Ftoken"
        assert whoami(browser) is None

    def test_the_provider_is_away(self, app: LoginApp) -> None:
        browser = app.logged_in()
        app.clock.advance(3570)
        with app.provider.fault("token.status", 503):
            assert browser.get("/token").status_code == 200
            app.clock.advance(30)
            assert browser.get("/token").status_code == 502
            assert whoami(browser) == "alice"
        assert browser.get("/token").status_code == 200

    def test_requests_that_come_together_all_bring_it_to_the_browser(self) -> None:
        """With cookies alone: of the answers one may get lost."""
        app = LoginApp("cookies")
        browser = app.logged_in()
        app.clock.advance(3600)
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())

        async def ask_together() -> list[httpx2.Response]:
            transport = httpx2.ASGITransport(app.app)
            async with httpx2.AsyncClient(transport=transport, base_url=SITE) as client:
                get = client.get("/token", headers={"cookie": cookie})
                also = client.get("/token", headers={"cookie": cookie})
                return list(await asyncio.gather(get, also))

        answers = anyio.run(ask_together)
        assert app.provider.count("token") == 2
        for answer in answers:
            assert answer.status_code == 200
            assert any(
                "login.op!" in it and ".1=" in it for it in answer.headers.get_list("set-cookie")
            )

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_answer_that_comes_after_the_logout(self, kind: str) -> None:
        """Its cookies bring nobody back."""
        begun, go_on = threading.Event(), threading.Event()

        def routes(auth: Login) -> list[Route]:
            @auth.required()
            async def slow(request: Request) -> Response:
                await auth.session(request).token()
                begun.set()
                await anyio.to_thread.run_sync(go_on.wait)
                return JSONResponse({})

            return [Route("/slow", slow)]

        app = LoginApp(kind, routes=routes)
        browser, tab = app.logged_in(), app.browser()
        take_cookies(tab, browser)
        app.clock.advance(3600)
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(tab.get, "/slow")
            assert begun.wait(10)
            browser.post("/auth/logout", headers=SAME_ORIGIN)
            go_on.set()
            assert answer.result().status_code == 200
        take_cookies(browser, tab)
        assert whoami(browser) is None

    def test_what_an_app_can_not_use_up(self, app: LoginApp) -> None:
        """Whoever refreshed with it would do so behind the back of all other workers."""
        seen: list[Session] = []

        async def look(request: Request) -> Response:
            seen.append(app.auth.session(request))
            return JSONResponse({})

        app.app.router.routes.append(Route("/look", look))
        app.logged_in().get("/look")
        assert seen[0].family.record.token.refresh_token
        assert seen[0].tokens.refresh_token is None

    def test_a_login_without_an_access_token(self) -> None:
        provider = FakeProvider(behaviour=Behaviour(response_types=("id_token",)))
        settings = {"response_type": "id_token"}
        for kind in ("cookies", "store"):
            app = LoginApp(kind, provider=provider, settings=settings)
            browser = app.browser()
            url = browser.get("/auth/login").headers["location"]
            callback = anyio.run(provider.sign_in, url)
            browser.post(callback.url.partition("#")[0], data=callback.params)
            assert whoami(browser) == "alice"
            response = browser.get("/token")
            assert (response.status_code, response.json()["code"]) == (401, "request.token_missing")

    def test_update_token_is_told(self, api: Api) -> None:
        told: list[Any] = []

        def hook(token: Any, refresh_token: str, access_token: str) -> None:
            told.append((token["access_token"], access_token))

        app = LoginApp("store", settings={"update_token": hook})
        browser = app.logged_in()
        old = browser.get("/token").json()["access_token"]
        app.clock.advance(3600)
        new = browser.get("/token").json()["access_token"]
        assert told == [(new, old)]

    @pytest.mark.parametrize("audience", [None, "api"])
    @pytest.mark.parametrize("id_token", [True, False])
    @pytest.mark.parametrize("kind", KINDS)
    def test_what_update_token_changes_is_not_kept(
        self, kind: str, id_token: bool, audience: str | None
    ) -> None:
        def hook(token: Any, **old: str) -> None:
            told.append(old)
            token["userinfo"].update(sub="bob", acr="gold")

        async def page(request: Request) -> Response:
            session = app.auth.session(request)
            await session.token(audience=audience)
            return JSONResponse({**session.claims, **session.tokens["userinfo"]})

        told: list[dict[str, str]] = []
        app = LoginApp(kind, settings={"update_token": hook})
        app.app.router.routes.append(Route("/page", page))
        app.provider.behaviour.refresh_id_token = id_token
        browser = app.logged_in()
        for _ in range(3):
            app.clock.advance(3600)
            claims = browser.get("/page").json()
            assert (claims["sub"], claims.get("acr")) == ("alice", None)
            claims = browser.get("/me").json()["claims"]
            assert (claims["sub"], claims.get("acr")) == ("alice", None)
        assert len(told) == 3

    def test_a_session_tells_no_secret(self, app: LoginApp) -> None:
        seen: list[Session] = []

        async def look(request: Request) -> Response:
            seen.append(app.auth.session(request))
            return JSONResponse({})

        app.app.router.routes.append(Route("/look", look))
        browser = app.logged_in()
        browser.get("/look")
        (session,) = seen
        assert session.tokens.access_token
        for text in (repr(session), repr(session.family.record), repr(session.tokens)):
            assert session.tokens.access_token not in text
            assert "eyJ" not in text


class TestApiCalls:
    def test_with_the_token(self, app: LoginApp, api: Api) -> None:
        browser = app.logged_in()
        token = browser.get("/token").json()["access_token"]
        assert browser.get("/call").json() == {"status": 200}
        assert api.tokens == [token]

    def test_refreshed_first(self, app: LoginApp, api: Api) -> None:
        browser = app.logged_in()
        app.clock.advance(3600)
        browser.get("/call")
        assert api.tokens == [browser.get("/token").json()["access_token"]]

    def test_for_another_audience(self, app: LoginApp, api: Api) -> None:
        browser = app.logged_in()
        url = "https://orders.example/list"
        response = browser.get("/call", params={"url": url, "resource": "https://orders.example"})
        assert response.json() == {"status": 200}
        (refresh,) = [r for r in app.provider.requests if r.params.get("resource")]
        assert refresh.params["resource"] == "https://orders.example"

    @pytest.mark.parametrize(
        "url",
        ["https://evil.example/x", "http://api.example/x", "https://api.example.evil.example"],
    )
    def test_the_token_goes_nowhere_else(self, app: LoginApp, api: Api, url: str) -> None:
        response = app.logged_in().get("/call", params={"url": url})
        assert response.status_code in (400, 500)
        assert api.requests == []

    def test_an_api_that_nobody_has_named(self, api: Api) -> None:
        """A token that goes to any address a template or a user names is soon a stranger's."""
        app = LoginApp("store", routes=pages(api))
        browser = app.logged_in(raise_server_exceptions=False)
        for audience in ({}, {"audience": "orders"}):
            response = browser.get("/call", params=audience)
            assert (response.status_code, response.json()["code"]) == (
                500, "configuration.api_base_url",
            )  # fmt: skip
        assert api.requests == []
        assert browser.get("/call", params={"resource": API}).status_code == 200

    def test_nobody(self, app: LoginApp) -> None:
        assert app.browser().get("/open").status_code == 401

    def test_only_for_async_clients(self, app: LoginApp) -> None:
        seen: list[Any] = []

        async def look(request: Request) -> Response:
            seen.append(app.auth.http(request))
            return JSONResponse({})

        app.app.router.routes.append(Route("/look", look))
        app.logged_in().get("/look")
        with (
            httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200))) as client,
            pytest.raises(ConfigurationError) as caught,
        ):
            client.get(API, auth=seen[0])
        assert caught.value.code == "configuration.async_client"


class TestRefusedByTheApi:
    def test_once_more_with_a_new_token(self, app: LoginApp, api: Api) -> None:
        browser = app.logged_in()
        app.clock.advance(60)
        api.answers = [unauthorized('Bearer error="invalid_token"')]
        assert browser.get("/call").json() == {"status": 200}
        first, second = api.tokens
        assert first != second
        assert second == browser.get("/token").json()["access_token"]

    def test_with_its_body(self, app: LoginApp, api: Api) -> None:
        browser = app.logged_in()
        app.clock.advance(60)
        api.answers = [unauthorized()]
        assert browser.post("/call", headers=SAME_ORIGIN).json() == {"status": 200}
        assert [body for _, body in api.requests] == [b"body", b"body"]

    def test_but_not_where_the_body_is_gone(self, app: LoginApp, api: Api) -> None:
        browser = app.logged_in()
        app.clock.advance(60)
        api.answers = [unauthorized()]
        response = browser.post("/call?stream=1", headers=SAME_ORIGIN)
        assert response.json() == {"status": 401}
        assert len(api.requests) == 1

    def test_an_api_that_takes_none(self, app: LoginApp, api: Api) -> None:
        browser = app.logged_in()
        app.clock.advance(60)
        api.answers = [unauthorized() for _ in range(9)]
        for _ in range(4):
            assert browser.get("/call").json() == {"status": 401}
        assert app.provider.count("token") == 2

    def test_other_answers_are_the_app_s(self, app: LoginApp, api: Api) -> None:
        api.answers = [httpx2.Response(403)]
        assert app.logged_in().get("/call").json() == {"status": 403}


class TestStepUpFromAnApi:
    CHALLENGE = 'Bearer error="insufficient_user_authentication", acr_values="gold", max_age="60"'

    def test_through_a_login_and_back(self, app: LoginApp, api: Api) -> None:
        browser = app.logged_in()
        api.answers = [unauthorized(self.CHALLENGE)]
        response = browser.get("/call?audience=x", headers=PAGE)
        assert response.status_code == 302
        location = response.headers["location"]
        assert location == (
            "/auth/login?return_to=%2Fcall%3Faudience%3Dx&acr_values=gold&max_age=60"
        )
        back = app.log_in(browser, path=location)
        assert back.headers["location"] == "/call?audience=x"
        assert browser.get("/me").json()["claims"]["acr"] == "gold"
        assert browser.get("/call?audience=x").json() == {"status": 200}

    def test_an_api_that_is_never_satisfied(self, app: LoginApp, api: Api) -> None:
        """The login it asks for is made once; another would not help, and so on for ever."""
        for challenge in (
            self.CHALLENGE,
            'Bearer error="insufficient_user_authentication"',
            'Bearer error="insufficient_user_authentication", max_age=10',
        ):
            browser = app.logged_in()
            api.answers = [unauthorized(challenge) for _ in range(9)]
            location = browser.get("/call", headers=PAGE).headers["location"]
            app.clock.advance(1)
            assert app.log_in(browser, path=location).headers["location"] == "/call"
            response = browser.get("/call", headers=PAGE)
            assert response.status_code == 403
            assert "login.circle" in response.text
            assert browser.get("/call", headers={"referer": f"{SITE}/call"}).status_code == 403
            app.clock.advance(60)
            assert browser.get("/call", headers=PAGE).status_code == 302

    def test_only_the_api_has_a_say(self, app: LoginApp, api: Api) -> None:
        """And not whom it redirects to; the token does not go there either."""
        browser = app.logged_in()
        elsewhere = {"location": "https://evil.example/"}
        api.answers = [httpx2.Response(302, headers=elsewhere), unauthorized(self.CHALLENGE)]
        assert browser.get("/call?follow=1").json() == {"status": 401}
        assert api.tokens[1:] == ["none"]
        assert app.provider.count("token") == 1

    def test_a_form_is_kept(self, app: LoginApp, api: Api) -> None:
        browser = app.logged_in()
        api.answers = [unauthorized(self.CHALLENGE)]
        response = browser.post("/call", data={"a": "1"}, headers=SAME_ORIGIN)
        assert response.headers["location"].startswith("/auth/login?return_to=%2Fauth%2Fresume&")

    def test_a_program_is_told(self, app: LoginApp, api: Api) -> None:
        browser = app.logged_in()
        api.answers = [unauthorized(self.CHALLENGE)]
        response = browser.get("/call")
        assert response.status_code == 401
        problem = json.loads(response.text)
        assert (problem["acr_values"], problem["max_age"]) == ("gold", 60)

    def test_an_app_can_raise_it_itself(self, app: LoginApp) -> None:
        async def strict(request: Request) -> Response:
            raise LoginRequired("insufficient_user_authentication", "More, please.", max_age=5)

        app.app.router.routes.append(Route("/strict", strict))
        response = app.logged_in().get("/strict", headers=PAGE)
        assert response.headers["location"] == "/auth/login?return_to=%2Fstrict&max_age=5"


class TestVault:
    def put(self, app: LoginApp, browser: Any) -> str:
        async def keep(request: Request) -> Response:
            return JSONResponse({"handle": await app.auth.vault.put(app.auth.session(request))})

        app.app.router.routes.append(Route("/keep", keep))
        handle: str = browser.get("/keep").json()["handle"]
        return handle

    @pytest.fixture(params=["indexed", "store"])
    def app(self, request: pytest.FixtureRequest) -> LoginApp:
        return LoginApp(request.param)

    def ask(self, app: LoginApp, handle: str, **wanted: str) -> Any:
        async def token() -> Any:
            return await app.auth.vault.token(handle, **wanted)

        return anyio.run(token)

    def test_session_and_jobs_share_one_family(self, app: LoginApp) -> None:
        browser = app.logged_in()
        handle = self.put(app, browser)
        assert self.put(app, browser) == handle
        for _ in range(3):
            app.clock.advance(3600)
            job = self.ask(app, handle)
            page = browser.get("/token").json()
            assert page == job
        # A provider that rotates has seen each refresh token once.
        assert app.provider.count("token") == 4
        assert whoami(browser) == "alice"

    def test_it_goes_on_after_the_session(self, app: LoginApp) -> None:
        browser = app.logged_in()
        handle = self.put(app, browser)
        browser.post("/auth/logout", headers=SAME_ORIGIN)
        assert app.provider.count("revoke") == 0
        app.clock.advance(30 * 24 * 3600)
        assert self.ask(app, handle)["access_token"]

    def test_requests_that_know_nothing_of_it_yet(self, app: LoginApp) -> None:
        """Their record has no refresh token any more, or still the one that the vault has now."""
        browser, other = app.logged_in(), app.browser()
        take_cookies(other, browser)
        handle = self.put(app, browser)
        app.clock.advance(3570)
        token = other.get("/token")
        assert token.status_code == 200
        assert token.json() == self.ask(app, handle)
        assert app.provider.violations == []

    def test_a_session_learns_what_jobs_refreshed(self, app: LoginApp) -> None:
        browser = app.logged_in()
        handle = self.put(app, browser)
        app.clock.advance(3590)
        ends = int(app.clock.now) + 60
        with app.provider.fault("id_token.session_expiry", extra(ends)):
            job = self.ask(app, handle)
        assert browser.get("/me").json()["expires_at"] == ends
        assert browser.get("/token").json() == job
        app.clock.advance(60)
        assert whoami(browser) is None

    def test_a_handle_whose_tokens_are_gone(self, app: LoginApp) -> None:
        browser = app.logged_in()
        anyio.run(app.auth.vault.delete, self.put(app, browser))
        assert browser.get("/keep").json()["code"] == "session.ended"
        assert whoami(browser) is None

    def test_a_job_that_refreshes_beside_it(self, app: LoginApp) -> None:
        """What came for it meanwhile is revoked too."""
        handle = self.put(app, app.logged_in())
        app.clock.advance(3590)

        async def both() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(app.auth.vault.token, handle)
                await anyio.sleep(0.01)
                group.start_soon(app.auth.vault.delete, handle)

        with app.provider.fault("token.delay", 0.05):
            anyio.run(both)
        tokens = [it.params["token"] for it in app.provider.requests if it.endpoint == "revoke"]
        used = [it.params.get("refresh_token") for it in app.provider.requests]
        assert app.provider.count("token") == 2
        assert len(tokens) == 1
        assert tokens[0] not in used  # but the one that came of it

    def test_a_hook_that_deletes_it(self) -> None:
        """It is told of a new token when others can have the lock again."""
        handles: list[str] = []

        async def hook(*_: Any, **__: Any) -> None:
            with anyio.fail_after(5):
                await site.auth.vault.delete(handles[0])

        site = LoginApp("store", settings={"update_token": hook})
        handles.append(self.put(site, site.logged_in()))
        site.clock.advance(3600)
        assert self.ask(site, handles[0])["access_token"]
        with pytest.raises(LoginRequired):
            self.ask(site, handles[0])

    def test_a_logout_while_it_moves_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app = LoginApp("indexed")
        browser = app.logged_in()
        add = app.store.add

        async def log_out_too(key: str, text: str, seconds: float) -> bool:
            done = await add(key, text, seconds)
            await app.auth.logout_everywhere(app.provider.issuer, "alice")
            return done

        monkeypatch.setattr(app.store, "add", log_out_too)

        async def keep(request: Request) -> Response:
            return JSONResponse({"handle": await app.auth.vault.put(app.auth.session(request))})

        app.app.router.routes.append(Route("/keep", keep))
        assert browser.get("/keep").json()["code"] == "session.ended"
        assert app.provider.count("revoke") == 1

    def test_what_was_not_revoked_is_still_there(self, app: LoginApp) -> None:
        handle = self.put(app, app.logged_in())
        with app.provider.fault("revoke.status", 503), pytest.raises(OAuthError):
            anyio.run(app.auth.vault.delete, handle)
        anyio.run(app.auth.vault.delete, handle)
        assert app.provider.count("revoke") == 2

    def test_the_end(self, app: LoginApp) -> None:
        handle = self.put(app, app.logged_in())
        anyio.run(app.auth.vault.delete, handle)
        assert app.provider.count("revoke") == 1
        with pytest.raises(LoginRequired) as caught:
            self.ask(app, handle)
        assert caught.value.code == "session.ended"
        anyio.run(app.auth.vault.delete, handle)

    def test_the_provider_ends_it(self, app: LoginApp) -> None:
        browser = app.logged_in()
        handle = self.put(app, browser)
        app.clock.advance(3600)
        app.provider.fault("token.error", "invalid_grant")
        for _ in range(2):
            with pytest.raises(LoginRequired):
                self.ask(app, handle)
        assert app.provider.count("token") == 2
        assert browser.get("/token").status_code == 401

    def test_a_token_of_no_session(self, app: LoginApp) -> None:
        token = {"access_token": "a", "refresh_token": "r", "token_type": "Bearer"}
        handle = anyio.run(app.auth.vault.put, token)
        assert self.ask(app, handle)["access_token"] == "a"
        with pytest.raises(Exception, match="no refresh token"):
            anyio.run(app.auth.vault.put, {"access_token": "a"})

    @pytest.mark.parametrize("handle", ["", "x", "A" * 43, "é"])
    def test_a_handle_that_somebody_made_up(self, app: LoginApp, handle: str) -> None:
        with pytest.raises(LoginRequired):
            self.ask(app, handle)

    def test_what_nobody_used_is_gone(self, app: LoginApp) -> None:
        handle = self.put(app, app.logged_in())
        app.clock.advance(89 * 24 * 3600)
        self.ask(app, handle)
        app.clock.advance(89 * 24 * 3600)
        self.ask(app, handle)
        app.clock.advance(90 * 24 * 3600)
        with pytest.raises(LoginRequired):
            self.ask(app, handle)

    def test_cookies_alone_have_none(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            _ = LoginApp("cookies").auth.vault
        assert caught.value.code == "configuration.vault"
