"""What every place for login sessions promises, and what those promise that reach them from afar.

One class for all: cookies alone, cookies with an index, a store in memory, Redis, a Cluster.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest

from reliant import LoginRequired, Token
from reliant.login import Store
from reliant.storage.cookie_sessions import CookieSessions, IndexedCookieSessions
from reliant.storage.memory import MemoryStore
from reliant.storage.recent import Recent, digest
from reliant.storage.session_record import SessionRecord, without_refresh_token
from reliant.storage.sessions import RemoteSessions, Sessions, StoredSessions, TokenFamily
from tests.helpers.http import Clock
from tests.helpers.stores import STORES, new_store
from tests.helpers.tokens import NOW

ISS = "https://op.example"
SECRET = "a secret key of the application, 40 long"
IDLE, LIFETIME = 3600.0, 24 * 3600.0


def new_record(sub: str = "alice", sid: str | None = "sid-1", **members: Any) -> SessionRecord:
    claims = {"iss": ISS, "sub": sub, "email": "alice@example.test"}
    if sid is not None:
        claims["sid"] = sid
    token = Token(
        {
            "access_token": "the-access-token",
            "refresh_token": "the-refresh-token",
            "id_token": "the.id.token",
            "token_type": "Bearer",
            "scope": "openid email",
            "userinfo": {**claims, **members.pop("claims", {})},
        }
    )
    return SessionRecord(token=token, created_at=NOW, latest_end=NOW + LIFETIME, **members)


class Place:
    """A place for sessions in one application, on any number of workers.

    ``one_worker``: all that use the same settings are one, which remembers what it has read.
    """

    def __init__(self, kind: str, store: Store | None, clock: Clock, one_worker: bool) -> None:
        self.kind = kind
        self.store = store
        self.clock = clock
        self._workers: dict[tuple[Any, ...], Sessions] | None = {} if one_worker else None

    @property
    def is_timed_by_redis(self) -> bool:
        return self.kind in ("redis", "redis-text", "cluster")

    def worker(
        self,
        secrets: Sequence[str | bytes] = (SECRET,),
        client: str = "op",
        idle: float = IDLE,
    ) -> Sessions:
        """Sessions as one worker sees them."""
        if self._workers is None:
            return self._new_worker(secrets, client, idle)
        settings = (*secrets, client, idle)
        if settings not in self._workers:
            self._workers[settings] = self._new_worker(secrets, client, idle)
        return self._workers[settings]

    def _new_worker(self, secrets: Sequence[str | bytes], client: str, idle: float) -> Sessions:
        if self.store is None:
            return CookieSessions(secrets, client, idle, self.clock)
        if self.kind.startswith("indexed"):
            return IndexedCookieSessions(self.store, secrets, client, idle, LIFETIME, self.clock)
        return StoredSessions(self.store, secrets, client, idle, self.clock)


def indexed(kind: Any) -> Any:
    if isinstance(kind, str):
        return f"indexed-{kind}"
    return pytest.param(f"indexed-{kind.values[0]}", marks=kind.marks)


PLACES = ["cookies", *STORES, *map(indexed, STORES)]
REMOTE = [*STORES, *map(indexed, STORES)]


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture(params=[False, True], ids=["workers", "one worker"])
def one_worker(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=PLACES)
async def place(
    request: pytest.FixtureRequest, clock: Clock, one_worker: bool
) -> AsyncIterator[Place]:
    kind = request.param
    store = None if kind == "cookies" else new_store(kind.removeprefix("indexed-"), request, clock)
    yield Place(kind, store, clock, one_worker)
    if store is not None:
        await store.aclose()


async def look(sessions: Sessions, value: str, writable: bool = True) -> TokenFamily | None:
    return await sessions.find(value, lambda: writable)


class TestSessions:
    async def test_what_is_kept_is_found(self, place: Place) -> None:
        record = new_record(profile={"name": "Alice"}, landings=(("state", "/page"),))
        value = await place.worker().create(record)
        family = await look(place.worker(), value)
        assert family is not None
        assert family.record.token == record.token
        assert family.record.claims["sub"] == "alice"
        assert family.record.profile == {"name": "Alice"}
        assert family.record.landings == (("state", "/page"),)
        assert family.record.id == record.id
        assert not family.over

    async def test_each_session_has_a_value_of_its_own(self, place: Place) -> None:
        sessions, record = place.worker(), new_record()
        assert await sessions.create(record) != await sessions.create(record)

    async def test_a_value_fits_cookies_and_tells_nothing(self, place: Place) -> None:
        value = await place.worker().create(new_record())
        assert value.isascii()
        assert not set(value) & set(' ",;\\')
        for secret in ("alice", "the-access-token", "the-refresh-token"):
            assert secret not in value

    @pytest.mark.parametrize("change", ["first", "middle", "last", "cut", "longer", "empty"])
    async def test_a_changed_value_finds_nothing(self, place: Place, change: str) -> None:
        value = await place.worker().create(new_record())
        body = value.index("~") + 1 if "~" in value else 0
        at = {"first": body, "middle": (body + len(value)) // 2, "last": len(value) - 1}.get(change)
        if at is not None:
            value = f"{value[:at]}{'A' if value[at] != 'A' else 'B'}{value[at + 1 :]}"
        else:
            value = {"cut": value[:-1], "longer": f"{value}A", "empty": ""}[change]
        assert await look(place.worker(), value) is None

    @pytest.mark.parametrize(
        "value",
        [
            "x",
            ".",
            "..",
            "~",
            "a.b.c",
            "a~b",
            "\x00",
            "é",
            "A" * 43,
            "1" * 100_000,
            "\ud800",
            "a~b~\ud800",
        ],
    )
    async def test_a_value_that_somebody_made_up_finds_nothing(
        self, place: Place, value: str
    ) -> None:
        sessions = place.worker()
        assert await look(sessions, value) is None
        assert sessions.mark_of(value) is None
        assert sessions.was_of(sessions.trace_of(value), ISS, "alice") is False

    async def test_a_value_of_another_client_finds_nothing(self, place: Place) -> None:
        value = await place.worker().create(new_record())
        assert await look(place.worker(client="other"), value) is None

    async def test_a_value_of_another_secret_key_finds_nothing(self, place: Place) -> None:
        value = await place.worker().create(new_record())
        assert await look(place.worker(["another secret key"]), value) is None

    async def test_old_secret_keys_still_open(self, place: Place) -> None:
        value = await place.worker().create(new_record())
        rotated = place.worker(["a new secret key", SECRET])
        assert await look(rotated, value) is not None
        assert rotated.mark_of(value) is not None
        assert rotated.was_of(place.worker().trace_of(value), ISS, "alice")
        new = await rotated.create(new_record())
        assert await look(place.worker(["a new secret key"]), new) is not None
        assert await look(place.worker(), new) is None

    async def test_a_session_ends_at_its_end(self, place: Place, clock: Clock) -> None:
        value = await place.worker().create(new_record())
        clock.now = NOW + IDLE - 1
        family = await look(place.worker(), value)
        assert family is not None
        value = renewed(value, family)
        clock.now = NOW + LIFETIME
        assert await look(place.worker(), value) is None

    async def test_the_provider_caps_a_session(self, place: Place, clock: Clock) -> None:
        record = new_record(claims={"session_expiry": NOW + 60})
        assert record.expires_at == NOW + 60
        value = await place.worker().create(record)
        clock.now = NOW + 59
        assert await look(place.worker(), value) is not None
        clock.now = NOW + 60
        assert await look(place.worker(), value) is None

    async def test_whose_a_value_was(self, place: Place, clock: Clock) -> None:
        sessions = place.worker()
        value = await sessions.create(new_record())
        clock.now = NOW + 2 * LIFETIME
        assert await look(sessions, value) is None
        trace = sessions.trace_of(value)
        assert len(trace) < 100
        assert sessions.was_of(trace, ISS, "alice")
        assert not sessions.was_of(trace, ISS, "bob")
        assert not sessions.was_of(trace, "https://other.example", "alice")
        mark = sessions.mark_of(value)
        assert mark is not None
        assert mark == place.worker().mark_of(value)
        assert mark != sessions.mark_of(await sessions.create(new_record()))

    async def test_a_record_of_another_version_is_no_session(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reliant.storage.session_record._FORMAT", 2)
        value = await place.worker().create(new_record())
        monkeypatch.undo()
        assert await look(place.worker(), value) is None


class TestIdleTime:
    async def test_a_session_in_use_lasts(self, place: Place, clock: Clock) -> None:
        value = await place.worker().create(new_record())
        for _ in range(20):
            clock.now += int(IDLE) - 1
            family = await look(place.worker(), value)
            assert family is not None
            value = renewed(value, family)

    async def test_a_session_that_nobody_uses_ends(self, place: Place, clock: Clock) -> None:
        value = await place.worker(idle=0.3).create(new_record())
        assert await look(place.worker(idle=0.3), value) is not None
        clock.advance(0.3)
        if place.is_timed_by_redis:
            await anyio.sleep(0.35)
        assert await look(place.worker(idle=0.3), value) is None

    async def test_a_look_renews_the_idle_time(self, place: Place, clock: Clock) -> None:
        if not place.is_timed_by_redis:
            return  # the first test has shown it
        value = await place.worker(idle=1).create(new_record())
        for _ in range(3):
            clock.advance(0.5)
            await anyio.sleep(0.5)
            assert await look(place.worker(idle=1), value) is not None

    @pytest.mark.parametrize("place", ["cookies"], indirect=True)
    async def test_not_every_answer_brings_a_new_cookie(self, place: Place, clock: Clock) -> None:
        sessions = place.worker()
        value = await sessions.create(new_record())
        family = await look(sessions, value)
        assert family is not None
        assert family.renewed() is None
        clock.advance(IDLE / 20)
        assert family.renewed() is not None

    @pytest.mark.parametrize("place", ["cookies"], indirect=True)
    async def test_parts_of_two_sessions_are_none(self, place: Place) -> None:
        sessions = place.worker()
        one, other = [(await sessions.create(new_record())).split("~") for _ in range(2)]
        for parts in (
            [one[0], one[1], other[2]], [one[0], other[1], one[2]], [other[0], one[1], one[2]],
            [one[0], "", one[2]], [one[0], one[2]],
        ):  # fmt: skip
            assert await look(sessions, "~".join(parts)) is None


class TestWhatAnAppGetsOfARecord:
    def nested(self) -> dict[str, Any]:
        return {"groups": ["staff"], "home": {"lines": ["1 Main Street"]}, "mixed": ["a", ["b"]]}

    def test_it_shares_nothing_with_it(self) -> None:
        record = new_record(claims=self.nested(), profile={"also": self.nested()})
        answer = Token({
            "access_token": "new", "token_type": "Bearer",
            "userinfo": {"iss": ISS, "sub": "alice", **self.nested()},
        })  # fmt: skip
        refreshed = record.with_token(answer)
        before = record.dumps(), refreshed.dumps()
        assert record.tokens() == without_refresh_token(record.token)
        assert record.person() == {**record.profile, **record.claims}
        for out in (record.person(), record.tokens()["userinfo"], refreshed.person(),
                    refreshed.tokens()["userinfo"]):  # fmt: skip
            out["sub"] = "bob"
            out["groups"].append("admins")
            out["home"]["lines"].append("anywhere")
            out["mixed"][1].append("c")
            out.get("also", {}).clear()
        assert (record.dumps(), refreshed.dumps()) == before


class TestTheEnd:
    async def test_a_deleted_session(self, place: Place) -> None:
        sessions = place.worker()
        value = await sessions.create(new_record())
        other = await sessions.create(new_record())
        family = await look(sessions, value)
        assert family is not None
        last = await sessions.delete(value)
        assert last is not None
        assert last.id == family.record.id
        # What lives in cookies alone has to be taken back from the browser: other workers know
        # nothing of it.
        gone = await look(place.worker(), value) is None
        assert gone == (place.kind != "cookies" or place.worker() is sessions)
        assert await look(place.worker(), other) is not None

    async def test_a_session_that_ends_itself(self, place: Place) -> None:
        sessions = place.worker()
        value = await sessions.create(new_record())
        family = await look(sessions, value)
        assert family is not None
        await family.end()
        assert family.over
        if place.kind != "cookies":
            assert await look(place.worker(), value) is None

    async def test_who_can_be_reached_from_afar(self, place: Place) -> None:
        assert isinstance(place.worker(), RemoteSessions) == (place.kind != "cookies")


class TestWhatAWorkerRemembers:
    """Whose a session is, for a minute; and no more than that."""

    @pytest.fixture
    def one_worker(self) -> bool:
        return True

    @pytest.fixture
    def opened(self, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
        """How often records were opened."""
        counts: Counter[str] = Counter()
        loads = SessionRecord.loads

        def count(text: str) -> SessionRecord | None:
            counts["opened"] += 1
            return loads(text)

        monkeypatch.setattr(SessionRecord, "loads", count)
        return counts

    async def test_a_session_is_opened_twice_a_minute(
        self, place: Place, clock: Clock, opened: Counter[str]
    ) -> None:
        value = await place.worker().create(new_record(profile={"name": "Alice"}))
        for _ in range(4):
            family = await look(place.worker(), value)
            assert family is not None
            assert family.outline.claims["sub"] == "alice"
            assert family.outline.profile == {"name": "Alice"}
            assert family.outline.token.scope == "openid email"
        assert opened["opened"] == 2
        clock.advance(60)
        assert await look(place.worker(), value) is not None
        assert opened["opened"] == 3
        clock.advance(-3600)  # somebody puts the clock back
        assert await look(place.worker(), value) is not None
        assert opened["opened"] == 4

    async def test_one_that_comes_but_once_a_minute_is_not_remembered(
        self, place: Place, clock: Clock, opened: Counter[str]
    ) -> None:
        value = await place.worker().create(new_record())
        for number in range(1, 4):
            assert await look(place.worker(), value) is not None
            assert opened["opened"] == number
            clock.advance(60)

    async def test_its_tokens_are_opened_by_who_asks_for_them(
        self, place: Place, opened: Counter[str]
    ) -> None:
        record = new_record(others={"api": {"access_token": "the-other-token"}})
        value = await place.worker().create(record)
        for _ in range(3):
            family = await look(place.worker(), value)
        assert family is not None
        for text in (repr(vars(family.outline)), json.dumps(vars(family.outline))):
            assert "the-access-token" not in text
            assert "the-refresh-token" not in text
            assert "the.id.token" not in text
            assert "the-other-token" not in text
        assert family.outline.secret == ""
        assert opened["opened"] == 2
        assert family.record.token == record.token
        assert family.record.others == record.others
        assert family.outline is family.record
        assert opened["opened"] == 3

    async def test_what_another_worker_wrote_is_read(self, place: Place) -> None:
        value = await place.worker().create(new_record())
        for _ in range(3):
            await look(place.worker(), value)
        family = await look(place.worker(idle=IDLE + 1), value)
        assert family is not None
        claim = await family.store.acquire(family.name, "me", 8)
        assert claim is not None
        assert await family.reread()
        token = Token({**family.record.token, "userinfo": {**family.record.claims, "n": 1}})
        assert await family.write(family.record.with_token(token), claim.fence)
        found = await look(place.worker(), renewed(value, family))
        assert found is not None
        assert found.outline.claims["n"] == 1
        assert found.outline.generation == 1

    async def test_a_session_whose_tokens_are_in_the_vault_is_not_remembered(
        self, place: Place, opened: Counter[str]
    ) -> None:
        value = await place.worker().create(new_record(vault="the-handle"))
        for _ in range(3):
            family = await look(place.worker(), value)
            assert family is not None
            assert family.outline.vault == "the-handle"
        assert opened["opened"] == 3

    async def test_nor_one_with_tokens_of_others_in_its_claims(
        self, place: Place, opened: Counter[str]
    ) -> None:
        """OpenID Connect Core section 5.6.2: a distributed claim comes with its access token."""
        sources = {"_claim_sources": {"bank": {"endpoint": "https://x", "access_token": "theirs"}}}
        records = [new_record(claims=sources), new_record(profile=sources)]
        for value in [await place.worker().create(record) for record in records]:
            for _ in range(3):
                assert await look(place.worker(), value) is not None
        assert opened["opened"] == 6

    async def test_nor_longer_than_it_lasts(self, place: Place, clock: Clock) -> None:
        value = await place.worker().create(new_record(claims={"session_expiry": NOW + 30}))
        for _ in range(3):
            assert await look(place.worker(), value) is not None
        clock.advance(30)
        assert await look(place.worker(), value) is None

    async def test_a_session_that_is_used_each_second_lasts(
        self, place: Place, clock: Clock
    ) -> None:
        if place.is_timed_by_redis:
            return  # TestIdleTime has shown it
        value = await place.worker(idle=100).create(new_record())
        for _ in range(300):
            clock.advance(1)
            family = await look(place.worker(idle=100), value)
            assert family is not None
            value = renewed(value, family)
        clock.advance(100)
        assert await look(place.worker(idle=100), value) is None

    async def test_a_session_lasts_for_nearly_all_of_its_idle_time(
        self, place: Place, clock: Clock
    ) -> None:
        if place.is_timed_by_redis:
            return
        for pauses in ([0, 0, 2.9], [2.9, 2.9, 2.9], [0, 0, 59]):
            value = await place.worker(idle=60).create(new_record())
            for pause in [*pauses, 0.94 * 60]:
                clock.advance(pause)
                family = await look(place.worker(idle=60), value)
                assert family is not None
                value = renewed(value, family)

    @pytest.mark.parametrize("place", ["memory"], indirect=True)
    async def test_nor_less_after_a_refresh_by_another_worker(
        self, place: Place, clock: Clock
    ) -> None:
        ours, other = [place._new_worker([SECRET], "op", 1000) for _ in range(2)]
        value = await ours.create(new_record())
        for _ in range(2):
            assert await look(ours, value) is not None
        clock.advance(1)
        family = await look(other, value)
        assert family is not None
        claim = await family.store.acquire(family.name, "me", 8)
        assert claim is not None
        assert await family.write(family.record.with_token(family.record.token), claim.fence)
        for seconds in (48, 0, 49.9, 940):
            clock.advance(seconds)
            assert await look(ours, value) is not None

    @pytest.mark.parametrize("place", ["cookies"], indirect=True)
    async def test_the_head_belongs_to_the_rest(self, place: Place) -> None:
        sessions = place.worker()
        one, other = [(await sessions.create(new_record())).split("~") for _ in range(2)]
        assert sessions.mark_of("~".join([other[0], *one[1:]])) is None
        assert sessions.mark_of("~".join(one)) is not None

    @pytest.mark.parametrize("place", ["cookies"], indirect=True)
    async def test_the_rest_of_a_value_is_looked_at_all_the_same(self, place: Place) -> None:
        sessions = place.worker()
        values = [await sessions.create(new_record()) for _ in range(2)]
        for value in [*values, *values]:
            assert await look(sessions, value) is not None
        (head, stamp, body), (other, other_stamp, _) = (value.split("~") for value in values)
        for parts in ([other, stamp, body], [head, other_stamp, body], [head, "", body],
                      [head, stamp, body, ""], ["", body], [body]):  # fmt: skip
            assert await look(sessions, "~".join(parts)) is None

    @pytest.mark.parametrize("place", ["memory"], indirect=True)
    async def test_a_large_one_is_not_remembered(self, place: Place, opened: Counter[str]) -> None:
        value = await place.worker().create(new_record(profile={"x": "y" * 16_000}))
        for _ in range(3):
            assert await look(place.worker(), value) is not None
        assert opened["opened"] == 3

    def test_how_many_it_remembers(self, clock: Clock) -> None:
        recent = Recent(1000, clock)
        for number in range(300):
            for _ in range(2):
                recent.keep(digest(f"value {number}"), new_record(), "sealed")
        known = [number for number in range(300) if recent.find(digest(f"value {number}"))]
        assert known == list(range(100, 300))
        for number in range(300, 1000):  # each comes once
            recent.keep(digest(f"value {number}"), new_record(), "sealed")
        assert max(len(recent._known), len(recent._met)) == 200
        clock.advance(60)
        recent.keep(digest("value"), new_record(), "sealed")
        assert (len(recent._known), len(recent._met)) == (0, 1)


@pytest.mark.parametrize("place", REMOTE, indirect=True)
class TestRemoteSessions:
    async def end(self, place: Place, **who: Any) -> None:
        sessions = place.worker()
        assert isinstance(sessions, RemoteSessions)
        await sessions.end(ISS, **who)

    async def values(self, place: Place) -> dict[str, str]:
        records = {
            "alice, sid 1": new_record(sid="1"),
            "alice, sid 2": new_record(sid="2"),
            "alice, no sid": new_record(sid=None),
            "bob, sid 3": new_record("bob", sid="3"),
            "bob, no sid": new_record("bob", sid=None),
            "alice elsewhere": new_record(sid="1", claims={"iss": "https://other.example"}),
        }
        return {name: await place.worker().create(record) for name, record in records.items()}

    async def over(self, place: Place, values: dict[str, str]) -> set[str]:
        return {name for name in values if await look(place.worker(), values[name]) is None}

    @pytest.mark.parametrize(
        ("who", "expected"),
        [
            ({"sid": "1"}, {"alice, sid 1"}),
            ({"sub": "alice"}, {"alice, sid 1", "alice, sid 2", "alice, no sid"}),
            # A session that does not know its sid may be the one.
            ({"sid": "2", "sub": "alice"}, {"alice, sid 2", "alice, no sid"}),
            ({"sid": "unknown"}, set()),
            ({"sub": "unknown"}, set()),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
    )
    async def test_what_ends(self, place: Place, who: dict[str, str], expected: set[str]) -> None:
        values = await self.values(place)
        assert await self.over(place, values) == set()
        await self.end(place, **who)
        assert await self.over(place, values) == expected

    async def test_an_end_reaches_who_lasts_longer_than_it_seemed(
        self, place: Place, clock: Clock
    ) -> None:
        """A refresh may bring another session_expiry."""
        sessions = place.worker()
        if not isinstance(sessions, StoredSessions):
            return  # those in cookies are not listed anywhere
        value = await sessions.create(new_record(claims={"session_expiry": NOW + 1}))
        family = await look(sessions, value)
        assert family is not None
        claim = await family.store.acquire(family.name, "me", 8)
        claims = {**family.record.claims, "session_expiry": NOW + 1000}
        later = family.record.with_token(Token({**family.record.token, "userinfo": claims}))
        assert claim is not None
        assert await family.write(later, claim.fence)
        clock.advance(1.1)
        if place.is_timed_by_redis:
            await anyio.sleep(1.1)
        assert await look(place.worker(), value) is not None
        await self.end(place, sub="alice")
        assert await look(place.worker(), value) is None

    async def test_an_end_that_is_late_takes_none_back(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two at once, of which the one that began first is written last."""
        begun = await place.worker().time()
        await self.end(place, sid="1")

        async def before() -> float:
            return begun - 10

        assert place.store is not None
        with monkeypatch.context() as patch:
            patch.setattr(place.store, "time", before)
            await self.end(place, sid="1")
        with pytest.raises(LoginRequired):
            await place.worker().create(replace(new_record(sid="1"), created_at=begun))

    async def test_a_logout_outlasts_every_copy_of_the_cookie(
        self, place: Place, clock: Clock
    ) -> None:
        """Also one from before a refresh, whose ID Token let the session end sooner."""
        sessions = place.worker()
        value = await sessions.create(new_record())
        family = await look(sessions, value)
        assert family is not None
        claims = {**family.record.claims, "session_expiry": NOW + 5}
        sooner = family.record.with_token(Token({**family.record.token, "userinfo": claims}))
        family.record = sooner
        await family.end()
        clock.advance(6)
        assert await look(place.worker(), value) is None

    async def test_a_login_after_the_end_lives(self, place: Place, clock: Clock) -> None:
        await self.end(place, sub="alice", sid="1")
        clock.advance(0.001)
        begun = await place.worker().time()
        value = await place.worker().create(replace(new_record(sid="1"), created_at=begun))
        assert await look(place.worker(), value) is not None

    async def test_a_login_under_way_does_not(self, place: Place) -> None:
        """Its callback has begun, and the end comes before there is a session to find."""
        begun = await place.worker().time()
        await self.end(place, sid="1")
        with pytest.raises(LoginRequired) as caught:
            await place.worker().create(replace(new_record(sid="1"), created_at=begun))
        assert caught.value.code == "session.ended"

    async def test_an_end_in_the_midst_of_a_login(self, place: Place) -> None:
        """Whatever step of it is done: in the end there is no session."""
        sessions = place.worker()
        begun = await sessions.time()
        record = replace(new_record(sid="1"), created_at=begun)
        values: list[str] = []

        async def log_in() -> None:
            try:
                values.append(await sessions.create(record))
            except LoginRequired:
                values.append("")

        async with anyio.create_task_group() as group:
            group.start_soon(log_in)
            group.start_soon(self.end_twice, place)
        assert await look(place.worker(), values[0]) is None

    async def end_twice(self, place: Place) -> None:
        for _ in range(2):
            await self.end(place, sid="1")

    async def test_what_anybody_may_ask_for_writes_nothing(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The front channel carries no proof."""
        sessions = place.worker()
        assert isinstance(sessions, RemoteSessions)
        value = await sessions.create(
            replace(new_record(sid="1"), created_at=await sessions.time())
        )
        store = place.store
        assert store is not None
        written: list[str] = []
        right = store.set

        async def count(key: str, *args: Any) -> None:
            written.append(key)
            await right(key, *args)

        monkeypatch.setattr(store, "set", count)
        await sessions.end(ISS, sid="unknown", proven=False)
        await sessions.end("https://other.example", sid="1", proven=False)
        assert written == []
        assert await look(place.worker(), value) is not None
        await sessions.end(ISS, sid="1", proven=False)
        assert await look(place.worker(), value) is None

    async def test_an_end_reaches_what_an_old_secret_key_made(self, place: Place) -> None:
        value = await place.worker().create(new_record())
        rotated = place.worker(["a new secret key", SECRET])
        assert isinstance(rotated, RemoteSessions)
        await rotated.end(ISS, sub="alice")
        assert await look(rotated, value) is None

    async def test_a_worker_whose_clock_is_ahead_makes_none_that_live_on(
        self, place: Place
    ) -> None:
        if place.kind.endswith("memory"):
            return  # one process has one clock
        place.clock.advance(30)
        begun = await place.worker().time()
        value = await place.worker().create(replace(new_record(sid="1"), created_at=begun))
        place.clock.advance(-30)
        await self.end(place, sid="1")
        assert await look(place.worker(), value) is None


def renewed(value: str, family: TokenFamily) -> str:
    """The value that the browser has after an answer."""
    new = family.renewed()
    if new is None:
        return value
    pairs = zip(value.split("~"), new.split("~"), strict=True)
    return "~".join(now or before for before, now in pairs)


@pytest.mark.parametrize("how", ["delete", "end"])
async def test_a_mark_lasts_as_long_as_the_session_by_every_clock(clock: Clock, how: str) -> None:
    """Who logs out at a worker whose clock is ahead stays logged out at one whose clock is not."""
    store = MemoryStore(clock)

    def worker(ahead: float) -> IndexedCookieSessions:
        return IndexedCookieSessions(
            store, [SECRET], "op", LIFETIME, LIFETIME, lambda: clock() + ahead
        )

    record = replace(new_record(sid="1"), latest_end=NOW + 30 + LIFETIME)
    value = await worker(30).create(record)
    clock.advance(5)
    if how == "delete":
        await worker(30).delete(value)
    else:
        await worker(30).end(record.claims["iss"], sid="1")
    for seconds in (0, LIFETIME - 6, 20, 20, 20):
        clock.advance(seconds)
        assert await look(worker(-30), value) is None
