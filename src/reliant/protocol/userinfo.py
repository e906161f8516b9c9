"""The UserInfo endpoint (OIDC Core section 5.3)."""

from __future__ import annotations

from reliant.errors import UserInfoError
from reliant.protocol.claims import UserInfo
from reliant.protocol.messages import HttpRequest, HttpResponse, json_object
from reliant.protocol.values import encode_form, same

__all__ = ["build_userinfo_request", "parse_userinfo_response"]


def build_userinfo_request(endpoint: str, access_token: str, placement: str) -> HttpRequest:
    """The UserInfo request; ``placement``: "header" or "body" (RFC 6750 sections 2.1 and 2.2)."""
    headers = {"accept": "application/json"}
    if placement == "header":
        return HttpRequest("GET", endpoint, {**headers, "authorization": f"Bearer {access_token}"})
    headers["content-type"] = "application/x-www-form-urlencoded"
    return HttpRequest(
        "POST", endpoint, headers, encode_form({"access_token": access_token}).encode()
    )


def parse_userinfo_response(response: HttpResponse, sub: str | None, openid: bool) -> UserInfo:
    """Judge a UserInfo answer.

    ``sub``: the one of the ID Token, or None where there is none to compare; ``openid``: whether
    the answer must have a ``sub`` of its own. Raises ``UserInfoError``: ``userinfo.token_refused``
    (401), ``.status``, ``.not_json`` and its kin, ``.sub_missing``, ``.sub_mismatch``.
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
    claims = UserInfo(json_object(response, UserInfoError, "userinfo"))
    if sub is None and not openid:
        return claims
    found = claims.get("sub")
    if not isinstance(found, str) or not found:
        raise _error("sub_missing", 'The UserInfo answer has no "sub".')
    if sub is not None and not same(found, sub):
        raise _error("sub_mismatch", "The UserInfo answer is about another person than the ID "
                     "Token. Its claims must not be used.")  # fmt: skip
    return claims


def _error(rule: str, description: str) -> UserInfoError:
    return UserInfoError(description=description, code=f"userinfo.{rule}")
