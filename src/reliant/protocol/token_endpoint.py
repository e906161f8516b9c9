"""The token endpoint: requests, answers, errors (RFC 6749 sections 4.1.3, 5 and 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reliant.errors import InvalidGrantError, TokenError, printable
from reliant.protocol.claims import UserInfo
from reliant.protocol.messages import HttpRequest, HttpResponse, form_request, integer, json_object

__all__ = [
    "Token",
    "build_code_request",
    "build_refresh_request",
    "fits_header",
    "merge_refreshed",
    "parse_token_response",
]


class Token(dict[str, Any]):
    """A token response: a dict, ready for JSON, whose known members are attributes too.

    An attribute is None when the member is absent. ``userinfo`` holds the validated claims of the
    ID Token and nothing else; ``raw`` the response as the provider sent it; ``return_to`` and
    ``data`` what the app gave the login to carry.
    """

    access_token: str | None
    token_type: str | None
    expires_at: int | None
    refresh_token: str | None
    scope: str | None
    id_token: str | None

    def __init__(self, members: Mapping[str, Any], raw: Mapping[str, Any] | None = None) -> None:
        super().__init__(members)
        self.raw: Mapping[str, Any] = members if raw is None else raw
        self.return_to: str | None = None
        self.data: Any = None

    @property
    def userinfo(self) -> UserInfo | None:
        """The validated claims of the ID Token, or None where there is none."""
        claims = self.get("userinfo")
        return UserInfo(claims) if isinstance(claims, Mapping) else None

    def __missing__(self, name: str) -> Any:
        error = KeyError(name)
        if name == "userinfo":
            error.add_note(
                "A login brings the claims of an ID Token if openid is in its scope; this token "
                "comes without."
            )
        raise error

    def __getattr__(self, name: str) -> Any:
        if name in Token.__annotations__:
            return self.get(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<Token {', '.join(sorted(self))}>"  # the names of the members, never their values


def build_code_request(
    endpoint: str,
    code: str,
    redirect_uri: str | None,
    code_verifier: str | None,
    extra: Mapping[str, Any],
) -> HttpRequest:
    """The request that redeems an authorization code, before client authentication."""
    return form_request(
        endpoint,
        {
            **extra,
            "grant_type": extra.get("grant_type", "authorization_code"),
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": code_verifier,
        },
    )


def build_refresh_request(
    endpoint: str, refresh_token: str, extra: Mapping[str, Any]
) -> HttpRequest:
    """The request that refreshes a token, before client authentication (RFC 6749 section 6)."""
    return form_request(
        endpoint, {**extra, "grant_type": "refresh_token", "refresh_token": refresh_token}
    )


def parse_token_response(response: HttpResponse, now: int, hide: Iterable[str] = ()) -> Token:
    """Judge an answer of the token endpoint.

    ``now``: Unix time in seconds; ``hide``: secrets to keep out of an error that echoes them.
    Returns a token with ``expires_at`` set. Raises ``InvalidGrantError`` (``token.invalid_grant``)
    and ``TokenError``: ``token.error`` for other errors of the provider's, ``token.redirected``,
    ``.server_error``, ``.status``, ``.empty``, ``.html``, ``.form_encoded``, ``.not_json``,
    ``.null``, ``.not_object``, and for a member that is absent or of no use ``.access_token``,
    ``.token_type_missing``, ``.token_type``, ``.expires_in``, ``.refresh_token``, ``.scope``,
    ``.id_token``.
    """
    if 300 <= response.status < 400:
        raise _error("redirected", "The token endpoint answers with a redirect, which is not "
                     "followed. Set access_token_url to the final address.")  # fmt: skip
    if response.status >= 500:
        raise _error("server_error", f"The token endpoint answers with status {response.status}. "
                     "The provider has a problem; try again later.")  # fmt: skip
    document = json_object(response, TokenError, "token")
    if "error" in document:
        raise _provider_error(document, hide)
    if response.status != 200:
        raise _error("status", f"The token endpoint answers with status {response.status} and "
                     "no error code.")  # fmt: skip
    return Token(_members(document, now), raw=document)


def _provider_error(document: Mapping[str, Any], hide: Iterable[str]) -> TokenError:
    error = _presentable(document["error"], hide) or "invalid_token_response"
    description = _presentable(document.get("error_description"), hide)
    uri = _presentable(document.get("error_uri"), hide)
    if error == "invalid_grant":
        return InvalidGrantError(error, description, uri)
    if error == "invalid_client" and not description:
        description = "The provider refused the client's credentials: check client_id, "\
            "client_secret and token_endpoint_auth_method."  # fmt: skip
    return TokenError(error, description, uri, code="token.error")


def _presentable(value: object, hide: Iterable[str]) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    for secret in hide:
        if secret:
            value = value.replace(secret, "[hidden]")
    return printable(value)


_VISIBLE = bytes(range(0x20, 0x7F))
_NOT_THEIRS = frozenset({"userinfo", "return_to", "data"})
_OPTIONAL = frozenset({"refresh_token", "scope", "id_token", "expires_in", "expires_at"})


def _members(document: Mapping[str, Any], now: int) -> dict[str, Any]:
    # Not ours to believe: "userinfo" is where validated claims go, "return_to" where apps redirect,
    # "data" what the app gave the login to carry.
    members = {
        name: value
        for name, value in document.items()
        if name not in _NOT_THEIRS and not (name in _OPTIONAL and value in (None, ""))
    }

    if not fits_header(members.get("access_token")):
        raise _error("access_token", 'The token response has no usable "access_token".')
    token_type = members.get("token_type")
    if token_type is None:
        raise _error("token_type_missing", 'The token response has no "token_type".')
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise _error("token_type", 'The "token_type" of the token response is not Bearer.')
    if "expires_in" in members or "expires_at" in members:
        members["expires_at"] = _expiry(members, now)
    scope = members.get("scope")
    if isinstance(scope, list) and all(isinstance(item, str) for item in scope):
        members["scope"] = " ".join(scope)  # Twitch and others send an array
    for name in ("refresh_token", "scope", "id_token"):
        if name in members and not _is_credential(members[name]):
            raise _error(name, f'The "{name}" of the token response is not a usable string.')
    return members


def fits_header(value: object) -> bool:
    """Tell whether an access token can stand in a header as it is (RFC 6750 section 2.1)."""
    return _is_credential(value) and value == str(value).strip()


def _is_credential(value: object) -> bool:
    """RFC 6749 appendix A: visible ASCII, so that it fits a header and nothing else sneaks in."""
    if not isinstance(value, str) or not value or not value.isascii():
        return False
    return not value.encode().translate(None, delete=_VISIBLE)  # nothing else is left


def _expiry(members: Mapping[str, Any], now: int) -> int:
    lifetime, moment = integer(members.get("expires_in")), integer(members.get("expires_at"))
    if "expires_in" in members:
        moment = None if lifetime is None or lifetime < 0 else now + lifetime
    if moment is None:
        raise _error("expires_in", 'The "expires_in" of the token response is not a number of '
                     "seconds.")  # fmt: skip
    return moment


def merge_refreshed(old: Mapping[str, Any], new: Token) -> Token:
    """Complete a refreshed token with what the provider left unchanged (RFC 6749 section 6)."""
    kept = {
        name: old[name]
        for name in ("refresh_token", "scope", "id_token", "userinfo")
        if old.get(name) is not None
    }
    return Token({**kept, **new}, raw=new.raw)


def _error(rule: str, description: str) -> TokenError:
    return TokenError(description=description, code=f"token.{rule}")
