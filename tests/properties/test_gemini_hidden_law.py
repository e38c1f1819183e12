"""The law with retrievals for Gemini, which gives its calls no ids.

The provider binds each signature to what stood before the call it came with. Clients
join texts, drop thoughts and keep signatures; a hidden exchange is found again by these
alone, and the model's past must be as it was, wherever in a text it stood.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import conversing
from conversing import ask, converse, step_lists
from fakes import HALVE, DictStore
from headroom.core import pipeline
from scripted_gemini import (
    GeminiDrive,
    call,
    parts_of,
    retrieval,
    text,
    thought,
    told,
)

TOOLS = [{"functionDeclarations": [{"name": "shell", "parameters": {}}]}]


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


def past(contents):
    """What stands in contents as the model knows it: roles and parts, texts joined."""
    found = []
    for content in contents:
        for part in content["parts"]:
            if part.get("thought"):
                continue
            bare = {k: v for k, v in part.items() if k != "thoughtSignature"}
            is_text = set(bare) == {"text"}
            if is_text and found and found[-1][0] == content["role"] == "model":
                before = found[-1][1]
                if set(before) == {"text"}:
                    before["text"] += bare["text"]
                    continue
            found.append((content["role"], bare))
    return [(role, squeezed(part)) for role, part in found]


def squeezed(part):
    return json.dumps({k: v for k, v in part.items() if v != ""}, sort_keys=True)


class Provider(conversing.Provider):
    api = "gemini"

    @staticmethod
    def drive(rounds, body, *, is_stream):
        form = "sse" if is_stream else ("array" if len(rounds) % 2 else "whole")
        return GeminiDrive(rounds, body, form, ends_apart=bool(len(body) % 2))

    def inserted(self, placement):
        return 2 * sum(p.kind == "turn" for p in placement.places), 0

    def check(self, body):
        contents = json.loads(body)["contents"]
        for number, content in enumerate(contents):
            if content["role"] == "model":
                self._check_content(contents, number)

    def _check_content(self, contents, number):
        names = [
            part["functionCall"]["name"]
            for part in contents[number]["parts"]
            if "functionCall" in part
        ]
        after = contents[number + 1]["parts"] if number + 1 < len(contents) else []
        given_ = [
            p["functionResponse"]["name"] for p in after if "functionResponse" in p
        ]
        assert sorted(names) == sorted(given_)
        calls = [p for p in contents[number]["parts"] if "functionCall" in p]
        assert not calls or "thoughtSignature" in calls[0], "the first call is unsigned"
        for position, part in enumerate(contents[number]["parts"]):
            if "thoughtSignature" in part:
                parts = contents[number]["parts"][:position]
                before = [*contents[:number], {"role": "model", "parts": parts}]
                assert self.signed[part["thoughtSignature"]] == past(before), (
                    "a signature stands elsewhere"
                )

    def sign(self, body, blocks):
        contents = json.loads(body)["contents"]
        for position, part in enumerate(blocks):
            if "thoughtSignature" in part:
                before = [*contents, {"role": "model", "parts": blocks[:position]}]
                self.signed[part["thoughtSignature"]] = past(before)

    def blocks(self, shape):
        found = []
        is_signed = True
        for letter in shape:
            self.calls += letter in "rc"
            match letter:
                case "t":
                    found.append(thought("hm"))
                case "x":
                    found.append(text(f" words {self.calls} {len(found)} "))
                case "r":
                    found.append(retrieval(self.calls, is_signed=is_signed))
                    is_signed = False
                case "c":
                    found.append(call(self.calls, is_signed=is_signed))
                    is_signed = False
        return found


class Client(conversing.Client):
    """Keeps contents as roles and parts."""

    def __init__(self, *, joins, keeps_thoughts):
        super().__init__()
        self._ways = {"joins": joins, "keeps_thoughts": keeps_thoughts}

    def body(self, markers):
        contents = []
        for message in self.messages:
            content = message["content"]
            parts = [{"text": content}] if isinstance(content, str) else content
            role = "model" if message["role"] == "assistant" else "user"
            contents.append({"role": role, "parts": parts})
        return {"contents": contents, "tools": TOOLS}

    def take(self, blocks, output):
        if not blocks:
            return
        self.messages.append({"role": "assistant", "content": blocks})
        results = [
            {"functionResponse": {"name": "shell", "response": {"output": output}}}
            for part in blocks
            if "functionCall" in part
        ]
        self.messages.append({"role": "user", "content": results or "go on"})

    def read(self, out, *, is_stream):
        form = "sse" if is_stream else ("array" if out[:1] == b"[" else "whole")
        return parts_of(told(out, form), **self._ways)


STEPS = step_lists(
    ["r", "tr", "txr", "rxr", "xrr", "xtr"],
    ["x", "tx", "c", "txc", "cc", "rc", "tcr", "crc", "txcrx"],
)


@settings(max_examples=500, deadline=None)
@given(STEPS, st.booleans(), st.booleans(), st.data())
def test_no_generated_conversation_with_retrievals_ever_breaks_a_prefix(
    steps, joins, keeps_thoughts, data
):
    client = Client(joins=joins, keeps_thoughts=keeps_thoughts)
    assert converse(steps, data, Provider(), client) > sum(
        step[0] == "ask" for step in steps
    )


def test_the_check_notices_a_hidden_exchange_that_is_not_put_back():
    store, provider = DictStore(), Provider()
    client = Client(joins=True, keeps_thoughts=False)
    way = {"markers": 1, "memo": None, "is_stream": True}
    blocks, drive = ask(client, provider, store, ["tr", "tc"], **way)
    assert drive.note
    client.take(blocks, conversing.LONG)
    store.notes.clear()
    with pytest.raises(AssertionError, match="stands elsewhere"):
        ask(client, provider, store, ["x"], **way)


def test_an_exchange_inside_a_text_is_put_back_inside_it():
    store, provider = DictStore(), Provider()
    client = Client(joins=True, keeps_thoughts=False)
    way = {"markers": 1, "memo": None, "is_stream": True}
    blocks, _ = ask(client, provider, store, ["xr", "txr", "x"], **way)
    assert len(blocks) == 1
    client.take(blocks, "")
    _, drive = ask(client, provider, store, ["x"], **way)
    contents = json.loads(drive.bodies[0])["contents"]
    assert [c["role"] for c in contents] == ["user", "model"] * 3 + ["user"]
    assert [len(c["parts"]) for c in contents] == [1, 2, 1, 2, 1, 1, 1]
