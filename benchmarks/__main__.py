"""`make bench`: measure, print the table, write the results and the chart.

Everything runs on this machine, over loopback. Without names all rows are measured; `--quick`
measures less of each, in under a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme

from benchmarks.chart import draw
from benchmarks.rows import ROWS, Bench, Figure
from tests.helpers.programs import why_missing
from tests.helpers.redis import redis_server

LIBRARIES = ("starlette", "httpx2", "joserfc", "Authlib", "httpx-oauth", "fastapi-sso", "redis")


@contextmanager
def provider(*arguments: str) -> Iterator[str]:
    """A provider in a process of its own; yields its origin."""
    command = [sys.executable, "-m", "benchmarks.provider", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        origin = process.stdout.readline().strip()
        if not origin:
            raise SystemExit("the provider did not start; its error stands above")
        yield origin
    finally:
        process.stdin.close()
        process.wait()


@contextmanager
def redis() -> Iterator[str | None]:
    """A Redis server; yields its address, or None where this machine has none."""
    missing = why_missing("redis-server")
    if missing:
        print(f"Without sessions in Redis: {missing}", file=sys.stderr)
        yield None
    else:
        with redis_server() as server:
            yield server.url.removesuffix("/0")


def certificates(folder: Path) -> tuple[str, str]:
    """Files with a certificate for localhost, and with the authorities to trust.

    The one of the certificate stands beside all that this machine trusts, so that to read them
    costs what it does elsewhere.
    """
    authority = trustme.CA()
    pair, bundle = folder / "server.pem", folder / "bundle.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pair))
    known = ssl.get_default_verify_paths().cafile
    octets = Path(known).read_bytes() if known else b""
    bundle.write_bytes(octets + authority.cert_pem.bytes())
    return str(pair), str(bundle)


def table(figures: list[Figure]) -> str:
    """The figures as Markdown."""
    lines = ["| what | measured | target | met |", "| --- | ---: | ---: | --- |"]
    for figure in figures:
        value, limit = (
            f"{number:.2f} times" if figure.samples else f"{number:.3g} {figure.unit}"
            for number in (figure.value, figure.limit or 0)
        )
        target = "" if figure.limit is None else f"{'≤' if figure.below else '≥'} {limit}"
        note = f" ({figure.note})" if figure.note else ""
        met = {True: "yes", False: "**no**", None: ""}[figure.met]
        lines.append(f"| {figure.name}{note} | {value} | {target} | {met} |")
    return "\n".join(lines)


@contextmanager
def last_core() -> Iterator[None]:
    """Keep what is started here off the core of what is measured, as on a machine of its own."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[-1:])
    yield
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:-1])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--quick", action="store_true", help="measure less, in under a minute")
    parser.add_argument(
        "--runs", type=int, choices=range(1, 100), metavar="N",
        help="how often each is measured (5, and 3 with --quick)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--chart", type=Path, help="where to draw the chart")
    options = parser.parse_args()
    runs = options.runs or (3 if options.quick else 5)
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # ten thousand connections

    # Told to stop, it stops what it has started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))

    figures: list[Figure] = []
    with TemporaryDirectory() as folder:
        certificate, authorities = certificates(Path(folder))
        with ExitStack() as servers:
            with last_core():
                http = servers.enter_context(provider())
                https = servers.enter_context(provider(certificate))
                store = servers.enter_context(redis())
            scale = 0.1 if options.quick else 1.0
            origins = {"http": http, "https": https}
            bench = Bench(origins, authorities, store, runs, scale)
            for name in options.rows or ROWS:
                for figure in ROWS[name](bench):
                    print(table([figure]).splitlines()[-1], file=sys.stderr, flush=True)
                    figures.append(figure)
    print(table(figures))
    results = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "runs": runs,
        "quick": options.quick,
        "figures": [figure.record() for figure in figures],
    }
    if options.json:
        options.json.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    if options.chart:
        options.chart.write_text(draw(results))


if __name__ == "__main__":
    main()
