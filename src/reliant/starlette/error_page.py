"""What a browser gets to see when something fails."""

from __future__ import annotations

from html import escape

from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, JSONResponse, Response

from reliant.errors import OAuthError, StoreError
from reliant.starlette.requests import header_of

__all__ = ["error_response", "wants_html"]

_TITLES = {
    "authorization.denied": "Login canceled",
    "login.refused": "No access",
    "session.scope": "No access",
    "logout.cross_site": "You are not logged out",
}
_AREAS = {
    **dict.fromkeys(("authorization", "id_token", "login", "state", "token"), "The login failed"),
    "logout": "The logout failed",
}
RETRY_AFTER = "5"  # seconds until what is away for a moment may be back
_AWAY = {
    StoreError.default_code: "This site can't tell for the moment who is logged in. Nobody is "
    "logged out by that: try again in a few seconds.",
    "login.not_stored": "You have logged in, but this site could not keep the login. Try again in "
    "a few seconds.",
}

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center }}
main {{ max-width: 32rem; padding: 2rem }}
h1 {{ font-size: 1.4rem; margin: 0 0 .5rem }}
a {{ display: inline-block; margin: 1rem 0; padding: .6rem 1.1rem; border-radius: .5rem;
     background: #1b4fd8; color: #fff; text-decoration: none }}
a:focus-visible {{ outline: 3px solid #f5a524; outline-offset: 2px }}
small {{ opacity: .75 }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{text}</p>
<p><a href="{href}">Try again</a></p>
<small>Code: <code>{code}</code></small>
</main>
</body>
</html>
"""


def error_response(request: HTTPConnection, error: OAuthError, try_again: str) -> Response:
    """A small page for people, JSON for programs.

    ``try_again``: the path the page's link leads to. What is the app's own to mend is not told to
    the browser; the log has it.
    """
    area = _AREAS.get(error.code.partition(".")[0], "Something went wrong")
    title, text = _TITLES.get(error.code, area), error.description or error.error
    headers = dict(_HEADERS)
    if error.status_hint >= 500:
        text = "The login service has a problem."
    if error.status_hint == 503:
        title, text = "Please try again", _AWAY.get(error.code, _AWAY[StoreError.default_code])
        headers["retry-after"] = RETRY_AFTER
    if wants_html(request):
        page = _PAGE.format(
            title=title, text=escape(text), href=escape(try_again), code=escape(error.code)
        )
        return HTMLResponse(page, status_code=error.status_hint, headers=headers)
    body = {"error": error.error, "error_description": text, "code": error.code}
    return JSONResponse(body, status_code=error.status_hint, headers=headers)


def wants_html(request: HTTPConnection) -> bool:
    """Tell whether a page is asked for, to be shown to a person, and not data for a program."""
    mode = header_of(request, "sec-fetch-mode")
    if mode is not None:
        return mode == "navigate"
    return "text/html" in (header_of(request, "accept") or "")
