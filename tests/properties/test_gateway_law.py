"""The law for message lists of gateways: what was sent once is sent the same again.

Conversations of either shape, some of both, and excerpts that hold nothing but tool
results, as a plug-in sends them that keeps back what the assistant said.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline
from headroom.core.types import Policy
from remembering import LINES, Provider


@pytest.fixture(autouse=True, scope="module")
def _one_cheap_compressor():
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "COMPRESSORS", (HALVE,))
    yield
    patch.undo()


def chat_rows(number, outputs):
    ids = [f"call_{number}_{i}" for i in range(len(outputs))]
    function = {"name": "bash", "arguments": "{}"}
    calls = [{"id": i, "type": "function", "function": function} for i in ids]
    return [
        {"role": "assistant", "content": None, "tool_calls": calls},
        *(
            {"role": "tool", "tool_call_id": i, "content": output}
            for i, output in zip(ids, outputs, strict=True)
        ),
    ]


def messages_rows(number, outputs):
    ids = [f"toolu_{number}_{i}" for i in range(len(outputs))]
    uses = [{"type": "tool_use", "id": i, "name": "bash", "input": {}} for i in ids]
    blocks = [
        {"type": "tool_result", "tool_use_id": i, "content": output}
        for i, output in zip(ids, outputs, strict=True)
    ]
    return [{"role": "assistant", "content": uses}, {"role": "user", "content": blocks}]


def spoken_rows(number, outputs):
    pasted = "\n\n".join(outputs)
    return [
        {"role": "assistant", "content": f"answer {number}"},
        {"role": "user", "content": f"and this?\n\n{pasted}"},
    ]


ROWS = st.sampled_from([chat_rows, messages_rows, spoken_rows])
OUTPUTS = st.lists(LINES, min_size=1, max_size=3)
STEPS = st.lists(st.tuples(ROWS, OUTPUTS), min_size=1, max_size=12)
RETRIEVALS = st.sampled_from(["off", "mcp", "gateway"])


def policy_for(retrieval):
    lossy = retrieval != "off"
    return Policy(cache_minimum_tokens=0, allow_lossy=lossy, retrieval=retrieval)


@settings(max_examples=300)
@given(STEPS, RETRIEVALS, st.data())
def test_no_conversation_of_a_gateway_ever_breaks_a_prefix(steps, retrieval, data):
    store, provider = DictStore(), Provider("gateway")
    history = [
        {"role": "system", "content": "You are careful."},
        {"role": "user", "content": "please help"},
    ]
    for number, (rows, outputs) in enumerate(steps):
        if data.draw(st.booleans()):
            history += rows(number, outputs)
        body = {"model": "gpt-x", "messages": history}
        forwarded, rewrite = forward(
            body, store, policy=policy_for(retrieval), api="gateway"
        )
        provider.receive(rewrite, forwarded)
        roles = [m["role"] for m in json.loads(forwarded)["messages"]]
        assert roles == [m["role"] for m in history]


@settings(max_examples=300)
@given(st.lists(OUTPUTS, min_size=1, max_size=50), RETRIEVALS, st.data())
def test_no_result_of_an_excerpt_ever_changes(turns, retrieval, data):
    store, rows, sent = DictStore(), [], {}
    for number, outputs in enumerate(turns):
        rows += chat_rows(number, outputs)[1:]
        held_back = data.draw(st.integers(0, len(rows) - 1)) if number % 3 == 2 else 0
        body = {"model": "gpt-x", "messages": rows[held_back:]}
        forwarded, _ = forward(body, store, policy=policy_for(retrieval), api="gateway")
        for row in json.loads(forwarded)["messages"]:
            found = sent.setdefault(row["tool_call_id"], row["content"])
            assert found == row["content"]
