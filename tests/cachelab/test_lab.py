import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.cachelab.cache import cost
from headroom.cachelab.lab import Clock, Lab, TokenCounter, user_id
from headroom.core.retrieval_tool import TOOL_OPENAI_CHAT
from headroom.inference.vocabulary import load_encoding
from headroom.providers.models import model_named

HEADERS = {"x-api-key": "sk-ant-test", "anthropic-version": "2023-06-01"}
MARK = {"type": "ephemeral"}


def request(*blocks, **more):
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": list(blocks)}],
        **more,
    }


def text(words, **more):
    return {"type": "text", "text": words, **more}


def send(lab, body, **headers):
    return lab.messages({**HEADERS, **headers}, json.dumps(body).encode())


def test_tokens_are_counted_with_o200k_whatever_the_model():
    words = "Übermut tut selten gut. " * 10
    lab = Lab(TokenCounter())
    for model in ("claude-sonnet-4-5", "claude-opus-5", "gpt-4o"):
        reply = send(lab, request(text(words), model=model))
        counted = reply.message["usage"]["input_tokens"]
        assert counted == load_encoding("o200k_base").count(words)


def test_the_record_is_the_bill_and_tells_what_tool_outputs_cost():
    call = {"type": "tool_use", "id": "a", "name": "Bash", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": "row " * 2000}
    body = request(text("Go."))
    body["messages"] += [
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{**result, "cache_control": MARK}]},
    ]
    lab = Lab(TokenCounter())
    rules = model_named("claude-sonnet-4-5").cache
    for rate in (rules.write, rules.read):
        send(lab, body)
        record = lab.records[-1]
        assert record.cost == pytest.approx(cost(record.usage, rules))
        tokens = next(u.tokens for u in record.units if u.is_tool_output)
        assert record.tool_cost == pytest.approx(tokens * rate)
    assert record.cached_tokens == record.usage.total


@pytest.mark.parametrize("words", range(1100, 1230, 13))
def test_the_retrieval_tools_price_is_what_the_bill_would_be_lower_without_it(words):
    tool = {"type": "function", "function": {"name": "run", "parameters": {}}}
    ours = json.loads(TOOL_OPENAI_CHAT)
    prices, outputs = [], []
    for tools in ([tool], [tool, ours]):
        lab = Lab(TokenCounter())
        for turns in (1, 2, 3):
            called = {"id": "a", "type": "function", "function": {"name": "run"}}
            messages = [{"role": "user", "content": "Go."}]
            for _ in range(turns):
                messages += [
                    {"role": "assistant", "tool_calls": [called]},
                    {"role": "tool", "tool_call_id": "a", "content": "word " * words},
                ]
            body = {"model": "gpt-5.5", "messages": messages, "tools": tools}
            lab.completions({"authorization": "Bearer k"}, json.dumps(body).encode())
        prices.append([r.cost - r.retrieval_cost for r in lab.records])
        outputs.append([r.tool_cost for r in lab.records])
    assert not any(r.error for r in lab.records)
    assert prices[0] == pytest.approx(prices[1])
    assert outputs[0] == pytest.approx(outputs[1])
    assert sum(r.retrieval_cost for r in lab.records) > 0


def test_replayed_conversations_have_caches_of_their_own_under_one_key():
    lab = Lab(TokenCounter())
    block = text("word " * 1500, cache_control=MARK)

    def read(name):
        send(lab, request(block, metadata={"user_id": user_id(name)}))
        assert lab.records[-1].conversation == name
        return lab.records[-1].usage.read

    assert read("a") == 0
    assert read("a") > 0
    assert read("b") == 0


def test_sessions_of_a_real_client_share_their_organisations_cache():
    lab = Lab(TokenCounter())
    block = text("word " * 1500, cache_control=MARK)
    for name in "ab":
        metadata = {"user_id": f"user_1_account_2_session_{name}"}
        send(lab, request(block, metadata=metadata))
    assert [record.conversation for record in lab.records] == ["a", "b"]
    assert lab.records[1].usage.read > 0


def test_a_real_clock_runs_by_itself_and_a_virtual_one_does_not():
    virtual, real = Clock(), Clock(is_real=True)
    assert virtual.now() == 0.0
    assert 0.0 <= real.now() <= real.now()
    for clock in (virtual, real):
        clock.advance(300)
        assert clock.now() >= 300
    assert virtual.now() == 300


def test_records_of_one_prefix_share_its_units():
    lab = Lab(TokenCounter())
    for _ in range(2):
        send(lab, request(text("one"), text("two")))
    first, second = lab.records
    assert all(a is b for a, b in zip(first.units, second.units, strict=True))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
kinds = st.sampled_from(
    ["text", "tool_use", "tool_result", "thinking", "image", "document", "odd"]
)
names = ["text", "id", "name", "input", "tool_use_id", "content", "thinking"]
names += ["signature", "cache_control", "source", "data"]
values = st.one_of(json_values, st.just(MARK), st.just("a"), st.just({"type": "text"}))
blocks = st.builds(
    lambda kind, rest: {"type": kind, **rest},
    kinds,
    st.dictionaries(st.sampled_from(names), values, max_size=6),
)
contents = st.one_of(st.text(max_size=5), st.lists(blocks, max_size=3), json_values)
messages = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "assistant", "system"]),
    contents,
)
bodies = st.fixed_dictionaries(
    {
        "model": st.just("claude-opus-5"),
        "max_tokens": st.just(9),
        "messages": st.lists(st.one_of(messages, json_values), max_size=4),
    },
    optional={
        "system": contents,
        "tools": st.lists(st.one_of(blocks, json_values), max_size=2),
        "metadata": json_values,
        "thinking": json_values,
        "cache_control": values,
        "stream": json_values,
    },
)


@settings(max_examples=300, deadline=None)
@given(bodies)
def test_any_request_is_answered_or_refused(body):
    lab = Lab(TokenCounter())
    reply = send(lab, body)
    assert reply.status in {200, 400}
    assert len(lab.records) == 1


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_answered_or_refused(body):
    assert Lab(TokenCounter()).messages(HEADERS, body).status == 400
