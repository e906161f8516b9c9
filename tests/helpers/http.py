"""Answers of a provider without a network, and a clock that stands still until told."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

from reliant.protocol.messages import HttpRequest, HttpResponse

Answer = HttpResponse | Exception | Callable[[HttpRequest], Any]


def json_response(value: Any, status: int = 200, **headers: str) -> HttpResponse:
    """A JSON answer; header names with `_` for `-`."""
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    return HttpResponse(
        status, {"content-type": "application/json", **given}, json.dumps(value).encode()
    )


def text_response(body: str | bytes, status: int = 200, media_type: str = "") -> HttpResponse:
    """An answer that may be anything."""
    octets = body.encode() if isinstance(body, str) else body
    return HttpResponse(status, {"content-type": media_type}, octets)


class Clock:
    """Seconds that pass only when told."""

    def __init__(self, now: float = 1_700_000_000) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class FakeTransport:
    """A `Transport` with an answer for each URL: a response, an error, or a function of requests.

    `requests` holds what was sent.
    """

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        answer: Any = self.answers[request.url]
        if callable(answer):
            answer = answer(request)
            if inspect.isawaitable(answer):
                answer = await answer
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, HttpResponse)
        return answer

    def sent_to(self, url: str) -> int:
        """How many requests went to `url`."""
        return sum(request.url == url for request in self.requests)
