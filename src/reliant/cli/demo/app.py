"""The demo application: how to log in, refresh, call the provider and log out with Reliant."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from reliant import OAuthError
from reliant.cli.demo import pages
from reliant.cli.demo.session import Sessions
from reliant.starlette import OAuth, StarletteClient

__all__ = ["build_app"]


def build_app(
    client_id: str, client_secret: str, server_metadata_url: str, **more: Any
) -> Starlette:
    """Build the application as a client of one provider.

    ``client_id``, ``client_secret``: as registered at the provider. ``server_metadata_url``: where
    the provider describes itself. ``more``: further members of ``client_kwargs``.
    """
    # A real application reads the key from its settings, so that logins survive a restart.
    oauth = OAuth(secret_key=secrets.token_urlsafe(32))
    oauth.register(
        "op",
        client_id=client_id,
        client_secret=client_secret,
        server_metadata_url=server_metadata_url,
        client_kwargs={"scope": "openid profile email", **more},
    )
    app = Starlette(
        routes=[
            Route("/", home),
            Route("/login", login),
            Route("/callback", callback, methods=["GET", "POST"]),
            Route("/profile", profile),
            Route("/protected", protected),
            Route("/refresh", refresh, methods=["POST"]),
            Route("/userinfo", userinfo, methods=["POST"]),
            Route("/logout", logout, methods=["POST"]),
            Route("/logged-out", logged_out),
        ],
        exception_handlers={OAuthError: oauth.exception_handler},
        lifespan=oauth.lifespan,
    )
    app.state.oauth = oauth
    app.state.sessions = Sessions()
    return app


async def home(request: Request) -> Response:
    """The first page: log in, or go on to the profile."""
    return pages.home(_session(request))


async def login(request: Request) -> Response:
    """Send the browser to the provider; come back to ``return_to``."""
    return await _op(request).authorize_redirect(
        request,
        request.url_for("callback"),
        return_to=request.query_params.get("return_to", "/profile"),
        response_mode=request.query_params.get("response_mode"),
    )


async def callback(request: Request) -> Response:
    """The browser is back: check everything, then begin a session of our own."""
    token = await _op(request).authorize_access_token(request)
    # 303: after a form_post the next request must be a GET.
    response = RedirectResponse(token.return_to or "/profile", 303)
    request.app.state.sessions.start(response, {"token": token})
    return response


async def profile(request: Request) -> Response:
    """What the provider said about the user."""
    session = _session(request)
    if session is None:
        return RedirectResponse("/login?return_to=/profile")
    return pages.profile(session["token"])


async def protected(request: Request) -> Response:
    """A page for users who are logged in; others log in first and come back to it."""
    session = _session(request)
    if session is None:
        return RedirectResponse("/login?return_to=/protected")
    return pages.protected(session["token"]["userinfo"])


async def refresh(request: Request) -> Response:
    """Get a new access token with the refresh token."""
    session = _session(request)
    if session is None:
        return RedirectResponse("/", 303)
    session["token"] = await _op(request).refresh_token(session["token"])
    return pages.profile(session["token"], "The provider issued new tokens.")


async def userinfo(request: Request) -> Response:
    """Ask the provider about the user with the access token."""
    session = _session(request)
    if session is None:
        return RedirectResponse("/", 303)
    claims = await _op(request).userinfo(token=session["token"])
    return pages.profile(session["token"], "The UserInfo endpoint answered.", claims)


async def logout(request: Request) -> Response:
    """Log out here first, then at the provider."""
    session = request.app.state.sessions.end(request)
    if session is None:
        return RedirectResponse("/", 303)
    return await _op(request).logout_redirect(
        request,
        post_logout_redirect_uri=request.url_for("logged_out"),
        id_token_hint=session["token"].id_token,
    )


async def logged_out(request: Request) -> Response:
    """The browser is back from the provider's logout."""
    await _op(request).validate_logout_response(request)
    return pages.logged_out()


def _op(request: Request) -> StarletteClient:
    # With ``oauth`` at module level this is just ``oauth.op``; here tests build many applications.
    oauth: OAuth = request.app.state.oauth
    return oauth.op


def _session(request: Request) -> dict[str, Any] | None:
    session: dict[str, Any] | None = request.app.state.sessions.of(request)
    return session
