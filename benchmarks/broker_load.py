"""Many streams through the broker while a backend dies and comes back.

    python benchmarks/broker_load.py [--seconds 120] [--streams 200]

The broker is a process of its own; backends and clients run here. Each client asks for
a stream that repeats its own number in every event, and reads it to its end. Meanwhile
the first backend dies (it stops listening and cuts every connection) and comes back,
again and again. What must hold: every answer is complete and the client's own, or was
visibly cut because its backend died in the middle of it; nothing is refused; the second
backend stands in; memory stays flat.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

EVENTS = 20
ENTRY = "from headroom.cli.main import main; main()"
END = b"data: [DONE]\n\n"
DEAD_SHARE = 0.25
"""Of each cycle the first backend is dead for so long."""

CYCLES = 5
WARM_SHARE = 0.3
"""Of the run, after which memory is first looked at."""


def event(number, place):
    """One event of a stream."""
    said = {"choices": [{"index": 0, "delta": {"content": f"{number}:{place} "}}]}
    return b"data: %b\n\n" % json.dumps(said).encode()


def whole(number):
    """A complete stream."""
    return b"".join(event(number, place) for place in range(EVENTS)) + END


class Backend:
    """Streams slowly; ``die`` and ``rise`` as they say.

    Attributes:
        served: streams that were completed.
        cut: streams that had begun when it died.
    """

    def __init__(self, pause_s):
        self._pause_s = pause_s
        self._writers = set()
        self._server = None
        self.port = 0
        self.served = self.cut = self._open = 0

    async def rise(self):
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def die(self):
        """Cut everything, as the kernel does for a process that is killed."""
        self.cut += self._open
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        is_begun = False
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(
                    head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
                )
                body = json.loads(await reader.readexactly(length))
                number = body["messages"][0]["content"]
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                    b"transfer-encoding: chunked\r\n\r\n"
                )
                is_begun = True
                self._open += 1
                for place in range(EVENTS):
                    data = event(number, place)
                    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
                    await writer.drain()
                    await asyncio.sleep(self._pause_s)
                writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(END), END))
                await writer.drain()
                is_begun = False
                self._open -= 1
                self.served += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open -= is_begun
            self._writers.discard(writer)
            writer.close()


async def stream(port, number):
    """Ask once; ``complete``, ``cut``, ``refused`` or ``wrong``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    message = {"role": "user", "content": str(number)}
    body = json.dumps({"model": "fast", "stream": True, "messages": [message]}).encode()
    got = b""
    try:
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            return "refused"
        while size := int(await reader.readuntil(b"\r\n"), 16):
            got += (await reader.readexactly(size + 2))[:-2]
        return "complete" if got == whole(number) else "wrong"
    except (asyncio.IncompleteReadError, ConnectionError):
        return "cut" if whole(number).startswith(got) else "wrong"
    finally:
        writer.close()


@contextlib.contextmanager
def broker(backends, home):
    """A broker in front of two backends, the second only a fall-back."""
    file = {
        "backends": {
            name: {"base_url": f"http://127.0.0.1:{backend.port}", "open_s": 0.5}
            for name, backend in zip(("first", "second"), backends, strict=True)
        },
        "models": {
            "fast": {
                "backends": [{"backend": "first"}],
                "fallbacks": [{"backend": "second"}],
            }
        },
    }
    path = Path(home) / "models.json"
    path.write_text(json.dumps(file))
    command = [sys.executable, "-c", ENTRY, "broker", "--models", str(path)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--log-level", "error"],
        env={**os.environ, "HEADROOM_DATA_DIR": str(home)},
        stdout=subprocess.PIPE,
    )
    try:
        url = process.stdout.readline().split()[-1]
        yield int(url.rpartition(b":")[2]), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)
        process.stdout.close()


def rss_mb(pid):
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def measure(seconds, streams, pause_s=0.1):
    """All figures of one run."""
    backends = [Backend(pause_s), Backend(pause_s)]
    for backend in backends:
        await backend.rise()
    outcomes, numbers, memory = Counter(), iter(range(10**9)), []
    with tempfile.TemporaryDirectory() as home, broker(backends, home) as (port, pid):
        end = time.monotonic() + seconds

        async def client():
            while time.monotonic() < end:
                outcomes[await stream(port, next(numbers))] += 1

        async def trouble():
            cycle = seconds / CYCLES
            for _ in range(CYCLES):
                await asyncio.sleep(cycle * (1 - DEAD_SHARE))
                backends[0].die()
                await asyncio.sleep(cycle * DEAD_SHARE)
                await backends[0].rise()

        async def watch():
            await asyncio.sleep(seconds * WARM_SHARE)
            while time.monotonic() < end:
                memory.append(rss_mb(pid))
                await asyncio.sleep(seconds / 100)

        await asyncio.gather(trouble(), watch(), *(client() for _ in range(streams)))
    for backend in backends:
        backend.die()
    await asyncio.sleep(0.2)  # what they served ends
    third = max(1, len(memory) // 3)
    return {
        "seconds": seconds,
        "streams": streams,
        **{name: outcomes[name] for name in ("complete", "cut", "refused", "wrong")},
        "cut_by_backend": backends[0].cut,
        "served_first": backends[0].served,
        "served_second": backends[1].served,
        "rss_mb_early": round(sum(memory[:third]) / third, 1),
        "rss_mb_late": round(sum(memory[-third:]) / third, 1),
    }


def problems(found):
    """What does not hold, in words."""
    said = [
        f"{found[name]} answers were {name}"
        for name in ("wrong", "refused")
        if found[name]
    ]
    if found["cut"] > found["cut_by_backend"]:
        said.append(f"{found['cut']} were cut, {found['cut_by_backend']} by a backend")
    if not found["served_second"] or not found["served_first"]:
        said.append("one of the backends was never used")
    if found["rss_mb_late"] > 1.1 * found["rss_mb_early"] + 5:
        said.append("memory grew")
    return said


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--streams", type=int, default=200)
    options = parser.parse_args(arguments)
    found = asyncio.run(measure(options.seconds, options.streams))
    print(json.dumps(found, indent=2))
    if said := problems(found):
        sys.exit("; ".join(said))


if __name__ == "__main__":
    main()
