"""Login sessions at the real provider, for both frameworks: two servers of one app, one Redis."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import anyio
import httpx2
import pytest

from tests.helpers.oidc_provider import RunningProvider, oidc_provider
from tests.helpers.person import NO_TLS, Form, Person
from tests.helpers.redis import redis_server
from tests.interop.login_apps import APPS, GOLD, LoginSite, MovingClock, login_site

pytestmark = pytest.mark.needs("oidc-provider", "redis-server")

DAY = 24 * 3600
ORDERS, STOCK = "https://orders.example/v1", "https://stock.example/opaque"


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningProvider]:
    ttl = dict.fromkeys(("Session", "Grant", "RefreshToken"), 30 * DAY)
    with oidc_provider([], stepUp=True, ttl=ttl) as running:
        yield running


@pytest.fixture(scope="module")
def clock(provider: RunningProvider) -> MovingClock:
    return MovingClock(provider)


@pytest.fixture(scope="module", params=APPS)
def site(
    request: pytest.FixtureRequest, provider: RunningProvider, clock: MovingClock
) -> Iterator[LoginSite]:
    with redis_server() as redis, login_site(request.param, provider, redis.url, clock) as running:
        yield running


def browser() -> Person:
    return Person("alice", accept="text/html")


@pytest.fixture
def alice() -> Iterator[Person]:
    with browser() as person:
        yield person


@pytest.fixture
def elsewhere() -> Iterator[Person]:
    """Alice at another browser."""
    with browser() as person:
        yield person


def is_logged_in(person: Person, site: LoginSite) -> bool:
    """Whether both servers know the person, or neither."""
    pages = [person.visit(f"{url}/me") for url in site.urls]
    known = {str(page.url) == f"{url}/me" for page, url in zip(pages, site.urls, strict=True)}
    assert len(known) == 1
    return known == {True}


def asks_who_it_is(page: httpx2.Response) -> bool:
    """Whether this is the provider's page to sign in."""
    return "login" in Form(page.text).fields


def many(person: Person, site: LoginSite, path: str, times: int) -> list[Any]:
    """The tokens that so many requests get at once, half of them from each server."""
    cookies = "; ".join(f"{k}={v}" for k, v in person.cookies("__Host-login").items())
    answers: list[httpx2.Response] = []

    async def ask(client: httpx2.AsyncClient, url: str) -> None:
        answers.append(await client.get(url, headers={"cookie": cookies}))

    async def ask_all() -> None:
        async with (
            httpx2.AsyncClient(verify=NO_TLS, trust_env=False, timeout=30) as client,
            anyio.create_task_group() as group,
        ):
            for number in range(times):
                group.start_soon(ask, client, f"{site.urls[number % 2]}{path}")

    anyio.run(ask_all)
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json()["access_token"] for answer in answers]


def claims_of(jwt: str) -> Any:
    payload = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def eventually(check: Any) -> bool:
    """Whether something becomes true within five seconds."""
    until = time.monotonic() + 5
    while not check():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


# -- login -----------------------------------------------------------------------------------------


def test_a_login_at_one_server_counts_at_both(site: LoginSite, alice: Person) -> None:
    site.register()
    page = alice.sign_in(f"{site.urls[0]}/me")
    assert str(page.url) == f"{site.urls[0]}/me"
    assert page.json()["sub"] == "alice"
    assert is_logged_in(alice, site)


def test_the_callback_again(site: LoginSite, alice: Person) -> None:
    client = site.register()
    callback = f"{site.urls[0]}/auth/callback"
    url = alice.sign_in_until(callback, f"{site.urls[0]}/me")
    for _ in range(2):
        assert str(alice.visit(url).url) == f"{site.urls[0]}/me"
    assert client.count("grant.success") == 1


def test_the_provider_s_page_was_open_for_too_long(
    site: LoginSite, alice: Person, clock: MovingClock
) -> None:
    site.register()
    page = alice.visit(f"{site.urls[0]}/me")
    clock.advance(590)  # its own limit is that of a login too
    url = alice.agree(page, stop=site.urls[0]).next_request
    assert url is not None
    clock.advance(20)
    page = alice.agree(alice.visit(str(url.url)))
    assert str(page.url) == f"{site.urls[0]}/me"


# -- tokens ----------------------------------------------------------------------------------------


def test_one_refresh_for_many_requests(site: LoginSite, alice: Person, clock: MovingClock) -> None:
    """The provider rotates refresh tokens, and ends the login where one comes a second time."""
    client = site.register()
    alice.sign_in(f"{site.urls[0]}/me")
    seen = set(many(alice, site, "/token", 2))
    for round_ in range(3):
        clock.advance(3590)
        tokens = set(many(alice, site, "/token", 60))
        assert len(tokens) == 1
        assert not tokens & seen
        seen |= tokens
        assert client.count("grant.success") == 2 + round_
    assert (client.count("grant.error"), client.count("grant.revoked")) == (0, 0)
    assert is_logged_in(alice, site)


def test_tokens_for_other_resources(site: LoginSite, alice: Person, clock: MovingClock) -> None:
    client = site.register("openid offline_access api:read", [ORDERS, STOCK])
    alice.sign_in(f"{site.urls[0]}/me")
    (own,) = set(many(alice, site, "/token", 2))
    assert claims_of(own)["aud"] == ORDERS
    (stock,) = set(many(alice, site, f"/token?resource={STOCK}", 40))
    assert "." not in stock
    assert client.is_active(stock)
    (orders,) = set(many(alice, site, f"/token?resource={ORDERS}", 40))
    assert claims_of(orders)["aud"] == ORDERS
    assert claims_of(orders)["scope"] == "api:read"
    assert client.count("grant.success") == 3

    clock.advance(3590)
    paths = ["/token", f"/token?resource={STOCK}", f"/token?resource={ORDERS}"]
    new = {token for path in paths for token in many(alice, site, path, 20)}
    assert len(new) == 3
    assert not new & {own, stock, orders}
    assert client.count("grant.success") == 6
    assert client.count("grant.error") == 0


# -- a stronger or fresher login -------------------------------------------------------------------


def test_a_form_that_needs_a_stronger_login(site: LoginSite, alice: Person) -> None:
    site.register()
    page = alice.sign_in(f"{site.urls[0]}/me")
    assert "acr" not in page.json()
    before = alice.cookies("__Host-login.op")
    page = alice.post(f"{site.urls[0]}/pay", page=f"{site.urls[0]}/me", amount="5 & more")
    assert asks_who_it_is(page)
    page = alice.agree(page)  # and at last the page of this site that sends the form
    assert str(page.url) == f"{site.urls[0]}/pay"
    assert page.json() == {"acr": GOLD, "amount": "5 & more"}
    assert alice.cookies("__Host-login.op") != before


def test_a_page_that_needs_a_fresher_login(
    site: LoginSite, alice: Person, clock: MovingClock
) -> None:
    site.register()
    url = f"{site.urls[0]}/fresh"
    first = alice.sign_in(url).json()["auth_time"]
    assert alice.visit(url).json() == {"auth_time": first}
    clock.advance(361)
    page = alice.visit(url)
    assert asks_who_it_is(page)
    page = alice.agree(page)
    assert str(page.url) == url
    assert page.json()["auth_time"] > first + 360


# -- logout ----------------------------------------------------------------------------------------


def test_a_logout_there_and_back(site: LoginSite, alice: Person) -> None:
    client = site.register()
    refresh_token = alice.sign_in(f"{site.urls[0]}/me").json()["refresh_token"]
    assert client.is_active(refresh_token)
    question = alice.post(f"{site.urls[0]}/auth/logout", page=f"{site.urls[0]}/me")
    assert "Do you want to sign-out" in question.text
    # Here it is over already, whatever she answers; the tokens too, which outlive the question.
    assert alice.cookies("__Host-login") == {}
    assert eventually(lambda: not client.is_active(refresh_token))
    page = alice.agree(question)
    assert str(page.url) == f"{site.urls[0]}/"
    assert asks_who_it_is(alice.visit(f"{site.urls[0]}/me"))


def test_a_logout_after_the_session_is_over(
    site: LoginSite, alice: Person, clock: MovingClock
) -> None:
    """The provider still knows her, and would let in whoever comes next to this browser."""
    site.register()
    alice.sign_in(f"{site.urls[0]}/me")
    clock.advance(DAY)
    question = alice.post(f"{site.urls[0]}/auth/logout", page=f"{site.urls[0]}/me")
    assert "Do you want to sign-out" in question.text
    assert str(alice.agree(question).url) == f"{site.urls[0]}/"
    assert asks_who_it_is(alice.visit(f"{site.urls[0]}/me"))


@pytest.mark.parametrize("by", ["sid", "sub"])
def test_a_logout_that_the_provider_tells_of(
    site: LoginSite, alice: Person, elsewhere: Person, by: str
) -> None:
    """One server hears of it, and the session is over at both.

    Where the provider does not say which one is meant, hers at other browsers are over too.
    """
    client = site.register(backchannel_logout_session_required=by == "sid")
    for person in (alice, elsewhere):
        assert person.sign_in(f"{site.urls[1]}/me").json()["sub"] == "alice"
    page = alice.agree(alice.visit(f"{site.op.issuer}/session/end"))
    assert page.status_code == 200, page.text
    assert (client.count("backchannel.success"), client.count("backchannel.error")) == (1, 0)
    assert not is_logged_in(alice, site)
    assert is_logged_in(elsewhere, site) == (by == "sid")
