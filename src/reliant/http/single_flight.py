"""One call at a time: whoever asks for the same thing meanwhile gets the same answer."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

from reliant.errors import OAuthError

__all__ = ["SingleFlight"]

T = TypeVar("T")


class _Flight(Generic[T]):
    def __init__(self) -> None:
        self.landed = anyio.Event()
        self.result: list[T] = []  # empty while none, and after a cancelled call
        self.error: OAuthError | None = None


class SingleFlight(Generic[T]):
    """Shares calls by key within one event loop."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def share(self, key: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """Return what ``call`` returns, or raise what it raises, calling it once for all."""
        key = (anyio.lowlevel.current_token().native_token, key)
        while (flight := self._flights.get(key)) is not None:
            await flight.landed.wait()
            if flight.error is not None:
                # A copy, for each waiter needs a traceback of its own.
                raise copy.copy(flight.error) from flight.error.__cause__
            if flight.result:
                return flight.result[0]
            # Its caller was cancelled: take over.
        flight = self._flights[key] = _Flight()
        try:
            result = await call()
        except OAuthError as exc:
            flight.error = exc
            raise
        else:
            flight.result.append(result)
            return result
        finally:
            del self._flights[key]
            flight.landed.set()
