"""What a store is: texts by key that all who have the store share, each with a time to live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

__all__ = ["Claim", "Store"]


class Claim(NamedTuple):
    """A lock that was taken.

    ``fence``: a number that grows from holder to holder, so that a holder who lost the lock without
    knowing can't write any more; ``interrupted``: whether the holder before neither wrote nor
    released: its process died, or stood still for longer than the lock lasts.
    """

    fence: int
    interrupted: bool


class Store(Protocol):
    """Keeps texts for all workers that share it; ``MemoryStore`` and ``RedisStore`` are stores.

    What is promised: every call takes effect whole or not at all, and once it has returned every
    worker sees it. Keys are at most 200 visible ASCII characters without braces; ``seconds``, more
    than 0, is the time to live. A call may be repeated because its answer got lost, which does no
    harm but that ``getdel`` may have taken the text. Each raises ``StoreError`` where the store
    can't be reached, and never answers "nothing there" instead.
    """

    async def get(self, key: str, *, renew: float | None = None) -> str | None:
        """The text at ``key``, or None; ``renew``: its time to live from now on, in seconds."""
        ...

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """The texts at ``keys``, each or None."""
        ...

    async def set(self, key: str, value: str, seconds: float) -> None:
        """Put a text at ``key``, whatever is there."""
        ...

    async def add(self, key: str, value: str, seconds: float) -> bool:
        """Put a text at ``key`` unless another is there; tell whether it is there now."""
        ...

    async def advance(self, key: str, number: float, seconds: float) -> None:
        """Put a number at ``key``, as ``repr`` writes it, unless one as large is there."""
        ...

    async def getdel(self, key: str) -> str | None:
        """Take the text away from ``key``; of many who ask at once, one gets it."""
        ...

    async def delete(self, key: str) -> None:
        """Forget the text at ``key``."""
        ...

    async def collect(self, key: str, member: str, seconds: float) -> None:
        """Add ``member`` to the collection ``key``, for its time to live."""
        ...

    async def members(self, key: str) -> list[str]:
        """The members of a collection."""
        ...

    async def discard(self, key: str, members: Sequence[str]) -> None:
        """Take members out of a collection."""
        ...

    async def acquire(self, key: str, owner: str, seconds: float) -> Claim | None:
        """Lock ``key`` for ``owner``, a text of its own; None while another holds it.

        Who has it already gets a claim that can write, and the lock for ``seconds`` more.
        """
        ...

    async def prolong(self, key: str, owner: str, seconds: float) -> bool:
        """Hold a lock for ``seconds`` more; False where it is lost."""
        ...

    async def release(self, key: str, owner: str) -> None:
        """Give a lock back, if ``owner`` still holds it."""
        ...

    async def replace(self, key: str, old: str, new: str, seconds: float, fence: int) -> bool:
        """Put ``new`` at ``key`` if ``old`` is there and the lock's last fence is ``fence``.

        Tells whether ``new`` is there now. A holder that has written is not interrupted any more.
        """
        ...

    async def time(self) -> float:
        """Unix time in seconds, by one clock for all workers."""
        ...

    async def aclose(self) -> None:
        """Close the connections of the running event loop; a later call opens new ones."""
        ...
