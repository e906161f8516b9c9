"""The token endpoint and its neighbour for revocation, as one client calls them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from reliant.client.hooks import ComplianceHooks
from reliant.client.settings import ClientSettings
from reliant.client.verifier import TokenVerifier
from reliant.errors import (
    ConfigurationError,
    IDTokenError,
    MetadataError,
    OAuthError,
    ProviderError,
)
from reliant.http.provider import OpenIDProvider
from reliant.http.transport import HttpTransport
from reliant.protocol.authorization import scopes_of
from reliant.protocol.client_auth import ClientAuth, Credentials, select_client_auth
from reliant.protocol.id_token import check_refreshed
from reliant.protocol.messages import HttpRequest, HttpResponse, form_request
from reliant.protocol.metadata import ServerMetadata, needed_endpoint
from reliant.protocol.revocation import build_revocation_request, check_revocation_response
from reliant.protocol.token_endpoint import (
    Token,
    build_code_request,
    build_refresh_request,
    merge_refreshed,
    parse_token_response,
)
from reliant.storage.calls import call

__all__ = ["TokenEndpoint"]

log: logging.Logger = logging.getLogger("reliant")

# What a key that was rotated a moment ago, or a clock that is wrong, does to good ID Tokens.
_FOR_NOW = frozenset(
    {"id_token.expired", "id_token.iat_future", "id_token.key_unknown", "id_token.nbf"}
)


class TokenEndpoint:
    """Asks for tokens and gives them back: one exchange a call, nothing shared, nothing kept.

    ``clock``: a function returning Unix time.
    """

    def __init__(
        self,
        settings: ClientSettings,
        provider: OpenIDProvider,
        transport: HttpTransport,
        verifier: TokenVerifier,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._transport = transport
        self._verifier = verifier
        self._clock = clock
        self._hooks: ComplianceHooks | None = None
        self._auth: tuple[object, ClientAuth] | None = None

    async def fetch(self, redirect_uri: str | None, params: Mapping[str, Any]) -> Token:
        """Redeem a code, or use the grant named by ``grant_type`` (RFC 6749 section 4.1.3).

        The ID Token in the answer is not validated here.
        """
        metadata = await self._provider.metadata()
        endpoint = self._endpoint(metadata, "token_endpoint", 'Missing "access_token_url" value')
        extra = {**self._settings.access_token_params, **params}
        code, verifier = extra.pop("code", None), extra.pop("code_verifier", None)
        if code is not None:
            request = build_code_request(endpoint, code, redirect_uri, verifier, extra)
        elif "grant_type" in extra:
            request = form_request(endpoint, extra)
        else:
            raise ConfigurationError(
                description='Missing "code" value: pass the code, or grant_type.',
                code="configuration.code",
            )
        response = await self._send("access_token", request, metadata)
        return parse_token_response(response, self._now(), self._secrets(code, verifier))

    async def refresh(self, old: Mapping[str, Any], refresh_token: str, **params: Any) -> Token:
        """Exchange a refresh token, and judge the new ID Token against the old one.

        ``old``: the token it came with; ``params``: more of the request. Returns the new token
        with what the provider left unchanged (RFC 6749 section 6, OIDC Core section 12).
        """
        metadata = await self._provider.metadata()
        endpoint = self._settings.refresh_token_url or self._endpoint(
            metadata, "token_endpoint", 'Missing "access_token_url" value'
        )
        extra = {**self._settings.refresh_token_params, **params}
        granted = set(scopes_of(old.get("scope")))
        if granted and not set(scopes_of(extra.get("scope"))) <= granted:
            raise ConfigurationError(
                description="The refresh asks for a scope that the login was not granted; "
                "a refresh can only ask for less (RFC 6749 section 6).",
                code="configuration.refresh_scope",
            )
        request = build_refresh_request(endpoint, refresh_token, extra)
        response = await self._send("refresh_token", request, metadata)
        answer = parse_token_response(response, self._now(), self._secrets(refresh_token))
        token = merge_refreshed(old, answer)
        if answer.id_token is None or metadata.issuer is None:
            return token
        try:
            claims = await self._verifier.id_token(
                answer.id_token, access_token=answer.access_token
            )
            check_refreshed(claims, self._verifier.claims_of(old))
        except (IDTokenError, MetadataError, ProviderError) as exc:
            if isinstance(exc, IDTokenError) and exc.code not in _FOR_NOW:
                with suppress(OAuthError):  # what came with it is somebody else's, or forged
                    await self.revoke(str(token.refresh_token), "refresh_token")
                raise
            # The old refresh token may be used up, so an error now would end the login. What can't
            # be judged is left out, and what was judged at the login stays.
            log.warning("the ID Token of a refresh is left out, for it can't be judged now: "
                        "code=%s", exc.code)  # fmt: skip
            del token["id_token"]
            return merge_refreshed(old, token)
        token["userinfo"] = claims
        return token

    async def revoke(self, token: str, token_type_hint: str | None) -> None:
        """Revoke a token (RFC 7009 section 2)."""
        metadata = await self._provider.metadata()
        endpoint = self._endpoint(
            metadata, "revocation_endpoint", 'Missing "revocation_endpoint" in metadata'
        )
        request = build_revocation_request(endpoint, token, token_type_hint)
        request = await (await self.hooks()).fix_request("revoke_token_request", request)
        response = await self._transport.send(self._client_auth(metadata).authenticate(request))
        check_revocation_response(response)

    async def hooks(self) -> ComplianceHooks:
        """The fixes that ``compliance_fix`` registered, asked for once."""
        if self._hooks is None:
            hooks = ComplianceHooks()
            if self._settings.compliance_fix is not None:
                await call(self._settings.compliance_fix, hooks)
            self._hooks = hooks
        return self._hooks

    async def _send(
        self, kind: str, request: HttpRequest, metadata: ServerMetadata
    ) -> HttpResponse:
        hooks = await self.hooks()
        request = await hooks.fix_request(f"{kind}_request", request)
        request = self._client_auth(metadata).authenticate(request)
        response = await self._transport.send(request)
        return await hooks.fix_response(f"{kind}_response", request, response)

    def _client_auth(self, metadata: ServerMetadata) -> ClientAuth:
        announced = metadata.announced("token_endpoint_auth_methods_supported")
        algs = metadata.announced("token_endpoint_auth_signing_alg_values_supported")
        settings = self._settings
        if self._auth is None or self._auth[0] != (announced, algs):
            credentials = Credentials(
                settings.id,
                settings.client_secret,
                settings.registered.get("token_endpoint_auth_method"),
                settings.keys,
                settings.registered.get("token_endpoint_auth_signing_alg"),
                settings.token_endpoint_auth_audience or metadata.issuer,
                settings.client_auth_methods,
            )
            method = select_client_auth(credentials, announced, algs, self._clock)
            self._auth = ((announced, algs), method)
        return self._auth[1]

    def _endpoint(self, metadata: ServerMetadata, name: str, missing: str) -> str:
        return needed_endpoint(metadata, name, missing, mtls=self._settings.uses_mtls)

    def _secrets(self, *more: str | None) -> list[str]:
        secret = self._settings.client_secret
        return [s for s in (secret.reveal() if secret else None, *more) if s]

    def _now(self) -> int:
        return int(self._clock())
