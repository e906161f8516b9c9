"""The configuration: one JSON object, where a member that nobody knows is an error."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, get_origin, get_type_hints

from joserfc.jwk import ECKey, RSAKey

__all__ = ["Config", "generate_keys"]

CHOICES = {
    "response_type": ("code", "code id_token", "id_token code", "id_token"),
    "response_mode": ("query", "fragment", "form_post"),
    "request_type": ("plain", "object", "uri"),
    "userinfo_by": ("header", "body"),
    "acts": ("userinfo", "claims", "refresh", "logout"),
    "logout_by": ("back", "front"),
}
ALGORITHMS = ("_alg", "_enc")  # client metadata so named concern static clients as well
REQUEST_OBJECTS = {"plain": None, "object": "value", "uri": "uri"}
GRANTS = {"code": "authorization_code", "id_token": "implicit"}


def generate_keys() -> dict[str, Any]:
    """A private JWK Set: one key for each signature algorithm, and two to encrypt for."""
    start = secrets.token_hex(4)  # so that no key of another start has one of these kids
    keys = (
        RSAKey.generate_key(2048, {"kid": f"rs256-{start}", "use": "sig", "alg": "RS256"}),
        RSAKey.generate_key(2048, {"kid": f"ps256-{start}", "use": "sig", "alg": "PS256"}),
        ECKey.generate_key("P-256", {"kid": f"es256-{start}", "use": "sig", "alg": "ES256"}),
        RSAKey.generate_key(2048, {"kid": f"rsa-enc-{start}", "use": "enc"}),
        ECKey.generate_key("P-256", {"kid": f"ec-enc-{start}", "use": "enc"}),
    )
    return {"keys": [key.as_dict(private=True) for key in keys]}


@dataclass(frozen=True)
class Config:
    """What the file says; the README lists the members."""

    base_url: str = ""
    issuer: str = ""
    webfinger: str = ""
    dynamic: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    initial_access_token: str = field(default="", repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    client_auth: str = ""
    keys: dict[str, Any] = field(default_factory=dict, repr=False)
    response_type: str = "code"
    response_mode: str = ""
    request_type: str = "plain"
    scope: str = "openid profile email"
    authorize_params: dict[str, Any] = field(default_factory=dict)
    userinfo_by: str = "header"
    acts: list[str] = field(default_factory=lambda: ["userinfo"])
    logout_by: list[str] = field(default_factory=lambda: ["back", "front"])
    ca_file: str = ""
    certfile: str = ""
    keyfile: str = ""

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Config:
        """Judge the members of the file; raises ``ValueError`` or ``TypeError``."""
        hints = get_type_hints(cls)
        apart = {name: members[name] for name in members if name.endswith(ALGORITHMS)}
        rest = {name: members[name] for name in members if name not in apart}
        for name, value in rest.items():
            _check_known("member", name, hints)
            if not isinstance(value, get_origin(hints[name]) or hints[name]):
                raise TypeError(f"The value of {name!r} is not a {hints[name]}.")
        for name in CHOICES.keys() & rest.keys():
            for item in rest[name] if isinstance(rest[name], list) else [rest[name]]:
                _check_known(f"value of {name!r}", item, CHOICES[name])
        config = cls(**{**rest, "metadata": {**rest.get("metadata", {}), **apart}})
        if not config.base_url.startswith("https://") or config.base_url.endswith("/"):
            raise ValueError("'base_url' must be an https address without a slash at its end.")
        if bool(config.issuer) == bool(config.webfinger):
            raise ValueError("One of 'issuer' and 'webfinger' must be there, and not both.")
        if config.dynamic == bool(config.client_id):
            raise ValueError("Either 'client_id' or '\"dynamic\": true' must be there.")
        return config

    @property
    def registered(self) -> dict[str, Any]:
        """The client metadata that decide how messages look, with OpenID Connect's defaults."""
        found = {"id_token_signed_response_alg": "RS256"}
        if self.request_type != "plain":
            found["request_object_signing_alg"] = "RS256"
        if self.client_auth:
            found["token_endpoint_auth_method"] = self.client_auth
        return found | {k: v for k, v in self.metadata.items() if k.endswith(ALGORITHMS)}

    @property
    def client_metadata(self) -> dict[str, Any]:
        """What to register as; ``metadata`` of the file counts over the rest."""
        asked: dict[str, Any] = {
            "client_name": "Conformance RP",
            "application_type": "web",
            "redirect_uris": [f"{self.base_url}/callback"],
            "post_logout_redirect_uris": [f"{self.base_url}/logged-out"],
            "initiate_login_uri": f"{self.base_url}/initiate-login",
            "response_types": [self.response_type],
            "grant_types": [GRANTS[word] for word in self.response_type.split()],
        }
        if "refresh" in self.acts:
            asked["grant_types"].append("refresh_token")
        for way in self.logout_by:
            asked[f"{way}channel_logout_uri"] = f"{self.base_url}/{way}channel-logout"
            asked[f"{way}channel_logout_session_required"] = True
        return asked | self.registered | self.metadata

    @property
    def settings(self) -> dict[str, Any]:
        """What ``register`` and ``register_dynamically`` take, but for ``client_kwargs``."""
        return {
            "client_id": self.client_id or None,
            "client_secret": self.client_secret or None,
            "client_keys": self.keys,
            "response_type": self.response_type,
            "response_mode": self.response_mode or None,
            "request_object": REQUEST_OBJECTS[self.request_type],
            "request_uri_base": f"{self.base_url}/request-objects",
            "authorize_params": self.authorize_params,
            **self.registered,
        }

    def tls(self) -> ssl.SSLContext:
        """Whom to trust, and the client certificate of ``tls_client_auth``."""
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if self.certfile:
            context.load_cert_chain(self.certfile, self.keyfile or None)
        return context


def _check_known(what: str, given: Any, known: Collection[str]) -> None:
    if given not in known:
        near = get_close_matches(str(given), known, 1, 0)
        raise ValueError(f"There is no {what} {given!r}; did you mean {near[0]!r}?")
