"""Session Management: the page that asks the provider's iframe."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from reliant.starlette import OAuth
from reliant.starlette.pages import check_session_page
from reliant.testing import Behaviour, FakeProvider

IFRAME = "https://op.example/check?a=b&c=d"


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def one(self, tag: str) -> dict[str, str | None]:
        (found,) = [attrs for name, attrs in self.tags if name == tag]
        return found


def test_the_route_serves_it() -> None:
    provider = FakeProvider(behaviour=Behaviour(session_management=True))
    oauth = OAuth(secret_key="the key of a test")
    client = oauth.register("op", **provider.register_settings())
    browser = TestClient(
        Starlette(routes=[Mount("/op", routes=client.routes())]), "https://rp.example"
    )
    response = browser.get("/op/check-session?session_state=hash.salt")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert Page(response.text).one("script")["data-message"] == f"{client.client_id} hash.salt"


def test_the_message_and_its_receiver() -> None:
    page = Page(bytes(check_session_page("client", "hash.salt", IFRAME).body).decode())
    assert page.one("iframe")["src"] == IFRAME
    assert page.one("script") == {
        "data-message": "client hash.salt",
        "data-origin": "https://op.example",
    }


HOSTILE = "\"'><script>alert(1)</script><!--"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_nothing_can_break_out_of_its_attribute(place: int) -> None:
    parts = ["client", "hash.salt", IFRAME]
    parts[place] += HOSTILE
    page = Page(bytes(check_session_page(*parts).body).decode())
    assert [tag for tag, _ in page.tags] == ["html", "meta", "title", "iframe", "script"]
    assert page.one("script")["data-message"] == f"{parts[0]} {parts[1]}"
    assert page.one("iframe")["src"] == parts[2]


def test_the_policy_allows_this_script_and_this_frame_alone() -> None:
    response = check_session_page("client", "hash.salt", IFRAME)
    script = re.search(r"<script[^>]*>(.*?)</script>", bytes(response.body).decode(), re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert response.headers["content-security-policy"] == (
        f"default-src 'none'; script-src 'sha256-{digest}'; frame-src https://op.example; "
        "frame-ancestors 'self'; base-uri 'none'"
    )


def test_only_the_provider_s_frame_is_heard() -> None:
    """What a browser does with it is tested where there is one."""
    body = bytes(check_session_page("client", "hash.salt", IFRAME).body).decode()
    assert "event.origin !== here.origin" in body
    assert "event.source !== frame.contentWindow" in body
    assert "'*'" not in body
