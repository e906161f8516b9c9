"""What reaches the provider and how it refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.requests import Request

__all__ = ["ReceivedRequest", "Refusal", "receive"]

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class ReceivedRequest:
    """One request the provider received: an entry of ``FakeProvider.requests``.

    ``params`` holds the query, or the form of a POST; of a parameter sent twice it has the last
    value, and its name stands in ``repeated``. Header names are lower case.
    """

    endpoint: str
    method: str
    url: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    repeated: frozenset[str] = frozenset()
    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: str = ""
    body: bytes = field(default=b"", repr=False)


class Refusal(Exception):
    """The provider says no, with an OAuth error code and a status."""

    def __init__(
        self, error: str, description: str, status: int = 400, challenge: str | None = None
    ) -> None:
        super().__init__(f"{error}: {description}")
        self.status = status
        self.challenge = challenge
        self.members: dict[str, str] = {"error": error, "error_description": description}


async def receive(endpoint: str, request: Request) -> ReceivedRequest:
    """Read a request whole: its parameters come from the form if it posts one."""
    text, body = request.url.query, await request.body()
    if request.headers.get("content-type", "").split(";")[0].strip().lower() == _FORM:
        text = body.decode(errors="replace")
    pairs = parse_qsl(text, keep_blank_values=True)
    counts = Counter(name for name, _ in pairs)
    return ReceivedRequest(
        endpoint=endpoint,
        method=request.method,
        url=str(request.url),
        params=dict(pairs),
        headers=dict(request.headers),
        repeated=frozenset(name for name, count in counts.items() if count > 1),
        cookies=request.cookies,
        query=text,
        body=body,
    )
