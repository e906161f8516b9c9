"""A FastAPI application whose people stay logged in, on any number of workers that share a Redis.

Run it with: uvicorn --app-dir examples/fastapi_redis app:app --workers 4
"""

import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from string import Template
from typing import Annotated, Any

import httpx2
from fastapi import BackgroundTasks, Depends, FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from reliant.login import Login, RedisStore, Session, User
from reliant.starlette import OAuth

# -- Who logs people in, and where their sessions live --------------------------------------

API_URL = os.environ["API_URL"]  # what the access tokens are for

oauth = OAuth()
oauth.register(
    "op",
    client_id=os.environ["CLIENT_ID"],
    client_secret=os.environ.get("CLIENT_SECRET"),
    server_metadata_url=os.environ["ISSUER"].rstrip("/") + "/.well-known/openid-configuration",
    api_base_url=API_URL,  # its origin, and no other, gets the tokens
    client_kwargs={"scope": os.environ.get("SCOPE", "openid profile email")},
)
store = RedisStore.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379/0"))
auth = Login(
    oauth,
    "op",
    secret_key=os.environ["SECRET_KEY"],
    store=store,
    base_url=os.environ.get("BASE_URL"),  # behind a proxy: https://app.example
    userinfo=True,  # name and e-mail address, where the ID Token has only the sub
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with auth.lifespan(app), httpx2.AsyncClient() as api:
        app.state.api = api
        yield


app = FastAPI(lifespan=lifespan, middleware=[auth.middleware()])
app.router.routes.append(auth.routes("/auth"))  # /auth/login, /auth/callback, /auth/logout ...

# What an endpoint may ask for. Who is not logged in is led through a login, and comes back.
LoggedIn = Annotated[User, Depends(auth.user)]
CurrentSession = Annotated[Session, Depends(auth.session)]
KeepsForm = Annotated[User, Depends(auth.required(preserve_post=True).user)]
# Who proved who they are more than five minutes ago must do it again (RFC 9470).
JustProven = Annotated[
    User, Depends(auth.required(acr_values=os.environ.get("ACR_VALUES"), max_age=300).user)
]


# -- Pages -----------------------------------------------------------------------------------


@app.get("/")
async def home(request: Request) -> HTMLResponse:
    """Open to all; it looks at who is here and asks for nothing."""
    if not request.user.is_authenticated:
        return page(request, "Welcome", '<p><a class="button" href="/auth/login">Log in</a></p>')
    return page(
        request,
        f"Hello, {request.user.display_name}",
        """<p>Restart the application: you are still logged in.</p>
        <p><button onclick="ask('/api/me')">Ask by script</button></p><pre id="answer"></pre>""",
    )


@app.get("/account")
async def account(request: Request, user: LoggedIn, session: CurrentSession) -> HTMLResponse:
    """For people who are logged in."""
    shown = {"claims": user.claims, "scopes": request.auth.scopes, "ends": session.expires_at}
    return page(request, "Your account", as_text(shown))


@app.get("/payment")
async def payment(request: Request, user: JustProven) -> HTMLResponse:
    """For people who have just proved who they are."""
    return page(request, "Your payment", f"<p>Go ahead, {escape(user.display_name)}.</p>")


@app.get("/message")
async def write_message(request: Request, user: LoggedIn) -> HTMLResponse:
    """A form. Should the session end while it is filled in, what was written is not lost."""
    form = '<form method="post"><textarea name="text" required></textarea><button>Send</button>'
    return page(request, "Write to us", f"{form}</form>")


@app.post("/message")
async def send_message(
    request: Request, user: KeepsForm, text: Annotated[str, Form()]
) -> HTMLResponse:
    return page(request, "Thank you", f"<p>We have your message:</p><pre>{escape(text)}</pre>")


# -- With the access token -------------------------------------------------------------------


@app.get("/api-call")
async def api_call(request: Request) -> HTMLResponse:
    """Calls the API. The token is refreshed where it is due, once for all workers."""
    api: httpx2.AsyncClient = request.app.state.api
    response = await api.get(API_URL, auth=auth.http(request))
    return page(request, f"The API answers {response.status_code}", as_text(response.json()))


@app.get("/api/me")
async def me(user: LoggedIn) -> dict[str, Any]:
    """For scripts. Who is not logged in gets a 401 that says where the login is."""
    return {"sub": user.sub, "name": user.display_name}


@app.post("/reports")
async def start_report(session: CurrentSession, tasks: BackgroundTasks) -> RedirectResponse:
    """Starts a job that goes on when the browser is gone."""
    handle = await auth.vault.put(session)  # a secret: keep it with the user's record
    report = secrets.token_urlsafe(16)
    tasks.add_task(write_report, handle, report)
    return RedirectResponse(f"/reports/{report}", status_code=303)


async def write_report(handle: str, report: str) -> None:
    """The job. It could as well run next week, in another process."""
    token = await auth.vault.token(handle)
    headers = {"authorization": f"Bearer {token['access_token']}"}
    response = await app.state.api.get(API_URL, headers=headers)
    await store.set(f"report.{report}", response.text, 600)


@app.get("/reports/{report}")
async def show_report(request: Request, user: LoggedIn, report: str) -> HTMLResponse:
    text = await store.get(f"report.{report}") or "Not ready yet: reload the page."
    return page(request, "Your report", f"<pre>{escape(text)}</pre>")


# -- The end ---------------------------------------------------------------------------------


@app.post("/logout-everywhere")
async def logout_everywhere(user: LoggedIn) -> RedirectResponse:
    """Ends the sessions of all browsers; /auth/logout ends that of this one."""
    await auth.logout_everywhere(user.iss, user.sub)
    return RedirectResponse("/", status_code=303)


LAYOUT = Template(Path(__file__).with_name("page.html").read_text("utf-8"))


def page(request: Request, title: str, content: str) -> HTMLResponse:
    """``content`` is HTML."""
    menu = "" if request.user.is_authenticated else "hidden"
    html = LAYOUT.substitute(title=escape(title), content=content, menu=menu)
    # Not for the browser's cache: the button "back" must not show it after the logout.
    return HTMLResponse(html, headers={"cache-control": "no-store"})


def as_text(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2))}</pre>"
