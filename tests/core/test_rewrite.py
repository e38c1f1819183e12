import json

import msgspec
import pytest

from fakes import HALVE, DictStore, count_words, forward
from headroom.core import pipeline
from headroom.core.hidden import note_keys
from headroom.core.pipeline import compress_block
from headroom.core.rewrite import Rewrite
from headroom.core.types import Policy
from headroom.errors import CompressionError
from headroom.providers import PROVIDERS
from headroom.providers.anthropic.request import AnthropicMessages
from scripted import TOOL, Drive, call, retrieval, text

PROVIDER = AnthropicMessages()
POLICY = Policy(cache_minimum_tokens=0, allow_lossy=True, retrieval="tool")
LONG = "".join(f"2026-01-01 line {i} is ordinary output\n" for i in range(60))
TOOLS = [{"name": "Bash", "input_schema": {}}]
QUESTION = {"role": "user", "content": "help"}


@pytest.fixture(autouse=True)
def _one_cheap_compressor(monkeypatch):
    monkeypatch.setattr(pipeline, "COMPRESSORS", (HALVE,))


def body(*messages, tools=TOOLS, model="claude-x"):
    found = {"model": model, "messages": [QUESTION, *messages]}
    return {**found, "tools": tools} if tools else found


def run(number, output=LONG):
    result = {
        "type": "tool_result",
        "tool_use_id": f"toolu_{number}",
        "content": output,
    }
    return [
        {"role": "assistant", "content": [call(number, command="x")]},
        {"role": "user", "content": [result]},
    ]


def begin(request, store):
    raw = json.dumps(request).encode()
    rewrite = Rewrite(PROVIDER.parse(raw), PROVIDER, POLICY, auth_mode="payg")
    return rewrite, store.load(rewrite.keys)


@pytest.mark.parametrize(
    "api", ["anthropic", "openai_chat", "openai_responses", "gemini"]
)
def test_a_tool_that_the_client_brings_in_the_middle_is_not_added_beside_it(api):
    store = DictStore()
    policy = msgspec.structs.replace(POLICY, more_tools=("memory_save",))
    for count in (1, 3):
        forward(talk(api, count, ["Bash"]), store, policy=policy, api=api)
    theirs = ["Bash", "headroom_retrieve"]
    forwarded, rewrite = forward(talk(api, 5, theirs), store, policy=policy, api=api)
    assert PROVIDERS[api].parse(forwarded).tool_names == (*theirs, "memory_save")
    assert rewrite.own_tools == {"memory_save"}


@pytest.mark.parametrize(
    ("api", "limits"),
    [
        ("openai_responses", {"tool_choice": {"type": "allowed_tools", "tools": []}}),
        ("gemini", {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}),
    ],
)
def test_a_conversation_keeps_its_tools_where_a_client_says_which_may_be_called(
    api, limits
):
    store = DictStore()
    offered = []
    for count, more in ((1, {}), (3, limits), (5, {})):
        request = talk(api, count, ["Bash"], **more)
        forwarded, rewrite = forward(request, store, policy=POLICY, api=api)
        offered.append(PROVIDERS[api].parse(forwarded).tool_names)
        assert rewrite.policy.allow_lossy is not bool(more)
    assert offered == [("Bash", "headroom_retrieve")] * 3
    forwarded, rewrite = forward(
        talk(api, 1, ["Bash"], **limits), DictStore(), policy=POLICY, api=api
    )
    assert not rewrite.own_tools


@pytest.mark.parametrize(
    ("api", "limit"), [("openai_chat", 128), ("openai_responses", 128), ("gemini", 512)]
)
def test_no_request_gets_more_tools_than_the_api_takes(api, limit):
    store = DictStore()
    policy = msgspec.structs.replace(POLICY, more_tools=("memory_save",))
    counts = []
    for count, size in ((1, limit - 1), (3, limit), (5, limit - 2)):
        request = talk(api, count, [f"tool_{n}" for n in range(size)])
        forwarded, rewrite = forward(request, store, policy=policy, api=api)
        counts.append(len(PROVIDERS[api].parse(forwarded).tool_names))
        assert rewrite.policy.allow_lossy is (size < limit)
    assert counts[0] == counts[1] == limit
    request = talk(api, 1, [f"tool_{n}" for n in range(limit)])
    _, rewrite = forward(request, DictStore(), policy=policy, api=api)
    assert not rewrite.own_tools
    assert not rewrite.policy.allow_lossy


def talk(api, count, tools, **members):
    """So many messages of a conversation in the shape of an API."""
    roles = ["user", "assistant"] * count
    said = list(zip(roles, map(str, range(count)), strict=False))
    functions = [{"name": name, "parameters": {}} for name in tools]
    if api == "gemini":
        known = {"user": "user", "assistant": "model"}
        found = [{"role": known[r], "parts": [{"text": t}]} for r, t in said]
        tools = [{"functionDeclarations": functions}]
        return {"contents": found, "tools": tools, **members}
    found = [{"role": role, "content": text} for role, text in said]
    if api == "anthropic":
        tools = [{"name": name, "input_schema": {}} for name in tools]
    elif api == "openai_chat":
        tools = [{"type": "function", "function": one} for one in functions]
    else:
        tools = [{"type": "function", **one} for one in functions]
        return {"model": "x", "store": False, "input": found, "tools": tools, **members}
    return {"model": "x", "messages": found, "tools": tools, **members}


def test_the_tool_is_added_from_the_first_request_on_and_only_beside_others():
    store = DictStore()
    for request in (body(), body(*run(1))):
        forwarded, rewrite = forward(request, store, policy=POLICY)
        assert rewrite.own_tools
        assert TOOL.encode() in forwarded
    forwarded, rewrite = forward(body(tools=None), store, policy=POLICY)
    assert not rewrite.own_tools
    forwarded, rewrite = forward(body(*run(1)), DictStore(), policy=POLICY)
    assert not rewrite.own_tools


def test_without_a_place_for_originals_results_stay_lossless():
    store = DictStore()
    forward(body(), store, policy=POLICY)
    rewrite, records = begin(body(*run(1)), store)
    rewrite.plan(records)
    rewrite.only_lossless()
    for tasks in rewrite.groups():
        rewrite.add(
            {i: compress_block(t, POLICY, count_words) for i, t in enumerate(tasks)}
        )
    batch = rewrite.settle()
    assert batch.originals == {}
    forwarded = rewrite.finish()
    assert b"~2026" in forwarded
    assert b"omitted" not in forwarded.partition(TOOL.encode())[0]
    assert rewrite.own_tools


def test_notes_are_asked_for_once_and_only_behind_what_was_answered():
    store = DictStore()
    rewrite, records = begin(body(), store)
    assert rewrite.hidden_keys(records) == []
    forward(body(), store, policy=POLICY)
    rewrite, records = begin(body(*run(1)), store)
    assert rewrite.hidden_keys(records) == list(note_keys("", rewrite.keys[0]))
    forward(body(*run(1)), store, policy=POLICY)
    rewrite, records = begin(body(*run(1)), store)
    assert rewrite.hidden_keys(records) == []


def test_conversations_without_the_added_tool_ask_for_no_notes():
    store = DictStore()
    policy = Policy(cache_minimum_tokens=0)
    forward(body(), store, policy=policy)
    rewrite, records = begin(body(*run(1)), store)
    assert rewrite.hidden_keys(records) == []


def test_what_was_put_back_once_is_put_back_though_the_note_is_gone():
    store = DictStore()
    first, rewrite = forward(body(), store, policy=POLICY)
    drive = Drive([[retrieval(9)], [call(1, command="x")]], first)
    store.remember({note_keys("", rewrite.keys[-1])[0]: drive.note})
    one, _ = forward(body(*run(1)), store, policy=POLICY)
    store.notes.clear()
    two, rewrite = forward(body(*run(1)), store, policy=POLICY)
    assert one == two
    sent = json.loads(two)["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant"] * 2 + ["user"]
    assert sent[1]["content"] == [retrieval(9)]
    # Under other tools too, and what comes after is unaffected.
    request = body(
        *run(1), *run(2, "short"), tools=[{"name": "Read", "input_schema": {}}]
    )
    three, _ = forward(request, store, policy=POLICY)
    assert json.loads(three)["messages"][:4] == sent[:4]


def test_what_does_not_fit_its_message_is_not_recorded(monkeypatch):
    store = DictStore()
    first, rewrite = forward(body(), store, policy=POLICY)
    drive = Drive([[retrieval(9)], [call(1, command="x")]], first)
    store.remember({note_keys("", rewrite.keys[-1])[0]: drive.note})

    def refuse(*_):
        raise CompressionError("no place")

    monkeypatch.setattr(AnthropicMessages, "hidden_edits", refuse)
    one, rewrite = forward(body(*run(1)), store, policy=POLICY)
    assert not any(decision.hidden for decision in rewrite.decisions.values())
    assert len(json.loads(one)["messages"]) == 3


def test_in_a_cached_prefix_dense_text_is_counted_by_what_is_sent():
    dense = "".join(f"{i * 7919}\n" for i in range(9000))
    request = body(*run(1, dense))
    request["system"] = [{**text("s" * 9000), "cache_control": {"type": "ephemeral"}}]
    for minimum, is_edited in ((1024, True), (20_000, False)):
        policy = Policy(cache_minimum_tokens=minimum)
        forwarded, _ = forward(request, DictStore(), policy=policy)
        assert (b"~0" in forwarded) is is_edited
