"""One client at one provider: the use cases, from the login's first step to the last API call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin

import httpx2

from reliant import __version__
from reliant.client.hooks import ComplianceHooks, call
from reliant.client.settings import ClientSettings
from reliant.errors import (
    ConfigurationError,
    IDTokenError,
    MissingTokenError,
    OAuthError,
)
from reliant.http.provider import OpenIDProvider
from reliant.http.single_flight import SingleFlight
from reliant.http.transport import HttpTransport, provider_error
from reliant.protocol.authorization import (
    build_authorization_url,
    new_login,
    parse_authorization_response,
    scopes_of,
)
from reliant.protocol.claims import UserInfo
from reliant.protocol.client_auth import ClientAuth, select_client_auth
from reliant.protocol.id_token import (
    MAX_LEEWAY,
    Expected,
    allowed_algorithms,
    check_claims,
    check_options,
    has_valid_signature,
    read_id_token,
)
from reliant.protocol.jose import SYMMETRIC_ALGORITHMS, Jws, Key, secret_key
from reliant.protocol.jwks import select_keys
from reliant.protocol.logout import build_logout_url
from reliant.protocol.messages import HttpRequest, HttpResponse, form_request, integer, text
from reliant.protocol.metadata import ServerMetadata, issuers_of
from reliant.protocol.revocation import build_revocation_request, check_revocation_response
from reliant.protocol.token_endpoint import (
    Token,
    build_code_request,
    build_refresh_request,
    fits_header,
    merge_refreshed,
    parse_token_response,
)
from reliant.protocol.transaction import LoginTransaction, new_state
from reliant.protocol.userinfo import build_userinfo_request, parse_userinfo_response
from reliant.protocol.values import Secret, is_secure_url, origin_of

__all__ = ["OAuthClient"]

REFRESH_EARLY = 10  # seconds before its end at which a token counts as expired
RESULT_KEPT = 30  # seconds a refresh serves those who come late with the old token
MAX_RESULTS = 1000


class OAuthClient:
    """A client registered at one provider, without a web framework.

    ``settings``: what was registered; ``clock``: a function returning Unix time, for tests.
    """

    def __init__(self, settings: ClientSettings, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self._clock = clock
        self._openid = "openid" in scopes_of(settings.authorize_params.get("scope", settings.scope))
        self.transport = HttpTransport(
            settings.http_options, settings.user_agent or f"Reliant/{__version__}"
        )
        self.provider = OpenIDProvider(
            self.transport, settings.metadata, settings.server_metadata_url, self._openid
        )
        self._hooks: ComplianceHooks | None = None
        self._auth: tuple[tuple[str, ...] | None, ClientAuth] | None = None
        self._hmac_key: Key | None = None
        self._refreshing: SingleFlight[Token] = SingleFlight()
        self._refreshed: dict[str, tuple[float, Token]] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    def name(self) -> str:
        """The name it was registered under."""
        return self.settings.name

    @property
    def client_id(self) -> str:
        """The client identifier; raises ``ConfigurationError`` where none was given."""
        if not self.settings.client_id:
            raise ConfigurationError(
                description='Missing "client_id" value: pass client_id= to register().',
                code="configuration.client_id",
            )
        return self.settings.client_id

    @property
    def client_secret(self) -> Secret | None:
        """The client secret, which shows itself through ``reveal()`` only."""
        return self.settings.client_secret

    # -- the provider ------------------------------------------------------------------------

    async def load_server_metadata(self) -> ServerMetadata:
        """Return the provider's metadata, cached, under what the app set itself.

        Raises ``MetadataError`` and ``ProviderError`` (OIDC Discovery section 4, RFC 8414).
        """
        return await self.provider.metadata()

    async def fetch_jwk_set(self, force: bool = False) -> Mapping[str, Any]:
        """Return the provider's JWK Set; ``force`` asks the provider again.

        Raises ``ConfigurationError`` where no ``jwks_uri`` is known, ``MetadataError`` and
        ``ProviderError`` (RFC 7517 section 5).
        """
        return (await self.provider.jwks(force)).document

    # -- login -------------------------------------------------------------------------------

    async def start_login(
        self, redirect_uri: str | None, params: Mapping[str, Any]
    ) -> tuple[str, str, LoginTransaction]:
        """Return the authorization URL, its ``state`` and the transaction to remember.

        Raises ``ConfigurationError`` where the endpoint, the issuer or the client id is missing.
        """
        metadata = await self.load_server_metadata()
        endpoint = _needed(metadata, "authorization_endpoint", 'Missing "authorize_url" value')
        parameters = {"scope": self.settings.scope, **self.settings.authorize_params, **params}
        if "openid" in scopes_of(parameters["scope"]):
            self._issuer(metadata)
        state, transaction = new_login(redirect_uri, parameters)
        url = build_authorization_url(endpoint, self.client_id, state, transaction, parameters)
        return url, state, transaction

    async def create_authorization_url(
        self, redirect_uri: Any = None, **params: Any
    ) -> dict[str, Any]:
        """Make the URL that begins a login, for apps that keep its secrets themselves.

        ``redirect_uri``: the callback as registered at the provider; further parameters of the
        authorization request by name. Returns ``url``, ``state``, ``code_verifier`` and, where an
        ID Token is asked for, ``nonce`` (RFC 6749 section 4.1.1).
        """
        url, state, transaction = await self.start_login(
            None if redirect_uri is None else str(redirect_uri), params
        )
        remembered = transaction.record()
        remembered.pop("redirect_uri", None)
        return {"url": url, "state": state, **remembered}

    async def finish_login(
        self,
        transaction: LoginTransaction,
        response: Mapping[str, str],
        *,
        claims_options: Mapping[str, Mapping[str, Any]] | None = None,
        leeway: int = MAX_LEEWAY,
        **params: Any,
    ) -> Token:
        """Judge the provider's answer to a login, redeem its code and validate the ID Token.

        ``response``: the parameters of the callback, whose ``state`` found ``transaction``.
        Raises ``AuthorizationError``, ``TokenError``, ``IDTokenError``, ``MetadataError`` or
        ``ProviderError``.
        """
        metadata = await self.load_server_metadata()
        promised = metadata.get("authorization_response_iss_parameter_supported") is True
        code = parse_authorization_response(response, metadata.issuer, promised)
        token = await self.fetch_access_token(
            transaction.redirect_uri,
            code=code,
            code_verifier=transaction.code_verifier,
            **params,
        )
        # An ID Token nobody asked for, of a provider without a known issuer, is left as it came.
        if token.id_token is not None and (transaction.nonce or metadata.issuer):
            token["userinfo"] = await self._validate_id_token(
                token.id_token,
                nonce=transaction.nonce,
                unasked_nonce=False,
                access_token=token.access_token,
                max_age=transaction.max_age,
                acr_values=transaction.acr_values,
                claims_options=claims_options,
                leeway=leeway,
            )
        elif transaction.nonce is not None:
            raise IDTokenError(
                description="The scope openid was asked for, but no ID Token came back.",
                code="id_token.missing",
            )
        token.return_to, token.data = transaction.return_to, transaction.data
        for name in ("return_to", "data"):
            if (value := getattr(token, name)) is not None:
                token[name] = value
        return token

    async def fetch_access_token(self, redirect_uri: Any = None, **params: Any) -> Token:
        """Ask the token endpoint for a token.

        ``redirect_uri``: the one of the authorization request; ``code`` and ``code_verifier``
        redeem a login's code, and other parameters travel along; without a code, ``grant_type``
        says which grant it is. The ID Token in the answer is not validated here. Raises
        ``TokenError`` or ``ProviderError`` (RFC 6749 section 4.1.3).
        """
        metadata = await self.load_server_metadata()
        endpoint = _needed(metadata, "token_endpoint", 'Missing "access_token_url" value')
        extra = {**self.settings.access_token_params, **params}
        code, verifier = extra.pop("code", None), extra.pop("code_verifier", None)
        if code is not None:
            uri = None if redirect_uri is None else str(redirect_uri)
            request = build_code_request(endpoint, code, uri, verifier, extra)
        elif "grant_type" in extra:
            request = form_request(endpoint, extra)
        else:
            raise ConfigurationError(
                description='Missing "code" value: pass the code, or grant_type.',
                code="configuration.code",
            )
        response = await self._send_to_token_endpoint("access_token", request, metadata)
        return parse_token_response(response, self._now(), self._secrets(code, verifier))

    async def parse_id_token(
        self,
        token: Mapping[str, Any],
        nonce: str | None,
        claims_options: Mapping[str, Mapping[str, Any]] | None = None,
        leeway: int = MAX_LEEWAY,
    ) -> UserInfo | None:
        """Validate the ID Token in a token response.

        ``nonce``: the one sent with the login, or None where it is not known; ``claims_options``:
        checks of the app's own, on top; ``leeway``: seconds of clock difference, 60 at most.
        Returns its claims, or None where there is no ID Token. Raises ``IDTokenError``
        (OIDC Core section 3.1.3.7).
        """
        if isinstance(nonce, Mapping):
            raise TypeError("parse_id_token takes the token and the nonce, and no request.")
        id_token = token.get("id_token")
        if id_token is None:
            return None
        return await self._validate_id_token(
            id_token,
            nonce=nonce,
            access_token=token.get("access_token"),
            claims_options=claims_options,
            leeway=leeway,
        )

    async def _validate_id_token(
        self,
        id_token: str,
        *,
        claims_options: Mapping[str, Mapping[str, Any]] | None = None,
        unasked_nonce: bool = True,
        **expected: Any,
    ) -> UserInfo:
        metadata = await self.load_server_metadata()
        own = self.settings.metadata.get("id_token_signing_alg_values_supported")
        algorithms = allowed_algorithms(
            self.settings.id_token_signed_response_alg,
            metadata.announced("id_token_signing_alg_values_supported"),
            None if own is None else tuple(own),
        )
        token = read_id_token(id_token)
        check_claims(
            token,
            Expected(self._issuer(metadata), self.client_id, algorithms, **expected),
            self._now(),
        )
        if not unasked_nonce and expected["nonce"] is None and "nonce" in token.claims:
            raise IDTokenError(
                description="The ID Token has a nonce, though none was sent.",
                code="id_token.nonce_unasked",
            )
        await self._check_signature(token)
        check_options(token.claims, claims_options or {})
        return UserInfo(token.claims)

    async def _check_signature(self, token: Jws) -> None:
        known = False

        def works(keys: tuple[Key, ...]) -> bool:
            nonlocal known
            known = known or bool(select_keys(keys, token.alg, token.kid))
            return has_valid_signature(token, keys)

        if self.settings.id_token_signed_response_alg in SYMMETRIC_ALGORITHMS:
            valid = works((*self._hmac_keys(), *self.provider.own_keys))
        else:
            valid = await self.provider.try_keys(works)
        if valid:
            return
        if known:
            raise IDTokenError(
                description="The signature of the ID Token is not the provider's.",
                code="id_token.signature",
            )
        raise IDTokenError(
            description="The ID Token is signed with a key that is not among the provider's.",
            code="id_token.key_unknown",
        )

    def _hmac_keys(self) -> tuple[Key, ...]:
        if self._hmac_key is None and self.settings.client_secret:
            self._hmac_key = secret_key(self.settings.client_secret.reveal())
        return () if self._hmac_key is None else (self._hmac_key,)

    # -- tokens ------------------------------------------------------------------------------

    async def userinfo(self, token: Mapping[str, Any] | None = None) -> UserInfo:
        """Fetch the claims of the UserInfo endpoint, checked against the ID Token's ``sub``.

        ``token``: a token as a login returned it. Raises ``MissingTokenError``, ``UserInfoError``
        or ``ProviderError`` (OIDC Core section 5.3).
        """
        metadata = await self.load_server_metadata()
        endpoint = _needed(metadata, "userinfo_endpoint", 'Missing "userinfo_endpoint" in metadata')
        sub = _sub_of(token or {})  # a refresh may have begun with less than this caller knows
        current = await self._usable(token)
        request = build_userinfo_request(
            endpoint, current["access_token"], self.settings.token_placement
        )
        response = await self.transport.send(request)
        return parse_userinfo_response(response, sub or _sub_of(current), self._openid)

    async def refresh_token(self, token: Mapping[str, Any] | str) -> Token:
        """Exchange a refresh token for a new token; those who ask at once share one exchange.

        ``token``: a token with a ``refresh_token``, or the refresh token itself. Returns the new
        token with what the provider left unchanged; ``update_token`` is told. Raises
        ``InvalidGrantError``, ``TokenError``, ``IDTokenError`` or ``ProviderError`` (RFC 6749
        section 6, OIDC Core section 12).
        """
        old: Mapping[str, Any] = {"refresh_token": token} if isinstance(token, str) else token
        refresh_token = old.get("refresh_token")
        if not isinstance(refresh_token, str) or not refresh_token:
            raise MissingTokenError(
                description="The token has no refresh_token. Many providers send one only when "
                "asked: add the scope offline_access, or what the provider wants instead.",
                code="request.refresh_token_missing",
            )
        return await self._refreshing.share(
            refresh_token, lambda: self._refresh(old, refresh_token)
        )

    async def _refresh(self, old: Mapping[str, Any], refresh_token: str) -> Token:
        metadata = await self.load_server_metadata()
        endpoint = self.settings.refresh_token_url or _needed(
            metadata, "token_endpoint", 'Missing "access_token_url" value'
        )
        request = build_refresh_request(endpoint, refresh_token, self.settings.refresh_token_params)
        response = await self._send_to_token_endpoint("refresh_token", request, metadata)
        answer = parse_token_response(response, self._now(), self._secrets(refresh_token))
        token = merge_refreshed(old, answer)
        if answer.id_token is not None and metadata.issuer is not None:
            token["userinfo"] = await self._validate_id_token(
                answer.id_token, access_token=answer.access_token, sub=_sub_of(old)
            )
        self._remember(refresh_token, token)
        if self.settings.update_token is not None:
            await call(
                self.settings.update_token,
                token,
                refresh_token=refresh_token,
                access_token=old.get("access_token"),
            )
        return token

    def _remember(self, refresh_token: str, token: Token) -> None:
        # Whoever still holds the old token must not use it up a second time: a provider that
        # rotates refresh tokens takes that for theft and revokes the family.
        now = self._clock()
        for key, (until, _) in list(self._refreshed.items()):
            if until > now and len(self._refreshed) < MAX_RESULTS:
                break
            del self._refreshed[key]
        self._refreshed[refresh_token] = (now + RESULT_KEPT, token)

    async def revoke_token(
        self, token: Mapping[str, Any] | str, token_type_hint: str | None = None
    ) -> None:
        """Revoke a token at the provider: its refresh token if it has one (RFC 7009).

        ``token``: a token, or the string to revoke with ``token_type_hint``. Raises ``TokenError``
        with ``revocation.failed``, ``ConfigurationError`` where the provider has no endpoint.
        """
        if not isinstance(token, str):
            kind = "refresh_token" if token.get("refresh_token") else "access_token"
            token, token_type_hint = str(token.get(kind) or ""), token_type_hint or kind
        if not token:
            raise MissingTokenError(description="There is no token to revoke.")
        metadata = await self.load_server_metadata()
        endpoint = _needed(
            metadata, "revocation_endpoint", 'Missing "revocation_endpoint" in metadata'
        )
        request = build_revocation_request(endpoint, token, token_type_hint)
        request = await (await self._compliance()).fix_request("revoke_token_request", request)
        response = await self.transport.send(self._client_auth(metadata).authenticate(request))
        check_revocation_response(response)

    # -- logout ------------------------------------------------------------------------------

    async def create_logout_url(
        self,
        post_logout_redirect_uri: Any = None,
        id_token_hint: str | None = None,
        state: str | None = None,
        *,
        client_id: str | None = None,
        logout_hint: str | None = None,
        ui_locales: str | None = None,
    ) -> dict[str, Any]:
        """Make the URL that ends the session at the provider.

        ``post_logout_redirect_uri``: where to come back to, as registered at the provider;
        ``id_token_hint``: the ID Token of the login; ``state``: drawn where not given. Returns
        ``url`` and ``state``, which is None where the browser is not to come back. Raises
        ``ConfigurationError`` where the provider has no such endpoint (RP-Initiated Logout 1.0
        section 2).
        """
        metadata = await self.load_server_metadata()
        endpoint = _needed(
            metadata, "end_session_endpoint", 'Missing "end_session_endpoint" in metadata'
        )
        if post_logout_redirect_uri is None:
            state = None
        else:
            post_logout_redirect_uri = str(post_logout_redirect_uri)
            state = state or new_state()
            if id_token_hint is None:  # the provider must learn from one of them who is asking
                client_id = client_id or self.client_id
        url = build_logout_url(
            endpoint,
            id_token_hint=id_token_hint,
            post_logout_redirect_uri=post_logout_redirect_uri,
            state=state,
            client_id=client_id,
            logout_hint=logout_hint,
            ui_locales=ui_locales,
        )
        return {"url": url, "state": state}

    # -- API calls ---------------------------------------------------------------------------

    async def send_api_request(
        self,
        method: str,
        url: str,
        token: Mapping[str, Any] | None,
        withhold_token: bool,
        token_origin: str | None,
        options: dict[str, Any],
    ) -> httpx2.Response:
        """Send a request with the access token, refreshed first if it has expired.

        The token goes to the origin of ``api_base_url`` only, or to ``token_origin`` where that is
        given. A token that was refreshed is updated in place where it is a dict, and stands in
        ``response.extensions["oauth_token"]``.
        """
        url = self._resolve(url)
        refreshed: Mapping[str, Any] | None = None
        if not withhold_token:
            self._check_origin(url, token_origin)
            current = await self._usable(token)
            if current is not token:
                refreshed = current
            hooks = await self._compliance()
            headers, data = self._place(current["access_token"], options)
            url, headers, data = await hooks.fix_parts("protected_request", url, headers, data)
            options = {**options, "headers": headers}
            if data is not None:
                options["data"] = data
        try:
            response = await self.transport.client().request(method, url, **options)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as exc:
            raise provider_error(exc) from exc
        if refreshed is not None:
            response.extensions["oauth_token"] = refreshed
        return response

    def _resolve(self, url: str) -> str:
        base = self.settings.api_base_url
        if base is not None:
            try:
                return urljoin(base, url)
            except ValueError:  # such as "//[": it has no origin, so the next step refuses it
                return url
        if origin_of(url) is None:
            raise ConfigurationError(
                description='Missing "api_base_url" value: a relative URL needs one.',
                code="configuration.api_base_url",
            )
        return url

    def _check_origin(self, url: str, token_origin: str | None) -> None:
        if not is_secure_url(url):
            raise ConfigurationError(
                description="An access token travels over https only, or to this machine.",
                code="http.insecure",
            )
        places = [place for place in (self.settings.api_base_url, token_origin) if place]
        if places and origin_of(url) not in map(origin_of, places):
            raise OAuthError(
                "foreign_origin",
                "The URL is on another origin than api_base_url, so the access token stays here. "
                "If it belongs there, pass token_origin= with that origin; if the request needs "
                "no token, pass withhold_token=True.",
                code="request.foreign_origin",
            )

    def _place(self, access_token: str, options: Mapping[str, Any]) -> tuple[Any, Any]:
        headers, data = httpx2.Headers(options.get("headers")), options.get("data")
        if self.settings.token_placement == "body":
            return headers, {**(data or {}), "access_token": access_token}
        headers["authorization"] = f"Bearer {access_token}"
        return headers, data

    async def _usable(self, token: Mapping[str, Any] | None) -> Mapping[str, Any]:
        if token is None or not token.get("access_token"):
            raise MissingTokenError(
                description="There is no token to send: pass token=, or give register() a "
                "fetch_token function and pass request=."
            )
        if not fits_header(token["access_token"]):
            # The HTTP library would quote it in its error.
            raise MissingTokenError(
                description="The access token can't be sent: it is not text of visible ASCII.",
                code="request.token_unfit",
            )
        expires_at = integer(token.get("expires_at"))
        if expires_at is None or self._now() < expires_at - REFRESH_EARLY:
            return token
        refresh_token = text(token.get("refresh_token"))
        if refresh_token is None:
            if self._now() < expires_at:
                return token
            raise MissingTokenError(
                "token_expired",
                "The access token has expired and there is no refresh token. Log in again.",
                code="request.token_expired",
            )
        fresh = await self._refreshing.share(
            refresh_token, lambda: self._refresh_once(token, refresh_token)
        )
        if isinstance(token, dict):
            token.update(fresh)
        return fresh

    async def _refresh_once(self, old: Mapping[str, Any], refresh_token: str) -> Token:
        # Also those who waited come by here when the one they waited for was cancelled or its
        # update_token failed, though the exchange itself was done.
        until, kept = self._refreshed.get(refresh_token, (0.0, None))
        if (
            kept is not None
            and self._clock() < until
            and kept["access_token"] != old.get("access_token")
        ):
            return kept
        return await self._refresh(old, refresh_token)

    # -- shared steps ------------------------------------------------------------------------

    async def _send_to_token_endpoint(
        self, kind: str, request: HttpRequest, metadata: ServerMetadata
    ) -> HttpResponse:
        hooks = await self._compliance()
        request = await hooks.fix_request(f"{kind}_request", request)
        request = self._client_auth(metadata).authenticate(request)
        response = await self.transport.send(request)
        return await hooks.fix_response(f"{kind}_response", request, response)

    async def _compliance(self) -> ComplianceHooks:
        if self._hooks is None:
            hooks = ComplianceHooks()
            if self.settings.compliance_fix is not None:
                await call(self.settings.compliance_fix, hooks)
            self._hooks = hooks
        return self._hooks

    def _client_auth(self, metadata: ServerMetadata) -> ClientAuth:
        announced = metadata.announced("token_endpoint_auth_methods_supported")
        if self._auth is None or self._auth[0] != announced:
            method = select_client_auth(
                self.settings.token_endpoint_auth_method,
                announced,
                self.client_id,
                self.settings.client_secret,
                self.settings.client_auth_methods,
            )
            self._auth = (announced, method)
        return self._auth[1]

    def _secrets(self, *more: str | None) -> list[str]:
        secret = self.settings.client_secret
        return [s for s in (secret.reveal() if secret else None, *more) if s]

    def _issuer(self, metadata: ServerMetadata) -> str:
        if metadata.issuer is None:
            raise ConfigurationError(
                description='Missing "issuer" value: an ID Token can\'t be checked without it. '
                "Set server_metadata_url or issuer.",
                code="configuration.issuer",
            )
        url = self.settings.server_metadata_url
        if url is not None and "issuer" not in self.settings.metadata and not issuers_of(url):
            raise ConfigurationError(
                description="The issuer can't be told from server_metadata_url, which does not "
                "end with /.well-known/openid-configuration. Pass issuer= to register() as well.",
                code="configuration.issuer_unknown",
            )
        return metadata.issuer

    def _now(self) -> int:
        return int(self._clock())


def _needed(metadata: ServerMetadata, name: str, missing: str) -> str:
    url = metadata.endpoint(name)
    if url is None:
        raise ConfigurationError(
            description=f"{missing}: set it, or server_metadata_url, in register().",
            code=f"configuration.{name}",
        )
    return url


def _sub_of(token: Mapping[str, Any]) -> str | None:
    """The person a token was issued for, as far as the ID Token of its login tells."""
    claims = token.get("userinfo")
    if isinstance(claims, Mapping) and isinstance(claims.get("sub"), str):
        return str(claims["sub"])
    id_token = token.get("id_token")
    if not isinstance(id_token, str):
        return None
    sub = read_id_token(id_token).claims.get("sub")
    return sub if isinstance(sub, str) else None
