"""The law with retrievals for Converse: the model's past never changes.

As ``test_hidden_law``, for an API whose cache points are blocks of their own, which
clients move through all messages, and whose streams are frames.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import conversing
from clouds import converse_block
from conversing import LONG, ask, converse, step_lists
from fakes import HALVE, DictStore
from headroom.core import pipeline
from scripted import TOOL
from scripted_converse import ConverseDrive, read

POINT = {"cachePoint": {"type": "default"}}
TOOLS = [
    *({"toolSpec": {"name": n, "inputSchema": {"json": {}}}} for n in ("Bash", "Read")),
    POINT,
]


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


def flat(messages):
    """Role and block of everything in order, cache points aside."""
    return [
        (message["role"], json.dumps(block))
        for message in messages
        for block in message["content"]
        if block != POINT
    ]


def is_thinking(entry):
    return "reasoningContent" in entry[1]


def uses(message):
    return {b["toolUse"]["toolUseId"] for b in message["content"] if "toolUse" in b}


class Provider(conversing.Provider):
    """Signs thinking, and wants calls answered at once."""

    api = "bedrock_converse"
    drive = ConverseDrive

    def inserted(self, placement):
        return 2 * sum(place.kind == "turn" for place in placement.places), 0

    def check(self, body):
        messages = json.loads(body)["messages"]
        for one, other in zip(messages, [*messages[1:], None], strict=True):
            assert one["content"]
            if one["role"] != "assistant":
                continue
            given = [b for b in (other["content"] if other else []) if b != POINT]
            found = [b.get("toolResult", {}).get("toolUseId") for b in given]
            wanted = uses(one)
            assert wanted == set(found[: len(wanted)])
        bare = []
        for entry in flat(messages):
            if is_thinking(entry):
                said = json.loads(entry[1])["reasoningContent"]["reasoningText"]
                signature = said["signature"]
                assert self.signed[signature] == bare, "thinking is bound elsewhere"
            else:
                bare.append(entry)

    def sign(self, body, blocks):
        bare = [e for e in flat(json.loads(body)["messages"]) if not is_thinking(e)]
        for block in blocks:
            if block["type"] == "thinking":
                self.signed[block["signature"]] = list(bare)
            else:
                turn = {"role": "assistant", "content": [converse_block(block)]}
                bare += flat([turn])


class Client(conversing.Client):
    """Moves its cache points, in answers too."""

    def __init__(self):
        super().__init__()
        self.messages = [{"role": "user", "content": [{"text": "please help"}]}]

    def body(self, markers):
        messages = json.loads(json.dumps(self.messages))
        for number, message in enumerate(messages[-markers:] if markers else ()):
            place = len(message["content"]) if number % 2 else 1
            message["content"].insert(place, POINT)
        return {"messages": messages, "toolConfig": {"tools": TOOLS}}

    def take(self, blocks, output):
        if not blocks:
            return
        self.messages.append({"role": "assistant", "content": blocks})
        results = [
            {"toolResult": {"toolUseId": call_id, "content": [{"text": output}]}}
            for call_id in sorted(uses(self.messages[-1]))
        ]
        content = results or [{"text": "go on"}]
        self.messages.append({"role": "user", "content": content})

    def read(self, out, *, is_stream):
        return read(out, is_stream=is_stream)["output"]["message"]["content"]

    def forget(self):
        """Drop thinking; the history is another one from there on."""
        for message in self.messages:
            kept = [b for b in message["content"] if "reasoningContent" not in b]
            message["content"] = kept or [{"text": "(thought)"}]


STEPS = step_lists(
    hiding=["r", "tr", "txr", "rxr", "xrr", "xtr"],
    ending=["x", "tx", "c", "txc", "cc", "rc", "tcr", "crc", "txcrx"],
)


@settings(max_examples=400, deadline=None)
@given(STEPS, st.data())
def test_no_generated_converse_conversation_ever_breaks_a_prefix(steps, data):
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


@pytest.mark.parametrize("is_stream", [True, False])
def test_lossy_results_and_hidden_exchanges_meet_in_one_message(is_stream):
    store, provider, client = DictStore(), Provider(), Client()
    way = {"markers": 1, "memo": None, "is_stream": is_stream}
    blocks, _ = ask(client, provider, store, ["c"], **way)
    client.take(blocks, LONG)
    blocks, _ = ask(client, provider, store, ["tr", "rc"], **way)
    client.take(blocks, LONG.replace("ordinary", "usual"))
    blocks, drive = ask(client, provider, store, ["x"], **way)
    sent = json.loads(drive.bodies[0])
    first, second = sent["messages"][-1]["content"][:2]
    answered = first["toolResult"]["content"][0]["text"]
    assert answered.startswith("answer to toolu_")
    left = [b for b in sent["messages"][-1]["content"] if b != POINT][1]
    assert second in (left, POINT)
    assert "<<ccr:" in left["toolResult"]["content"][0]["text"]
    assert [m["role"] for m in sent["messages"][-4:]] == ["assistant", "user"] * 2
    specs = [
        tool.get("toolSpec", {}).get("name") for tool in sent["toolConfig"]["tools"]
    ]
    assert specs == ["Bash", "Read", None, TOOL]
    assert blocks == [{"text": "words 4 0"}]
