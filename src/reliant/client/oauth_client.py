"""One client at one provider: the use cases, from the login's first step to the last API call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reliant import __version__
from reliant.client.settings import ClientSettings
from reliant.client.shared_refresh import SharedRefresh
from reliant.client.token_endpoint import TokenEndpoint
from reliant.client.verifier import TokenVerifier
from reliant.errors import ConfigurationError, IDTokenError, MissingTokenError
from reliant.http.provider import OpenIDProvider
from reliant.http.transport import HttpTransport
from reliant.protocol.api_call import check_destination, needs_refresh, resolve_url
from reliant.protocol.authorization import (
    authorization_parameters,
    build_authorization_url,
    new_login,
    parse_authorization_response,
    scopes_of,
)
from reliant.protocol.claims import UserInfo
from reliant.protocol.id_token import MAX_LEEWAY
from reliant.protocol.jose import public_jwk
from reliant.protocol.logout import build_logout_url
from reliant.protocol.messages import text
from reliant.protocol.metadata import ServerMetadata, needed_endpoint
from reliant.protocol.registration import (
    Registration,
    build_management_request,
    build_registration_request,
    check_deletion_response,
    parse_registration_response,
)
from reliant.protocol.token_endpoint import Token
from reliant.protocol.transaction import LoginTransaction, new_state
from reliant.protocol.userinfo import (
    build_userinfo_request,
    check_userinfo_sub,
    parse_userinfo_response,
)
from reliant.protocol.values import Secret
from reliant.storage.calls import call
from reliant.storage.references import References

if TYPE_CHECKING:
    import httpx2

    from reliant.protocol.claim_sources import SourcedClaim

__all__ = ["OAuthClient"]

_ELSEWHERE = (
    "If it belongs there, pass token_origin= with that origin; if the request needs no token, pass "
    "withhold_token=True."
)


class OAuthClient:
    """A client registered at one provider, without a web framework.

    ``settings``: what was registered; ``clock``: a function returning Unix time, for tests.
    """

    def __init__(self, settings: ClientSettings, clock: Callable[[], float] = time.time) -> None:
        self.settings: ClientSettings
        self._clock = clock
        self._openid = "openid" in scopes_of(settings.authorize_params.get("scope", settings.scope))
        self.transport: HttpTransport = HttpTransport(
            settings.http_options, settings.user_agent or f"Reliant/{__version__}"
        )
        self.provider: OpenIDProvider = OpenIDProvider(
            self.transport, settings.metadata, settings.metadata_urls, self._openid
        )
        self.request_objects: References = References()
        self.registration: Registration | None = None  # where the client registered itself
        self._refreshes = SharedRefresh(clock)
        self._settle(settings)

    def _settle(self, settings: ClientSettings) -> None:
        """Make anew what rests on the settings."""
        self.settings = settings
        self.verifier: TokenVerifier = TokenVerifier(settings, self.provider, self._clock)
        self.token_endpoint: TokenEndpoint = TokenEndpoint(
            settings, self.provider, self.transport, self.verifier, self._clock
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    def name(self) -> str:
        """The name it was registered under."""
        return self.settings.name

    @property
    def client_id(self) -> str:
        """The client identifier; raises ``ConfigurationError`` where none was given."""
        return self.settings.id

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
        endpoint = needed_endpoint(
            metadata, "authorization_endpoint", 'Missing "authorize_url" value'
        )
        parameters = {"scope": self.settings.scope, **self.settings.authorize_params, **params}
        if parameters.get("id_token_hint"):
            parameters["id_token_hint"] = self.verifier.hint(parameters["id_token_hint"])
        if "openid" in scopes_of(parameters["scope"]):
            self.verifier.issuer(metadata)
        state, transaction = new_login(redirect_uri, parameters)
        query = authorization_parameters(self.client_id, state, transaction, parameters)
        if self.settings.request_object is not None:
            from reliant.client.request_objects import as_request_object

            query = await as_request_object(
                query,
                self.settings,
                self.provider,
                self.verifier.issuer(metadata),
                self.request_objects,
                self._now(),
            )
        return build_authorization_url(endpoint, query), state, transaction

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
        response_type = transaction.response_type or "code"
        answer = parse_authorization_response(response, metadata.issuer, promised, response_type)
        expected: dict[str, Any] = {
            "nonce": transaction.nonce,
            "unasked_nonce": False,
            "max_age": transaction.max_age,
            "acr_values": transaction.acr_values,
            "claims_options": claims_options,
            "leeway": leeway,
        }
        token = Token({})
        if answer.id_token is not None:  # judged before the code is used: it vouches for it
            token["id_token"] = answer.id_token
            token["userinfo"] = await self.verifier.id_token(
                answer.id_token, code=answer.code, state=response.get("state"), **expected
            )
        if answer.code is not None:
            token = await self._redeem(transaction, metadata, answer.code, token, expected, params)
        if answer.session_state is not None:
            token["session_state"] = answer.session_state
        token.return_to, token.data = transaction.return_to, transaction.data
        if transaction.return_to is not None:
            token["return_to"] = transaction.return_to
        if transaction.data is not None:
            token["data"] = transaction.data
        return token

    async def _redeem(
        self,
        transaction: LoginTransaction,
        metadata: ServerMetadata,
        code: str,
        front: Token,
        expected: Mapping[str, Any],
        params: Mapping[str, Any],
    ) -> Token:
        token = await self.fetch_access_token(
            transaction.redirect_uri,
            code=code,
            code_verifier=transaction.code_verifier,
            **params,
        )
        # An ID Token nobody asked for, of a provider without a known issuer, is left as it came.
        id_token = token.get("id_token")
        if id_token is not None and (transaction.nonce or metadata.issuer):
            claims = await self.verifier.id_token(
                id_token, access_token=token["access_token"], sub=self._sub_of(front), **expected
            )
            # What came through the browser alone counts too (OIDC Core section 3.3.3.6).
            token["userinfo"] = UserInfo({**(front.userinfo or {}), **claims})
        elif front.userinfo is not None:
            token["id_token"], token["userinfo"] = front["id_token"], front["userinfo"]
        elif transaction.nonce is not None:
            raise IDTokenError(
                description="The scope openid was asked for, but no ID Token came back.",
                code="id_token.missing",
            )
        return token

    async def fetch_access_token(self, redirect_uri: Any = None, **params: Any) -> Token:
        """Ask the token endpoint for a token.

        ``redirect_uri``: the one of the authorization request; ``code`` and ``code_verifier``
        redeem a login's code, and other parameters travel along; without a code, ``grant_type``
        says which grant it is. The ID Token in the answer is not validated here. Raises
        ``TokenError`` or ``ProviderError`` (RFC 6749 section 4.1.3).
        """
        uri = None if redirect_uri is None else str(redirect_uri)
        return await self.token_endpoint.fetch(uri, params)

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
        return await self.verifier.id_token(
            id_token,
            nonce=nonce,
            access_token=token.get("access_token"),
            claims_options=claims_options,
            leeway=leeway,
        )

    # -- tokens ------------------------------------------------------------------------------

    async def userinfo(self, token: Mapping[str, Any] | None = None) -> UserInfo:
        """Fetch the claims of the UserInfo endpoint, checked against the ID Token's ``sub``.

        ``token``: a token as a login returned it. Raises ``MissingTokenError``, ``UserInfoError``
        or ``ProviderError`` (OIDC Core section 5.3).
        """
        metadata = await self.load_server_metadata()
        endpoint = needed_endpoint(
            metadata,
            "userinfo_endpoint",
            'Missing "userinfo_endpoint" in metadata',
            mtls=self.settings.uses_mtls,
        )
        sub = self._sub_of(token or {})  # a refresh may have begun with less than the caller knows
        current = await self._usable(token)
        request = build_userinfo_request(
            endpoint, current["access_token"], self.settings.token_placement
        )
        registered = self.settings.registered
        signed = {"userinfo_signed_response_alg", "userinfo_encrypted_response_alg"} & set(
            registered
        )
        answer = parse_userinfo_response(await self.transport.send(request), bool(signed))
        claims = answer if isinstance(answer, UserInfo) else await self.verifier.userinfo(answer)
        check_userinfo_sub(claims, sub or self._sub_of(current), self._openid)
        return claims

    async def resolve_claims(self, claims: Mapping[str, Any]) -> dict[str, SourcedClaim]:
        """Return what other parties say of a person: aggregated and distributed claims.

        ``claims``: what ``userinfo`` returned. Each claim comes with its source, its issuer and
        whether the provider's keys verify it; none is merged with the provider's own. A
        distributed one is fetched from the address the provider gave, https only, with the same
        limits as everything else. Raises ``UserInfoError`` with ``claims.source`` or
        ``ProviderError`` (OIDC Core section 5.6.2).
        """
        from reliant.protocol import claim_sources as sources

        found: dict[str, SourcedClaim] = {}
        for source in sources.claim_sources(claims):
            jwt = source.jwt
            if jwt is None:
                answer = await self.transport.send(sources.build_claims_request(source))
                jwt = sources.parse_claims_response(answer)
            token = sources.read_source(jwt)
            # Another person's token is as well signed as this one's.
            theirs = token.claims.get("sub") in (None, claims.get("sub"))
            verified = theirs and await self.verifier.vouches_for(token)
            found.update(sources.sourced_claims(source, token, verified))
        return found

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
        return await self._refreshes.anew(refresh_token, lambda: self._refresh(old, refresh_token))

    async def _refresh(self, old: Mapping[str, Any], refresh_token: str) -> Token:
        token = await self.token_endpoint.refresh(old, refresh_token)
        self._refreshes.remember(refresh_token, token)
        await self.tell_update(token, old)
        return token

    async def tell_update(self, token: Token, old: Mapping[str, Any]) -> None:
        """Tell the app's ``update_token`` hook that ``token`` takes the place of ``old``."""
        if self.settings.update_token is not None:
            await call(
                self.settings.update_token,
                token,
                refresh_token=old.get("refresh_token"),
                access_token=old.get("access_token"),
            )

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
        await self.token_endpoint.revoke(token, token_type_hint)

    # -- the registration of a client that registered itself ----------------------------------

    async def register_itself(
        self,
        metadata: Mapping[str, Any],
        initial_access_token: str | None = None,
        software_statement: str | None = None,
    ) -> Registration:
        """Ask the provider to register this client (RFC 7591 section 3).

        ``metadata``: the client metadata, to which the public parts of ``client_keys`` are added
        where they name no keys. Returns the answer, which ``adopt_registration`` lets count.
        """
        server = await self.load_server_metadata()
        endpoint = needed_endpoint(
            server, "registration_endpoint", 'Missing "registration_endpoint" in metadata'
        )
        if self.settings.keys and not {"jwks", "jwks_uri"} & metadata.keys():
            jwks = {"keys": [public_jwk(key) for key in self.settings.keys]}
            metadata = {**metadata, "jwks": jwks}
        request = build_registration_request(
            endpoint, metadata, initial_access_token, software_statement
        )
        response = await self.transport.send(request)
        return parse_registration_response(response, initial_access_token, endpoint)

    async def read_registration(self) -> Registration:
        """Read the client's registration from the provider (RFC 7592 section 2.1).

        Raises ``RegistrationError``, ``ConfigurationError`` where there is none to manage.
        """
        return await self._manage("GET", None)

    async def update_registration(self, metadata: Mapping[str, Any]) -> Registration:
        """Replace the client's metadata at the provider (RFC 7592 section 2.2).

        ``metadata``: all of them, for what is left out is removed. What the provider answers
        counts from now on. Raises as ``read_registration`` does.
        """
        return await self._manage("PUT", {**metadata, "client_id": self.client_id})

    async def delete_registration(self) -> None:
        """Delete the client at the provider (RFC 7592 section 2.3); raises as the others do."""
        uri, access_token = self._management()
        request = build_management_request("DELETE", uri, access_token)
        check_deletion_response(await self.transport.send(request), access_token)
        self.registration = None

    async def _manage(self, method: str, metadata: Mapping[str, Any] | None) -> Registration:
        uri, access_token = self._management()
        request = build_management_request(method, uri, access_token, metadata)
        answer = parse_registration_response(await self.transport.send(request), access_token, uri)
        self.adopt_registration(answer)
        return answer

    def adopt_registration(self, registration: Registration) -> None:
        """Let what the provider answered to a registration count from now on."""
        if self.registration is not None:  # the provider need not repeat what did not change
            registration = replace(
                registration,
                client_secret=registration.client_secret or self.registration.client_secret,
                registration_access_token=registration.registration_access_token
                or self.registration.registration_access_token,
                registration_client_uri=registration.registration_client_uri
                or self.registration.registration_client_uri,
            )
        self.registration = registration
        self._settle(self.settings.registered_as(registration))

    def _management(self) -> tuple[str, str]:
        found = self.registration
        if (
            found is None
            or not found.registration_client_uri
            or not found.registration_access_token
        ):
            raise ConfigurationError(
                description="This client has no registration that it may manage: the provider "
                "gave no registration_client_uri and registration_access_token.",
                code="configuration.registration",
            )
        return found.registration_client_uri, found.registration_access_token.reveal()

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
        endpoint = needed_endpoint(
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
            id_token_hint=id_token_hint and self.verifier.hint(id_token_hint),
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
        base = self.settings.api_base_url
        url = resolve_url(url, base)
        places = [place for place in (base, token_origin) if place]
        refreshed: Mapping[str, Any] | None = None
        if not withhold_token:
            check_destination(url, places, _ELSEWHERE)
            current = await self._usable(token)
            if current is not token:
                refreshed = current
            hooks = await self.token_endpoint.hooks()
            headers, data = self._place(current["access_token"], options)
            url, headers, data = await hooks.fix_parts("protected_request", url, headers, data)
            options = {**options, "headers": headers}
            if data is not None:
                options["data"] = data
        response = await self.transport.request(method, url, **options)
        if refreshed is not None:
            response.extensions["oauth_token"] = refreshed
        return response

    def _place(self, access_token: str, options: Mapping[str, Any]) -> tuple[Any, Any]:
        import httpx2

        headers, data = httpx2.Headers(options.get("headers")), options.get("data")
        if self.settings.token_placement == "body":
            return headers, {**(data or {}), "access_token": access_token}
        headers["authorization"] = f"Bearer {access_token}"
        return headers, data

    async def _usable(self, token: Mapping[str, Any] | None) -> Mapping[str, Any]:
        refresh_token = needs_refresh(token, self._now())
        old = token or {}
        if refresh_token is None:
            return old
        fresh = await self._refreshes.once(
            refresh_token, old, lambda: self._refresh(old, refresh_token)
        )
        if isinstance(old, dict):
            old.update(fresh)
        return fresh

    # -- shared steps ------------------------------------------------------------------------

    def _sub_of(self, token: Mapping[str, Any]) -> str | None:
        return text(self.verifier.claims_of(token).get("sub"))

    def _now(self) -> int:
        return int(self._clock())
