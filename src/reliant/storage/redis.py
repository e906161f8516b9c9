"""A store in Redis or Valkey: standalone, behind Sentinel, or a Cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from reliant.errors import ConfigurationError, StoreError
from reliant.storage.store import Claim, Store

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

__all__ = ["RedisStore"]

T = TypeVar("T")

ANSWER = 2.0  # seconds that one command may take, with whatever its client does to carry it out
PATIENCE = 3.0  # seconds a call waits for a store that is restarting or failing over
PAUSE, LONGEST_PAUSE = 0.02, 0.25  # seconds between tries
AT_ONCE = 64  # commands under way, and so connections, per event loop
FENCE_KEPT = 24 * 3600  # seconds; far more than a holder can be late

# A script is atomic, and all keys of one lie in one hash slot. Each can be repeated without harm.
_ADD = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX')
return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0
"""
_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
_ADVANCE = """
local there = tonumber(redis.call('GET', KEYS[1]) or '')
if not there or there < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
"""
_COLLECT = (
    _NOW
    + """
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
"""
)
_MEMBERS = _NOW + "return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')"
_TIME = "return redis.call('TIME')"
# KEYS: the lock, its fence. The fence's "given" grows with each holder, "done" follows when that
# holder has written or released: if it has not, the holder was interrupted.
_ACQUIRE = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return {0, 0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local fence = redis.call('HMGET', KEYS[2], 'given', 'done')
local given, done = tonumber(fence[1] or 0), tonumber(fence[2] or 0)
if held and given > done then return {given, 0} end
redis.call('HSET', KEYS[2], 'given', given + 1)
redis.call('EXPIRE', KEYS[2], ARGV[3])
return {given + 1, given > done and 1 or 0}
"""
_PROLONG = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[2], 'done', redis.call('HGET', KEYS[2], 'given') or 0)
redis.call('EXPIRE', KEYS[2], ARGV[2])
"""
_REPLACE = """
local there = redis.call('GET', KEYS[1])
if there == ARGV[2] then return 1 end
if there ~= ARGV[1] or redis.call('HGET', KEYS[2], 'given') ~= ARGV[4] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('HSET', KEYS[2], 'done', ARGV[4])
return 1
"""


class RedisStore(Store):
    """A ``Store`` in Redis 6.2 or later, or Valkey, for any number of workers and machines.

    ``connect``: a function that makes a client of ``redis.asyncio`` for the running event loop (a
    ``Redis``, a ``RedisCluster``, or what ``Sentinel.master_for`` returns), or such a client, whose
    life is then the caller's; ``prefix``: stands before every key. Needs ``reliant[redis]``.
    """

    def __init__(
        self,
        connect: Callable[[], Redis | RedisCluster] | Redis | RedisCluster,
        *,
        prefix: str = "reliant:",
    ) -> None:
        if not prefix.isascii() or not prefix.isprintable() or set("{}") & set(prefix):
            raise ConfigurationError(
                description="The prefix of the keys is visible ASCII without braces.",
                code="configuration.prefix",
            )
        if not callable(connect) and not hasattr(connect, "aclose"):
            raise _not_async()
        self._connect = connect
        self._prefix = prefix
        self._connected: dict[asyncio.AbstractEventLoop, _Connected] = {}

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "reliant:", **options: Any) -> Self:
        """A store in one Redis: ``redis://``, ``rediss://`` for TLS, or ``unix://``.

        ``options``: of ``redis.asyncio.Redis.from_url``. Raises ``ConfigurationError``
        (``configuration.redis``) where the redis package is missing, the URL is none, or an option.
        """
        try:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError as exc:
            raise ConfigurationError(
                description="RedisStore needs the redis package: pip install 'reliant[redis]'.",
                code="configuration.redis",
            ) from exc
        # One more try at once, for a connection that was idle for too long; the rest is up to us.
        # Nor has it timeouts of its own: each of its steps would have one, at twice their price.
        given = {
            "socket_connect_timeout": None,
            "socket_timeout": None,
            "retry": Retry(NoBackoff(), 1),
            **options,
        }
        store = cls(lambda: Redis.from_url(url, **given), prefix=prefix)
        try:
            pool: Any = Redis.from_url(url, **given).connection_pool
            pool.make_connection()  # which connects at its first command
        except TypeError as exc:
            raise ConfigurationError(
                description=f"An option of RedisStore.from_url is none that redis knows: {exc}.",
                code="configuration.redis",
            ) from exc
        except ValueError:
            raise ConfigurationError(
                description="The address of the Redis server is not usable: it is like "
                "redis://user:password@host:6379/0, and what is special in it is percent-encoded.",
                code="configuration.redis",
            ) from None  # the cause may quote the password
        return store

    async def get(self, key: str, *, renew: float | None = None) -> str | None:
        name = self._name(key)
        if renew is None:
            return _text(await self._run(lambda redis: redis.get(name)))
        return _text(await self._run(lambda redis: redis.getex(name, px=_ms(renew))))

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        async def ask(redis: Any) -> Any:
            pipeline = redis.pipeline(transaction=False)
            for key in keys:
                pipeline.get(self._name(key))
            return await pipeline.execute()

        return [_text(value) for value in await self._run(ask)]

    async def set(self, key: str, value: str, seconds: float) -> None:
        await self._run(lambda redis: redis.set(self._name(key), value, px=_ms(seconds)))

    async def add(self, key: str, value: str, seconds: float) -> bool:
        return bool(await self._script(_ADD, [self._name(key)], value, _ms(seconds)))

    async def advance(self, key: str, number: float, seconds: float) -> None:
        await self._script(_ADVANCE, [self._name(key)], repr(number), _ms(seconds))

    async def getdel(self, key: str) -> str | None:
        return _text(await self._run(lambda redis: redis.getdel(self._name(key))))

    async def delete(self, key: str) -> None:
        await self._run(lambda redis: redis.delete(self._name(key)))

    async def collect(self, key: str, member: str, seconds: float) -> None:
        await self._script(_COLLECT, [self._name(key)], member, _ms(seconds))

    async def members(self, key: str) -> list[str]:
        found = await self._script(_MEMBERS, [self._name(key)])
        return [text for text in map(_text, found) if text is not None]

    async def discard(self, key: str, members: Sequence[str]) -> None:
        if members:
            await self._run(lambda redis: redis.zrem(self._name(key), *members))

    async def acquire(self, key: str, owner: str, seconds: float) -> Claim | None:
        fence, interrupted = await self._script(
            _ACQUIRE, self._lock(key), owner, _ms(seconds), FENCE_KEPT
        )
        return Claim(int(fence), bool(interrupted)) if fence else None

    async def prolong(self, key: str, owner: str, seconds: float) -> bool:
        return bool(await self._script(_PROLONG, self._lock(key), owner, _ms(seconds)))

    async def release(self, key: str, owner: str) -> None:
        await self._script(_RELEASE, self._lock(key), owner, FENCE_KEPT)

    async def replace(self, key: str, old: str, new: str, seconds: float, fence: int) -> bool:
        keys = [self._name(key), self._lock(key)[1]]
        return bool(await self._script(_REPLACE, keys, old, new, _ms(seconds), fence))

    async def time(self) -> float:
        # By a key, so that in a Cluster it is the clock of one and the same node.
        seconds, micro = await self._script(_TIME, [self._name("clock")])
        return int(seconds) + int(micro) / 1e6

    async def aclose(self) -> None:
        """Close the connections of the running event loop; a later call opens new ones."""
        connected = self._connected.pop(asyncio.get_running_loop(), None)
        if connected is not None and callable(self._connect):
            await connected.redis.aclose()

    def _name(self, key: str) -> str:
        return f"{self._prefix}{{{key}}}"  # in braces: what a Cluster chooses the slot by

    def _lock(self, key: str) -> list[str]:
        return [f"{self._name(key)}:lock", f"{self._name(key)}:fence"]

    async def _script(self, script: str, keys: list[str], *args: Any) -> Any:
        return await self._run(lambda redis: redis.eval(script, len(keys), *keys, *args))

    def _run(self, command: Callable[[Any], Awaitable[T]]) -> Awaitable[T]:
        """Run a command, and wait for a moment where the server is away; raises ``StoreError``."""
        here = self._here()
        if here.is_away:
            return self._probe(here, command)
        return self._try(here, command, time.monotonic() + PATIENCE)

    async def _probe(self, here: _Connected, command: Callable[[Any], Awaitable[T]]) -> T:
        # It has been away for longer: one call looks whether it is back, the others learn at once.
        if here.is_probed:
            raise _error(None)
        here.is_probed = True
        try:
            return await self._try(here, command, 0)
        finally:
            here.is_probed = False

    async def _try(
        self, here: _Connected, command: Callable[[Any], Awaitable[T]], until: float
    ) -> T:
        pause = PAUSE
        while True:
            try:
                async with here.limit:
                    if here.is_away and until:
                        raise _error(None)  # as those found who were before us in the queue
                    async with asyncio.timeout(ANSWER):
                        if here.is_cluster:
                            # One that has not seen the slots sends a script anywhere.
                            await here.redis.initialize()
                        answer = await command(here.redis)
            # AttributeError: a Cluster's client that learns the slots anew closes connections
            # that are in use.
            except here.errors as exc:
                passes = _passes(exc)
                if not passes or time.monotonic() + pause > until:
                    here.is_away = passes  # one that refuses a command is there
                    raise _error(exc) from exc
            else:
                here.is_away = False
                return answer
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _here(self) -> _Connected:
        loop = asyncio.get_running_loop()
        connected = self._connected.get(loop)
        if connected is None:
            for other in [other for other in self._connected if other.is_closed()]:
                del self._connected[other]
            redis = self._connect() if callable(self._connect) else self._connect
            if not hasattr(redis, "aclose"):
                raise _not_async()
            from redis.asyncio import RedisCluster
            from redis.exceptions import RedisError

            connected = _Connected(
                redis,
                isinstance(redis, RedisCluster),
                asyncio.Semaphore(AT_ONCE),
                (RedisError, OSError, AttributeError),
            )
            self._connected[loop] = connected
        return connected


@dataclass
class _Connected:
    """What one event loop has of a store."""

    redis: Redis | RedisCluster
    is_cluster: bool
    limit: asyncio.Semaphore
    errors: tuple[type[Exception], ...]
    is_away: bool = False
    is_probed: bool = False


def _not_async() -> ConfigurationError:
    return ConfigurationError(
        description="RedisStore takes a client of redis.asyncio, or a function that makes one; "
        "redis.Redis would block the event loop. For an address there is RedisStore.from_url(...).",
        code="configuration.redis",
    )


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _text(value: Any) -> str | None:
    # What is not UTF-8 is not ours, and opens to nothing.
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _passes(exc: Exception) -> bool:
    """Tell whether trying again may help: the server starts, stops, fails over, or is slow."""
    from redis import exceptions

    if isinstance(exc, exceptions.AuthenticationError):
        return False
    return isinstance(
        exc,
        OSError
        | AttributeError
        | exceptions.ConnectionError
        | exceptions.TimeoutError
        | exceptions.RedisClusterException
        | exceptions.ClusterError
        | exceptions.ReadOnlyError
        | exceptions.MasterDownError
        | exceptions.TryAgainError,
    )


def _error(exc: Exception | None) -> StoreError:
    from redis import exceptions

    if isinstance(exc, exceptions.MovedError):
        cause = "It is one of a Cluster: pass RedisStore a function that makes a RedisCluster."
    elif isinstance(exc, exceptions.NoPermissionError):
        cause = "The server does not let this user do what a store needs: look at its ACL."
    elif isinstance(exc, exceptions.AuthenticationError):
        cause = "The server refuses the user or password: check the address of the store."
    elif isinstance(exc, exceptions.ResponseError):
        cause = f"The server refused a command ({type(exc).__name__}): look into its log."
    else:
        cause = "Check that the Redis server runs and that this machine reaches it."
    return StoreError(description=f"The store does not answer. {cause}")
