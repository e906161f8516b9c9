"""An httpx2 transport that reaches an ASGI application in the same process."""

from __future__ import annotations

import anyio
import httpx2

__all__ = ["InProcessTransport"]


class InProcessTransport(httpx2.ASGITransport):
    """``httpx2.ASGITransport`` that keeps the read timeout, so that a slow answer is one."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send ``request``; raises ``httpx2.ReadTimeout`` as a network transport would."""
        try:
            with anyio.fail_after(request.extensions.get("timeout", {}).get("read")):
                return await super().handle_async_request(request)
        except TimeoutError as exc:
            raise httpx2.ReadTimeout("no answer in time", request=request) from exc
