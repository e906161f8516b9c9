"""The ready-made routes: what they answer, what they refuse, and that nothing changes then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from reliant.protocol import jose
from reliant.starlette import LogoutEvent, OAuth
from reliant.storage.replay import ReplayGuard
from reliant.testing import FakeProvider

SITE = "https://rp.example"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
FORM = "application/x-www-form-urlencoded"
ABSENT: Any = object()


class Site:
    """An app with the routes of one client below ``/op``, and what its hook was told."""

    def __init__(self, **settings: Any) -> None:
        self.provider = FakeProvider()
        self.told: list[LogoutEvent] = []
        self.failure: Exception | None = None
        self.oauth = OAuth(secret_key="the key of a test", on_logout=self._on_logout)
        self.client = self.oauth.register("op", **{**self.provider.register_settings(), **settings})
        routes = self.client.routes(f"{SITE}/callback")
        self.browser = TestClient(
            Starlette(routes=[Mount("/op", routes=routes)]), SITE, follow_redirects=False
        )

    async def _on_logout(self, event: LogoutEvent) -> None:
        self.told.append(event)
        if self.failure is not None:
            raise self.failure

    def logout_token(self, key: Any = None, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.provider.issuer,
            "sub": "alice",
            "aud": self.client.client_id,
            "iat": now,
            "exp": now + 120,
            "jti": "one",
            "sid": "session",
            "events": {EVENT: {}},
            **changes,
        }
        key = key or self.provider.keys.signing_key("RS256")
        return jose.sign_jwt(
            {name: value for name, value in claims.items() if value is not ABSENT},
            key,
            "RS256",
            kid=self.provider.keys.signing_key("RS256").kid,
        )

    def log_out(self, **changes: Any) -> Any:
        return self.browser.post(
            "/op/backchannel-logout", data={"logout_token": self.logout_token(**changes)}
        )


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The lines our logger wrote."""
    with caplog.at_level(logging.INFO, "reliant"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name == "reliant"]


# -- every route: bad input is a 400 with a stable code, and nothing changes ---------------------

LONG = "x" * 70_000
BAD_INPUT: list[tuple[str, str, dict[str, Any], str]] = [
    ("POST", "backchannel-logout", {}, "authorization.content_type"),
    ("POST", "backchannel-logout", {"data": {"other": "x"}}, "logout_token.missing"),
    ("POST", "backchannel-logout", {"data": {"logout_token": ""}}, "logout_token.missing"),
    ("POST", "backchannel-logout", {"data": {"logout_token": "a.b.c"}}, "logout_token.malformed"),
    (
        "POST",
        "backchannel-logout",
        {"data": {"logout_token": "a.b.c.d.e"}},
        "logout_token.malformed",
    ),
    ("POST", "backchannel-logout", {"data": {"logout_token": LONG}}, "authorization.too_large"),
    (
        "POST",
        "backchannel-logout",
        {"data": {"logout_token": "x" * 17_000}},
        "logout_token.malformed",
    ),
    (
        "POST",
        "backchannel-logout",
        {"json": {"logout_token": "a.b.c"}},
        "authorization.content_type",
    ),
    (
        "POST",
        "backchannel-logout",
        {"data": {"logout_token": ["a.b.c", "a.b.c"]}},
        "authorization.repeated_parameter",
    ),
    (
        "POST",
        "backchannel-logout",
        {"data": {f"n{number}": "x" for number in range(65)}},
        "authorization.too_many_parameters",
    ),
    ("GET", "frontchannel-logout?iss=https://op.example", {}, "route.parameters"),
    ("GET", "frontchannel-logout?sid=session", {}, "route.parameters"),
    ("GET", "frontchannel-logout?iss=https://op.example/&sid=s", {}, "route.iss"),
    ("GET", "frontchannel-logout?iss=https://evil.example&sid=s", {}, "route.iss"),
    ("GET", f"frontchannel-logout?iss=https://op.example&sid={'s' * 256}", {}, "route.sid"),
    ("GET", "frontchannel-logout?sid=a&sid=b", {}, "authorization.repeated_parameter"),
    ("GET", "check-session", {}, "route.session_state"),
    ("GET", "check-session?session_state=a%20b", {}, "route.session_state"),
    ("GET", f"check-session?session_state={'x' * 1025}", {}, "route.session_state"),
    ("GET", "check-session?session_state=x", {}, "route.no_session_iframe"),
    ("GET", "initiate-login", {}, "route.iss"),
    ("GET", "initiate-login?iss=https://evil.example", {}, "route.iss"),
    ("GET", "initiate-login?iss=https://op.example/", {}, "route.iss"),
    ("GET", "initiate-login?iss=a&iss=b", {}, "authorization.repeated_parameter"),
    (
        "GET",
        f"initiate-login?iss=https://op.example&login_hint={'x' * 1025}",
        {},
        "route.login_hint",
    ),
    ("POST", "initiate-login", {"data": {"iss": "https://evil.example"}}, "route.iss"),
    ("POST", "initiate-login?iss=https://op.example", {}, "authorization.content_type"),
]


@pytest.mark.parametrize(
    ("method", "path", "options", "code"), BAD_INPUT, ids=lambda value: str(value)[:45]
)
def test_bad_input_is_a_400_with_a_code(
    site: Site,
    log: Callable[[], list[str]],
    method: str,
    path: str,
    options: dict[str, Any],
    code: str,
) -> None:
    response = site.browser.request(method, f"/op/{path}", **options)
    assert response.status_code == 400
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["code"] == code
    assert response.json()["error"] == "invalid_request"
    assert "set-cookie" not in response.headers
    assert site.told == []
    assert site.client.login_path is None
    lines = log()
    assert len(lines) == 1
    assert f"code={code}" in lines[0]
    assert "\n" not in lines[0]
    assert len(lines[0]) < 700


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "backchannel-logout"),
        ("PUT", "backchannel-logout"),
        ("POST", "frontchannel-logout"),
        ("POST", "check-session"),
        ("POST", "jwks.json"),
        ("POST", "request-objects/x"),
        ("DELETE", "initiate-login"),
    ],
)
def test_other_methods_are_not_allowed(site: Site, method: str, path: str) -> None:
    assert site.browser.request(method, f"/op/{path}").status_code == 405
    assert site.told == []


def test_without_a_callback_no_login_can_be_initiated(site: Site) -> None:
    assert "/initiate-login" not in {route.path for route in site.client.routes()}
    assert "/initiate-login" in {route.path for route in site.client.routes("/callback")}


def test_what_fails_inside_is_not_told_outside(site: Site, log: Callable[[], list[str]]) -> None:
    site.provider.fault("discovery.status", 500)
    response = site.browser.get("/op/initiate-login?iss=https://op.example")
    assert response.status_code == 503
    assert response.json()["error_description"] == "The login service has a problem."
    assert len(log()) == 1


# -- keys and request objects --------------------------------------------------------------------


def test_the_key_set_holds_public_parts_only() -> None:
    keys = [jose.generate_key("RS256", "rsa"), jose.generate_key("ES256", "ec")]
    site = Site(client_keys=[key.as_dict(private=True) for key in keys])
    response = site.browser.get("/op/jwks.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/jwk-set+json"
    assert response.json() == {"keys": [jose.public_jwk(key) for key in keys]}


def test_without_keys_the_key_set_is_empty(site: Site) -> None:
    assert site.browser.get("/op/jwks.json").json() == {"keys": []}


def test_a_request_object_is_served_once(site: Site) -> None:
    reference = anyio.run(site.client.request_objects.keep, "a.b.c")
    first = site.browser.get(f"/op/request-objects/{reference}")
    assert (first.status_code, first.text) == (200, "a.b.c")
    assert first.headers["content-type"].startswith("application/oauth-authz-req+jwt")
    assert first.headers["cache-control"] == "no-store"
    second = site.browser.get(f"/op/request-objects/{reference}")
    assert (second.status_code, second.headers["cache-control"]) == (404, "no-store")


@pytest.mark.parametrize("reference", ["x", "%2e%2e", "a b", "x" * 5000, "%00", "%ff"])
def test_a_request_object_that_nobody_kept(site: Site, reference: str) -> None:
    assert site.browser.get(f"/op/request-objects/{reference}").status_code == 404


# -- back-channel logout -------------------------------------------------------------------------


def test_a_logout_is_told_to_the_app_and_answered_200(site: Site) -> None:
    response = site.log_out()
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["cache-control"] == "no-store"
    (event,) = site.told
    assert (event.client, event.channel, event.iss) == ("op", "back", site.provider.issuer)
    assert (event.sub, event.sid) == ("alice", "session")


@pytest.mark.parametrize("media_type", [FORM, f"{FORM}; charset=utf-8", FORM.upper()])
def test_unknown_fields_are_ignored(site: Site, media_type: str) -> None:
    body = f"logout_token={site.logout_token()}&ignored_parameter=x&empty="
    response = site.browser.post(
        "/op/backchannel-logout", content=body, headers={"content-type": media_type}
    )
    assert response.status_code == 200
    assert len(site.told) == 1


def test_without_a_hook_it_is_still_200(site: Site) -> None:
    site.client.settings = replace(site.client.settings, on_logout=None)
    assert site.log_out().status_code == 200


def test_a_logout_counts_once(site: Site, log: Callable[[], list[str]]) -> None:
    assert site.log_out().status_code == 200
    again = site.log_out()
    assert (again.status_code, again.json()["code"]) == (400, "logout_token.replay")
    assert len(site.told) == 1
    assert site.log_out(jti="two").status_code == 200
    assert len(log()) == 1


@pytest.mark.parametrize(
    "failure", [RuntimeError("the database is away"), OSError(), KeyError("x")]
)
def test_a_hook_that_fails_lets_the_provider_try_again(
    site: Site, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    site.failure = failure
    response = site.log_out()
    assert (response.status_code, response.json()["code"]) == (400, "logout_token.hook")
    assert "database" not in response.text
    (record,) = caplog.records
    assert record.exc_info is not None  # the app's own error, which nobody else would see
    assert record.exc_info[1] is failure
    site.failure = None
    assert site.log_out().status_code == 200
    assert len(site.told) == 2


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("logout_token.iss", {"iss": "https://op.example/"}),
    ("logout_token.aud", {"aud": "another"}),
    ("logout_token.exp", {"exp": 5}),
    ("logout_token.who", {"sub": ABSENT, "sid": ABSENT}),
    ("logout_token.events", {"events": {}}),
    ("logout_token.nonce", {"nonce": "n"}),
    ("logout_token.jti", {"jti": ABSENT}),
    ("logout_token.signature", {"key": jose.generate_key("RS256")}),
]


@pytest.mark.parametrize(("code", "changes"), REFUSED, ids=lambda value: str(value)[:30])
def test_a_logout_token_that_is_not_valid(site: Site, code: str, changes: dict[str, Any]) -> None:
    response = site.log_out(**changes)
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert response.headers["cache-control"] == "no-store"
    assert site.told == []
    assert site.log_out().status_code == 200  # the jti was not used up


@pytest.mark.parametrize("fault", ["discovery.status", "jwks.status"])
def test_a_provider_out_of_reach_is_a_400_too(site: Site, fault: str) -> None:
    """Back-Channel Logout 1.0 section 2.8 knows 200 and 400 only."""
    with site.provider.fault(fault, 503):
        response = site.log_out()
    assert response.status_code == 400
    assert site.told == []
    assert site.log_out().status_code == 200


class BrokenCache:
    """A cache that is away, then back."""

    def __init__(self) -> None:
        self.away = True
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        self._check()
        return self.values.get(key)

    def set(self, key: str, value: Any, seconds: int) -> None:
        self._check()
        self.values[key] = value

    def delete(self, key: str) -> None:
        self._check()
        self.values.pop(key, None)

    def _check(self) -> None:
        if self.away:
            raise ConnectionError("the cache is away")


def test_a_cache_that_is_away_does_not_use_the_token_up(site: Site) -> None:
    cache = BrokenCache()
    site.client.replay_guard = ReplayGuard(cache)
    assert site.log_out().status_code == 400
    assert site.told == []
    cache.away = False
    assert site.log_out().status_code == 200
    assert site.log_out().status_code == 400
    assert len(site.told) == 1


def test_workers_that_share_a_cache_know_a_replay() -> None:
    cache = BrokenCache()
    cache.away = False
    first, second = Site(), Site()
    for site in (first, second):
        site.client.replay_guard = ReplayGuard(cache)
    token = first.logout_token(key=second.provider.keys.signing_key("RS256"))
    for site, status in ((first, 200), (second, 400)):
        response = site.browser.post("/op/backchannel-logout", data={"logout_token": token})
        assert response.status_code == status


def test_only_the_registered_algorithm_counts() -> None:
    site = Site(id_token_signed_response_alg="ES256")
    response = site.log_out()
    assert (response.status_code, response.json()["code"]) == (400, "logout_token.alg")


def test_a_logout_token_may_be_encrypted() -> None:
    key = jose.generate_key("ES256", "enc")
    members = {k: v for k, v in key.as_dict(private=True).items() if k not in ("alg", "use")}
    site = Site(client_keys=members)
    public = jose.import_jwk(members)
    assert public is not None
    stranger = jose.import_private_keys(
        {k: v for k, v in jose.generate_key("ES256").as_dict(private=True).items() if k != "alg"}
        | {"use": "enc"}
    )[0]
    for sealed_for, status in ((public, 200), (stranger, 400)):
        token = jose.encrypt(site.logout_token(), sealed_for, "ECDH-ES", "A128GCM")
        response = site.browser.post("/op/backchannel-logout", data={"logout_token": token})
        assert response.status_code == status
    assert len(site.told) == 1
