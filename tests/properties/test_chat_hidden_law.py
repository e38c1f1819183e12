"""The law with retrievals for Chat Completions: the model's past never changes.

As ``test_hidden_law``, for an API whose clients get one text for all rounds: they trim
it, send it as a string or in parts, and write arguments anew. What the model said is
bound to what stood before it, so that a hidden exchange in another place, or in none,
is noticed.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import conversing
from conversing import LONG, ask, converse, step_lists
from fakes import HALVE, DictStore
from headroom.cachelab import chat_answer
from headroom.cachelab.chat import message_of
from headroom.core import pipeline
from scripted import ChatDrive, text

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("bash", "read")]


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


def squeezed(content):
    parts = [] if content is None else content
    if not isinstance(parts, str):
        parts = "".join(part["text"] for part in parts)
    return "".join(parts.split())


def flat(messages):
    """All that was said in order: texts without white space, calls, results."""
    found = []
    for message in messages:
        if words := squeezed(message["content"]):
            found.append((message["role"], message.get("tool_call_id", ""), words))
        found += [
            ("call", entry["id"], json.loads(entry["function"]["arguments"]))
            for entry in message.get("tool_calls", ())
        ]
    return found


class Provider(conversing.Provider):
    """Binds texts and calls to what stood before them."""

    api = "openai_chat"
    drive = ChatDrive

    def inserted(self, placement):
        turns = [p.data for p in placement.places if p.kind == "turn"]
        before = sum(1 + data.count(b'"role":"tool"') for data in turns)
        return before, placement.results.count(b'"role":"tool"')

    def say(self, found):
        self.thoughts += 1
        return text(f"words {self.thoughts} \n")

    def check(self, body):
        messages = json.loads(body)["messages"]
        waiting = []
        for message in messages:
            if message["role"] == "tool":
                waiting.remove(message["tool_call_id"])
                continue
            assert not waiting
            waiting = [entry["id"] for entry in message.get("tool_calls", ())]
        assert not waiting
        bare = []
        for entry in flat(messages):
            if entry[0] in {"assistant", "call"}:
                key = json.dumps(entry)
                assert self.signed.get(key) == bare, "what was said is bound elsewhere"
            bare.append(entry)

    def sign(self, body, blocks):
        bare = flat(json.loads(body)["messages"])
        for entry in flat([message_of(blocks)]):
            self.signed[json.dumps(entry)] = list(bare)
            bare.append(entry)


class Client(conversing.Client):
    """Resends texts and calls in ways of its own."""

    def __init__(self, way):
        super().__init__()
        self.way = way

    def body(self, markers):
        return {"model": "gpt-5", "tools": TOOLS, "messages": self.messages}

    def take(self, blocks, output):
        message = message_of(blocks)
        words = message["content"]
        if words and self.way != "exact":
            message["content"] = words.strip()
        if words and self.way == "parts":
            half = len(words) // 2
            pieces = [text(words[:half]), text(words[half:])]
            message["content"] = pieces
        for entry in message.get("tool_calls", ()):
            if self.way != "exact":
                arguments = json.loads(entry["function"]["arguments"])
                entry["function"]["arguments"] = json.dumps(arguments, indent=1)
        self.messages.append(message)
        self.messages += [
            {"role": "tool", "tool_call_id": entry["id"], "content": output}
            for entry in message.get("tool_calls", ())
        ] or [{"role": "user", "content": "go on"}]

    def read(self, out, *, is_stream):
        read = chat_answer.read_stream if is_stream else chat_answer.read_whole
        blocks, problem = read(out)
        assert not problem
        return blocks


STEPS = step_lists(
    hiding=["r", "xr", "rr", "xrr"],
    ending=["x", "c", "xc", "cc", "rc", "xcr", "crc", "xrcrc"],
)
WAYS = st.sampled_from(["exact", "trimmed", "parts"])


@settings(max_examples=600, deadline=None)
@given(STEPS, WAYS, st.data())
def test_no_generated_chat_with_retrievals_ever_breaks_a_prefix(steps, way, data):
    assert converse(steps, data, Provider(), Client(way)) > sum(
        step[0] == "ask" for step in steps
    )


def test_the_check_notices_a_hidden_exchange_that_is_not_put_back():
    store, provider, client = DictStore(), Provider(), Client("exact")
    way = {"markers": 0, "memo": None, "is_stream": True}
    blocks, drive = ask(client, provider, store, ["xr", "xc"], **way)
    assert drive.note
    client.take(blocks, LONG)
    store.notes.clear()
    with pytest.raises(AssertionError, match="bound elsewhere"):
        ask(client, provider, store, ["x"], **way)


def test_a_long_result_is_left_out_and_the_tool_offered():
    store, provider, client = DictStore(), Provider(), Client("trimmed")
    way = {"markers": 0, "memo": None, "is_stream": False}
    blocks, _ = ask(client, provider, store, ["c"], **way)
    client.take(blocks, LONG)
    blocks, drive = ask(client, provider, store, ["xr", "rc"], **way)
    assert "<<ccr:" in json.loads(drive.bodies[0])["messages"][-1]["content"]
    client.take(blocks, "ok")
    _, drive = ask(client, provider, store, ["x"], **way)
    roles = [m["role"] for m in json.loads(drive.bodies[0])["messages"]]
    assert roles == ["user", *["assistant", "tool"] * 3, "tool"]
