"""A FastAPI application that logs people in at one OpenID provider.

Run it with: uvicorn --app-dir examples fastapi_app:app
"""

import os
import secrets
from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from reliant import OAuthError, Token
from reliant.starlette import OAuth

# With secret_key, logins in progress travel in encrypted cookies: no SessionMiddleware is needed.
oauth = OAuth(secret_key=os.environ["SECRET_KEY"])
oauth.register(
    "op",
    client_id=os.environ["CLIENT_ID"],
    client_secret=os.environ.get("CLIENT_SECRET"),
    server_metadata_url=os.environ["ISSUER"].rstrip("/") + "/.well-known/openid-configuration",
    client_kwargs={"scope": "openid profile email"},
)

app = FastAPI(lifespan=oauth.lifespan, exception_handlers={OAuthError: oauth.exception_handler})

HOME = """<a href="/login">Log in</a> <a href="/profile">Profile</a>
<form method="post" action="/refresh"><button>Refresh</button></form>
<form method="post" action="/logout"><button>Log out</button></form>"""

# Tokens by the value of the cookie "login". One process only; with several, use a database.
logins: dict[str, Token] = {}
LoginCookie = Annotated[str, Cookie(alias="login")]


def current_token(login: LoginCookie = "") -> Token:
    if login not in logins:
        raise HTTPException(401, "not logged in")
    return logins[login]


CurrentToken = Annotated[Token, Depends(current_token)]


@app.get("/")
async def home() -> HTMLResponse:
    return HTMLResponse(HOME)


@app.get("/login")
async def login(request: Request) -> RedirectResponse:
    callback_url = request.url_for("callback")
    return await oauth.op.authorize_redirect(request, callback_url, return_to="/profile")


@app.get("/callback")
async def callback(request: Request) -> RedirectResponse:
    token = await oauth.op.authorize_access_token(request)
    key = secrets.token_urlsafe()
    logins[key] = token
    response = RedirectResponse(token.return_to or "/", status_code=303)
    response.set_cookie("login", key, httponly=True, secure=True, samesite="lax")
    return response


@app.get("/profile")
async def profile(token: CurrentToken) -> dict[str, object]:
    return await oauth.op.userinfo(token)


@app.post("/refresh")
async def refresh(token: CurrentToken, login: LoginCookie) -> RedirectResponse:
    logins[login] = await oauth.op.refresh_token(token)
    return RedirectResponse("/profile", status_code=303)


@app.post("/logout")
async def logout(request: Request, token: CurrentToken, login: LoginCookie) -> Response:
    logins.pop(login, None)
    return await oauth.op.logout_redirect(request, request.url_for("logged_out"), token.id_token)


@app.get("/logged-out")
async def logged_out(request: Request) -> HTMLResponse:
    await oauth.op.validate_logout_response(request)
    return HTMLResponse('You are logged out. <a href="/">Home</a>')
