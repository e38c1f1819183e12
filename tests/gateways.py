"""What gateways send to have it compressed, for tests of those paths."""

import json

from loopback import client
from scripted import noisy_log

NOWHERE = "http://127.0.0.1:1"
TOOL = {
    "type": "function",
    "function": {"name": "headroom_retrieve", "parameters": {"type": "object"}},
}
SYSTEM = {"role": "system", "content": "You look after the workers.\n" * 900}
QUESTION = {"role": "user", "content": "Why is worker 7 slow?"}
CODE = "import os\n\n" + "".join(
    f"def step_{n}(value):\n    total = value * {n}\n    return os.path.join(total)\n\n"
    for n in range(160)
)


async def call(px, request):
    async with client(px) as c:
        await c.send(request)
        status, headers, body = await c.response()
    assert b"access-control-allow-origin" not in headers
    return status, json.loads(body)


def chat_step(number, text=None):
    """What a step of an agent adds, as Chat Completions have it."""
    function = {"name": "read_log", "arguments": json.dumps({"part": number})}
    use = {"id": f"call_{number}", "type": "function", "function": function}
    result = noisy_log(number) if text is None else text
    return [
        {"role": "assistant", "content": None, "tool_calls": [use]},
        {"role": "tool", "tool_call_id": f"call_{number}", "content": result},
    ]
