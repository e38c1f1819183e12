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

from fakes import HALVE, DictStore, forward
from headroom.cachelab.client import read_stream
from headroom.core import pipeline
from headroom.core.hidden import decode_placement, note_keys
from headroom.core.repeats import SourceMemo
from headroom.core.types import Policy
from headroom.providers.anthropic.request import AnthropicMessages
from scripted import TOOL, Drive, call, retrieval, text

PROVIDER = AnthropicMessages()
MARK = {"type": "ephemeral"}
TOOLS = [{"name": name, "input_schema": {}} for name in ("Bash", "Read")]
LONG = "".join(f"2026-01-01 line {i} is ordinary output\n" for i in range(60))


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


class Provider:
    """Signs thinking, remembers prefixes, complains about what does not fit."""

    def __init__(self):
        self.sent = {}
        self.signed = {}
        self.thoughts = 0
        self.calls = 0

    def receive(self, rewrite, forwarded):
        """A request of the client's: each of its messages left as it left before."""
        view = PROVIDER.parse(forwarded)
        position = 0
        for index, key in enumerate(rewrite.keys):
            hidden = rewrite.decisions[index].hidden
            turns = (
                sum(p.kind == "turn" for p in decode_placement(hidden).places)
                if hidden
                else 0
            )
            group = view.messages[position : position + 1 + 2 * turns]
            position += len(group)
            value = [message.canonical for message in group]
            before = self.sent.setdefault(key, value)
            assert before == value, "a prefix that was sent has changed"
        assert position == len(view.messages)
        self.check(forwarded)

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

    def think(self):
        self.thoughts += 1
        words = f"thought {self.thoughts}"
        return {"type": "thinking", "thinking": words, "signature": words}

    def sign(self, body, blocks):
        bare = [e for e in flat(json.loads(body)["messages"]) if not is_thinking(e)]
        for block in blocks:
            if block["type"] == "thinking":
                self.signed[block["signature"]] = list(bare)
            else:
                bare += flat([{"role": "assistant", "content": [block]}])

    def blocks(self, shape):
        """The blocks of one round; ``shape`` says which, by letters."""
        found = []
        for letter in shape:
            self.calls += letter in "rc"
            found.append(
                {
                    "t": self.think,
                    "x": lambda: text(f"words {self.calls} {len(found)}"),
                    "r": lambda: retrieval(self.calls),
                    "c": lambda: call(self.calls, c="ls"),
                }[letter]()
            )
        return found


class Client:
    """Resends all it knows, which is not all that was said."""

    def __init__(self):
        self.messages = [{"role": "user", "content": "please help"}]

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

    def drop_thinking(self):
        """As clients do with old turns; the history is another one from there on."""
        for message in self.messages:
            if message["role"] == "assistant":
                kept = [b for b in message["content"] if b["type"] != "thinking"]
                message["content"] = kept or [text("(thought)")]

    def rewind(self, position):
        users = [i for i, m in enumerate(self.messages) if m["role"] == "user"]
        del self.messages[users[position % len(users)] + 1 :]


def ask(client, provider, store, shapes, *, markers, memo, is_stream):
    """One request with all its rounds; returns what the client saw."""
    policy = Policy(cache_minimum_tokens=0, allow_lossy=True, retrieval="tool")
    body = client.body(markers)
    forwarded, rewrite = forward(body, store, policy=policy, memo=memo)
    provider.receive(rewrite, forwarded)
    assert TOOL.encode() in forwarded
    rounds = [provider.blocks(shape) for shape in shapes]
    drive = Drive(rounds, forwarded, is_stream=is_stream)
    for sent, blocks in zip(drive.bodies, rounds, strict=False):
        provider.check(sent)
        provider.sign(sent, blocks)
    if drive.note:
        for key in note_keys("", rewrite.keys[-1]):
            if store.remember({key: drive.note}).get(key, drive.note) == drive.note:
                break
    if is_stream:
        blocks, problem = read_stream(drive.out)
        assert not problem
    else:
        blocks = json.loads(drive.out)["content"]
    return blocks, drive


HIDING = st.sampled_from(["r", "tr", "txr", "rxr", "xrr", "xtr"])
ENDING = st.sampled_from(["x", "tx", "c", "txc", "cc", "rc", "tcr", "crc", "txcrx"])
SHAPES = st.builds(
    lambda hiding, end: [*hiding, end], st.lists(HIDING, max_size=5), ENDING
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), SHAPES),
        st.tuples(st.just("ask"), SHAPES),
        st.tuples(st.just("retry"), SHAPES, SHAPES, st.booleans()),
        st.tuples(st.just("rewind"), st.integers(0, 20)),
        st.tuples(st.just("fork"), st.integers(0, 20)),
        st.tuples(st.just("drop thinking")),
    ),
    min_size=2,
    max_size=7,  # fewer requests than answers kept for one of them
)


@settings(max_examples=600, deadline=None)
@given(STEPS, st.data())
def test_no_generated_conversation_with_retrievals_ever_breaks_a_prefix(steps, data):
    store, provider, client = DictStore(), Provider(), Client()
    memo = SourceMemo(max_chars=5_000)
    hidden = 0
    for number, step in enumerate(steps):
        way = {
            "markers": data.draw(st.sampled_from([0, 1, 2])),
            "memo": data.draw(st.sampled_from([memo, None])),
            "is_stream": data.draw(st.booleans()),
        }
        output = f"run {number}\n{LONG}" if data.draw(st.booleans()) else "ok"
        match step:
            case ("ask", shapes):
                blocks, drive = ask(client, provider, store, shapes, **way)
                client.take(blocks, output)
                hidden += bool(drive.note)
            case ("retry", one, other, keeps_first):
                first, _ = ask(client, provider, store, one, **way)
                second, _ = ask(client, provider, store, other, **way)
                client.take(first if keeps_first else second, output)
            case ("rewind", position):
                client.rewind(position)
            case ("fork", position):
                client.rewind(position)
                if client.messages[-1]["content"] == "go on":
                    client.messages[-1]["content"] = f"instead, {number}"
            case ("drop thinking",):
                client.drop_thinking()
    ask(client, provider, store, ["x"], markers=1, memo=None, is_stream=True)


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
