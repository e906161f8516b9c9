"""HTTP messages as values, and the reader of JSON that says what came instead."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from reliant.errors import TokenError
from reliant.protocol.messages import (
    HttpRequest,
    HttpResponse,
    form_request,
    integer,
    json_object,
    text,
)


def test_messages_show_neither_header_values_nor_bodies() -> None:
    request = HttpRequest("POST", "https://op", {"authorization": "s3cr3t"}, b"s3cr3t")
    response = HttpResponse(200, {"set-cookie": "s3cr3t"}, b"s3cr3t")
    assert "s3cr3t" not in repr(request) + str(request) + repr(response) + str(response)
    assert "https://op" in repr(request)


@pytest.mark.parametrize("name", ["status", "headers", "body"])
def test_messages_are_frozen(name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(HttpResponse(200), name, 500)


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        ({}, ""),
        ({"content-type": "application/json"}, "application/json"),
        ({"content-type": "Application/JSON ; charset=utf-8"}, "application/json"),
        ({"content-type": ";"}, ""),
    ],
)
def test_media_type(header: dict[str, str], media_type: str) -> None:
    assert HttpResponse(200, header).media_type == media_type


def test_a_form_request_asks_for_json_and_may_say_more() -> None:
    request = form_request("https://op", {"a": "b"}, {"x-more": "1"})
    assert dict(request.headers) == {
        "content-type": "application/x-www-form-urlencoded",
        "accept": "application/json",
        "x-more": "1",
    }


@pytest.mark.parametrize(
    ("body", "rule", "named"),
    [
        (b"", "empty", "an empty body"),
        (b"<p>", "html", "an HTML page"),
        (b"a=b", "form_encoded", "form-encoded text"),
        (b"text", "not_json", "text that is not JSON"),
        (b"null", "null", "null"),
        (b"[]", "not_object", "a list"),
        (b'""', "not_object", "a string"),
        (b"true", "not_object", "a boolean"),
        (b"5", "not_object", "a number"),
        (b"5.5", "not_object", "a number"),
        (b"NaN", "not_object", "a number"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_came_instead_of_an_object_is_named(body: bytes, rule: str, named: str) -> None:
    with pytest.raises(TokenError) as caught:
        json_object(HttpResponse(200, {}, body), TokenError, "area")
    assert caught.value.code == f"area.{rule}"
    assert f"answered with {named}" in caught.value.description


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_an_object_in_any_unicode_encoding_is_read(encoding: str) -> None:
    response = HttpResponse(200, {}, '{"a": "ü"}'.encode(encoding))
    assert json_object(response, TokenError, "area") == {"a": "ü"}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0),
        (5, 5),
        (-5, -5),
        (5.9, 5),
        ("5", 5),
        ("007", 7),
        (10**15 - 1, 10**15 - 1),
        ("9" * 15, 10**15 - 1),
        (None, None),
        (True, None),
        ("", None),
        ("-5", None),
        ("5.0", None),
        (" 5", None),
        ("²", None),
        ("٣", None),
        ("9" * 16, None),
        (10**15, None),
        (-(10**15), None),
        (10**400, None),
        (-(10**400), None),
        (1e300, None),
        (float("nan"), None),
        (float("inf"), None),
        ([5], None),
        ({}, None),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_integer(value: Any, seconds: int | None) -> None:
    assert integer(value) == seconds


@pytest.mark.parametrize(("value", "kept"), [("a", "a"), ("", None), (5, None), (None, None)])
def test_text(value: Any, kept: str | None) -> None:
    assert text(value) == kept
