"""What a client is registered with at the real provider: algorithms, secrets, and its tokens."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import anyio
import httpx2
import pytest

from reliant import IDTokenError, InvalidGrantError, Token, UserInfoError
from reliant.starlette import OAuth
from tests.helpers.oidc_provider import RunningProvider, oidc_provider
from tests.helpers.person import Person
from tests.interop.apps import STORES, Site, Sites, client_at, settings_for

pytestmark = pytest.mark.needs("oidc-provider")

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
# Characters that a client which does not form-encode its credentials gets wrong.
ODD_ID = "a client: 100% ok?"
ODD_SECRET = "pass+word /with=odd&characters:and%2Fmore~"
OFFLINE = {"scope": "openid offline_access", "prompt": "consent"}


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with closing(Sites()) as running:
        yield running


@pytest.fixture
def app(sites: Sites) -> Site:
    return sites.get()


@pytest.fixture
def alice() -> Iterator[Person]:
    with Person("alice") as person:
        yield person


# -- the algorithm of the ID Token -------------------------------------------------------------


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("registered", [True, False], ids=["registered", "announced"])
def test_an_algorithm_with_public_keys(
    op: RunningProvider, app: Site, alice: Person, alg: str, registered: bool
) -> None:
    settings = client_at(op, app, id_token_signed_response_alg=alg)
    app.register(settings | ({"id_token_signed_response_alg": alg} if registered else {}))
    assert alice.sign_in(app.page("login")).json()["sub"] == "alice"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_the_secret_as_key_where_it_was_registered(
    op: RunningProvider, app: Site, alice: Person, alg: str
) -> None:
    settings = client_at(op, app, id_token_signed_response_alg=alg)
    app.register(settings | {"id_token_signed_response_alg": alg})
    assert alice.sign_in(app.page("login")).json()["sub"] == "alice"


@pytest.mark.parametrize(
    ("at_provider", "here"), [("HS256", None), ("HS256", "RS256"), ("PS256", "RS256")]
)
def test_another_algorithm_than_agreed_on(
    op: RunningProvider, app: Site, alice: Person, at_provider: str, here: str | None
) -> None:
    settings = client_at(op, app, id_token_signed_response_alg=at_provider)
    app.register(settings | {"id_token_signed_response_alg": here})
    page = alice.sign_in(app.page("login"))
    assert (page.status_code, page.json()["code"]) == (401, "id_token.alg")


# -- client authentication ---------------------------------------------------------------------


@pytest.mark.parametrize("said", [True, False], ids=["in the settings", "by discovery"])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_client_authentication(
    op: RunningProvider, app: Site, alice: Person, method: str, said: bool
) -> None:
    """(This provider takes the secret by either way, whichever was registered.)"""
    settings = client_at(op, app, token_endpoint_auth_method=method)
    app.register(settings | ({"token_endpoint_auth_method": method} if said else {}))
    assert alice.sign_in(app.page("login")).json()["sub"] == "alice"


@pytest.mark.parametrize(
    ("at_provider", "here"), [("client_secret_basic", "none"), ("none", "client_secret_post")]
)
def test_another_way_to_authenticate_than_agreed_on(
    op: RunningProvider, app: Site, alice: Person, at_provider: str, here: str
) -> None:
    settings = client_at(op, app, token_endpoint_auth_method=at_provider)
    app.register(settings | {"client_secret": "some", "token_endpoint_auth_method": here})
    page = alice.sign_in(app.page("login"))
    assert (page.status_code, page.json()["error"]) == (502, "invalid_client")


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_wrong_secret(op: RunningProvider, app: Site, alice: Person, method: str) -> None:
    settings = client_at(op, app, token_endpoint_auth_method=method)
    app.register(settings | {"client_secret": "a-bad-one", "token_endpoint_auth_method": method})
    page = alice.sign_in(app.page("login"))
    body = page.json()
    assert (page.status_code, body["error"], body["code"]) == (502, "invalid_client", "token.error")
    assert "a-bad-one" not in page.text
    assert app.tokens == {}


@pytest.fixture(scope="module")
def odd() -> Iterator[RunningProvider]:
    """A provider whose client has odd credentials."""
    client = {
        "client_id": ODD_ID,
        "client_secret": ODD_SECRET,
        "application_type": "native",  # one whose port may change
        "redirect_uris": ["http://127.0.0.1/op/callback"],
    }
    with oidc_provider([client]) as running:
        yield running


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_odd_characters_in_the_credentials(
    odd: RunningProvider, app: Site, alice: Person, method: str
) -> None:
    settings = settings_for(odd, ODD_ID, ODD_SECRET)
    app.register(settings | {"token_endpoint_auth_method": method})
    assert alice.sign_in(app.page("login")).json()["aud"] == ODD_ID


# -- tokens ------------------------------------------------------------------------------------


@pytest.fixture
def offline(op: RunningProvider, app: Site, alice: Person) -> Site:
    """A site where alice is logged in, and that may refresh her token."""
    app.register(client_at(op, app) | {"client_kwargs": OFFLINE})
    alice.sign_in(app.page("login"))
    return app


def test_a_refresh(offline: Site, alice: Person) -> None:
    before = offline.token
    assert alice.visit(offline.page("refresh")).json() == {"other_access_token": True}
    after = offline.token
    assert after.refresh_token not in (None, before.refresh_token)
    assert after["userinfo"]["sub"] == "alice"
    # The new refresh token works in its turn, and so does the new access token.
    assert alice.visit(offline.page("refresh")).json() == {"other_access_token": True}
    assert alice.visit(offline.page("userinfo")).json() == {"sub": "alice"}


def test_without_offline_access_there_is_nothing_to_refresh_with(
    op: RunningProvider, app: Site, alice: Person
) -> None:
    app.register(client_at(op, app))
    alice.sign_in(app.page("login"))
    page = alice.visit(app.page("refresh"))
    assert (page.status_code, page.json()["code"]) == (401, "request.refresh_token_missing")


async def test_a_refresh_token_twice(offline: Site) -> None:
    """The provider takes that for theft, and revokes what came of the first use too."""
    async with offline.oauth as oauth:
        new = await oauth.op.refresh_token(offline.token)
        for token in (offline.token, new):
            with pytest.raises(InvalidGrantError):
                await oauth.op.refresh_token(token)


async def test_an_expired_token_is_refreshed_once_for_all_who_ask(
    op: RunningProvider, offline: Site
) -> None:
    """(A second use of the refresh token would have revoked them all.)"""
    expired = {**offline.token, "expires_at": int(time.time()) - 1}
    results: list[httpx2.Response] = []

    async def ask(token: dict[str, Any]) -> None:
        results.append(await offline.client.get(f"{op.issuer}/me", token=token))

    async with offline.oauth, anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask, dict(expired))
    assert [result.status_code for result in results] == [200] * 5
    assert len({result.extensions["oauth_token"]["access_token"] for result in results}) == 1


async def test_a_revoked_token(offline: Site) -> None:
    async with offline.oauth as oauth:
        await oauth.op.revoke_token(offline.token)
        with pytest.raises(InvalidGrantError):
            await oauth.op.refresh_token(offline.token)
        with pytest.raises(UserInfoError):
            await oauth.op.userinfo(offline.token)


# -- keys --------------------------------------------------------------------------------------


def test_new_keys_at_the_provider(app: Site, alice: Person) -> None:
    """It comes back with other keys: they are fetched at once, and the old ones forgotten."""
    client_id, client_secret = "rotating", "a-test-secret-of-at-least-32-characters"
    client = {
        "client_id": client_id,
        "client_secret": client_secret,
        "application_type": "native",
        "redirect_uris": ["http://127.0.0.1/op/callback"],
    }
    with oidc_provider([client]) as before:
        app.register(settings_for(before, client_id, client_secret))
        assert alice.sign_in(app.page("login")).json()["sub"] == "alice"
    old = app.tokens.popitem()[1]
    with oidc_provider([client], port=before.port, freshKeys="2") as after:
        assert after.issuer == before.issuer
        assert alice.sign_in(app.page("login")).json()["sub"] == "alice"
        anyio.run(check_that_its_key_is_gone, app.oauth, old)


async def check_that_its_key_is_gone(oauth: OAuth, token: Token) -> None:
    async with oauth:
        with pytest.raises(IDTokenError) as caught:
            await oauth.op.parse_id_token(token, nonce=None)
    assert caught.value.code == "id_token.key_unknown"


# -- two providers -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other() -> Iterator[RunningProvider]:
    """On another host name, as cookies know no ports."""
    with oidc_provider([], issuerHost="localhost") as running:
        yield running


@pytest.fixture(params=STORES)
def both(
    request: pytest.FixtureRequest, op: RunningProvider, other: RunningProvider, sites: Sites
) -> Site:
    """A site with a client at each of two providers; one's name begins with the other's."""
    running = sites.get(store=request.param)
    running.register(client_at(op, running))
    running.register(client_at(other, running, "op_b"), "op_b")
    return running


def test_two_providers_at_once(both: Site, alice: Person, op: RunningProvider) -> None:
    one = alice.sign_in_until(both.page("callback"), both.page("login"))
    two = alice.sign_in_until(both.page("callback", "op_b"), both.page("login", "op_b"))
    assert alice.visit(two).json()["iss"] != op.issuer
    assert alice.visit(one).json()["iss"] == op.issuer
    assert len(both.tokens) == 2


def test_the_answer_of_one_provider_to_the_login_at_the_other(both: Site, alice: Person) -> None:
    """A mix-up: no state of one login serves the other, and its `iss` gives it away as well."""
    one = alice.sign_in_until(both.page("callback"), both.page("login"))
    two = alice.sign_in_until(both.page("callback", "op_b"), both.page("login", "op_b"))
    page = alice.visit(one.replace("/op/", "/op_b/"))
    assert (page.status_code, page.json()["code"]) == (400, "state.unknown")
    mixed = httpx2.URL(two).copy_set_param("iss", httpx2.URL(one).params["iss"])
    page = alice.visit(str(mixed))
    assert (page.status_code, page.json()["code"]) == (400, "authorization.iss_mismatch")
    assert both.tokens == {}
