"""What the broker adds, beside the proxy, and beside LiteLLM's proxy if it is there.

    python -m benchmarks.broker [--litellm PATH] [--seconds 0.4] [--size "2 KB"]

Each server has a process of its own; all relay Chat requests to the same provider, in
interleaved rounds. ``added`` is the median latency less the provider's own. Bounds are
medians of ratios of processor time per request, each of two short bursts with hardly
any time between them, so that other work on the machine is in both: 1.3 to the proxy's
where both compress and where neither does, and a tenth of LiteLLM's, which is a black
box here: the program ``litellm`` of an environment of its own
(``pip install 'litellm[proxy]'``), one worker, its defaults.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import proxy_overhead
from benchmarks.api_overhead import BEARER, chat
from benchmarks.proxy_overhead import Wire, free_port, summary, tool_output, wait_for

PATH = b"/v1/chat/completions"
MODEL = "gpt-4o"
MAX_RATIO = 1.3
MIN_LITELLM_RATIO = 10
ENTRY = "from headroom.cli.main import main; main()"
SIZES = {"2 KB": [2_000], "100 KB": [5_000] * 20}
PAIRS = {"off": ("proxy off", "broker off"), "on": ("proxy on", "broker on")}
LITELLM_CASE = "2 KB, again"
CONNECTIONS = 16
BURSTS = 24
"""Of each case and server, in turns."""
KEYS = {
    "BROKER_BACKEND_KEY": "sk-test",
    # Without keys of clients, as the others here; it refuses to start otherwise.
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_780_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "done. " * 120},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 500, "completion_tokens": 240, "total_tokens": 740},
    }
).encode()


def body(sizes, seed):
    outputs = [tool_output(size, f"{seed}/{n}") for n, size in enumerate(sizes)]
    return json.dumps({**chat(outputs, seed), "model": MODEL}).encode()


def commands(home, ports, litellm):
    """Command lines by server."""
    upstream = f"http://127.0.0.1:{ports['direct']}"
    file = Path(home) / "models.json"
    backend = {"base_url": upstream, "key_env": "BROKER_BACKEND_KEY"}
    target = {"backends": [{"backend": "one"}]}
    file.write_text(
        json.dumps({"backends": {"one": backend}, "models": {MODEL: target}})
    )
    me = [sys.executable, "-m", "benchmarks.broker"]
    headroom = [sys.executable, "-c", ENTRY]
    proxy = [*headroom, "proxy", f"--openai-url={upstream}"]
    broker = [*headroom, "broker", "--models", str(file)]
    found = {
        "direct": [*me, "--serve", str(ports["direct"])],
        "proxy off": [*proxy, "--compression-mode=off"],
        "proxy on": proxy,
        "broker off": broker,
        "broker on": [*broker, "--compression"],
    }
    for name in list(found)[1:]:
        found[name] += ["--port", str(ports[name]), "--log-level", "info"]
    if litellm:
        config = Path(home) / "litellm.yaml"
        params = {"model": f"openai/{MODEL}", "api_base": f"{upstream}/v1"}
        params["api_key"] = "sk-test"
        entry = {"model_name": MODEL, "litellm_params": params}
        config.write_text(json.dumps({"model_list": [entry]}))
        found["litellm"] = [litellm, "--config", str(config), "--host", "127.0.0.1"]
        found["litellm"] += ["--port", str(ports["litellm"]), "--num_workers", "1"]
    return found


@contextlib.contextmanager
def running(litellm):
    """Ports and process ids by server."""
    names = ["direct", *PAIRS["off"], *PAIRS["on"], *(["litellm"] if litellm else [])]
    ports = {name: free_port() for name in names}
    with tempfile.TemporaryDirectory() as home:
        processes = {}
        try:
            for name, command in commands(home, ports, litellm).items():
                data = Path(home) / name.replace(" ", "-")
                environ = {**os.environ, "HEADROOM_DATA_DIR": str(data), **KEYS}
                if name == "litellm":
                    environ.pop("PYTHONPATH", None)  # an environment of its own
                processes[name] = subprocess.Popen(
                    command,
                    env=environ,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )  # fmt: skip
                path = b"/health/liveliness" if name == "litellm" else b"/readyz"
                wait_for(ports[name], processes[name], path, 150)
            yield ports, {name: process.pid for name, process in processes.items()}
        finally:
            for process in processes.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            for process in processes.values():
                process.wait(20)


def cpu_s(pid):
    """Processor time of all processes of a session."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == pid:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def latency(ports, rounds, chosen):
    """Milliseconds by case and server; first seen and again."""
    wires = {name: await Wire.to(port) for name, port in ports.items()}
    taken, stamp = {}, time.time_ns()
    for number in range(rounds + 2):
        for case, sizes in chosen.items():
            sent = body(sizes, f"{stamp}-{number}-{case}")
            for turn in ("first seen", *["again"] * 4):
                for name, wire in wires.items():
                    ms = await wire.post(sent, PATH, BEARER)
                    if number >= 2:  # the first ones load what is loaded once
                        taken.setdefault(f"{case}, {turn}", {}).setdefault(
                            name, []
                        ).append(ms)
    for wire in wires.values():
        wire.close()
    return taken


async def per_core(port, pid, seconds, make):
    """Requests per second of processor time, and of the clock; ``make`` the bodies."""
    wires = [await Wire.to(port) for _ in range(CONNECTIONS)]
    count, before, started = 0, cpu_s(pid), time.perf_counter()

    async def loop(wire):
        nonlocal count
        while time.perf_counter() - started < seconds:
            await wire.post(make(), PATH, BEARER)
            count += 1

    await asyncio.gather(*map(loop, wires))
    elapsed = time.perf_counter() - started
    used = cpu_s(pid) - before
    for wire in wires:
        wire.close()
    return count / max(0.01, used), count / elapsed


def bodies(chosen=SIZES):
    """What makes the requests of each case."""
    for case, sizes in chosen.items():
        again = body(sizes, "again")
        template, stamps = body(sizes, "SEED"), itertools.count(time.time_ns())
        yield f"{case}, again", lambda again=again: again
        yield (
            f"{case}, first seen",
            lambda t=template, n=stamps: t.replace(b"SEED", b"%d" % next(n)),
        )


async def measure(ports, pids, seconds, rounds, chosen):
    report = {"added": {}, "per_core": {}, "ratios": {}}
    quick = {name: port for name, port in ports.items() if name != "litellm"}
    for case, by_server in (await latency(quick, rounds, chosen)).items():
        base = statistics.median(by_server["direct"])
        added = {n: summary(v)["p50_ms"] - base for n, v in by_server.items()}
        report["added"][case] = {n: round(ms, 3) for n, ms in added.items()}
    for case, make in bodies(chosen):
        names = [name for name in ports if name != "direct"]
        if case != LITELLM_CASE:
            names = [name for name in names if name != "litellm"]
        rates = {name: [] for name in names}
        for burst in range(BURSTS):
            # Each is measured as often right after a neighbour as right before it.
            for name in names if burst % 2 else reversed(names):
                rate = await per_core(ports[name], pids[name], seconds, make)
                rates[name].append(rate)
        row = report["per_core"][case] = {}
        for name, found in rates.items():
            core, clock = (
                statistics.median(column) for column in zip(*found, strict=True)
            )
            row[name] = {"core": round(core), "clock": round(clock)}
        for pair, (proxy, broker) in PAIRS.items():
            both = zip(rates[proxy], rates[broker], strict=True)
            ratio = statistics.median(p[0] / b[0] for p, b in both)
            report["ratios"][f"{case}, {pair}"] = round(ratio, 2)
    return report


def show(report):
    print("added, median ms")
    for case, row in report["added"].items():
        said = "  ".join(f"{name} {ms:.2f}" for name, ms in row.items())
        print(f"  {case:22}{said}")
    print("requests per second of one core (16 connections)")
    for case, row in report["per_core"].items():
        said = "  ".join(f"{name} {found['core']}" for name, found in row.items())
        print(f"  {case:22}{said}")
    print("processor time, broker to proxy:")
    for case, ratio in report["ratios"].items():
        print(f"  {case:22}{ratio:>8.2f}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--litellm", help="the program litellm of its environment")
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--size", choices=SIZES, help="of bodies; all if not given")
    parser.add_argument("--json")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        import uvloop

        proxy_overhead.ANSWER = ANSWER
        uvloop.run(proxy_overhead.serve_provider(options.serve))
        return
    chosen = {options.size: SIZES[options.size]} if options.size else SIZES
    with running(options.litellm) as (ports, pids):
        report = asyncio.run(
            measure(ports, pids, options.seconds, options.rounds, chosen)
        )
    show(report)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2))
    said = [f"{k}: {r}" for k, r in report["ratios"].items() if r > MAX_RATIO]
    if options.litellm and LITELLM_CASE in report["per_core"]:
        rates = report["per_core"][LITELLM_CASE]
        ratio = rates["broker off"]["core"] / rates["litellm"]["core"]
        print(f"broker to litellm, requests per core: {ratio:.1f}")
        if ratio < MIN_LITELLM_RATIO:
            said.append(f"litellm: {ratio:.1f}")
    if said:
        sys.exit("; ".join(said))


if __name__ == "__main__":
    main()
