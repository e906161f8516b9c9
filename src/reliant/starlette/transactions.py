"""Where logins and logouts in progress are kept: the session, a cache, or cookies of their own.

All three answer the same two calls. ``put`` returns Set-Cookie values for the response; ``take``
returns a transaction once, or raises ``StateError`` saying which case it is: ``state.no_cookie``,
``state.unknown``, ``state.expired``, ``state.used``, ``state.other_browser``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote

from starlette.requests import Request

from reliant.errors import ConfigurationError, StateError
from reliant.protocol.transaction import LoginTransaction, LogoutTransaction
from reliant.protocol.values import is_loopback, s256
from reliant.starlette.cookies import clear_cookie, host_cookie
from reliant.starlette.requests import cookies_of, header_of, host_of, origin_of_request
from reliant.storage.calls import call
from reliant.storage.replay import ReplayGuard

if TYPE_CHECKING:
    from reliant.storage.sealed import Sealer

__all__ = ["CacheStore", "CookieStore", "Read", "SessionStore", "TransactionStore"]

MAX_PENDING = 8
MAX_COOKIES = 6000  # octets of all pending; servers refuse headers of 8 KB, and all requests then
EXPIRED_KEPT = 600  # seconds a cookie outlives its transaction, so that "expired" can be told

T = TypeVar("T", LoginTransaction, LogoutTransaction)
Read = Callable[[Mapping[str, Any]], T | None]
Clock = Callable[[], float]


class TransactionStore(Protocol):
    """A place for transactions; ``client`` is the name of the registered client."""

    async def put(
        self,
        request: Request,
        client: str,
        state: str,
        transaction: LoginTransaction | LogoutTransaction,
        *,
        cross_site: bool = False,
    ) -> list[str]:
        """Keep a transaction; return Set-Cookie values that must go out with the response."""
        ...

    async def take(self, request: Request, client: str, state: str, read: Read[T]) -> T:
        """Return the transaction of ``state`` and forget it; raises ``StateError``."""
        ...


class SessionStore:
    """Transactions in ``request.session``; ``lifetime`` in seconds."""

    def __init__(self, lifetime: int, clock: Clock = time.time) -> None:
        self._lifetime = lifetime
        self._clock = clock

    async def put(
        self,
        request: Request,
        client: str,
        state: str,
        transaction: LoginTransaction | LogoutTransaction,
        *,
        cross_site: bool = False,
    ) -> list[str]:
        session = _session(request)
        _make_room(session, self._clock())
        session[_key(client, state)] = {
            "client": client,
            "data": _json(transaction.record()),
            "exp": int(self._clock()) + self._lifetime,
        }
        return []

    async def take(self, request: Request, client: str, state: str, read: Read[T]) -> T:
        session = _session(request)
        record = session.get(_key(client, state))
        transaction = _read(record, client, read)
        if transaction is None:
            raise _absent(request, session, state)
        del session[_key(client, state)]
        _mark_used(session, state)
        _check_time(record["exp"], self._clock())
        return transaction


class CacheStore:
    """Transactions in a cache, bound to the browser by a marker in ``request.session``.

    ``cache``: ``get(key)``, ``set(key, value, seconds)`` and ``delete(key)``, sync or async; where
    it has ``getdel(key)`` too, as Redis does, a transaction is taken atomically.
    """

    def __init__(self, cache: Any, lifetime: int, clock: Clock = time.time) -> None:
        self._cache = cache
        self._lifetime = lifetime
        self._clock = clock
        self._taking: set[str] = set()

    async def put(
        self,
        request: Request,
        client: str,
        state: str,
        transaction: LoginTransaction | LogoutTransaction,
        *,
        cross_site: bool = False,
    ) -> list[str]:
        session, key = _session(request), _key(client, state)
        for dropped in _make_room(session, self._clock()):
            await call(self._cache.delete, dropped)
        expires = int(self._clock()) + self._lifetime
        record = {"client": client, "data": _json(transaction.record()), "exp": expires}
        await call(self._cache.set, key, json.dumps(record), self._lifetime)
        session[key] = {"client": client, "exp": expires}
        return []

    async def take(self, request: Request, client: str, state: str, read: Read[T]) -> T:
        session, key = _session(request), _key(client, state)
        marker = session.get(key)
        if not _is_record(marker):
            error = _absent(request, session, state)
            if error.code == "state.unknown" and await call(self._cache.get, key) is not None:
                error = _failure("other_browser", "it belongs to a login begun in another browser "
                                 "or session")  # fmt: skip
            raise error
        _check_time(marker["exp"], self._clock())
        if key in self._taking:
            raise _used()
        self._taking.add(key)
        try:
            stored = await call(self._cache.get, key)
            if stored is None:
                raise _failure("used", "it was used already, or the cache lost it, as one does "
                               "that not all workers share")  # fmt: skip
            transaction = _read(_loads(stored), client, read)
            if transaction is None:
                raise _absent(request, session, state)
            if not await self._remove(key):
                raise _used()
        finally:
            self._taking.discard(key)
        del session[key]
        _mark_used(session, state)
        return transaction

    async def _remove(self, key: str) -> bool:
        if hasattr(self._cache, "getdel"):
            return await call(self._cache.getdel, key) is not None
        await call(self._cache.delete, key)
        return True


class CookieStore:
    """Transactions in encrypted ``__Host-`` cookies, one each, named after the state.

    ``secrets``: the application's secret keys, newest first. A cookie can't be taken back before
    the app's own response goes out, so what was used is remembered here until it has expired; in
    ``cache`` for all workers, where there is one: atomically if it has ``getdel(key)``.
    """

    PREFIX = "__Host-oauth."

    def __init__(
        self,
        secrets: Sequence[str | bytes],
        lifetime: int,
        cache: Any = None,
        clock: Clock = time.time,
    ) -> None:
        self._secrets = secrets
        self._lifetime = lifetime
        self._cache = cache
        self._clock = clock
        self._sealers: dict[str, Sealer] = {}
        # A cache that can tell who is first remembers what was used; without that, what was not.
        self._atomic = hasattr(cache, "getdel") and not hasattr(cache, "add")
        self._guard = ReplayGuard(None if self._atomic else cache, clock)

    async def put(
        self,
        request: Request,
        client: str,
        state: str,
        transaction: LoginTransaction | LogoutTransaction,
        *,
        cross_site: bool = False,
    ) -> list[str]:
        record = {**_json(transaction.record()), "exp": int(self._clock()) + self._lifetime}
        sealed = self._sealer(client).seal(record)
        if len(sealed) > 3800:
            raise ConfigurationError(
                description="data= and return_to= are too large to travel in a cookie: keep them "
                "under 2 KB, or use OAuth(cache=...).",
                code="configuration.data_too_large",
            )
        if self._atomic:
            await call(self._cache.set, f"_unused_{_mark(sealed)}", "1", self._lifetime)
        max_age = self._lifetime + EXPIRED_KEPT
        return [
            host_cookie(self._name(state), sealed, max_age, cross_site=cross_site),
            *(clear_cookie(name) for name in self._surplus(request, len(sealed))),
        ]

    def _surplus(self, request: Request, size: int) -> list[str]:
        """The oldest cookies, too many or too large to stay beside a new one of ``size``."""
        pending = [it for it in cookies_of(request).items() if it[0].startswith(self.PREFIX)]
        surplus = []
        for number, (name, value) in enumerate(reversed(pending), 2):  # browsers send oldest first
            size += len(value)
            if number > MAX_PENDING or size > MAX_COOKIES:
                surplus.append(name)
        return surplus

    async def take(self, request: Request, client: str, state: str, read: Read[T]) -> T:
        cookies = cookies_of(request)
        sealed = cookies.get(self._name(state))
        record = self._sealer(client).open(sealed) if sealed else None
        transaction = read(record) if record is not None else None
        if sealed is None or record is None or transaction is None:
            if not any(name.startswith(self.PREFIX) for name in cookies):
                raise _no_cookie(request)
            if sealed is not None and record is None:
                raise _failure("unknown", "its cookie can't be opened. It was made with another "
                               "secret_key (all workers need the same one), for another client, "
                               "or was changed")  # fmt: skip
            raise _unknown()
        try:
            _check_time(record["exp"], self._clock())
            if not await self._first_use(_mark(sealed), record["exp"]):
                raise _used()
        except StateError as exc:
            if isinstance(transaction, LoginTransaction):
                exc.return_to, exc.data = transaction.return_to, transaction.data
                asked = {"acr_values": transaction.acr_values, "max_age": transaction.max_age}
                exc.asked = {name: value for name, value in asked.items() if value is not None}
            raise
        return transaction

    async def _first_use(self, mark: str, until: float) -> bool:
        if not await self._guard.first_use(mark, until):
            return False
        return not self._atomic or await call(self._cache.getdel, f"_unused_{mark}") is not None

    def _sealer(self, client: str) -> Sealer:
        sealer = self._sealers.get(client)
        if sealer is None:
            from reliant.storage.sealed import Sealer

            sealer = self._sealers[client] = Sealer(self._secrets, f"reliant transaction {client}")
        return sealer

    def _name(self, state: str) -> str:
        return self.PREFIX + _plain(state)


def _mark(sealed: str) -> str:
    """What tells one sealed value from all others: the vector, which has but one spelling."""
    return sealed.split(".")[2]


def _key(client: str, state: str) -> str:
    return f"_state_{client}_{_plain(state)}"


def _plain(state: str) -> str:
    """``state``, or a digest of one that might not fit the name of a cookie or a cache's key."""
    return state if re.fullmatch(r"[A-Za-z0-9._~-]{1,128}", state) else _digest(state)


def _digest(state: str) -> str:
    return s256(quote(state, errors="replace"))  # s256 takes ASCII; a state can be anything


def _session(request: Request) -> Any:
    session = request.scope.get("session")
    if session is None:
        raise ConfigurationError(
            description="There is no request.session to keep the login in. Add Starlette's "
            "SessionMiddleware, or pass OAuth(secret_key=...), which needs none.",
            code="configuration.session",
        )
    return session


def _is_record(value: object) -> bool:
    return isinstance(value, dict) and "client" in value and isinstance(value.get("exp"), int)


def _make_room(session: Any, now: float) -> list[str]:
    """Drop what has expired, and the oldest of what is pending; return the keys dropped."""
    pending = [k for k, v in session.items() if k.startswith("_state_") and _is_record(v)]
    pending.sort(key=lambda key: session[key]["exp"])
    live = [key for key in pending if session[key]["exp"] > now]
    kept = live[-(MAX_PENDING - 1) :]
    dropped = [key for key in pending if key not in kept]
    for key in dropped:
        del session[key]
    return dropped


def _read(record: Any, client: str, read: Read[T]) -> T | None:
    # The name is compared although it is in the key: "a" with state "b_x" has the key of "a_b".
    if not _is_record(record) or record["client"] != client:
        return None
    data = record.get("data")
    return read(data) if isinstance(data, dict) else None


def _mark_used(session: Any, state: str) -> None:
    """Remember the last states that were used, so that a reload of the callback can be told."""
    session["_state_used"] = [*session.get("_state_used", [])[-2:], _digest(state)[:8]]


def _absent(request: Request, session: Any, state: str) -> StateError:
    if _digest(state)[:8] in session.get("_state_used", []):
        return _used()
    if "headers" in request.scope and header_of(request, "cookie") is None:
        return _no_cookie(request)
    return _unknown()


def _check_time(expires: float, now: float) -> None:
    if now >= expires:
        raise _failure("expired", "the login took too long; begin it again")


def _unknown() -> StateError:
    return _failure("unknown", "no login or logout in progress in this browser has it. Begin again")


def _used() -> StateError:
    return _failure("used", "it was used already, as when a page is reloaded or reached with the "
                    "back button. If you are logged in, go on; else begin again")  # fmt: skip


def _no_cookie(request: Request) -> StateError:
    return _failure("no_cookie", f"no cookie came back with it. {_likely_reason(request)}")


def _likely_reason(request: Request) -> str:
    if request.scope.get("method") == "POST":
        return (
            "The answer came as a POST from the provider's site, and a cookie with SameSite=Lax "
            "stays behind then: use OAuth(secret_key=...) with response_mode=form_post."
        )
    origin = origin_of_request(request)
    if origin is not None and origin.startswith("http:") and not is_loopback(host_of(origin)):
        return (
            "This request came over plain http, and secure cookies travel over https only: serve "
            "the app over https; behind a proxy, let the server trust its forwarded headers."
        )
    if origin is not None and origin.startswith("http:"):
        return (
            "The login began on another host name than this callback (localhost and 127.0.0.1 "
            "are two), or the browser keeps no secure cookies over http: Safari does not, even "
            "on localhost."
        )
    return (
        "The login began on another host name or over another scheme than "
        "this callback, or the browser blocks cookies."
    )


def _failure(rule: str, reason: str) -> StateError:
    return StateError(
        description=f'Invalid "state" parameter: {reason.rstrip(".")}.', code=f"state.{rule}"
    )


def _json(record: dict[str, Any]) -> dict[str, Any]:
    if "data" not in record:  # all else is text and numbers of our own
        return record
    try:
        json.dumps(record["data"])
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(
            description="data= must be made of what JSON knows: text, numbers, lists and dicts.",
            code="configuration.data_not_json",
        ) from exc
    return record


def _loads(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return None
