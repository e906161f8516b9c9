"""A row's ``op_behaviour``, read into a ``Setup``.

Each member of ``op_behaviour`` has one reader. A member without a reader is an error, so that no
part of a row goes unread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reliant.testing import REMOVE, append, extra, from_now
from tests.conformance.cases import Case
from tests.conformance.key_sets import (
    has_foreign_keys,
    private_jwks,
    private_keys_published,
    same_kid,
    without_kid,
)
from tests.conformance.relying_party import ROUTES, RP
from tests.conformance.setups import ISSUER, Setup

__all__ = ["read"]


def read(case: Case) -> Setup:
    """Read a case."""
    setup = Setup(case)
    for name, value in case.row["op_behaviour"].items():
        _READERS[name](setup, value)
    _APPLIES.get(case.row.get("applies", {}).get("request_type", ""), _nothing)(setup, None)
    if case.client_auth == "private_key_jwt":
        _keys(setup)
    return setup


# -- claims and parameters ---------------------------------------------------------------------


def _fault_value(operation: Any) -> Any:
    """``{"append": "1"}`` and its kin as the value of a fault."""
    match operation:
        case {"append": text}:
            return append(text)
        case {"remove": True}:
            return REMOVE
        case {"set": value}:
            return value
        case {"set_rel": seconds}:
            return from_now(seconds)
        case {"set_array": items}:
            return lambda right: [right if item == "$client_id" else item for item in items]
        case _:
            raise ValueError(f"no such operation: {operation}")


def _claims(document: str, setup: Setup, claims: dict[str, Any]) -> None:
    for name, operation in claims.items():
        setup.faults[f"{document}.{name}"] = _fault_value(operation)


def _signed(document: str, setup: Setup, token: dict[str, Any]) -> None:
    """How a token is signed; takes from ``token`` what it has read."""
    header = token.pop("header", {})
    confused = str(token.pop("key", "")).startswith("PEM")
    alg = header.get("alg")
    if alg == "none" or confused:
        setup.faults[f"{document}.alg"] = alg
    elif alg is not None and document == "logout_token":
        setup.faults["logout_token.alg"] = "ES256"  # we are registered for RS256
    elif alg is not None:
        setup.signing_alg = alg
    if header.get("kid") == "absent":
        setup.faults[f"{document}.header.kid"] = REMOVE
    signature = token.pop("signature", None)
    if isinstance(signature, dict):
        assert signature == {"xor": 0x5A}
        setup.faults[f"{document}.signature"] = "xor"


def _id_token(setup: Setup, value: dict[str, Any]) -> None:
    token = dict(value)
    if token.pop("jwe", None) is not None:
        assert token.pop("nested_jws")
        _keys(setup)
        setup.metadata |= {
            "id_token_encrypted_response_alg": "RSA-OAEP",
            "id_token_encrypted_response_enc": "A128CBC-HS256",
        }
    _signed("id_token", setup, token)
    _claims("id_token", setup, token)


def _logout_token(setup: Setup, value: dict[str, Any]) -> None:
    token = dict(value)
    _back_channel(setup)
    if "send_twice" in token or token.get("jwe"):
        setup.scenario = "replay" if "send_twice" in token else "back_channel"
        return
    if "claims" in token:  # the good one: what it holds beyond the usual
        assert token["typ"] == "absent"
        setup.faults["logout_token.ignored_claim"] = extra("ignored")
        return
    _signed("logout_token", setup, token)
    _claims("logout_token", setup, token)


def _back_channel(setup: Setup) -> None:
    setup.scenario = "back_channel"
    setup.behaviour["sid"] = True
    setup.metadata |= {
        "backchannel_logout_uri": f"{ROUTES}/backchannel-logout",
        "backchannel_logout_session_required": True,
    }


def _userinfo(setup: Setup, value: dict[str, Any]) -> None:
    if "jwe" in value:
        _keys(setup)
        setup.metadata |= {
            "userinfo_encrypted_response_alg": "ECDH-ES",
            "userinfo_encrypted_response_enc": "A256GCM",
        }
    elif "content_type" in value:
        setup.behaviour["userinfo_alg"] = value.get("alg", "RS256")
        setup.metadata["userinfo_signed_response_alg"] = value.get("alg", "RS256")
        _signed("userinfo", setup, {"signature": value.get("signature")})
    elif "src1" in value:
        setup.users["alice"] = {"sub": "alice"}
        setup.behaviour["aggregated_claims"] = {
            "address": {"country": "Utopia"},
            "phone_number": "+1 555 5550000",
        }
    elif "_claim_sources" in value:
        setup.users["alice"] = {"sub": "alice"}
    else:
        _claims("userinfo", setup, value)


def _claims_endpoint(setup: Setup, value: dict[str, Any]) -> None:
    setup.behaviour["distributed_claims"] = value["claims"]


def _authorization_response(setup: Setup, value: dict[str, Any]) -> None:
    if value.get("delivery", "").startswith("cross-site"):
        assert setup.case.response_mode == "form_post"
    elif "error" in value:
        setup.faults["callback.error"] = value["error"]
        setup.faults["callback.error_description"] = value["error_description"]
        setup.params |= {"max_age": 0, "prompt": "none"}
    elif "session_state" in value:
        setup.scenario = "session_management"
        setup.behaviour["session_management"] = True
    else:
        _claims("callback", setup, value)


def _authorization_request(setup: Setup, value: dict[str, Any]) -> None:
    setup.params |= value


def _refresh_response(setup: Setup, value: dict[str, Any]) -> None:
    setup.scenario = "refresh"
    setup.behaviour |= {"refresh_tokens": True}
    id_token = value.get("id_token", {})
    if id_token == "absent":
        setup.behaviour |= {"refresh_id_token": False, "rotate_refresh_tokens": False}
        setup.refresh_faults["token.refresh_token"] = REMOVE
        return
    for name, operation in id_token.items():
        if isinstance(operation, dict):
            setup.refresh_faults[f"id_token.{name}"] = _fault_value(operation)


# -- metadata and keys --------------------------------------------------------------------------


def _discovery(setup: Setup, value: Any) -> None:
    if not isinstance(value, dict):
        return
    if "issuer" in value:
        setup.faults["discovery.issuer"] = _fault_value(value["issuer"])
    if "id_token_signing_alg_values_supported" in value:
        algs = tuple(value["id_token_signing_alg_values_supported"])
        setup.behaviour["id_token_algs"] = algs
    if "jwks_uri" in value:
        setup.behaviour["jwks_suffix"] = "/Zk3vPq8sT1"
    if "mtls_endpoint_aliases" in value:
        setup.behaviour["mtls_aliases"] = True


def _jwks(setup: Setup, value: dict[str, Any]) -> None:
    if "replace_all_keys_new_kids" in value:
        if setup.scenario != "two_logins":
            setup.warm_keys = True
            setup.adjust.append(lambda provider: provider.fault("id_token.rotate", times=1))
    elif "sig_without_kid" in value:
        count = value["sig_without_kid"]["RSA"]
        setup.adjust.append(lambda provider: without_kid(provider, count))
    elif "same_kid" in value:
        setup.signing_alg = "ES256"
        setup.faults["id_token.header.kid"] = "the same"
        setup.adjust.append(same_kid)
    elif value["contains"] == ["oct key", "RSA private members"]:
        setup.adjust.append(private_keys_published)
    else:
        setup.adjust.append(has_foreign_keys)


def _keys(setup: Setup) -> None:
    setup.settings["client_keys"] = private_jwks()
    if not setup.case.dynamic:
        setup.metadata["jwks_uri"] = f"{ROUTES}/jwks.json"


def _registration_response(setup: Setup, value: dict[str, Any]) -> None:
    if "client_id" in value:  # odd characters, which every registered client here has
        return
    alg = value.get("id_token_signed_response_alg")
    if setup.case.row["id"] == "oidc.reg.response_overrides_request":
        setup.metadata["id_token_signed_response_alg"] = "PS256"  # asked for; RS256 is the answer
        setup.behaviour["userinfo_alg"] = "RS256"
    elif alg not in (None, "none"):
        setup.signing_alg = alg


# -- what begins a run ---------------------------------------------------------------------------


def _webfinger(setup: Setup, value: dict[str, Any]) -> None:
    setup.scenario = "webfinger"
    setup.issuer = f"{ISSUER}Zk3vPq8sT1"
    if "links" in value:
        link = {**value["links"][0], "href": setup.issuer}
        setup.faults["webfinger.links"] = [link]


def _third_party(setup: Setup, value: str) -> None:
    setup.scenario = "third_party"
    setup.metadata["initiate_login_uri"] = f"{ROUTES}/initiate-login"


def _logins(setup: Setup, value: int) -> None:
    assert value == 2
    setup.scenario = "two_logins"


def _end_session(setup: Setup, value: Any) -> None:
    _back_channel(setup)
    _front_channel("logout")(setup, value)


def _post_logout_redirect(setup: Setup, value: dict[str, Any]) -> None:
    _end_session(setup, value)
    _claims("logged_out", setup, value)


def _front_channel(scenario: str) -> Callable[[Setup, Any], None]:
    def reader(setup: Setup, value: Any) -> None:
        setup.scenario = scenario
        setup.behaviour["sid"] = True
        setup.metadata |= {
            "frontchannel_logout_uri": f"{ROUTES}/frontchannel-logout",
            "frontchannel_logout_session_required": True,
        }

    return reader


def _check_request(setup: Setup, value: dict[str, Any]) -> None:
    """The provider checks every request of every run; here: what makes it worth checking."""
    if "claims" in value:
        claims = '{"userinfo": {"email": null}, "id_token": {"acr": {"essential": false}}}'
        setup.params["claims"] = claims
    if "form_body" in value:
        setup.settings["client_kwargs"] = {"token_placement": "body"}
    if value.get("nonce") == {"required": True}:
        setup.behaviour["nonce_required"] = True
    if "grant_types" in value:
        _register_everything(setup)
    if "request_object_alg" in value:
        setup.metadata["request_object_signing_alg"] = value["request_object_alg"]


def _register_everything(setup: Setup) -> None:
    """Every kind of client metadata there is something to check about."""
    _keys(setup)
    setup.metadata |= {
        "client_name": "Reliant",
        "application_type": "web",
        "contacts": ["ops@rp.example"],
        "subject_type": "public",
        "default_max_age": 3600,
        "require_auth_time": True,
        "logo_uri": f"{RP}/logo.svg",
        "sector_identifier_uri": f"{RP}/redirect-uris.json",
        "initiate_login_uri": f"{ROUTES}/initiate-login",
        "backchannel_logout_uri": f"{ROUTES}/backchannel-logout",
    }


def _by_value(setup: Setup, value: Any) -> None:
    _keys(setup)
    setup.metadata["request_object_signing_alg"] = "RS256"
    setup.behaviour["request_objects"] = ("value",)
    setup.settings["request_object"] = "value"


def _by_uri(setup: Setup, value: Any) -> None:
    _keys(setup)
    setup.behaviour["request_objects"] = ("uri",)
    setup.settings |= {"request_object": "uri", "request_uri_base": f"{ROUTES}/request-objects"}


def _nothing(setup: Setup, value: Any) -> None:
    """What the provider does anyway, or what an expectation looks after."""


_APPLIES = {"request_object": _by_value, "request_uri": _by_uri}
_READERS: dict[str, Callable[[Setup, Any], None]] = {
    "authorization_request": _authorization_request,
    "authorization_response": _authorization_response,
    "before": _nothing,
    "browser_to": _third_party,
    "check_request": _check_request,
    "check_session_iframe": _nothing,
    "claims_endpoint": _claims_endpoint,
    "delivered_via": _nothing,
    "discovery": _discovery,
    "discovery_at": _nothing,
    "end_session": _end_session,
    "end_session_page": _front_channel("front_channel"),
    "fetches": _nothing,
    "id_token": _id_token,
    "id_token_only_flow": _nothing,
    "jwks": _jwks,
    "logins": _logins,
    "logout_token": _logout_token,
    "order_enforced": _nothing,
    "post_body_extra": lambda setup, value: setup.faults.update(
        {f"back_channel.{value}": extra("ignored")}
    ),
    "post_logout_redirect": _post_logout_redirect,
    "refresh_response": _refresh_response,
    "registration": _nothing,
    "registration_response": _registration_response,
    "token_endpoint_auth": _nothing,
    "two_seconds_after_login": _front_channel("front_channel_from_provider"),
    "userinfo": _userinfo,
    "webfinger": _webfinger,
    "when": _nothing,
}
