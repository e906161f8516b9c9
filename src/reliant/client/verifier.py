"""Judging what the provider signed: ID Tokens, UserInfo answers, logout tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reliant.client.settings import ClientSettings
from reliant.errors import (
    ConfigurationError,
    IDTokenError,
    LogoutTokenError,
    OAuthError,
    UserInfoError,
)
from reliant.http.provider import OpenIDProvider
from reliant.protocol.claims import UserInfo
from reliant.protocol.id_token import (
    MAX_LEEWAY,
    Expected,
    allowed_algorithms,
    check_claims,
    check_options,
    decrypt_id_token,
    has_valid_signature,
    read_id_token,
)
from reliant.protocol.jose import (
    ASYMMETRIC_ALGORITHMS,
    SYMMETRIC_ALGORITHMS,
    Jws,
    Key,
    MalformedToken,
    decrypt,
    is_encrypted,
    parse_jws,
    secret_key,
)
from reliant.protocol.jwks import select_keys
from reliant.protocol.logout_token import LogoutToken, check_logout_claims, read_logout_token
from reliant.protocol.messages import integer
from reliant.protocol.metadata import ServerMetadata, issuers_of
from reliant.protocol.userinfo import check_signed_userinfo, parse_claims

__all__ = ["TokenVerifier"]


class TokenVerifier:
    """Judges tokens for one client; ``clock``: a function returning Unix time."""

    def __init__(
        self, settings: ClientSettings, provider: OpenIDProvider, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._clock = clock
        self._hmac_key: Key | None = None
        url = settings.server_metadata_url
        self._issuer_is_told = url is None or "issuer" in settings.metadata or bool(issuers_of(url))

    def issuer(self, metadata: ServerMetadata) -> str:
        """The provider's issuer; raises ``ConfigurationError`` where it is not known for sure."""
        if metadata.issuer is None:
            raise ConfigurationError(
                description='Missing "issuer" value: an ID Token can\'t be checked without it. '
                "Set server_metadata_url or issuer.",
                code="configuration.issuer",
            )
        if not self._issuer_is_told:
            raise ConfigurationError(
                description="The issuer can't be told from server_metadata_url, which does not "
                "end with /.well-known/openid-configuration. Pass issuer= to register() as well.",
                code="configuration.issuer_unknown",
            )
        return metadata.issuer

    async def id_token(
        self,
        id_token: str,
        *,
        claims_options: Mapping[str, Mapping[str, Any]] | None = None,
        unasked_nonce: bool = True,
        **expected: Any,
    ) -> UserInfo:
        """Validate an ID Token; ``expected``: members of ``Expected``.

        ``unasked_nonce``: whether a nonce is fine where none is expected.
        """
        metadata = await self._provider.metadata()
        token = self.read(id_token)
        check_claims(
            token,
            Expected(
                self.issuer(metadata),
                self._settings.id,
                self._id_token_algorithms(metadata),
                **expected,
            ),
            int(self._clock()),
        )
        if not unasked_nonce and expected.get("nonce") is None and "nonce" in token.claims:
            raise IDTokenError(
                description="The ID Token has a nonce, though none was sent.",
                code="id_token.nonce_unasked",
            )
        alg = self._settings.registered.get("id_token_signed_response_alg")
        await self._check_signature(token, alg, "id_token", IDTokenError)
        check_options(token.claims, claims_options or {})
        return UserInfo(token.claims)

    def read(self, id_token: str) -> Jws:
        """Read an ID Token without trusting it, decrypted where it is encrypted."""
        registered = self._settings.registered
        return read_id_token(
            id_token,
            self._settings.keys,
            registered.get("id_token_encrypted_response_alg"),
            registered.get("id_token_encrypted_response_enc"),
        )

    def claims_of(self, token: Mapping[str, Any]) -> Mapping[str, Any]:
        """The claims of the login a token comes from, as far as they are at hand."""
        claims = token.get("userinfo")
        if isinstance(claims, Mapping):
            return claims
        id_token = token.get("id_token")
        return self.read(id_token).claims if isinstance(id_token, str) else {}

    def hint(self, id_token: str) -> str:
        """What may go out as ``id_token_hint``: a decrypted ID Token (OIDC Core 3.1.2.1)."""
        return decrypt_id_token(id_token, self._settings.keys)

    async def userinfo(self, jwt: str) -> UserInfo:
        """Validate a signed or encrypted UserInfo answer (OIDC Core section 5.3.2)."""
        registered, metadata = self._settings.registered, await self._provider.metadata()
        encryption = registered.get("userinfo_encrypted_response_alg")
        alg = registered.get("userinfo_signed_response_alg")
        try:
            if is_encrypted(jwt):
                enc = registered.get("userinfo_encrypted_response_enc")
                jwt = decrypt(jwt, self._settings.keys, encryption, enc)
                if alg is None and jwt.lstrip().startswith("{"):  # not signed, as TLS vouches
                    return parse_claims(jwt)
            elif encryption is not None:
                raise MalformedToken("it is not encrypted, though the client is registered so")
            token = parse_jws(jwt)
        except MalformedToken as exc:
            raise UserInfoError(
                description=f"The UserInfo answer can't be read: {exc}.", code="userinfo.malformed"
            ) from exc
        algorithms = self._algorithms(metadata, alg, "userinfo_signing_alg_values_supported")
        check_signed_userinfo(token, self.issuer(metadata), self._settings.id, algorithms)
        await self._check_signature(token, alg, "userinfo", UserInfoError)
        return UserInfo(token.claims)

    async def logout_token(self, jwt: str) -> LogoutToken:
        """Validate a logout token (Back-Channel Logout 1.0 section 2.6)."""
        metadata = await self._provider.metadata()
        registered = self._settings.registered
        try:
            if is_encrypted(jwt):
                encryption = registered.get("id_token_encrypted_response_alg")
                enc = registered.get("id_token_encrypted_response_enc")
                jwt = decrypt(jwt, self._settings.keys, encryption, enc)
        except MalformedToken as exc:
            raise LogoutTokenError(
                description=f"The logout token can't be read: {exc}.",
                code="logout_token.malformed",
            ) from exc
        token = read_logout_token(jwt)
        logout = check_logout_claims(
            token,
            self.issuer(metadata),
            self._settings.id,
            self._id_token_algorithms(metadata),
            int(self._clock()),
        )
        alg = registered.get("id_token_signed_response_alg")
        await self._check_signature(token, alg, "logout_token", LogoutTokenError)
        return logout

    async def vouches_for(self, token: Jws) -> bool:
        """Tell whether the provider itself signed a token; another issuer's can't be judged."""
        metadata, claims = await self._provider.metadata(), token.claims
        aud, exp = claims.get("aud", self._settings.id), claims.get("exp")
        # A token for someone else, or a stale one, proves nothing of who is here now.
        ours = claims.get("iss") in (None, metadata.issuer) and self._settings.id in (
            aud if isinstance(aud, list) else [aud]
        )
        stale = exp is not None and (integer(exp) or 0) + MAX_LEEWAY <= self._clock()
        if not ours or stale or token.alg not in ASYMMETRIC_ALGORITHMS:
            return False
        return await self._provider.try_keys(lambda keys: has_valid_signature(token, keys))

    def _id_token_algorithms(self, metadata: ServerMetadata) -> tuple[str, ...]:
        alg = self._settings.registered.get("id_token_signed_response_alg")
        return self._algorithms(metadata, alg, "id_token_signing_alg_values_supported")

    def _algorithms(
        self, metadata: ServerMetadata, registered: str | None, announced: str
    ) -> tuple[str, ...]:
        own = self._settings.metadata.get(announced)
        return allowed_algorithms(
            registered, metadata.announced(announced), None if own is None else tuple(own)
        )

    async def _check_signature(
        self, token: Jws, registered: str | None, area: str, error: type[OAuthError]
    ) -> None:
        known = False

        def works(keys: tuple[Key, ...]) -> bool:
            nonlocal known
            valid = has_valid_signature(token, keys)
            known = known or valid or bool(select_keys(keys, token.alg, token.kid))
            return valid

        if registered in SYMMETRIC_ALGORITHMS:
            valid = works((*self._hmac_keys(), *self._provider.own_keys))
        else:
            valid = await self._provider.try_keys(works)
        if not valid:
            what = area.replace("_", " ")
            raise error(
                description=f"The signature of the {what} is not the provider's."
                if known
                else f"The {what} is signed with a key that is not among the provider's.",
                code=f"{area}.signature" if known else f"{area}.key_unknown",
            )

    def _hmac_keys(self) -> tuple[Key, ...]:
        if self._hmac_key is None and self._settings.client_secret:
            self._hmac_key = secret_key(self._settings.client_secret.reveal())
        return () if self._hmac_key is None else (self._hmac_key,)
