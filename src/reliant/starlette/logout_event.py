"""What a hook is told of a logout at the provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request

__all__ = ["LogoutEvent"]


@dataclass(frozen=True)
class LogoutEvent:
    """A logout that the provider told of: of the session ``sid``, or of every session of ``sub``.

    ``client``: the registered name; ``channel``: "back" from the provider's server, or "front"
    through the person's browser, whose ``request`` then carries the app's session.
    """

    client: str
    channel: Literal["back", "front"]
    iss: str
    sub: str | None
    sid: str | None
    request: Request = field(repr=False)
