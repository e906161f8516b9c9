"""Asking for a login in the way that who asks understands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response

from reliant.errors import LoginRequired
from reliant.protocol.step_up import build_challenge
from reliant.starlette.error_page import wants_html
from reliant.starlette.requests import header_of

__all__ = ["NOBODY", "asking", "challenge_response", "kind_of"]

_HEADERS = {"cache-control": "no-store"}
NOBODY = "Nobody is logged in here. Log in first."
Kind = Literal["page", "htmx", "program"]


@contextmanager
def asking(client: str) -> Iterator[None]:
    """Let a ``LoginRequired`` say which login is needed, for an app that has several."""
    try:
        yield
    except LoginRequired as exc:
        exc.client_name = client
        raise


def kind_of(connection: HTTPConnection) -> Kind:
    """Tell who asks: a browser that navigates, htmx, or a script or other program."""
    if header_of(connection, "hx-request") == "true":
        return "htmx"
    if header_of(connection, "x-requested-with") is not None:
        return "program"
    return "page" if wants_html(connection) else "program"


def challenge_response(connection: HTTPConnection, error: LoginRequired, login: str) -> Response:
    """The answer that leads to a login.

    ``login``: the path of the login route, with where to go on to. A page is redirected; a program
    gets a 401 with problem details (RFC 9457) and the path; htmx leads its whole page there.
    """
    kind = kind_of(connection)
    if kind == "page":
        reads = connection.scope.get("method") in ("GET", "HEAD")
        return RedirectResponse(login, 302 if reads else 303, headers=_HEADERS)
    needs = {"acr_values": error.acr_values, "max_age": error.max_age}
    problem = {
        "type": "about:blank",
        "title": "Login required",
        "status": 401,
        "detail": error.description,
        "code": error.code,
        "login_url": login,
        **{name: value for name, value in needs.items() if value is not None},
    }
    headers = {
        **_HEADERS,
        "www-authenticate": build_challenge("Cookie", error, {"form-action": login, **needs}),
        **({"hx-redirect": login} if kind == "htmx" else {}),
    }
    return JSONResponse(problem, 401, headers, media_type="application/problem+json")
