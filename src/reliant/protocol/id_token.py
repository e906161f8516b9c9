"""ID Token validation (OIDC Core sections 3.1.3.7 and 12.2), in the numbered steps of the text.

The claims are judged first and the signature last, so that a token for someone else never costs a
key fetch. Nothing is believed until both passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reliant.errors import ConfigurationError, IDTokenError
from reliant.protocol.authorization import scopes_of
from reliant.protocol.jose import (
    ASYMMETRIC_ALGORITHMS,
    SYMMETRIC_ALGORITHMS,
    Jws,
    Key,
    MalformedToken,
    decrypt,
    hash_of,
    is_encrypted,
    parse_jws,
    verify_jws,
)
from reliant.protocol.jwks import select_keys
from reliant.protocol.values import same

__all__ = [
    "MAX_LEEWAY",
    "Expected",
    "allowed_algorithms",
    "check_claims",
    "check_options",
    "check_refreshed",
    "decrypt_id_token",
    "has_valid_signature",
    "read_id_token",
]

MAX_LEEWAY = 60  # seconds

_ALGORITHMS = ASYMMETRIC_ALGORITHMS + SYMMETRIC_ALGORITHMS


@dataclass(frozen=True)
class Expected:
    """What an ID Token must say to be the answer to this login.

    ``nonce``: the one sent; None where no check is possible. ``sub``: known from before.
    ``code``: the one that came beside the token through the browser, whose hash it must then hold;
    ``state``: likewise, where the token holds one. ``leeway``: seconds of clock difference to
    allow, 60 at most.
    """

    issuer: str
    client_id: str
    algorithms: tuple[str, ...]
    nonce: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    max_age: int | None = None
    acr_values: str | None = None
    sub: str | None = None
    leeway: int = MAX_LEEWAY
    code: str | None = None
    state: str | None = None


def allowed_algorithms(
    registered: str | None, announced: tuple[str, ...] | None, own: tuple[str, ...] | None
) -> tuple[str, ...]:
    """The signature algorithms an ID Token may use: the registered one, else ours ∩ announced.

    ``registered``: ``id_token_signed_response_alg``; ``announced``: the provider's
    ``id_token_signing_alg_values_supported``, RS256 where it says nothing; ``own``: the same list
    where the app itself wrote it, which alone may bring HMAC into play.
    """
    if registered is not None:
        if registered not in _ALGORITHMS:
            raise ConfigurationError(
                description=f"id_token_signed_response_alg {registered!r} is not supported.",
                code="configuration.algorithm",
            )
        return (registered,)
    if own is not None:
        return tuple([alg for alg in _ALGORITHMS if alg in own])
    offered = ("RS256",) if announced is None else announced
    return tuple([alg for alg in ASYMMETRIC_ALGORITHMS if alg in offered])


def read_id_token(
    id_token: str, keys: tuple[Key, ...] = (), alg: str | None = None, enc: str | None = None
) -> Jws:
    """Read an ID Token without trusting it, decrypting it first where it is encrypted (step 1).

    ``keys``: the client's private keys; ``alg``, ``enc``: as registered, so that a token which is
    not encrypted is refused. Raises ``IDTokenError``: ``id_token.malformed``, ``.encrypted``,
    ``.not_encrypted``.
    """
    if alg is not None and not is_encrypted(id_token):
        raise _error("not_encrypted", "The ID Token is not encrypted, though the client is "
                     "registered for that.")  # fmt: skip
    try:
        return parse_jws(decrypt_id_token(id_token, keys, alg, enc))
    except MalformedToken as exc:
        raise _error("malformed", f"The ID Token can't be read: {exc}.") from exc


def decrypt_id_token(
    id_token: str, keys: tuple[Key, ...], alg: str | None = None, enc: str | None = None
) -> str:
    """The signed ID Token inside an encrypted one; one that is not encrypted as it stands.

    The arguments are those of ``read_id_token``. Raises ``IDTokenError``: ``id_token.malformed``,
    ``.encrypted``.
    """
    if not is_encrypted(id_token):
        return id_token
    if not keys:
        raise _error("encrypted", "The ID Token is encrypted, and register() was given no "
                     "client_keys to decrypt it with.")  # fmt: skip
    try:
        return decrypt(id_token, keys, alg, enc)
    except MalformedToken as exc:
        raise _error("malformed", f"The ID Token can't be read: {exc}.") from exc


def check_claims(token: Jws, expected: Expected, now: int) -> None:
    """Judge header and claims of an ID Token; the signature is judged apart.

    ``now``: Unix time in seconds. Raises ``IDTokenError`` with the code of the rule that failed:
    ``id_token.events``, ``.alg``, ``.iss_mismatch``, ``.sub_missing``, ``.sub_mismatch``,
    ``.sid``, ``.aud_missing``, ``.aud_mismatch``, ``.azp_missing``, ``.azp_mismatch``,
    ``.exp_missing``, ``.expired``, ``.iat_missing``, ``.iat_future``, ``.nbf``, ``.nonce_missing``,
    ``.nonce_mismatch``, ``.acr``, ``.auth_time_missing``, ``.auth_time``, ``.at_hash``,
    ``.s_hash``, ``.c_hash``, ``.c_hash_missing``.
    """
    claims, leeway = token.claims, min(expected.leeway, MAX_LEEWAY)

    # A logout token is signed by the same key for the same audience, and tells of no login.
    typ = str(token.header.get("typ")).lower().removeprefix("application/")
    if isinstance(claims.get("events"), dict) or typ == "logout+jwt":
        raise _error("events", "This is a logout token or another event, and no ID Token.")

    # 1. (Decryption comes before; a token that is not encrypted starts at 2.)
    # 2. The issuer is exactly the provider's.
    iss = claims.get("iss")
    if not isinstance(iss, str) or not same(iss, expected.issuer):
        raise _error("iss_mismatch", 'The "iss" of the ID Token is not this provider.')

    # Section 2: sub is there, a string of at most 255 characters; section 12.2: it never changes.
    sub = claims.get("sub")
    if not isinstance(sub, str) or not 0 < len(sub) <= 255:
        raise _error("sub_missing", 'The ID Token has no usable "sub".')
    if expected.sub is not None and not same(sub, expected.sub):
        raise _error("sub_mismatch", 'The "sub" of the ID Token is another person\'s.')

    # Front-Channel and Back-Channel Logout 1.0: a sid is a string; logouts find the session by it.
    sid = claims.get("sid")
    if sid is not None and not (isinstance(sid, str) and len(sid) <= 255):
        raise _error("sid", 'The ID Token has no usable "sid".')

    # 3. The audience contains this client; 4. and 5. several are trusted only with azp, which
    # is this client wherever it stands.
    aud = claims.get("aud")
    audiences = [aud] if isinstance(aud, str) else aud
    if not isinstance(audiences, list) or not audiences:
        raise _error("aud_missing", 'The ID Token has no "aud".')
    if not all(isinstance(item, str) for item in audiences) or expected.client_id not in audiences:
        raise _error("aud_mismatch", 'The "aud" of the ID Token does not name this client.')
    if len(audiences) > 1 and "azp" not in claims:
        raise _error("azp_missing", "The ID Token has several audiences and no azp.")
    if "azp" in claims and claims["azp"] != expected.client_id:
        raise _error("azp_mismatch", 'The "azp" of the ID Token is not this client.')

    # 6. to 8. The algorithm is one agreed on; the signature itself is judged with the key.
    if token.alg not in expected.algorithms:
        raise _error(
            "alg",
            f"The ID Token is signed with {token.alg[:20]!r}; allowed here: "
            f"{', '.join(expected.algorithms) or 'none that this library knows'}. If the provider "
            "was set to it on purpose, pass id_token_signed_response_alg to register().",
        )

    # 9. It has not expired. 10. It was not issued in the future, nor is it not valid yet.
    exp, iat = _seconds(claims, "exp"), _seconds(claims, "iat")
    if exp is None:
        raise _error("exp_missing", 'The ID Token has no usable "exp".')
    if now >= exp + leeway:
        raise _error("expired", "The ID Token has expired. If it is new, compare this machine's "
                     "clock with the provider's.")  # fmt: skip
    if iat is None:
        raise _error("iat_missing", 'The ID Token has no usable "iat".')
    if iat > now + leeway:
        raise _error("iat_future", "The ID Token was issued in the future. Compare this machine's "
                     "clock with the provider's.")  # fmt: skip
    nbf = _seconds(claims, "nbf")
    if "nbf" in claims and (nbf is None or nbf > now + leeway):
        raise _error("nbf", 'The ID Token is not valid yet ("nbf").')

    # 11. The nonce is the one that was sent.
    if expected.nonce is not None:
        nonce = claims.get("nonce")
        if nonce is None:
            raise _error("nonce_missing", "The ID Token has no nonce, though one was sent.")
        if not isinstance(nonce, str) or not same(nonce, expected.nonce):
            raise _error("nonce_mismatch", "The nonce of the ID Token is another login's. It may "
                         "be a replay; the login was stopped.")  # fmt: skip

    # 12. The acr is one of those asked for. 13. The sign-in is no older than asked for.
    if expected.acr_values and claims.get("acr") not in scopes_of(expected.acr_values):
        raise _error("acr", 'The "acr" of the ID Token is none of the acr_values asked for.')
    if expected.max_age is not None:
        auth_time = _seconds(claims, "auth_time")
        if auth_time is None:
            raise _error(
                "auth_time_missing", "max_age was sent, but the ID Token has no auth_time."
            )
        if not -leeway <= now - auth_time <= expected.max_age + leeway:
            raise _error("auth_time", "The sign-in at the provider is older than max_age, or it "
                         "lies in the future.")  # fmt: skip

    # Sections 3.1.3.8 and 3.3.2.11: a hash belongs to what came beside the token; that of a code
    # which came through the browser must be there (and s_hash of the state, FAPI 1.0 5.2.2.1).
    _check_hash(token, "at_hash", expected.access_token)
    _check_hash(token, "s_hash", expected.state)
    if expected.code is not None and claims.get("c_hash") is None:
        raise _error("c_hash_missing", "The ID Token came with a code and has no c_hash.")
    _check_hash(token, "c_hash", expected.code)


def _check_hash(token: Jws, name: str, value: str | None) -> None:
    if value is None or name not in token.claims:
        return
    found = token.claims[name]
    if not isinstance(found, str) or not same(found, hash_of(value, token.alg)):
        raise _error(name, f'The "{name}" of the ID Token belongs to something else.')


def check_refreshed(claims: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    """Judge the claims of an ID Token from a refresh against the first one's (section 12.2).

    Raises ``IDTokenError``: ``id_token.sub_mismatch``, ``.refreshed_iss``, ``.refreshed_aud``,
    ``.refreshed_auth_time``, ``.refreshed_azp``, ``.refreshed_nonce``.
    """
    if "sub" in old and claims.get("sub") != old["sub"]:
        raise _error("sub_mismatch", 'The "sub" of the refreshed ID Token is another person\'s.')
    whole = "aud" in old  # else an app kept some of the claims only, and no absence tells a thing
    for name in ("iss", "auth_time", "azp", "nonce"):
        optional = name in ("auth_time", "nonce") and name not in claims
        new = name in ("azp", "nonce") and name not in old and name in claims and whole
        if new or (name in old and not optional and claims.get(name) != old[name]):
            raise _error(f"refreshed_{name}", f'The "{name}" of the refreshed ID Token changed.')
    if "aud" in old and _audiences(claims) != _audiences(old):
        raise _error("refreshed_aud", 'The "aud" of the refreshed ID Token changed.')


def _audiences(claims: Mapping[str, Any]) -> set[Any]:
    aud = claims.get("aud")
    return {aud} if isinstance(aud, str) else set(aud or ())


def has_valid_signature(token: Jws, keys: tuple[Key, ...]) -> bool:
    """Tell whether one of the keys that fit made the signature (step 6)."""
    return any(verify_jws(token, key, token.alg) for key in select_keys(keys, token.alg, token.kid))


def check_options(claims: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]) -> None:
    """Apply the app's own checks, on top of all others: ``{"hd": {"value": "example.org"}}``.

    Each claim takes ``essential`` (it must be there), ``value``, ``values`` and ``validate``, a
    function of all claims and this one's value that returns whether it will do.
    Raises ``IDTokenError`` with ``id_token.claim_missing`` or ``id_token.claim_value``.
    """
    for name, option in options.items():
        if claims.get(name) is None:
            if option.get("essential") or {"value", "values", "validate"} & option.keys():
                raise _error("claim_missing", f'The ID Token has no "{name}".')
            continue
        value = claims[name]
        fails = (
            ("value" in option and value != option["value"])
            or ("values" in option and not _one_of(value, option["values"]))
            or ("validate" in option and not option["validate"](claims, value))
        )
        if fails:
            raise _error("claim_value", f'The "{name}" of the ID Token is not one that is wanted.')


def _one_of(value: Any, wanted: Any) -> bool:
    # A list, since a set can't be asked for an object, and a string would match any part of it.
    choices = [wanted] if isinstance(wanted, str) else list(wanted)
    return any(item in choices for item in value) if isinstance(value, list) else value in choices


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -(10**15) < value < 10**15 else None


def _error(rule: str, description: str) -> IDTokenError:
    return IDTokenError(description=description, code=f"id_token.{rule}")
