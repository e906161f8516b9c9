"""Faults by name: what the provider gets wrong when a test asks it to.

``FAULTS`` lists every name with a sentence. A name is one of

* ``<endpoint>.<effect>``: how an endpoint answers (``token.status``, ``jwks.delay``);
* ``<document>.<member>``: one member of what it says (``id_token.aud``, ``callback.state``);
* ``id_token.alg``, ``id_token.key``, ``id_token.signature``: how the ID Token is signed; so for
  ``logout_token`` and a signed ``userinfo``.

A fault's value takes the place of the right one. ``REMOVE`` takes the member away, and a function
makes the wrong value from the right one: ``append("x")``, ``from_now(-360)``, ``repeat()`` or a
function of your own. ``extra(value)`` sets a member that no specification names.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Final

from reliant.protocol.metadata import METADATA_MEMBERS

__all__ = [
    "ENDPOINTS",
    "FAULTS",
    "REMOVE",
    "ActiveFault",
    "Faults",
    "append",
    "extra",
    "from_now",
    "repeat",
]


class _Absent(Enum):
    REMOVE = "REMOVE"


REMOVE: Final = _Absent.REMOVE
"""As a fault's value: the member is left out."""


@dataclass(frozen=True)
class _Extra:
    value: Any


def append(text: str) -> Callable[[Any], str]:
    """Make a wrong value by adding ``text`` to the end of the right one."""
    return lambda right: f"{right}{text}"


def from_now(seconds: float) -> Callable[[Any], int]:
    """Make a time that lies ``seconds`` from now (before, if negative)."""
    return lambda right: int(time.time() + seconds)


def repeat(second: str | None = None) -> Callable[[Any], list[Any]]:
    """Send a URL or form parameter twice; ``second`` differs from the first if it is given."""
    return lambda right: [right, right if second is None else second]


def extra(value: Any) -> _Extra:
    """Allow a member name that no specification knows, so that ``fault`` takes it for no typo."""
    return _Extra(value)


ENDPOINTS: Final = (
    "discovery",
    "jwks",
    "authorize",
    "token",
    "userinfo",
    "revoke",
    "end_session",
    "register",
    "webfinger",
    "claims",
)

_EFFECTS: Final = {
    "status": "answers with this status; from 400 up it does nothing else and sends a JSON error",
    "body": "answers with these bytes or this text and does nothing else",
    "redirect": "answers 302 with this Location and does nothing else",
    "reset": "drops the connection (value: True); in-process the client sees a ReadError",
    "content_type": "answers with this Content-Type; REMOVE sends none",
    "headers": "adds these headers (a mapping) to the answer",
    "size": "pads the answer with this many spaces, which keeps JSON valid",
    "delay": "waits this many seconds before it answers",
}

_CLAIMS: Final = (
    "sub name given_name family_name middle_name nickname preferred_username profile picture"
    " website email email_verified gender birthdate zoneinfo locale phone_number"
    " phone_number_verified address updated_at _claim_names _claim_sources iss aud"
)
_ID_TOKEN_CLAIMS: Final = (
    " exp iat nbf jti nonce auth_time acr amr azp at_hash c_hash s_hash sid events"
)
_HEADER: Final = (
    "header member of the {}; only well-formed kid, typ, jku, jwk, x5u and x5c are covered by the"
    " signature",
    "alg kid typ cty crit jku jwk x5u x5c x5t",
)


def _header_of(token: str) -> tuple[str, str]:
    return _HEADER[0].format(token), _HEADER[1]


# document → (what a fault there does, the members that may be named)
_DOCUMENTS: Final[Mapping[str, tuple[str, str]]] = {
    "discovery": ("member of the provider metadata", " ".join(sorted(METADATA_MEMBERS))),
    "jwks": ("member of the JWK Set", "keys"),
    "callback": (
        "parameter of the authorization response; an error takes the place of the code",
        "code state iss error error_description error_uri response session_state scope"
        " id_token access_token token_type expires_in",
    ),
    "token": (
        "member of the token response",
        "access_token token_type expires_in refresh_token scope id_token"
        " error error_description error_uri",
    ),
    "id_token": ("claim of the ID Token", _CLAIMS + _ID_TOKEN_CLAIMS),
    "id_token.header": _header_of("ID Token"),
    "userinfo": ("member of the UserInfo response", _CLAIMS),
    "revoke": ("member of the error a faulty status brings", "error error_description error_uri"),
    "logged_out": ("parameter of the way back after logout", "state"),
    "logout_token": ("claim of the logout token", "iss sub aud iat exp nbf jti sid events nonce"),
    "logout_token.header": _header_of("logout token"),
    "back_channel": ("field of the form that brings a logout token", "logout_token"),
    "userinfo.header": _header_of("signed UserInfo answer"),
    "registration": (
        "member of the answer to a registration",
        "client_id client_secret client_secret_expires_at registration_access_token"
        " registration_client_uri redirect_uris token_endpoint_auth_method"
        " id_token_signed_response_alg userinfo_signed_response_alg",
    ),
    "webfinger": ("member of the WebFinger answer", "subject links"),
    "claims": ("claim of the distributed claims", "iss aud sub"),
}

_HOW_SIGNED: Final = {
    "alg": (
        'signs with this algorithm and a published key of its kind; "none" does not sign; "HS…"'
        " keys the HMAC with the published public key, in PEM (algorithm confusion)"
    ),
    "key": '"unpublished": a key and kid no one has seen; "impostor": under a known kid',
    "signature": '"flip": every bit of one byte turned; "xor": 0x5A over all; "empty": none at all',
    "rotate": "new keys take the place of all the published ones right before it signs (True)",
}
_SIGNED: Final = ("id_token", "logout_token", "userinfo")
_SIGNING: Final = {
    f"{token}.{name}": what for token in _SIGNED for name, what in _HOW_SIGNED.items()
}
_CHOICES: Final = {
    f"{token}.{name}": choices
    for token in _SIGNED
    for name, choices in (
        ("key", ("unpublished", "impostor")),
        ("signature", ("flip", "xor", "empty")),
    )
}

FAULTS: Final[Mapping[str, str]] = {
    **{
        f"{doc}.{name}": what for doc, (what, names) in _DOCUMENTS.items() for name in names.split()
    },
    **_SIGNING,
    **{f"{end}.{name}": what for end in ENDPOINTS for name, what in _EFFECTS.items()},
}
"""Every fault by name, each with what it does."""


@dataclass
class ActiveFault:
    """A fault at work. As a context manager it heals itself at the end of the block."""

    name: str
    value: Any
    times: int | None
    _faults: Faults

    def __enter__(self) -> ActiveFault:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._faults.heal(self.name)


class Faults:
    """The faults that are at work now."""

    def __init__(self) -> None:
        self._active: dict[str, ActiveFault] = {}

    def add(self, name: str, value: Any, times: int | None = None) -> ActiveFault:
        """Put a fault to work; see ``FakeProvider.fault``."""
        known = name in FAULTS or (isinstance(value, _Extra) and _document(name) in _DOCUMENTS)
        if not known:
            raise ValueError(f"there is no fault {name!r}{_nearest(name)}")
        if value not in _CHOICES.get(name, (value,)):
            raise ValueError(f"{name} can be {' or '.join(map(repr, _CHOICES[name]))}")
        fault = ActiveFault(name, value.value if isinstance(value, _Extra) else value, times, self)
        self._active[name] = fault
        return fault

    def heal(self, *names: str) -> None:
        """End the named faults, or all of them."""
        for name in names or tuple(self._active):
            self._active.pop(name, None)

    def peek(self, name: str) -> Any:
        """Return the value of a fault if it is at work, without counting a use."""
        fault = self._active.get(name)
        return None if fault is None else fault.value

    def take(self, name: str) -> Any:
        """Return the value of a fault if it is at work, else None, and count that use."""
        fault = self._active.get(name)
        if fault is None:
            return None
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self.heal(name)
        return fault.value

    def alter(self, document: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``members`` as the faults of ``document`` want them."""
        altered = dict(members)
        for name in tuple(self._active):
            member = name.removeprefix(f"{document}.")
            if _document(name) != document or member in _EFFECTS or name in _SIGNING:
                continue
            wrong = self.take(name)
            if callable(wrong):
                wrong = wrong(altered.get(member))
            altered[member] = wrong
        return {member: value for member, value in altered.items() if value is not REMOVE}


def _document(name: str) -> str:
    """The document (or endpoint) a name begins with: of two that fit, the longer one."""
    fitting = [document for document in _DOCUMENTS if name.startswith(f"{document}.")]
    return max(fitting, key=len, default="")


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, FAULTS, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "; reliant.testing.FAULTS lists them"
