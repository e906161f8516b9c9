"""The authorization request and its answer (RFC 6749 section 4.1, RFC 7636, RFC 9207)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reliant.errors import AuthorizationError, ConfigurationError, printable
from reliant.protocol.messages import integer
from reliant.protocol.transaction import LoginTransaction, new_state
from reliant.protocol.values import append_query, random_token, s256, same

__all__ = [
    "AuthorizationResponse",
    "authorization_parameters",
    "build_authorization_url",
    "new_login",
    "parse_authorization_response",
    "scopes_of",
]

# The parameters that carry the security of a login; an app gives the first three values of its
# own through new_login, and can't touch the others.
_OURS = ("state", "nonce", "code_verifier", "code_challenge", "code_challenge_method", "client_id",
         "redirect_uri", "response_type", "scope")  # fmt: skip
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_MAX_CODE = 8192
_MAX_SESSION_STATE = 1024

# Those that put an access token into the browser stay out (RFC 9700 section 2.1.2).
RESPONSE_TYPES = (frozenset({"code"}), frozenset({"code", "id_token"}), frozenset({"id_token"}))


@dataclass(frozen=True)
class AuthorizationResponse:
    """What came back from the provider through the browser, with ``state`` and ``iss`` judged."""

    code: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    session_state: str | None = None


def scopes_of(scope: Any) -> list[str]:
    """The scopes in a space-separated string or a sequence."""
    if not scope:
        return []
    return scope.split() if isinstance(scope, str) else [str(item) for item in scope]


def new_login(
    redirect_uri: str | None, parameters: Mapping[str, Any]
) -> tuple[str, LoginTransaction]:
    """Draw the ``state`` and the transaction of a new login attempt.

    ``parameters``: those of the authorization request, with ``scope``; a ``state``, ``nonce`` or
    ``code_verifier`` among them is used instead of a new one.
    """
    response_type = _response_type(parameters)
    openid = "openid" in scopes_of(parameters.get("scope"))
    if "id_token" in response_type and not openid:
        raise ConfigurationError(
            description="An ID Token comes only where the scope has openid.",
            code="configuration.response_type",
        )
    nonce = parameters.get("nonce") or (new_state() if openid else None)
    verifier = parameters.get("code_verifier") or random_token(32)
    if not _VERIFIER.fullmatch(verifier):
        raise ConfigurationError(
            description="A code_verifier has 43 to 128 letters, digits and -._~ "
            "(RFC 7636 section 4.1).",
            code="configuration.code_verifier",
        )
    max_age = parameters.get("max_age")
    if max_age is not None and (integer(max_age) is None or int(max_age) < 0):
        raise ConfigurationError(
            description="max_age is a number of seconds, 0 or more.", code="configuration.max_age"
        )
    transaction = LoginTransaction(
        code_verifier=verifier,
        nonce=nonce,
        redirect_uri=redirect_uri,
        max_age=max_age if max_age is None else integer(max_age),
        response_type=" ".join(sorted(response_type)) if response_type != {"code"} else None,
        acr_values=" ".join(scopes_of(parameters.get("acr_values"))) or None,
    )
    return parameters.get("state") or new_state(), transaction


def _response_type(parameters: Mapping[str, Any]) -> frozenset[str]:
    found = frozenset(scopes_of(parameters.get("response_type", "code")))
    if found not in RESPONSE_TYPES:
        raise ConfigurationError(
            description='response_type is "code", "code id_token" or "id_token": the others put '
            "an access token into the browser (RFC 9700 section 2.1.2).",
            code="configuration.response_type",
        )
    if "id_token" in found and parameters.get("response_mode") == "query":
        raise ConfigurationError(
            description="An ID Token never travels in a query: use response_mode form_post or "
            "fragment.",
            code="configuration.response_mode",
        )
    return found


def authorization_parameters(
    client_id: str, state: str, transaction: LoginTransaction, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters of the authorization request, with PKCE S256 wherever a code comes back."""
    response_type = transaction.response_type or "code"
    query = {
        "response_type": response_type,
        "client_id": client_id,
        "redirect_uri": transaction.redirect_uri,
        "scope": " ".join(scopes_of(parameters.get("scope"))) or None,
        "state": state,
        "nonce": transaction.nonce,
    }
    if "code" in response_type.split():
        query["code_challenge"] = s256(transaction.code_verifier)
        query["code_challenge_method"] = "S256"
    for name, value in parameters.items():
        if name not in _OURS:
            query[name] = value
    return {name: value for name, value in query.items() if value is not None}


def build_authorization_url(endpoint: str, parameters: Mapping[str, Any]) -> str:
    """The URL that sends the browser to the provider; an object, such as claims, goes as JSON."""
    texts = {
        name: value
        if isinstance(value, str) or not isinstance(value, Mapping)
        else json.dumps(value)
        for name, value in parameters.items()
    }
    return append_query(endpoint, texts)


def parse_authorization_response(
    parameters: Mapping[str, str], issuer: str | None, iss_promised: bool, response_type: str
) -> AuthorizationResponse:
    """Judge the provider's answer once its ``state`` is known to be ours.

    ``iss_promised``: whether the metadata announce ``iss``, which an ID Token beside the code may
    stand in for; ``response_type``: what was asked for. The order is the specifications':
    ``iss`` (RFC 9207 section 2.4), then ``error``, then ``code``.
    Raises ``AuthorizationError``: ``authorization.iss_mismatch``, ``.iss_missing``, ``.denied``
    for ``access_denied``, ``.error`` for other errors of the provider's, ``.code_missing``,
    ``.code_too_long``, ``.id_token_missing``.
    """
    wanted = response_type.split()
    iss = parameters.get("iss")
    if iss is None and iss_promised and "id_token" not in wanted:
        raise _error("iss_missing", 'The answer has no "iss", though the provider promises one. '
                     "It may come from somewhere else; the login was stopped.")  # fmt: skip
    if iss is not None and issuer is not None and not same(iss, issuer):
        raise _error("iss_mismatch", 'The "iss" of the answer is not the provider this login went '
                     "to. It may be a mix-up attack; the login was stopped.")  # fmt: skip
    if "error" in parameters:
        error = printable(parameters["error"], 100)
        raise AuthorizationError(
            error,
            printable(parameters.get("error_description", "")) or None,
            printable(parameters.get("error_uri", "")) or None,
            code="authorization.denied" if error == "access_denied" else "authorization.error",
        )
    code = parameters.get("code") if "code" in wanted else None
    id_token = parameters.get("id_token") if "id_token" in wanted else None
    if code is None and "code" in wanted:
        raise _error("code_missing", 'Missing "code" parameter: the answer holds neither a code '
                     "nor an error.")  # fmt: skip
    if code is not None and len(code) > _MAX_CODE:
        raise _error("code_too_long", f'The "code" is longer than {_MAX_CODE} characters.')
    if id_token is None and "id_token" in wanted:
        raise _error("id_token_missing", "The answer has no ID Token, though one was asked for.")
    session_state = parameters.get("session_state")
    if session_state is not None and (len(session_state) > _MAX_SESSION_STATE):
        session_state = None  # of no use, and not worth a login
    return AuthorizationResponse(code, id_token, session_state)


def _error(rule: str, description: str) -> AuthorizationError:
    return AuthorizationError(description=description, code=f"authorization.{rule}")
