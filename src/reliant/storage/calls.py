"""Calling what an app brought along: a hook or a cache, sync or async."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["call"]


async def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function that may be async."""
    result = function(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result
