"""What is wrong with how an app was put together, told when it starts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from reliant.errors import ConfigurationError

__all__ = ["check_order", "check_parts"]

log: logging.Logger = logging.getLogger("reliant")


def check_parts(app: Any, prefix: str | None, middleware: type) -> None:
    """Let the log say where a part of ``Login`` was forgotten, which the first login would miss.

    ``prefix``: where the routes are, None where they were not asked for; ``middleware``: the class.
    """
    if prefix is None:
        log.warning('the routes of Login are missing: add auth.routes("/auth") to the '
                    "application's routes")  # fmt: skip
    if middleware not in [it.cls for it in getattr(app, "user_middleware", ())]:
        log.warning("the middleware of Login is missing: add middleware=[auth.middleware()] to the "
                    "application")  # fmt: skip


def check_order(app: Any, guarded: Iterable[tuple[object, object]]) -> None:
    """Raise ``ConfigurationError`` where a route has an endpoint without what was put around it.

    ``guarded``: endpoints, and the same with what asks for a login before them.
    """
    served = list(_endpoints(getattr(app, "routes", ())))
    bare, within = set(map(id, served)), set(map(id, _within(served)))
    for endpoint, asking in guarded:
        if id(endpoint) in bare and id(asking) not in within:
            name = getattr(endpoint, "__name__", endpoint)
            raise ConfigurationError(
                description=f"Nobody would be asked for a login at {name!r}, for the route has it "
                "as it was before @auth.required(...): write that below the route's own decorator, "
                "next to the function, or with FastAPI Depends(auth.user).",
                code="configuration.required",
            )


def _within(endpoints: Iterable[object]) -> Iterator[object]:
    """Endpoints, and what other decorators have around them."""
    for endpoint in endpoints:
        while endpoint is not None:
            yield endpoint
            endpoint = getattr(endpoint, "__wrapped__", None)


def _endpoints(routes: Iterable[Any]) -> Iterator[object]:
    for route in routes:
        yield getattr(route, "endpoint", None)
        router = getattr(route, "original_router", route)  # where FastAPI included one
        yield from _endpoints(getattr(router, "routes", None) or ())
