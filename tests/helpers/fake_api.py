"""A transport that answers by path and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx2

__all__ = ["FakeApi", "form_of"]

Answer = Callable[[httpx2.Request], httpx2.Response]


class FakeApi(httpx2.MockTransport):
    """Answers each path with its JSON, its response, or what its function returns; else 404."""

    def __init__(self, answers: dict[str, Any] | None = None) -> None:
        self.answers = answers or {}
        self.requests: list[httpx2.Request] = []
        super().__init__(self._answer)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.get(request.url.path, httpx2.Response(404))
        if callable(answer):
            answer = answer(request)
        return answer if isinstance(answer, httpx2.Response) else httpx2.Response(200, json=answer)

    def paths(self) -> list[str]:
        return [request.url.path for request in self.requests]


def form_of(request: httpx2.Request) -> dict[str, str]:
    """The form a request carries."""
    return dict(parse_qsl(request.content.decode(), keep_blank_values=True))
