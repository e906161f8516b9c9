"""The cookies that hold a session's value: one, or with cookies alone some more for the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote

from reliant.starlette.cookies import clear_cookie, host_cookie

__all__ = ["cleared", "cookie_name", "faded", "read_value", "written"]

_NUMBERS = frozenset("12345678")  # of cookies that a record can take
CHUNK = 3800  # octets of a cookie's value: browsers drop cookies of more than 4096 in all


def cookie_name(client: str, kind: str = "login") -> str:
    """The name of a cookie of a registered client; ``kind``: that of its session, or another."""
    return f"__Host-{kind}.{quote(client, safe='')}"


def read_value(cookies: Mapping[str, str], name: str) -> str | None:
    """The value that the cookies of a request hold, or None."""
    head = cookies.get(name)
    if not head:
        return None
    own = f"{name}!{head}"
    first = cookies.get(f"{own}.1", "")
    if first[:1] not in _NUMBERS:
        return head
    # Behind the number of cookies, so that what was left over from a larger record is not read.
    parts = [first[1:], *(cookies.get(f"{own}.{n}", "") for n in range(2, int(first[0]) + 1))]
    return f"{head}~{cookies.get(own, '')}~{''.join(parts)}"


def written(
    name: str, value: str, max_age: int, present: Iterable[str], *, begins: bool = True
) -> list[str]:
    """Set-Cookie values for a value: a head, or, parted by ``~``, a head, a stamp and a body.

    Stamp and body lie in cookies with the head in their names, and of these two an empty one stays
    in the browser as it is. ``max_age``: seconds; ``present``: the cookies the browser sent, of
    which those go that have no part in the value any more; ``begins``: whether the head is written
    too. It is by a login alone, so that an answer which is late can't put back the one before.
    """
    head, _, rest = value.partition("~")
    stamp, _, body = rest.partition("~")
    size, own = CHUNK - 1, f"{name}!{head}"
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    if chunks:
        chunks[0] = f"{len(chunks)}{chunks[0]}"
    named = {f"{own}.{number}": chunk for number, chunk in enumerate(chunks, 1)}
    if stamp:
        named[own] = stamp
    if begins:
        named[name] = head
    kept = () if body else _parts(own, present)
    surplus = [it for it in _parts(f"{name}!", present) if it not in {*named, *kept, own}]
    return [
        *(host_cookie(it, text, max_age, cross_site=False) for it, text in named.items()),
        *map(clear_cookie, surplus),
    ]


def cleared(name: str, present: Iterable[str]) -> list[str]:
    """Set-Cookie values that take a session back from a browser."""
    return [clear_cookie(it) for it in present if it == name or it.startswith(f"{name}!")]


def faded(name: str, value: str, present: Iterable[str]) -> list[str]:
    """Set-Cookie values that take one session's stamp and body back, and leave a newer login's."""
    return [clear_cookie(it) for it in _parts(f"{name}!{value.partition('~')[0]}", present)]


def strays(name: str, value: str, present: Iterable[str]) -> list[str]:
    """Set-Cookie values that take back what other logins left, as of several tabs at once."""
    all_of, own = f"{name}!", f"{name}!{value.partition('~')[0]}"
    return [clear_cookie(it) for it in present if it.startswith(all_of) and not it.startswith(own)]


def _parts(prefix: str, present: Iterable[str]) -> list[str]:
    return [it for it in present if it.startswith(prefix)]
