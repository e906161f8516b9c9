"""Hooks of the app, sync or async, around what is sent and received."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reliant.errors import ConfigurationError
from reliant.protocol.messages import HttpRequest, HttpResponse
from reliant.storage.calls import call

__all__ = ["ComplianceHooks"]

REQUEST_HOOKS = ("access_token_request", "refresh_token_request", "revoke_token_request")
RESPONSE_HOOKS = ("access_token_response", "refresh_token_response")

if TYPE_CHECKING:
    import httpx2


class ComplianceHooks:
    """What ``compliance_fix`` gets: a place to register fixes for a provider off the standard.

    Request hooks (``access_token_request``, ``refresh_token_request``, ``revoke_token_request``,
    ``protected_request``) take ``(url, headers, body)`` and return them; response hooks
    (``access_token_response``, ``refresh_token_response``) take an ``httpx2.Response`` and return
    one. Any of them may be async.
    """

    def __init__(self) -> None:
        self._hooks: dict[str, list[Callable[..., Any]]] = {
            kind: [] for kind in (*REQUEST_HOOKS, *RESPONSE_HOOKS, "protected_request")
        }

    def register_compliance_hook(self, hook_type: str, hook: Callable[..., Any]) -> None:
        """Add a hook; raises ``ConfigurationError`` for a kind that is not there."""
        if hook_type not in self._hooks:
            raise ConfigurationError(
                description=f"There is no compliance hook {hook_type!r}; there are "
                f"{', '.join(self._hooks)}.",
                code="configuration.unknown_hook",
            )
        self._hooks[hook_type].append(hook)

    async def fix_parts(self, kind: str, url: Any, headers: Any, body: Any) -> tuple[Any, Any, Any]:
        """Pass the parts of a request through the hooks of one kind."""
        for hook in self._hooks[kind]:
            url, headers, body = await call(hook, url, headers, body)
        return url, headers, body

    async def fix_request(self, kind: str, request: HttpRequest) -> HttpRequest:
        """Pass a request of the protocol through the hooks of one kind."""
        if not self._hooks[kind]:
            return request
        url, headers, body = await self.fix_parts(
            kind, request.url, dict(request.headers), request.body.decode()
        )
        return HttpRequest(
            request.method, url, headers, body if isinstance(body, bytes) else str(body).encode()
        )

    async def fix_response(
        self, kind: str, request: HttpRequest, response: HttpResponse
    ) -> HttpResponse:
        """Pass an answer of the protocol through the hooks of one kind."""
        if not self._hooks[kind]:
            return response
        import httpx2

        fixed = httpx2.Response(
            response.status,
            headers={"content-type": response.headers.get("content-type", "")},
            content=response.body,
            request=httpx2.Request(request.method, request.url),
        )
        for hook in self._hooks[kind]:
            try:
                fixed = await call(hook, fixed)
            except (
                httpx2.HTTPStatusError, json.JSONDecodeError, UnicodeDecodeError, RecursionError,
            ):  # fmt: skip
                # A fix may begin with raise_for_status() or json(); where that fails, the answer
                # is nothing to fix, and the judgement that comes next says what is wrong with it.
                return response
        return HttpResponse(fixed.status_code, dict(fixed.headers), _body(fixed))


def _body(response: httpx2.Response) -> bytes:
    # A fix may replace the content, or, as is the custom, the method json() itself.
    try:
        return json.dumps(response.json()).encode()
    except (ValueError, RecursionError):
        return response.content
