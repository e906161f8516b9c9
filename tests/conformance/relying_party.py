"""The Relying Party under test, on the public API alone, and the person who visits it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from reliant import OAuthError, UserInfo
from reliant.starlette import LogoutEvent, OAuth
from reliant.testing import Callback, FakeProvider

RP = "https://rp.example"
ROUTES = f"{RP}/op"
REDIRECT_URI = f"{RP}/callback"
LOGGED_OUT_URI = f"{RP}/logged-out"


async def _logo(request: Request) -> Response:
    return Response('<svg xmlns="http://www.w3.org/2000/svg"/>', media_type="image/svg+xml")


async def _redirect_uris(request: Request) -> Response:
    return JSONResponse([REDIRECT_URI])


# What the client metadata point to: it is there before the client is registered.
DOCUMENTS = [Route("/logo.svg", _logo), Route("/redirect-uris.json", _redirect_uris)]


class RelyingParty:
    """A site that people log in to, as its own log remembers it."""

    def __init__(self) -> None:
        self.oauth = OAuth(secret_key="the key of a test", on_logout=self._logged_out_by_provider)
        self.errors: list[OAuthError] = []
        self.logouts: list[LogoutEvent] = []
        self.token: dict[str, Any] | None = None
        self.claims: UserInfo | None = None
        self.params: dict[str, Any] = {}
        self.came_back: dict[str, Any] | None = None

    @property
    def error(self) -> str | None:
        """The code of the last error."""
        return self.errors[-1].code if self.errors else None

    @property
    def client(self) -> Any:
        """The registered client."""
        return self.oauth.op

    def app(self) -> Starlette:
        """The site, once its client is registered."""
        return Starlette(
            routes=[
                Route("/login", self._login),
                Route("/callback", self._callback, methods=["GET", "POST"]),
                Route("/logout", self._logout),
                Route("/logged-out", self._logged_out),
                Mount("/op", routes=self.client.routes(REDIRECT_URI)),
            ],
            exception_handlers={OAuthError: self._failed},
        )

    async def fetch_userinfo(self) -> None:
        """Ask the provider about the person who is logged in, if there is a token for it."""
        if self.token is not None and "access_token" in self.token:
            self.claims = None
            self.claims = await self.client.userinfo(self.token)

    async def _login(self, request: Request) -> Response:
        if "nonce" in self.params:
            return await self._login_without_nonce(request)
        response: Response = await self.client.authorize_redirect(
            request, REDIRECT_URI, **self.params
        )
        return response

    async def _login_without_nonce(self, request: Request) -> Response:
        login = await self.client.create_authorization_url(REDIRECT_URI)
        parts = urlsplit(login["url"])
        query = [pair for pair in parse_qsl(parts.query) if pair[0] != "nonce"]
        login["url"] = urlunsplit(parts._replace(query=urlencode(query)))
        del login["nonce"]
        response = RedirectResponse(login["url"], 302)
        await self.client.save_authorize_data(
            request, response=response, redirect_uri=REDIRECT_URI, **login
        )
        return response

    async def _callback(self, request: Request) -> Response:
        self.token = None
        token = await self.client.authorize_access_token(request)
        self.token, self.claims = token, token.userinfo
        await self.fetch_userinfo()
        return JSONResponse({"hello": token["userinfo"]["sub"]})

    async def _logout(self, request: Request) -> Response:
        token, self.token = self.token, None
        assert token is not None
        response: Response = await self.client.logout_redirect(
            request, LOGGED_OUT_URI, id_token_hint=token["id_token"]
        )
        return response

    async def _logged_out(self, request: Request) -> Response:
        self.came_back = await self.client.validate_logout_response(request)
        return JSONResponse({"logged_out": True})

    def _logged_out_by_provider(self, event: LogoutEvent) -> None:
        self.logouts.append(event)
        self.token = None

    async def _failed(self, request: Request, exc: Exception) -> Response:
        assert isinstance(exc, OAuthError)
        if exc.code != "authorization.fragment":
            self.errors.append(exc)
        return await self.oauth.exception_handler(request, exc)


class Visitor:
    """A person with a browser that knows what SameSite means."""

    def __init__(self, rp: RelyingParty, provider: FakeProvider) -> None:
        self.at_provider = provider.browser()
        self.cookies = httpx2.Cookies()
        self._site = httpx2.ASGITransport(rp.app())

    async def log_in(self, url: str = f"{RP}/login") -> httpx2.Response:
        """Go to the login, through the provider, and back; returns the site's last page."""
        start = await self.open(url)
        if not start.is_redirect:
            return start
        callback = await self.at_provider.sign_in(start.headers["location"])
        return await self.bring(callback)

    async def bring(self, callback: Callback) -> httpx2.Response:
        """Bring the provider's answer to the site."""
        if callback.form is not None:
            return await self.open(callback.url, callback.form, cross_site=True)
        url, _, fragment = callback.url.partition("#")
        page = await self.open(url)
        if fragment and page.status_code == 200 and _posts_to_itself(page.text):
            return await self.open(url, dict(parse_qsl(fragment)))
        return page

    async def log_out(self) -> str:
        """Log out here and at the provider; returns where that leads back to."""
        start = await self.open(f"{RP}/logout")
        return await self.at_provider.sign_out(start.headers["location"])

    async def open(
        self, url: str, form: dict[str, str] | None = None, *, cross_site: bool = False
    ) -> httpx2.Response:
        """Open a page of the site; a cross-site POST leaves Lax cookies behind."""
        sent = httpx2.Cookies()
        for cookie in self.cookies.jar:
            if not cross_site or _same_site(cookie) == "none":
                sent.jar.set_cookie(cookie)
        async with httpx2.AsyncClient(transport=self._site, cookies=sent) as client:
            response = await client.request("GET" if form is None else "POST", url, data=form)
        for cookie in response.cookies.jar:
            self.cookies.jar.set_cookie(cookie)
        return response


def _same_site(cookie: Any) -> str:
    found = cookie.get_nonstandard_attr("SameSite") or cookie.get_nonstandard_attr("samesite")
    return str(found or "lax").lower()


def _posts_to_itself(html: str) -> bool:
    """Tell whether a page has a form without an action, and a script that sends it."""
    found = _Tags()
    found.feed(html)
    return {"form": {"method": "post"}} in found.seen and "form.submit" in html


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append({tag: dict(attrs)})


def tags(html: str, wanted: str) -> list[dict[str, str | None]]:
    """The attributes of each ``wanted`` tag of a page."""
    found = _Tags()
    found.feed(html)
    return [attributes for tag in found.seen for name, attributes in tag.items() if name == wanted]


def as_json(response: httpx2.Response) -> Any:
    """The body of a response."""
    return json.loads(response.content)
