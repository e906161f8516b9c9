"""The provider's few HTML pages. Each value is escaped; nothing comes from another site."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse

__all__ = ["confirm_logout", "form_post", "login", "message", "signed_out_everywhere"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2430; --page: #eef0f6; --card: #fff;
  --line: #8b90a3; --accent: #4338ca; --on-accent: #fff; --alarm: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9f2; --page: #13151c; --card: #1e212b;
  --line: #7f859b; --accent: #a5b4fc; --on-accent: #14172a; --alarm: #fda29b; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: min(26rem, 100%); padding: 2rem; border-radius: 1rem; background: var(--card);
  box-shadow: 0 1px 2px #0002, 0 8px 32px #0002; }
.who { margin: 0; font-size: .85rem; letter-spacing: .04em; opacity: .8; }
h1 { margin: .25rem 0 1rem; font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
label { display: block; font-weight: 600; margin-bottom: .25rem; }
input { width: 100%; padding: .6rem .75rem; font: inherit; color: inherit; background: transparent;
  border: 1px solid var(--line); border-radius: .5rem; }
.hint { margin: .4rem 0 0; font-size: .875rem; opacity: .8; }
.alarm { margin: .4rem 0 0; color: var(--alarm); }
.choice { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.5rem; }
button { flex: 1 1 8rem; padding: .65rem .9rem; white-space: nowrap; font: inherit;
  font-weight: 600; cursor: pointer; border-radius: .5rem; border: 1px solid var(--line);
  background: transparent; color: inherit; }
button.first { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
"""
_FRAMES_GET = 2  # seconds
_SUBMIT = "document.forms[0].submit()"


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


# No form-action: browsers apply it to the redirects after a form too, so it would have to name
# every address the client may go on to.
_POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SUBMIT)};"
    " base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def _page(title: str, content: str, status: int = 200) -> HTMLResponse:
    html = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} · Fake provider</title>\n<style>{_STYLE}</style>\n</head>\n"
        '<body>\n<main>\n<p class="who">Fake OpenID provider</p>\n'
        f"<h1>{escape(title)}</h1>\n{content}\n</main>\n</body>\n</html>\n"
    )
    return HTMLResponse(html, status, headers=_HEADERS)


def _hidden(name: str, value: object) -> str:
    return f'<input type="hidden" name="{escape(name)}" value="{escape(str(value))}">'


def _choice(first: tuple[str, str], second: tuple[str, str]) -> str:
    buttons = "".join(
        f'<button name="decision" value="{value}"{kind}>{label}</button>'
        for (value, label), kind in ((first, ' class="first"'), (second, " formnovalidate"))
    )
    return f'<div class="choice">{buttons}</div>'


def login(
    client_id: str, action: str, request: str, user: str, *, missing: bool = False
) -> HTMLResponse:
    """The sign-in page: any user name will do."""
    alarm = '<p class="alarm" id="alarm" role="alert">Please enter a user name.</p>'
    described = "alarm hint" if missing else "hint"
    return _page(
        f"Sign in to {client_id}",
        f'<form method="post" action="{escape(action)}">\n{_hidden("request", request)}\n'
        '<label for="user">User name</label>\n'
        '<input id="user" name="user" autocomplete="username" autocapitalize="none"'
        f' spellcheck="false" required autofocus aria-describedby="{described}"'
        f'{" aria-invalid=true" if missing else ""} value="{escape(user)}">\n'
        f"{alarm if missing else ''}"
        '<p class="hint" id="hint">Any name will do, such as <b>alice</b>. There is no password:'
        " this provider is for tests and demos.</p>\n"
        f"{_choice(('sign-in', 'Sign in'), ('cancel', 'Cancel'))}\n</form>",
    )


def confirm_logout(action: str, request: str, user: str) -> HTMLResponse:
    """The question asked when a logout request does not prove whose it is."""
    return _page(
        "Sign out?",
        f"<p>You are signed in as <b>{escape(user)}</b>.</p>\n"
        f'<form method="post" action="{escape(action)}">\n{_hidden("request", request)}\n'
        f"{_choice(('sign-out', 'Sign out'), ('stay', 'Stay signed in'))}\n</form>",
    )


def form_post(action: str, params: Mapping[str, Any]) -> HTMLResponse:
    """The page that posts the authorization response (OAuth 2.0 Form Post Response Mode)."""
    fields = "\n".join(
        _hidden(name, one)
        for name, value in params.items()
        for one in (value if isinstance(value, list) else [value])
    )
    return _page(
        "Back to the application",
        f'<form method="post" action="{escape(action)}">\n{fields}\n'
        "<noscript><p>Your browser runs no scripts; press the button to go on.</p>"
        '<div class="choice"><button class="first">Continue</button></div></noscript>\n'
        f"</form>\n<script>{_SUBMIT}</script>",
    )


def message(title: str, text: str, status: int = 200) -> HTMLResponse:
    """A page that only says something."""
    return _page(title, f"<p>{escape(text)}</p>", status)


def signed_out_everywhere(frames: Sequence[str], go_on_to: str | None) -> HTMLResponse:
    """The page that loads the logout pages of clients in frames, then goes on."""
    shown = "\n".join(f'<iframe src="{escape(url)}" hidden></iframe>' for url in frames)
    link = f'<p><a href="{escape(go_on_to)}">Continue</a></p>' if go_on_to else ""
    page = _page("Signed out", f"<p>You are signed out.</p>\n{shown}\n{link}")
    origins = {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, frames)}
    page.headers["Content-Security-Policy"] += f"; frame-src {' '.join(sorted(origins))}"
    if go_on_to is not None:
        page.headers["Refresh"] = f"{_FRAMES_GET}; url={go_on_to}"
    return page
