"""HTTP messages as values, and readers for JSON members that name what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reliant.errors import OAuthError
from reliant.protocol.values import encode_form

__all__ = ["HttpRequest", "HttpResponse", "form_request", "integer", "json_object", "text"]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to send; the body and the header values stay out of its repr."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response, read whole; header names in lower case; the body stays out of its repr."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def media_type(self) -> str:
        """The Content-Type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


_FORM_HEADERS = {
    "content-type": "application/x-www-form-urlencoded",
    "accept": "application/json",
}


def form_request(
    url: str, parameters: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> HttpRequest:
    """A POST of form-encoded parameters that asks for JSON."""
    body = encode_form(parameters).encode()
    return HttpRequest("POST", url, {**_FORM_HEADERS, **(headers or {})}, body)


def json_object(response: HttpResponse, error: type[OAuthError], area: str) -> dict[str, Any]:
    """Read a response body as a JSON object.

    ``error``, ``area``: the class and the code prefix of what is raised: ``<area>.empty``,
    ``.not_json``, ``.html``, ``.form_encoded``, ``.null`` or ``.not_object``.
    """
    try:
        value = json.loads(response.body)
    except UnicodeDecodeError as exc:  # its repr holds the body, and a body may hold tokens
        raise _not_json(response, error, area) from ValueError(exc.reason)
    except (ValueError, RecursionError) as exc:
        raise _not_json(response, error, area) from exc
    if isinstance(value, dict):
        return value
    rule, what = ("null", "null") if value is None else ("not_object", f"a {_kind(value)}")
    raise error(
        description=f"The provider answered with {what} where a JSON object must be.",
        code=f"{area}.{rule}",
    )


def _not_json(response: HttpResponse, error: type[OAuthError], area: str) -> OAuthError:
    body = response.body.strip()
    if not body:
        rule, what = "empty", "an empty body"
    elif body.startswith(b"<"):
        rule, what = "html", "an HTML page"
    elif b"=" in body and response.media_type != "application/json":
        rule, what = "form_encoded", "form-encoded text"
    else:
        rule, what = "not_json", "text that is not JSON"
    return error(
        description=f"The provider answered with {what} (status {response.status}) where a JSON "
        "object must be. Check that the endpoint's address is right.",
        code=f"{area}.{rule}",
    )


def _kind(value: object) -> str:
    return {list: "list", str: "string", bool: "boolean"}.get(type(value), "number")


def text(value: object) -> str | None:
    """A non-empty string member, or None for anything else."""
    return value if isinstance(value, str) and value else None


def integer(value: object) -> int | None:
    """A finite number of seconds as an integer; numbers as strings are taken too; else None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 15:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if -(10**15) < value < 10**15 else None  # so NaN is none either
