"""The law for Chat Completions: what was sent once is sent the same way again.

Conversations as clients of this API make them: a message per tool result, parallel
results in a row, results as strings or part lists, content that turns from one into the
other, breakpoints that move, a system message that is glued to the end and moves
(editors do this), rewinds, forks, retries, compaction, changed tools, other workers.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline
from headroom.core.repeats import SourceMemo
from headroom.core.types import Policy
from properties.test_responses_law import check_references
from remembering import LINES, Provider

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {}}}
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

    def __init__(self) -> None:
        system = {"role": "system", "content": "You are careful."}
        self.messages: list[dict] = [system, {"role": "user", "content": "please help"}]
        self.tools = TOOLS
        self.calls = 0

    def say(self, words: str) -> None:
        self.messages.append({"role": "user", "content": words})

    def answer(self) -> None:
        if self.messages[-1]["role"] != "assistant":
            words = f"answer {len(self.messages)}"
            self.messages.append({"role": "assistant", "content": words})

    def run_tools(self, outputs: list[str], *, as_parts: bool) -> None:
        calls, results = [], []
        for output in outputs:
            self.calls += 1
            call_id = f"call_{self.calls}"
            function = {"name": "bash", "arguments": '{"c": 1}'}
            calls.append({"id": call_id, "type": "function", "function": function})
            content = [{"type": "text", "text": output}] if as_parts else output
            results.append(
                {"role": "tool", "tool_call_id": call_id, "content": content}
            )
        self.messages.append(
            {"role": "assistant", "content": None, "tool_calls": calls}
        )
        self.messages += results

    def rewind(self, position: int) -> None:
        users = [i for i, m in enumerate(self.messages) if m["role"] == "user"]
        del self.messages[users[position % len(users)] + 1 :]

    def compact(self) -> None:
        """A summary, then the newest tool exchange as it was."""
        calls = [i for i, m in enumerate(self.messages) if "tool_calls" in m]
        if calls:
            summary = f"Summary of {len(self.messages)} messages"
            tail = self.messages[calls[-1] :]
            self.messages = [
                self.messages[0],
                {"role": "user", "content": summary},
                *tail,
            ]

    def body(self, dialect: str) -> dict:
        messages = json.loads(json.dumps(self.messages))
        if dialect == "breakpoint" and isinstance(messages[-1]["content"], str):
            part = {"type": "text", "text": messages[-1]["content"]}
            part["prompt_cache_breakpoint"] = {"mode": "explicit"}
            messages[-1]["content"] = [part]
        if dialect == "reminder":
            messages.append({"role": "system", "content": "Mind the rules."})
        return {"model": "gpt-x", "tools": self.tools, "messages": messages}


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
DIALECTS = st.sampled_from(["plain", "breakpoint", "reminder"])


def take_step(client: Client, step: tuple) -> None:
    match step:
        case ("say", words):
            client.answer()
            client.say(words or "go on")
        case ("tools", outputs, as_parts):
            client.run_tools(outputs, as_parts=as_parts)
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


@settings(max_examples=700)
@given(STEPS, st.data())
def test_no_generated_chat_conversation_ever_breaks_a_prefix(steps, data):
    store, provider, client = DictStore(), Provider("openai_chat"), Client()
    policy = Policy(cache_minimum_tokens=0)
    memo = SourceMemo(max_chars=2_000)
    for step in [("retry",), *steps]:
        take_step(client, step)
        body = client.body(data.draw(DIALECTS))
        worker = data.draw(st.sampled_from([memo, None]))
        forwarded, rewrite = forward(
            body, store, policy=policy, api="openai_chat", memo=worker
        )
        provider.receive(rewrite, forwarded)
        is_edited = b"~2026" in forwarded or b"[repeats #" in forwarded
        assert is_edited or forwarded == json.dumps(body).encode()


@settings(max_examples=200)
@given(STEPS, st.data())
def test_a_ledger_that_cannot_be_read_breaks_no_chat_it_began(steps, data):
    store, provider, client = DictStore(), Provider("openai_chat"), Client()
    for step in steps:
        if step[0] in {"say", "tools", "retry"}:
            take_step(client, step)
        store.is_down = data.draw(st.booleans())
        forwarded, rewrite = forward(client.body("plain"), store, api="openai_chat")
        provider.receive(rewrite, forwarded)
        # It knows every message, and has compared those that it knew before.
        assert len(provider.sent) >= len(rewrite.keys)


@settings(max_examples=100)
@given(st.lists(LINES, min_size=2, max_size=4, unique=True), st.booleans())
def test_workers_without_each_others_memory_decide_alike(outputs, is_warm):
    """What a block becomes does not depend on what a worker happens to remember."""
    client, stores, sent = Client(), (DictStore(), DictStore()), []
    memo = SourceMemo()
    client.run_tools(outputs, as_parts=False)
    forward(client.body("plain"), stores[0], api="openai_chat", memo=memo)
    forward(client.body("plain"), stores[1], api="openai_chat")
    client.run_tools(outputs[::-1], as_parts=is_warm)
    for store, remembered in zip(stores, (memo, None), strict=True):
        forwarded, _ = forward(
            client.body("plain"), store, api="openai_chat", memo=remembered
        )
        sent.append(forwarded)
    assert sent[0] == sent[1]


@settings(max_examples=300)
@given(st.lists(LINES, min_size=2, max_size=6), st.sampled_from([0, 100, 300, 600]))
def test_references_of_parallel_results_lead_to_what_is_sent(outputs, minimum):
    """A form that would make the prefix too short is not sent, nor referred to."""
    client = Client()
    client.run_tools(outputs, as_parts=False)
    policy = Policy(cache_minimum_tokens=minimum)
    body = client.body("plain")
    forwarded, _ = forward(body, DictStore(), policy=policy, api="openai_chat")
    results = [m for m in json.loads(forwarded)["messages"] if m["role"] == "tool"]
    sent = [message["content"] for message in results]
    assert len(sent) == len(outputs)
    check_references(sent, outputs)


def test_the_check_itself_notices_a_changed_prefix():
    store, provider, client = DictStore(), Provider("openai_chat"), Client()
    client.run_tools(["".join(f"line {i}\n" for i in range(90))], as_parts=False)
    forwarded, rewrite = forward(client.body("plain"), store, api="openai_chat")
    provider.receive(rewrite, forwarded)
    with pytest.raises(AssertionError, match="has changed"):
        provider.receive(rewrite, json.dumps(client.body("plain")).encode())
