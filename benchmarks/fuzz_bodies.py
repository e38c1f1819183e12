"""Request bodies, damaged in a few places, into the readers of all APIs.

Each is read or refused, and the spans that are read lie inside the body and are strings
there.
"""

import json

from headroom.core.types import HotBlock
from headroom.errors import HeadroomError
from headroom.providers import PROVIDERS

WORDS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"null", b"true", b"1e999", b"\\",
    b'"role":"user"', b'"content":', b'"type":"tool_result"', b"\\ud83c", b"\xff",
    b'"messages":[', b'"input":[', b'"contents":[', b"\\u0000", b"{" * 40, b"[" * 600,
]  # fmt: skip


def _samples():
    output = 'line "one"\n\tline é two \ud83d\ude00' * 3
    use = {"type": "tool_use", "id": "t", "name": "bash", "input": {"a": 1}}
    parts = [{"type": "text", "text": output, "cache_control": {"type": "ephemeral"}}]
    result = {"type": "tool_result", "tool_use_id": "t", "content": parts}
    messages = [
        {"role": "user", "content": "question"},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result, {"type": "text", "text": "and"}]},
    ]
    anthropic = {
        "model": "claude-x",
        "anthropic_version": "x",
        "tools": [{"name": "bash", "input_schema": {"type": "object"}}],
        "messages": messages,
    }
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    chat = {
        "model": "gpt-5",
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "question"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": output},
        ],
    }
    responses = {
        "model": "gpt-5",
        "store": False,
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "input": [
            {"role": "user", "content": "question"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": output},
        ],
    }
    answer = {"functionResponse": {"name": "f", "response": {"output": output}}}
    gemini = {
        "tools": [{"functionDeclarations": [{"name": "f"}]}],
        "contents": [
            {"role": "user", "parts": [{"text": "question"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [answer]},
        ],
    }
    asked = {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}
    told = {"toolResult": {"toolUseId": "t", "content": [{"text": output}]}}
    converse = {
        "toolConfig": {"tools": [{"toolSpec": {"name": "f"}}]},
        "messages": [
            {"role": "user", "content": [{"text": "q"}, {"cachePoint": {}}]},
            {"role": "assistant", "content": [asked]},
            {"role": "user", "content": [told, {"cachePoint": {}}]},
        ],
    }
    without_model = {k: v for k, v in anthropic.items() if k != "model"}
    found = {
        "anthropic": anthropic,
        "bedrock": anthropic,
        "vertex": without_model,
        "openai_chat": chat,
        "openai_responses": responses,
        "gemini": gemini,
        "bedrock_converse": converse,
    }
    return [(api, json.dumps(body).encode()) for api, body in found.items()]


SAMPLES = _samples()


def some_body(rng, sample):
    """A body with a few places replaced; one in ten is as it was."""
    damaged = bytearray(sample)
    for _ in range(rng.randrange(5) if rng.random() < 0.9 else 0):
        at = rng.randrange(len(damaged) or 1)
        new = rng.choice(WORDS) if rng.random() < 0.6 else rng.randbytes(2)
        damaged[at : at + rng.randrange(6)] = new
    if rng.random() < 0.2:
        damaged = damaged[: rng.randrange(len(damaged) + 1)]
    return bytes(damaged)


def problem(rng, number):
    """What is wrong with reading one body; empty: nothing."""
    api, sample = SAMPLES[number % len(SAMPLES)]
    provider, body = PROVIDERS[api], some_body(rng, sample)
    try:
        view = provider.parse(body)
        for index, message in enumerate(view.messages):
            if not 0 <= message.span.start <= message.span.end <= len(body):
                return f"{api}: a message outside the body: {body!r}"
            for slot in provider.slots(view, index):
                if isinstance(slot, HotBlock):
                    continue
                if not isinstance(json.loads(slot.literal.of(body)), str):
                    return f"{api}: a slot that is no text: {body!r}"
            provider.tool_calls(view, index)
            provider.anchors(view, index)
        provider.tool_edits(view, ("headroom_retrieve",))
        provider.front(view)
    except HeadroomError:
        return ""
    return ""
