"""What a process remembers of the sessions it has read: whose they are, and nothing secret."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from reliant.storage.room import make_room
from reliant.storage.session_record import SessionRecord

__all__ = ["Known", "Recent", "digest"]

REMEMBERED = 60.0  # seconds at the most
MAX_REMEMBERED = 200  # sessions, the usual with 3 to 8 KB
MAX_SEALED = 16_000  # octets of what lies in a store; cookies hold less than twice that


class Known(NamedTuple):
    """A session as it was read: how it lay in the store, and its record's outline.

    ``until``: the Unix time from which it does not count any more.
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
        self._lock = Lock()  # event loops in several threads may share the app's sessions
        self._met: dict[bytes, float] = {}
        self._known: dict[bytes, Known] = {}

    def find(self, name: bytes) -> Known | None:
        """The session of a digest, if it was read a moment ago."""
        known = self._known.get(name)
        # A clock that was put back by more than that makes nothing last.
        if known is None or not 0 < known.until - self._clock() <= self._seconds:
            return None
        return known

    def keep(self, name: bytes, record: SessionRecord, sealed: str = "") -> None:
        """Remember a session that was read, from its second request on.

        Not a large one, nor one with tokens where an outline has its claims; nor one whose tokens
        are in the vault, which has to be asked for each request.
        """
        shown = record.claims.keys() | record.profile.keys()
        if record.vault is not None or len(sealed) > MAX_SEALED or "_claim_sources" in shown:
            return
        now = self._clock()
        with self._lock:
            make_room(self._met, MAX_REMEMBERED, lambda until: until <= now)
            make_room(self._known, MAX_REMEMBERED, lambda known: known.until <= now)
            if self._met.pop(name, now) > now:
                self._known.pop(name, None)
                self._known[name] = Known(sealed, record.outline(), now + self._seconds)
            else:  # who comes but once shall not cost more
                self._met[name] = now + self._seconds


def digest(value: str) -> bytes:
    """What a session is remembered by, and which opens nothing."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
