"""A person at a browser without scripts, who walks through the forms of the real provider."""

from __future__ import annotations

import ssl
from html.parser import HTMLParser
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self

import httpx2

MOST_FORMS = 6
# All is plain http here. The context trusts nobody, and so does not cost the time to load whom.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Person:
    """Keeps cookies, follows redirects, fills in forms. Each person is another browser.

    Where a method takes `stop`, it follows no redirect to an address that begins so. `accept`: what
    the browser asks for.
    """

    def __init__(self, name: str = "alice", *, accept: str = "*/*") -> None:
        # As a browser does, send Secure cookies over http to this machine.
        jar = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
        headers = {"accept": accept}
        self._http = httpx2.Client(
            cookies=jar, headers=headers, verify=NO_TLS, trust_env=False, timeout=10
        )
        # What to write into the fields of the login form.
        self._answers = {"login": name, "password": "any will do"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def visit(self, url: str, *, stop: str | None = None) -> httpx2.Response:
        """Open a page."""
        return self._follow(self._http.build_request("GET", url), stop)

    def post(self, url: str, page: str | None = None, **fields: str) -> httpx2.Response:
        """Press a button that posts these fields; `page`: the address of the page it is on."""
        origin = {} if page is None else {"origin": str(httpx2.URL(page).copy_with(path="/"))[:-1]}
        return self._follow(
            self._http.build_request("POST", url, data=fields or None, headers=origin), None
        )

    def cookies(self, prefix: str) -> dict[str, str]:
        """The cookies whose names begin so."""
        jar = self._http.cookies.jar
        return {it.name: it.value or "" for it in jar if it.name.startswith(prefix)}

    def sign_in(self, url: str, *, stop: str | None = None) -> httpx2.Response:
        """Open a page that leads to a login, and say yes to all until the provider is done."""
        return self.agree(self.visit(url, stop=stop), stop=stop)

    def sign_in_until(self, stop: str, url: str) -> str:
        """Do as `sign_in` does, and return the address of the redirect that was not followed."""
        page = self.sign_in(url, stop=stop)
        assert page.next_request is not None, page.text
        return str(page.next_request.url)

    def agree(self, page: httpx2.Response, *, stop: str | None = None) -> httpx2.Response:
        """Submit the page's form with its first button, and so on until there is no form."""
        for _ in range(MOST_FORMS):
            form = Form(page.text)
            if form.action is None:
                return page
            answers = {k: v for k, v in self._answers.items() if k in form.fields}
            page = self.submit(page, stop=stop, **form.first_button, **answers)
        raise AssertionError(f"one form after the other, and no end: {page.text}")

    def submit(
        self, page: httpx2.Response, *, stop: str | None = None, **fields: str
    ) -> httpx2.Response:
        """Submit the form of a page, with what these fields say."""
        form = Form(page.text)
        assert form.action is not None, page.text
        url = page.url.join(form.action)
        return self._follow(self._http.build_request("POST", url, data=form.fields | fields), stop)

    def cancel(self, page: httpx2.Response) -> httpx2.Response:
        """Follow the link "Cancel" of the provider's page."""
        return self.visit(str(page.url.join(Form(page.text).links["[ Cancel ]"])))

    def _follow(self, request: httpx2.Request, stop: str | None) -> httpx2.Response:
        response = self._http.send(request)
        while (request_ := response.next_request) is not None:
            if stop is not None and str(request_.url).startswith(stop):
                break
            response = self._http.send(request_)
        return response


class Form(HTMLParser):
    """The one form of a page, if it has one, and the page's links by their text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.first_button: dict[str, str] = {}  # its name and value, if it has a name
        self.links: dict[str, str] = {}
        self._buttons = 0
        self._href: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = found["action"]
        elif tag == "input":
            self.fields[found["name"]] = found.get("value", "")
        elif tag == "button":
            self._buttons += 1
            if self._buttons == 1 and "name" in found:
                self.first_button = {found["name"]: found["value"]}
        elif tag == "a":
            self._href = found.get("href")

    def handle_data(self, data: str) -> None:
        if self._href is not None:
            self.links[data.strip()] = self._href
            self._href = None
