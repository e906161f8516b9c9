"""The answer as a POST from the provider's page (OAuth 2.0 Form Post Response Mode)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any
from urllib.parse import urlencode

import anyio
import httpx2
import pytest
from fastapi import FastAPI, Form
from fastapi import Request as FastAPIRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from reliant import ConfigurationError, OAuthError
from reliant.starlette import OAuth, StarletteClient
from reliant.testing import FakeProvider
from tests.helpers.relying_party import SITE, build_app, deliver, new_browser, new_oauth, start
from tests.helpers.relying_party import sign_in as _sign_in

FORM = {"content-type": "application/x-www-form-urlencoded"}


def _browser(provider: FakeProvider) -> TestClient:
    oauth = new_oauth("cookie")
    oauth.register("op", **provider.register_settings())
    return new_browser(build_app(oauth))


def _callback(browser: TestClient, provider: FakeProvider) -> dict[str, str]:
    """Log in at the provider; returns the form it would post."""
    callback = _sign_in(provider, start(browser, response_mode="form_post"))
    assert callback.form is not None
    assert callback.url == f"{SITE}/callback/op"
    return callback.form


def _post(browser: TestClient, content: Any, headers: dict[str, str] | None = None) -> Any:
    response = browser.post("/callback/op", content=content, headers=headers or FORM)
    return response.json().get("code", response.status_code)


# -- where it works ------------------------------------------------------------------------------


def test_it_works_with_a_secret_key(provider: FakeProvider) -> None:
    browser = _browser(provider)
    form = _callback(browser, provider)
    response = browser.post("/callback/op", data=form)
    assert response.status_code == 200
    assert response.json()["userinfo"]["sub"] == "alice"


def test_it_may_be_registered(provider: FakeProvider) -> None:
    oauth = new_oauth("cookie")
    settings = provider.register_settings()
    settings["client_kwargs"]["response_mode"] = "form_post"
    oauth.register("op", **settings)
    browser = new_browser(build_app(oauth))
    callback = _sign_in(provider, start(browser))
    assert callback.method == "POST"
    assert deliver(browser, callback).status_code == 200


@pytest.mark.parametrize("store", ["session", "cache"])
@pytest.mark.parametrize("place", ["authorize_params", "client_kwargs"])
def test_at_registration_it_needs_a_secret_key(store: str, place: str) -> None:
    settings: dict[str, Any] = {place: {"response_mode": "form_post"}}
    with pytest.raises(ConfigurationError, match="secret_key") as caught:
        new_oauth(store).register("op", client_id="id", **settings)
    assert caught.value.code == "configuration.form_post"


@pytest.mark.parametrize("store", ["session", "cache"])
async def test_at_the_call_it_needs_a_secret_key(store: str) -> None:
    client = new_oauth(store).register("op", client_id="id", authorize_url="https://op.example/a")
    request = Request({"type": "http", "session": {}})
    for attempt in (
        client.authorize_redirect(request, response_mode="form_post"),
        client.create_authorization_url(response_mode="form_post"),
    ):
        with pytest.raises(RuntimeError, match="secret_key") as caught:
            await attempt
        assert isinstance(caught.value, OAuthError)
        assert caught.value.code == "configuration.form_post"


@pytest.mark.parametrize(
    "mode", ["fragment.jwt", "web_message", "query.jwt", "form_post.jwt", "post"]
)
async def test_other_modes_are_refused(mode: str) -> None:
    oauth = new_oauth("cookie")
    client = oauth.register("op", client_id="id", authorize_url="https://op.example/a")
    with pytest.raises(ConfigurationError) as caught:
        await client.authorize_redirect(Request({"type": "http"}), response_mode=mode)
    assert caught.value.code == "configuration.response_mode"
    with pytest.raises(ConfigurationError):
        oauth.register("other", authorize_params={"response_mode": mode})


def test_a_denied_login(provider: FakeProvider) -> None:

    browser = _browser(provider)
    callback = anyio.run(provider.deny, start(browser, response_mode="form_post"))
    assert callback.method == "POST"
    assert deliver(browser, callback).json()["code"] == "authorization.denied"


def test_the_error_parameter(provider: FakeProvider) -> None:
    browser = _browser(provider)
    form = {**_callback(browser, provider), "error": "server_error", "error_description": "Sorry"}
    response = browser.post("/callback/op", data=form)
    assert response.json()["code"] == "authorization.error"
    assert response.json()["error_description"] == "Sorry"
    assert provider.count("token") == 0


def test_it_is_taken_once(provider: FakeProvider) -> None:
    browser = _browser(provider)
    content = urlencode(_callback(browser, provider))
    assert _post(browser, content) == 200
    assert _post(browser, content) == "state.used"


# -- what may come in the body -------------------------------------------------------------------


def test_a_file_named_code(provider: FakeProvider) -> None:
    browser = _browser(provider)
    form = _callback(browser, provider)
    code = form.pop("code")
    response = browser.post("/callback/op", data=form, files={"code": ("code", code.encode())})
    assert response.status_code == 400
    assert response.json()["code"] == "authorization.content_type"
    assert provider.count("token") == 0


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data; boundary=x", "application/json", "text/plain", "", "garbage",
     "application/x-www-form-urlencoded-not", "\xff"],
    ids=["multipart", "json", "text", "empty", "garbage", "almost", "latin-1"],
)  # fmt: skip
def test_another_content_type(provider: FakeProvider, content_type: str) -> None:
    browser = _browser(provider)
    content = urlencode(_callback(browser, provider)).encode()
    headers = [(b"content-type", content_type.encode("latin-1")), (b"accept", b"*/*")]
    response = browser.post("/callback/op", content=content, headers=headers)
    assert response.json()["code"] == "authorization.content_type"
    assert provider.count("token") == 0


def test_no_content_type(provider: FakeProvider) -> None:
    browser = _browser(provider)
    content = urlencode(_callback(browser, provider)).encode()
    assert _post(browser, content, {"accept": "*/*"}) == "authorization.content_type"


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-URLEncoded"],
    ids=["charset", "upper-case"],
)
def test_the_content_type_in_another_spelling(provider: FakeProvider, content_type: str) -> None:
    browser = _browser(provider)
    content = urlencode(_callback(browser, provider))
    assert _post(browser, content, {"content-type": content_type}) == 200


@pytest.mark.parametrize("name", ["code", "state", "iss", "error", "anything"])
@pytest.mark.parametrize("value", ["a", ""], ids=["value", "empty"])
def test_a_repeated_parameter(provider: FakeProvider, name: str, value: str) -> None:
    browser = _browser(provider)
    content = urlencode(_callback(browser, provider)) + f"&{name}={value}&{name}={value}"
    assert _post(browser, content) == "authorization.repeated_parameter"
    assert provider.count("token") == 0


def test_too_many_parameters(provider: FakeProvider) -> None:
    browser = _browser(provider)
    content = urlencode(_callback(browser, provider)) + "&a=" * 70
    assert _post(browser, content) == "authorization.too_many_parameters"


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (60_000, 200),
        (65_537, "authorization.too_large"),
        (10_000_000, "authorization.too_large"),
    ],
)
def test_how_large_it_may_be(provider: FakeProvider, size: int, code: Any) -> None:
    browser = _browser(provider)
    content = urlencode(_callback(browser, provider)) + "&x="
    assert _post(browser, content + "x" * (size - len(content))) == code


def test_a_body_without_end_is_not_read_to_its_end(provider: FakeProvider) -> None:
    read = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def endless() -> Any:
            nonlocal read
            read += 1
            return {"type": "http.request", "body": b"x" * 4096, "more_body": True}

        with pytest.raises(OAuthError) as caught:
            await client.authorize_access_token(Request(scope, endless))
        assert caught.value.code == "authorization.too_large"
        await Response()(scope, receive, send)

    client = new_oauth("cookie").register("op", client_id="id")
    assert new_browser(app).post("/", content=b"", headers=FORM).status_code == 200
    assert read == 17


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "state.missing"),
        (b"&&&=&", "state.missing"),
        (b"state", "state.missing"),
        (b"state=%ff&code=%00", "state.unknown"),
        (b"\xff\xfe", "state.missing"),
        (b"state=x;code=y", "state.unknown"),
    ],
    ids=["empty", "signs", "no-value", "no-text", "bytes", "semicolon"],
)
def test_garbage(provider: FakeProvider, content: bytes, code: str) -> None:
    browser = _browser(provider)
    _callback(browser, provider)
    assert _post(browser, content) == code


def test_parameters_in_the_query_of_a_post_do_not_count(provider: FakeProvider) -> None:
    browser = _browser(provider)
    query = urlencode(_callback(browser, provider))
    response = browser.post(f"/callback/op?{query}", headers=FORM)
    assert response.json()["code"] == "state.missing"


def test_a_form_in_pieces(provider: FakeProvider) -> None:
    browser = _browser(provider)
    content = urlencode(_callback(browser, provider)).encode()
    assert _post(browser, iter([content[:10], b"", content[10:]])) == 200


async def test_the_browser_goes_away(provider: FakeProvider) -> None:
    client = new_oauth("cookie").register("op", **provider.register_settings())
    messages: list[Any] = [
        {"type": "http.request", "body": b"state=", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    headers = [(b"content-type", FORM["content-type"].encode())]
    scope = {"type": "http", "method": "POST", "headers": headers}
    with pytest.raises(OAuthError) as caught:
        await client.authorize_access_token(Request(scope, receive))
    assert caught.value.code == "authorization.interrupted"


# -- the app reads the body as well --------------------------------------------------------------


async def _as_body(request: Request) -> Any:
    return len(await request.body())


async def _as_form(request: Request) -> Any:
    return (await request.form())["code"]


async def _as_stream(request: Request) -> Any:
    return [chunk async for chunk in request.stream()]


async def _not(request: Request) -> Any:
    return None


def _app(client: StarletteClient, before: Any = _not, after: Any = _not) -> Starlette:
    async def callback(request: Request) -> Response:
        try:
            await before(request)
            token = await client.authorize_access_token(request)
            return JSONResponse({"sub": token["userinfo"]["sub"], "more": await after(request)})
        except OAuthError as exc:
            return JSONResponse({"code": exc.code})

    async def login(request: Request) -> Response:
        return await client.authorize_redirect(
            request, f"{SITE}/callback", response_mode="form_post"
        )

    return Starlette(
        routes=[Route("/login", login), Route("/callback", callback, methods=["POST"])]
    )


@pytest.mark.parametrize("read", [_as_body, _as_form], ids=["body", "form"])
def test_the_app_may_read_it_before(provider: FakeProvider, read: Callable[..., Any]) -> None:
    client = new_oauth("cookie").register("op", **provider.register_settings())
    browser = new_browser(_app(client, before=read))
    callback = _sign_in(provider, start(browser, "/login"))
    assert deliver(browser, callback).json()["sub"] == "alice"


@pytest.mark.parametrize("read", [_as_body, _as_form], ids=["body", "form"])
def test_the_app_may_read_it_after(provider: FakeProvider, read: Callable[..., Any]) -> None:
    """Apple sends the user's name in the same form, at the first login only."""
    client = new_oauth("cookie").register("op", **provider.register_settings())
    browser = new_browser(_app(client, after=read))
    callback = _sign_in(provider, start(browser, "/login"))
    body = deliver(browser, callback).json()
    assert body["sub"] == "alice"
    assert body["more"]


def test_a_body_read_and_thrown_away_is_an_error(provider: FakeProvider) -> None:
    client = new_oauth("cookie").register("op", **provider.register_settings())
    browser = new_browser(_app(client, before=_as_stream))
    callback = _sign_in(provider, start(browser, "/login"))
    assert deliver(browser, callback).json() == {"code": "authorization.body_read"}


def test_a_form_read_by_the_app_is_judged_as_well(provider: FakeProvider) -> None:
    client = new_oauth("cookie").register("op", **provider.register_settings())
    browser = new_browser(_app(client, before=_as_form))
    callback = _sign_in(provider, start(browser, "/login"))
    content = urlencode(callback.form or {}) + "&code=another"
    response = browser.post("/callback", content=content, headers=FORM)
    assert response.json() == {"code": "authorization.repeated_parameter"}


def _fastapi(provider: FakeProvider) -> FastAPI:
    oauth = OAuth(secret_key="key")
    oauth.register("op", **provider.register_settings())
    app = FastAPI()

    @app.get("/login")
    async def login(request: FastAPIRequest) -> Any:
        return await oauth.op.authorize_redirect(
            request, request.url_for("callback"), response_mode="form_post"
        )

    @app.post("/callback")
    async def callback(
        request: FastAPIRequest, code: Annotated[str, Form()], user: Annotated[str, Form()] = ""
    ) -> dict[str, Any]:
        token = await oauth.op.authorize_access_token(request)
        return {"sub": token["userinfo"]["sub"], "code": code, "user": user}

    app.add_exception_handler(OAuthError, oauth.exception_handler)
    return app


def test_fastapi_reads_the_form_before(provider: FakeProvider) -> None:
    browser = new_browser(_fastapi(provider))
    callback = _sign_in(provider, start(browser, "/login"))
    response = deliver(browser, callback, user="Alice")
    assert response.json() == {
        "sub": "alice",
        "code": callback.params["code"],
        "user": "Alice",
    }


def test_fastapi_reads_a_repeated_parameter(provider: FakeProvider) -> None:
    browser = new_browser(_fastapi(provider))
    callback = _sign_in(provider, start(browser, "/login"))
    content = urlencode(callback.form or {}) + "&state=another"
    response = browser.post("/callback", content=content, headers=FORM)
    assert response.json()["code"] == "authorization.repeated_parameter"


def test_fastapi_reads_a_file(provider: FakeProvider) -> None:
    browser = new_browser(_fastapi(provider))
    callback = _sign_in(provider, start(browser, "/login"))
    response = browser.post("/callback", data=callback.form, files={"user": b"x"})
    assert response.status_code == 422  # FastAPI's own judgement: a file is no text
    response = browser.post("/callback", data=callback.form, files={"other": b"x"})
    assert response.json()["code"] == "authorization.content_type"


async def test_asgi_pieces(provider: FakeProvider) -> None:
    """The same through httpx2's own ASGI transport, with a body that comes as it is made."""
    client = new_oauth("cookie").register("op", **provider.register_settings())
    transport = httpx2.ASGITransport(_app(client))
    async with httpx2.AsyncClient(transport=transport, base_url=SITE) as browser:
        url = (await browser.get("/login")).headers["location"]
        callback = await provider.sign_in(url)

        async def pieces() -> AsyncIterator[bytes]:
            for byte in urlencode(callback.form or {}):
                yield byte.encode()

        response = await browser.post("/callback", content=pieces(), headers=FORM)
        assert response.json()["sub"] == "alice"
