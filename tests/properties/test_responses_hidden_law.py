"""The law with retrievals for Responses: the model's past never changes.

As ``test_hidden_law``, for an API of flat items: clients drop ids and thoughts, or send
everything back as it was. What the model said is bound to what stood before it, so that
a hidden exchange in another place, or in none, is noticed.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import conversing
from conversing import LONG, ask, converse, step_lists
from fakes import HALVE, DictStore
from headroom.cachelab.responses_answer import read_stream, read_whole
from headroom.core import pipeline
from headroom.core.hidden import decode_placement
from scripted import text
from scripted_responses import ResponsesDrive, items, output_of

TOOLS = [{"type": "function", "name": name} for name in ("exec", "read")]


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


def bare(found, *, with_thoughts=True):
    """What items say, without what clients drop."""
    return [
        json.dumps({k: v for k, v in item.items() if k not in {"id", "status"}})
        for item in found
        if with_thoughts or item.get("type") != "reasoning"
    ]


def listed(data):
    """Items that are joined by commas."""
    return json.loads(b"[%b]" % data)


class Provider(conversing.Provider):
    """Binds what it said to what stood before."""

    api = "openai_responses"
    drive = ResponsesDrive

    def __init__(self, *, keeps_thoughts):
        super().__init__()
        self.keeps_thoughts = keeps_thoughts

    def receive(self, rewrite, forwarded):
        found = bare(json.loads(forwarded)["input"])
        position = in_front = 0
        for index, key in enumerate(rewrite.keys):
            size = len(rewrite.view.messages[index].parts) or 1
            size, in_front = size + in_front, 0
            if hidden := rewrite.decisions[index].hidden:
                placement = decode_placement(hidden)
                size += sum(len(listed(place.data)) for place in placement.places)
                in_front = len(listed(placement.results))
            value = found[position : position + size]
            position += size
            before = self.sent.setdefault(key, value)
            assert before == value, "a prefix that was sent has changed"
        assert position == len(found)
        self.check(forwarded)

    def say(self, found):
        self.thoughts += 1
        return text(f"words {self.thoughts}")

    def check(self, body):
        sent = json.loads(body)["input"]
        waiting = []
        for item in sent:
            if item.get("type") == "function_call":
                waiting.append(item["call_id"])
            elif item.get("type") == "function_call_output":
                waiting.remove(item["call_id"])
        assert not waiting, "a call has no result"
        before = []
        for item, told in zip(sent, bare(sent), strict=True):
            is_thought = item.get("type") == "reasoning"
            if item.get("role") == "assistant" or item.get("type") == "function_call":
                assert self.signed.get(told) == before, "it was said elsewhere"
            if self.keeps_thoughts or not is_thought:
                before.append(told)

    def sign(self, body, blocks):
        sent = json.loads(body)["input"]
        before = bare(sent, with_thoughts=self.keeps_thoughts)
        said = items(blocks, 0)
        for item, told in zip(said, bare(said), strict=True):
            self.signed[told] = list(before)
            if self.keeps_thoughts or item["type"] != "reasoning":
                before.append(told)


class Client(conversing.Client):
    """Resends items in ways of its own."""

    def __init__(self, way):
        super().__init__()
        self.way = way

    def body(self, markers):
        sent = json.loads(json.dumps(self.messages))
        return {"model": "gpt-5", "tools": TOOLS, "input": sent, "store": False}

    def take(self, found, output):
        dropped = set() if self.way == "exact" else {"id", "status"}
        self.messages += [
            {k: v for k, v in item.items() if k not in dropped}
            for item in found
            if self.way != "bare" or item["type"] != "reasoning"
        ]
        calls = [item for item in found if item["type"] == "function_call"]
        self.messages += [
            {
                "type": "function_call_output",
                "call_id": item["call_id"],
                "output": output,
            }
            for item in calls
        ] or [{"role": "user", "content": "go on"}]

    def read(self, out, *, is_stream):
        _, problem = (read_stream if is_stream else read_whole)(out)
        assert not problem
        return output_of(out, is_stream=is_stream)

    def rewind(self, position):
        users = [i for i, m in enumerate(self.messages) if m.get("role") == "user"]
        del self.messages[users[position % len(users)] + 1 :]


STEPS = step_lists(
    hiding=["r", "tr", "txr", "rr", "trr", "xr"],
    ending=["x", "tx", "c", "tc", "txc", "cc", "rc", "tcr", "crc", "trcrc"],
)
WAYS = st.sampled_from(["exact", "stripped", "bare"])


@settings(max_examples=600, deadline=None)
@given(STEPS, WAYS, st.data())
def test_no_generated_response_with_retrievals_ever_breaks_a_prefix(steps, way, data):
    provider = Provider(keeps_thoughts=way != "bare")
    assert converse(steps, data, provider, Client(way)) > sum(
        step[0] == "ask" for step in steps
    )


def test_the_check_notices_a_hidden_exchange_that_is_not_put_back():
    store, client = DictStore(), Client("exact")
    provider = Provider(keeps_thoughts=True)
    way = {"markers": 0, "memo": None, "is_stream": True}
    found, drive = ask(client, provider, store, ["xr", "xc"], **way)
    assert drive.note
    client.take(found, LONG)
    store.notes.clear()
    with pytest.raises(AssertionError, match="said elsewhere"):
        ask(client, provider, store, ["x"], **way)


def test_a_long_result_is_left_out_and_the_tool_offered():
    store, client = DictStore(), Client("stripped")
    provider = Provider(keeps_thoughts=True)
    way = {"markers": 0, "memo": None, "is_stream": False}
    found, _ = ask(client, provider, store, ["c"], **way)
    client.take(found, LONG)
    found, drive = ask(client, provider, store, ["xr", "rc"], **way)
    assert "<<ccr:" in json.loads(drive.bodies[0])["input"][-1]["output"]
    client.take(found, "ok")
    _, drive = ask(client, provider, store, ["x"], **way)
    kinds = [i.get("type", "message") for i in json.loads(drive.bodies[0])["input"]]
    call, result = "function_call", "function_call_output"
    assert kinds == [
        *("message", call, result, "message", call, result),
        *(call, call, result, result),
    ]
