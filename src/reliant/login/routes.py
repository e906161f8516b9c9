"""The routes of a login: out to the provider, back, logout, and a form sent after all."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from reliant.errors import ConfigurationError, FragmentAnswer, LoginRequired, OAuthError, StateError
from reliant.login.challenge import NOBODY
from reliant.login.kept_post import resume_page
from reliant.login.visit import Visit
from reliant.protocol.values import is_local_path, s256
from reliant.starlette.cookies import clear_cookie
from reliant.starlette.pages import fragment_page
from reliant.starlette.requests import callback_parameters, query_parameters
from reliant.starlette.routes import client_routes
from reliant.starlette.transactions import CookieStore
from reliant.storage.replay import ReplayGuard

if TYPE_CHECKING:
    from reliant.login.reception import Reception

__all__ = ["login_routes"]

log: logging.Logger = logging.getLogger("reliant")

MAX_PARAMETER = 1024  # characters of a parameter that is passed on to the provider
_PASSED_ON = ("acr_values", "login_hint", "max_age", "prompt", "ui_locales")
_NUMBER = re.compile("[0-9]{1,9}")
_NO_STORE = {"cache-control": "no-store"}
Handler = Callable[["Reception", Visit, Request], Awaitable[Response]]


def login_routes(login: Reception, guard: ReplayGuard | None) -> list[BaseRoute]:
    """The routes of a login, and those of its client for what the provider sends on its own.

    ``guard``: remembers logout tokens for all workers.
    """
    routes: list[tuple[str, list[str], Handler]] = [
        ("/login", ["GET"], _login),
        ("/callback", ["GET", "POST"], _callback),
        ("/logout", ["GET", "POST"], _logout),
        ("/logged-out", ["GET"], _logged_out),
        ("/resume", ["GET"], _resume),
    ]
    return [
        *(Route(path, _answered(login, handler), methods=how) for path, how, handler in routes),
        *client_routes(
            lambda: login.client,
            login.redirect_uri,
            login.provider_logout,
            guard,
            lambda _, request, __, return_to, hint: _begin(login, request, return_to, hint),
            lambda request: login.visit(request).origin,
        ),
    ]


def _answered(login: Reception, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Whatever fails is a page, whether or not the app handles errors itself."""

    async def endpoint(request: Request) -> Response:
        visit = login.visit(request)
        try:
            if request.scope.get("root_path", "") != visit.base:
                raise ConfigurationError(
                    description="The routes of Login are elsewhere than they were told: write "
                    'auth.routes("/auth") among the routes of the application itself, where '
                    '"/auth" is the whole path. And give each Login a client of its own.',
                    code="configuration.routes",
                )
            return await handler(login, visit, request)
        except FragmentAnswer:
            return fragment_page()
        except OAuthError as exc:
            return await login.answer(visit, exc)

    return endpoint


async def _login(login: Reception, visit: Visit, request: Request) -> Response:
    parameters = query_parameters(request)
    return_to = parameters.get("return_to")
    visit.return_to = return_to if is_local_path(return_to or "") else None
    asked = {name: parameters[name] for name in _PASSED_ON if name in parameters}
    for name, value in asked.items():
        if len(value) > MAX_PARAMETER or (name == "max_age" and not _NUMBER.fullmatch(value)):
            raise OAuthError(
                "invalid_request", f'The "{name}" is not usable.', code="login.parameter"
            )
    return await _begin(login, request, return_to, asked)


async def _begin(
    login: Reception,
    request: Request,
    return_to: str | None,
    params: Mapping[str, Any],
    data: Any = None,
) -> Response:
    uri, return_to = login.redirect_uri(request), login.landing(login.visit(request), return_to)
    return await login.flow.begin_login(request, uri, return_to, data, params)


async def _callback(login: Reception, visit: Visit, request: Request) -> Response:
    answer = await callback_parameters(request)
    state = answer.get("state", "")
    # Reloaded, reached with the back button, or come twice: on to where that login went.
    seen = dict(visit.session.outline.landings) if visit.session is not None else {}
    if _digest(state) in seen:
        return RedirectResponse(seen[_digest(state)], 303, headers=_NO_STORE)
    flow, begun = login.flow, await login.begins()
    try:
        parameters, transaction = await flow.take_login(request)
    except StateError as exc:
        visit.return_to = exc.return_to
        late = exc.code in ("state.used", "state.expired") and "error" not in answer
        if not late or exc.data is not None:
            raise
        # The first answer, with the session in it, never reached the browser; or the provider's
        # page was open for more than ten minutes. The provider knows the person by now, so one more
        # round is all it takes; and only one.
        return await _begin(login, request, exc.return_to, exc.asked, data="again")
    visit.return_to = transaction.return_to
    token = await flow.complete_login(parameters, transaction)
    landing = token.return_to or login.settings.after_login
    await login.begin_session(visit, token, (_digest(state), landing), begun)
    return RedirectResponse(landing, 303, headers=_NO_STORE)


async def _logout(login: Reception, visit: Visit, request: Request) -> Response:
    links = login.settings.allow_get_logout
    if request.method != "POST" and not (links and request.method == "GET"):
        raise OAuthError(
            "invalid_request",
            "A logout is posted by a form of this site; a link does not do.",
            code="logout.method",
            status_hint=405,
        )
    if request.method == "POST" and not visit.is_from_here:
        raise OAuthError(
            "invalid_request",
            "A logout is posted by a page of this site. If it was: let the server trust its "
            "proxy's forwarded headers, or set Login(base_url=...).",
            code="logout.cross_site",
            status_hint=403,
        )
    home = RedirectResponse(login.settings.after_logout, 303, headers=_NO_STORE)
    # Where the session was over without its person knowing, that at the provider may not be: the
    # next one at this browser would be logged in with one click.
    if visit.session is None and login.last_session(visit) is None:
        return home
    last = await login.end_session(visit)
    try:
        response = await login.logout_at_provider(request, last) or home
    except OAuthError as exc:  # the provider is away, but this session is over
        log.warning(
            "logout at %r: the provider was not told: code=%s", login.settings.name, exc.code
        )
        response = home
    # A callback that is reached with the back button must not log in again.
    pending = [name for name in visit.present if name.startswith(CookieStore.PREFIX)]
    visit.cookies += [clear_cookie(name) for name in pending]
    if last is not None:
        response.background = BackgroundTask(login.revoke, last)
    return response


async def _logged_out(login: Reception, visit: Visit, request: Request) -> Response:
    if "state" in query_parameters(request):  # providers with a logout of their own send none
        with suppress(StateError):  # the log has it; to reload the page is no offence
            await login.flow.finish_logout(request)
    return RedirectResponse(login.settings.after_logout, 303, headers=_NO_STORE)


async def _resume(login: Reception, visit: Visit, request: Request) -> Response:
    session, on = visit.session, RedirectResponse(login.settings.after_login, 303, _NO_STORE)
    if session is None:
        raise LoginRequired(description=NOBODY)
    if request.method != "GET":
        return on
    post = await login.posts.take(visit.present)
    visit.cookies += login.posts.cleared(visit.present)
    # Sent only where the login that it led to is the one that has just led here.
    came_here = [path for _, path in session.outline.landings[:1]] == [f"{visit.base}/resume"]
    if post is None or not came_here:
        return on
    if not login.sessions.was_of(post.trace, session.iss, session.sub):
        log.info("a kept form was dropped, for somebody else has logged in")
        return on
    return resume_page(post, str(getattr(visit.user, "display_name", "") or session.sub))


def _digest(state: str) -> str:
    return s256(quote(state, errors="replace"))[:22]  # a state can be anything
