"""Starts real Redis servers on free ports of loopback, alone or as a Cluster, and stops them."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis

from tests.helpers import programs

START_SECONDS = 10
STOP_SECONDS = 5


def free_ports(count: int) -> list[int]:
    """Ports that nobody has; each is taken from the system while the others are still held."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [one.getsockname()[1] for one in sockets]


class RedisServer:
    """A server that listens on ``port``; it can be stopped and started again, with what it kept."""

    def __init__(
        self, folder: Path, port: int, *options: str, sentinel_of: RedisServer | None = None
    ) -> None:
        self.port = port
        self._folder = folder
        self._options = options
        self._sentinel_of = sentinel_of
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A plain client, to look at what is there."""
        return redis.Redis(port=self.port, decode_responses=True)

    def start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        if self._sentinel_of is not None:
            options = [str(self._sentinel_file()), "--sentinel", *options]
        else:
            options += ["--save", "", "--appendonly", "no", *self._options]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [programs.redis_server(), *options], stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with self.client() as client:
                    client.ping()
            except redis.RedisError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise AssertionError((self._folder / "log").read_text()[-2000:]) from None
                time.sleep(0.01)
            else:
                return

    def _sentinel_file(self) -> Path:
        """What a Sentinel is told, which it writes to as it goes."""
        assert self._sentinel_of is not None
        path = self._folder / "sentinel.conf"
        path.write_text(
            f"sentinel monitor mymaster 127.0.0.1 {self._sentinel_of.port} 1\n"
            "sentinel down-after-milliseconds mymaster 500\n"
            "sentinel failover-timeout mymaster 2000\n"
        )
        return path

    def stop(self) -> None:
        """Ask it to end, by its own process id; insist if it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """A Redis server for the block, with these options."""
    with TemporaryDirectory() as folder:
        server = RedisServer(Path(folder) / "redis", free_ports(1)[0], *options)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def redis_cluster() -> Iterator[str]:
    """A Cluster of three servers for the block; yields the address of one of them."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        ports = free_ports(6)  # each has another one, on which the servers speak to each other
        servers = []
        for port, bus in zip(ports[:3], ports[3:], strict=True):
            options = ("--cluster-enabled", "yes", "--cluster-port", str(bus))
            server = RedisServer(Path(folder) / str(port), port, *options)
            stack.callback(server.stop)
            servers.append(server)
        clients = [stack.enter_context(server.client()) for server in servers]
        for number, client in enumerate(clients):
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER MEET", "127.0.0.1", ports[0], ports[3])
        deadline = time.monotonic() + START_SECONDS
        while not all(_is_whole(client) for client in clients):
            assert time.monotonic() < deadline, "the Cluster did not come together in time"
            time.sleep(0.02)
        yield servers[0].url


def _is_whole(client: redis.Redis) -> bool:
    info: Any = client.cluster("INFO")
    known = info["cluster_known_nodes"] if isinstance(info, dict) else ""
    return isinstance(info, dict) and info["cluster_state"] == "ok" and str(known) == "3"


@contextmanager
def redis_sentinel() -> Iterator[tuple[int, RedisServer, RedisServer]]:
    """A master, a replica, and a Sentinel that watches them as "mymaster"; yields its port too."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        ports = free_ports(3)
        master = RedisServer(Path(folder) / "master", ports[0])
        stack.callback(master.stop)
        follows = ("--replicaof", "127.0.0.1", str(master.port), "--repl-diskless-sync-delay", "0")
        replica = RedisServer(Path(folder) / "replica", ports[1], *follows)
        stack.callback(replica.stop)
        sentinel = RedisServer(Path(folder) / "sentinel", ports[2], sentinel_of=master)
        stack.callback(sentinel.stop)
        deadline = time.monotonic() + START_SECONDS
        while not _is_watched(sentinel, replica):
            assert time.monotonic() < deadline, "the Sentinel did not see the replica in time"
            time.sleep(0.05)
        yield sentinel.port, master, replica


def _is_watched(sentinel: RedisServer, replica: RedisServer) -> bool:
    with sentinel.client() as watcher, replica.client() as follower:
        seen: Any = watcher.sentinel_slaves("mymaster")
        link: Any = follower.info("replication")
        return len(seen) == 1 and link["master_link_status"] == "up"
