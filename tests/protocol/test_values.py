"""Small values: secrets that hide, URLs, forms, and paths that stay on this site."""

from __future__ import annotations

import copy
import json
import logging
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from reliant.protocol.values import (
    MAX_PARAMETERS,
    Secret,
    append_query,
    encode_form,
    is_local_path,
    is_loopback,
    is_secure_url,
    origin_of,
    parse_parameters,
    random_token,
    same,
)

# -- Secret --------------------------------------------------------------------------------------

SECRET = Secret("s3cr3t")


@pytest.mark.parametrize(
    "shown",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!s:>30}",
        format(SECRET),
        "".join(map(str, [SECRET])),
        repr([SECRET]),
        repr({"client_secret": SECRET}),
        str(ValueError(SECRET)),
    ],
)
def test_a_secret_does_not_show(shown: str) -> None:
    assert "s3cr3t" not in shown
    assert "**********" in shown


def test_a_secret_shows_to_who_asks() -> None:
    assert SECRET.reveal() == "s3cr3t"
    assert copy.deepcopy(SECRET).reveal() == "s3cr3t"


def test_a_secret_is_not_json() -> None:
    with pytest.raises(TypeError):
        json.dumps(SECRET)


def test_a_secret_does_not_show_in_a_log(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("app").warning("client %s %r", SECRET, {"secret": SECRET})
    assert "s3cr3t" not in caplog.text


def test_secrets_compare_by_value() -> None:
    assert Secret("s3cr3t") == SECRET == "s3cr3t"
    assert Secret("other") != SECRET != "other"
    assert SECRET != 5
    assert SECRET != b"s3cr3t"
    assert SECRET is not None


def test_equal_secrets_hash_alike() -> None:
    assert {SECRET, Secret("s3cr3t")} == {SECRET}
    assert hash(SECRET) == hash("s3cr3t")


def test_an_empty_secret_is_false() -> None:
    assert SECRET
    assert not Secret("")


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("", "", True),
        ("a", "a", True),
        ("ü", "ü", True),
        ("\ud800", "\ud800", True),
        ("a", "b", False),
        ("a", "", False),
        ("a", "aa", False),
        ("\ud800", "\udc00", False),
        ("ü", "u\u0308", False),
    ],
)
def test_same(left: str, right: str, equal: bool) -> None:
    assert same(left, right) is equal


def test_random_tokens_differ_and_fit_a_url() -> None:
    drawn = {random_token(20) for _ in range(100)}
    assert len(drawn) == 100
    assert {len(token) for token in drawn} == {27}
    assert all(c.isalnum() or c in "-_" for token in drawn for c in token)


# -- forms ---------------------------------------------------------------------------------------


def test_a_form_leaves_out_none_and_repeats_lists() -> None:
    form = encode_form({"a": "1 ü&", "b": None, "c": ["x", "y"], "d": 0})
    assert form == "a=1+%C3%BC%26&c=x&c=y&d=0"
    assert encode_form([("a", 1), ("a", 2)]) == "a=1&a=2"


PARAMETERS: list[tuple[str, dict[str, str], str | None]] = [
    ("", {}, None),
    ("a=1&b=2", {"a": "1", "b": "2"}, None),
    ("a=1+2%203", {"a": "1 2 3"}, None),
    ("a=%C3%BC", {"a": "ü"}, None),
    ("a=", {}, None),
    ("a", {}, None),
    ("=1", {"": "1"}, None),
    ("&&a=1&&", {"a": "1"}, None),
    ("a=1;b=2", {"a": "1;b=2"}, None),
    ("a=1&a=2", {"a": "2"}, "a"),
    ("a=1&a=1", {"a": "1"}, "a"),
    ("a=&a=1", {"a": "1"}, "a"),
    ("a=1&a=", {}, "a"),
    ("a=1&%61=2", {"a": "2"}, "a"),
    ("b=1&a=1&a=2&b=2", {"a": "2", "b": "2"}, "a"),
    ("a=%FF", {"a": "\ufffd"}, None),
    ("a=%", {"a": "%"}, None),
]


@pytest.mark.parametrize(("text", "found", "repeated"), PARAMETERS, ids=[p[0] for p in PARAMETERS])
def test_parameters_are_decoded_and_a_repeated_one_is_named(
    text: str, found: dict[str, str], repeated: str | None
) -> None:
    assert parse_parameters(text) == (found, repeated)


def test_more_than_64_parameters_are_refused() -> None:
    fields = [f"p{i}=1" for i in range(MAX_PARAMETERS)]
    assert len(parse_parameters("&".join(fields))[0]) == 64
    with pytest.raises(ValueError, match="number of fields"):
        parse_parameters("&".join([*fields, "x=1"]))


# -- URLs ----------------------------------------------------------------------------------------

QUERIES: list[tuple[str, dict[str, Any], str]] = [
    ("https://op/a", {"x": "1"}, "https://op/a?x=1"),
    ("https://op/a", {}, "https://op/a"),
    ("https://op/a", {"x": None}, "https://op/a"),
    ("https://op/a?", {"x": "1"}, "https://op/a?x=1"),
    ("https://op/a?b=2", {"x": "1"}, "https://op/a?b=2&x=1"),
    ("https://op/a?b=2&", {"x": "1"}, "https://op/a?b=2&x=1"),
    ("https://op/a#f", {"x": "1"}, "https://op/a?x=1#f"),
    ("https://op/a#f?g", {"x": "1"}, "https://op/a?x=1#f?g"),
    ("https://op/a?b=%20+", {"x": "1"}, "https://op/a?b=%20+&x=1"),
    ("https://op/a", {"x": "a b+c&d=e/é"}, "https://op/a?x=a%20b%2Bc%26d%3De%2F%C3%A9"),
    ("https://op/a", {"x": ["1", "2"]}, "https://op/a?x=1&x=2"),
]


@pytest.mark.parametrize(("url", "parameters", "result"), QUERIES, ids=[q[2] for q in QUERIES])
def test_append_query(url: str, parameters: dict[str, Any], result: str) -> None:
    assert append_query(url, parameters) == result


ORIGINS: list[tuple[str, tuple[str, str, int] | None]] = [
    ("https://x", ("https", "x", 443)),
    ("https://x:443/", ("https", "x", 443)),
    ("http://x", ("http", "x", 80)),
    ("HTTPS://X.Example/Path", ("https", "x.example", 443)),
    ("https://x:8443/a?b#c", ("https", "x", 8443)),
    ("https://x:0/", ("https", "x", 0)),
    ("https://user:pass@x/", ("https", "x", 443)),
    ("https://x@evil/", ("https", "evil", 443)),
    ("https://[::1]:8000/", ("https", "::1", 8000)),
    ("https://x.", ("https", "x.", 443)),
    ("", None),
    ("x", None),
    ("/x", None),
    ("//x", None),
    ("https:", None),
    ("https://", None),
    ("https:///x", None),
    ("https:x", None),
    ("https://[::1", None),
    ("https://[x]/", None),
    ("https://x:y/", None),
    ("https://x:99999/", None),
    ("https://x:-1/", None),
    ("ftp://x", None),
    ("javascript:alert(1)", None),
    ("data:text/html,x", None),
    ("file:///etc/passwd", None),
]


@pytest.mark.parametrize(("url", "origin"), ORIGINS, ids=[url or "empty" for url, _ in ORIGINS])
def test_origin_of(url: str, origin: tuple[str, str, int] | None) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("localhost", True),
        ("LocalHost.", True),
        ("app.localhost", True),
        ("a.b.localhost", True),
        ("", False),
        ("localhost.evil.test", False),
        ("127.0.0.1.evil.test", False),
        ("evil-localhost", False),
        ("127.0.0.1.1", False),
        ("127.1", False),
        ("127.0.0.x", False),
        ("127.0.0.²", False),
        ("127.0.0.-1", False),
        ("127.0..1", False),
        ("126.0.0.1", False),
        ("0.0.0.1", False),
        ("10.0.0.1", False),
        ("::", False),
        ("2130706433", False),
    ],
)
def test_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_is_secure_url() -> None:
    assert is_secure_url("https://op.example")
    assert is_secure_url("http://127.0.0.1:8000")
    assert not is_secure_url("http://op.example")
    assert not is_secure_url("https:op.example")


# -- paths ---------------------------------------------------------------------------------------

LOCAL = [
    "/",
    "/account",
    "/account?next=/x&y=https://evil.test",
    "/account#part",
    "/a//b",
    "/a/../b",
    "/.//evil.test",
    "/%2f%2fevil.test",
    "/%5cevil.test",
    "/@evil.test",
    "/:80",
    "/über/日本/\U0001f600",
    "/" + "x" * 2047,
]
FOREIGN = [
    "",
    "account",
    ".",
    "?x",
    "#x",
    "//evil.test",
    "///evil.test",
    "////evil.test",
    "/\\evil.test",
    "\\evil.test",
    "\\\\evil.test",
    "\\/evil.test",
    "/a\\b",
    "/\t/evil.test",
    "/\n/evil.test",
    "/\r/evil.test",
    "\t//evil.test",
    "\n//evil.test",
    " //evil.test",
    " /account",
    "/account\r\nset-cookie: x=y",
    "/a b",
    "/a\x00",
    "/a\x1f",
    "/a\x7f",
    "/a\ud800",
    "https://evil.test",
    "https:/evil.test",
    "https:evil.test",
    "javascript:alert(1)",
    "data:text/html,x",
    "\u2028//evil.test",
    "\ufeff//evil.test",
    "\uff0f\uff0fevil.test",
    "/" + "x" * 2048,
]


@pytest.mark.parametrize("path", LOCAL, ids=lambda path: ascii(path)[:40])
def test_a_path_of_this_site_is_one(path: str) -> None:
    assert is_local_path(path)
    assert urlsplit(urljoin("https://site.test/a/b", path)).netloc == "site.test"
    path.encode()


@pytest.mark.parametrize("path", FOREIGN, ids=lambda path: ascii(path)[:40])
def test_anything_else_is_none(path: str) -> None:
    assert not is_local_path(path)
