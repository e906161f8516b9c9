"""Logins at the real provider, for both frameworks and all places to keep a login in progress."""

from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from reliant.starlette import OAuthError
from tests.helpers.oidc_provider import RunningProvider
from tests.helpers.person import Form, Person
from tests.interop.apps import APPS, STORES, Site, Sites, client_at

pytestmark = pytest.mark.needs("oidc-provider")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=APPS)
def app(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with closing(Sites()) as running:
        yield running


@pytest.fixture
def site(op: RunningProvider, sites: Sites, app: str, store: str) -> Site:
    running = sites.get(app, store)
    running.register(client_at(op, running))
    return running


@pytest.fixture
def cookie_site(op: RunningProvider, sites: Sites, app: str) -> Site:
    """A site that keeps its logins in cookies of their own."""
    running = sites.get(app, "cookie")
    running.register(client_at(op, running))
    return running


@pytest.fixture
def alice() -> Iterator[Person]:
    with Person("alice") as person:
        yield person


@pytest.fixture
def bob() -> Iterator[Person]:
    with Person("bob") as person:
        yield person


def code_of(page: httpx2.Response) -> str:
    """The stable name of the error that the application answered with."""
    return str(page.json()["code"])


# -- what works --------------------------------------------------------------------------------


def test_a_login(site: Site, alice: Person) -> None:
    page = alice.sign_in(site.page("login"))
    assert str(page.url) == site.page("me")
    claims = page.json()
    assert claims["sub"] == "alice"
    assert claims["aud"] == site.client.client_id
    assert set(site.token) >= {"access_token", "token_type", "expires_at", "scope", "id_token"}


def test_a_login_comes_back_to_where_it_began(site: Site, alice: Person) -> None:
    page = alice.sign_in(site.page("login?return_to=/op/userinfo"))
    assert str(page.url) == site.page("userinfo")
    assert page.json()["email"] == "alice@example.test"


def test_two_tabs_finish_in_reverse_order(site: Site, alice: Person) -> None:
    first, second = (
        alice.sign_in_until(site.page("callback"), site.page(f"login?return_to=/op/{page}"))
        for page in ("me", "userinfo")
    )
    assert str(alice.visit(second).url) == site.page("userinfo")
    assert str(alice.visit(first).url) == site.page("me")
    assert len(site.tokens) == 2


def test_form_post(cookie_site: Site, alice: Person) -> None:
    page = alice.sign_in(cookie_site.page("login?response_mode=form_post"))
    assert page.json()["sub"] == "alice"
    assert page.history == []


def test_who_is_signed_in_at_the_provider_is_not_asked_again(
    cookie_site: Site, alice: Person
) -> None:
    alice.sign_in(cookie_site.page("login"))
    page = alice.visit(cookie_site.page("login?prompt=none"))
    assert str(page.url) == cookie_site.page("me")


def test_prompt_login_asks_again(cookie_site: Site, alice: Person) -> None:
    alice.sign_in(cookie_site.page("login"))
    page = alice.visit(cookie_site.page("login?prompt=login&max_age=60"))
    assert "login" in Form(page.text).fields
    assert "auth_time" in alice.agree(page).json()


# -- what fails --------------------------------------------------------------------------------


def test_a_login_the_person_cancels(site: Site, alice: Person) -> None:
    page = alice.cancel(alice.visit(site.page("login")))
    assert page.status_code == 400
    assert (page.json()["error"], code_of(page)) == ("access_denied", "authorization.denied")
    assert site.tokens == {}


def test_a_login_the_person_cancels_with_form_post(cookie_site: Site, alice: Person) -> None:
    page = alice.cancel(alice.visit(cookie_site.page("login?response_mode=form_post")))
    page = alice.agree(page)  # the provider's form that posts the error
    assert (page.status_code, code_of(page)) == (400, "authorization.denied")


def test_nobody_is_signed_in_at_the_provider(cookie_site: Site, alice: Person) -> None:
    page = alice.visit(cookie_site.page("login?prompt=none"))
    assert (page.status_code, code_of(page)) == (400, "authorization.error")
    assert page.json()["error"] == "login_required"


def test_the_same_callback_twice(site: Site, alice: Person) -> None:
    url = alice.sign_in_until(site.page("callback"), site.page("login"))
    assert alice.visit(url).status_code == 200
    page = alice.visit(url)
    assert (page.status_code, code_of(page)) == (400, "state.used")
    assert len(site.tokens) == 1


def test_the_callback_in_another_browser(
    site: Site, store: str, alice: Person, bob: Person
) -> None:
    url = alice.sign_in_until(site.page("callback"), site.page("login"))
    page = bob.visit(url)
    assert (page.status_code, code_of(page)) == (400, "state.no_cookie")
    bob.visit(site.page("login"))
    page = bob.visit(url)
    expected = "state.other_browser" if store == "cache" else "state.unknown"
    assert (page.status_code, code_of(page)) == (400, expected)
    # It was not used up by this, and still serves its owner.
    assert alice.visit(url).status_code == 200


def test_a_code_with_the_state_of_another_tab(cookie_site: Site, alice: Person) -> None:
    """The provider refuses it for the PKCE verifier."""
    first, second = (
        httpx2.URL(alice.sign_in_until(cookie_site.page("callback"), cookie_site.page("login")))
        for _ in range(2)
    )
    page = alice.visit(str(first.copy_set_param("code", second.params["code"])))
    assert (page.status_code, code_of(page)) == (400, "token.invalid_grant")
    assert cookie_site.tokens == {}


def test_a_code_twice(cookie_site: Site, alice: Person) -> None:
    login, callback = cookie_site.page("login"), cookie_site.page("callback")
    first, second = (httpx2.URL(alice.sign_in_until(callback, login)) for _ in range(2))
    assert alice.visit(str(first)).status_code == 200
    page = alice.visit(str(second.copy_set_param("code", first.params["code"])))
    assert (page.status_code, code_of(page)) == (400, "token.invalid_grant")


def test_a_redirect_uri_the_provider_does_not_know(
    op: RunningProvider, cookie_site: Site, alice: Person
) -> None:
    elsewhere = cookie_site.page("elsewhere")
    cookie_site.register(client_at(op, cookie_site, redirect_uris=[elsewhere]))
    page = alice.visit(cookie_site.page("login"))
    assert str(page.url).startswith(op.issuer)
    assert (page.status_code, page.json()["error"]) == (400, "invalid_redirect_uri")


def test_an_acr_the_provider_can_not_reach(cookie_site: Site, alice: Person) -> None:
    page = alice.sign_in(cookie_site.page("login?acr_values=1"))
    assert (page.status_code, code_of(page)) == (401, "id_token.acr")
    assert cookie_site.tokens == {}


@pytest.mark.parametrize("store", ["session", "cache"])
def test_form_post_where_a_session_cookie_would_stay_behind(site: Site, alice: Person) -> None:
    page = alice.visit(site.page("login?response_mode=form_post"))
    assert (page.status_code, code_of(page)) == (500, "configuration.form_post")
    with pytest.raises(OAuthError, match="needs OAuth"):
        site.oauth.register("at_start_up", authorize_params={"response_mode": "form_post"})


# -- logout ------------------------------------------------------------------------------------


def test_a_logout_there_and_back(site: Site, alice: Person) -> None:
    alice.sign_in(site.page("login"))
    question = alice.visit(site.page("logout"))
    assert "Do you want to sign-out" in question.text
    page = alice.agree(question)
    assert page.url.path == "/op/logged_out"
    assert page.json() == {"post_logout_redirect_uri": site.page("logged_out")}
    assert alice.visit(site.page("me")).json() is None
    # At the provider too: it asks again who it is.
    assert "login" in Form(alice.visit(site.page("login")).text).fields


def test_the_way_back_from_a_logout_twice(site: Site, alice: Person) -> None:
    alice.sign_in(site.page("login"))
    back = alice.agree(alice.visit(site.page("logout")))
    page = alice.visit(str(back.url))
    assert (page.status_code, code_of(page)) == (400, "state.used")


def test_a_logout_that_began_in_another_browser(site: Site, alice: Person, bob: Person) -> None:
    alice.sign_in(site.page("login"))
    url = alice.agree(alice.visit(site.page("logout")), stop=site.page("logged_out"))
    bob.visit(site.page("logout"))
    assert url.next_request is not None
    page = bob.visit(str(url.next_request.url))
    assert page.status_code == 400
    assert code_of(page) in ("state.unknown", "state.other_browser")


def test_the_state_of_a_logout_is_none_of_a_login(site: Site, alice: Person) -> None:
    alice.sign_in(site.page("login"))
    back = alice.agree(alice.visit(site.page("logout")), stop=site.page("logged_out"))
    assert back.next_request is not None
    state = back.next_request.url.params["state"]
    page = alice.visit(site.page(f"callback?code=x&state={state}"))
    assert (page.status_code, code_of(page)) == (400, "state.unknown")


def test_a_logout_to_an_address_the_provider_does_not_know(
    op: RunningProvider, cookie_site: Site, alice: Person
) -> None:
    cookie_site.register(client_at(op, cookie_site, post_logout_redirect_uris=[]))
    alice.sign_in(cookie_site.page("login"))
    page = alice.visit(cookie_site.page("logout"))
    assert str(page.url).startswith(op.issuer)
    assert (page.status_code, page.json()["error"]) == (400, "invalid_request")
