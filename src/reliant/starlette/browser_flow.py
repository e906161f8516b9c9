"""The way of a login or logout out through the browser, to the provider, and back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse

from reliant.client.oauth_client import OAuthClient
from reliant.errors import (
    ConfigurationError,
    FragmentAnswer,
    OAuthError,
    StateError,
    printable,
)
from reliant.protocol.authorization import scopes_of
from reliant.protocol.token_endpoint import Token
from reliant.protocol.transaction import LoginTransaction, LogoutTransaction
from reliant.protocol.values import is_local_path
from reliant.starlette.requests import callback_parameters, origin_of_request, query_parameters
from reliant.starlette.transactions import Read, T, TransactionStore

__all__ = ["BrowserFlow", "check_local"]

log: logging.Logger = logging.getLogger("reliant")

_FOR_ONE = {"cache-control": "no-store"}  # a login that a cache hands to others is everyone's


class BrowserFlow:
    """Sends browsers to the provider of one client, and knows them when they are back.

    ``transactions``: where what is on its way is kept.
    """

    def __init__(self, client: OAuthClient, transactions: TransactionStore) -> None:
        self._client = client
        self._transactions = transactions

    async def begin_login(
        self,
        request: Request,
        redirect_uri: str | None,
        return_to: str | None,
        data: Any,
        params: Mapping[str, Any],
    ) -> RedirectResponse:
        """Redirect to the provider, remembering the login."""
        with self._logged("login"):
            return_to = None if return_to is None else check_local(return_to)
            url, state, transaction = await self._client.start_login(redirect_uri, params)
            defaults = self._client.settings.authorize_params
            mode = params.get("response_mode", defaults.get("response_mode"))
            response = RedirectResponse(url, status_code=302, headers=_FOR_ONE)
            members = {**vars(transaction), "return_to": return_to, "data": data}
            await self._keep(request, state, members, mode == "form_post", response)
        return response

    async def remember(
        self,
        request: Request,
        state: str,
        record: Mapping[str, Any],
        cross_site: bool,
        response: Any,
    ) -> None:
        """Keep the login of ``state``; ``response`` carries the cookie where one is needed."""
        transaction = LoginTransaction.from_record(record)
        if transaction is None:
            raise ConfigurationError(
                description='Missing "code_verifier" value: pass what create_authorization_url '
                "returned.",
                code="configuration.code_verifier",
            )
        await self._keep(request, state, vars(transaction), cross_site, response)

    async def _keep(
        self,
        request: Request,
        state: str,
        members: Mapping[str, Any],
        cross_site: bool,
        response: Any,
    ) -> None:
        uri, origin = members["redirect_uri"], origin_of_request(request)
        if uri is not None and origin is not None and uri.startswith(origin + "/"):
            # The callback is a request to this very URL and so knows its origin.
            uri = uri.removeprefix(origin)
        transaction = LoginTransaction(**{**members, "redirect_uri": uri})
        cookies = await self._transactions.put(
            request, self._client.name, state, transaction, cross_site=cross_site
        )
        if cookies and response is None:
            raise ConfigurationError(
                description="With OAuth(secret_key=...) a login is kept in a cookie: pass "
                "response= to save_authorize_data, or use authorize_redirect.",
                code="configuration.response",
            )
        _add_cookies(response, cookies)

    async def finish_login(self, request: Request, **options: Any) -> Token:
        """Take up the login that the browser comes back with; ``options`` of ``finish_login``."""
        parameters, transaction = await self.take_login(request)
        return await self.complete_login(parameters, transaction, **options)

    async def take_login(self, request: Request) -> tuple[Mapping[str, str], LoginTransaction]:
        """What the browser comes back with, and the login that it belongs to."""
        with self._logged("login"):
            parameters = await callback_parameters(request)
            posted = request.scope.get("method") == "POST"  # by the page, so there is no more
            if not parameters and not posted and self._answers_in_fragment():
                raise FragmentAnswer(
                    description="The answer is in the fragment of the callback's URL."
                )
            transaction = await self._take(request, parameters, LoginTransaction.from_record)
            uri = transaction.redirect_uri
            if uri is not None and uri.startswith("/"):
                transaction = LoginTransaction(
                    **{**vars(transaction), "redirect_uri": f"{origin_of_request(request)}{uri}"}
                )
            return parameters, transaction

    async def complete_login(
        self, parameters: Mapping[str, str], transaction: LoginTransaction, **options: Any
    ) -> Token:
        """Finish what ``take_login`` returned."""
        with self._logged("login"):
            return await self._client.finish_login(transaction, parameters, **options)

    async def begin_logout(
        self, request: Request, post_logout_redirect_uri: Any, *hints: str | None, **more: Any
    ) -> RedirectResponse:
        """Redirect to the provider's end-session endpoint, remembering the logout."""
        with self._logged("logout"):
            logout = await self._client.create_logout_url(post_logout_redirect_uri, *hints, **more)
            response = RedirectResponse(logout["url"], status_code=302, headers=_FOR_ONE)
            if logout["state"] is not None:
                transaction = LogoutTransaction(str(post_logout_redirect_uri))
                cookies = await self._transactions.put(
                    request, self._client.name, logout["state"], transaction
                )
                _add_cookies(response, cookies)
        return response

    async def finish_logout(self, request: Request) -> LogoutTransaction:
        """Take up the logout that the browser comes back with."""
        with self._logged("logout"):
            parameters = query_parameters(request)
            return await self._take(request, parameters, LogoutTransaction.from_record)

    async def _take(self, request: Request, parameters: Mapping[str, str], read: Read[T]) -> T:
        state = parameters.get("state")
        if state is None:
            raise StateError(
                "missing_state",
                'Missing "state" parameter: this page is reached through the provider only. '
                "Begin at the login.",
                code="state.missing",
            )
        return await self._transactions.take(request, self._client.name, state, read)

    def _answers_in_fragment(self) -> bool:
        params = self._client.settings.authorize_params
        front_channel = "id_token" in scopes_of(params.get("response_type"))
        default = "fragment" if front_channel else "query"
        return bool(params.get("response_mode", default) == "fragment")

    def _logged(self, what: str) -> _Logged:
        return _Logged(what, self._client.name)


class _Logged:
    """Tells the log of an error that leaves, and the error where it happened."""

    def __init__(self, what: str, client: str) -> None:
        self._what, self._client = what, client

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        # With a FragmentAnswer the login goes on.
        if isinstance(error, OAuthError) and not isinstance(error, FragmentAnswer):
            log.warning("%s at %r failed: code=%s error=%s: %s", self._what, self._client,
                        error.code, error.error, printable(error.description, 500))  # fmt: skip
            error.client_name = self._client


def check_local(path: str) -> str:
    """Judge a ``return_to``; raises ``OAuthError`` with ``return_to.not_local``."""
    if not is_local_path(path):
        raise OAuthError(
            "invalid_request",
            "return_to must be a path of this site, such as /account: anything else could send "
            "people to a stranger's page.",
            code="return_to.not_local",
        )
    return path


def _add_cookies(response: Any, cookies: list[str]) -> None:
    for cookie in cookies:
        response.headers.append("set-cookie", cookie)
