"""A browser without a screen, for tests: it signs in and hands back where it was sent."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2

__all__ = ["Browser", "Callback", "ProviderRefused"]


class ProviderRefused(AssertionError):
    """The provider showed an error page instead of going back to the client.

    ``status`` and ``page`` hold what it showed.
    """

    def __init__(self, status: int, page: str) -> None:
        self.status: int = status
        self.page: str = page
        super().__init__(f"the provider answered {status}: {' '.join(_Page(page).text.split())}")


@dataclass(frozen=True)
class Callback:
    """The authorization response, as a browser brings it to the client.

    ``url`` is where the browser goes; ``form`` what it posts there with
    ``response_mode=form_post``, else None. With either:
    ``client.request(callback.method, callback.url, data=callback.form)``.
    """

    url: str
    form: dict[str, str] | None = None

    @property
    def method(self) -> str:
        """``GET``, or ``POST`` with a form."""
        return "GET" if self.form is None else "POST"

    @property
    def params(self) -> dict[str, str]:
        """The parameters of the response, wherever they travel."""
        if self.form is not None:
            return self.form
        parts = urlsplit(self.url)
        return dict(parse_qsl(parts.query) + parse_qsl(parts.fragment))


class Browser:
    """One browser: it keeps the provider's cookies, so a second sign-in needs no user.

    Made by ``FakeProvider.browser``. ``frames`` are the addresses that the last page loaded in
    frames, which a test may load in turn: the browser reaches the provider only.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self.cookies: httpx2.Cookies = httpx2.Cookies()
        self.frames: list[str] = []
        self._transport = transport

    async def sign_in(self, url: str, user: str = "alice") -> Callback:
        """Open an authorization URL and sign in as ``user`` if the provider asks.

        ``url``: where the client redirected to. ``user``: any name.
        Returns the callback; raises ``ProviderRefused`` if there is none.
        """
        return await self._decide(url, user, "sign-in")

    async def deny(self, url: str) -> Callback:
        """Open an authorization URL and press Cancel; returns the callback with the error."""
        return await self._decide(url, "", "cancel")

    async def sign_out(self, url: str) -> str:
        """Open an end-session URL and say yes if asked.

        Returns the address the browser is sent to, or that of the page it stays on.
        """
        page = await self._send("GET", url)
        form = _Page(page.text)
        if page.status_code == 200 and form.action is not None:
            page = await self._send("POST", form.action, form.fields | {"decision": "sign-out"})
        self.frames = _Page(page.text).frames
        onward = page.headers.get("refresh", "").partition("url=")[2]
        return urljoin(str(page.url), _callback(page).url if page.is_redirect else onward)

    async def _decide(self, url: str, user: str, decision: str) -> Callback:
        page = await self._send("GET", url)
        form = _Page(page.text)
        if page.status_code == 200 and form.asks_user and form.action is not None:
            answer = form.fields | {"user": user, "decision": decision}
            page = await self._send("POST", form.action, answer)
        return _callback(page)

    async def _send(
        self, method: str, url: str, form: dict[str, str] | None = None
    ) -> httpx2.Response:
        async with httpx2.AsyncClient(transport=self._transport, cookies=self.cookies) as client:
            response = await client.request(method, url, data=form)
            self.cookies = client.cookies
            return response


def _callback(page: httpx2.Response) -> Callback:
    if page.is_redirect:
        return Callback(page.headers["location"])
    form = _Page(page.text)
    if page.status_code != 200 or form.action is None or form.asks_user:
        raise ProviderRefused(page.status_code, page.text)
    return Callback(form.action, form.fields)


class _Page(HTMLParser):
    """The one form of a page, and the page's text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.asks_user = False
        self.frames: list[str] = []
        self.text = ""
        self._aside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._aside = tag in ("style", "script", "title")
        if tag == "form":
            self.action = found.get("action")
        elif tag == "iframe":
            self.frames.append(found.get("src") or "")
        elif tag == "input" and found.get("type") == "hidden":
            self.fields[found.get("name") or ""] = found.get("value") or ""
        elif tag == "input" and found.get("name") == "user":
            self.asks_user = True

    def handle_endtag(self, tag: str) -> None:
        self._aside = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._aside else data
