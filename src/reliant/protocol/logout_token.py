"""Back-channel logout: the logout token (Back-Channel Logout 1.0 sections 2.4 and 2.6)."""

from __future__ import annotations

from dataclasses import dataclass

from reliant.errors import LogoutTokenError
from reliant.protocol.jose import Jws, MalformedToken, parse_jws
from reliant.protocol.values import same

__all__ = ["LogoutToken", "check_logout_claims", "read_logout_token"]

EVENT = "http://schemas.openid.net/event/backchannel-logout"
MAX_AGE = 600  # seconds a token without "exp" is taken for, and a jti is remembered at the least
MAX_TOKEN = 16 * 1024


@dataclass(frozen=True)
class LogoutToken:
    """Who is to be logged out: the session ``sid``, or every session of ``sub``.

    ``expires_at``: Unix time after which the token can't be used again anyway.
    """

    iss: str
    jti: str
    sub: str | None
    sid: str | None
    expires_at: int


def read_logout_token(token: str) -> Jws:
    """Read a logout token without trusting it; raises ``LogoutTokenError``."""
    if len(token) > MAX_TOKEN:
        raise _error("malformed", "The logout token is too long.")
    try:
        return parse_jws(token)
    except MalformedToken as exc:
        raise _error("malformed", f"The logout token can't be read: {exc}.") from exc


def check_logout_claims(
    token: Jws, issuer: str, client_id: str, algorithms: tuple[str, ...], now: int, leeway: int = 60
) -> LogoutToken:
    """Judge header and claims of a logout token, in the order of section 2.6.

    The signature is judged apart, and whether the ``jti`` is new by the caller. ``algorithms``:
    those an ID Token may use; ``now``: Unix time in seconds. Raises ``LogoutTokenError``:
    ``logout_token.typ``, ``.alg``, ``.iss``, ``.aud``, ``.iat``, ``.exp``, ``.who``, ``.events``,
    ``.nonce``, ``.jti``.
    """
    claims = token.claims

    # 1. (Decryption comes before.) Section 2.4: an explicit type, where there is one, is ours.
    typ = token.header.get("typ")
    if typ is not None and (
        not isinstance(typ, str)
        or typ.lower().removeprefix("application/") not in ("logout+jwt", "jwt")
    ):
        raise _error("typ", 'The "typ" of the token is not that of a logout token.')

    # 2. and 3. The algorithm is one an ID Token may use, and never none.
    if token.alg not in algorithms:
        raise _error("alg", "The logout token is not signed with an algorithm agreed on.")

    # 4. iss, aud, iat and exp, as in an ID Token. Some providers leave exp out, which early drafts
    # allowed: such a token counts for ten minutes.
    if not isinstance(claims.get("iss"), str) or not same(claims["iss"], issuer):
        raise _error("iss", 'The "iss" of the logout token is not this provider.')
    aud = claims.get("aud")
    audiences = [aud] if isinstance(aud, str) else aud
    if not isinstance(audiences, list) or client_id not in audiences:
        raise _error("aud", 'The "aud" of the logout token does not name this client.')
    iat = _seconds(claims.get("iat"))
    if iat is None or iat > now + leeway:
        raise _error("iat", 'The "iat" of the logout token is missing or in the future.')
    exp = _seconds(claims.get("exp", iat + MAX_AGE))
    if exp is None or now >= exp + leeway:
        raise _error("exp", "The logout token has expired.")

    # 5. It says who: a sub, a sid, or both.
    sub, sid = claims.get("sub"), claims.get("sid")
    if (
        (sub is None and sid is None)
        or (sub is not None and (not isinstance(sub, str) or not sub))
        or (sid is not None and (not isinstance(sid, str) or not sid))
    ):
        raise _error("who", 'The logout token has no usable "sub" or "sid".')

    # 6. It is about this event, whose member is an object. 7. It has no nonce, so that it can't
    # be taken for an ID Token.
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise _error("events", "The logout token is not about a back-channel logout.")
    if "nonce" in claims:
        raise _error("nonce", "The logout token has a nonce, which only ID Tokens have.")

    # 8. The jti makes it known again.
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 255:
        raise _error("jti", 'The logout token has no usable "jti".')
    return LogoutToken(claims["iss"], jti, sub, sid, int(exp) + leeway)


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -(10**15) < value < 10**15 else None


def _error(rule: str, description: str) -> LogoutTokenError:
    return LogoutTokenError(description=description, code=f"logout_token.{rule}")
