"""A document kept fresh: time to live, one fetch at a time, stale while the source is down."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import ReferenceType, ref

from reliant.errors import OAuthError
from reliant.http.single_flight import SingleFlight

__all__ = ["COOLDOWN", "Cached", "lifetime_of"]

log: logging.Logger = logging.getLogger("reliant")

DEFAULT_TTL, MIN_TTL, MAX_TTL = 3600, 60, 24 * 3600  # seconds
STALE_FOR = 24 * 3600  # seconds a document may be served past its time while fetches fail
RETRY_AFTER = 10  # seconds between fetches while the source is down
COOLDOWN = 10  # seconds between fetches that brought nothing new
MAX_RENEWALS = 5  # in a cooldown, also where each brings something new

T = TypeVar("T")

# All that hold a document, in the order of their fetches, over all event loops.
_HOLDERS: dict[ReferenceType[Cached[Any]], None] = {}
_HOLDERS_LOCK = Lock()


class Cached(Generic[T]):
    """A document that ``fetch`` brings together with the seconds it may be kept.

    ``clock``: a function that returns seconds, for tests.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[tuple[T, float]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._value: T | None = None
        self._fresh_until = self._stale_until = self._cool_until = 0.0
        self._renewals, self._renewals_since = 0, 0.0
        self._counted: T | None = None
        self._flight: SingleFlight[T] = SingleFlight()
        self._reference = ref(self)

    @property
    def value(self) -> T | None:
        """What is kept, fresh or not."""
        return self._value

    @property
    def fresh(self) -> T | None:
        """What is kept, unless its time is over."""
        return self._value if self._clock() < self._fresh_until else None

    async def get(self) -> T:
        """The document, fetched if need be; the kept one while fetches fail."""
        if (value := self.fresh) is not None:
            return value
        try:
            return await self.fetch()
        except OAuthError as exc:
            if self._value is None or self._clock() >= self._stale_until:
                raise
            log.warning("provider document kept past its time: code=%s", exc.code)
            self._fresh_until = self._clock() + RETRY_AFTER
            return self._value

    async def renew(self, seen: T) -> T:
        """Fetch again because ``seen`` did not serve; what is kept where that is no use.

        A fetch that brings nothing new, or fails, is not repeated within the cooldown; one that
        brings something new starts none, so that the next rotation is picked up at once, but for
        the fifth: a document that never comes the same twice must not cost a fetch a forged token.
        """
        now = self._clock()
        if self._value is not None and self._value is not seen:
            return self._value  # someone else has fetched since
        if now < self._cool_until:
            return seen
        try:
            value = await self.fetch()
        except OAuthError as exc:
            log.warning("provider document not renewed: code=%s", exc.code)
            value = seen
        if now >= self._renewals_since + COOLDOWN:
            self._renewals, self._renewals_since = 0, now
        if value is not self._counted:  # one fetch counts once, however many waited for it
            self._renewals += 1
            self._counted = value
        if value == seen or self._renewals >= MAX_RENEWALS:
            self._cool_until = self._clock() + COOLDOWN
        return value

    async def fetch(self) -> T:
        """Fetch now, whatever is kept."""
        return await self._flight.share(None, self._load)

    async def _load(self) -> T:
        value, lifetime = await self._fetch()
        if self._value is not None and value == self._value:
            value = self._value  # the same object, so that ``renew`` can tell by identity
        self._value = value
        self._fresh_until = self._clock() + lifetime
        self._stale_until = self._fresh_until + STALE_FOR
        self._put_last()
        return value

    def _put_last(self) -> None:
        """Stand last among the holders; of the first, two at most drop what serves nobody more."""
        with _HOLDERS_LOCK:
            _HOLDERS.pop(self._reference, None)
            _HOLDERS[self._reference] = None
            for reference in list(islice(_HOLDERS, 2)):
                holder = reference()
                if holder is not None:
                    if holder._clock() < holder._stale_until:
                        break
                    holder._value = holder._counted = None
                del _HOLDERS[reference]


def lifetime_of(headers: Mapping[str, str]) -> float:
    """The seconds a response may be kept: its Cache-Control, within bounds (RFC 9111 5.2.2)."""
    control = headers.get("cache-control", "").lower()
    if "no-store" in control or "no-cache" in control:
        return MIN_TTL
    found = re.search(r"(?:^|[,\s])max-age=(\d{1,10})", control)
    return min(max(int(found[1]), MIN_TTL), MAX_TTL) if found else DEFAULT_TTL
