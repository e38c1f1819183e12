"""Headroom's own proxy as a process under test: started, killed, restarted, cleaned up.

The proxy gets a process group of its own, so that its workers die with it, an interrupt
typed at the terminal reaches only us, and a data directory that vanishes at the end.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from headroom.cachelab.client import Client
from headroom.errors import ConfigError

_ENTRY = "from headroom.cli.main import main; main()"
_STOP_S = 5.0
_LOG_TAIL_CHARS = 2000


class Headroom:
    """One ``headroom proxy`` on a free port of loopback; see ``headroom``."""

    def __init__(self, upstream: str, arguments: Sequence[str], home: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._home = home
        self._command = [
            *(sys.executable, "-c", _ENTRY, "proxy"),
            *("--host", "127.0.0.1", "--port", str(self.port)),
            *("--anthropic-url", upstream, "--openai-url", upstream),
            *("--gemini-url", upstream, *arguments),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it answers ``/readyz`` when it is ready."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("HEADROOM_")
        }
        environment["HEADROOM_DATA_DIR"] = str(self._home / "data")
        with (self._home / "proxy.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (no shell, our own program)
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    async def restart(self) -> None:
        """Kill it as the kernel would (SIGKILL) and start it on the same data."""
        await asyncio.to_thread(self._signal_and_wait, signal.SIGKILL)
        self.start()
        await self.ready()

    async def ready(self, timeout_s: float = 30.0) -> None:
        """Wait until it answers.

        Raises:
            ConfigError: it ended, or does not answer in time; the end of its log is in
                the message.
        """
        async with Client(self.url) as client:
            while not await client.is_ready(0.1):
                timeout_s -= 0.1
                is_gone = self._process is None or self._process.poll() is not None
                if is_gone or timeout_s <= 0:
                    what = "ended" if is_gone else "does not get ready"
                    raise ConfigError(f"headroom proxy {what}:\n{self.log_tail()}")

    def stop(self) -> None:
        """Ask it to end, and kill what is left after some seconds."""
        self._signal_and_wait(signal.SIGTERM)

    def log_tail(self) -> str:
        """The end of what it wrote to its log."""
        path = self._home / "proxy.log"
        return path.read_text(errors="backslashreplace")[-_LOG_TAIL_CHARS:]

    def _signal_and_wait(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        try:
            _signal_group(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
        finally:  # an impatient second interrupt lets nothing survive
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
            self._process = None


@contextlib.contextmanager
def headroom(upstream: str, arguments: Sequence[str] = ()) -> Iterator[Headroom]:
    """A running proxy in front of ``upstream``; it is gone when the context ends.

    Args:
        upstream: the provider's base URL.
        arguments: further arguments of ``headroom proxy``.
    """
    with tempfile.TemporaryDirectory(prefix="headroom-lab-") as home:
        proxy = Headroom(upstream, arguments, Path(home))
        try:
            proxy.start()
            yield proxy
        finally:
            proxy.stop()


def end_on_sigterm() -> None:
    """Make SIGTERM cancel the running task, so that its contexts clean up."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def shell_command(command: str) -> Callable[[], Awaitable[None]]:
    """Something that runs ``command`` in a shell and waits until it returns.

    Raises (when called):
        ConfigError: the command fails.
    """

    async def run() -> None:
        process = await asyncio.create_subprocess_shell(command)
        status = await process.wait()
        if status:
            raise ConfigError(f"the restart command ended with status {status}")

    return run


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
