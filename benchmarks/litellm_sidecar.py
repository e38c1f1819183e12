"""LiteLLM's proxy with Headroom behind its guardrail: bills, prefix breaks, failures.

Builds an environment of its own for LiteLLM, starts its proxy with the guardrail and
cachelab as its provider, and replays a conversation of fifty tool calls, one a turn,
directly and through it. The ways to set it up:

- ``documented``: the guardrail as LiteLLM's documentation configures it
- ``late``: the same, and what comes a turn late is shortened as if it were new
- ``whole``: LiteLLM's generic guardrail, which sends whole conversations
- ``whole-tool``: the same, and the client offers the retrieval tool
- ``results``: every tool result before it is first sent; nothing is left out
- ``tool``: the same, parts may be left out, and the client offers the retrieval tool
- ``injected``: the same, and LiteLLM adds the tool when it is first told of hashes
- ``killed``: as ``results``, and Headroom is killed in mid-conversation
- ``restarted``: as ``results``, and Headroom is killed there and started again
- ``whole-killed``, ``whole-restarted``: the same as ``whole``

    python benchmarks/litellm_sidecar.py [--conversation PATH] [--ways results,killed]
    python benchmarks/litellm_sidecar.py --throughput

``--throughput`` measures what LiteLLM's proxy can carry without any guardrail: small
chat requests against a backend that answers at once, per second of its CPU time.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import lzma
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
from rich.console import Console

from headroom.cachelab import report
from headroom.cachelab.conversations import MARKERS, NAMED, Sending, load
from headroom.cachelab.launcher import free_port, headroom
from headroom.cachelab.replay import Options, bench
from headroom.core.retrieval_tool import TOOLS
from headroom.errors import ConfigError

PACKAGE = "litellm[proxy]>=1.92"
WAYS = (
    *("documented", "late", "whole", "whole-tool", "results", "tool", "injected"),
    *("killed", "restarted", "whole-killed", "whole-restarted"),
)
KEYS = {"chat": "sk-cachelab-replay", "messages": "sk-ant-cachelab-replay"}
PREFIXES = {"chat": "openai", "messages": "anthropic"}
READY_S = 120.0
PAGE_TICKS = os.sysconf("SC_CLK_TCK")


def environment(directory):
    """The Python of a virtual environment that has LiteLLM; made if it is missing."""
    python = directory / "bin" / "python"
    if not (directory / "bin" / "litellm").exists():
        print(f"installing {PACKAGE} into {directory}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", PACKAGE], check=True)
    return python


def configuration(api, model, upstream, guardrail):
    """LiteLLM's configuration, as JSON, which is YAML too."""
    suffix = "/v1" if api == "chat" else ""
    parameters = {
        "model": f"{PREFIXES[api]}/{model}",
        "api_base": upstream + suffix,
        "api_key": KEYS[api],
        "allowed_openai_params": ["prompt_cache_key"],
    }
    if api == "messages":
        del parameters["allowed_openai_params"]
    made = {"model_list": [{"model_name": model, "litellm_params": parameters}]}
    if guardrail:
        name = {"guardrail_name": "headroom-compression"}
        made["guardrails"] = [{**name, "litellm_params": guardrail}]
    return made


def guardrail_of(way, address):
    """The guardrail's parameters; the first four are what LiteLLM documents."""
    found = {
        "guardrail": "headroom",
        "mode": "pre_call",
        "api_base": address,
        "default_on": True,
    }
    if way.startswith("whole"):
        found["guardrail"] = "generic_guardrail_api"
        found["unreachable_fallback"] = "fail_open"
        found["fail_on_error"] = False
    elif way == "late":
        found["api_base"] = f"{address}/tool-results"
    elif way != "documented":
        found["api_base"] = f"{address}/tool-results"
        found["scan_only_tool_results"] = True
        found["unreachable_fallback"] = "fail_open"
    return found


@contextlib.contextmanager
def litellm(python, made):
    """LiteLLM's proxy on a free port; its process and its address."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="headroom-litellm-") as home:
        config = Path(home) / "config.yaml"
        config.write_text(json.dumps(made))
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HEADROOM_", "LITELLM_", "PYTHON"))
        }
        environ |= {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "NO_PROXY": "127.0.0.1",
            # Clients' keys name the conversation to cachelab; here they open the door.
            "LITELLM_MASTER_KEY": made["model_list"][0]["litellm_params"]["api_key"],
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        }
        log = (Path(home) / "log").open("w+b")
        process = subprocess.Popen(
            [
                *(python.parent / "litellm", "--config", config, "--port", str(port)),
                *("--host", "127.0.0.1", "--num_workers", "1", "--telemetry", "False"),
            ],
            env=environ,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process, f"http://127.0.0.1:{port}", Path(home) / "log"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            log.close()


async def ready(process, address, log):
    """Wait until LiteLLM answers."""
    deadline = time.monotonic() + READY_S
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"{address}/health/liveliness") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.2)
    raise ConfigError(f"LiteLLM did not get ready:\n{log.read_text()[-3000:]}")


def one_call_a_turn(path, directory):
    """The conversation with every call in a turn of its own, as a file."""
    data = path.read_bytes()
    data = lzma.decompress(data) if path.suffix == ".xz" else data
    found = json.loads(data)
    found = found.get("anthropic", found)
    messages = []
    for message, after in itertools.pairwise([*found["messages"], None]):
        content = message["content"]
        if not isinstance(content, list):
            messages.append(message)
            continue
        calls = [b for b in content if b["type"] == "tool_use"]
        if message["role"] == "assistant" and calls:
            said = [b for b in content if b["type"] == "text"]
            results = {b.get("tool_use_id"): b for b in after["content"]}
            for call in calls:
                messages.append({"role": "assistant", "content": [*said, call]})
                messages.append({"role": "user", "content": [results[call["id"]]]})
                said = []
            rest = [b for b in after["content"] if b["type"] != "tool_result"]
            messages[-1]["content"] += rest
        elif not any(b["type"] == "tool_result" for b in content):
            messages.append(message)
    made = directory / f"{path.name.partition('.')[0]}.json"
    made.write_text(json.dumps({**found, "messages": messages}))
    return made


async def replayed(python, given, way):
    """The results of one way."""
    api, path = given.api, given.conversation
    with tempfile.TemporaryDirectory(prefix="headroom-turns-") as directory:
        file = NAMED.get(str(path), path)
        if not given.as_recorded:
            file = one_call_a_turn(file, Path(directory))
        conversations = load([file], api)
    if way in {"tool", "whole-tool"}:
        tool = json.loads(TOOLS["openai_chat" if api == "chat" else "anthropic"])
        for conversation in conversations:
            conversation.tools.append(tool)
    lossy = way in {"tool", "injected", "whole-tool"}
    arguments = ["--sidecar-retrieval", "gateway" if lossy else "off"]
    with contextlib.ExitStack() as stack:

        async def target(upstream):
            sidecar = stack.enter_context(headroom(upstream, arguments))
            await sidecar.ready()
            model = conversations[0].model
            made = configuration(api, model, upstream, guardrail_of(way, sidecar.url))
            process, address, log = stack.enter_context(litellm(python, made))
            await ready(process, address, log)

            async def kill():
                sidecar.stop()

            restarts = {"killed": kill, "restarted": sidecar.restart}
            return address, restarts.get(way.removeprefix("whole-"))

        markers = given.markers or ("none" if api == "chat" else "system")
        options = Options(
            sending=Sending(markers=markers, is_stream=given.stream),
            retrieve_every=given.retrieve if lossy else 0,
        )
        async with bench(options, target=target) as running:
            return await running.run(conversations)


def cpu_seconds(group):
    """CPU time of all processes of a group so far."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                total += (int(fields[11]) + int(fields[12])) / PAGE_TICKS
    return total


BACKEND = """
import asyncio, json, sys
ANSWER = json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "created": 1,
    "model": "gpt-5", "choices": [{"index": 0, "finish_reason": "stop",
    "message": {"role": "assistant", "content": "done"}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}}).encode()
HEAD = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d"
WHOLE = HEAD % len(ANSWER) + b"\\r\\n\\r\\n" + ANSWER
async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).lower()
            at = head.find(b"content-length:") + 15
            if at > 15:
                await reader.readexactly(int(head[at:head.index(b"\\r", at)]))
            writer.write(WHOLE)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    await (await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
        ).serve_forever()
asyncio.run(main())
"""


async def throughput(python, seconds, connections):
    """Requests per second, and per second of LiteLLM's CPU time."""
    port = free_port()
    backend = subprocess.Popen([sys.executable, "-c", BACKEND, str(port)])
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello there."}]}
    made = configuration("chat", "gpt-5", f"http://127.0.0.1:{port}", None)
    try:
        with litellm(python, made) as (process, address, log):
            await ready(process, address, log)
            key = {"authorization": f"Bearer {KEYS['chat']}"}
            async with aiohttp.ClientSession() as session:

                async def ask():
                    url = f"{address}/v1/chat/completions"
                    async with session.post(url, json=body, headers=key) as response:
                        await response.read()
                        if response.status != 200:
                            raise ConfigError(await response.text())

                async def keep_asking(until):
                    count = 0
                    while time.monotonic() < until:
                        await ask()
                        count += 1
                    return count

                await asyncio.gather(*(keep_asking(time.monotonic() + 3) for _ in "12"))
                cpu, started = cpu_seconds(process.pid), time.monotonic()
                counts = await asyncio.gather(
                    *(keep_asking(started + seconds) for _ in range(connections))
                )
                elapsed = time.monotonic() - started
                spent = cpu_seconds(process.pid) - cpu
        done = sum(counts)
        print(
            f"LiteLLM's proxy: {done} requests in {elapsed:.1f} s over {connections} "
            f"connections: {done / elapsed:.0f} per second, {spent:.1f} s of CPU: "
            f"{done / spent:.0f} per second and core"
        )
    finally:
        backend.kill()
        backend.wait()


def main():
    """Run what was asked for; exit status 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--environment", type=Path, help="LiteLLM's; kept")
    parser.add_argument("--conversation", type=Path, default=Path("long"))
    parser.add_argument("--api", choices=("chat", "messages"), default="chat")
    parser.add_argument("--markers", choices=MARKERS, help="for Messages: system")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--as-recorded", action="store_true", help="calls per turn")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--retrieve", type=int, default=0, metavar="N")
    parser.add_argument("--throughput", action="store_true")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=16)
    given = parser.parse_args()
    kept = Path(tempfile.gettempdir()) / "headroom-litellm-environment"
    python = environment(given.environment or kept)
    if given.throughput:
        asyncio.run(throughput(python, given.seconds, given.connections))
        return
    console = Console(width=140)
    bad = 0
    for way in given.ways.split(","):
        results = asyncio.run(replayed(python, given, way))
        console.rule(way)
        report.print_report(console, results, 0)
        # A killed service cannot keep the prefix, and a tool that appears breaks it.
        errors = [e for r in results if r.target for e in r.target.errors]
        breaks = sum(len(r.breaks) for r in results)
        is_steady = way not in {"injected", "killed", "whole-killed", "late"}
        bad += len(errors) + (breaks if is_steady else 0)
    raise SystemExit(bad > 0)


if __name__ == "__main__":
    main()
