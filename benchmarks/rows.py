"""The rows of the table: what is measured, beside what, and the target.

A row is a function that takes the `Bench` and returns its figures. To add one, write the function
and name it in `ROWS`; what has to run in a process of its own is a task of `worker.py`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

FLOOR, SESSION, COOKIE = "floor:build", "reliant_app:build", "reliant_app:build_cookie"
PEERS = {
    "Authlib": "authlib_app:build",
    "httpx-oauth": "httpx_oauth_app:build",
    "fastapi-sso": "fastapi_sso_app:build",
}


@dataclass(frozen=True)
class Figure:
    """One line of the table; `samples`: of each run, by contender; `unit` of these.

    `value`: what counts, a ratio of medians where `against` is named; `limit`: where it must stay
    `below` (or above, for a ratio that says how much less another costs).
    """

    name: str
    value: float
    limit: float | None
    unit: str = ""
    below: bool = True
    samples: Mapping[str, list[float]] = field(default_factory=dict)
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.limit is None:
            return None
        return self.value <= self.limit if self.below else self.value >= self.limit

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


class Worker:
    """A measured process."""

    def __init__(self, task: str, environment: dict[str, str], **arguments: Any) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.worker", task]
        self._process = subprocess.Popen(
            [*command, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._line()

    def run(self, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        print(json.dumps(arguments), file=self._process.stdin, flush=True)
        return json.loads(self._line())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a measured process failed; its error stands above")
        return line


class Bench:
    """What the rows need: the two providers, how often and how much to measure.

    `origins`: of the providers, by scheme; `authorities`: the file with those to trust on https;
    `redis`: the address of a Redis server, where this machine has one; `scale`: 1 for a full run,
    less for a quick one.
    """

    def __init__(
        self,
        origins: Mapping[str, str],
        authorities: str,
        redis: str | None,
        runs: int,
        scale: float,
    ) -> None:
        self.redis = redis
        self.origins = origins
        self._authorities = authorities
        self.runs = runs
        self.scale = scale

    def environment(self, origin: str = "") -> dict[str, str]:
        """The environment of a measured process: that of a program which is installed."""
        trust = {"SSL_CERT_FILE": self._authorities} if origin.startswith("https") else {}
        unset = ("PYTHONDONTWRITEBYTECODE", "SSL_CERT_FILE", "SSL_CERT_DIR")
        return {**{k: v for k, v in os.environ.items() if k not in unset}, **trust}

    @property
    def quick(self) -> bool:
        return self.scale < 1

    def many(self, number: int) -> int:
        """So many of something, fewer in a quick run."""
        return max(1, int(number * self.scale))

    @contextmanager
    def worker(self, task: str, **arguments: Any) -> Iterator[Worker]:
        arguments.setdefault("origin", self.origins["http"])
        worker = Worker(task, self.environment(arguments["origin"]), **arguments)
        try:
            yield worker
        finally:
            worker.close()

    def by_turns(self, measurements: Mapping[str, Measurement]) -> dict[str, list[Any]]:
        """Take each measurement as often as there are runs, A B A B.

        Each time in a fresh process, or, in a quick run, in the same one.
        """
        samples: dict[str, list[Any]] = {name: [] for name in measurements}
        with ExitStack() as kept:
            workers: dict[str, Worker] = {}
            for _ in range(self.runs):
                for name, it in measurements.items():
                    with ExitStack() as once:
                        worker = workers.get(name)
                        if worker is None:
                            stack = kept if self.quick else once
                            worker = stack.enter_context(self.worker(it.task, **it.arguments))
                        if self.quick:
                            workers[name] = worker
                        samples[name].append(worker.run(**it.run))
        return samples


@dataclass(frozen=True)
class Measurement:
    """A task of `worker.py`, its arguments, and those of one run."""

    task: str
    arguments: Mapping[str, Any]
    run: Mapping[str, Any]


def ratio(samples: Mapping[str, list[float]], ours: str, theirs: str) -> float:
    """The median of the ratios of the runs, each of two neighbours in time."""
    pairs = zip(samples[ours], samples[theirs], strict=True)
    return statistics.median(a / b for a, b in pairs)


def micros(samples: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {name: [value * 1e6 for value in values] for name, values in samples.items()}


# -- the rows --------------------------------------------------------------------------------------


def login(bench: Bench) -> Iterator[Figure]:
    """CPU of the RP for a login: the floor, Reliant with every check, the peers."""
    for scheme, origin in bench.origins.items():
        if bench.quick and scheme == "https":
            continue
        measurements = {
            name: Measurement("login", {"app": app, "origin": origin}, {"logins": logins})
            for name, app, logins in (
                ("floor", FLOOR, bench.many(1000)),
                ("Reliant, session", SESSION, bench.many(1000)),
                ("Reliant, cookie", COOKIE, bench.many(1000)),
                *((name, app, bench.many(20)) for name, app in PEERS.items()),
            )
        }
        samples = micros(bench.by_turns(measurements))
        for ours in ("Reliant, session", "Reliant, cookie"):
            yield Figure(
                f"CPU per login, {ours.partition(', ')[2]}, against the floor, {scheme}",
                ratio(samples, ours, "floor"), 1.0, "µs", samples=samples,
            )  # fmt: skip
        for peer in PEERS:
            yield Figure(
                f"CPU per login, {peer} against Reliant, {scheme}",
                ratio(samples, peer, "Reliant, session"), 25, "µs", below=False, samples=samples,
            )  # fmt: skip


def requests(bench: Bench) -> Iterator[Figure]:
    """Requests to the provider."""
    with bench.worker("requests") as worker:
        counts = worker.run(logins=1000)
    yield Figure("requests per login, cold", sum(counts["cold"].values()), 3, "requests")
    yield Figure("requests per login, warm", sum(counts["warm"].values()), 1, "requests")
    at_once = counts["at_once"]
    note = f"{at_once['token']} logins"
    for what in (".well-known/openid-configuration", "jwks"):
        yield Figure(f"1,000 cold logins at once: {what}", at_once[what], 1, "requests", note=note)


def rotation(bench: Bench) -> Iterator[Figure]:
    """Fetches of the key set."""
    seconds = 2 if bench.quick else 25
    with bench.worker("rotation") as worker:
        counts = worker.run(logins=1000, rate=1000, seconds=seconds)
    yield Figure(
        "a key rotates under 1,000 callbacks: fetches of the keys", counts["rotated"], 1, "requests"
    )
    note = f"{counts['sent']} tokens in {seconds} s; the cooldown lasts 10 s"
    limit = -(-seconds // 10)
    yield Figure("forged keys, 1,000/s: fetches of the keys", counts["forged"], limit, "requests",
                 note=note)  # fmt: skip


def stalls(bench: Bench) -> Iterator[Figure]:
    """What logins do to the rest of the app: 64 of them at once, at a provider that takes 1 s."""
    seconds = 1 if bench.quick else 10
    found = bench.by_turns(
        {
            name: Measurement("stalls", {"app": app}, {"logins": logins, "seconds": seconds})
            for name, app, logins in (
                ("idle", SESSION, 0), ("floor", FLOOR, 64), ("Reliant", SESSION, 64)
            )
        }
    )  # fmt: skip
    p99 = micros({name: [run["p99"] for run in runs] for name, runs in found.items()})
    longest = micros({name: [run["longest"] for run in runs] for name, runs in found.items()})
    yield Figure("p99 of an unrelated route, 64 logins at once against none",
                 ratio(p99, "Reliant", "idle"), 1.2, "µs", samples=p99)  # fmt: skip
    yield Figure("the same, 64 logins at once by the floor", ratio(p99, "floor", "idle"), None,
                 "µs", samples=p99)  # fmt: skip
    yield Figure("longest step of the event loop, against the floor's",
                 ratio(longest, "Reliant", "floor"), 1.5, "µs", samples=longest)  # fmt: skip


def imports(bench: Bench) -> Iterator[Figure]:
    """CPU of an import in a fresh process."""
    modules = {
        "Reliant": "import reliant.starlette",
        "Reliant, all": "import reliant.starlette, reliant.http.line, reliant.protocol.joselib, "
        "reliant.protocol.sealing",
        "Authlib": "import authlib.integrations.starlette_client",
        "what the floor imports": "import starlette.applications, starlette.middleware.sessions, "
        "starlette.requests, starlette.responses, starlette.routing, httpx2, joserfc.jwk, "
        "joserfc.jwt",
    }
    samples: dict[str, list[float]] = {name: [] for name in modules}
    for statement in modules.values():
        _import(bench, statement)  # compiles what has not been compiled
    for _ in range(bench.runs):
        for name, statement in modules.items():
            samples[name].append(_import(bench, statement) * 1e3)
    yield Figure("import, against Authlib's client", ratio(samples, "Reliant", "Authlib"), 0.6,
                 "ms", samples=samples)  # fmt: skip
    yield Figure(
        "import, against what the floor imports",
        ratio(samples, "Reliant", "what the floor imports"), 1.1, "ms", samples=samples,
    )  # fmt: skip
    yield Figure(
        "import with what the lifespan adds, against Authlib's client",
        ratio(samples, "Reliant, all", "Authlib"), None, "ms", samples=samples,
    )  # fmt: skip


def _import(bench: Bench, statement: str) -> float:
    program = (
        "import sys, time\n"
        "sys.modules['trio'] = None\n"  # which is there for the tests, and httpcore2 would load
        f"begun = time.process_time()\n{statement}\nprint(time.process_time() - begun)"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    found = subprocess.run(
        command, check=True, capture_output=True, text=True, env=bench.environment()
    )
    return float(found.stdout)


def memory(bench: Bench) -> Iterator[Figure]:
    """Memory of the RP."""
    for scheme, origin in bench.origins.items():
        if bench.quick and scheme == "https":
            continue
        tenants = 1000 if bench.quick else 10_000
        with bench.worker("provider_memory", origin=origin) as worker:
            found = worker.run(tenants=tenants)
        note = f"{tenants:,} providers; {found['at_rest'] / 1024:.1f} KB before the first login"
        yield Figure(f"memory of a provider in use, {scheme}", found["used"] / 1024, 60, "KB",
                     note=note)  # fmt: skip
    pending = bench.many(20_000)
    with bench.worker("pending_memory") as worker:
        yield Figure("memory of a login in progress", worker.run(logins=pending) / 1024, 1, "KB",
                     note=f"{pending} logins")  # fmt: skip
    logins = 5000 if bench.quick else 200_000
    with bench.worker("growth_of_memory", app=SESSION) as worker:
        yield Figure("memory left by a login that is over", worker.run(logins=logins), 10,
                     "octets", note=f"{logins} logins")  # fmt: skip


def sessions(bench: Bench) -> Iterator[Figure]:
    """CPU of a request of somebody who is logged in, beside what is there without Reliant."""
    run = {"requests": bench.many(5000)}
    strangers = 600  # more than an app remembers: each is as who comes again after a minute
    pairs: list[tuple[str, str, str, str, dict[str, Any], float]] = [
        (
            "cookies",
            "sessions_app:build",
            "SessionMiddleware",
            "sessions_app:build_middleware",
            {},
            2.0,
        )
    ]
    if bench.redis:
        pairs.append(("Redis", "sessions_app:build_redis", "a bare GET", "sessions_app:build_get",
                      {"redis": f"{bench.redis}/0"}, 1.5))  # fmt: skip
    for place, ours, other, theirs, options, limit in pairs:
        anew = f"{place}, anew"
        samples = micros(
            bench.by_turns(
                {
                    name: Measurement("session_read", {"app": app, **more, **options}, run)
                    for name, app, more in (
                        (place, ours, {}), (other, theirs, {}), (anew, ours, {"people": strangers})
                    )
                }
            )
        )  # fmt: skip
        yield Figure(f"a request with a session in {place}, against {other}",
                     ratio(samples, place, other), limit, "µs", samples=samples)  # fmt: skip
        yield Figure(f"the first in a minute with a session in {place}",
                     ratio(samples, anew, other), None, "µs", samples=samples)  # fmt: skip


def api(bench: Bench) -> Iterator[Figure]:
    """CPU of an API call."""
    run = {"calls": bench.many(2000)}
    samples = micros(
        bench.by_turns(
            {app: Measurement("api_call", {"app": app}, run) for app in ("bare", "reliant")}
        )
    )
    yield Figure("API call, against bare httpx2 with a header", ratio(samples, "reliant", "bare"),
                 1.15, "µs", samples=samples)  # fmt: skip


def growth(bench: Bench) -> Iterator[Figure]:
    """CPU of a login beside how many providers are registered, and how many sessions stored."""
    numbers = (1, 100, 1000 if bench.quick else 10_000)
    app, run = "reliant_tenants:build", {"logins": bench.many(1000)}
    samples = micros(
        bench.by_turns(
            {
                str(number): Measurement("login", {"app": app, "tenants": number}, run)
                for number in numbers
            }
        )
    )
    for number in numbers[1:]:
        yield Figure(f"CPU per login at {number:,} providers, against one",
                     ratio(samples, str(number), "1"), 1.1, "µs", samples=samples)  # fmt: skip
    numbers = (1, 1000, 4000 if bench.quick else 100_000)
    for place in ("memory", "Redis") if bench.redis else ("memory",):
        among = {}
        for database, number in enumerate(numbers, 1):
            options = {"redis": f"{bench.redis}/{database}"} if place == "Redis" else {}
            among[str(number)] = Measurement("login_among", {"sessions": number, **options}, run)
        samples = micros(bench.by_turns(among))
        for number in numbers[1:]:
            yield Figure(f"CPU per login at {number:,} sessions in {place}, against one",
                         ratio(samples, str(number), "1"), 1.1, "µs", samples=samples)  # fmt: skip


ROWS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    row.__name__: row
    for row in (login, requests, rotation, stalls, imports, memory, sessions, api, growth)
}
