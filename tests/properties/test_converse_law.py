"""The law for Converse: what was sent once is sent the same way again.

Conversations as clients of this API make them: results as texts and as JSON, parallel
ones in one message, cache points that move as blocks of their own, rewinds, forks,
retries, compaction, changed tools, other workers.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline
from headroom.core.repeats import SourceMemo
from headroom.core.types import Policy
from remembering import LINES, Provider

API = "bedrock_converse"
POINT = {"cachePoint": {"type": "default"}}
TOOLS = [
    {"toolSpec": {"name": name, "inputSchema": {"json": {}}}}
    for name in ("bash", "read", "grep")
]


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


class Client:
    """A client that resends its whole history, and now and then edits it."""

    def __init__(self):
        self.messages = [{"role": "user", "content": [{"text": "please help"}]}]
        self.tools = TOOLS
        self.calls = 0

    def say(self, words):
        self.messages.append({"role": "user", "content": [{"text": words}]})

    def answer(self):
        if self.messages[-1]["role"] != "assistant":
            words = {"text": f"answer {len(self.messages)}"}
            self.messages.append({"role": "assistant", "content": [words]})

    def run_tools(self, outputs, *, as_json):
        calls, results = [], []
        for output in outputs:
            self.calls += 1
            call_id = {"toolUseId": f"tooluse_{self.calls}"}
            calls.append({"toolUse": {**call_id, "name": "bash", "input": {"c": 1}}})
            part = {"json": {"out": output, "n": 1}} if as_json else {"text": output}
            results.append({"toolResult": {**call_id, "content": [part]}})
        self.messages.append({"role": "assistant", "content": calls})
        self.messages.append({"role": "user", "content": results})

    def rewind(self, position):
        users = [i for i, m in enumerate(self.messages) if m["role"] == "user"]
        del self.messages[users[position % len(users)] + 1 :]

    def compact(self):
        """A summary, then the newest tool exchange as it was."""
        calls = [i for i, m in enumerate(self.messages) if "toolUse" in m["content"][0]]
        if calls:
            summary = {"text": f"Summary of {len(self.messages)} messages"}
            tail = self.messages[calls[-1] :]
            self.messages = [{"role": "user", "content": [summary]}, *tail]

    def body(self, points):
        messages = json.loads(json.dumps(self.messages))
        for number, message in enumerate(messages[-points:] if points else ()):
            message["content"].insert(1 if number % 2 else 9, POINT)
        tools = [*self.tools, POINT] if points else self.tools
        return {"messages": messages, "toolConfig": {"tools": tools}}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.text("ab ", max_size=9)),
        st.tuples(
            st.just("tools"), st.lists(LINES, min_size=1, max_size=3), st.booleans()
        ),
        st.tuples(st.just("rewind"), st.integers(0, 30)),
        st.tuples(st.just("fork"), st.integers(0, 30)),
        st.tuples(st.just("retry")),
        st.tuples(st.just("compact")),
        st.tuples(st.just("tool_change")),
    ),
    min_size=2,
    max_size=14,
)


def take_step(client, step):
    match step:
        case ("say", words):
            client.answer()
            client.say(words or "go on")
        case ("tools", outputs, as_json):
            client.run_tools(outputs, as_json=as_json)
        case ("rewind", position):
            client.rewind(position)
        case ("fork", position):
            client.rewind(position)
            client.answer()
            client.say(f"instead, {position}")
        case ("compact",):
            client.compact()
        case ("tool_change",):
            client.tools = client.tools[:-1] if len(client.tools) > 1 else TOOLS


@pytest.mark.parametrize("allow_lossy", [False, True])
@settings(max_examples=300)
@given(STEPS, st.data())
def test_no_generated_converse_conversation_ever_breaks_a_prefix(
    allow_lossy, steps, data
):
    store, provider, client = DictStore(), Provider(API), Client()
    policy = Policy(cache_minimum_tokens=0, allow_lossy=allow_lossy, retrieval="tool")
    memo = SourceMemo(max_chars=2_000)
    for step in [("retry",), *steps]:
        take_step(client, step)
        body = client.body(data.draw(st.sampled_from([0, 1, 3])))
        worker = data.draw(st.sampled_from([memo, None]))
        forwarded, rewrite = forward(body, store, policy=policy, api=API, memo=worker)
        provider.receive(rewrite, forwarded)
        marks = (b"~2026", b"[repeats #", b"<<ccr:", b"headroom_retrieve")
        is_edited = any(mark in forwarded for mark in marks)
        assert is_edited or forwarded == json.dumps(body).encode()


def test_the_check_itself_notices_a_changed_prefix():
    store, provider, client = DictStore(), Provider(API), Client()
    client.run_tools(["".join(f"line {i}\n" for i in range(90))], as_json=False)
    forwarded, rewrite = forward(client.body(0), store, api=API)
    provider.receive(rewrite, forwarded)
    with pytest.raises(AssertionError, match="has changed"):
        provider.receive(rewrite, json.dumps(client.body(0)).encode())
