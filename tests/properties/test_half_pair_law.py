"""The law where texts were cut inside an emoji: half a surrogate pair breaks nothing.

JSON can carry half a pair (``\\ud83d`` alone), and clients send it when a limit of
theirs cut a text in two; from then on it stands in every request of the conversation.
What was compressed before is sent compressed again, what comes later is compressed like
anything else, and the text with the half is left as it is.
"""

import json
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline
from headroom.core.repeats import SourceMemo
from headroom.core.types import Policy
from headroom.errors import MalformedBodyError
from headroom.providers import PROVIDERS
from remembering import Provider

HALF = "\ud83d"
ROLES = ("user", "assistant", "tool", "model", "developer")


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


def output(number):
    return "".join(f"2026-01-0{number} line {i} is ordinary\n" for i in range(40))


def anthropic(number):
    call = {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {"c": "x"}}
    result = {
        "type": "tool_result",
        "tool_use_id": f"t{number}",
        "content": [{"type": "text", "text": output(number)}],
    }
    note = {"type": "text", "text": f"note {number}"}
    return [
        {"role": "assistant", "content": [{"type": "text", "text": "hm"}, call]},
        {"role": "user", "content": [result, note]},
    ]


def chat(number):
    what = {"name": "exec", "arguments": '{"c":1}'}
    call = {"id": f"c{number}", "type": "function", "function": what}
    return [
        {"role": "assistant", "content": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": output(number)},
        {"role": "user", "content": [{"type": "text", "text": f"note {number}"}]},
    ]


def responses(number):
    call = {"type": "function_call", "call_id": f"c{number}", "name": "exec"}
    result = {"type": "function_call_output", "call_id": f"c{number}"}
    said = [{"type": "output_text", "text": "hm"}]
    return [
        {"type": "message", "role": "assistant", "content": said},
        call | {"arguments": '{"c":1}'},
        result | {"output": output(number)},
        {"role": "user", "content": f"note {number}"},
    ]


def gemini(number):
    call = {"functionCall": {"name": "exec", "args": {"c": "x"}}}
    answer = {"name": "exec", "response": {"output": output(number)}}
    return [
        {"role": "model", "parts": [{"text": "hm"}, call]},
        {"role": "user", "parts": [{"functionResponse": answer}, {"text": "note"}]},
    ]


def converse(number):
    call = {"toolUse": {"toolUseId": f"t{number}", "name": "exec", "input": {"c": "x"}}}
    result = {"toolUseId": f"t{number}", "content": [{"text": output(number)}]}
    return [
        {"role": "assistant", "content": [{"text": "hm"}, call]},
        {"role": "user", "content": [{"toolResult": result}, {"text": "note"}]},
    ]


FUNCTION = {"name": "exec", "description": "runs", "parameters": {"type": "object"}}
CHAT = {"model": "gpt-x", "tools": [{"type": "function", "function": FUNCTION}]}
APIS = {
    "anthropic": (
        anthropic,
        "messages",
        {"role": "user", "content": "go"},
        {
            "model": "claude-x",
            "system": [{"type": "text", "text": "careful"}],
            "tools": [{"name": "Bash", "description": "runs", "input_schema": {}}],
            "metadata": {"user_id": "someone"},
        },
    ),
    "openai_chat": (chat, "messages", {"role": "user", "content": "go"}, CHAT),
    "gateway": (chat, "messages", {"role": "user", "content": "go"}, CHAT),
    "openai_responses": (
        responses,
        "input",
        {"role": "user", "content": "go"},
        {
            "model": "gpt-x",
            "instructions": "careful",
            "store": False,
            "tools": [{"type": "function", **FUNCTION}],
        },
    ),
    "gemini": (
        gemini,
        "contents",
        {"role": "user", "parts": [{"text": "go"}]},
        {
            "systemInstruction": {"parts": [{"text": "careful"}]},
            "tools": [{"functionDeclarations": [FUNCTION]}],
        },
    ),
    "bedrock_converse": (
        converse,
        "messages",
        {"role": "user", "content": [{"text": "go"}]},
        {
            "system": [{"text": "careful"}],
            "toolConfig": {"tools": [{"toolSpec": {"name": "exec"}}]},
        },
    ),
}


def places(value, path=()):
    """The paths of all strings in a value; of the words of an API none."""
    if isinstance(value, str):
        return [path] if path[-1:] != ("type",) and value not in ROLES else []
    if not isinstance(value, dict | list):
        return []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [found for key, inner in items for found in places(inner, (*path, key))]


def at(value, path):
    for key in path:
        value = value[key]
    return value


def halved(value, path, position):
    """The value with half a pair in the string at a path."""
    found = deepcopy(value)
    parent = at(found, path[:-1])
    text = parent[path[-1]]
    position %= len(text) + 1
    parent[path[-1]] = text[:position] + HALF + text[position:]
    return found


def test_every_api_is_among_them():
    wrapped = {"bedrock", "vertex"}  # the Messages API behind a cloud
    assert set(APIS) | wrapped == set(PROVIDERS)


@pytest.mark.parametrize("api", APIS)
@settings(max_examples=120)
@given(st.data())
def test_half_a_pair_anywhere_breaks_no_prefix_and_stays_as_it_is(api, data):
    turn, name, first, front = APIS[api]
    store, provider, memo = DictStore(), Provider(api), SourceMemo()
    policy = Policy(cache_minimum_tokens=0)
    messages = [first]
    at_turn = data.draw(st.integers(1, 3))
    is_in_front = data.draw(st.booleans())
    for number in range(1, 6):
        new = turn(number)
        if number == at_turn:
            path = data.draw(st.sampled_from(places(front if is_in_front else new)))
            position = data.draw(st.integers(0, 2000))
            if is_in_front:
                front = halved(front, path, position)
            else:
                new = halved(new, path, position)
        messages += new
        raw = json.dumps(front | {name: messages}).encode()
        forwarded, rewrite = forward(raw, store, api=api, policy=policy, memo=memo)
        provider.receive(rewrite, forwarded)
        sent = json.loads(forwarded)
        for path in places(json.loads(raw)):
            said = at(json.loads(raw), path)
            assert HALF not in said or at(sent, path) == said
        halves = raw.count(b"\\ud83d")
        assert forwarded.count(b"\\ud83d") == halves == (number >= at_turn)
        # All other results are shortened, those from before the half included.
        assert forwarded.count(b"~2026") >= number - (number >= at_turn)


@pytest.mark.parametrize("api", APIS)
def test_what_is_no_json_but_for_the_halves_is_refused(api):
    _, name, first, front = APIS[api]
    raw = json.dumps(front | {name: [first], "x": HALF}).encode()
    assert len(PROVIDERS[api].parse(raw).messages) == 1
    with pytest.raises(MalformedBodyError):
        PROVIDERS[api].parse(raw[:-1])
    with pytest.raises(MalformedBodyError):
        PROVIDERS[api].parse(raw.replace(b"\\ud83d", b"\xed\xa0\xbd"))
