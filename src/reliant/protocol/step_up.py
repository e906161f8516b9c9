"""The step-up challenge: an API, or a page, wants a stronger or fresher login (RFC 9470)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reliant.errors import LoginRequired
from reliant.protocol.messages import integer

__all__ = ["build_challenge", "challenges", "check_authentication", "step_up_challenge"]

ERROR = "insufficient_user_authentication"
MAX_HEADER = 8192
MAX_VALUES = 1024  # characters of acr_values
MAX_AGE = 10**9 - 1  # seconds
LEEWAY = 60  # seconds, as everywhere: else max_age=0 could never be met

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_GAP = r"[ \t,]*"
_PARAM = re.compile(rf"{_GAP}({_TOKEN})\s*=\s*({_TOKEN}|{_QUOTED})\s*(?:,|$)")
_TOKEN68 = r"[A-Za-z0-9._~+/-]+=*"
_SCHEME = re.compile(rf"{_GAP}({_TOKEN})(?: +(?={_TOKEN}\s*=[^=,])|(?: +{_TOKEN68})?\s*(?:,|$))")


def challenges(header: str) -> list[tuple[str, dict[str, str]]]:
    """The challenges in a ``WWW-Authenticate`` header: schemes in lower case and their parameters.

    What can't be read ends the list (RFC 9110 section 11.6.1).
    """
    found: list[tuple[str, dict[str, str]]] = []
    header = header[:MAX_HEADER]
    at = 0
    while True:
        if found and (param := _PARAM.match(header, at)) is not None:
            value = param[2]
            if value.startswith('"'):
                value = re.sub(r"\\(.)", r"\1", value[1:-1])
            found[-1][1].setdefault(param[1].lower(), value)
            at = param.end()
        elif (scheme := _SCHEME.match(header, at)) is not None:
            found.append((scheme[1].lower(), {}))
            at = scheme.end()
        else:
            return found


def step_up_challenge(status: int, header: str | None) -> LoginRequired | None:
    """What an API's answer asks of the login, or None where it asks for none (RFC 9470 section 3).

    ``header``: the answer's ``WWW-Authenticate``. Returns an error to raise.
    """
    if status != 401 or header is None:
        return None
    for scheme, params in challenges(header):
        if scheme in ("bearer", "dpop") and params.get("error") == ERROR:
            acr_values = params.get("acr_values")
            max_age = integer(params.get("max_age"))
            if max_age is not None and not 0 <= max_age <= MAX_AGE:
                max_age = None
            if not acr_values and max_age is None:
                max_age = 0  # it does not say what it wants: a login of now, at least
            return _insufficient(acr_values[:MAX_VALUES] if acr_values else None, max_age)
    return None


def build_challenge(scheme: str, error: LoginRequired, params: Mapping[str, Any]) -> str:
    """A ``WWW-Authenticate`` challenge that says what a login must be like; None is left out."""
    named = {"error": error.error if error.error == ERROR else None, **params}
    quoted = [f"{name}={_quoted(value)}" for name, value in named.items() if value is not None]
    return f"{scheme} {', '.join(quoted)}"


def _quoted(value: object) -> str:
    clean = "".join(c for c in str(value) if " " <= c <= "~")  # a header holds nothing else
    return '"' + re.sub(r'(["\\])', r"\\\1", clean) + '"'


def check_authentication(
    claims: Mapping[str, Any], acr_values: str | None, max_age: int | None, now: float
) -> None:
    """Judge whether a login is strong and recent enough.

    ``claims``: of the ID Token; ``acr_values``: one of them must be its ``acr``; ``max_age``:
    seconds since ``auth_time``, with 60 of leeway. Raises ``LoginRequired`` with
    ``session.insufficient_authentication``.
    """
    if acr_values is not None and claims.get("acr") not in acr_values.split():
        raise _insufficient(acr_values, max_age)
    if max_age is not None:
        auth_time = integer(claims.get("auth_time"))
        if auth_time is None or now > auth_time + max_age + LEEWAY:
            raise _insufficient(acr_values, max_age)


def _insufficient(acr_values: str | None, max_age: int | None) -> LoginRequired:
    return LoginRequired(
        ERROR,
        "This needs a stronger or more recent login. Log in again.",
        code="session.insufficient_authentication",
        acr_values=acr_values,
        max_age=max_age,
    )
