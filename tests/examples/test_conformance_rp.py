"""The example for the conformance suite: its own process, real TLS, a provider over TLS as well."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme
import uvicorn

from examples.conformance_rp.config import Config
from reliant.testing import Behaviour, FakeProvider
from reliant.testing.browser import Browser

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-only-these-two-know"


@dataclass(frozen=True)
class Trust:
    """A certification authority, and a certificate of it for localhost."""

    ca: Path
    certfile: Path
    keyfile: Path

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)


@dataclass(frozen=True)
class Driver:
    """What drives the relying party, as the suite's operator would; ``rp`` keeps its cookies."""

    rp: httpx2.AsyncClient
    browser: Browser

    async def reset(self, **changes: Any) -> None:
        assert (await self.rp.post("/reset", json=changes)).json() == {"ok": True}

    async def log_in(self, path: str = "/start") -> httpx2.Response:
        """Log in, and deliver what came in a fragment as the callback's page would."""
        away = await self.rp.get(path)
        back = await self.browser.sign_in(away.headers["location"])
        url, _, fragment = back.url.partition("#")
        page = await self.rp.request(back.method, url, data=back.form)
        if not fragment:
            return page
        assert "location.hash" in page.text
        return await self.rp.post(url, data=back.params)

    async def result(self) -> dict[str, Any]:
        return dict((await self.rp.get("/result")).json())


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost")
    found = Trust(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")
    ca.cert_pem.write_to_path(found.ca)
    certificate.cert_chain_pems[0].write_to_path(found.certfile)
    certificate.private_key_pem.write_to_path(found.keyfile)
    return found


@pytest.fixture(scope="module")
def serving(trust: Trust) -> Iterator[FakeProvider]:
    """A provider like the suite's: its issuer has a path, and ends with a slash."""
    listener = socket.create_server(("127.0.0.1", 0))
    provider = FakeProvider(
        f"https://localhost:{listener.getsockname()[1]}/test/a/reliant/",
        clients=[],
        client_transport=httpx2.AsyncHTTPTransport(verify=trust.context),
    )
    server = uvicorn.Server(
        uvicorn.Config(
            provider,
            log_level="warning",
            lifespan="off",
            ssl_certfile=trust.certfile,
            ssl_keyfile=trust.keyfile,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield provider
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def provider(serving: FakeProvider, base_url: str) -> FakeProvider:
    """The provider as new, but for its keys: one static client."""
    serving.clear()
    serving.clients.clear()
    as_new = Behaviour(
        registration=True,
        request_objects=("value", "uri"),
        response_types=("code", "id_token code", "id_token"),
        claims_in_id_token=False,
        odd_strings=True,
    )
    vars(serving.behaviour).update(vars(as_new))
    serving.add_client("rp", SECRET, redirect_uris=[f"{base_url}/callback"])
    return serving


@pytest.fixture(scope="module")
def base_url(serving: FakeProvider, trust: Trust, tmp_path_factory: pytest.TempPathFactory) -> Any:
    config = {
        "issuer": serving.issuer,
        "client_id": "rp",
        "client_secret": SECRET,
        "ca_file": str(trust.ca),
    }
    file = tmp_path_factory.mktemp("rp") / "config.json"
    file.write_text(json.dumps(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with _program(file, port, trust):
        yield f"https://localhost:{port}"


def _command(config: Path, port: int, certfile: Path, keyfile: Path) -> list[str]:
    options = {"config": config, "port": port, "certfile": certfile, "keyfile": keyfile}
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [sys.executable, "-m", "examples.conformance_rp", *given]


@contextmanager
def _program(file: Path, port: int, trust: Trust) -> Iterator[None]:
    command = _command(file, port, trust.certfile, trust.keyfile)
    log = file.with_suffix(".log")
    with log.open("w") as output:
        program = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        for _ in range(100):
            if program.poll() is not None:
                pytest.fail(log.read_text())
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        program.terminate()
        program.wait(10)


@pytest.fixture
async def driver(provider: FakeProvider, base_url: str, trust: Trust) -> AsyncIterator[Driver]:
    async with httpx2.AsyncClient(base_url=base_url, verify=trust.context) as rp:
        yield Driver(rp, Browser(httpx2.AsyncHTTPTransport(verify=trust.context)))


async def test_a_login_with_userinfo_refresh_and_logout(
    driver: Driver, provider: FakeProvider
) -> None:
    await driver.reset(acts=["refresh", "userinfo", "logout"])
    away = await driver.log_in()
    back = await driver.browser.sign_out(away.headers["location"])
    assert (await driver.rp.get(back)).status_code == 200
    result = await driver.result()
    assert (result["ok"], result["error"]) == (True, None)
    assert result["claims"]["iss"] == provider.issuer
    assert result["claims"]["sub"] == result["userinfo"]["sub"]
    assert result["userinfo"]["email"]
    assert result["endpoints"] == [
        "discovery", "authorize", "token", "jwks", "token", "userinfo", "end_session",
    ]  # fmt: skip
    assert result["logouts"] == [{"channel": "rp"}]
    assert provider.violations == []


@pytest.mark.parametrize("response_type", ["code", "code id_token", "id_token"])
@pytest.mark.parametrize("response_mode", [{}, {"response_mode": "form_post"}])
async def test_response_types_and_modes(
    driver: Driver, provider: FakeProvider, response_type: str, response_mode: dict[str, str]
) -> None:
    await driver.reset(response_type=response_type, **response_mode)
    await driver.log_in()
    result = await driver.result()
    assert (result["ok"], result["error"]) == (True, None)
    assert ("userinfo" in result["endpoints"]) == ("code" in response_type)
    asked = next(r for r in provider.requests if r.endpoint == "authorize").params
    assert asked["response_type"] == response_type
    assert "openid" in asked["scope"]
    assert len(asked["nonce"]) <= 43
    assert "max_age" not in asked
    assert provider.violations == []


@pytest.mark.parametrize("userinfo_by", ["header", "body"])
async def test_the_access_token_travels_as_configured(
    driver: Driver, provider: FakeProvider, userinfo_by: str
) -> None:
    await driver.reset(userinfo_by=userinfo_by)
    await driver.log_in()
    assert (await driver.result())["ok"]
    request = provider.requests[-1]
    assert request.endpoint == "userinfo"
    assert ("access_token" in request.params) == (userinfo_by == "body")


async def test_a_client_that_registers_itself(driver: Driver, provider: FakeProvider) -> None:
    provider.behaviour.auth_methods = ("private_key_jwt",)
    provider.behaviour.userinfo_alg = "RS256"
    await driver.reset(
        dynamic=True,
        client_id="",
        client_auth="private_key_jwt",
        acts=["userinfo", "refresh", "logout"],
        metadata={"client_name": "Conformance RP"},
        id_token_encrypted_response_alg="RSA-OAEP",
        authorize_params={"claims": {"userinfo": {"name": None}}},
    )
    away = await driver.log_in()
    (client_id,) = provider.clients.keys() - {"rp"}
    asked = provider.clients[client_id].metadata
    assert asked["grant_types"] == ["authorization_code", "refresh_token"]
    assert asked["initiate_login_uri"].startswith("https://")
    assert len({key["kid"] for key in asked["jwks"]["keys"]}) == 5
    back = await driver.browser.sign_out(away.headers["location"])
    for frame in driver.browser.frames:
        page = await driver.rp.get(frame)
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    assert (await driver.rp.get(back)).status_code == 200
    result = await driver.result()
    assert (result["ok"], result["error"]) == (True, None)
    assert result["endpoints"][:3] == ["discovery", "register", "authorize"]
    assert asked["client_name"] == "Conformance RP"
    assert sorted(logout["channel"] for logout in result["logouts"]) == ["back", "front", "rp"]
    assert [call.response.status_code for call in provider.logout_calls] == [200]
    assert provider.violations == []


async def test_keys_by_reference(driver: Driver, provider: FakeProvider, base_url: str) -> None:
    provider.behaviour.auth_methods = ("private_key_jwt",)
    jwks_uri = f"{base_url}/jwks.json"
    await driver.reset(
        dynamic=True,
        client_id="",
        client_auth="private_key_jwt",
        token_endpoint_auth_signing_alg="ES256",
        metadata={"jwks_uri": jwks_uri},
    )
    await driver.log_in()
    assert (await driver.result())["ok"]
    published = (await driver.rp.get("/jwks.json")).json()["keys"]
    assert {key.get("alg") for key in published} == {"RS256", "PS256", "ES256", None}
    assert not any("d" in key for key in published)
    assert provider.violations == []


@pytest.mark.parametrize(
    ("request_type", "alg"), [("object", "ES256"), ("uri", "RS256"), ("uri", "none")]
)
async def test_request_objects(
    driver: Driver, provider: FakeProvider, request_type: str, alg: str
) -> None:
    await driver.reset(
        dynamic=True, client_id="", request_type=request_type, request_object_signing_alg=alg
    )
    await driver.log_in()
    assert (await driver.result())["ok"]
    asked = next(r for r in provider.requests if r.endpoint == "authorize")
    assert ("request_uri" in asked.params) == (request_type == "uri")
    assert "redirect_uri" not in asked.params
    assert provider.violations == []


async def test_a_reset_forgets_keys_metadata_and_registration(
    driver: Driver, provider: FakeProvider
) -> None:
    for _ in range(2):
        provider.clear()
        provider.rotate_keys()
        await driver.reset(dynamic=True, client_id="")
        await driver.log_in()
        result = await driver.result()
        assert (result["ok"], result["error"]) == (True, None)
        assert [r.endpoint for r in provider.requests][:2] == ["discovery", "register"]
        assert provider.count("jwks") == 1
    assert len(provider.clients) == 3
    await driver.reset()
    fresh = await driver.result()
    assert (fresh["ok"], fresh["claims"], fresh["endpoints"]) == (None, None, [])


async def test_two_logins_without_a_reset(driver: Driver, provider: FakeProvider) -> None:
    await driver.reset()
    await driver.log_in()
    provider.rotate_keys()
    await driver.log_in()
    result = await driver.result()
    assert result["ok"]
    assert result["endpoints"] == ["authorize", "token", "jwks", "userinfo"]


async def test_a_bad_signature_is_told(driver: Driver, provider: FakeProvider) -> None:
    await driver.reset()
    with provider.fault("id_token.signature", "xor"):
        await driver.log_in()
    result = await driver.result()
    assert (result["ok"], result["error"]) == (False, "id_token.signature")
    assert result["claims"] is None
    assert "userinfo" not in result["endpoints"]


async def test_userinfo_of_someone_else_is_discarded(
    driver: Driver, provider: FakeProvider
) -> None:
    await driver.reset()
    with provider.fault("userinfo.sub", "mallory"):
        await driver.log_in()
    result = await driver.result()
    assert (result["ok"], result["error"]) == (False, "userinfo.sub_mismatch")
    assert result["userinfo"] is None


async def test_another_issuer_gets_no_login(driver: Driver, provider: FakeProvider) -> None:
    await driver.reset()
    with provider.fault("discovery.issuer", "https://other.example/"):
        assert (await driver.rp.get("/start")).status_code == 502
    result = await driver.result()
    assert (result["error"], result["endpoints"]) == ("metadata.issuer_mismatch", ["discovery"])


async def test_a_logout_that_comes_back_with_another_state(
    driver: Driver, provider: FakeProvider
) -> None:
    await driver.reset()
    await driver.log_in()
    away = await driver.rp.get("/logout")
    with provider.fault("logged_out.state", "other"):
        back = await driver.browser.sign_out(away.headers["location"])
    assert (await driver.rp.get(back)).status_code == 400
    assert (await driver.result())["error"] == "state.unknown"


async def test_a_logout_token_that_is_none(driver: Driver) -> None:
    await driver.reset()
    answer = await driver.rp.post("/backchannel-logout", data={"logout_token": "x.y.z"})
    assert (answer.status_code, answer.headers["cache-control"]) == (400, "no-store")


async def test_another_site_begins_the_login(driver: Driver, provider: FakeProvider) -> None:
    await driver.reset(dynamic=True, client_id="")
    assert (await driver.rp.post("/register")).json()["client_id"] in provider.clients
    assert provider.count("authorize") == 0
    await driver.log_in(f"/initiate-login?iss={provider.issuer}")
    result = await driver.result()
    assert result["ok"]
    assert result["endpoints"][:3] == ["discovery", "register", "authorize"]
    assert (await driver.rp.get("/initiate-login?iss=https://other.example")).status_code == 400


async def test_an_account_leads_to_the_provider(driver: Driver, provider: FakeProvider) -> None:
    host = httpx2.URL(provider.issuer).netloc.decode()
    await driver.reset(issuer="", webfinger=f"acct:reliant.test@{host}")
    await driver.log_in()
    result = await driver.result()
    assert (result["ok"], result["error"]) == (True, None)
    assert result["endpoints"][:2] == ["webfinger", "discovery"]
    assert provider.violations == []


async def test_claims_of_other_parties(driver: Driver, provider: FakeProvider) -> None:
    provider.behaviour.distributed_claims = {"credit_score": 650}
    await driver.reset(acts=["userinfo", "claims"])
    await driver.log_in()
    result = await driver.result()
    assert result["sourced_claims"]["credit_score"]["value"] == 650
    assert provider.count("claims") == 1


async def test_the_session_page_watches_the_provider(
    driver: Driver, provider: FakeProvider
) -> None:
    await driver.reset()
    provider.behaviour.session_management = True
    await driver.log_in()
    page = (await driver.rp.get("/session")).text
    frame = page.partition('src="')[2].partition('"')[0]
    assert f"{provider.issuer}check-session" in (await driver.rp.get(frame)).text


async def test_a_reset_that_makes_no_sense_changes_nothing(driver: Driver) -> None:
    await driver.reset()
    await driver.log_in()
    answer = await driver.rp.post("/reset", json={"respons_mode": "query"})
    assert answer.status_code == 400
    assert "'response_mode'" in answer.json()["error"]
    assert (await driver.rp.post("/reset", content=b"[1]")).status_code == 400
    assert (await driver.result())["ok"]


GOOD = {"base_url": "https://rp.example", "issuer": "https://op.example", "client_id": "rp"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"respnse_type": "code"}, "did you mean 'response_type'"),
        ({"request_type": "urI"}, "did you mean 'uri'"),
        ({"acts": ["user_info"]}, "did you mean 'userinfo'"),
        ({"dynamic": "yes"}, "'dynamic'"),
        ({"base_url": "http://rp.example"}, "https"),
        ({"webfinger": "acct:a@op.example"}, "and not both"),
        ({"dynamic": True}, "Either"),
    ],
)
def test_a_configuration_that_makes_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Config.read({**GOOD, **changes})


def test_the_command_tells_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**GOOD, "id_token_signed_respons_alg": "ES256"}))
    command = _command(file, 1, file, file)
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "did you mean `id_token_signed_response_alg`?" in ended.stderr
