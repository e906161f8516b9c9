"""What a run needs before it starts: the provider, and how the RP is registered there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

from reliant.testing import Behaviour, FakeProvider
from tests.conformance.cases import Case
from tests.conformance.relying_party import LOGGED_OUT_URI, REDIRECT_URI

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "ISSUER", "Setup"]

ISSUER = "https://op.example/test/a/reliant/"
CLIENT_ID = 'reliant %+&:#"/?'
CLIENT_SECRET = 'long enough for HS256, with %+&:#"/? in it'
SCOPE = "openid profile email"


@dataclass
class Setup:
    """What a run needs before it starts."""

    case: Case
    issuer: str = ISSUER
    signing_alg: str = "RS256"
    behaviour: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, Any] = field(default_factory=dict)
    refresh_faults: dict[str, Any] = field(default_factory=dict)
    users: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    scope: str = SCOPE
    scenario: str = "login"
    warm_keys: bool = False
    adjust: list[Callable[[FakeProvider], object]] = field(default_factory=list)

    def provider(self) -> FakeProvider:
        """The provider, with its faults at work."""
        rules = {"auth_methods": (self.case.client_auth,), "registration": self.case.dynamic}
        provider = FakeProvider(
            self.issuer,
            clients=(),
            users=self.users,
            signing_alg=self.signing_alg,
            behaviour=Behaviour.certification(**rules | self.behaviour),
        )
        provider.fault("discovery.claims_parameter_supported", True)
        for name, value in self.faults.items():
            provider.fault(name, value)
        for adjust in self.adjust:
            adjust(provider)
        return provider

    def client_metadata(self) -> dict[str, Any]:
        """The client as the provider knows it, whichever way it comes to know it."""
        kind = self.case.response_type
        grants = ["authorization_code"] * ("code" in kind.split())
        grants += ["implicit"] * ("id_token" in kind) + ["refresh_token"] * bool(
            self.behaviour.get("refresh_tokens")
        )
        return {
            "redirect_uris": [REDIRECT_URI],
            "post_logout_redirect_uris": [LOGGED_OUT_URI],
            "response_types": [kind],
            "grant_types": grants,
            "token_endpoint_auth_method": self.case.client_auth,
            **self.metadata,
        }

    def client_settings(self, transport: httpx2.AsyncBaseTransport) -> dict[str, Any]:
        """What ``register`` is given beside the issuer and the credentials."""
        alg = self.metadata.get("id_token_signed_response_alg", self.signing_alg)
        kwargs = {"scope": self.scope, "transport": transport}
        registered = {name: value for name, value in self.metadata.items() if "_alg" in name}
        registered |= {name: value for name, value in self.metadata.items() if "_enc" in name}
        if self.case.response_mode == "form_post":
            registered["response_mode"] = "form_post"
        return {
            "id_token_signed_response_alg": alg,
            "token_endpoint_auth_method": self.case.client_auth,
            "response_type": self.case.response_type,
            **registered,
            **self.settings,
            "client_kwargs": {**kwargs, **self.settings.get("client_kwargs", {})},
        }
