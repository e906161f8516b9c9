"""What ``register`` takes, judged once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType, SimpleNamespace
from typing import Any

from reliant.errors import ConfigurationError
from reliant.http.transport import CLIENT_OPTIONS
from reliant.protocol.client_auth import ClientAuth
from reliant.protocol.jose import Key, import_private_keys
from reliant.protocol.messages import HttpRequest
from reliant.protocol.metadata import (
    ARRAY_MEMBERS,
    JSON_MEMBERS,
    METADATA_MEMBERS,
    metadata_urls,
)
from reliant.protocol.registration import Registration
from reliant.protocol.values import Secret

__all__ = ["JSON_SETTINGS", "REGISTERED", "SETTINGS", "ClientSettings", "CustomAuth"]

_URLS = ("access_token_url", "api_base_url", "authorize_url", "refresh_token_url",
         "server_metadata_url")  # fmt: skip
_MAPPINGS = ("access_token_params", "authorize_params", "client_kwargs", "refresh_token_params")
_HOOKS = ("compliance_fix", "fetch_token", "on_logout", "update_token")
_OTHERS = ("client_auth_methods", "client_id", "client_keys", "client_secret",
           "request_object", "request_uri_base", "response_mode", "response_type",
           "token_endpoint_auth_audience", "user_agent")  # fmt: skip
# Client metadata (OIDC Registration section 2) that decide how messages look.
REGISTERED = (
    "id_token_encrypted_response_alg", "id_token_encrypted_response_enc",
    "id_token_signed_response_alg", "request_object_encryption_alg",
    "request_object_encryption_enc", "request_object_signing_alg", "token_endpoint_auth_method",
    "token_endpoint_auth_signing_alg", "userinfo_encrypted_response_alg",
    "userinfo_encrypted_response_enc", "userinfo_signed_response_alg",
)  # fmt: skip
SETTINGS = frozenset((*_URLS, *_MAPPINGS, *_HOOKS, *_OTHERS, *REGISTERED, *METADATA_MEMBERS))
JSON_SETTINGS = frozenset((*_MAPPINGS, *JSON_MEMBERS))  # those that are not text

# What client_kwargs may hold besides the HTTP client's options; the second row are parameters of
# every authorization request.
_OWN_KWARGS = ("code_challenge_method", "scope", "token_endpoint_auth_method", "token_placement")
_REQUEST_KWARGS = ("login_hint", "prompt", "response_mode")
_KWARGS = frozenset((*_OWN_KWARGS, *_REQUEST_KWARGS)) | CLIENT_OPTIONS

# What is there, but in another place.
_ELSEWHERE = {
    "redirect_uri": "it is passed to authorize_redirect",
    **dict.fromkeys(_KWARGS - SETTINGS, "it is a member of client_kwargs"),
}
_SETTINGS_ALONE = dict.fromkeys(SETTINGS - _KWARGS, "it is a setting of its own, outside of them")

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class ClientSettings:
    """The settings of one registered client.

    ``metadata``: the members of the provider's metadata that the app set itself; ``registered``:
    the client metadata that it is registered with, as far as they matter here; ``keys``: its
    private keys; ``request_object``: "value" or "uri" where requests travel as JWTs.
    """

    name: str
    client_id: str | None = None
    client_secret: Secret | None = None
    scope: Any = None
    server_metadata_url: str | None = None
    api_base_url: str | None = None
    refresh_token_url: str | None = None
    access_token_params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    refresh_token_params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    authorize_params: Mapping[str, Any] = field(default_factory=dict)
    token_placement: str = "header"
    token_endpoint_auth_audience: str | None = None
    request_object: str | None = None
    request_uri_base: str | None = None
    registered: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[Key, ...] = field(default=(), repr=False)
    user_agent: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)  # jwks may hold secrets
    http_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    client_auth_methods: Mapping[str, ClientAuth] = field(default_factory=dict, repr=False)
    fetch_token: Callable[..., Any] | None = None
    update_token: Callable[..., Any] | None = None
    compliance_fix: Callable[..., Any] | None = None
    on_logout: Callable[..., Any] | None = None

    @property
    def id(self) -> str:
        """The client identifier; raises ``ConfigurationError`` where none was given."""
        if not self.client_id:
            raise _error("client_id", 'Missing "client_id" value: pass client_id= to register().')
        return self.client_id

    @property
    def uses_mtls(self) -> bool:
        """Whether a client certificate proves who the client is (RFC 8705)."""
        method = self.registered.get("token_endpoint_auth_method", "")
        return method.endswith("tls_client_auth")

    @property
    def metadata_urls(self) -> tuple[str, ...]:
        """Where the provider's metadata may be: as set, or told by an issuer that stands alone."""
        if self.server_metadata_url is not None:
            return (self.server_metadata_url,)
        return metadata_urls(self.metadata["issuer"]) if self.metadata.keys() == {"issuer"} else ()

    def registered_as(self, registration: Registration) -> ClientSettings:
        """These settings with what the provider answered to a registration, which counts more."""
        answered = registration.metadata
        registered = {key: answered[key] for key in REGISTERED if answered.get(key) is not None}
        return replace(
            self,
            client_id=registration.client_id,
            client_secret=registration.client_secret,
            registered={**self.registered, **registered},
        )

    @classmethod
    def read(cls, name: str, given: Mapping[str, Any]) -> ClientSettings:
        """Judge the settings given to ``register``; raises ``ConfigurationError``."""
        given = {key: value for key, value in given.items() if value is not None}
        _refuse_unknown(given, SETTINGS, "setting", _ELSEWHERE)
        for key in _MAPPINGS:
            if not isinstance(given.get(key, _NOTHING), Mapping):
                raise _error("type", f"The setting {key!r} must be a mapping.")
        for key in ARRAY_MEMBERS:
            if not isinstance(given.get(key, ()), list | tuple):
                raise _error("type", f"The setting {key!r} must be a list.")
        for key in _HOOKS:
            if key in given and not callable(given[key]):
                raise _error("type", f"The setting {key!r} must be a function.")
        for key in ("code_verifier", "nonce", "state"):
            if key in given.get("authorize_params", _NOTHING):
                raise _error("authorize_params", f"authorize_params can't hold {key!r}: it would "
                             "be the same for every login. Pass it to authorize_redirect, "
                             "if it must be yours.")  # fmt: skip
        kwargs = given.get("client_kwargs", _NOTHING)
        _refuse_unknown(kwargs, _KWARGS, "member of client_kwargs", _SETTINGS_ALONE)
        _check_choices(kwargs)
        jwks = given.get("jwks")
        if jwks is not None and not isinstance(jwks, Mapping):
            raise _error("type", 'The setting "jwks" must be a mapping with "keys".')
        if given.get("request_object") not in (None, "value", "uri"):
            raise _error("request_object", 'request_object is "value" or "uri".')
        secret = given.get("client_secret")
        request_defaults = {key: kwargs[key] for key in _REQUEST_KWARGS if key in kwargs}
        for key in ("response_type", "response_mode"):
            if key in given:
                request_defaults[key] = given[key]
        registered = {key: given[key] for key in REGISTERED if key in given}
        if "token_endpoint_auth_method" in kwargs:
            registered.setdefault(
                "token_endpoint_auth_method", kwargs["token_endpoint_auth_method"]
            )
        return cls(
            name=name,
            client_id=_optional_text(given.get("client_id")),
            client_secret=secret if isinstance(secret, Secret | None) else Secret(str(secret)),
            scope=kwargs.get("scope"),
            server_metadata_url=_optional_text(given.get("server_metadata_url")),
            api_base_url=_optional_text(given.get("api_base_url")),
            refresh_token_url=_optional_text(given.get("refresh_token_url")),
            access_token_params=given.get("access_token_params", _NOTHING),
            refresh_token_params=given.get("refresh_token_params", _NOTHING),
            authorize_params={**request_defaults, **given.get("authorize_params", _NOTHING)},
            token_placement=kwargs.get("token_placement", "header"),
            token_endpoint_auth_audience=given.get("token_endpoint_auth_audience"),
            request_object=given.get("request_object"),
            request_uri_base=_optional_text(given.get("request_uri_base")),
            registered=registered,
            keys=_client_keys(given.get("client_keys")),
            user_agent=given.get("user_agent"),
            metadata=_metadata(given),
            http_options={key: kwargs[key] for key in kwargs if key in CLIENT_OPTIONS},
            client_auth_methods=_auth_methods(given),
            **{key: given.get(key) for key in _HOOKS},
        )


class CustomAuth:
    """A client authentication method the app wrote as a pair of name and function.

    The function takes ``(client, method, url, headers, body)`` and returns ``(url, headers,
    body)``; ``client`` has ``client_id`` and ``client_secret``.
    """

    def __init__(self, name: str, function: Callable[..., Any], client: object) -> None:
        self.name = name
        self._function = function
        self._client = client

    def authenticate(self, request: HttpRequest) -> HttpRequest:
        headers = dict(request.headers)
        url, headers, body = self._function(
            self._client, request.method, request.url, headers, request.body.decode()
        )
        return HttpRequest(
            request.method, url, headers, body if isinstance(body, bytes) else str(body).encode()
        )


def _auth_methods(given: Mapping[str, Any]) -> Mapping[str, ClientAuth]:
    client = SimpleNamespace(
        client_id=given.get("client_id"), client_secret=given.get("client_secret")
    )
    found: dict[str, ClientAuth] = {}
    for item in given.get("client_auth_methods", ()):
        method = item
        if isinstance(item, tuple) and len(item) == 2 and callable(item[1]):
            method = CustomAuth(item[0], item[1], client)
        if not isinstance(getattr(method, "name", None), str) or not callable(
            getattr(method, "authenticate", None)
        ):
            raise _error(
                "type",
                "Each of client_auth_methods is an object with a name and authenticate(request), "
                "or a pair of name and function.",
            )
        found[method.name] = method
    return found


def _client_keys(value: Any) -> tuple[Key, ...]:
    if value is None:
        return ()
    try:
        if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
            value = json.loads(value)  # as the environment has it
        return import_private_keys(value)
    except (ValueError, TypeError) as exc:
        raise _error("client_keys", "client_keys must be private keys: PEM text, a JWK, a JWK Set "
                     "or a list of these.") from exc  # fmt: skip


def _metadata(given: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: given[key] for key in METADATA_MEMBERS & given.keys()}
    if "authorize_url" in given:
        metadata["authorization_endpoint"] = given["authorize_url"]
    if "access_token_url" in given:
        metadata["token_endpoint"] = given["access_token_url"]
    return {
        key: str(value) if key.endswith(("_endpoint", "_uri")) or key == "issuer" else value
        for key, value in metadata.items()
    }


def _check_choices(kwargs: Mapping[str, Any]) -> None:
    if kwargs.get("code_challenge_method", "S256") not in ("S256", None):
        raise _error("code_challenge_method", "PKCE is always on, with S256: the method plain "
                     "protects nothing (RFC 9700 section 2.1.1).")  # fmt: skip
    if kwargs.get("token_placement", "header") not in ("header", "body"):
        raise _error("token_placement", 'token_placement is "header" or "body": a token in a URL '
                     "ends up in logs and histories (RFC 9700 section 4.3.2).")  # fmt: skip


def _refuse_unknown(
    given: Iterable[str], known: frozenset[str], what: str, elsewhere: Mapping[str, str]
) -> None:
    for key in given:
        if key not in known:
            from difflib import get_close_matches  # of no use where all is well

            near = get_close_matches(key, known, 1, 0.6)
            hint = f"; did you mean `{near[0]}`?" if near else "."
            if key in elsewhere:
                hint = f"; {elsewhere[key]}."
            raise _error("unknown_setting", f"There is no {what} `{key}`{hint}")


def _optional_text(value: object) -> str | None:
    return None if value is None else str(value)


def _error(rule: str, description: str) -> ConfigurationError:
    return ConfigurationError(description=description, code=f"configuration.{rule}")
