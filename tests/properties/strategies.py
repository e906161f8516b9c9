"""What may come from outside: any text, any JSON, any octets, and almost good answers."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from reliant.protocol.messages import HttpResponse

# All of Unicode, lone surrogates too: JSON can hold them.
any_text = st.text(st.characters(codec=None), max_size=40)

any_scalar = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 10**15, 10**400, -(10**400), 2**53])
    | st.floats()
    | any_text
)
any_json = st.recursive(
    any_scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=10,
)


@st.composite
def altered(draw: st.DrawFn, good: dict[str, Any]) -> dict[str, Any]:
    """A good object, some of whose members are anything or gone."""
    value = dict(good)
    for name in draw(st.sets(st.sampled_from(sorted(good)), max_size=4)):
        if draw(st.booleans()):
            value[name] = draw(any_json)
        else:
            del value[name]
    return {**value, **draw(st.dictionaries(any_text, any_json, max_size=2))}


statuses = st.sampled_from([200] * 6 + [201, 204, 301, 302, 400, 401, 403, 404, 500, 503])
media_types = st.sampled_from(
    ["", "application/json", "text/html; charset=utf-8", "application/x-www-form-urlencoded"]
)


def answers(good: dict[str, Any]) -> st.SearchStrategy[HttpResponse]:
    """Answers of a provider: octets, JSON of any kind, and almost good objects."""
    bodies = (
        st.binary(max_size=200)
        | any_json.map(encoded)
        | altered(good).map(encoded)
        | altered(good).map(encoded).flatmap(broken)
        | st.integers(0, 100_000).map(lambda depth: b"[" * depth)
    )
    headers = media_types.map(lambda media_type: {"content-type": media_type})
    return st.builds(HttpResponse, statuses, headers, bodies)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def broken(octets: bytes) -> st.SearchStrategy[bytes]:
    """The same octets, cut off or with one of them changed."""
    place = st.integers(0, max(len(octets) - 1, 0))
    cut = place.map(lambda i: octets[:i])
    changed = st.builds(
        lambda i, octet: octets[:i] + bytes([octet]) + octets[i + 1 :], place, st.integers(0, 255)
    )
    return cut | changed
