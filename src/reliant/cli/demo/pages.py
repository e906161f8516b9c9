"""The demo's pages. Each value is escaped; nothing comes from another site."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from typing import Any

from starlette.responses import HTMLResponse

from reliant import Token
from reliant.protocol.jose import parse_jws

__all__ = ["home", "logged_out", "profile", "protected"]

_STYLE = files("reliant.cli.demo").joinpath("style.css").read_text("utf-8")
# Counts the seconds down; without scripts the page shows the time itself.
_SCRIPT = """
const clock = document.querySelector("time[data-left]");
const end = clock && Date.parse(clock.dateTime);
const tick = () => {
  const left = Math.max(0, Math.round((end - Date.now()) / 1000));
  const text = [Math.floor(left / 60), left % 60].map(n => String(n).padStart(2, "0")).join(":");
  clock.nextElementSibling.textContent = left ? " (in " + text + ")" : " (expired)";
};
if (clock) { tick(); setInterval(tick, 1000); }
"""

_TIMES = ("exp", "iat", "nbf", "auth_time")
_PROTOCOL_CLAIMS = (*_TIMES, "iss", "aud", "azp", "nonce", "at_hash", "acr", "amr", "jti", "sid")


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src {_hash(_STYLE)};"
    f" script-src {_hash(_SCRIPT)}; img-src data:; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def home(session: Mapping[str, Any] | None) -> HTMLResponse:
    """The first page."""
    if session is not None:
        name = escape(_name(session["token"]["userinfo"]))
        actions = '<a class="button first" href="/profile">See your profile</a>' + _button(
            "/logout", "Log out"
        )
        return _page(f"Welcome back, {name}", "You are logged in.", _actions(actions))
    actions = (
        '<a class="button first" href="/login">Log in</a>'
        '<a class="button" href="/login?response_mode=form_post">Log in with form_post</a>'
    )
    steps = (
        "<h2>What will happen</h2>\n<ol>\n"
        "<li>This application sends you to a provider on another site.</li>\n"
        "<li>You sign in there with any name.</li>\n"
        "<li>The provider sends you back, and Reliant checks that it is all in order.</li>\n</ol>"
    )
    return _page(
        "Try a login",
        "A small application that logs its users in with OpenID Connect. With form_post the"
        " provider answers with a form instead of a long address.",
        _actions(actions) + _card(steps),
    )


def profile(
    token: Token, notice: str | None = None, claims: Mapping[str, Any] | None = None
) -> HTMLResponse:
    """What the tokens say about the user; ``claims`` are those of the UserInfo endpoint."""
    who = token["userinfo"]
    buttons = (
        _button("/refresh", "Refresh", first=True),
        _button("/userinfo", "UserInfo"),
        _button("/logout", "Log out"),
    )
    parts = [f'<p class="notice" role="status">{escape(notice)}</p>' if notice else ""]
    if claims is not None:
        parts.append(_card("<h2>UserInfo</h2>" + _table(claims)))
    person = {name: value for name, value in who.items() if name not in _PROTOCOL_CLAIMS}
    parts += [
        _actions("".join(buttons)),
        _card("<h2>You, says the provider</h2>" + _table(person)),
        _card("<h2>Tokens</h2>" + _tokens(token)),
    ]
    if token.id_token:
        header = parse_jws(token.id_token).header
        about_login = {name: value for name, value in who.items() if name in _PROTOCOL_CLAIMS}
        parts += [
            _card("<h2>Header of the ID Token</h2>" + _table(header)),
            _card("<h2>Claims about the login itself</h2>" + _table(about_login)),
        ]
    return _page(f"Hello, {escape(_name(who))}", "You are logged in.", "".join(parts))


def protected(claims: Mapping[str, Any]) -> HTMLResponse:
    """A page only users see."""
    return _page(
        "A page for users only",
        f"You see it because you are logged in as {escape(_name(claims))}.",
        _actions('<a class="button" href="/profile">See your profile</a>'),
    )


def logged_out() -> HTMLResponse:
    """The last page."""
    return _page(
        "You are logged out",
        "Here and at the provider: the next login asks for your name again.",
        _actions('<a class="button first" href="/">Back to the start</a>'),
    )


def _page(title: str, lead: str, content: str) -> HTMLResponse:
    """A page of the demo; ``title``, ``lead`` and ``content`` are HTML."""
    return HTMLResponse(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{title} · Reliant demo</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n"
        '<header><a class="brand" href="/"><span>Reliant</span> demo</a>\n'
        '<nav aria-label="Pages"><a href="/profile">Profile</a>'
        '<a href="/protected">Protected page</a></nav></header>\n'
        f'<main>\n<h1>{title}</h1>\n<p class="lead">{lead}</p>\n{content}\n</main>\n'
        "<footer>This demo runs on your machine alone and forgets all when it stops.</footer>\n"
        f"<script>{_SCRIPT}</script>\n</body>\n</html>\n",
        headers=_HEADERS,
    )


def _card(content: str) -> str:
    return f'<section class="card">\n{content}\n</section>\n'


def _actions(content: str) -> str:
    return f'<div class="actions">{content}</div>\n'


def _button(action: str, label: str, *, first: bool = False) -> str:
    kind = "button first" if first else "button"
    return f'<form method="post" action="{action}"><button class="{kind}">{label}</button></form>'


def _table(values: Mapping[str, Any]) -> str:
    rows = (
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(_shown(name, value))}</td></tr>'
        for name, value in values.items()
    )
    return f"<table>\n{''.join(rows)}\n</table>"


def _tokens(token: Token) -> str:
    """The tokens, none of them whole: a screenshot of this page gives nothing away."""
    rows = [
        f'<tr><th scope="row">{label}</th><td>{_shortened(value)}</td></tr>'
        for label, value in (
            ("Access token", token.access_token),
            ("Refresh token", token.refresh_token),
            ("ID Token", token.id_token),
        )
    ]
    if token.expires_at:
        end = datetime.fromtimestamp(token.expires_at, UTC)
        rows.append(
            '<tr><th scope="row">Access token expires</th><td>'
            f'<time data-left datetime="{end.isoformat()}">{end:%H:%M:%S} UTC</time>'
            "<span></span></td></tr>"
        )
    return f"<table>\n{''.join(rows)}\n</table>"


def _shortened(value: str | None) -> str:
    if not value:
        return "none"
    return f"<code>{escape(value[:8])}…</code> ({len(value)} characters)"


def _shown(name: str, value: Any) -> str:
    if name in _TIMES and isinstance(value, int | float):
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(claims: Mapping[str, Any]) -> str:
    return str(claims.get("name") or claims.get("sub"))
