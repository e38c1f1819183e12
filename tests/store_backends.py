"""Every store back-end, opened the same way; Redis is a real server of their own."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from headroom.ccr.stores import open_store


class Clock:
    """Time that moves when a test says so."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RedisServer:
    """A redis-server process on a loopback port, with options of its command line."""

    def __init__(self, *options: str, port: int | None = None, tls: bool = False):
        executable = shutil.which("redis-server")
        assert executable, "these tests need redis-server: apt-get install redis-server"
        self.port = port or free_port()
        self.folder = tempfile.mkdtemp(prefix="headroom-redis-")
        listen = ["--port", "0", "--tls-port"] if tls else ["--port"]
        self.process = subprocess.Popen(
            [
                executable,
                *listen,
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                self.folder,
                *options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "redis-server did not start"
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("redis-server does not listen")


class Backend:
    """Opens stores of one kind, again and again over the same contents."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url
        self.clock = Clock()
        self.opened = []

    @property
    def has_moving_clock(self) -> bool:
        return self.kind != "redis"

    @property
    def survives(self) -> bool:
        return self.kind != "memory"

    def open(self, namespace="", **options):
        store = open_store(self.url, namespace=namespace, clock=self.clock, **options)
        self.opened.append(store)
        return store

    def close(self) -> None:
        for store in self.opened:
            store.close()
        self.opened.clear()


def make_backend(kind: str, folder: Path, redis_server) -> Backend:
    if kind == "sqlite":
        return Backend(kind, f"sqlite://{folder}/store-{time.monotonic_ns()}.db")
    if kind == "redis":
        import redis

        with redis.Redis.from_url(redis_server.url) as client:
            client.flushall()
        return Backend(kind, redis_server.url)
    return Backend(kind, "memory://")


KINDS = ("memory", "sqlite", "redis")
