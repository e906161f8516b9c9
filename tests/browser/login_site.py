"""An app whose people stay logged in, with pages for a browser; provider and stranger elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

import httpx2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from reliant.login import Login
from reliant.testing import Behaviour, FakeProvider
from tests.browser.two_sites import Place
from tests.helpers.login_app import LoginApp
from tests.helpers.person import NO_TLS

_HOME = """<!doctype html><title>Home</title>
<h1>{greeting}</h1>
<p><a href="/auth/login?return_to=/account">Log in</a> <a href="/account">Account</a></p>
<form method="post" action="/auth/logout"><button>Log out</button></form>
"""
_ORDER = """<!doctype html><title>Order</title>
<h1>Order</h1>
<form method="post" action="/order?shop=7">
<input type="hidden" name="submit" value="a name that hides the form's own">
<label>Note <textarea name="note"></textarea></label>
<label>Gift <input type="checkbox" name="gift" checked></label>
<button name="action" value="buy">Buy</button>
</form>
"""
# What htmx does with an answer, as far as it matters here.
_BOARD = """<!doctype html><title>Board</title>
<button hx-get="/me">Load</button> <p></p>
<script>
document.querySelector('button').addEventListener('click', async ({target}) => {
  const headers = {'HX-Request': 'true', 'HX-Current-URL': location.href};
  const answer = await fetch(target.getAttribute('hx-get'), {headers});
  const elsewhere = answer.headers.get('HX-Redirect');
  if (elsewhere) location.href = elsewhere;
  else document.querySelector('p').textContent = await answer.text();
});
</script>
"""


class LoginSite:
    """The app on 127.0.0.1; on localhost, another site to a browser, provider and stranger."""

    def __init__(self, app: Place, provider: Place, stranger: Place) -> None:
        self.at_app, self.at_provider, self.at_stranger = app, provider, stranger
        self.app: LoginApp
        self.provider: FakeProvider

    def build(
        self, kind: str = "store", *, front_channel: bool = False, **options: Any
    ) -> LoginApp:
        """Put a new application and a new provider where they belong; `options` of `LoginApp`.

        `front_channel`: the provider tells of logouts by a frame in its page, else by a request.
        """
        self.provider = FakeProvider(
            self.at_provider.elsewhere,
            clients=[],
            signing_alg="ES256",
            behaviour=Behaviour(),
            client_transport=httpx2.AsyncHTTPTransport(verify=NO_TLS),
        )
        self.provider.add_client(
            "the-app",
            "a-secret-only-these-two-know",
            redirect_uris=[self.url("/auth/callback")],
            post_logout_redirect_uris=[self.url("/auth/logged-out")],
            **(self._frame() if front_channel else self._request()),
        )
        self.app = LoginApp(kind, provider=self.provider, routes=_pages, **options)
        self.at_app.app = self.app.app
        self.at_provider.app = self.provider
        for place in (self.at_app, self.at_provider, self.at_stranger):
            place.pages.clear()
        return self.app

    def _request(self) -> dict[str, Any]:
        return {"backchannel_logout_uri": self.url("/auth/backchannel-logout")}

    def _frame(self) -> dict[str, Any]:
        uri = self.url("/auth/frontchannel-logout")
        return {"frontchannel_logout_uri": uri, "frontchannel_logout_session_required": True}

    def url(self, path: str) -> str:
        """An address of the application."""
        return self.at_app.url + path


def _pages(auth: Login) -> list[Any]:
    async def home(request: Request) -> Response:
        user = request.user
        greeting = f"Hello, {user.display_name}" if user.is_authenticated else "Nobody is logged in"
        return HTMLResponse(_HOME.format(greeting=escape(greeting)))

    @auth.required()
    async def account(request: Request) -> Response:
        return HTMLResponse(f"<h1>The account of {escape(request.user.display_name)}</h1>")

    @auth.required()
    async def order(request: Request) -> Response:
        return HTMLResponse(_ORDER)

    @auth.required()
    async def board(request: Request) -> Response:
        return HTMLResponse(_BOARD)

    @auth.required()
    async def echo(websocket: WebSocket) -> None:
        """Says whose token it has, as often as it is asked."""
        await websocket.accept()
        async for _ in websocket.iter_text():
            await auth.session(websocket).token()
            await websocket.send_text(auth.session(websocket).sub)

    return [
        Route("/home", home),
        Route("/account", account),
        Route("/order", order),
        Route("/board", board),
        WebSocketRoute("/echo", echo),
    ]
