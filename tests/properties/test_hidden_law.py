"""The law with retrievals: the model's past never changes, whatever clients resend.

Conversations with lossy results are generated in which the model asks originals back,
alone and beside calls of the client's tools, in several rounds, with thinking. Clients
retry (and keep either answer), rewind, fork, move markers and come through any worker.
After every request, continuations included, the provider checks that each prefix is
the one it saw before, and that each thinking block stands where it was made.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import conversing
from conversing import LONG, ask, converse, step_lists
from fakes import HALVE, DictStore
from headroom.cachelab.client import read_stream
from headroom.core import pipeline
from scripted import Drive, text

MARK = {"type": "ephemeral"}
TOOLS = [{"name": name, "input_schema": {}} for name in ("Bash", "Read")]


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


def flat(messages):
    """Role and block of everything in order, markers and strings aside."""
    found = []
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            content = [text(content)]
        found += [
            (message["role"], json.dumps({k: b[k] for k in b if k != "cache_control"}))
            for b in content
        ]
    return found


def is_thinking(entry):
    return '"type": "thinking"' in entry[1]


class Provider(conversing.Provider):
    """Signs thinking."""

    api = "anthropic"
    drive = Drive

    def inserted(self, placement):
        return 2 * sum(place.kind == "turn" for place in placement.places), 0

    def check(self, body):
        """Calls are answered at once, and thinking stands where it was made."""
        messages = json.loads(body)["messages"]
        for one, other in zip(messages, [*messages[1:], None], strict=True):
            if one["role"] != "assistant" or isinstance(one["content"], str):
                continue
            wanted = {b["id"] for b in one["content"] if b["type"] == "tool_use"}
            given = other["content"] if other else []
            found = [b.get("tool_use_id") for b in given if isinstance(b, dict)]
            assert wanted == set(found[: len(wanted)])
        entries = flat(messages)
        bare = []
        for entry in entries:
            if is_thinking(entry):
                signature = json.loads(entry[1])["signature"]
                assert self.signed[signature] == bare, "thinking is bound elsewhere"
            else:
                bare.append(entry)

    def sign(self, body, blocks):
        bare = [e for e in flat(json.loads(body)["messages"]) if not is_thinking(e)]
        for block in blocks:
            if block["type"] == "thinking":
                self.signed[block["signature"]] = list(bare)
            else:
                bare += flat([{"role": "assistant", "content": [block]}])


class Client(conversing.Client):
    """Moves its markers."""

    def body(self, markers):
        messages = json.loads(json.dumps(self.messages))
        if markers:
            for message in messages[-markers:]:
                content = message["content"]
                if isinstance(content, str):
                    message["content"] = content = [text(content)]
                marked = [b for b in content if b["type"] != "thinking"]
                if marked:
                    marked[-1]["cache_control"] = MARK
        return {"model": "claude-x", "tools": TOOLS, "messages": messages}

    def take(self, blocks, output):
        if not blocks:
            return
        self.messages.append({"role": "assistant", "content": blocks})
        results = [
            {"type": "tool_result", "tool_use_id": b["id"], "content": output}
            for b in blocks
            if b["type"] == "tool_use"
        ]
        self.messages.append({"role": "user", "content": results or "go on"})

    def read(self, out, *, is_stream):
        if not is_stream:
            return json.loads(out)["content"]
        blocks, problem = read_stream(out)
        assert not problem
        return blocks

    def forget(self):
        """Drop thinking, as clients do with old turns.

        The history is another one from there on.
        """
        for message in self.messages:
            if message["role"] == "assistant":
                kept = [b for b in message["content"] if b["type"] != "thinking"]
                message["content"] = kept or [text("(thought)")]


STEPS = step_lists(
    hiding=["r", "tr", "txr", "rxr", "xrr", "xtr"],
    ending=["x", "tx", "c", "txc", "cc", "rc", "tcr", "crc", "txcrx"],
)


@settings(max_examples=600, deadline=None)
@given(STEPS, st.data())
def test_no_generated_conversation_with_retrievals_ever_breaks_a_prefix(steps, data):
    assert converse(steps, data, Provider(), Client()) > sum(
        step[0] == "ask" for step in steps
    )


def test_the_check_notices_a_hidden_exchange_that_is_not_put_back():
    store, provider, client = DictStore(), Provider(), Client()
    way = {"markers": 1, "memo": None, "is_stream": True}
    blocks, drive = ask(client, provider, store, ["tr", "tc"], **way)
    assert drive.note
    client.take(blocks, LONG)
    store.notes.clear()
    with pytest.raises(AssertionError, match="bound elsewhere"):
        ask(client, provider, store, ["x"], **way)


def test_lossy_results_and_hidden_exchanges_meet_in_one_message():
    store, provider, client = DictStore(), Provider(), Client()
    way = {"markers": 1, "memo": None, "is_stream": True}
    blocks, _ = ask(client, provider, store, ["c"], **way)
    client.take(blocks, LONG)
    blocks, _ = ask(client, provider, store, ["tr", "rc"], **way)
    client.take(blocks, LONG.replace("ordinary", "usual"))
    blocks, drive = ask(client, provider, store, ["x"], **way)
    messages = json.loads(drive.bodies[0])["messages"]
    assert "<<ccr:" in messages[-1]["content"][1]["content"]
    assert messages[-1]["content"][0]["content"].startswith("answer to toolu_")
    assert [m["role"] for m in messages[-4:]] == ["assistant", "user"] * 2
    assert blocks == [text("words 4 0")]
