"""What the proxy adds to each API, against what it adds to Messages at equal size.

``python -m benchmarks.api_overhead``: the same conversation in the shape of every API,
new and sent again, request by request through the proxy and past it: how much later
the answer is there, and how long the proxy's processor time is, all threads together.
What else a machine does can only add time, so that lower quartiles are compared. The
bound is a ratio of 1.2 to Messages, in processor time: waiting for a busy machine is in
the other.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path

from benchmarks.proxy_overhead import Wire, quantile, servers, tool_output
from headroom.settings import AuthSettings

BOUND = 1.2
SHARE = 0.25
AGAIN = 10
SETTLES_S = 0.0005
"""Until the proxy has written its record of a request that was answered."""
QUESTION = "Find out why the workers stall."


def messages(outputs, seed):
    found = [{"role": "user", "content": QUESTION}]
    for number, output in enumerate(outputs):
        call_id = f"toolu_{seed}_{number}"
        use = {"type": "tool_use", "id": call_id, "name": "bash", "input": {}}
        result = {"type": "tool_result", "tool_use_id": call_id, "content": output}
        found += [
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ]
    return {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": found}


def chat(outputs, seed):
    found = [{"role": "user", "content": QUESTION}]
    for number, output in enumerate(outputs):
        call_id = f"call_{seed}_{number}"
        function = {"name": "bash", "arguments": "{}"}
        call = {"id": call_id, "type": "function", "function": function}
        found += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call_id, "content": output},
        ]
    return {"model": "gpt-5", "messages": found}


def responses(outputs, seed):
    items = [{"role": "user", "content": QUESTION}]
    for number, output in enumerate(outputs):
        call = {"call_id": f"call_{seed}_{number}"}
        items += [
            {"type": "function_call", **call, "name": "bash", "arguments": "{}"},
            {"type": "function_call_output", **call, "output": output},
        ]
    return {"model": "gpt-5", "input": items, "store": False}


def gemini(outputs, seed):
    contents = [{"role": "user", "parts": [{"text": f"{QUESTION} {seed}"}]}]
    for output in outputs:
        result = {"name": "bash", "response": {"output": output}}
        contents += [
            {"role": "model", "parts": [{"functionCall": {"name": "bash"}}]},
            {"role": "user", "parts": [{"functionResponse": result}]},
        ]
    return {"contents": contents}


def enveloped(version):
    """Messages bodies as a cloud takes them."""

    def body(outputs, seed):
        found = messages(outputs, seed)
        del found["model"]
        return {"anthropic_version": version, **found}

    return body


def converse(outputs, seed):
    found = [{"role": "user", "content": [{"text": QUESTION}]}]
    for number, output in enumerate(outputs):
        call_id = {"toolUseId": f"toolu_{seed}_{number}"}
        use = {**call_id, "name": "bash", "input": {}}
        result = {**call_id, "content": [{"text": output}]}
        found += [
            {"role": "assistant", "content": [{"toolUse": use}]},
            {"role": "user", "content": [{"toolResult": result}]},
        ]
    # As clients do that have their prompts cached; the others' are without being asked.
    found[-1]["content"].append({"cachePoint": {"type": "default"}})
    return {"messages": found}


BEARER = b"authorization: Bearer sk-test"
APIS = {
    "messages": (messages, b"/v1/messages", b"x-api-key: test"),
    "chat": (chat, b"/v1/chat/completions", BEARER),
    "responses": (responses, b"/v1/responses", BEARER),
    "gemini": (
        gemini,
        b"/v1beta/models/gemini-2.5-pro:generateContent",
        b"x-goog-api-key: test",
    ),
    "bedrock": (
        enveloped("bedrock-2023-05-31"),
        b"/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke",
        b"x-unsigned: by-the-client",
    ),
    "converse": (
        converse,
        b"/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse",
        b"x-unsigned: by-the-client",
    ),
    "vertex": (
        enveloped("vertex-2023-10-16"),
        b"/v1/projects/p/locations/eu/publishers/anthropic/models/claude-x:rawPredict",
        b"authorization: Bearer ya29.test",
    ),
}
CLOUDS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
    "HEADROOM_AUTH_OAUTH": ",".join(AuthSettings().payg),
}
"""Credentials to sign with, and the same policy for all."""
SIZES = {
    "2 KB": [2_000],
    "100 KB in 20 results": [5_000] * 20,
    "1 MB in 20": [50_000] * 20,
}


def cpu_ms(pid):
    """Time that a process has run, on all its threads."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text("ascii").split()[0]) for task in tasks) / 1e6


async def measure(ports, pid, rounds):
    """Milliseconds of the proxy, by case, API, and what was measured.

    Request by request: one API after the other, and each through the proxy right after
    the provider itself, so that what else the machine does is in all of them.
    """
    wires = {
        (name, api): await Wire.to(ports[name])
        for name in ("direct", "headroom")
        for api in APIS
    }
    taken = {}
    for number in range(rounds + 1):
        for case, sizes in SIZES.items():
            seed = f"{time.time_ns()}"
            outputs = [tool_output(size, f"{seed}/{n}") for n, size in enumerate(sizes)]
            # Ids of its own for each API: what is known of a call's result by its id
            # is known whatever the API, and would spare some of them a part.
            bodies = {
                api: json.dumps(shape(outputs, f"{api}-{seed}")).encode()
                for api, (shape, _, _) in APIS.items()
            }
            for api, (shape, path, key) in APIS.items():
                before = json.dumps(shape(outputs[:-1], f"{api}-{seed}")).encode()
                await wires["headroom", api].post(before, path, key)
            for attempt in range(1 + AGAIN):
                what = "again" if attempt else "newest one new"
                for api in random.sample(list(APIS), len(APIS)):
                    _, path, key = APIS[api]
                    body = bodies[api]
                    direct = await wires["direct", api].post(body, path, key)
                    before = cpu_ms(pid)
                    whole = await wires["headroom", api].post(body, path, key)
                    await asyncio.sleep(SETTLES_S)
                    if number:  # the first round warms up
                        place = (f"{case}, {what}", api)
                        found = (whole - direct, cpu_ms(pid) - before)
                        taken.setdefault(place, []).append(found)
    for wire in wires.values():
        wire.close()
    return {
        place: [quantile(values, SHARE) for values in zip(*pairs, strict=True)]
        for place, pairs in taken.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    os.environ.update(CLOUDS)
    with servers([]) as (ports, facts):
        found = asyncio.run(measure(ports, facts["headroom"]["pid"], rounds))
    cases = list(dict.fromkeys(case for case, _ in found))
    is_missed = False
    for number, title in enumerate(("added ms", "processor ms")):
        print(f"{title + ', ratio to messages':36}" + "".join(f"{a:>16}" for a in APIS))
        for case in cases:
            ms = {api: found[case, api][number] for api in APIS}
            ratios = {api: ms[api] / ms["messages"] for api in APIS}
            is_missed |= title == "processor ms" and max(ratios.values()) > BOUND
            cells = "".join(f"{ms[a]:>9.2f} {ratios[a]:>5.2f}x" for a in APIS)
            print(f"{case:36}{cells}")
    sys.exit(is_missed)


if __name__ == "__main__":
    main()
