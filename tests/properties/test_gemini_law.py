"""The law for Gemini: what was sent once is sent the same way again.

Conversations as clients of this API make them: parallel results in one content, with
ids of the client's own or without any, structured results, old results that are masked,
results that are doubled and signatures that are rewritten when a session is resumed,
rewinds, forks, retries, changed tools, other workers.
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

FUNCTIONS = [{"name": name, "parameters": {}} for name in ("shell", "read", "grep")]


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


class Client:
    """A client that resends its whole history, and now and then edits it."""

    def __init__(self, *, has_ids: bool) -> None:
        self.contents: list[dict] = []
        self.functions = FUNCTIONS
        self.has_ids = has_ids
        self.calls = 0
        self.say("please help")

    def say(self, words: str) -> None:
        self.contents.append({"role": "user", "parts": [{"text": words}]})

    def answer(self) -> None:
        if self.contents[-1]["role"] == "user":
            words = f"answer {len(self.contents)}"
            self.contents.append({"role": "model", "parts": [{"text": words}]})

    def run_tools(self, outputs: list[str], *, is_structured: bool) -> None:
        calls, results = [], []
        for output in outputs:
            self.calls += 1
            own = {"id": f"shell_{self.calls}"} if self.has_ids else {}
            response = {"output": output}
            if is_structured:
                response = {"exit": 0, "content": [{"type": "text", "text": output}]}
            call = {**own, "name": "shell", "args": {"n": self.calls}}
            calls.append({"functionCall": call, "thoughtSignature": f"s{self.calls}"})
            result = {**own, "name": "shell", "response": response}
            results.append({"functionResponse": result})
        self.contents += [
            {"role": "model", "parts": calls},
            {"role": "user", "parts": results},
        ]

    def results(self) -> list[dict]:
        parts = [part for content in self.contents for part in content["parts"]]
        return [p["functionResponse"] for p in parts if "functionResponse" in p]

    def mask(self) -> None:
        """All results but the newest are replaced by a note."""
        for result in self.results()[:-1]:
            result["response"] = {"output": "<masked>\n(first lines)\n</masked>"}

    def resume(self) -> None:
        """A new process reads the session back in."""
        for content in self.contents:
            for part in content["parts"]:
                if "thoughtSignature" in part:
                    part["thoughtSignature"] = "skip_thought_signature_validator"
            if "functionResponse" in content["parts"][0]:
                content["parts"] = json.loads(json.dumps(content["parts"] * 2))

    def rewind(self, position: int) -> None:
        users = [i for i, c in enumerate(self.contents) if c["role"] == "user"]
        del self.contents[users[position % len(users)] + 1 :]

    def body(self) -> dict:
        tools = [{"functionDeclarations": self.functions}]
        return {"contents": self.contents, "tools": tools}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.text("ab ", max_size=9)),
        st.tuples(
            st.just("tools"), st.lists(LINES, min_size=1, max_size=3), st.booleans()
        ),
        st.tuples(
            st.just("tools"), st.lists(LINES, min_size=1, max_size=3), st.booleans()
        ),
        st.tuples(st.just("rewind"), st.integers(0, 30)),
        st.tuples(st.just("fork"), st.integers(0, 30)),
        st.tuples(st.just("retry")),
        st.tuples(st.just("mask")),
        st.tuples(st.just("resume")),
        st.tuples(st.just("tool_change")),
    ),
    min_size=2,
    max_size=12,
)


def take_step(client: Client, step: tuple) -> None:
    match step:
        case ("say", words):
            client.answer()
            client.say(words or "go on")
        case ("tools", outputs, is_structured):
            client.run_tools(outputs, is_structured=is_structured)
        case ("rewind", position):
            client.rewind(position)
        case ("fork", position):
            client.rewind(position)
            client.answer()
            client.say(f"instead, {position}")
        case ("mask",):
            client.mask()
        case ("resume",):
            if len(client.results()) < 40:
                client.resume()
        case ("tool_change",):
            one_less = client.functions[:-1]
            client.functions = one_less or FUNCTIONS


@settings(max_examples=600, deadline=None)
@given(STEPS, st.booleans(), st.data())
def test_no_generated_gemini_conversation_ever_breaks_a_prefix(steps, has_ids, data):
    store, provider, client = DictStore(), Provider("gemini"), Client(has_ids=has_ids)
    policy = Policy(cache_minimum_tokens=0)
    memo = SourceMemo(max_chars=2_000)
    for step in [("retry",), *steps]:
        take_step(client, step)
        worker = data.draw(st.sampled_from([memo, None]))
        body = json.dumps(client.body()).encode()
        forwarded, rewrite = forward(
            body, store, policy=policy, api="gemini", memo=worker
        )
        provider.receive(rewrite, forwarded)
        is_edited = b"~2026" in forwarded or b"[repeats #" in forwarded
        assert is_edited or forwarded == body


@settings(max_examples=200, deadline=None)
@given(STEPS, st.booleans(), st.data())
def test_a_ledger_that_cannot_be_read_breaks_nothing_it_began(steps, has_ids, data):
    store, provider, client = DictStore(), Provider("gemini"), Client(has_ids=has_ids)
    for step in steps:
        if step[0] in {"say", "tools", "retry"}:
            take_step(client, step)
        store.is_down = data.draw(st.booleans())
        forwarded, rewrite = forward(client.body(), store, api="gemini")
        provider.receive(rewrite, forwarded)
        # It knows every message, and has compared those that it knew before.
        assert len(provider.sent) >= len(rewrite.keys)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(LINES, min_size=2, max_size=4, unique=True), st.booleans(), st.booleans()
)
def test_workers_without_each_others_memory_decide_alike(outputs, has_ids, structured):
    client, stores, sent = Client(has_ids=has_ids), (DictStore(), DictStore()), []
    memo = SourceMemo()
    client.run_tools(outputs, is_structured=structured)
    forward(client.body(), stores[0], api="gemini", memo=memo)
    forward(client.body(), stores[1], api="gemini")
    client.run_tools(outputs[::-1], is_structured=False)
    for store, remembered in zip(stores, (memo, None), strict=True):
        forwarded, _ = forward(client.body(), store, api="gemini", memo=remembered)
        sent.append(forwarded)
    assert sent[0] == sent[1]


def test_the_check_itself_notices_a_changed_prefix():
    store, provider, client = DictStore(), Provider("gemini"), Client(has_ids=True)
    outputs = ["".join(f"line {i}\n" for i in range(90))]
    client.run_tools(outputs, is_structured=False)
    forwarded, rewrite = forward(client.body(), store, api="gemini")
    provider.receive(rewrite, forwarded)
    with pytest.raises(AssertionError, match="has changed"):
        provider.receive(rewrite, json.dumps(client.body()).encode())
