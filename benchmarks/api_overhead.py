"""What the proxy adds to each API, against what it adds to Messages at equal size.

``python -m benchmarks.api_overhead``: the same conversation in the shape of every API,
new and sent again, request by request through the proxy and past it. The bound is a
ratio of 1.2 to Messages. What a busy machine does can only add time, so that the lower
quartile of the differences is compared.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time

from benchmarks.proxy_overhead import Wire, quantile, servers, tool_output
from headroom.settings import AuthSettings

BOUND = 1.2
SHARE = 0.25
AGAIN = 10
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
        # Another conversation: the family of the Messages API is one to the ledger.
        found = messages(outputs, f"{version}-{seed}")
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


async def measure(ports, rounds):
    """Milliseconds that the proxy adds, by case and API.

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
            bodies = {
                api: json.dumps(shape(outputs, seed)).encode()
                for api, (shape, _, _) in APIS.items()
            }
            for api, (shape, path, key) in APIS.items():
                before = json.dumps(shape(outputs[:-1], seed)).encode()
                await wires["headroom", api].post(before, path, key)
            for attempt in range(1 + AGAIN):
                what = "again" if attempt else "newest one new"
                for api in random.sample(list(APIS), len(APIS)):
                    _, path, key = APIS[api]
                    body = bodies[api]
                    direct = await wires["direct", api].post(body, path, key)
                    whole = await wires["headroom", api].post(body, path, key)
                    if number:  # the first round warms up
                        place = (f"{case}, {what}", api)
                        taken.setdefault(place, []).append(whole - direct)
    for wire in wires.values():
        wire.close()
    return {place: quantile(values, SHARE) for place, values in taken.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    os.environ.update(CLOUDS)
    with servers([]) as (ports, _):
        added = asyncio.run(measure(ports, rounds))
    cases = list(dict.fromkeys(case for case, _ in added))
    print(f"{'added ms, ratio to messages':36}" + "".join(f"{a:>16}" for a in APIS))
    is_missed = False
    for case in cases:
        ratios = {a: added[case, a] / added[case, "messages"] for a in APIS}
        is_missed |= max(ratios.values()) > BOUND
        cells = "".join(f"{added[case, a]:>9.2f} {ratios[a]:>5.2f}x" for a in APIS)
        print(f"{case:36}{cells}")
    sys.exit(is_missed)


if __name__ == "__main__":
    main()
