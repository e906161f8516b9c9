"""Claims about a person, as a mapping whose standard members are attributes too."""

from __future__ import annotations

from typing import Any

__all__ = ["UserInfo"]


class UserInfo(dict[str, Any]):
    """Claims about a person: a dict; the standard ones (OIDC Core section 5.1) also as attributes.

    An attribute is None when the claim is absent.
    """

    iss: str | None
    sub: str | None
    aud: str | list[str] | None
    exp: int | None
    iat: int | None
    nonce: str | None
    auth_time: int | None
    acr: str | None
    amr: list[str] | None
    azp: str | None
    sid: str | None
    name: str | None
    given_name: str | None
    family_name: str | None
    middle_name: str | None
    nickname: str | None
    preferred_username: str | None
    profile: str | None
    picture: str | None
    website: str | None
    email: str | None
    email_verified: bool | None
    gender: str | None
    birthdate: str | None
    zoneinfo: str | None
    locale: str | None
    phone_number: str | None
    phone_number_verified: bool | None
    address: dict[str, Any] | None
    updated_at: int | None

    def __missing__(self, name: str) -> Any:
        error = KeyError(name)
        error.add_note(
            "There is no such claim here. Many providers put only sub into the ID Token: "
            "await oauth.<client>.userinfo(token) asks for the rest, as far as the scope goes."
        )
        raise error

    def __getattr__(self, name: str) -> Any:
        if name in UserInfo.__annotations__:
            return self.get(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
