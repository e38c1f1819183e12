"""The demo as a newcomer runs it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ENTRY = [sys.executable, "-c", "from headroom.cli.main import main; main()", "demo"]

pytestmark = pytest.mark.e2e


def proxies_of(marker):
    """Processes whose environment names the marker, zombies aside."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_the_demo_saves_breaks_nothing_and_leaves_nothing_running():
    marker = f"DEMO_TEST_{os.getpid()}_RUN"
    done = subprocess.run(
        ENTRY,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, marker: "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("input tokens", "bill", "prefix breaks", "latency added", "after"):
        assert words in done.stdout
    assert proxies_of(marker) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_running(number):
    marker = f"DEMO_TEST_{os.getpid()}_{number.name}"
    demo = subprocess.Popen(
        ENTRY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, marker: "1"},
        # A shell that starts the tests in the background ignores interrupts for them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 20
    while len(proxies_of(marker)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    demo.send_signal(number)
    assert demo.wait(timeout=20) != 0
    demo.stdout.close()
    assert proxies_of(marker) == []
