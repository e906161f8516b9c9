"""Reading requests: the parameters of a callback, and what a bare ASGI scope leaves out."""

from __future__ import annotations

from typing import Any

from starlette.requests import ClientDisconnect, HTTPConnection, Request

from reliant.errors import AuthorizationError
from reliant.protocol.values import origin_of, parse_parameters

__all__ = [
    "callback_parameters",
    "cookies_of",
    "header_of",
    "host_of",
    "origin_of_request",
    "query_parameters",
]

MAX_CALLBACK = 64 * 1024  # octets of a form_post answer
_FORM = "application/x-www-form-urlencoded"


def header_of(request: HTTPConnection, name: str) -> str | None:
    """A header's value; None also in a scope without headers."""
    wanted = name.encode()
    for key, value in request.scope.get("headers") or ():
        if key.lower() == wanted:
            return bytes(value).decode("latin-1")
    return None


def cookies_of(request: HTTPConnection) -> dict[str, str]:
    """The cookies, in the order they came; empty also in a scope without headers.

    Not ``request.cookies``: those strip whatever Python takes for white space, so that a cookie
    named ``\\xa0__Host-x``, which a browser takes from any subdomain, would count as ``__Host-x``.
    """
    headers = request.scope.get("headers") or ()
    octets = b";".join([value for name, value in headers if name.lower() == b"cookie"])
    pairs = [pair.strip(" \t").partition("=") for pair in octets.decode("latin-1").split(";")]
    return {name: value for name, _, value in pairs}


def origin_of_request(request: HTTPConnection) -> str | None:
    """The scheme and host this request came to, as far as the scope tells."""
    host = header_of(request, "host")
    return f"{request.scope.get('scheme', 'http')}://{host}" if host else None


def query_parameters(request: HTTPConnection) -> dict[str, str]:
    """The parameters in the query; a repeated one is an ``AuthorizationError``."""
    raw = request.scope.get("query_string", b"")
    return _parse(raw.decode("latin-1") if isinstance(raw, bytes) else str(raw))


async def callback_parameters(request: Request) -> dict[str, str]:
    """The parameters of an authorization response: of the query, or of a form_post.

    Raises ``AuthorizationError``: ``authorization.repeated_parameter``, ``.too_many_parameters``,
    ``.content_type``, ``.too_large``, ``.interrupted``, ``.body_read`` (OAuth 2.0 Form Post
    Response Mode).
    """
    if request.scope.get("method", "GET") != "POST":
        return query_parameters(request)
    content_type = (header_of(request, "content-type") or "").partition(";")[0].strip().lower()
    if content_type != _FORM:
        raise _error("content_type", "The answer was posted as something else than an HTML form's "
                     f"{_FORM}.")  # fmt: skip
    try:
        body = await _body(request)
    except ClientDisconnect as exc:
        raise _error("interrupted", "The browser went away in the middle of its answer.") from exc
    except RuntimeError as exc:
        if request._form is None:
            raise _error("body_read", "The app has read the body before and kept nothing.") from exc
        form = request._form  # FastAPI reads it for Form() parameters
        return _unique([(name, value) for name, value in form.multi_items()])
    return _parse(body.decode("latin-1"))


async def _body(request: Request) -> bytes:
    if hasattr(request, "_body"):
        return await request.body()
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_CALLBACK:
            raise _error("too_large", f"The answer is larger than {MAX_CALLBACK} bytes.")
        chunks.append(chunk)
    # The app may want to read the form as well: some providers send more in it than the login.
    request._body = b"".join(chunks)
    return request._body


def _parse(text: str) -> dict[str, str]:
    try:
        parameters, repeated = parse_parameters(text)
    except ValueError as exc:
        raise _error("too_many_parameters", "The answer has too many parameters.") from exc
    if repeated is not None:
        raise _repeated()
    return parameters


def _unique(items: list[tuple[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in items:
        if name in found:
            raise _repeated()
        if not isinstance(value, str):
            raise _error("content_type", "The answer holds a file where text must be.")
        found[name] = value
    return {name: value for name, value in found.items() if value}


def _repeated() -> AuthorizationError:
    return _error("repeated_parameter", "The answer has a parameter more than once, which no "
                  "honest provider sends (RFC 6749 section 3.1).")  # fmt: skip


def _error(rule: str, description: str) -> AuthorizationError:
    return AuthorizationError(description=description, code=f"authorization.{rule}")


def host_of(url: str) -> str:
    """The host name in a URL; empty where there is none that can be read."""
    return (origin_of(url) or ("", "", 0))[1]
