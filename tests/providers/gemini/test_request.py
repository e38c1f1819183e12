"""Where contents, parts and function results stand in a Gemini request."""

import json

import pytest

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline
from headroom.core.retrieval_tool import TOOL_GEMINI
from headroom.core.splice import splice
from headroom.core.types import HotBlock, PathView, Policy, Slot
from headroom.errors import MalformedBodyError
from headroom.providers.gemini.request import Gemini

PROVIDER = Gemini()
LONG = "".join(f"2026-01-01 line {i} is ordinary output\n" for i in range(60))
TOOLS = [{"functionDeclarations": [{"name": "shell", "parameters": {}}]}]


def body_of(*contents, **more):
    return json.dumps({"contents": list(contents), **more}).encode()


def parse(*contents, **more):
    return PROVIDER.parse(
        body_of(*contents, **more), PathView("gemini-x", is_stream=True)
    )


def user(*parts):
    return {"role": "user", "parts": list(parts)}


def model(*parts):
    return {"role": "model", "parts": list(parts)}


def call(name="shell", **more):
    return {"functionCall": {"name": name, "args": {"command": "ls"}, **more}}


def result(output, name="shell", **more):
    response = output if isinstance(output, dict) else {"output": output}
    return {"functionResponse": {"name": name, "response": response, **more}}


def slots(view, index):
    return [s for s in PROVIDER.slots(view, index) if isinstance(s, Slot)]


def texts(view, index):
    return [json.loads(slot.literal.of(view.body)) for slot in slots(view, index)]


def forwarded(*contents, **more):
    policy = Policy(cache_minimum_tokens=0, may_refer=False)
    body = body_of(*contents, **more)
    sent, _ = forward(body, DictStore(), policy=policy, api="gemini")
    return json.loads(sent)


@pytest.fixture
def halving(monkeypatch):
    monkeypatch.setattr(pipeline, "COMPRESSORS", (HALVE,))


def test_roles_are_live_or_not():
    roles = ("user", "model", "function", "system", "tool", "USER")
    view = parse(*({"role": r, "parts": [{"text": "x"}]} for r in roles), {"parts": []})
    assert [m.role for m in view.messages] == [
        "user",
        "assistant",
        "user",
        "other",
        "other",
        "other",
        "user",
    ]


def test_the_path_names_the_model_and_says_whether_it_streams():
    view = parse(user({"text": "x"}))
    assert (view.model, view.is_stream) == ("gemini-x", True)
    named = PROVIDER.parse(body_of(model="models/gemini-y"), PathView("gemini-x"))
    assert (named.model, named.is_stream) == ("gemini-y", False)


def test_texts_and_results_of_the_user_are_slots():
    view = parse(user({"text": "go"}, result("out"), {"text": "on"}))
    found = slots(view, 0)
    assert texts(view, 0) == ["go", "out", "on"]
    assert [s.address for s in found] == ["0", "1.0", "2"]
    assert [s.is_tool for s in found] == [False, True, False]


@pytest.mark.parametrize(
    "part",
    [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"fileData": {"fileUri": "gs://x"}},
        {"functionCall": {"name": "f", "args": {"text": LONG}}},
        {"executableCode": {"code": LONG}},
        {"text": LONG, "thoughtSignature": "c2ln"},
        {"text": LONG, "thought_signature": "c2ln"},
        {"functionResponse": {"name": "f", "response": {"output": [1, True, None]}}},
        {"functionResponse": {"name": "f"}},
        {"fromTheFuture": LONG},
        {},
    ],
)
def test_other_parts_are_hot(part):
    view = parse(user(part))
    (found,) = PROVIDER.slots(view, 0)
    assert isinstance(found, HotBlock)


def test_what_the_model_said_is_hot():
    view = parse(model({"text": LONG}, call()))
    assert slots(view, 0) == []


def test_both_spellings_of_a_result_are_read():
    inner = {"name": "shell", "response": {"output": "out"}}
    view = parse(user({"function_response": inner}))
    assert texts(view, 0) == ["out"]


def test_strings_anywhere_in_a_result_are_slots_and_names_are_not():
    deep = {"content": [{"type": "text", "text": LONG}, {"n": 1}], "name": "short"}
    view = parse(user(result({"error": LONG, "result": deep, "exit": "1"})))
    assert texts(view, 0) == [LONG, LONG, "1"]
    assert [s.is_error for s in slots(view, 0)] == [True, False, False]
    assert {s.block_type for s in slots(view, 0)} == {"function_response"}


def test_a_result_of_very_many_strings_or_levels_is_left():
    many = {f"k{i}": "x" for i in range(600)}
    deep: object = LONG
    for _ in range(30):
        deep = {"inner": deep}
    view = parse(user(result(many), result({"output": deep})))
    assert slots(view, 0) == []


def test_results_find_their_calls_by_id_and_else_by_position():
    view = parse(
        model(call("a", id="1"), call("b"), call("a")),
        user(result("x", "a", id="1"), result("y", "a"), result("z", "b")),
    )
    found = slots(view, 1)
    assert [(s.call_id, s.is_positional) for s in found] == [
        ("1", False),
        ("a#2", True),
        ("b#1", True),
    ]
    calls = PROVIDER.tool_calls(view, 0)
    assert [calls[s.call_id].name for s in found] == ["a", "a", "b"]
    assert json.loads(calls["1"].input) == {"command": "ls"}


def test_calls_in_contents_that_a_client_keeps_apart_are_one_turns():
    view = parse(
        model(call("a", id="0")),
        user(result("w", "a", id="0")),
        model({"text": "hm"}),
        model(call("a")),
        model(call("b"), call("a")),
        user(result("x", "a"), result("y", "b"), result("z", "a")),
    )
    calls = PROVIDER.tool_calls(view, 4)
    assert set(calls) == {"a#1", "a#2", "b#1"}
    assert all(slot.call_id in calls for slot in slots(view, 5))


def test_results_without_ids_have_no_block_records(halving):
    store = DictStore()
    body = body_of(user({"text": "go"}), model(call()), user(result(LONG)))
    forward(body, store, api="gemini")
    assert not [key for key in store.records if key.lineage == b"block"]
    identified = body_of(
        user({"text": "go"}), model(call(id="1")), user(result(LONG, id="1"))
    )
    forward(identified, store, api="gemini")
    assert [key for key in store.records if key.lineage == b"block"]


@pytest.mark.parametrize("name", ["toolConfig", "tool_config"])
@pytest.mark.parametrize(
    ("config", "is_free"),
    [
        ({}, True),
        ({"functionCallingConfig": {}}, True),
        ({"functionCallingConfig": {"mode": "AUTO"}}, True),
        ({"function_calling_config": {"mode": "any"}}, False),
        ({"functionCallingConfig": {"mode": "NONE"}}, False),
        ({"functionCallingConfig": {"allowedFunctionNames": ["shell"]}}, False),
    ],
)
def test_the_tool_is_not_added_where_the_client_restricts_calls(name, config, is_free):
    view = parse(user({"text": "x"}), tools=TOOLS, **{name: config})
    assert view.is_choice_limited is not is_free


def test_the_retrieval_tool_joins_the_last_list_of_functions():
    tools = [
        {"functionDeclarations": [{"name": "a"}]},
        {"function_declarations": [{"name": "b"}]},
        {"functionDeclarations": []},
        {"googleSearch": {}},
    ]
    view = parse(user({"text": "x"}), tools=tools)
    assert view.tool_names == ("a", "b")
    sent = json.loads(
        splice(view.body, PROVIDER.tool_edits(view, ["headroom_retrieve"]))
    )["tools"]
    tools[1]["function_declarations"].append(json.loads(TOOL_GEMINI))
    assert sent == tools


@pytest.mark.parametrize("tools", [[], {}, [{"googleSearch": {}}], [7], None])
def test_without_functions_there_is_no_place_for_the_tool(tools):
    view = parse(user({"text": "x"}), tools=tools)
    assert PROVIDER.tool_edits(view, ["headroom_retrieve"]) == []
    assert view.tool_names == ()


def test_cached_content_stands_before_what_is_counted_here():
    view = parse(user({"text": "x"}), cachedContent="cachedContents/abc")
    assert view.may_drop_earlier
    assert not parse(user({"text": "x"})).may_drop_earlier


@pytest.mark.parametrize("config", ["generationConfig", "generation_config"])
def test_several_candidates_are_passed_through(config):
    with pytest.raises(MalformedBodyError) as caught:
        parse(user({"text": "x"}), **{config: {"candidateCount": 2}})
    assert caught.value.reason == "n_greater_than_one"
    assert parse(user({"text": "x"}), **{config: {"candidateCount": 1}})


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"contents":{"parts":[]}}',
        b'{"contents":[1]}',
        b'{"contents":[{"parts":{"text":"x"}}]}',
        b'{"contents":[{"parts":[7]}]}',
        b'{"contents":[],"contents":[]}',
        b'{"contents":[{"parts":[{"text":"\xff"}]}]}',
    ],
)
def test_in_doubt_there_is_no_view(body):
    with pytest.raises(MalformedBodyError):
        PROVIDER.parse(body)


def test_passthrough_no_compression_byte_equal(halving):
    body = b'{ "contents" :[{"parts":[{"text":"hi\\u00e9"}], "role":"user"}]  }'
    sent, _ = forward(body, DictStore(), api="gemini")
    assert sent == body


def test_parallel_results_are_all_compressed_and_nothing_else_changes(halving):
    contents = [
        user({"text": "go"}),
        model(call(id="1"), {**call(), "thoughtSignature": "c2ln"}),
        user(result(LONG, id="1"), result({"error": LONG, "code": 7.10}), {"text": ""}),
    ]
    system = {"parts": [{"text": LONG}]}
    sent = forwarded(*contents, systemInstruction=system, tools=TOOLS)
    first, second, _ = sent["contents"][2]["parts"]
    first = first["functionResponse"]["response"]["output"]
    second = second["functionResponse"]["response"]["error"]
    assert first.startswith("~2026")
    assert second.startswith("~2026")
    contents[2]["parts"][0]["functionResponse"]["response"]["output"] = first
    contents[2]["parts"][1]["functionResponse"]["response"]["error"] = second
    assert sent == {"contents": contents, "systemInstruction": system, "tools": TOOLS}


def test_a_result_given_twice_is_repeated_alike_when_a_client_resumes(halving):
    """A client may duplicate results and rewrite signatures when it resumes."""
    store = DictStore()
    turn = [
        user({"text": "go"}),
        model({**call(id="1"), "thoughtSignature": "c2ln"}),
        user(result(LONG, id="1")),
    ]
    policy = Policy(cache_minimum_tokens=0)
    first, _ = forward(body_of(*turn), store, policy=policy, api="gemini")
    short = json.loads(first)["contents"][2]["parts"][0]
    turn[1]["parts"][0]["thoughtSignature"] = "skip_thought_signature_validator"
    turn[2]["parts"] *= 2
    turn += [model({"text": "hm"}), user({"text": "go on"})]
    again, _ = forward(body_of(*turn), store, policy=policy, api="gemini")
    assert json.loads(again)["contents"][2]["parts"] == [short, short]


def test_calls_in_one_line_of_work_are_told_apart_by_what_stands_before(halving):
    """The same positional id means another call in every turn."""
    seen = []
    view = parse(
        user({"text": "go"}),
        model({"functionCall": {"name": "shell", "args": {"command": "one"}}}),
        user(result(LONG)),
        model({"functionCall": {"name": "shell", "args": {"command": "two"}}}),
        user(result(LONG)),
    )
    for index in (1, 3):
        calls = PROVIDER.tool_calls(view, index)
        seen.append(json.loads(calls["shell#1"].input)["command"])
    assert seen == ["one", "two"]


def test_functions_in_one_list_can_be_put_in_order_and_nothing_else():
    functions = [
        {"name": "b", "parametersJsonSchema": {"type": "object"}},
        {"name": "a", "parameters": {"type": "OBJECT"}},
    ]
    one = parse(
        user({"text": "x"}),
        tools=[{"functionDeclarations": functions}, {"googleSearch": {}}],
    )
    found = PROVIDER.front(one).tools
    assert [tool.name for tool in found] == ["b", "a"]
    assert [json.loads(tool.schema.of(one.body))["type"] for tool in found] == [
        "object",
        "OBJECT",
    ]
    two = parse(user({"text": "x"}), tools=[*TOOLS, *TOOLS])
    assert PROVIDER.front(two).tools == ()


def test_names_that_cannot_be_told_leave_only_their_own_object_alone(halving):
    inner = json.dumps({"output": LONG})
    body = (
        '{"contents":[{"role":"user","parts":[{"functionResponse":{"name":"f",'
        f'"response":{{"bad":{{"caf\\u00e9":{json.dumps(LONG)}}},'
        f'"twice":{{"a":{inner},"a":1}},"good":{inner}}}}}}},'
        f'{{"te\\u0078t":{json.dumps(LONG)}}},{{"text":"go on"}}]}}]}}'
    ).encode()
    view = PROVIDER.parse(body)
    assert texts(view, 0) == [LONG, "go on"]
    sent, _ = forward(body, DictStore(), api="gemini")
    found = json.loads(sent)["contents"][0]["parts"]
    response = found[0]["functionResponse"]["response"]
    assert response["good"]["output"].startswith("~2026")
    assert response["bad"] == {"caf\u00e9": LONG}
    assert found[1:] == [{"text": LONG}, {"text": "go on"}]


def test_calls_with_names_that_cannot_be_told_are_no_calls():
    body = (
        b'{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f",'
        b'"n\\u0061me":"g"}},{"functionCall":{"name":"h"}},'
        b'{"functionC\\u0061ll":{}}]}]}'
    )
    view = PROVIDER.parse(body)
    assert "h#1" in PROVIDER.tool_calls(view, 0)
    assert PROVIDER.anchors(view, 0)
