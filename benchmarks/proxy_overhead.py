"""What the proxy adds: latency, throughput, and calm beside large bodies.

Everything runs on loopback, each server in a process of its own: a provider that
answers at once, the bare pair (uvicorn and aiohttp with nothing in between, the least a
Python proxy can cost), and the full proxy. Rounds of the three are interleaved, so that
a busy machine is unfair to all alike; what counts is the ratio within one run.

    python benchmarks/proxy_overhead.py [--seconds 2] [--json FILE] [-- PROXY OPTIONS]
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ANSWER = json.dumps(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "done. " * 120}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 500, "output_tokens": 240},
    }
).encode()
MAX_CONNECTIONS = 64
WORDS = ["request", "worker", "queue", "timeout", "retry", "cache", "shard", "commit"]


def tool_output(size, seed):
    """A log such as tools return: regular, never the same twice."""
    rng = random.Random(seed)
    lines, length, second = [], 0, rng.randrange(10**6)
    while length < size:
        second += rng.randrange(3)
        line = (
            f"2026-03-01T{second // 3600 % 24:02}:{second // 60 % 60:02}:"
            f"{second % 60:02}Z INFO {rng.choice(WORDS)}-{rng.randrange(40)} "
            f"handled {rng.choice(WORDS)} id={rng.randrange(16**8):08x} "
            f"in {rng.randrange(900)} ms\n"
        )
        lines.append(line)
        length += len(line)
    return "".join(lines)[:size]


def conversation(sizes, seed):
    """A request whose tool results have these sizes; the last is the newest."""
    messages = [{"role": "user", "content": "Find out why the workers stall."}]
    for number, size in enumerate(sizes):
        call = {"type": "tool_use", "id": f"toolu_{seed}_{number}", "name": "bash"}
        messages += [
            {"role": "assistant", "content": [{**call, "input": {"command": "logs"}}]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": call["id"],
                        "content": tool_output(size, f"{seed}/{number}"),
                    }
                ],
            },
        ]
    body = {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": messages}
    return json.dumps(body).encode()


def small(size=2048):
    """A request with nothing to compress."""
    text = "Explain what this function does. " * (size // 33)
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": text}],
    }
    return json.dumps(body).encode()


class Wire:
    """One keep-alive connection that sends requests and reads whole answers."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port):
        """A connection to a port of this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def post(self, body, path=b"/v1/messages", key=b"x-api-key: test"):
        """Milliseconds until the answer is complete."""
        head = (
            b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\n"
            b"content-type: application/json\r\n%b\r\n"
            b"content-length: %d\r\n\r\n" % (path, key, len(body))
        )
        started = time.perf_counter()
        self._writer.write(head + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        status = int(answer[9:12])
        length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await self._reader.readexactly(length)
        if status != 200:
            raise RuntimeError(f"status {status}")
        return (time.perf_counter() - started) * 1000

    def close(self):
        """Hang up."""
        self._writer.close()


async def latencies(port, bodies):
    """One after the other, on one connection."""
    wire = await Wire.to(port)
    try:
        return [await wire.post(body) for body in bodies]
    finally:
        wire.close()


async def throughput(port, body, concurrency, seconds):
    """Requests per second with so many connections in a closed loop."""
    concurrency = min(concurrency, MAX_CONNECTIONS)
    wires = [await Wire.to(port) for _ in range(concurrency)]
    end = time.perf_counter() + seconds
    taken = []

    async def loop(wire):
        while time.perf_counter() < end:
            taken.append(await wire.post(body))

    started = time.perf_counter()
    await asyncio.gather(*map(loop, wires))
    elapsed = time.perf_counter() - started
    for wire in wires:
        wire.close()
    return len(taken) / elapsed, quantile(taken, 0.99)


async def beside(port, seconds, clients=4, size=200_000):
    """Small requests, each on a connection of its own, beside clients with large ones.

    Every large body is new, so that all of it has to be worked on.
    """
    end = time.perf_counter() + seconds
    bodies = [conversation([size], f"{time.time_ns()}/{n}") for n in range(60)]
    big, probe, quick = [], [], small()

    async def load(number):
        wire = await Wire.to(port)
        for body in bodies[number::clients]:
            if time.perf_counter() > end:
                break
            big.append(await wire.post(body))
        wire.close()

    async def watch():
        while time.perf_counter() < end:
            started = time.perf_counter()
            wire = await Wire.to(port)
            await wire.post(quick)
            probe.append((time.perf_counter() - started) * 1000)
            wire.close()
            await asyncio.sleep(0.005)

    await asyncio.gather(watch(), *(load(n) for n in range(clients)))
    return {"small": summary(probe), "large": summary(big)}


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def summary(values):
    return {
        "n": len(values),
        "p50_ms": round(statistics.median(values), 3),
        "p99_ms": round(quantile(values, 0.99), 3),
    }


CASES = {
    "2 KB": lambda _: [small()] * 200,
    "100 KB, first seen": lambda run: [
        conversation([100_000], f"a{run}{n}") for n in range(6)
    ],
    "100 KB, again": lambda run: [conversation([100_000], f"a{run}0")] * 20,
    "1 MB, 100 KB of it first seen": lambda run: [
        conversation([225_000] * 4 + [100_000] * (1 + n), f"b{run}") for n in range(4)
    ],
    "1 MB, all first seen": lambda run: [
        conversation([1_000_000], f"c{run}{n}") for n in range(3)
    ],
    "1 MB, again": lambda run: [conversation([1_000_000], f"c{run}0")] * 10,
}
"""Bodies of a round; what a case repeats, the case before it sent first."""

WARM_UP = {"1 MB, 100 KB of it first seen": 1}
"""Requests at the start of a round that only make the past known."""


async def measure(ports, seconds, rounds=3):
    """All figures, by case and server."""
    report = {"latency": {}, "throughput_c16": {}, "beside_200_KB": {}}
    for port in ports.values():
        await latencies(port, [small()] * 50)
        await latencies(port, [conversation([60_000], f"warm{n}") for n in range(4)])
        await asyncio.sleep(1.0)
    samples = {case: {name: [] for name in ports} for case in CASES}
    stamp = time.time_ns()
    for number in range(rounds):
        for case, make in CASES.items():
            bodies = make(f"{stamp}-{number}-")
            for name, port in ports.items():
                taken = await latencies(port, bodies)
                samples[case][name] += taken[WARM_UP.get(case, 0) :]
    for case, by_server in samples.items():
        row = {name: summary(values) for name, values in by_server.items()}
        base = row["direct"]["p50_ms"]
        bare = max(0.001, row["bare"]["p50_ms"] - base)
        row["bare_adds_ms"] = round(row["bare"]["p50_ms"] - base, 3)
        row["headroom_adds_ms"] = round(row["headroom"]["p50_ms"] - base, 3)
        row["ratio"] = round((row["headroom"]["p50_ms"] - base) / bare, 2)
        report["latency"][case] = row
    for name, port in ports.items():
        found = [await throughput(port, small(), 16, seconds) for _ in range(rounds)]
        report["throughput_c16"][name] = {
            "per_second": round(statistics.median(rate for rate, _ in found)),
            "p99_ms": round(statistics.median(p99 for _, p99 in found), 2),
        }
    for name in ("bare", "headroom"):
        report["beside_200_KB"][name] = await beside(ports[name], 2 * seconds)
    return report


class _Answerer(asyncio.Protocol):
    """The provider: counts bytes, answers, parses nothing it need not."""

    def connection_made(self, transport):
        self.transport, self.buffer, self.missing = transport, b"", 0

    def data_received(self, data):
        if self.missing:
            self.missing -= len(data)
        else:
            self.buffer += data
            head, found, body = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = head.lower().split(b"content-length:")
            size = int(length[1].split(b"\r\n")[0]) if len(length) > 1 else 0
            self.missing, self.buffer = size - len(body), b""
        if self.missing <= 0:
            self.missing = 0
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
            )


async def serve_provider(port):
    server = await asyncio.get_running_loop().create_server(
        _Answerer, "127.0.0.1", port
    )
    await server.serve_forever()


def bare_pair(upstream):
    """The least a proxy can do on the same server and client."""
    import aiohttp

    session = None
    skipped = {b"host", b"content-length", b"connection", b"transfer-encoding"}

    async def app(scope, receive, send):
        nonlocal session
        if scope["type"] != "http":
            return
        if session is None:
            session = aiohttp.ClientSession(
                auto_decompress=False,
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        pieces, more = [], True
        while more:
            message = await receive()
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        headers = [
            (name.decode(), value.decode())
            for name, value in scope["headers"]
            if name not in skipped
        ]

        async def slices():
            for piece in pieces:
                yield piece

        data = pieces[0]
        if len(pieces) > 1:
            data = slices()
            headers.append(("content-length", str(sum(map(len, pieces)))))
        url = upstream + scope["path"]
        async with session.post(url, data=data, headers=headers) as response:
            head = [
                (name.lower(), value)
                for name, value in response.raw_headers
                if name.lower() not in {b"connection", b"transfer-encoding"}
            ]
            await send(
                {
                    "type": "http.response.start",
                    "status": response.status,
                    "headers": head,
                }
            )
            async for chunk in response.content.iter_any():
                await send(
                    {"type": "http.response.body", "body": chunk, "more_body": True}
                )
            await send({"type": "http.response.body", "body": b""})

    return app


def serve_bare(port, upstream):
    import uvicorn

    uvicorn.run(
        bare_pair(upstream),
        host="127.0.0.1",
        port=port,
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="off",
        ws="none",
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, path, seconds=20.0):
    """Seconds until something answers there."""
    started = time.perf_counter()
    request = b"GET %s HTTP/1.0\r\nhost: localhost\r\n\r\n" % path
    while time.perf_counter() - started < seconds:
        if process.poll() is not None:
            raise RuntimeError(f"server ended with status {process.returncode}")
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 1) as probe,
        ):
            probe.sendall(request)
            if probe.recv(1):
                return time.perf_counter() - started
        time.sleep(0.01)
    raise RuntimeError("server did not answer")


def rss_mb(pid):
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


@contextlib.contextmanager
def servers(proxy_options):
    """Ports by name, start-up figures, and all gone in the end."""
    ports = {name: free_port() for name in ("direct", "bare", "headroom")}
    upstream = f"http://127.0.0.1:{ports['direct']}"
    me = [sys.executable, __file__]
    with tempfile.TemporaryDirectory() as home:
        environ = {**os.environ, "HEADROOM_DATA_DIR": home}
        for cloud in ("BEDROCK", "VERTEX"):
            environ[f"HEADROOM_PROXY_{cloud}_ENDPOINT"] = upstream
        entry = "from headroom.cli.main import main; main()"
        urls = [f"--{api}-url={upstream}" for api in ("anthropic", "openai", "gemini")]
        options = [*urls, "--log-level", "info", *proxy_options]
        port = ("--port", str(ports["headroom"]))
        commands = {
            "direct": [*me, "--serve", "provider", str(ports["direct"])],
            "bare": [*me, "--serve", "bare", str(ports["bare"]), upstream],
            "headroom": [sys.executable, "-c", entry, "proxy", *port, *options],
        }
        running, facts = {}, {}
        try:
            for name, command in commands.items():
                running[name] = subprocess.Popen(
                    command,
                    env=environ,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
                path = b"/readyz" if name == "headroom" else b"/"
                seconds = wait_for(ports[name], running[name], path)
                facts[name] = {
                    "ready_s": round(seconds, 2),
                    "idle_rss_mb": rss_mb(running[name].pid),
                    "pid": running[name].pid,
                }
            yield ports, facts
            for name, process in running.items():
                facts[name]["rss_after_mb"] = rss_mb(process.pid)
        finally:
            for process in running.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            for process in running.values():
                process.wait(10)


def show(report):
    print(f"{'added, median ms':34}{'bare':>10}{'headroom':>10}{'ratio':>8}")
    for case, row in report["latency"].items():
        adds = f"{row['bare_adds_ms']:>10.2f}{row['headroom_adds_ms']:>10.2f}"
        print(f"{case:34}{adds}{row['ratio']:>8.1f}")
    print("\nrequests per second, 2 KB, 16 connections")
    for name, row in report["throughput_c16"].items():
        print(f"{name:34}{row['per_second']:>10}   p99 {row['p99_ms']} ms")
    print("\nsmall requests beside 4 clients with 200 KB each")
    for name, row in report["beside_200_KB"].items():
        found = row["small"]
        print(f"{name:34}{found['p50_ms']:>10.2f}   p99 {found['p99_ms']} ms")
    print("\nstart and memory")
    for name, row in report["facts"].items():
        print(f"{name:34}{row}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json")
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    options, proxy_options = parser.parse_known_args(arguments)
    if options.serve:
        kind, port, *rest = options.serve
        if kind == "provider":
            import uvloop

            uvloop.run(serve_provider(int(port)))
        else:
            serve_bare(int(port), *rest)
        return
    rest = [option for option in proxy_options if option != "--"]
    with servers(rest) as (ports, facts):
        report = asyncio.run(measure(ports, options.seconds))
    report["facts"] = facts
    show(report)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1), "utf-8")


if __name__ == "__main__":
    main()
