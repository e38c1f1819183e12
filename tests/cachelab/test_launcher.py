import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from headroom.cachelab.client import Client
from headroom.cachelab.launcher import (
    Headroom,
    end_on_sigterm,
    free_port,
    headroom,
    shell_command,
)
from headroom.errors import ConfigError

FAKE = """
import http.server, os, subprocess, sys
subprocess.Popen(["sleep", "60"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *args):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class FakeHeadroom(Headroom):
    """Starts a small server with a worker of its own instead of the proxy."""

    def __init__(self, home):
        super().__init__("http://127.0.0.1:9", (), home)
        self._command = [sys.executable, "-c", FAKE, str(self.port)]


def group_is_alive(group):
    """Whether a process of the group still runs; zombies wait for their parent only."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, pgid = path.read_text().rpartition(")")[2].split()[:3]
            if int(pgid) == group and state != "Z":
                return True
    return False


async def test_it_is_restarted_as_another_process_and_leaves_nothing_behind(tmp_path):
    proxy = FakeHeadroom(tmp_path)
    proxy.start()
    try:
        await proxy.ready()
        first = proxy._process.pid
        assert group_is_alive(first)
        await proxy.restart()
        second = proxy._process.pid
        assert first != second
        async with Client(proxy.url) as client:
            assert await client.is_ready(1)
    finally:
        proxy.stop()
    assert not group_is_alive(first)
    assert not group_is_alive(second)
    proxy.stop()


async def test_a_proxy_that_ends_at_once_is_told_with_its_log():
    with headroom("http://127.0.0.1:9", ["--no-such-option"]) as proxy:
        with pytest.raises(ConfigError, match="headroom proxy ended"):
            await proxy.ready()
        assert proxy.log_tail()


async def test_a_shell_command_runs_and_its_failure_is_told(tmp_path):
    await shell_command(f"touch {tmp_path}/done")()
    assert (tmp_path / "done").exists()
    with pytest.raises(ConfigError, match="status 3"):
        await shell_command("exit 3")()


async def test_sigterm_cancels_the_run_so_that_it_can_clean_up():
    cleaned = []

    async def run():
        end_on_sigterm()
        try:
            await asyncio.sleep(30)
        finally:
            cleaned.append(True)

    task = asyncio.create_task(run())
    await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(asyncio.CancelledError):
        await task
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    assert cleaned


async def test_nothing_listens_on_a_free_port():
    async with Client(f"http://127.0.0.1:{free_port()}") as client:
        assert not await client.is_ready(0.1)
        answer = await client.send(b"{}", "key")
    assert answer.error.startswith("ClientConnectorError")
