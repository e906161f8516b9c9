"""The demo application against a provider in the same process, and the command that runs both."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest
from starlette.testclient import TestClient

import reliant
from reliant.cli import build_parser, main
from reliant.cli.demo.app import build_app
from reliant.testing import Behaviour, Callback, FakeProvider

# https, as cookie jars other than browsers' send no Secure cookie over http, even to this machine.
APP = "https://127.0.0.1:8000"


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider(behaviour=Behaviour(claims_in_id_token=True))


@pytest.fixture
def client(provider: FakeProvider) -> Iterator[TestClient]:
    (registered,) = provider.clients.values()
    app = build_app(
        registered.client_id,
        registered.client_secret or "",
        provider.server_metadata_url,
        transport=provider.transport,
    )
    headers = {"Accept": "text/html"}
    with TestClient(app, base_url=APP, headers=headers, follow_redirects=False) as client:
        yield client


def _log_in(client: TestClient, provider: FakeProvider, path: str = "/login") -> httpx2.Response:
    """Log in as alice and return the answer to the callback."""
    url = client.get(path).headers["location"]
    return _deliver(client, anyio.run(provider.sign_in, url))


def _deliver(client: TestClient, callback: Callback) -> httpx2.Response:
    return client.request(callback.method, callback.url, data=callback.form)


def test_a_stranger_sees_the_two_ways_to_log_in(client: TestClient) -> None:
    page = client.get("/").text
    assert 'href="/login"' in page
    assert 'href="/login?response_mode=form_post"' in page
    assert '<html lang="en">' in page


def test_a_login_ends_at_the_profile(client: TestClient, provider: FakeProvider) -> None:
    response = _log_in(client, provider)
    assert (response.status_code, response.headers["location"]) == (303, "/profile")
    page = client.get("/profile").text
    assert "Hello, Alice Example" in page
    assert "alice@example.test" in page
    assert "rs256-1" in page
    assert "Welcome back" in client.get("/").text


def test_a_login_with_form_post(client: TestClient, provider: FakeProvider) -> None:
    response = _log_in(client, provider, "/login?response_mode=form_post")
    assert (response.status_code, response.headers["location"]) == (303, "/profile")


def test_the_protected_page_comes_back_to_itself(
    client: TestClient, provider: FakeProvider
) -> None:
    first = client.get("/protected")
    response = _log_in(client, provider, first.headers["location"])
    assert response.headers["location"] == "/protected"
    assert "Alice Example" in client.get("/protected").text


def test_a_return_address_elsewhere_is_refused(client: TestClient) -> None:
    assert client.get("/login?return_to=//evil.example/").status_code == 400


def test_no_page_shows_a_whole_token(client: TestClient, provider: FakeProvider) -> None:
    _log_in(client, provider)
    page = client.get("/profile").text
    assert "characters)" in page
    assert not re.search(r"[\w-]{30,}", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))


def test_refresh(client: TestClient, provider: FakeProvider) -> None:
    _log_in(client, provider)
    assert "new tokens" in client.post("/refresh").text
    assert provider.requests[-1].params["grant_type"] == "refresh_token"
    # The new refresh token is kept: the next use is not a second use.
    assert client.post("/refresh").status_code == 200


def test_userinfo(client: TestClient, provider: FakeProvider) -> None:
    _log_in(client, provider)
    assert "UserInfo endpoint answered" in client.post("/userinfo").text
    assert provider.count("userinfo") == 1


def test_logout_ends_both_sessions(client: TestClient, provider: FakeProvider) -> None:
    _log_in(client, provider)
    url = client.post("/logout").headers["location"]
    assert "id_token_hint" in parse_qs(urlsplit(url).query)
    back = anyio.run(provider.sign_out, url)
    assert "You are logged out" in client.get(back).text
    assert client.get("/profile").headers["location"].startswith("/login")


@pytest.mark.parametrize("path", ["/refresh", "/userinfo", "/logout"])
def test_the_buttons_need_a_login(client: TestClient, path: str) -> None:
    response = client.post(path)
    assert (response.status_code, response.headers["location"]) == (303, "/")


def test_a_login_the_user_cancels_ends_on_the_error_page(
    client: TestClient, provider: FakeProvider
) -> None:
    url = client.get("/login").headers["location"]
    response = _deliver(client, anyio.run(provider.deny, url))
    assert response.status_code >= 400
    assert "canceled" in response.text


def test_a_bad_id_token_ends_on_the_error_page(client: TestClient, provider: FakeProvider) -> None:
    provider.fault("id_token.aud", "another")
    response = _log_in(client, provider)
    assert response.status_code >= 400
    assert client.get("/profile").status_code == 307


def test_values_are_escaped(client: TestClient, provider: FakeProvider) -> None:
    provider.users["alice"] = {"name": "<script>alert(1)</script>", "<b>": "<i>"}
    _log_in(client, provider)
    pages = client.get("/profile").text + client.get("/").text + client.get("/protected").text
    assert "<script>alert" not in pages
    assert "<b>" not in pages
    assert "<i>" not in pages


def test_the_pages_may_run_their_own_code_only(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy


def test_the_parser() -> None:
    options = build_parser().parse_args(["demo"])
    assert (options.host, options.port, options.open) == ("127.0.0.1", 8000, False)
    options = build_parser().parse_args(["demo", "--port", "9", "--host", "::1", "--open"])
    assert (options.host, options.port, options.open) == ("::1", 9, True)


@pytest.mark.parametrize("port", ["65536", "-1", "web"])
def test_a_port_that_is_none(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["demo", f"--port={port}"])
    assert exit_.value.code == 2
    assert "is not a port" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"reliant {reliant.__version__}\n"


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_without_uvicorn_the_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["demo"]) == 1
    assert "pip install 'reliant[demo]'" in capsys.readouterr().err


def test_an_address_of_another_machine_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--host", "192.0.2.1"]) == 1
    assert "Can't listen on 192.0.2.1" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send to a process on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_both_and_stops_cleanly(number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "reliant.cli", "demo", "--port", str(port)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                app, issuer = _addresses(process)
                assert urlsplit(app).port != port
                assert (urlsplit(app).hostname, urlsplit(issuer).hostname) == (
                    "127.0.0.1",
                    "localhost",
                )
                anyio.run(_whole_visit, app, issuer)
                process.send_signal(number)
                out, err = process.communicate(timeout=10)
            finally:
                process.kill()
    assert (process.returncode, err) == (0, "")
    assert out.endswith("Stopped.\n")


def _addresses(process: subprocess.Popen[str]) -> tuple[str, str]:
    assert process.stdout is not None
    text = ""
    while "Ctrl-C" not in text:
        line = process.stdout.readline()
        assert line, "the demo stopped"
        text += line
    app, issuer = re.findall(r"http://\S+", text)
    return app, issuer


async def _whole_visit(app: str, issuer: str) -> None:
    """Log in and out over the network, with one browser for both sites."""
    # Like a browser, send Secure cookies over http to this machine.
    cookies = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
    async with httpx2.AsyncClient(cookies=cookies, follow_redirects=True) as browser:
        page = await browser.get(f"{app}/protected")
        form = {"request": urlsplit(str(page.url)).query, "user": "bob", "decision": "sign-in"}
        page = await browser.post(f"{issuer}/login", data=form)
        assert str(page.url) == f"{app}/protected"
        assert "Bob Example" in page.text
        page = await browser.post(f"{app}/logout")
        assert "You are logged out" in page.text
        page = await browser.get(f"{app}/profile")
        assert str(page.url).startswith(f"{issuer}/authorize")
