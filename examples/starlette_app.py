"""A Starlette application that logs people in at one OpenID provider.

Run it with: uvicorn --app-dir examples starlette_app:app
"""

import os
import secrets

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from reliant import OAuthError, Token
from reliant.starlette import OAuth

oauth = OAuth()  # logins in progress are kept in request.session
oauth.register(
    "op",
    client_id=os.environ["CLIENT_ID"],
    client_secret=os.environ.get("CLIENT_SECRET"),
    server_metadata_url=os.environ["ISSUER"].rstrip("/") + "/.well-known/openid-configuration",
    client_kwargs={"scope": "openid profile email"},
)

HOME = """<a href="/login">Log in</a> <a href="/profile">Profile</a>
<form method="post" action="/refresh"><button>Refresh</button></form>
<form method="post" action="/logout"><button>Log out</button></form>"""

# Tokens by the value of the session's "login". They stay on the server: the session cookie is
# signed, not encrypted, and holds 4 KB. One process only; with several, use a database.
logins: dict[str, Token] = {}


def token_of(request: Request) -> Token | None:
    return logins.get(request.session.get("login", ""))


async def home(request: Request) -> Response:
    return HTMLResponse(HOME)


async def login(request: Request) -> Response:
    callback_url = request.url_for("callback")
    return await oauth.op.authorize_redirect(request, callback_url, return_to="/profile")


async def callback(request: Request) -> Response:
    token = await oauth.op.authorize_access_token(request)
    request.session["login"] = secrets.token_urlsafe()
    logins[request.session["login"]] = token
    return RedirectResponse(token.return_to or "/", status_code=303)


async def profile(request: Request) -> Response:
    token = token_of(request)
    if token is None:
        return RedirectResponse("/login")
    return JSONResponse(await oauth.op.userinfo(token))


async def refresh(request: Request) -> Response:
    token = token_of(request)
    if token is None:
        return JSONResponse({"error": "not logged in"}, status_code=401)
    logins[request.session["login"]] = await oauth.op.refresh_token(token)
    return RedirectResponse("/profile", status_code=303)


async def logout(request: Request) -> Response:
    token = logins.pop(request.session.pop("login", ""), None)
    if token is None:
        return RedirectResponse("/", status_code=303)
    return await oauth.op.logout_redirect(request, request.url_for("logged_out"), token.id_token)


async def logged_out(request: Request) -> Response:
    await oauth.op.validate_logout_response(request)
    return HTMLResponse('You are logged out. <a href="/">Home</a>')


app = Starlette(
    routes=[
        Route("/", home),
        Route("/login", login),
        Route("/callback", callback),
        Route("/profile", profile),
        Route("/refresh", refresh, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
        Route("/logged-out", logged_out),
    ],
    # Behind https, pass https_only=True as well.
    middleware=[Middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"])],
    exception_handlers={OAuthError: oauth.exception_handler},
    lifespan=oauth.lifespan,
)
