"""Front-channel logout: who may frame the page, and what the app is told."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from reliant.starlette import LogoutEvent, OAuth
from reliant.starlette.pages import logout_page
from reliant.testing import FakeProvider


def visit(query: str = "", issuer: str = "https://op.example") -> tuple[Any, list[LogoutEvent]]:
    told: list[LogoutEvent] = []
    provider = FakeProvider(issuer)
    oauth = OAuth(secret_key="the key of a test", on_logout=told.append)
    client = oauth.register("op", **provider.register_settings())
    app = Starlette(routes=[Mount("/op", routes=client.routes())])
    return TestClient(app, "https://rp.example").get(f"/op/frontchannel-logout{query}"), told


def test_the_session_is_named() -> None:
    response, told = visit("?iss=https%3A%2F%2Fop.example&sid=the%20session")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    (event,) = told
    assert (event.channel, event.iss, event.sub) == ("front", "https://op.example", None)
    assert event.sid == "the session"
    assert event.request.url.path == "/op/frontchannel-logout"


def test_without_a_name_it_is_the_session_of_this_browser() -> None:
    response, told = visit()
    assert response.status_code == 200
    assert [event.sid for event in told] == [None]


def test_other_parameters_are_ignored() -> None:
    response, told = visit("?foo=bar")
    assert (response.status_code, len(told)) == (200, 1)


@pytest.mark.parametrize(
    ("issuer", "ancestor"),
    [
        ("https://op.example", "https://op.example"),
        ("https://op.example/tenant/", "https://op.example"),
        ("https://op.example:8443/a", "https://op.example:8443"),
        ("https://OP.example:443/", "https://op.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
        ("https://op.example; script-src *", "'none'"),
        ("https://op.example *", "'none'"),
        ("https://öp.example", "'none'"),
        ("nonsense", "'none'"),
        ("https://[", "'none'"),
    ],
)
def test_only_the_provider_may_frame_the_page(issuer: str, ancestor: str) -> None:
    policy = logout_page(issuer).headers["content-security-policy"]
    assert policy == f"default-src 'none'; frame-ancestors {ancestor}; base-uri 'none'"


def test_the_page_of_the_route_is_that_page() -> None:
    response, _ = visit()
    assert "frame-ancestors https://op.example;" in response.headers["content-security-policy"]
    assert "x-frame-options" not in response.headers
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "<script" not in response.text
