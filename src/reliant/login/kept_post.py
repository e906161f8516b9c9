"""A form that was posted when nobody was logged in any more: kept, and sent after the login."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Self
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse

from reliant.login.session_cookies import cleared, read_value, written
from reliant.starlette.requests import header_of
from reliant.storage.replay import ReplayGuard
from reliant.storage.safe import Safe
from reliant.storage.sealed import Sealer

__all__ = ["KeptPost", "KeptPosts", "form_to_keep", "resume_page", "was_read"]

MAX_FORM = 64 * 1024  # octets of a form that is kept in a store
MAX_IN_COOKIES = 6000  # octets of one in cookies: servers refuse headers of 8 KB
MAX_FIELDS = 256
_LENGTH = re.compile("[0-9]{1,9}")
_FORM = "application/x-www-form-urlencoded"

# A field named "submit" hides the form's own method.
_SEND = "HTMLFormElement.prototype.submit.call(document.forms[0]);"


@dataclass(frozen=True)
class KeptPost:
    """A form on its way through a login.

    ``path``: where it was posted; ``trace``: of the session it was posted in, to tell whether the
    same person is back.
    """

    path: str
    fields: Sequence[tuple[str, str]] = field(repr=False)
    trace: str = field(repr=False)

    def dumps(self) -> str:
        """The form as JSON."""
        members = [self.path, self.fields, self.trace]
        return json.dumps(members, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read what ``dumps`` wrote."""
        path, fields, trace = json.loads(text)
        return cls(path, [(name, text) for name, text in fields], trace)


class KeptPosts:
    """Where forms wait for a login: encrypted, one for each session that was over.

    In ``safe`` where there is a store, else in cookies, which hold less. ``name``: of the cookie;
    ``seconds``: how long a form waits.
    """

    def __init__(
        self,
        name: str,
        secrets: Sequence[str | bytes],
        safe: Safe | None,
        seconds: int,
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._safe = safe
        self._sealer = Sealer(secrets, f"reliant kept post {name}")
        self._seconds = seconds
        self._clock = clock
        self._sent = ReplayGuard(clock=clock)

    async def keep(self, post: KeptPost, mark: str, present: Iterable[str]) -> list[str] | None:
        """Keep a form; return the Set-Cookie values, or None where it is too large.

        ``mark``: stands for the session that was over; ``present``: the browser's cookies.
        """
        text = post.dumps()
        if self._safe is not None:
            value = self._safe.secret_for("post", mark)
            await self._safe.put(value, text, self._seconds)
        else:
            ends = int(self._clock()) + self._seconds
            value = f"post~~{self._sealer.seal_text(f'{ends} {text}')}"
            if len(value) > MAX_IN_COOKIES:
                return None
        return written(self._name, value, self._seconds, present)

    async def take(self, cookies: Mapping[str, str]) -> KeptPost | None:
        """The form that a browser's cookies stand for, once."""
        value = read_value(cookies, self._name) or ""
        if self._safe is not None:
            text = await self._safe.take(value)
        else:
            sealed = value.rpartition("~")[2]
            ends, _, text = (self._sealer.open_text(sealed) or "0").partition(" ")
            is_due = int(ends) > self._clock() and await self._sent.first_use(sealed, int(ends))
            text = text if is_due else None
        return None if text is None else KeptPost.loads(text)

    def cleared(self, present: Iterable[str]) -> list[str]:
        """Set-Cookie values for a browser whose form was taken."""
        return cleared(self._name, present)


async def form_to_keep(connection: HTTPConnection) -> list[tuple[str, str]] | None:
    """The fields of a posted form that is small enough to keep; else None.

    A form with files is not kept: a page can't fill them in again. The endpoint can still read the
    body itself.
    """
    if not isinstance(connection, Request) or connection.method != "POST":
        return None
    content_type = (header_of(connection, "content-type") or "").partition(";")[0].strip().lower()
    length = header_of(connection, "content-length") or ""
    if content_type != _FORM or not _LENGTH.fullmatch(length) or int(length) > MAX_FORM:
        return None
    if connection._form is not None:  # FastAPI has read it for its parameters
        fields = [(k, v) for k, v in connection._form.multi_items() if isinstance(v, str)]
    else:
        try:
            body = (await connection.body()).decode()
            fields = parse_qsl(
                body, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
            )
        # Not UTF-8, so that it would come out changed; or not here any more.
        except (ValueError, ClientDisconnect, RuntimeError):
            return None
    return fields if len(fields) <= MAX_FIELDS else None


def was_read(connection: HTTPConnection) -> bool:
    """Tell whether a request's form was read before its endpoint was called."""
    return isinstance(connection, Request) and connection._form is not None


def resume_page(post: KeptPost, name: str) -> HTMLResponse:
    """A page that posts a kept form, by itself or, without scripts, by a button.

    ``name``: who is logged in, and filled it in before.
    """
    fields = "".join(
        f'<input type="hidden" name="{escape(field)}" value="{escape(value)}">'
        for field, value in post.fields
    )
    shown = escape(name.encode(errors="replace").decode())  # JSON can hold what UTF-8 can't
    body = _BODY.format(action=escape(post.path), fields=fields, name=shown)
    headers = {
        "cache-control": "no-store",
        # No form-action: browsers apply it to redirects after the form too, and the app may well
        # send people on to another site.
        "content-security-policy": f"default-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{_HASH}'; frame-ancestors 'none'; base-uri 'none'",
        # Not no-referrer: the form would come with "Origin: null".
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
    }
    return HTMLResponse(f"{_HEAD}<main>{body}</main>", headers=headers)


_HASH = base64.b64encode(hashlib.sha256(_SEND.encode()).digest()).decode()
_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sending your form</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { margin: 0; min-height: 100vh; display: grid; place-items: center }
main { max-width: 32rem; padding: 2rem; overflow-wrap: anywhere }
h1 { font-size: 1.4rem; margin: 0 0 .5rem }
button { font: inherit; padding: .6rem 1.1rem; border: 0; border-radius: .5rem;
         background: #1b4fd8; color: #fff; cursor: pointer }
:focus-visible { outline: 3px solid #f5a524; outline-offset: 2px }
</style>
"""
# No button beside the script: who presses it meanwhile would send the form twice.
_BODY = f"""<h1>Sending your form</h1>
<p>You are logged in again as {{name}}. What you had filled in was kept.</p>
<form method="post" action="{{action}}">{{fields}}
<noscript><button>Send it</button></noscript></form>
<script>{_SEND}</script>
"""
