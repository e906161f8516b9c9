"""The cookies that hold a session's value: one, or with cookies alone some more for the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote

from reliant.starlette.cookies import clear_cookie, host_cookie

__all__ = ["cleared", "cookie_name", "read_value", "written"]

CHUNK = 3800  # octets of a cookie's value: browsers drop cookies of more than 4096 in all


def cookie_name(client: str) -> str:
    """The name of the session cookie of a registered client."""
    return f"__Host-login.{quote(client, safe='')}"


def read_value(cookies: Mapping[str, str], name: str) -> str | None:
    """The value that the cookies of a request hold, or None."""
    head, first = cookies.get(name), cookies.get(f"{name}!1", "")
    if not head:
        return None
    if first[:1] not in set("12345678"):
        return head
    # Behind the number of cookies, so that what was left over from a larger record is not read.
    parts = [first[1:], *(cookies.get(f"{name}!{n}", "") for n in range(2, int(first[0]) + 1))]
    return f"{head}~{''.join(parts)}"


def written(name: str, value: str, max_age: int, present: Iterable[str]) -> list[str]:
    """Set-Cookie values for a value: a head, and behind ``~`` a body in cookies of its own.

    A part that is empty stays in the browser as it is. ``max_age``: seconds; ``present``: the
    cookies the browser sent, of which those that a smaller body leaves over go.
    """
    head, tilde, body = value.partition("~")
    size = CHUNK - 1
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    if chunks:
        chunks[0] = f"{len(chunks)}{chunks[0]}"
    named = {f"{name}!{number}": chunk for number, chunk in enumerate(chunks, 1)}
    if head:
        named[name] = head
    surplus = [other for other in _chunks(name, present) if other not in named]
    return [
        *(host_cookie(other, text, max_age, cross_site=False) for other, text in named.items()),
        *(clear_cookie(other) for other in surplus if body or not tilde),
    ]


def cleared(name: str, present: Iterable[str]) -> list[str]:
    """Set-Cookie values that take a session back from a browser."""
    names = list(present)
    return [clear_cookie(other) for other in (*_chunks(name, names), name) if other in names]


def _chunks(name: str, present: Iterable[str]) -> list[str]:
    return [it for it in present if it.startswith(f"{name}!") and it[len(name) + 1 :].isdigit()]
