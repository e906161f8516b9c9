"""The UserInfo endpoint (OIDC Core section 5.3)."""

from __future__ import annotations

from reliant.errors import UserInfoError
from reliant.protocol.claims import UserInfo
from reliant.protocol.jose import Jws
from reliant.protocol.messages import HttpRequest, HttpResponse, json_object
from reliant.protocol.values import encode_form, same

__all__ = [
    "build_userinfo_request",
    "check_signed_userinfo",
    "check_userinfo_sub",
    "parse_claims",
    "parse_userinfo_response",
]


def build_userinfo_request(endpoint: str, access_token: str, placement: str) -> HttpRequest:
    """The UserInfo request; ``placement``: "header" or "body" (RFC 6750 sections 2.1 and 2.2)."""
    headers = {"accept": "application/json, application/jwt"}
    if placement == "header":
        return HttpRequest("GET", endpoint, {**headers, "authorization": f"Bearer {access_token}"})
    headers["content-type"] = "application/x-www-form-urlencoded"
    return HttpRequest(
        "POST", endpoint, headers, encode_form({"access_token": access_token}).encode()
    )


def parse_userinfo_response(response: HttpResponse, signed: bool) -> UserInfo | str:
    """Judge a UserInfo answer up to its claims.

    ``signed``: whether the client is registered for a signed or encrypted answer, so that a plain
    one is refused. Returns the claims, or the JWT that holds them, whose signature is still to be
    judged. Raises ``UserInfoError``: ``userinfo.token_refused`` (401, 403), ``.status``,
    ``.not_signed``, ``.not_json`` and its kin, ``.malformed``.
    """
    if response.status in (401, 403):
        raise UserInfoError(
            "invalid_token",
            "The UserInfo endpoint refused the access token: it expired, was revoked, or lacks "
            "the scope.",
            code="userinfo.token_refused",
            status_hint=401,
        )
    if response.status != 200:
        raise _error("status", f"The UserInfo endpoint answers with status {response.status}.")
    if response.media_type == "application/jwt":
        try:
            return response.body.decode("ascii").strip()
        except UnicodeDecodeError as exc:
            raise _error("malformed", "The UserInfo answer is not a JWT.") from exc
    if signed:
        raise _error("not_signed", "The UserInfo answer is plain, though the client is registered "
                     "for a signed or encrypted one.")  # fmt: skip
    return UserInfo(json_object(response, UserInfoError, "userinfo"))


def parse_claims(text: str) -> UserInfo:
    """Read the claims of an answer that was encrypted and not signed (section 5.3.2)."""
    return UserInfo(json_object(HttpResponse(200, {}, text.encode()), UserInfoError, "userinfo"))


def check_signed_userinfo(
    token: Jws, issuer: str, client_id: str, algorithms: tuple[str, ...]
) -> None:
    """Judge header, ``iss`` and ``aud`` of a signed UserInfo answer (section 5.3.2).

    Raises ``UserInfoError``: ``userinfo.alg``, ``.iss_mismatch``, ``.aud_mismatch``.
    """
    if token.alg not in algorithms:
        raise _error("alg", "The UserInfo answer is not signed with an algorithm agreed on.")
    iss, aud = token.claims.get("iss"), token.claims.get("aud")
    if iss is not None and iss != issuer:
        raise _error("iss_mismatch", 'The "iss" of the UserInfo answer is not this provider.')
    audiences = [aud] if isinstance(aud, str) else aud
    if aud is not None and (not isinstance(audiences, list) or client_id not in audiences):
        raise _error("aud_mismatch", 'The "aud" of the UserInfo answer is not this client.')


def check_userinfo_sub(claims: UserInfo, sub: str | None, openid: bool) -> None:
    """Judge whom a UserInfo answer is about (section 5.3.2).

    ``sub``: the one of the ID Token, or None where there is none to compare; ``openid``: whether
    the answer must have one of its own. Raises ``UserInfoError``: ``userinfo.sub_missing``,
    ``userinfo.sub_mismatch``.
    """
    if sub is None and not openid:
        return
    found = claims.get("sub")
    if not isinstance(found, str) or not found:
        raise _error("sub_missing", 'The UserInfo answer has no "sub".')
    if sub is not None and not same(found, sub):
        raise _error("sub_mismatch", "The UserInfo answer is about another person than the ID "
                     "Token. Its claims must not be used.")  # fmt: skip


def _error(rule: str, description: str) -> UserInfoError:
    return UserInfoError(description=description, code=f"userinfo.{rule}")
