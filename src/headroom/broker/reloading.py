"""Keeps the registry as the file of models has it, without a restart.

The file is looked at every second (its time, size and inode; links are followed) and
read at once on SIGHUP. What always holds: a file that is not right in every part
changes nothing, and the log and ``/health`` say why.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from pathlib import Path

from headroom.broker.registry import Registry
from headroom.core.types import JsonValue
from headroom.errors import ConfigError
from headroom.proxy.metrics import Metrics

log = logging.getLogger("headroom.broker")

POLL_S = 1.0
_Stamp = tuple[int, int, int]


class Reloading:
    """The registry that holds at the moment.

    Args:
        path: of the file; ``None``: there is none, and nothing changes.
        load: makes a registry of the file, or raises ``ConfigError``.
        first: what it made at the start.
        metrics: figures to add to.

    Attributes:
        registry: what holds.
    """

    def __init__(
        self,
        path: Path | None,
        load: Callable[[], Registry],
        first: Registry,
        metrics: Metrics,
    ) -> None:
        self.registry = first
        self._path = path
        self._load = load
        self._metrics = metrics
        self._seen = _stamp(path)
        self._error = ""
        self._count = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch the file."""
        if self._path is None:
            return
        self._task = asyncio.create_task(self._watch())
        loop = asyncio.get_running_loop()
        # Elsewhere than in a process's main thread, and on Windows, there is no SIGHUP.
        with contextlib.suppress(AttributeError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGHUP, self._wake.set)

    async def close(self) -> None:
        """Watch it no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            with contextlib.suppress(AttributeError, RuntimeError, ValueError):
                asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)

    async def reload(self) -> None:
        """Read the file now."""
        try:
            self.registry = await asyncio.to_thread(self._load)
        except ConfigError as error:
            self._error = str(error)
        else:
            self._error = ""
        if self._error:
            self._metrics.count("headroom_broker_reloads", "rejected")
            log.error("models_file_rejected", extra={"reason": self._error})
            return
        self._count += 1
        self._metrics.count("headroom_broker_reloads", "taken")
        log.info("models_file_taken", extra={"models": len(self.registry.file.models)})

    def health(self) -> dict[str, JsonValue]:
        """What ``/health`` says about it."""
        found: dict[str, JsonValue] = {
            "status": "degraded" if self._error else "ok",
            "reloads": self._count,
        }
        if self._error:
            found["error"] = f"the file as it was before is in use; {self._error}"
        return found

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            stamp = await asyncio.to_thread(_stamp, self._path)
            if stamp != self._seen or self._wake.is_set():
                self._wake.clear()
                self._seen = stamp
                await self.reload()


def _stamp(path: Path | None) -> _Stamp | None:
    """What changes when a file does; ``None`` if there is none."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None
