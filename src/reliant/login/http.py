"""API calls with the token of a login: ``client.get(url, auth=auth.http(request))``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import httpx2

from reliant.client.token_family import Wanted
from reliant.errors import ConfigurationError
from reliant.login.challenge import asking
from reliant.login.session import Session
from reliant.protocol.api_call import check_destination, is_at
from reliant.protocol.step_up import step_up_challenge

__all__ = ["SessionAuth"]


class SessionAuth(httpx2.Auth):
    """Sends the access token of a session with each request, refreshed first where it is due.

    The token goes to the origin of ``base``, the client's ``api_base_url``, and of the resource
    that it is for; over https, or to this machine. An API that answers 401 gets the request once
    more with a new token. Where it wants a stronger or fresher login (RFC 9470), ``LoginRequired``
    is raised, which leads through one and back.
    """

    def __init__(self, session: Session, wanted: Wanted, base: str | None) -> None:
        self._session = session
        self._wanted = wanted
        self._places = [place for place in (base, wanted.resource) if place]

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send a request with the token, and once more if need be."""
        if not self._places:
            raise ConfigurationError(
                description='Missing "api_base_url" value: set it in register(), or pass resource= '
                "to auth.http(), so that the token goes to that API and nowhere else.",
                code="configuration.api_base_url",
            )
        check_destination(str(request.url), self._places, _ELSEWHERE)
        token = await self._session.access_token(self._wanted)
        response = yield _with(request, token["access_token"])
        # Where a redirect led elsewhere, the token did not go along, and nobody there has a say.
        if response.status_code != 401 or not is_at(str(response.url), self._places):
            return
        needed = step_up_challenge(401, response.headers.get("www-authenticate"))
        if needed is not None:
            with asking(self._session.client_name):
                raise needed
        new = await self._session.access_token(self._wanted, refused=token["access_token"])
        # A body that is read as it is sent is gone.
        if new["access_token"] != token["access_token"] and isinstance(
            request.stream, httpx2.ByteStream
        ):
            yield _with(request, new["access_token"])

    def sync_auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Refuse: a token may have to be refreshed, which is async."""
        raise ConfigurationError(
            description="auth.http(request) is for httpx2.AsyncClient.",
            code="configuration.async_client",
        )


_ELSEWHERE = (
    "If it belongs there, pass resource= to auth.http(), or send the token of "
    "auth.session(request).token() yourself."
)


def _with(request: httpx2.Request, access_token: str) -> httpx2.Request:
    request.headers["authorization"] = f"Bearer {access_token}"
    return request
