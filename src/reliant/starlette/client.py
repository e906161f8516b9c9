"""A registered client as an app sees it: the seed of every login, logout and API call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse

from reliant.client.oauth_client import OAuthClient
from reliant.client.settings import ClientSettings
from reliant.errors import ConfigurationError
from reliant.protocol.claims import UserInfo
from reliant.protocol.id_token import MAX_LEEWAY
from reliant.protocol.token_endpoint import Token
from reliant.protocol.transaction import LoginTransaction
from reliant.protocol.values import is_local_path
from reliant.starlette.browser_flow import BrowserFlow, check_local
from reliant.starlette.transactions import TransactionStore
from reliant.storage.calls import call
from reliant.storage.references import References
from reliant.storage.replay import ReplayGuard

if TYPE_CHECKING:
    import httpx2
    from starlette.routing import Route

__all__ = ["StarletteClient"]


class StarletteClient(OAuthClient):
    """A client registered at one provider; ``oauth.register`` makes it.

    ``settings``: what was registered; ``transactions``: where logins in progress are kept;
    ``form_post``: whether ``transactions`` survive a POST from the provider's site; ``cache``:
    shared by all workers, or None.
    """

    def __init__(
        self,
        settings: ClientSettings,
        transactions: TransactionStore,
        form_post: bool,
        cache: Any = None,
    ) -> None:
        super().__init__(settings)
        self._flow = BrowserFlow(self, transactions)
        self.request_objects: References = References(cache=cache)
        self.replay_guard: ReplayGuard = ReplayGuard(cache)
        self._form_post = form_post
        self._check_response_mode(settings.authorize_params)
        self.login_path: str | None = None  # where a login began last: the "try again" link

    # -- login -------------------------------------------------------------------------------

    async def start_login(
        self, redirect_uri: str | None, params: Mapping[str, Any]
    ) -> tuple[str, str, LoginTransaction]:
        self._check_response_mode(params)
        return await super().start_login(redirect_uri, params)

    async def authorize_redirect(
        self,
        request: Request,
        redirect_uri: Any = None,
        *,
        return_to: str | None = None,
        data: Any = None,
        **params: Any,
    ) -> RedirectResponse:
        """Begin a login: a 302 to the provider.

        ``redirect_uri``: the callback's URL, as registered at the provider; ``return_to``: a path
        of this site to go on to, which comes back as ``token.return_to``; ``data``: JSON that
        comes back as ``token.data``; further parameters of the authorization request by name
        (``prompt``, ``login_hint``, ``max_age``, ``scope`` …). Raises ``ConfigurationError``,
        ``MetadataError``, ``ProviderError``, and ``OAuthError`` with ``return_to.not_local``.
        """
        _check_request(request)
        uri = None if redirect_uri is None else str(redirect_uri)
        response = await self._flow.begin_login(request, uri, return_to, data, params)
        self._remember_path(request)
        return response

    async def save_authorize_data(
        self, request: Request, *, response: Any = None, **data: Any
    ) -> None:
        """Keep what ``create_authorization_url`` returned until the browser comes back.

        ``data``: its members, with ``redirect_uri``, ``return_to`` and ``data`` if wanted;
        ``response``: the redirect about to be sent, which must carry the cookie where
        ``OAuth(secret_key=...)`` is used. Raises ``ConfigurationError``.
        """
        _check_request(request)
        state = data.pop("state", None)
        if not state:
            raise ConfigurationError(
                description='Missing "state" value: pass what create_authorization_url returned.',
                code="configuration.state",
            )
        cross_site = "response_mode=form_post" in data.pop("url", "")
        if data.get("redirect_uri") is not None:
            data["redirect_uri"] = str(data["redirect_uri"])
        if data.get("return_to") is not None:
            data["return_to"] = check_local(data["return_to"])
        await self._flow.remember(request, state, data, cross_site, response)

    async def authorize_access_token(
        self,
        request: Request,
        *,
        claims_options: Mapping[str, Mapping[str, Any]] | None = None,
        leeway: int = MAX_LEEWAY,
        **params: Any,
    ) -> Token:
        """Finish a login at the callback: a GET with a query, or a form_post.

        ``claims_options``: checks of the ID Token's claims on top of all others; ``leeway``:
        seconds of clock difference to allow, 60 at most; further parameters of the token request
        by name. Returns the token; ``token["userinfo"]`` holds the validated claims. Raises
        ``StateError``, ``AuthorizationError``, ``TokenError``, ``IDTokenError``,
        ``MetadataError`` or ``ProviderError``.
        """
        _check_request(request)
        return await self._flow.finish_login(
            request, claims_options=claims_options, leeway=leeway, **params
        )

    # -- logout ------------------------------------------------------------------------------

    async def logout_redirect(
        self,
        request: Request,
        post_logout_redirect_uri: Any = None,
        id_token_hint: str | None = None,
        state: str | None = None,
        client_id: str | None = None,
        logout_hint: str | None = None,
        ui_locales: str | None = None,
    ) -> RedirectResponse:
        """End the session at the provider too: a 302 to it.

        End your own session first. ``post_logout_redirect_uri``: where the browser comes back to,
        as registered at the provider; ``id_token_hint``: ``token["id_token"]`` of the login;
        ``state``: drawn where not given; ``client_id``, ``logout_hint``, ``ui_locales``: as the
        specification has them. Raises ``ConfigurationError`` where the provider has no such
        endpoint (RP-Initiated Logout 1.0 section 2).
        """
        _check_request(request)
        return await self._flow.begin_logout(
            request,
            post_logout_redirect_uri,
            id_token_hint,
            state,
            client_id=client_id,
            logout_hint=logout_hint,
            ui_locales=ui_locales,
        )

    async def validate_logout_response(self, request: Request) -> dict[str, Any]:
        """Check that the browser comes back from a logout that began here, without a network call.

        Returns ``post_logout_redirect_uri``. Raises ``StateError`` (RP-Initiated Logout 1.0
        section 3).
        """
        _check_request(request)
        logout = await self._flow.finish_logout(request)
        return {"post_logout_redirect_uri": logout.post_logout_redirect_uri}

    def routes(self, redirect_uri: Any = None) -> list[Route]:
        """Routes for what the provider and its pages send on their own, for a ``Mount``.

        ``/jwks.json``, ``/request-objects/{reference}``, ``/backchannel-logout``,
        ``/frontchannel-logout``, ``/check-session`` and, with ``redirect_uri``,
        ``/initiate-login``. ``redirect_uri``: the callback of the logins begun there: a URL, or a
        function of the request that returns one.
        """
        from reliant.starlette.routes import client_routes

        return client_routes(lambda: self, redirect_uri)

    # -- API calls ---------------------------------------------------------------------------

    async def userinfo(
        self, token: Mapping[str, Any] | None = None, request: Request | None = None
    ) -> UserInfo:
        """Fetch the claims of the UserInfo endpoint, checked against the ID Token's ``sub``.

        ``token``: a token as a login returned it, or else ``request``, for which the
        ``fetch_token`` hook finds one. Raises ``MissingTokenError``, ``UserInfoError`` or
        ``ProviderError`` (OIDC Core section 5.3).
        """
        return await super().userinfo(await self._token_for(token, request))

    async def request(
        self,
        method: str,
        url: str,
        token: Mapping[str, Any] | None = None,
        request: Request | None = None,
        withhold_token: bool = False,
        *,
        token_origin: str | None = None,
        **options: Any,
    ) -> httpx2.Response:
        """Call an API with the access token, refreshed first if it has expired.

        ``url``: relative to ``api_base_url``, or absolute; ``token``: the token to use, or else
        ``request``, for which the ``fetch_token`` hook finds one; ``withhold_token``: send none;
        ``token_origin``: another origin than that of ``api_base_url`` that may see the token;
        ``options``: as ``httpx2.AsyncClient.request`` takes them. Returns the response; a token
        that was refreshed stands in ``response.extensions["oauth_token"]``, and ``token`` itself
        is updated where it is a dict. Raises ``MissingTokenError``, ``OAuthError`` with
        ``request.foreign_origin``, ``TokenError`` or ``ProviderError``.
        """
        if not withhold_token:
            token = await self._token_for(token, request)
        return await self.send_api_request(
            method, url, token, withhold_token, token_origin, options
        )

    async def get(
        self,
        url: str,
        token: Mapping[str, Any] | None = None,
        request: Request | None = None,
        withhold_token: bool = False,
        **options: Any,
    ) -> httpx2.Response:
        """``request`` with GET."""
        return await self.request("GET", url, token, request, withhold_token, **options)

    async def post(
        self,
        url: str,
        token: Mapping[str, Any] | None = None,
        request: Request | None = None,
        withhold_token: bool = False,
        **options: Any,
    ) -> httpx2.Response:
        """``request`` with POST."""
        return await self.request("POST", url, token, request, withhold_token, **options)

    async def put(
        self,
        url: str,
        token: Mapping[str, Any] | None = None,
        request: Request | None = None,
        withhold_token: bool = False,
        **options: Any,
    ) -> httpx2.Response:
        """``request`` with PUT."""
        return await self.request("PUT", url, token, request, withhold_token, **options)

    async def patch(
        self,
        url: str,
        token: Mapping[str, Any] | None = None,
        request: Request | None = None,
        withhold_token: bool = False,
        **options: Any,
    ) -> httpx2.Response:
        """``request`` with PATCH."""
        return await self.request("PATCH", url, token, request, withhold_token, **options)

    async def delete(
        self,
        url: str,
        token: Mapping[str, Any] | None = None,
        request: Request | None = None,
        withhold_token: bool = False,
        **options: Any,
    ) -> httpx2.Response:
        """``request`` with DELETE."""
        return await self.request("DELETE", url, token, request, withhold_token, **options)

    async def head(
        self,
        url: str,
        token: Mapping[str, Any] | None = None,
        request: Request | None = None,
        withhold_token: bool = False,
        **options: Any,
    ) -> httpx2.Response:
        """``request`` with HEAD."""
        return await self.request("HEAD", url, token, request, withhold_token, **options)

    async def options(
        self,
        url: str,
        token: Mapping[str, Any] | None = None,
        request: Request | None = None,
        withhold_token: bool = False,
        **options: Any,
    ) -> httpx2.Response:
        """``request`` with OPTIONS."""
        return await self.request("OPTIONS", url, token, request, withhold_token, **options)

    # -- shared steps ------------------------------------------------------------------------

    async def _token_for(
        self, token: Mapping[str, Any] | None, request: Request | None
    ) -> Mapping[str, Any] | None:
        if token is None and request is not None and self.settings.fetch_token is not None:
            token = await call(self.settings.fetch_token, request)
        return token

    def _remember_path(self, request: Request) -> None:
        path, method = request.scope.get("path"), request.scope.get("method", "GET")
        # Others will see the link, and a parameter in the path (/invite/abc/login) may be one
        # person's; the client's own name (/login/google) is not.
        shared = all(value == self.name for value in request.path_params.values())
        if method == "GET" and path and is_local_path(path) and shared:
            self.login_path = path

    def _check_response_mode(self, params: Mapping[str, Any]) -> None:
        mode = params.get("response_mode")
        if mode not in (None, "query", "fragment", "form_post"):
            raise ConfigurationError(
                description="response_mode is query, fragment or form_post.",
                code="configuration.response_mode",
            )
        if mode == "form_post" and not self._form_post:
            raise ConfigurationError(
                description="response_mode=form_post needs OAuth(secret_key=...): the answer is a "
                "POST from the provider's site, and a session cookie stays behind then.",
                code="configuration.form_post",
            )


def _check_request(request: object) -> None:
    if not hasattr(request, "scope"):
        raise TypeError(f"The first argument is the request; this is a {type(request).__name__}.")
