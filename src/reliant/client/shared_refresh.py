"""One refresh for all of a process who ask for it, together or a little late."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from reliant.http.single_flight import SingleFlight
from reliant.protocol.token_endpoint import Token
from reliant.storage.room import make_room

__all__ = ["SharedRefresh"]

RESULT_KEPT = 30  # seconds a refresh serves those who come late with the old token
MAX_RESULTS = 1000


class SharedRefresh:
    """Shares the exchange of a refresh token; ``clock``: a function returning Unix time.

    Whoever still holds the old token must not use it up a second time: a provider that rotates
    refresh tokens takes that for theft and revokes the family.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._flights: SingleFlight[Token] = SingleFlight()
        self._results: dict[str, tuple[float, Token]] = {}

    async def anew(self, refresh_token: str, refresh: Callable[[], Awaitable[Token]]) -> Token:
        """What ``refresh`` returns, which those who ask at the same time share."""
        return await self._flights.share(refresh_token, refresh)

    async def once(
        self,
        refresh_token: str,
        old: Mapping[str, Any],
        refresh: Callable[[], Awaitable[Token]],
    ) -> Token:
        """As ``anew``; or what came of it a moment ago, where that is not ``old`` itself."""

        async def unless_done() -> Token:
            # Also those who waited come by here when the one they waited for was cancelled or its
            # update_token failed, though the exchange itself was done.
            until, kept = self._results.get(refresh_token, (0.0, None))
            if (
                kept is not None
                and self._clock() < until
                and kept["access_token"] != old.get("access_token")
            ):
                return kept
            return await refresh()

        return await self._flights.share(refresh_token, unless_done)

    def remember(self, refresh_token: str, token: Token) -> None:
        """Keep what came of a refresh token for those who come late with it."""
        now = self._clock()
        make_room(self._results, MAX_RESULTS, lambda result: result[0] <= now)
        self._results[refresh_token] = (now + RESULT_KEPT, token)
