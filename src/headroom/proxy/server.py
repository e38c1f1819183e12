"""Runs the application: one process, or several that share one listening socket.

The socket is opened once, by whoever was started, so that a worker that dies takes no
waiting connection with it. Workers are spawned, not forked: nothing they inherit can be
in the middle of something. A worker that dies is started again; if the supervisor
dies, they finish what they are doing and end.

SIGHUP makes it read the settings again (see ``current``). SIGTERM and Ctrl-C end it
gracefully: no connection is accepted any more, running streams finish, then the process
ends with status 0.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from types import FrameType

import uvicorn
from msgspec import Struct
from msgspec.structs import replace
from prometheus_client import multiprocess

import headroom
from headroom.errors import ConfigError, HeadroomError
from headroom.inference.model_overrides import read_overrides
from headroom.proxy import access, selfcheck
from headroom.proxy.app import App, create_app
from headroom.proxy.compute import spare_collector, spare_heap
from headroom.proxy.current import Current
from headroom.proxy.endpoints import Core
from headroom.proxy.exchange import log
from headroom.proxy.logs import Logs
from headroom.proxy.metrics import Metrics
from headroom.proxy.replies import AsgiApp
from headroom.proxy.websocket.server import HttpProtocol, WebSocketProtocol
from headroom.settings import Settings, load

EX_CONFIG = 78
_BACKLOG = 2048
# Threads hand over the interpreter this often: a small request waits at most so long
# for each thread that compresses beside it.
_SWITCH_INTERVAL_S = 0.0005
_MAX_RESTART_DELAY_S = 5.0
_STABLE_S = 10.0
_KILL_AFTER_S = 5.0
_HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows


def serve(
    settings: Settings,
    announce: Callable[[str], None],
    flags: Mapping[str, str] | None = None,
) -> int:
    """Serve until told to end.

    Args:
        settings: validated settings.
        announce: gets the base URL as soon as requests are answered.
        flags: what the command line set, for when the settings are read again.

    Returns:
        The exit status.

    Raises:
        ConfigError: the settings, the installation, the store or the port cannot be
            used; nothing was started.
    """
    access.check_listen(settings)
    read_overrides(settings.models_file)  # workers would end one after the other
    core = selfcheck.examine(settings)
    listener = listen(settings)
    url = url_of(listener)
    with listener:
        if settings.proxy.workers > 1:
            service = _Service(settings, core, listener, flags)
            return _Supervisor(service).run(lambda: announce(url))
        return _run(_Service(settings, core, listener, flags), lambda: announce(url))


def make_config(app: AsgiApp, settings: Settings) -> uvicorn.Config:
    """How uvicorn is run: nothing of its own is added to what passes through."""
    return uvicorn.Config(
        app,
        loop="auto",
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=settings.proxy.max_body_bytes,
        ws_ping_interval=settings.proxy.websocket_ping_s or None,
        # Who does not answer while it works is no reason to cut its connection.
        ws_ping_timeout=None,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.proxy.keep_alive_s,
        timeout_graceful_shutdown=settings.proxy.graceful_shutdown_s,
        backlog=_BACKLOG,
    )


class _Server(uvicorn.Server):
    """A server that says when it is ready, and takes ``SIGHUP`` to heart."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        on_hangup: Callable[[], None] | None,
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_hangup = on_hangup

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        spare_collector()
        spare_heap()
        if self._on_hangup is not None and _HANGUP is not None:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(_HANGUP, self._on_hangup)
        self._on_ready()


class _Service(Struct, frozen=True):
    """What a serving process is made of; goes to workers as it is."""

    settings: Settings
    core: Core
    listener: socket.socket
    flags: Mapping[str, str] | None = None

    def read_again(self) -> Settings:
        """The settings as file, environment and flags say now."""
        return load(self.flags).settings


def _run(
    service: _Service, on_ready: Callable[[], None], *, is_worker: bool = False
) -> int:
    """Serve the proxy in this process."""
    core = service.core
    apps: list[App] = []

    def make_app() -> AsgiApp:
        log.info("core_%s", core.status, extra={"version": headroom.__version__})
        apps.append(create_app(service.settings, core=core, metrics=metrics))
        return apps[0]

    metrics = Metrics(is_shared=is_worker)
    return run_app(
        make_app,
        service.settings,
        metrics,
        service.listener,
        on_ready,
        on_hangup=lambda: apps[0].current.reload(service.read_again),
    )


def run_app(
    make_app: Callable[[], AsgiApp],
    settings: Settings,
    metrics: Metrics,
    listener: socket.socket,
    on_ready: Callable[[], None],
    *,
    on_hangup: Callable[[], None] | None = None,
) -> int:
    """Serve an application in this process until told to end.

    Args:
        make_app: makes it, once logs are written.
        settings: validated settings.
        metrics: told of log records that are lost.
        listener: from ``listen``.
        on_ready: called as soon as requests are answered.
        on_hangup: called on ``SIGHUP``, in the server's loop.

    Returns:
        The exit status.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    logs = Logs(settings.log)
    metrics.watch_dropped_logs(logs.take_dropped)
    try:
        config = make_config(make_app(), settings)
        server = _Server(config, on_ready, on_hangup)
        # uvicorn raises the signal that ended it once more; it has done its work.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _ignore)
        server.run([listener])
    except HeadroomError as error:
        sys.stderr.write(f"headroom: {error}\n")
        return EX_CONFIG
    finally:
        logs.close()
    return 0 if server.started else 1


def _worker(service: _Service, ready: Connection) -> None:
    """The body of a worker process."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.exit(_run(service, lambda: ready.send(b"ready"), is_worker=True))


class _Worker:
    """One worker process as its supervisor sees it."""

    def __init__(self, service: _Service) -> None:
        context = multiprocessing.get_context("spawn")
        self.ready, theirs = context.Pipe(duplex=False)
        self.process = context.Process(
            target=_worker, args=(service, theirs), daemon=False
        )
        self.started = time.monotonic()
        self.process.start()
        theirs.close()
        self.is_ready = False


class _Supervisor:
    """Keeps the workers running."""

    def __init__(self, service: _Service) -> None:
        self._service = service
        self._settings = service.settings
        self._workers: list[_Worker] = []
        self._is_ending = False
        self._restart_delay_s = 0.1
        # Written to by signal handlers, so that ``wait`` returns.
        self._wake_read, self._wake_write = multiprocessing.Pipe(duplex=False)

    def run(self, announce: Callable[[], None]) -> int:
        """Start the workers and keep them until told to end."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        if _HANGUP is not None:
            signal.signal(_HANGUP, self._pass_on)
        logs = Logs(self._settings.log)
        with tempfile.TemporaryDirectory(prefix="headroom-metrics-") as directory:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
            try:
                for _ in range(self._settings.proxy.workers):
                    self._start()
                status = self._watch(announce)
            finally:
                self._stop()
                logs.close()
        return status

    def _end(self, number: int, _: FrameType | None) -> None:
        self._is_ending = True
        self._wake_write.send(number)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        """Every worker reads the settings again, and so do those to come."""
        current = Current(self._service.settings)
        current.reload(self._service.read_again)
        self._service = replace(self._service, settings=current.settings)
        for worker in self._workers:
            pid = worker.process.pid
            if worker.is_ready and pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _start(self) -> None:
        self._workers.append(_Worker(self._service))

    def _watch(self, announce: Callable[[], None]) -> int:
        """Replace workers that die; return when told to end, with the status."""
        is_announced = False
        while not self._is_ending:
            waiting = [w.ready for w in self._workers if not w.is_ready]
            sentinels = [w.process.sentinel for w in self._workers]
            wait([self._wake_read, *waiting, *sentinels])
            if self._is_ending:
                break
            for worker in list(self._workers):
                if not worker.process.is_alive():
                    if worker.process.exitcode == EX_CONFIG:
                        return EX_CONFIG
                    self._replace(worker)
                elif not worker.is_ready and worker.ready.poll():
                    worker.ready.recv()
                    worker.is_ready = True
            if not is_announced and all(w.is_ready for w in self._workers):
                is_announced = True
                announce()
        return 0

    def _replace(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.ready.close()
        pid = worker.process.pid
        log.error(
            "worker_ended", extra={"pid": pid, "exit_status": worker.process.exitcode}
        )
        # Its counters stay; what it had in flight is gone.
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
        if time.monotonic() - worker.started > _STABLE_S:
            self._restart_delay_s = 0.1
        else:
            wait([self._wake_read], self._restart_delay_s)
            self._restart_delay_s = min(2 * self._restart_delay_s, _MAX_RESTART_DELAY_S)
        if not self._is_ending:
            self._start()

    def _stop(self) -> None:
        """Let all workers finish; kill those that do not."""
        # Nobody would serve what still connects.
        self._service.listener.close()
        for worker in self._workers:
            worker.process.terminate()
        grace_s = self._settings.proxy.graceful_shutdown_s + _KILL_AFTER_S
        deadline = time.monotonic() + grace_s
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def listen(settings: Settings) -> socket.socket:
    """The socket that the settings name, listening.

    Raises:
        ConfigError: it cannot be had.
    """
    host, port = settings.proxy.host, settings.proxy.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        listener = socket.create_server(
            address[:2], family=family, backlog=_BACKLOG, reuse_port=False
        )
    except OSError as error:
        raise ConfigError(
            f"HEADROOM_PROXY_HOST, HEADROOM_PROXY_PORT: cannot listen on "
            f"{host}:{port}: {error.strerror or error}"
        ) from error
    listener.settimeout(0)
    return listener


def url_of(listener: socket.socket) -> str:
    """The base URL under which a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _ignore(number: int, frame: FrameType | None) -> None:
    """Takes a signal that has been dealt with."""
