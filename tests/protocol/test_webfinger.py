"""WebFinger: what people type, whom it makes us ask, and what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reliant.errors import MetadataError
from reliant.protocol.messages import HttpResponse
from reliant.protocol.metadata import issuers_of, metadata_urls
from reliant.protocol.webfinger import (
    build_webfinger_request,
    normalize_identifier,
    parse_webfinger_response,
)

REL = "http://openid.net/specs/connect/1.0/issuer"

NORMALIZED = {  # OIDC Discovery section 2.1.2
    "joe@example.com": ("acct:joe@example.com", "example.com"),
    " joe@example.com\n": ("acct:joe@example.com", "example.com"),
    "acct:joe@example.com": ("acct:joe@example.com", "example.com"),
    "acct:a.b@example.com:8443": ("acct:a.b@example.com:8443", "example.com:8443"),
    "joe@evil.example@example.com": ("acct:joe@evil.example@example.com", "example.com"),
    "example.com": ("https://example.com", "example.com"),
    "example.com:8080": ("https://example.com:8080", "example.com:8080"),
    "example.com/joe": ("https://example.com/joe", "example.com"),
    "https://example.com/joe?a=b#c": ("https://example.com/joe?a=b", "example.com"),
    "https://example.com:8443/joe": ("https://example.com:8443/joe", "example.com:8443"),
    "example.com?joe": ("https://example.com?joe", "example.com"),
}


@pytest.mark.parametrize("identifier", NORMALIZED)
def test_what_people_type(identifier: str) -> None:
    assert normalize_identifier(identifier) == NORMALIZED[identifier]


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "@",
        "joe@",
        "acct:joe",
        "acct:joe@",
        "http://example.com/joe",
        "ftp://example.com",
        "javascript://example.com",
        "https://",
        "https:///joe",
        "https://joe@example.com/",
        "https://joe:secret@example.com/",
        "https://good.example:x@evil.example/",
        "https://[::1]/",
        "https://[",
        "acct:joe@example.com:80/evil?x=#",
        "acct:joe@example.com/evil",
        "acct:joe@example.com?x",
        "acct:joe@example.com:port",
        "acct:joe@example.com:123456",
        "joe@example..com",
        "joe@exa mple.com",
        "joe@example.com\r\nhost: evil.example",
        "joe@example.com\\@evil.example/",
        "=xri",
        "joe@\ud800.example",
    ],
)
def test_what_makes_no_host_to_ask(identifier: str) -> None:
    with pytest.raises(MetadataError) as caught:
        normalize_identifier(identifier)
    assert caught.value.code == "webfinger.identifier"


def test_the_resource_travels_escaped() -> None:
    request = build_webfinger_request("acct:a&b=c@example.com", "example.com")
    assert request.method == "GET"
    assert request.url == (
        "https://example.com/.well-known/webfinger?resource=acct%3Aa%26b%3Dc%40example.com"
        "&rel=http%3A%2F%2Fopenid.net%2Fspecs%2Fconnect%2F1.0%2Fissuer"
    )


def answer(links: Any, status: int = 200) -> HttpResponse:
    body = json.dumps({"subject": "acct:joe@example.com", "links": links})
    return HttpResponse(status, {"content-type": "application/jrd+json"}, body.encode())


@pytest.mark.parametrize(
    "links",
    [
        [{"rel": REL, "href": "https://op.example/"}],
        [
            {"rel": "other", "href": "https://evil.example"},
            {"rel": REL, "href": "https://op.example/"},
        ],
        [None, 5, {}, {"rel": REL, "href": "https://op.example/"}],
        [{"rel": REL, "href": "https://op.example/"}, {"rel": REL, "href": "https://evil.example"}],
    ],
    ids=["alone", "beside another", "beside nonsense", "the first counts"],
)
def test_the_issuer_in_the_answer(links: Any) -> None:
    assert parse_webfinger_response(answer(links)) == "https://op.example/"


@pytest.mark.parametrize(
    ("code", "links"),
    [
        (
            "no_issuer",
            [{"rel": "http://openid.net/specs/connect/1.0", "href": "https://op.example"}],
        ),
        ("no_issuer", [{"rel": [REL], "href": "https://op.example"}]),
        ("no_issuer", []),
        ("no_issuer", {"rel": REL, "href": "https://op.example"}),
        ("no_issuer", None),
        ("issuer", [{"rel": REL}]),
        ("issuer", [{"rel": REL, "href": 5}]),
        ("issuer", [{"rel": REL, "href": ""}]),
        ("issuer", [{"rel": REL, "href": "http://op.example"}]),
        ("issuer", [{"rel": REL, "href": "http://127.0.0.1:6379/"}]),
        ("issuer", [{"rel": REL, "href": "http://localhost/"}]),
        ("issuer", [{"rel": REL, "href": "//op.example"}]),
        ("issuer", [{"rel": REL, "href": "https://op.example/?a=b"}]),
        ("issuer", [{"rel": REL, "href": "https://op.example/#x"}]),
        ("issuer", [{"rel": REL, "href": "https://op.example:port"}]),
    ],
    ids=str,
)
def test_an_answer_without_a_usable_issuer(code: str, links: Any) -> None:
    with pytest.raises(MetadataError) as caught:
        parse_webfinger_response(answer(links))
    assert caught.value.code == f"webfinger.{code}"


@pytest.mark.parametrize(
    ("code", "response"),
    [
        ("status", answer([{"rel": REL, "href": "https://op.example"}], 404)),
        ("status", answer([{"rel": REL, "href": "https://op.example"}], 302)),
        ("html", HttpResponse(200, {}, b"<html>")),
        ("not_object", HttpResponse(200, {}, b"[]")),
        ("not_json", HttpResponse(200, {}, b"nonsense")),
    ],
    ids=str,
)
def test_an_answer_that_is_none(code: str, response: HttpResponse) -> None:
    with pytest.raises(MetadataError) as caught:
        parse_webfinger_response(response)
    assert caught.value.code == f"webfinger.{code}"


# -- from the issuer to its metadata -------------------------------------------------------------

OPENID, OAUTH = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        ("https://op.example", [f"https://op.example{OPENID}", f"https://op.example{OAUTH}"]),
        ("https://op.example/", [f"https://op.example{OPENID}", f"https://op.example{OAUTH}"]),
        (
            "https://op.example:8443/a/b",
            [
                f"https://op.example:8443/a/b{OPENID}",
                f"https://op.example:8443{OAUTH}/a/b",
                f"https://op.example:8443{OPENID}/a/b",
            ],
        ),
        (
            "https://op.example/a/",
            [
                f"https://op.example/a{OPENID}",
                f"https://op.example{OAUTH}/a",
                f"https://op.example{OPENID}/a",
            ],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_where_the_metadata_of_an_issuer_may_be(issuer: str, urls: list[str]) -> None:
    """OIDC Discovery section 4.1, RFC 8414 sections 3.1 and 5."""
    assert list(metadata_urls(issuer)) == urls
    for url in urls:
        assert {issuer.rstrip("/"), issuer.rstrip("/") + "/"} == set(issuers_of(url))
