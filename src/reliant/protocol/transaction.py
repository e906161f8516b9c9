"""What is remembered between sending the browser away and its coming back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reliant.protocol.values import random_token

__all__ = ["LOGIN_LIFETIME", "LoginTransaction", "LogoutTransaction", "new_state"]

LOGIN_LIFETIME = 600  # seconds


def new_state() -> str:
    """A new ``state`` or ``nonce``: 160 bits, as RFC 6749 section 10.10 recommends."""
    return random_token(20)


@dataclass(frozen=True)
class LoginTransaction:
    """One login attempt. ``nonce`` is there when an ID Token must come back."""

    code_verifier: str
    nonce: str | None = None
    redirect_uri: str | None = None
    return_to: str | None = None
    data: Any = None
    max_age: int | None = None
    acr_values: str | None = None
    response_type: str | None = None  # where it is not "code"

    def __repr__(self) -> str:
        return f"<LoginTransaction openid={self.nonce is not None}>"

    def record(self) -> dict[str, Any]:
        """The members that are set, ready for JSON."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> LoginTransaction | None:
        """Read a record back; None if it is not one of a login."""
        known = {
            name: value
            for name, value in record.items()
            if value is not None and name in cls.__dataclass_fields__
        }
        if "code_verifier" not in known:
            return None
        for name, value in known.items():
            if name not in ("data", "max_age") and not isinstance(value, str):
                return None
        return cls(**known)


@dataclass(frozen=True)
class LogoutTransaction:
    """One logout on its way through the provider."""

    post_logout_redirect_uri: str

    def record(self) -> dict[str, Any]:
        return {"post_logout_redirect_uri": self.post_logout_redirect_uri}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> LogoutTransaction | None:
        uri = record.get("post_logout_redirect_uri")
        return cls(uri) if isinstance(uri, str) else None
