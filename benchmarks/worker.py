"""What runs in a measured process: one task a process, one result a line.

`python -m benchmarks.worker TASK ARGUMENTS` (JSON) gets ready and says so; then, for each line of
standard input (JSON, the arguments of one run), it prints a line: the result as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from benchmarks.browser import App, Browser
from benchmarks.provider import CLIENT_ID, base64url

Run = Callable[..., Awaitable[Any]]
PAGE = 4096  # octets


def app_of(name: str, origin: str, **options: Any) -> App:
    """The application of a contender: `module:function` of `benchmarks/apps`."""
    module, _, function = name.partition(":")
    app: App = getattr(import_module(f"benchmarks.apps.{module}"), function)(origin, **options)
    return app


def tell(origin: str, what: str, body: str = "") -> Any:
    """Ask the provider for its `counts`, or tell it to `rotate` its key or to `delay` answers."""
    return httpx2.post(f"{origin}/-/{what}", content=body).json()


async def at_once(calls: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    return await asyncio.gather(*calls)


# -- CPU time --------------------------------------------------------------------------------------


async def login(app: str, origin: str, tenants: int = 0) -> Run:
    """CPU seconds of the app for one login, one after another.

    `tenants`: how many providers are registered, of which a hundred log in by turns; 0 for an app
    with one provider and nothing else.
    """
    site = app_of(app, origin, **({"tenants": tenants} if tenants else {}))
    used = max(1, min(tenants, 100))

    async def run(logins: int) -> float:
        cpu = 0.0
        for number in range(logins):
            browser = Browser(site)
            await browser.log_in(str(number % used))
            cpu += browser.cpu
        return cpu / logins

    await run(used if app.startswith(("floor", "reliant")) else 2)
    return run


SESSIONS = ("/auth/login", "/auth/callback")  # where the apps with sessions have their logins


async def session_read(app: str, origin: str, people: int = 1, **options: Any) -> Run:
    """CPU seconds of the app for one request of somebody who is logged in, of `people` by turns."""
    site = app_of(app, origin, **options)
    browsers = [Browser(site, SESSIONS) for _ in range(people)]
    for browser in browsers:
        await browser.log_in()

    async def run(requests: int) -> float:
        for browser in browsers:
            browser.cpu = 0.0
        for number in range(requests):
            assert (await browsers[number % people].get("/")).status == 200
        return sum(browser.cpu for browser in browsers) / requests

    await run(200)
    return run


async def login_among(origin: str, sessions: int, redis: str = "") -> Run:
    """CPU seconds of the app for one login, with so many sessions of others in its store."""
    from benchmarks.apps.sessions_app import build_filled

    site = await build_filled(origin, sessions, redis)

    async def run(logins: int) -> float:
        cpu = 0.0
        for _ in range(logins):
            browser = Browser(site, SESSIONS)
            await browser.log_in()
            cpu += browser.cpu
        return cpu / logins

    await run(100)
    return run


async def api_call(app: str, origin: str) -> Run:
    """CPU seconds for one GET of an API with an access token; `app`: "bare" or "reliant"."""
    access_token = "an-access-token-of-the-usual-length" * 4
    if app == "bare":
        client, headers = httpx2.AsyncClient(), {"authorization": f"Bearer {access_token}"}

        async def call() -> httpx2.Response:
            return await client.get(f"{origin}/0/api", headers=headers)
    else:
        from reliant.starlette import OAuth

        op = OAuth().register("op", client_id=CLIENT_ID, api_base_url=f"{origin}/0/")
        token = {"access_token": access_token, "token_type": "Bearer"}

        async def call() -> httpx2.Response:
            return await op.get("api", token=token)

    async def run(calls: int) -> float:
        begun = time.process_time()
        for _ in range(calls):
            assert (await call()).status_code == 200
        return (time.process_time() - begun) / calls

    await run(50)
    return run


ON_THE_WAY = 0.03  # seconds from one request of a browser to its next


async def ping(request: Request) -> Response:
    return PlainTextResponse("pong")


async def stalls(app: str, origin: str) -> Run:
    """How long an unrelated route waits, and the longest step of the event loop, in seconds.

    The route is asked for every 5 ms, and its time counts from the moment it was due, so that all
    that keeps the event loop busy then is in it. A step is what the loop does without a look at
    anything else; its time is CPU time, so that other processes are not in it. The two requests of
    a login come apart, as they do from a browser that has been at the provider between them.
    """
    site, unrelated = app_of(app, origin), Starlette(routes=[Route("/ping", ping)])
    for _ in range(20):
        await Browser(site).log_in()

    async def run(logins: int, seconds: float) -> dict[str, float]:
        loop, steps, waits = asyncio.get_running_loop(), [0.0], []
        tell(origin, "delay", "1")
        end = loop.time() + seconds
        step = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            begun = time.thread_time()
            step(handle)
            steps.append(time.thread_time() - begun)

        async def person(number: int) -> None:
            await asyncio.sleep(number / max(logins, 1))
            while loop.time() < end:
                browser = Browser(site)
                location = await browser.leave()
                await asyncio.sleep(ON_THE_WAY)
                await browser.come_back(location)
                await asyncio.sleep(ON_THE_WAY)

        with patch.object(asyncio.Handle, "_run", timed):
            people = [asyncio.ensure_future(person(number)) for number in range(logins)]
            due = loop.time()
            while (due := due + 0.005) < end:
                await asyncio.sleep(due - loop.time())
                assert (await Browser(unrelated).get("/ping")).status == 200
                waits.append(loop.time() - due)
            await asyncio.gather(*people)
        tell(origin, "delay", "0")
        waits.sort()
        return {"p99": waits[int(len(waits) * 0.99)], "longest": max(steps)}

    return run


# -- requests to the provider ----------------------------------------------------------------------


async def requests(origin: str) -> Run:
    """What the provider is asked for: by one login and the next, and by many cold ones at once."""

    async def run(logins: int) -> dict[str, Any]:
        site = app_of("reliant_app:build", origin)
        counts = []
        for people in (1, 1):
            await at_once(Browser(site).log_in() for _ in range(people))
            counts.append(tell(origin, "counts"))
        site = app_of("reliant_app:build", origin)
        await at_once(Browser(site).log_in() for _ in range(logins))
        return {"cold": counts[0], "warm": counts[1], "at_once": tell(origin, "counts")}

    tell(origin, "counts")
    return run


async def rotation(origin: str) -> Run:
    """How often the key set is fetched: when a key rotates, and for tokens of forged keys.

    The forged ones are logout tokens: anyone may post them, as many as they like.
    """

    async def run(logins: int, rate: int, seconds: int) -> dict[str, int]:
        site = app_of("reliant_tenants:build", origin, tenants=1)
        await Browser(site).log_in()
        browsers = [Browser(site) for _ in range(logins)]
        locations = await at_once(browser.leave() for browser in browsers)
        tell(origin, "rotate")
        tell(origin, "counts")
        await at_once(
            browser.come_back(location)
            for browser, location in zip(browsers, locations, strict=True)
        )
        rotated = tell(origin, "counts")["jwks"]
        loop = asyncio.get_running_loop()
        begun, sent = loop.time(), 0
        while (passed := loop.time() - begun) < seconds:
            for _ in range(min(int(passed * rate), rate * seconds) - sent):
                answer = await Browser(site).post("/op0/backchannel-logout", forged(origin, sent))
                assert answer.status == 400, answer.body
                sent += 1
            await asyncio.sleep(0.001)
        return {"rotated": rotated, "forged": tell(origin, "counts").get("jwks", 0), "sent": sent}

    return run


def forged(origin: str, number: int) -> bytes:
    """A logout token that is right in all but its key, which nobody knows."""
    now = int(time.time())
    header = {"alg": "RS256", "kid": f"forged-{number}", "typ": "logout+jwt"}
    claims = {
        "iss": f"{origin}/0", "aud": CLIENT_ID, "iat": now, "exp": now + 60, "jti": str(number),
        "sub": "x", "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }  # fmt: skip
    parts = [base64url(json.dumps(part).encode()) for part in (header, claims)]
    return urlencode({"logout_token": ".".join([*parts, base64url(bytes(256))])}).encode()


# -- memory ----------------------------------------------------------------------------------------


def resident() -> int:
    """Octets of memory this process has now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


async def provider_memory(origin: str) -> Run:
    """Octets a registered provider takes: at rest, and with its metadata, keys and connection."""

    async def run(tenants: int) -> dict[str, float]:
        small = app_of("reliant_tenants:build", origin, tenants=1)
        await Browser(small).log_in()
        before = resident()
        site = app_of("reliant_tenants:build", origin, tenants=tenants)
        at_rest = resident()
        for tenant in range(tenants):
            await Browser(site).log_in(str(tenant))
        used = resident()
        return {"at_rest": (at_rest - before) / tenants, "used": (used - before) / tenants}

    return run


async def pending_memory(origin: str) -> Run:
    """Octets a login in progress takes in a cache of this process."""

    async def run(logins: int) -> float:
        site = app_of("reliant_app:build_cache", origin)
        for _ in range(1000):
            await Browser(site).leave()
        before = resident()
        for _ in range(logins):
            await Browser(site).leave()
        return (resident() - before) / logins

    return run


async def growth_of_memory(app: str, origin: str) -> Run:
    """Octets that stay behind of a login, after as many as that."""
    site = app_of(app, origin)

    async def people(logins: int) -> None:
        for _ in range(logins // 8):
            await Browser(site).log_in()

    async def run(logins: int) -> float:
        begun = resident()
        await at_once(people(logins) for _ in range(8))
        return (resident() - begun) / logins

    await run(2000)
    return run


TASKS: dict[str, Callable[..., Awaitable[Run]]] = {
    task.__name__: task
    for task in (
        login, session_read, login_among, api_call, stalls, requests, rotation, provider_memory,
        pending_memory, growth_of_memory,
    )
}  # fmt: skip


async def main(task: str, arguments: str) -> None:
    logging.basicConfig(handlers=[logging.NullHandler()])  # lines are made, and shown to nobody
    run = await TASKS[task](**json.loads(arguments))
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await run(**json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
