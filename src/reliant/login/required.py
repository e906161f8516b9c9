"""What an endpoint requires of a login: as a decorator, or as a dependency of FastAPI."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from reliant.errors import LoginRequired, OAuthError
from reliant.login.challenge import NOBODY, asking
from reliant.login.kept_post import form_to_keep, was_read
from reliant.login.session import Session
from reliant.login.visit import Visit
from reliant.protocol.step_up import check_authentication

if TYPE_CHECKING:
    from reliant.login.reception import Reception

__all__ = ["Required"]

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class Required:
    """What ``auth.required(...)`` returns: decorate an endpoint with it, or depend on its ``user``.

    ``scopes``: those the login must have been granted; ``acr_values``, ``max_age``: see
    ``Login.required``; ``preserve_post``: keep a posted form if a login comes in between.
    """

    reception: Reception = field(repr=False)
    scopes: tuple[str, ...] = ()
    acr_values: str | None = None
    max_age: int | None = None
    preserve_post: bool = False

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        """Decorate an endpoint that has a parameter ``request`` or ``websocket``."""
        _check_parameters(endpoint)
        is_async = any(map(inspect.iscoroutinefunction, (endpoint, type(endpoint).__call__)))

        @wraps(endpoint)
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            values = (*args, *kwargs.values())
            connection = next(value for value in values if isinstance(value, HTTPConnection))
            await self.user(connection)
            try:
                if is_async:
                    return await endpoint(*args, **kwargs)
                return await run_in_threadpool(endpoint, *args, **kwargs)
            except LoginRequired:
                await self._keep_form(connection)
                raise

        self.reception.guarded.append((endpoint, guarded))
        return cast(Endpoint, guarded)

    async def user(self, connection: HTTPConnection) -> Any:
        """Who is logged in, as ``request.user``: for ``Depends(auth.required(...).user)``.

        Raises ``LoginRequired`` (``session.login_required``,
        ``session.insufficient_authentication``), which leads through a login and back, and
        ``OAuthError`` with ``session.scope`` where that would not help.
        """
        visit = self.reception.visit(connection)
        visit.personal = True
        try:
            with asking(self.reception.settings.name):
                session = self._judged(visit)
        except LoginRequired:
            await self._keep_form(connection)
            raise
        if was_read(connection):  # FastAPI has, so that there will be nothing to read later
            await self._keep_form(connection)
        missing = set(self.scopes).difference(session.outline.scopes)
        if missing:
            raise OAuthError(
                "insufficient_scope",
                f"The login was not granted the scope {' '.join(sorted(missing))}.",
                code="session.scope",
                status_hint=403,
            )
        visit.show(connection.scope)  # where an app has several logins, the one that was asked
        return visit.user

    def _judged(self, visit: Visit) -> Session:
        session = visit.session
        if session is None:
            # With all that it must be, so that one login does.
            raise LoginRequired(
                description=NOBODY, acr_values=self.acr_values, max_age=self.max_age
            )
        # The ID Token's claims alone: nobody vouches for an acr in a UserInfo answer.
        claims, now = session.outline.claims, self.reception.clock()
        check_authentication(claims, self.acr_values, self.max_age, now)
        return session

    async def _keep_form(self, connection: HTTPConnection) -> None:
        if self.preserve_post:
            self.reception.visit(connection).form = await form_to_keep(connection)


def _check_parameters(endpoint: Callable[..., Any]) -> None:
    if not {"request", "websocket"} & inspect.signature(endpoint).parameters.keys():
        raise TypeError(
            f"{getattr(endpoint, '__name__', endpoint)!r} needs a parameter named request or "
            "websocket; with FastAPI you can write Depends(auth.required(...).user) instead."
        )
