"""What one request has to do with a login."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

from starlette.authentication import AuthCredentials
from starlette.requests import HTTPConnection
from starlette.types import Scope

from reliant.login.session import Session
from reliant.protocol.values import is_local_path
from reliant.starlette.requests import header_of, origin_of_request

__all__ = ["Visit"]


@dataclass
class Visit:
    """One request: who it comes from, and what its answer must do to the cookies.

    ``base_url``: the site's own, as the app set it; ``base``: the path below which the login's
    routes are; ``present``: the cookies the browser sent; ``value``: what those of the session
    held; ``user``: whom ``request.user`` shows; ``form``: the fields of a POST that are kept if a
    login is needed; ``cookies``: Set-Cookie values for the answer; ``over``: whether the session
    ended here; ``personal``: whether the answer is for one person; ``return_to``: where the login
    leads that this request begins or finishes.
    """

    connection: HTTPConnection = field(repr=False)
    base_url: str | None
    base: str
    present: Mapping[str, str] = field(repr=False)
    value: str | None = field(repr=False)
    session: Session | None = None
    user: Any = None
    form: Sequence[tuple[str, str]] | None = field(default=None, repr=False)
    cookies: list[str] = field(default_factory=list, repr=False)
    answered: bool = False
    over: bool = False
    personal: bool = False
    return_to: str | None = None

    def show(self, scope: Scope) -> None:
        """Let the app find the person as ``request.user`` and ``request.auth``."""
        if self.session is not None:
            scope["user"] = self.user
            scope["auth"] = AuthCredentials(["authenticated", *self.session.outline.scopes])

    @cached_property
    def origin(self) -> str | None:
        """The origin of this site, as the app set it or else as the request tells."""
        if self.base_url is not None:
            return self.base_url
        origin = origin_of_request(self.connection)
        return origin and re.sub("^ws", "http", origin)

    @property
    def path(self) -> str | None:
        """The path and query that were asked for, if a redirect may lead there."""
        scope = self.connection.scope
        raw = scope.get("raw_path") or quote(scope["path"]).encode()
        query = scope.get("query_string", b"")
        return _local((raw + (b"?" + query if query else b"")).decode("latin-1"))

    @property
    def page(self) -> str | None:
        """The path of the page that the request came from, if that is one of this site."""
        for name in ("hx-current-url", "referer"):
            url = header_of(self.connection, name)
            if url is not None and self.origin is not None and url.startswith(f"{self.origin}/"):
                return _local(url.removeprefix(self.origin).partition("#")[0])
        return None

    @property
    def is_from_here(self) -> bool:
        """Tell whether a page of this very site sent the request; no evidence is a no.

        Fetch Metadata where the browser sends it, as it does over https, else the ``Origin``.
        """
        site = header_of(self.connection, "sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        return self.origin is not None and header_of(self.connection, "origin") == self.origin


def _local(path: str) -> str | None:
    return path if is_local_path(path) else None
