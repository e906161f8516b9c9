"""Session Management: ``session_state`` and the page that answers whether it still holds."""

from __future__ import annotations

import base64
import hashlib
import secrets
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse, Response

from reliant.testing.messages import ReceivedRequest
from reliant.testing.model import Model, Session

__all__ = ["STATE_COOKIE", "check_session_iframe", "session_state"]

STATE_COOKIE = "fake_provider_state"  # a script of the page below reads it


def session_state(client_id: str, redirect_uri: str, session: Session) -> str:
    """The ``session_state`` of an authorization response (Session Management 1.0 section 3.2)."""
    parts = urlsplit(redirect_uri)
    salt = secrets.token_hex(8)
    text = f"{client_id} {parts.scheme}://{parts.netloc} {session.browser_state} {salt}"
    return f"{hashlib.sha256(text.encode()).hexdigest()}.{salt}"


def check_session_iframe(model: Model, request: ReceivedRequest) -> Response:
    """The page in the client's hidden frame: it answers unchanged, changed or error."""
    policy = f"default-src 'none'; script-src 'sha256-{_HASH}'; frame-ancestors *"
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": policy})


_SCRIPT = (
    """
const state = () => (document.cookie.match(/(?:^|; )"""
    + STATE_COOKIE
    + """=([^;]*)/) || [])[1] || "";
const hash = async (text) => Array.from(
  new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))),
  (octet) => octet.toString(16).padStart(2, "0")).join("");
addEventListener("message", async (event) => {
  const cut = String(event.data).lastIndexOf(" ");
  const client = event.data.slice(0, cut), told = event.data.slice(cut + 1);
  const [, salt] = told.split(".");
  const answer = (text) => event.source.postMessage(text, event.origin);
  if (cut < 0 || !salt) return answer("error");
  const now = await hash(`${client} ${event.origin} ${state()} ${salt}`) + "." + salt;
  answer(now === told ? "unchanged" : "changed");
});
"""
)
_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_PAGE = f'<!doctype html><meta charset="utf-8"><title>Session</title><script>{_SCRIPT}</script>\n'
