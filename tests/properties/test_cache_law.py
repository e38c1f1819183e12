"""The law: what was sent once is sent the same way again.

Conversations are generated as clients make them: whole history on every turn, markers
that move, string content that becomes a block list, parallel tool results, rewinds,
forks, retries, compaction, another worker. After every request the forwarded bytes of
each prefix are compared with what was forwarded for it before.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline
from headroom.core.plan import BLOCK_LINEAGE
from headroom.core.repeats import SourceMemo
from headroom.core.types import Policy
from remembering import LINES, Provider

MARK = {"type": "ephemeral"}
TOOLS = [{"name": name, "input_schema": {}} for name in ("Bash", "Read", "Grep")]


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


class Client:
    """A client that resends its whole history, and now and then edits it."""

    def __init__(self) -> None:
        self.messages: list[dict] = []
        self.tools = TOOLS
        self.system = "You are a careful engineer."
        self.calls = 0

    def say(self, words: str, *, as_blocks: bool) -> None:
        content = [{"type": "text", "text": words}] if as_blocks else words
        self.messages.append({"role": "user", "content": content})

    def run_tools(self, outputs: list[str], note: str) -> None:
        uses, results = [], []
        for output in outputs:
            self.calls += 1
            call_id = f"toolu_{self.calls}"
            uses.append(
                {"type": "tool_use", "id": call_id, "name": "Bash", "input": {"c": 1}}
            )
            results.append(
                {"type": "tool_result", "tool_use_id": call_id, "content": output}
            )
        if note:
            results.append({"type": "text", "text": note})
        self.messages.append({"role": "assistant", "content": uses})
        self.messages.append({"role": "user", "content": results})

    def answer(self) -> None:
        if self.messages[-1]["role"] == "user":
            block = {"type": "text", "text": f"answer {len(self.messages)}"}
            self.messages.append({"role": "assistant", "content": [block]})

    def rewind(self, position: int) -> None:
        del self.messages[position + 1 :]

    def compact(self) -> None:
        """As clients do: a summary, then the newest tool exchange as it was."""
        tail = self.messages[-2:] if len(self.messages) > 2 else []
        summary = {
            "role": "user",
            "content": f"Summary of {len(self.messages)} messages",
        }
        if tail and tail[0]["role"] == "assistant":
            self.messages = [summary, *tail]

    def body(self, markers: str) -> dict:
        messages = json.loads(json.dumps(self.messages))
        if markers == "newest":
            for message in messages[-1:]:
                if isinstance(message["content"], str):
                    message["content"] = [{"type": "text", "text": message["content"]}]
                message["content"][-1]["cache_control"] = MARK
        system = [{"type": "text", "text": self.system}]
        if markers != "none":
            system[0]["cache_control"] = MARK
        return {
            "model": "claude-x",
            "max_tokens": 100,
            "system": system,
            "tools": self.tools,
            "messages": messages,
        }


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.text("ab ", max_size=9), st.booleans()),
        st.tuples(
            st.just("tools"),
            st.lists(LINES, min_size=1, max_size=3),
            st.sampled_from(["", "<system-reminder>mind it</system-reminder>"]),
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
MARKERS = st.sampled_from(["newest", "system", "none"])


def take_step(client: Client, step: tuple) -> None:
    match step:
        case ("say", words, as_blocks):
            client.answer()
            client.say(words or "go on", as_blocks=as_blocks)
        case ("tools", outputs, note):
            client.run_tools(outputs, note)
        case ("rewind" | "fork", position):
            users = [i for i, m in enumerate(client.messages) if m["role"] == "user"]
            client.rewind(users[position % len(users)])
            if step[0] == "fork":
                client.answer()
                client.say(f"instead, {position}", as_blocks=True)
        case ("compact",):
            client.compact()
        case ("tool_change",):
            client.tools = client.tools[:-1] if len(client.tools) > 1 else TOOLS


@settings(max_examples=1000)
@given(STEPS, st.data())
def test_no_generated_conversation_ever_breaks_a_prefix(steps, data):
    store, provider, client = DictStore(), Provider("anthropic"), Client()
    policy = Policy(cache_minimum_tokens=0)
    memo = SourceMemo(max_chars=2_000)
    client.say("please help", as_blocks=data.draw(st.booleans()))
    for step in [("retry",), *steps]:
        take_step(client, step)
        body = client.body(data.draw(MARKERS))
        worker = data.draw(st.sampled_from([memo, None]))
        forwarded, rewrite = forward(body, store, policy=policy, memo=worker)
        provider.receive(rewrite, forwarded)
        is_edited = b"~2026" in forwarded or b"[repeats #" in forwarded
        assert is_edited or forwarded == json.dumps(body).encode()


@settings(max_examples=200)
@given(STEPS, st.data())
def test_a_ledger_that_cannot_be_read_breaks_no_conversation_it_began(steps, data):
    store, provider, client = DictStore(), Provider("anthropic"), Client()
    client.say("please help", as_blocks=True)
    for step in steps:
        if step[0] in {"say", "tools", "retry"}:
            take_step(client, step)
        store.is_down = data.draw(st.booleans())
        forwarded, rewrite = forward(client.body("newest"), store)
        provider.receive(rewrite, forwarded)
        # It knows every message, and has compared those that it knew before.
        assert len(provider.sent) >= len(rewrite.keys)


@settings(max_examples=200)
@given(
    st.lists(st.lists(LINES, min_size=1, max_size=3), min_size=1, max_size=6),
    st.sampled_from([0, 100, 300, 1000]),
    st.data(),
)
def test_decided_again_from_nothing_every_block_becomes_what_it_was(
    outputs, minimum, data
):
    """Whatever the least length of a prefix, and whichever records can be read."""
    store, provider, client = DictStore(), Provider("anthropic"), Client()
    policy = Policy(cache_minimum_tokens=minimum)
    client.say("please help", as_blocks=True)
    for some in outputs:
        client.run_tools(some, "")
        forwarded, rewrite = forward(client.body("newest"), store, policy=policy)
        provider.receive(rewrite, forwarded)
    messages = [key for key in store.records if key.lineage != BLOCK_LINEAGE]
    kept = data.draw(st.sets(st.sampled_from(sorted(messages, key=repr))))
    store.pending = [(key, store.records[key]) for key in kept]
    store.records.clear()
    store.is_down = True
    forwarded, rewrite = forward(client.body("newest"), store, policy=policy)
    provider.receive(rewrite, forwarded)
    assert rewrite.made_plan.is_recomputing


@settings(max_examples=200)
@given(STEPS, st.integers(2, 4))
def test_identical_conversations_side_by_side_do_not_disturb_each_other(steps, copies):
    store, provider = DictStore(), Provider("anthropic")
    clients = [Client() for _ in range(copies)]
    for client in clients:
        client.say("please help", as_blocks=True)
    for step in [("retry",), *steps]:
        seen = set()
        for client in clients:
            take_step(client, step)
            forwarded, rewrite = forward(client.body("newest"), store)
            provider.receive(rewrite, forwarded)
            seen.add(forwarded)
        assert len(seen) == 1


def test_the_check_itself_notices_a_changed_prefix():
    store, provider, client = DictStore(), Provider("anthropic"), Client()
    client.say("please help", as_blocks=True)
    client.run_tools(["".join(f"line {i}\n" for i in range(90))], "")
    forwarded, rewrite = forward(client.body("newest"), store)
    provider.receive(rewrite, forwarded)
    with pytest.raises(AssertionError, match="has changed"):
        provider.receive(rewrite, json.dumps(client.body("newest")).encode())
