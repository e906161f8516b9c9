"""How long a login session lasts, and when an access token is due to be refreshed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from reliant.protocol.messages import integer

__all__ = ["Freshness", "freshness", "obtained_at", "remaining", "session_end"]

REFRESH_EARLY = 60  # seconds before its end at which a token is due
MAX_JITTER = 15  # seconds more, so that the logins of one moment are not refreshed in one
Freshness = Literal["fresh", "due", "expired"]


def session_end(claims: Mapping[str, Any], latest: float) -> float:
    """The Unix time at which a session ends: ``latest``, or before that when the provider says.

    ``claims``: of the ID Token, whose ``session_expiry`` is when the provider's own session ends
    (IPSIE Session Lifetime profile); where that is no time, the session is over.
    """
    if claims.get("session_expiry") is None:
        return latest
    cap = integer(claims["session_expiry"])
    return 0 if cap is None else min(latest, cap)


def freshness(token: Mapping[str, Any], now: float, spread: float) -> Freshness:
    """Judge an access token: fresh, due to be refreshed soon, or expired.

    ``now``: Unix time in seconds; ``spread``: 0 to 1, what tells this token from those of the same
    moment. A token is due a minute before its end, or in the last quarter of a short life.
    """
    expires_at = integer(token.get("expires_at"))
    if expires_at is None:
        return "fresh"
    if now >= expires_at:
        return "expired"
    early = REFRESH_EARLY + spread * MAX_JITTER
    lifetime = integer(token.get("expires_in"))
    if lifetime is not None:
        early = min(early, lifetime / 4)
    return "due" if now >= expires_at - early else "fresh"


def remaining(token: Mapping[str, Any], now: float) -> float:
    """The seconds until an access token ends."""
    expires_at = integer(token.get("expires_at"))
    return float("inf") if expires_at is None else expires_at - now


def obtained_at(token: Mapping[str, Any]) -> float | None:
    """The Unix time at which a token came, as far as it tells."""
    obtained = integer(token.get("obtained_at"))  # a member of ours
    if obtained is not None:
        return obtained
    expires_at, lifetime = integer(token.get("expires_at")), integer(token.get("expires_in"))
    return None if expires_at is None or lifetime is None else expires_at - lifetime
