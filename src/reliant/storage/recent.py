"""What a process remembers of the sessions it has read: whose they are, and nothing secret."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from reliant.storage.room import make_room
from reliant.storage.session_record import SessionRecord

__all__ = ["Known", "Recent", "digest"]

REMEMBERED = 60.0  # seconds at the most
MAX_REMEMBERED = 200  # sessions, the usual with 3 to 8 KB
MAX_SEALED = 16_000  # octets of what lies in the store


class Known(NamedTuple):
    """A session as it was read: how it lay in the store, and its record's outline.

    ``until``: the Unix time at which it is forgotten.
    """

    sealed: str
    outline: SessionRecord
    until: float


class Recent:
    """Sessions by a ``digest`` of what their cookies hold, so that not each request opens them.

    Whether they have changed or ended is still to be asked for each. ``seconds``: how long a
    session is remembered, a minute at the most; ``clock``: a function returning Unix time.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = min(seconds, REMEMBERED)
        self._clock = clock
        self._met: dict[bytes, float] = {}
        self._known: dict[bytes, Known] = {}

    def find(self, name: bytes) -> Known | None:
        """The session of a digest, if it was read a moment ago and its time is not over since."""
        known = self._known.get(name)
        # Nor longer where the clock was put back.
        if known is None or not 0 < known.until - self._clock() <= self._seconds:
            return None
        return known

    def keep(self, name: bytes, record: SessionRecord, sealed: str = "") -> None:
        """Remember a session that was read, from its second request on.

        Not a large one, nor one whose tokens are in the vault: that is asked for each request.
        """
        if record.vault is not None or len(sealed) > MAX_SEALED:
            return
        now = self._clock()
        until = min(now + self._seconds, record.expires_at)
        if self._met.pop(name, now) <= now:  # who comes but once shall not cost more
            make_room(self._met, MAX_REMEMBERED, lambda end: end <= now)
            self._met[name] = until
        else:
            make_room(self._known, MAX_REMEMBERED, lambda known: known.until <= now)
            self._known.pop(name, None)
            self._known[name] = Known(sealed, record.outline(), until)


def digest(value: str) -> bytes:
    """What a session is remembered by, and which opens nothing."""
    return hashlib.sha256(value.encode()).digest()
