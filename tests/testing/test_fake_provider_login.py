"""The authorization endpoint, the sign-in page and single sign-on."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from reliant.testing import Callback, Client, FakeProvider, ProviderRefused
from tests.testing.driver import REDIRECT_URI, Driver

pytestmark = pytest.mark.anyio


async def test_the_answer_travels_in_the_query() -> None:
    callback = await Driver().sign_in()
    assert (callback.method, callback.form) == ("GET", None)
    assert callback.url.startswith(f"{REDIRECT_URI}?")
    assert set(callback.params) == {"code", "state", "iss"}
    assert callback.params["state"] == "the state"
    assert callback.params["iss"] == "https://op.example"


async def test_the_answer_travels_in_a_form() -> None:
    callback = await Driver().sign_in(response_mode="form_post")
    assert (callback.method, callback.url) == ("POST", REDIRECT_URI)
    assert callback.form == callback.params
    assert set(callback.params) == {"code", "state", "iss"}


async def test_a_query_in_the_redirect_uri_is_kept() -> None:
    driver = Driver(FakeProvider())
    driver.provider.add_client("web", "s", redirect_uris=["https://rp.example/cb?tenant=1"])
    callback = await driver.sign_in(redirect_uri="https://rp.example/cb?tenant=1")
    assert callback.params["tenant"] == "1"


async def test_no_state_no_iss() -> None:
    driver = Driver()
    driver.provider.behaviour.response_iss = False
    assert set((await driver.sign_in(state=None)).params) == {"code"}


async def test_the_user_may_cancel() -> None:
    driver = Driver()
    callback = await driver.provider.deny(driver.url())
    assert callback.params["error"] == "access_denied"
    assert callback.params["state"] == "the state"
    assert "code" not in callback.params


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"request_uri": "https://rp.example/r"}, "request_uri_not_supported"),
    ],
)
async def test_a_bad_request_goes_back_to_the_client(
    changes: dict[str, str | None], error: str
) -> None:
    params = (await Driver().sign_in(**changes)).params
    assert params["error"] == error
    assert (params["state"], params["iss"]) == ("the state", "https://op.example")


async def test_a_parameter_sent_twice_goes_back_to_the_client() -> None:
    driver = Driver()
    callback = await driver.provider.sign_in(driver.url() + "&nonce=another")
    assert callback.params["error"] == "invalid_request"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"redirect_uri": "https://rp.example/callback/"},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": None},
    ],
)
async def test_nothing_is_sent_to_an_address_that_is_not_registered(
    changes: dict[str, str | None],
) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await Driver().sign_in(**changes)
    assert refused.value.status == 400


async def test_an_address_sent_twice_is_not_trusted() -> None:
    driver = Driver()
    with pytest.raises(ProviderRefused, match="twice"):
        await driver.provider.sign_in(driver.url() + "&client_id=web")


@pytest.mark.parametrize("uri", ["javascript:alert(1)", "https://rp.example/#here", "/callback"])
async def test_even_without_registered_addresses_some_are_refused(uri: str) -> None:
    driver = Driver(FakeProvider(clients=[Client("any", "secret")]))
    assert (await driver.sign_in(client_id="any", redirect_uri="http://x.test/")).params["code"]
    with pytest.raises(ProviderRefused):
        await driver.sign_in(client_id="any", redirect_uri=uri)


async def test_a_public_client_must_use_pkce() -> None:
    driver = Driver()
    driver.provider.add_client("spa")
    changes = {"client_id": "spa", "code_challenge_method": None}
    refused = await driver.sign_in(**changes, code_challenge=None)
    assert refused.params["error"] == "invalid_request"
    assert "code" in (await driver.sign_in(client_id="spa")).params


async def test_a_browser_stays_signed_in() -> None:
    driver = Driver()
    browser = driver.provider.browser()
    first = await driver.sign_in(browser)
    second = await driver.sign_in(browser, prompt="none")
    assert second.params["code"] != first.params["code"]
    assert driver.provider.count("login") == 1


@pytest.mark.parametrize("changes", [{"prompt": "login"}, {"prompt": "select_account"}])
async def test_a_prompt_asks_again(changes: dict[str, str]) -> None:
    driver = Driver()
    browser = driver.provider.browser()
    await driver.sign_in(browser)
    await driver.sign_in(browser, **changes)
    assert driver.provider.count("login") == 2


async def test_max_age_asks_again_once_the_sign_in_is_older() -> None:
    driver = Driver()
    browser = driver.provider.browser()
    await driver.sign_in(browser)
    now = driver.provider.clock()
    driver.provider.clock = lambda: now + 50
    await driver.sign_in(browser, max_age="60")
    assert driver.provider.count("login") == 1
    driver.provider.clock = lambda: now + 70
    await driver.sign_in(browser, max_age="60")
    assert driver.provider.count("login") == 2


async def test_prompt_none_for_another_user_needs_a_login() -> None:
    driver = Driver()
    alice, bob = driver.provider.browser(), driver.provider.browser()
    hint = (await driver.redeem(await driver.sign_in(alice))).json()["id_token"]
    await bob.sign_in(driver.url(), "bob")
    right = await alice.sign_in(driver.url(prompt="none", id_token_hint=hint))
    wrong = await bob.sign_in(driver.url(prompt="none", id_token_hint=hint))
    assert "code" in right.params
    assert wrong.params["error"] == "login_required"


async def test_the_request_may_be_posted() -> None:
    driver = Driver()
    form = {name: values[0] for name, values in parse_qs(urlsplit(driver.url()).query).items()}
    response = await driver.send("POST", "authorize", data=form)
    assert response.status_code == 200
    assert 'name="user"' in response.text


async def test_the_sign_in_page_is_accessible_and_escapes() -> None:
    driver = Driver()
    response = await driver.send(
        "GET", driver.url(login_hint='"><script>alert(1)</script>').partition("example/")[2]
    )
    page = _Page(response.text)
    assert page.lang == "en"
    assert page.labels == {"user"}
    assert page.buttons == ["sign-in", "cancel"]
    assert page.inputs["user"]["value"] == '"><script>alert(1)</script>'
    assert "<script>alert" not in response.text
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert response.headers["cache-control"] == "no-store"


async def test_the_sign_in_page_asks_again_without_a_name() -> None:
    driver = Driver()
    request = urlsplit(driver.url()).query
    form = {"request": request, "user": " ", "decision": "sign-in"}
    response = await driver.send("POST", "login", data=form)
    assert response.status_code == 200
    assert 'role="alert"' in response.text
    assert "set-cookie" not in response.headers


async def test_the_sign_in_form_can_not_change_where_the_answer_goes() -> None:
    driver = Driver()
    request = urlsplit(driver.url(redirect_uri="https://evil.example/")).query
    form = {"request": request, "user": "alice", "decision": "sign-in"}
    response = await driver.send("POST", "login", data=form)
    assert response.status_code == 400
    assert "location" not in response.headers


async def test_the_form_post_page_works_without_scripts_and_escapes() -> None:
    driver = Driver()
    browser = driver.provider.browser()
    await driver.sign_in(browser)
    url = driver.url(response_mode="form_post", state='"><b>', prompt="none")
    async with httpx2.AsyncClient(
        transport=driver.provider.transport, cookies=browser.cookies
    ) as client:
        response = await client.get(url)
    assert "<noscript>" in response.text
    assert _Page(response.text).inputs["state"]["value"] == '"><b>'
    assert "<b>" not in response.text
    # The policy must let its own script run and must not stop the form.
    assert "script-src 'sha256-" in response.headers["content-security-policy"]
    assert "form-action" not in response.headers["content-security-policy"]


async def test_the_cookie_is_for_the_provider_alone() -> None:
    driver = Driver()
    form = {"request": urlsplit(driver.url()).query, "user": "alice", "decision": "sign-in"}
    response = await driver.send("POST", "login", data=form)
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" in cookie


def test_a_callback_knows_how_it_is_delivered() -> None:
    assert Callback("https://rp.example/?a=1").params == {"a": "1"}
    assert Callback("https://rp.example/", {"a": "1"}).method == "POST"


class _Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.lang = ""
        self.labels: set[str] = set()
        self.buttons: list[str] = []
        self.inputs: dict[str, dict[str, str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.lang = found["lang"]
        elif tag == "label":
            self.labels.add(found["for"])
        elif tag == "button":
            self.buttons.append(found.get("value", ""))
        elif tag == "input":
            self.inputs[found["name"]] = found
