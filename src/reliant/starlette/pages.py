"""The two tiny pages with a script: a fragment sent on to the callback, and session management.

Each script is fixed text, allowed by its hash; what differs stands in data attributes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape

from starlette.responses import HTMLResponse

from reliant.protocol.values import origin_of

__all__ = ["check_session_page", "fragment_page", "logout_page"]

_POST_FRAGMENT = """
const form = document.forms[0];
// Taken before there are fields: one of the name "submit" would hide the form's own.
const append = form.append.bind(form), submit = form.submit.bind(form);
for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
  const field = document.createElement('input');
  field.type = 'hidden'; field.name = name; field.value = value;
  append(field);
}
history.replaceState(null, '', location.pathname + location.search);
submit();
"""
_CHECK_SESSION = """
const here = document.currentScript.dataset;
const frame = document.querySelector('iframe');
let timer;
const ask = () => frame.contentWindow.postMessage(here.message, here.origin);
addEventListener('message', (event) => {
  if (event.origin !== here.origin || event.source !== frame.contentWindow) return;
  if (event.data === 'changed') {
    clearInterval(timer);
    parent.postMessage({session: 'changed'}, location.origin);
  }
});
frame.addEventListener('load', () => { ask(); timer = setInterval(ask, 5000); });
"""


def fragment_page() -> HTMLResponse:
    """A page that posts the fragment of its own address to itself (OAuth Multiple Response Types).

    A fragment never reaches a server, and with ``response_mode=fragment`` the answer is in it.
    """
    return _page(
        "Signing in",
        '<form method="post"><noscript>This page needs scripts to finish the login.</noscript>'
        f"</form><script>{_POST_FRAGMENT}</script>",
        # No form-action: browsers apply it to redirects after the form too, and the app may well
        # send people on to another site once they are logged in.
        f"default-src 'none'; script-src '{_hash(_POST_FRAGMENT)}'; "
        "frame-ancestors 'none'; base-uri 'none'",
    )


def check_session_page(client_id: str, session_state: str, iframe: str) -> HTMLResponse:
    """A page that asks the provider's iframe whether the session changed (Session Management 3).

    Meant for an iframe of the app's own pages: on a change it posts ``{session: 'changed'}`` to
    its parent. ``iframe``: the provider's ``check_session_iframe``.
    """
    origin = _origin(iframe)
    message = escape(f"{client_id} {session_state}")
    return _page(
        "Session",
        f'<iframe src="{escape(iframe)}" hidden></iframe>'
        f'<script data-message="{message}" data-origin="{escape(origin)}">'
        f"{_CHECK_SESSION}</script>",
        f"default-src 'none'; script-src '{_hash(_CHECK_SESSION)}'; frame-src {origin}; "
        "frame-ancestors 'self'; base-uri 'none'",
    )


def logout_page(issuer: str) -> HTMLResponse:
    """What the provider's hidden iframe gets (Front-Channel Logout 1.0 section 2)."""
    return _page(
        "Logged out",
        "<p>Logged out.</p>",
        f"default-src 'none'; frame-ancestors {_origin(issuer)}; base-uri 'none'",
    )


def _page(title: str, body: str, policy: str) -> HTMLResponse:
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>{body}'
    headers = {
        "cache-control": "no-store",
        "content-security-policy": policy,
        # Not no-referrer: the page's own POST would come with "Origin: null", which an app that
        # checks origins refuses.
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
    }
    return HTMLResponse(page, headers=headers)


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _origin(url: str) -> str:
    origin = origin_of(url)
    # What the provider's metadata hold must not write a policy of its own.
    if origin is None or not re.fullmatch(r"[a-z0-9.:-]+", origin[1]):
        return "'none'"
    scheme, host, port = origin
    host = f"[{host}]" if ":" in host else host
    standard = port == (443 if scheme == "https" else 80)
    return f"{scheme}://{host}" if standard else f"{scheme}://{host}:{port}"
