"""One refresh of a login's tokens, whoever asks, and what becomes of it when things go wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import pytest

from reliant import LoginRequired, ProviderError, StoreError, Token, TokenError
from reliant.client.token_family import Refresher, Wanted
from reliant.client.uninterrupted import finished
from reliant.errors import OAuthError
from reliant.storage.cookie_sessions import CookieFamily, CookieSessions
from reliant.storage.memory import MemoryStore
from reliant.storage.session_record import SessionRecord
from reliant.storage.sessions import StoredFamily, StoredSessions
from tests.helpers.http import Clock
from tests.helpers.op import Provider, new_client
from tests.helpers.tokens import ABSENT, ISSUER, NOW, id_token

SECRETS = ["a secret key of the application, 40 long"]
OWN = Wanted()


class FlakyStore(MemoryStore):
    """A store in which chosen calls fail, for as long as a test wants."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.away: set[str] = set()
        self.called: dict[str, int] = {}

    def check(self, method: str) -> None:
        self.called[method] = self.called.get(method, 0) + 1
        if method in self.away:
            raise StoreError(description="The store does not answer.")

    async def replace(self, *args: Any, **kwargs: Any) -> bool:
        self.check("replace")
        return await super().replace(*args, **kwargs)

    async def acquire(self, *args: Any, **kwargs: Any) -> Any:
        self.check("acquire")
        return await super().acquire(*args, **kwargs)

    async def release(self, *args: Any, **kwargs: Any) -> None:
        self.check("release")
        await super().release(*args, **kwargs)


class World:
    """One session in one store, a provider, and as many workers as a test wants."""

    def __init__(self, **token: Any) -> None:
        self.clock = Clock(NOW)
        self.store = FlakyStore(self.clock)
        self.provider = Provider()
        self.updates: list[tuple[Any, ...]] = []
        self.client = new_client(self.provider, self.clock, update_token=self.update_token)
        self.token = Token(
            {
                "access_token": "old-access",
                "refresh_token": "old-refresh",
                "token_type": "Bearer",
                "expires_at": NOW,
                "scope": "openid email",
                "userinfo": {"iss": ISSUER, "sub": "alice", "auth_time": NOW - 9, "acr": "2"},
                **token,
            }
        )
        self.value = ""

    def update_token(self, token: Any, refresh_token: Any, access_token: Any) -> None:
        self.updates.append((token["access_token"], refresh_token, access_token))

    async def begin(self) -> None:
        record = SessionRecord(token=self.token, created_at=NOW, latest_end=NOW + 10**6)
        self.value = await self.sessions().create(record)

    def sessions(self) -> StoredSessions:
        return StoredSessions(self.store, SECRETS, "op", 10**6, self.clock)

    async def family(self) -> StoredFamily:
        family = await self.sessions().find(self.value, lambda: True)
        assert family is not None
        return family

    def worker(self, clock: Clock | None = None) -> Refresher:
        return Refresher(lambda: self.client, clock or self.clock)

    async def ask(self, worker: Refresher, wanted: Wanted = OWN, **options: Any) -> Token:
        """A request that finds the session and asks for a token."""
        return await worker.token(await self.family(), wanted, **options)

    @property
    def refreshes(self) -> list[dict[str, str]]:
        return [form for form in self.provider.forms() if form["grant_type"] == "refresh_token"]


@pytest.fixture
async def world() -> World:
    world = World()
    await world.begin()
    return world


async def new_world(**token: Any) -> World:
    world = World(**token)
    await world.begin()
    return world


class TestWhen:
    async def test_a_fresh_token_is_handed_out(self) -> None:
        world = await new_world(expires_at=NOW + 3600, expires_in=3600)
        token = await world.ask(world.worker())
        assert token == {
            "access_token": "old-access", "token_type": "Bearer", "expires_at": NOW + 3600,
            "expires_in": 3600, "scope": "openid email",
        }  # fmt: skip
        assert world.provider.requests == []

    async def test_what_is_handed_out_refreshes_nothing(self, world: World) -> None:
        token = await world.ask(world.worker())
        assert token["access_token"] == "access-1"
        assert not {"refresh_token", "id_token", "userinfo"} & token.keys()

    @pytest.mark.parametrize(
        ("left", "lifetime", "refreshed"),
        [
            (76, 3600, False), (60, 3600, True), (1, 3600, True), (0, 3600, True), (-9, 3600, True),
            (16, 60, False), (15, 60, True), (60, None, True), (76, None, False),
        ],
    )  # fmt: skip
    async def test_a_minute_early_or_in_the_last_quarter(
        self, left: int, lifetime: int | None, refreshed: bool
    ) -> None:
        more = {} if lifetime is None else {"expires_in": lifetime}
        world = await new_world(expires_at=NOW + left, **more)
        await world.ask(world.worker())
        assert bool(world.refreshes) == refreshed

    async def test_the_logins_of_one_moment_are_not_refreshed_in_one(self) -> None:
        refreshed = set()
        for _ in range(40):
            world = await new_world(expires_at=NOW + 68, expires_in=3600)
            await world.ask(world.worker())
            refreshed.add(bool(world.refreshes))
        assert refreshed == {True, False}

    async def test_a_token_without_an_end_is_fresh(self) -> None:
        world = await new_world(expires_at=None)
        await world.ask(world.worker())
        assert world.refreshes == []

    async def test_no_refresh_token(self) -> None:
        world = await new_world(expires_at=NOW + 30, refresh_token=None)
        assert (await world.ask(world.worker()))["access_token"] == "old-access"
        world.clock.advance(30)
        with pytest.raises(LoginRequired) as caught:
            await world.ask(world.worker())
        assert caught.value.code == "session.token_expired"


class TestOnce:
    async def test_for_many_coroutines(self, world: World) -> None:
        worker = world.worker()
        tokens = await asyncio.gather(*(world.ask(worker) for _ in range(100)))
        assert {token["access_token"] for token in tokens} == {"access-1"}
        assert [form["refresh_token"] for form in world.refreshes] == ["old-refresh"]

    async def test_for_many_workers(self, world: World) -> None:
        workers = [world.worker() for _ in range(20)]
        tokens = await asyncio.gather(*(world.ask(worker) for worker in workers * 5))
        assert {token["access_token"] for token in tokens} == {"access-1"}
        assert len(world.refreshes) == 1
        assert world.updates == [("access-1", "old-refresh", "old-access")]

    async def test_for_who_found_the_session_before(self, world: World) -> None:
        """The record is old by the time it is used: another has refreshed meanwhile."""
        late = await world.family()
        await world.ask(world.worker())
        assert (await world.worker().token(late, OWN))["access_token"] == "access-1"
        assert len(world.refreshes) == 1

    async def test_again_when_the_new_one_ends(self, world: World) -> None:
        worker = world.worker()
        await world.ask(worker)
        world.clock.advance(3600)
        assert (await world.ask(worker))["access_token"] == "access-2"
        assert [form["refresh_token"] for form in world.refreshes] == ["old-refresh", "refresh-1"]

    @pytest.mark.parametrize("apart", [-30, 30])
    async def test_with_a_clock_that_is_wrong(self, world: World, apart: int) -> None:
        """Also where the provider's tokens are so short that they seem expired at once."""
        world.provider.at["/token"] = lambda _: world.provider.token(expires_in=20)
        wrong = world.worker(Clock(NOW + apart))
        workers = [world.worker(), wrong, world.worker()]
        world.clock.now = NOW + 40  # for all it is time to refresh
        tokens = await asyncio.gather(*(world.ask(worker) for worker in workers * 10))
        assert {token["access_token"] for token in tokens} == {"access-1"}
        assert len(world.refreshes) == 1

    async def test_who_need_not_wait_does_not(self, world: World) -> None:
        """A token that is due but lasts is handed out while another worker refreshes."""
        world = await new_world(expires_at=NOW + 31, expires_in=3600)
        asked, go_on = anyio.Event(), anyio.Event()

        async def slow(_: Any) -> Any:
            asked.set()
            await go_on.wait()
            return world.provider.token()

        world.provider.at["/token"] = slow
        async with anyio.create_task_group() as group:
            group.start_soon(world.ask, world.worker())
            await asked.wait()
            assert (await world.ask(world.worker()))["access_token"] == "old-access"
            go_on.set()
        assert (await world.ask(world.worker()))["access_token"] == "access-1"


class TestWhatIsKept:
    async def test_the_new_tokens(self, world: World) -> None:
        new = id_token("ES256", nonce=ABSENT)
        world.provider.at["/token"] = world.provider.token(id_token=new, scope="openid")
        await world.ask(world.worker())
        kept = (await world.family()).record
        assert kept.token["refresh_token"] == "refresh-1"
        assert kept.token["id_token"] == new
        assert kept.token["scope"] == "openid"
        assert kept.generation == 1

    async def test_what_a_new_id_token_leaves_out_of_the_login(self, world: World) -> None:
        world.provider.at["/token"] = world.provider.token(id_token=id_token("ES256", nonce=ABSENT))
        await world.ask(world.worker())
        claims = (await world.family()).record.claims
        assert (claims["acr"], claims["auth_time"]) == ("2", NOW - 9)

    async def test_by_what_a_logout_finds_the_session(self, world: World) -> None:
        """The provider's session is the login's, whatever a later ID Token calls it."""
        end = NOW + 5000
        world = await new_world(
            userinfo={"iss": ISSUER, "sub": "alice", "sid": "1", "session_expiry": end}
        )
        new = id_token("ES256", nonce=ABSENT, sid="2")
        world.provider.at["/token"] = world.provider.token(id_token=new)
        await world.ask(world.worker())
        record = (await world.family()).record
        assert record.claims.sid == "1"
        assert record.expires_at == end

    async def test_when_it_was_obtained(self, world: World) -> None:
        world.clock.advance(5)
        await world.ask(world.worker())
        assert (await world.family()).record.token["obtained_at"] == NOW + 5

    async def test_a_provider_that_does_not_rotate(self, world: World) -> None:
        world.provider.at["/token"] = lambda _: {
            k: v for k, v in world.provider.token().items() if k != "refresh_token"
        }
        await world.ask(world.worker())
        assert (await world.family()).record.token["refresh_token"] == "old-refresh"

    async def test_other_audiences_have_tokens_of_their_own(self, world: World) -> None:
        orders = Wanted(resource="https://orders.example", scope="email")
        worker = world.worker()
        first = await world.ask(worker, orders)
        again = await world.ask(worker, orders)
        assert first == again
        assert world.refreshes == [{
            "grant_type": "refresh_token", "refresh_token": "old-refresh",
            "resource": "https://orders.example", "scope": "email",
        }]  # fmt: skip
        await world.ask(worker, Wanted(audience="https://orders.example"))
        await world.ask(worker)
        # One family: each refresh used what the one before it brought.
        used = [form["refresh_token"] for form in world.refreshes]
        assert used == ["old-refresh", "refresh-1", "refresh-2"]

    async def test_audiences_that_are_asked_for_at_once(self, world: World) -> None:
        wanted = [Wanted(audience=f"api-{number}") for number in range(5)]
        await asyncio.gather(*(world.ask(world.worker(), one) for one in wanted * 3))
        used = [form["refresh_token"] for form in world.refreshes]
        assert used == ["old-refresh", "refresh-1", "refresh-2", "refresh-3", "refresh-4"]

    async def test_audiences_that_one_request_asks_for_at_once(self, world: World) -> None:
        family, worker = await world.family(), world.worker()
        wanted = [OWN, *(Wanted(audience=f"api-{number}") for number in range(4))]
        tokens = await asyncio.gather(*(worker.token(family, one) for one in wanted))
        assert len({token["access_token"] for token in tokens}) == 5
        used = [form["refresh_token"] for form in world.refreshes]
        assert used == ["old-refresh", *(f"refresh-{number}" for number in range(1, 5))]
        assert family.record.token["refresh_token"] == "refresh-5"

    async def test_no_more_audiences_than_a_record_holds(self, world: World) -> None:
        worker = world.worker()
        for number in range(20):
            await world.ask(worker, Wanted(audience=f"api-{number}"))
        assert len((await world.family()).record.others) == 16
        await world.ask(worker, Wanted(audience="api-19"))
        assert len(world.refreshes) == 20
        await world.ask(worker, Wanted(audience="api-0"))
        assert len(world.refreshes) == 21

    async def test_more_scope_than_was_granted(self, world: World) -> None:
        with pytest.raises(OAuthError) as caught:
            await world.ask(world.worker(), Wanted(scope="admin"))
        assert caught.value.code == "configuration.refresh_scope"
        assert (await world.ask(world.worker()))["access_token"] == "access-1"


class TestRefused:
    async def test_a_token_that_an_api_did_not_take(self) -> None:
        world = await new_world(expires_at=NOW + 3000, expires_in=3600)
        token = await world.ask(world.worker(), refused="old-access")
        assert token["access_token"] == "access-1"

    async def test_another_than_the_one_at_hand(self) -> None:
        world = await new_world(expires_at=NOW + 3000, expires_in=3600)
        await world.ask(world.worker(), refused="an older one")
        assert world.refreshes == []

    async def test_without_a_refresh_token_it_stays(self) -> None:
        world = await new_world(expires_at=NOW + 3000, expires_in=3600, refresh_token=None)
        token = await world.ask(world.worker(), refused="old-access")
        assert token["access_token"] == "old-access"

    async def test_an_api_that_takes_none(self) -> None:
        world = await new_world(expires_at=NOW + 3000, expires_in=3600)
        worker, token = world.worker(), Token({"access_token": "old-access"})
        for _ in range(5):
            token = await world.ask(worker, refused=token["access_token"])
        assert len(world.refreshes) == 1


class TestFailures:
    @pytest.mark.parametrize(
        "answer",
        [500, 503, httpx2.ReadTimeout("slow"), httpx2.ConnectError("down"), {}, 429,
         httpx2.Response(400, json={"error": "invalid_client"})],
    )  # fmt: skip
    async def test_the_old_token_serves_until_it_really_ends(
        self, answer: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = await new_world(expires_at=NOW + 50, expires_in=3600)
        world.provider.at["/token"] = answer
        worker = world.worker()
        for _ in range(5):
            assert (await world.ask(worker))["access_token"] == "old-access"
        assert len(world.refreshes) == 1  # not one for each request
        assert "the old token serves on" in caplog.text
        world.clock.advance(11)
        await world.ask(worker)
        assert len(world.refreshes) == 2
        world.clock.advance(39)
        with pytest.raises((TokenError, ProviderError)):
            await world.ask(worker)
        await world.family()  # the login goes on
        world.provider.at["/token"] = world.provider.token()
        assert (await world.ask(worker))["access_token"] == "access-1"

    @pytest.mark.parametrize("expires_at", [NOW, NOW + 50])
    async def test_invalid_grant_ends_the_login(
        self, expires_at: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = await new_world(expires_at=expires_at, expires_in=3600)
        world.provider.at["/token"] = httpx2.Response(400, json={"error": "invalid_grant"})
        family = await world.family()
        with pytest.raises(LoginRequired) as caught:
            await world.worker().token(family, OWN)
        assert caught.value.code == "session.ended"
        assert family.over
        assert await world.sessions().find(world.value, lambda: True) is None
        assert "code=token.invalid_grant" in caplog.text
        assert "interrupted" not in caplog.text
        assert "old-refresh" not in caplog.text

    async def test_all_who_wait_learn_of_the_end(self, world: World) -> None:
        world.provider.at["/token"] = httpx2.Response(400, json={"error": "invalid_grant"})
        families = [await world.family() for _ in range(10)]
        workers = [world.worker() for _ in range(3)]

        async def ask(number: int) -> str:
            try:
                await workers[number % 3].token(families[number], OWN)
            except LoginRequired as exc:
                return exc.code
            return "a token"

        answers = await asyncio.gather(*(ask(number) for number in range(10)))
        assert set(answers) == {"session.ended"}
        assert len(world.refreshes) == 1

    async def test_an_id_token_of_somebody_else_ends_the_login(self, world: World) -> None:
        world.provider.at["/token"] = world.provider.token(
            id_token=id_token("ES256", sub="mallory", nonce=ABSENT)
        )
        with pytest.raises(LoginRequired):
            await world.ask(world.worker())
        assert await world.sessions().find(world.value, lambda: True) is None
        (revoked,) = world.provider.forms("/revoke")
        assert revoked["token"] == "refresh-1"

    async def test_keys_that_cannot_be_had_do_not_end_it(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The old refresh token may be used up, so what came must be kept."""
        new = id_token("ES256", nonce=ABSENT)
        world.provider.at["/token"] = world.provider.token(id_token=new)
        world.provider.at["/jwks"] = 503
        await world.ask(world.worker())
        kept = (await world.family()).record
        assert kept.token["refresh_token"] == "refresh-1"
        assert "id_token" not in kept.token
        assert kept.claims["acr"] == "2"
        assert "is left out" in caplog.text


class TestInterruptions:
    @pytest.mark.parametrize("how", ["anyio", "asyncio"])
    async def test_a_request_that_is_cancelled_takes_nothing_along(
        self, world: World, how: str
    ) -> None:
        asked, go_on = anyio.Event(), anyio.Event()

        async def slow(_: Any) -> Any:
            asked.set()
            await go_on.wait()
            return world.provider.token()

        world.provider.at["/token"] = slow
        told: list[str] = []
        world.client = new_client(
            world.provider, world.clock, update_token=lambda token, **_: told.append("told")
        )
        if how == "anyio":
            async with anyio.create_task_group() as group:
                group.start_soon(world.ask, world.worker())
                await asked.wait()
                group.cancel_scope.cancel()
        else:
            task = asyncio.ensure_future(world.ask(world.worker()))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        go_on.set()
        assert (await world.ask(world.worker()))["access_token"] == "access-1"
        assert len(world.refreshes) == 1
        await finished(5)
        assert told == ["told"]

    async def test_a_worker_that_died_before_it_asked(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        family = await world.family()
        await world.store.acquire(family.name, "the worker that died", 8)
        world.clock.advance(8)
        assert (await world.ask(world.worker()))["access_token"] == "access-1"
        assert "was interrupted" in caplog.text
        await world.ask(world.worker())
        await world.family()

    async def test_a_worker_that_died_with_the_new_token(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """This family is lost, as the provider sees its refresh token twice; the log says why."""
        family = await world.family()
        await world.store.acquire(family.name, "the worker that died", 8)
        world.provider.at["/token"] = httpx2.Response(400, json={"error": "invalid_grant"})
        world.clock.advance(8)
        with pytest.raises(LoginRequired):
            await world.ask(world.worker())
        assert "after an interrupted refresh" in caplog.text

    async def test_a_store_that_is_away_when_the_new_token_comes(self, world: World) -> None:
        world.store.away = {"replace"}
        async with anyio.create_task_group() as group:
            group.start_soon(world.ask, world.worker())
            with anyio.fail_after(5):
                while world.store.called.get("replace", 0) < 2:
                    await anyio.lowlevel.checkpoint()
            world.store.away = set()
        assert (await world.ask(world.worker()))["access_token"] == "access-1"
        assert len(world.refreshes) == 1

    async def test_a_store_that_stays_away(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("reliant.client.token_family.WAIT_SECONDS", 0.1)
        world.store.away = {"replace"}
        with pytest.raises(StoreError):
            await world.ask(world.worker())
        assert "refreshed tokens are lost" in caplog.text
        assert caplog.records[-1].levelno == logging.ERROR
        assert "refresh-1" not in caplog.text

    async def test_a_store_that_is_away_at_the_start(self, world: World) -> None:
        world.store.away = {"acquire"}
        with pytest.raises(StoreError):
            await world.ask(world.worker())
        assert world.refreshes == []

    async def test_a_store_that_is_away_while_the_old_token_serves(self) -> None:
        world = await new_world(expires_at=NOW + 55, expires_in=3600)
        world.store.away = {"acquire"}
        assert (await world.ask(world.worker()))["access_token"] == "old-access"

    async def test_a_lock_that_can_not_be_released_runs_out(self, world: World) -> None:
        world.store.away = {"release"}
        assert (await world.ask(world.worker()))["access_token"] == "access-1"

    async def test_a_lock_that_others_hold_for_too_long(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reliant.client.token_family.WAIT_SECONDS", 0.05)
        family = await world.family()
        await world.store.acquire(family.name, "another", 1000)
        with pytest.raises(StoreError) as caught:
            await world.ask(world.worker())
        assert caught.value.code == "session.busy"
        assert world.refreshes == []

    async def test_the_lock_is_prolonged_while_the_provider_is_slow(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("reliant.client.token_family.LOCK_SECONDS", 0.2)
        world.store._clock = world.store._locks._clock = anyio.current_time

        async def slow(_: Any) -> Any:
            await anyio.sleep(0.6)
            return world.provider.token()

        world.provider.at["/token"] = slow
        tokens = await asyncio.gather(*(world.ask(world.worker()) for _ in range(4)))
        assert {token["access_token"] for token in tokens} == {"access-1"}
        assert len(world.refreshes) == 1

    async def test_a_login_that_ends_while_it_is_refreshed(self, world: World) -> None:
        async def end_meanwhile(_: Any) -> Any:
            await world.sessions().delete(world.value)
            return world.provider.token()

        world.provider.at["/token"] = end_meanwhile
        with pytest.raises(LoginRequired) as caught:
            await world.ask(world.worker())
        assert caught.value.code == "session.ended"
        # What came for nobody is given back.
        (revoked,) = world.provider.forms("/revoke")
        assert revoked["token"] == "refresh-1"

    async def test_a_worker_that_stood_still_writes_no_more(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def stand_still(_: Any) -> Any:
            world.clock.advance(9)
            await world.store.acquire((await world.family()).name, "another worker", 8)
            return world.provider.token()

        world.provider.at["/token"] = stand_still
        await world.ask(world.worker())
        assert (await world.family()).record.token["access_token"] == "old-access"
        assert "another worker took over" in caplog.text

    async def test_a_store_that_lost_the_lock(self, world: World) -> None:
        """As one that drops keys when it is full, or a replica that took over."""

        async def lose_it(_: Any) -> Any:
            name = (await world.family()).name
            world.store._locks.pop(name)
            world.store._fences.pop(name)
            return world.provider.token()

        world.provider.at["/token"] = lose_it
        assert (await world.ask(world.worker()))["access_token"] == "access-1"
        assert (await world.family()).record.token["refresh_token"] == "refresh-1"

    async def test_a_request_that_is_cancelled_while_it_gets_the_lock(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The clock stands still, so that a lock that nobody gives back is there for ever."""
        got, go_on, acquire = anyio.Event(), anyio.Event(), world.store.acquire

        async def slow(*args: Any) -> Any:
            claim = await acquire(*args)
            got.set()
            await go_on.wait()
            return claim

        monkeypatch.setattr(world.store, "acquire", slow)
        asked = asyncio.ensure_future(world.ask(world.worker()))
        await got.wait()
        asked.cancel()
        go_on.set()
        with anyio.fail_after(5):
            assert (await world.ask(world.worker()))["access_token"] == "access-1"
        assert len(world.refreshes) == 1

    async def test_a_hook_that_fails_loses_nothing(self, world: World) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise ValueError("the app's own")

        world.client = new_client(world.provider, world.clock, update_token=fail)
        with pytest.raises(ValueError, match="own"):
            await world.ask(world.worker())
        assert (await world.ask(world.worker()))["access_token"] == "access-1"
        assert len(world.refreshes) == 1


class TestInCookies:
    """Requests that carry old cookies find what came of them, for a while."""

    def sessions(self, world: World) -> CookieSessions:
        return CookieSessions(SECRETS, "op", 10**6, world.clock, world.store)

    async def value(self, world: World) -> str:
        record = SessionRecord(token=world.token, created_at=NOW, latest_end=NOW + 10**6)
        return await self.sessions(world).create(record)

    async def find(self, world: World, value: str, writable: bool = True) -> CookieFamily:
        family = await self.sessions(world).find(value, lambda: writable)
        assert family is not None
        return family

    async def test_the_browser_gets_the_new_tokens(self, world: World) -> None:
        value, worker = await self.value(world), world.worker()
        family = await self.find(world, value)
        await worker.token(family, OWN)
        new = family.renewed()
        assert new is not None
        session, stamp, _ = value.split("~")
        assert new.startswith(f"{session}~~")  # the record alone
        found = await self.find(world, f"{session}~{stamp}~{new.rpartition('~')[2]}")
        assert found.record.token["refresh_token"] == "refresh-1"

    async def test_requests_with_the_old_cookie(self, world: World) -> None:
        value, workers = await self.value(world), [world.worker() for _ in range(3)]
        for _ in range(4):
            families = [await self.find(world, value) for _ in workers]
            tokens = await asyncio.gather(
                *(w.token(f, OWN) for w, f in zip(workers, families, strict=True))
            )
            assert {token["access_token"] for token in tokens} == {"access-1"}
            assert all(family.renewed() for family in families)
        assert len(world.refreshes) == 1

    async def test_a_provider_that_does_not_rotate(self, world: World) -> None:
        world.provider.at["/token"] = lambda _: {
            **world.provider.token(expires_in=60), "refresh_token": "old-refresh",
        }  # fmt: skip
        value, worker = await self.value(world), world.worker()
        for number in (1, 1, 2):
            if number == 2:
                world.clock.advance(60)
            token = await worker.token(await self.find(world, value), OWN)
            assert token["access_token"] == f"access-{number}"

    async def test_several_refreshes_that_the_browser_missed(self, world: World) -> None:
        world.provider.at["/token"] = lambda _: world.provider.token(expires_in=20)
        value, worker = await self.value(world), world.worker()
        family = await self.find(world, value)
        for _ in range(3):
            world.clock.advance(20)
            await worker.token(family, OWN)
        late = await self.find(world, value)
        assert (await worker.token(late, OWN))["access_token"] == "access-3"
        world.clock.advance(60)
        assert (await worker.token(await self.find(world, value), OWN))["access_token"]
        assert [form["refresh_token"] for form in world.refreshes] == [
            "old-refresh", "refresh-1", "refresh-2", "refresh-3",
        ]  # fmt: skip

    async def test_a_browser_that_missed_it_for_long(self, world: World) -> None:
        """A page that somebody left open, and whose answer never came."""
        value, worker = await self.value(world), world.worker()
        await worker.token(await self.find(world, value), OWN)
        world.clock.advance(10**5)
        await worker.token(await self.find(world, value), OWN)
        used = [form["refresh_token"] for form in world.refreshes]
        assert used == ["old-refresh", "refresh-1"]

    async def test_what_somebody_puts_into_the_store_is_not_taken(self, world: World) -> None:
        """What a refresh brought for one session does not open for another."""
        one, other, worker = await self.value(world), await self.value(world), world.worker()
        families = [await self.find(world, value) for value in (one, other)]
        for family in families:
            await worker.token(family, OWN)
        texts = world.store._texts
        texts.set(families[1].name, texts.get(families[0].name) or "", 1000)
        late = await self.find(world, other)
        await late.reread()
        assert late.record.token["refresh_token"] == "old-refresh"

    async def test_after_its_end_nothing_is_refreshed(self, world: World) -> None:
        """A request that was under way when its person logged out."""
        value = await self.value(world)
        late = await self.find(world, value)
        await self.sessions(world).delete(value)
        with pytest.raises(LoginRequired):
            await world.worker().token(late, OWN)
        assert world.refreshes == []
        assert await self.sessions(world).find(value, lambda: True) is None

    async def test_an_end_while_it_is_refreshed(self, world: World) -> None:
        value = await self.value(world)
        family = await self.find(world, value)

        async def log_out(_: Any) -> Any:
            await self.sessions(world).delete(value)
            return world.provider.token()

        world.provider.at["/token"] = log_out
        with pytest.raises(LoginRequired):
            await world.worker().token(family, OWN)
        assert [form["token"] for form in world.provider.forms("/revoke")] == ["refresh-1"]

    async def test_an_end_while_a_refresh_is_written(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        value = await self.value(world)
        family, add = await self.find(world, value), world.store.add

        async def slow(key: str, text: str, seconds: float) -> bool:
            await self.sessions(world).delete(value)
            return await add(key, text, seconds)

        monkeypatch.setattr(world.store, "add", slow)
        with pytest.raises(LoginRequired):
            await world.worker().token(family, OWN)
        assert [form["token"] for form in world.provider.forms("/revoke")] == ["refresh-1"]

    async def test_a_store_that_is_away_just_after_the_write(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        value = await self.value(world)
        family, add, ask = await self.find(world, value), world.store.add, world.store.get_many
        away = [True]

        async def write(key: str, text: str, seconds: float) -> bool:
            monkeypatch.setattr(world.store, "get_many", fail_once)
            return await add(key, text, seconds)

        async def fail_once(keys: Any) -> Any:
            if away.pop() if away else False:
                raise StoreError(description="Away.")
            return await ask(keys)

        monkeypatch.setattr(world.store, "add", write)
        assert (await world.worker().token(family, OWN))["access_token"] == "access-1"
        assert caplog.messages == []

    async def test_the_newest_token_is_given_back_whoever_refreshed_it(self, world: World) -> None:
        """Two processes that know nothing of each other; the cookie knows best."""
        one = self.sessions(world)
        other = CookieSessions(SECRETS, "op", 10**6, world.clock)
        world.provider.at["/token"] = lambda _: world.provider.token(expires_in=20)
        value = await self.value(world)
        for sessions in (one, other):
            family = await sessions.find(value, lambda: True)
            assert family is not None
            await world.worker().token(family, OWN)
            session, stamp, _ = value.split("~")
            value = f"{session}~{stamp}~{(family.renewed() or '').rpartition('~')[2]}"
            world.clock.advance(100)
        last = await one.delete(value)
        assert last is not None
        assert last.token["refresh_token"] == "refresh-2"

    async def test_an_answer_that_is_late_brings_back_no_old_tokens(self, world: World) -> None:
        world.provider.at["/token"] = lambda _: world.provider.token(expires_in=20)
        sessions, worker = self.sessions(world), world.worker()
        record = SessionRecord(token=world.token, created_at=NOW, latest_end=NOW + 10**6)
        value = await sessions.create(record)
        late, quick = [await sessions.find(value, lambda: True) for _ in range(2)]
        assert late is not None
        assert quick is not None
        await worker.token(late, OWN)
        world.clock.advance(100)
        await worker.token(quick, OWN)
        assert len(world.refreshes) == 2
        assert quick.renewed()
        assert late.renewed() is None

    async def test_who_can_not_be_told_holds_up_nobody_else(self, world: World) -> None:
        """A stream, whose answer has begun, asks first; a page asks meanwhile."""
        value, worker = await self.value(world), world.worker()
        stream = await self.find(world, value, writable=False)
        page = await self.find(world, value)
        told, token = await asyncio.gather(
            worker.token(stream, OWN), worker.token(page, OWN), return_exceptions=True
        )
        assert isinstance(told, OAuthError)
        assert told.code == "session.answer_begun"
        assert not isinstance(token, BaseException)
        assert token["access_token"] == "access-1"

    async def test_a_refresh_that_says_the_session_is_over(self, world: World) -> None:
        new = id_token("ES256", nonce=ABSENT, session_expiry=NOW - 1)
        world.provider.at["/token"] = world.provider.token(id_token=new)
        value = await self.value(world)
        family = await self.find(world, value)
        with anyio.fail_after(5):
            await world.worker().token(family, OWN)
        session, stamp, _ = value.split("~")
        body = (family.renewed() or "").rpartition("~")[2]
        found = await self.sessions(world).find(f"{session}~{stamp}~{body}", lambda: True)
        assert found is None

    async def test_a_token_that_still_serves_where_it_can_not_be_kept(self, world: World) -> None:
        world.token["expires_at"] = NOW + 55
        family = await self.find(world, await self.value(world), writable=False)
        assert (await world.worker().token(family, OWN))["access_token"] == "old-access"

    async def test_nothing_is_refreshed_that_can_not_be_kept(self, world: World) -> None:
        family = await self.find(world, await self.value(world), writable=False)
        with pytest.raises(OAuthError) as caught:
            await world.worker().token(family, OWN)
        assert caught.value.code == "session.answer_begun"
        assert world.refreshes == []

    async def test_a_record_too_large(self, world: World) -> None:
        world.token["id_token"] = "x" * 30_000
        with pytest.raises(OAuthError) as caught:
            await self.value(world)
        assert caught.value.code == "session.too_large"
