"""What an honest provider puts up with and a strict one would not: the shape of requests.

Each check adds a sentence to ``FakeProvider.violations`` and changes nothing else. A sentence
begins with the name of its rule: ``authorize.nonce: ...``.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from reliant.protocol.values import is_loopback
from reliant.testing.messages import ReceivedRequest
from reliant.testing.model import Client, Model

__all__ = [
    "check_authorization",
    "check_client_metadata",
    "check_logout",
    "check_token_request",
    "check_userinfo",
]

_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")
_LONGEST_NONCE = 43
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_VERIFIER_BITS = 180


def check_authorization(
    model: Model, client: Client, plain: Mapping[str, str], params: Mapping[str, str]
) -> None:
    """Judge an authorization request; ``plain``: as sent, ``params``: with its request object."""
    model.violations += _authorization(model, client, plain, params)


def _authorization(
    model: Model, client: Client, plain: Mapping[str, str], params: Mapping[str, str]
) -> Iterator[str]:
    types = set(params.get("response_type", "").split())
    if "openid" not in plain.get("scope", "").split():
        yield "authorize.scope: openid must stand in the query, with a request object as well"
    redirect_uri = params.get("redirect_uri", "")
    if redirect_uri.startswith("http:") and types != {"code"}:
        yield "authorize.redirect_uri: http is for response_type=code only"
    registered = client.metadata.get("response_types", model.behaviour.response_types)
    if types not in [set(one.split()) for one in registered]:
        yield "authorize.response_type: it is not one of those registered"
    if params.get("max_age") == "0" and params.get("prompt") == "none":
        yield "authorize.max_age: 0 and prompt=none can't both be"
    yield from _nonce(model, types, params)
    if "code_challenge" in params and params.get("code_challenge_method") != "S256":
        yield "authorize.code_challenge_method: it must be S256"
    yield from _claims(params)
    asked_for = client.metadata.get("request_object_signing_alg")
    if asked_for is None and {"request", "request_uri"} & plain.keys():
        yield "authorize.request: a request object, though the client registered for none"
    if asked_for is not None and not {"request", "request_uri"} & plain.keys():
        yield "authorize.request: no request object, though the client registered for one"


def _nonce(model: Model, types: set[str], params: Mapping[str, str]) -> Iterator[str]:
    nonce = params.get("nonce")
    if nonce is None:
        if "id_token" in types or model.behaviour.nonce_required:
            yield "authorize.nonce: it is missing"
    elif not _UNRESERVED.fullmatch(nonce) or len(nonce) > _LONGEST_NONCE:
        yield "authorize.nonce: more than 43 characters, or some a URL would have to escape"


def _claims(params: Mapping[str, str]) -> Iterator[str]:
    if "claims" not in params:
        return
    try:
        claims = json.loads(params["claims"])
    except ValueError:
        claims = None
    if not isinstance(claims, dict) or not claims.keys() <= {"userinfo", "id_token"}:
        yield "authorize.claims: not a JSON object with userinfo or id_token"
        return
    for name, members in claims.items():
        if not isinstance(members, dict) or not all(
            value is None or isinstance(value, dict) for value in members.values()
        ):
            yield f"authorize.claims: {name} is not an object of null and objects"


def check_token_request(model: Model, request: ReceivedRequest) -> None:
    """Judge a token request beyond what must hold for it to be answered."""
    model.violations += _token_request(model, request)


def _token_request(model: Model, request: ReceivedRequest) -> Iterator[str]:
    verifier = request.params.get("code_verifier")
    if verifier is None:
        return
    if not _VERIFIER.fullmatch(verifier) or _entropy(verifier) < _VERIFIER_BITS:
        yield "token.code_verifier: too short, too long, or too easy to guess"
    if f"verifier {verifier}" in model.seen:
        yield "token.code_verifier: it was used before"
    model.seen.add(f"verifier {verifier}")


def _entropy(text: str) -> float:
    """The bits of a text, as far as how often each character stands in it tells."""
    counts, length = Counter(text).values(), len(text)
    return -sum(count * math.log2(count / length) for count in counts)


def check_userinfo(model: Model, request: ReceivedRequest) -> None:
    """Judge how an access token travels (RFC 6750 section 2)."""
    ways = ("authorization" in request.headers) + ("access_token" in request.params)
    if ways > 1:
        model.violations.append("userinfo.access_token: it was sent in two ways at once")
    if "access_token=" in urlsplit(request.url).query:
        model.violations.append("userinfo.access_token: it stands in the URL")


def check_logout(model: Model, params: Mapping[str, str], hint: Mapping[str, object]) -> None:
    """Judge an end-session request; ``hint``: the claims of its ID Token, if that is ours."""
    if not hint:
        model.violations.append("end_session.id_token_hint: it is no ID Token of this provider")
    if "post_logout_redirect_uri" in params and "state" not in params:
        model.violations.append("end_session.state: it is missing")


def check_client_metadata(model: Model, metadata: Mapping[str, Any]) -> None:
    """Judge what a client wants to be registered as (OIDC Registration section 2)."""
    model.violations += _client_metadata(model, metadata)


def _client_metadata(model: Model, metadata: Mapping[str, Any]) -> Iterator[str]:
    types = {word for one in metadata.get("response_types", ["code"]) for word in one.split()}
    needed = {"authorization_code"} if "code" in types else set()
    needed |= {"implicit"} if types & {"token", "id_token"} else set()
    if not needed <= set(metadata.get("grant_types", ["authorization_code"])):
        yield "register.grant_types: they do not match the response_types"
    for uri in metadata["redirect_uris"]:
        host = urlsplit(uri).hostname or ""
        if "#" in uri or not host:
            yield f"register.redirect_uris: {uri} is not absolute, or has a fragment"
        elif types != {"code"} and (uri.startswith("http:") or is_loopback(host)):
            yield "register.redirect_uris: http and loopback are for response_type=code only"
    method = metadata.get("token_endpoint_auth_method", model.behaviour.auth_methods[0])
    if method not in model.behaviour.auth_methods:
        yield "register.token_endpoint_auth_method: it is not announced"
    if "jwks" in metadata and "jwks_uri" in metadata:
        yield "register.jwks: beside jwks_uri"
    if any("d" in key for key in metadata.get("jwks", {}).get("keys", ())):
        yield "register.jwks: it holds private keys"
    for name in metadata:
        if name.endswith("_enc") and f"{name[:-4]}_alg" not in metadata:
            yield f"register.{name}: without its _alg"
    for name in ("initiate_login_uri", "logo_uri", "sector_identifier_uri"):
        if not metadata.get(name, "https:").startswith("https:"):
            yield f"register.{name}: it is not https"
    if not isinstance(metadata.get("default_max_age", 0), int):
        yield "register.default_max_age: it is not a number"
    if not isinstance(metadata.get("require_auth_time", False), bool):
        yield "register.require_auth_time: it is not a boolean"
    if metadata.get("subject_type", "public") != "public":
        yield "register.subject_type: it is not announced"
