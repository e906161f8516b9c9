"""The sign-in of one browser: its cookies, and the ID Token that may stand for it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from reliant.protocol import jose
from reliant.testing.messages import ReceivedRequest
from reliant.testing.model import Model, Session
from reliant.testing.session_management import STATE_COOKIE
from reliant.testing.users import claims_of

__all__ = ["current_session", "forget", "hinted", "remember", "sub_of"]

_COOKIE = "fake_provider"


def current_session(model: Model, request: ReceivedRequest) -> Session | None:
    """The session of the browser that sent the request."""
    return model.sessions.get(request.cookies.get(_COOKIE, ""))


def remember(model: Model, response: Response, cookie: str, session: Session) -> None:
    """Give the browser the cookies of a new session."""
    secure = model.issuer.startswith("https:")
    response.set_cookie(_COOKIE, cookie, httponly=True, secure=secure, samesite="lax")
    if model.behaviour.session_management:
        # The page that reads it stands in a frame of another site.
        response.set_cookie(STATE_COOKIE, session.browser_state, secure=True, samesite="none")


def forget(response: Response) -> None:
    """Take the cookies back."""
    response.delete_cookie(_COOKIE)
    response.delete_cookie(STATE_COOKIE, secure=True, samesite="none")


def sub_of(model: Model, session: Session) -> object:
    """The subject of a session's user."""
    return claims_of(session.user, model.users)["sub"]


def hinted(model: Model, hint: str) -> Mapping[str, object]:
    """The claims of an ID Token this provider issued, however old; none otherwise."""
    try:
        token = jose.parse_jws(hint)
    except jose.MalformedToken:
        return {}
    return token.claims if model.keys.made(token) else {}
