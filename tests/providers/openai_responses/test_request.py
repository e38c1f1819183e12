"""Where items, texts and calls stand in a Responses request."""

import json

import pytest

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline
from headroom.core.retrieval_tool import TOOL_OPENAI_RESPONSES
from headroom.core.splice import splice
from headroom.core.types import HotBlock, Policy
from headroom.errors import MalformedBodyError
from headroom.providers.openai_responses.items import SOURCES
from headroom.providers.openai_responses.request import OpenAIResponses

PROVIDER = OpenAIResponses()
LONG = "".join(f"2026-01-01 line {i} is ordinary output\n" for i in range(80))
PATCH = (
    "*** Begin Patch\n*** Update File: a.py\n@@ def f():\n-  return  1\n+\treturn 2\n"
)
ARGV = ["bash", "-lc", "rg  -n 'a b' | head -5", "", "\u00e9"]


def body_of(*items, **more):
    return json.dumps({"model": "gpt-5.5", "input": list(items), **more}).encode()


def parse(*items, **more):
    return PROVIDER.parse(body_of(*items, **more))


def user(content):
    return {"role": "user", "content": content}


def part(words, **more):
    return {"type": "input_text", "text": words, **more}


def call(call_id, name="shell", arguments='{"command": "make  test"}', **more):
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        **more,
    }


def result(call_id, output, kind="function_call_output", **more):
    return {"type": kind, "call_id": call_id, "output": output, **more}


def said(text, **more):
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content, **more}


def forwarded(*items, policy=None, store=None, thread=None, **more):
    """The items as the provider would get them."""
    policy = policy or Policy(cache_minimum_tokens=0, may_refer=False)
    store = DictStore() if store is None else store
    sent, _ = forward(
        body_of(*items, **more),
        store,
        policy=policy,
        api="openai_responses",
        thread=thread,
    )
    return json.loads(sent)["input"]


@pytest.fixture
def halving(monkeypatch):
    monkeypatch.setattr(pipeline, "COMPRESSORS", (HALVE,))


def test_a_run_of_what_the_model_produced_is_one_message():
    view = parse(
        {"role": "developer", "content": "rules"},
        user("go"),
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
        said("I look."),
        call("a"),
        call("b"),
        result("a", "x"),
        result("b", "y"),
        said("Done."),
    )
    roles = [m.role for m in view.messages]
    assert roles == ["other", "user", "assistant", "user", "user", "assistant"]
    kinds = [slot.block_type for slot in PROVIDER.slots(view, 2)]
    assert kinds == ["reasoning", "message", "function_call", "function_call"]


@pytest.mark.parametrize("kind", sorted(SOURCES))
def test_every_type_of_the_api_is_named(kind):
    assert parse(user("x"), {"type": kind}).unknown_types == ()


def test_an_enum_of_types_is_complete():
    named = {
        "reasoning", "function_call", "function_call_output", "local_shell_call",
        "local_shell_call_output", "apply_patch_call", "apply_patch_call_output",
        "compaction", "mcp_call", "mcp_list_tools", "mcp_approval_request",
        "computer_call", "computer_call_output", "web_search_call",
        "file_search_call", "code_interpreter_call", "image_generation_call",
        "tool_search_call", "custom_tool_call", "custom_tool_call_output",
    }  # fmt: skip
    assert named <= set(SOURCES)


def test_the_types_of_the_installed_sdk_are_all_named():
    from typing import get_args, get_type_hints

    from openai.types.responses import response_input_item_param as sdk

    found = set()
    for shape in get_args(sdk.ResponseInputItemParam):
        kind = get_type_hints(shape)["type"]
        found |= {name for name in get_args(kind) if isinstance(name, str)}
    assert {name for name in found if name != "message"} <= set(SOURCES)


def test_slots_are_results_and_what_users_say():
    view = parse(
        user("question"),
        user([part("first"), {"type": "input_image", "image_url": "x"}, part("third")]),
        result("a", "plain"),
        result("b", [part("p0"), {"type": "input_image"}, part("p1")]),
        {"type": "local_shell_call_output", "id": "c", "output": "shell"},
        result(
            "d",
            [{"stdout": "out", "stderr": "err", "outcome": {}}],
            "shell_call_output",
        ),
        result("e", "patched", "apply_patch_call_output"),
        result("f", "custom", "custom_tool_call_output"),
    )

    def told(slot):
        if isinstance(slot, HotBlock):
            return (slot.block_index, slot.block_type)
        words = json.loads(slot.literal.of(view.body))
        return (slot.address, slot.block_type, slot.is_tool, slot.call_id, words)

    found = [told(slot) for i in range(8) for slot in PROVIDER.slots(view, i)]
    assert found == [
        ("0", "user_string", False, "", "question"),
        ("0", "user_text", False, "", "first"),
        (1, "input_image"),
        ("2", "user_text", False, "", "third"),
        ("0", "output_item", True, "a", "plain"),
        ("0", "output_item", True, "b", "p0"),
        ("2", "output_item", True, "b", "p1"),
        ("0", "output_item", True, "c", "shell"),
        ("0.0", "output_item", True, "d", "out"),
        ("0.1", "output_item", True, "d", "err"),
        ("0", "output_item", True, "e", "patched"),
        ("0", "output_item", True, "f", "custom"),
    ]


def test_a_result_that_a_program_reads_is_hot():
    caller = {"type": "program", "caller_id": "call_p"}
    view = parse(result("a", LONG, caller=caller), result("b", LONG, caller=None))
    assert PROVIDER.slots(view, 0) == (HotBlock(0, "function_call_output"),)
    assert PROVIDER.slots(view, 1)[0].call_id == "b"


def test_string_input_is_what_the_user_says():
    view = PROVIDER.parse(b'{"model":"gpt-5","input":"hi \\u00e9"}')
    (slot,) = PROVIDER.slots(view, 0)
    assert slot.literal.of(view.body) == b'"hi \\u00e9"'
    assert view.messages[0].role == "user"
    same = PROVIDER.parse(b'{"input":[{"role":"user","content":"hi \\u00e9"}]}')
    assert same.messages[0].canonical == view.messages[0].canonical


def test_the_view_reads_model_stream_state_and_tool_names():
    tools = [
        {"type": "function", "name": "exec", "parameters": {}},
        {"type": "custom", "name": "apply_patch"},
        {"type": "web_search"},
        {"type": "namespace", "name": "mcp", "tools": [{"name": "find"}, 7]},
    ]
    view = parse(user("x"), tools=tools, stream=True, instructions="be good")
    assert (view.model, view.is_stream) == ("gpt-5.5", True)
    names = ("exec", "apply_patch", "web_search", "mcp", "mcp__find", "mcp__")
    assert view.tool_names == names
    assert (view.is_caching, view.frozen_count, view.is_threaded) == (True, 0, True)
    assert [span.of(view.body)[:1] for span in view.text_before] == [b"[", b'"']
    assert not parse(user("x"), store=False).is_threaded
    goes_on = parse(user("x"), store=False, previous_response_id="resp_1")
    assert (goes_on.continues, goes_on.is_threaded) == ("resp_1", True)
    assert not goes_on.may_drop_earlier


@pytest.mark.parametrize(
    ("more", "may_drop"),
    [
        ({}, False),
        ({"truncation": "disabled"}, False),
        ({"truncation": "auto"}, True),
        ({"context_management": None}, False),
        ({"context_management": [{"type": "compaction"}]}, True),
    ],
)
def test_what_the_provider_may_drop_is_told(more, may_drop):
    assert parse(user("x"), **more).may_drop_earlier is may_drop


@pytest.mark.parametrize("value", [{"id": "conv_1"}, "conv_1"])
def test_a_conversation_of_the_provider_s_own_is_told(value):
    assert parse(user("x"), conversation=value).conversation == "conv_1"


def test_what_the_model_produced_is_known_by_type_and_call_id():
    def chain(*items):
        return [m.links for m in parse(user("x"), *items).messages][1]

    one = chain(
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "gA"},
        said("Now.", id="msg_1", status="completed"),
        call("a", arguments='{"b": 1}', id="fc_1", status="completed"),
    )
    # As clients send it back: no ids, other spacing, reasoning left out, null added.
    other = chain(call("a", arguments='{"b":1}', namespace=None))
    assert one == other
    assert len(one) == 1
    assert chain(call("b")) != one
    assert chain(said("Now.")) == ()
    assert chain({"type": "custom_tool_call", "call_id": "a"}) != one


def test_ids_that_servers_fill_in_do_not_change_what_the_client_said():
    bare = parse(user("x"), result("a", "y")).messages
    full = parse(
        {"type": "message", "id": "msg_1", "status": "completed", **user("x")},
        result("a", "y", id="fco_1", status="completed"),
    ).messages
    assert [m.canonical for m in bare] == [m.canonical for m in full]


def test_a_breakpoint_does_not_change_the_message():
    mark = {"prompt_cache_breakpoint": {"mode": "explicit"}}
    both = [[part("a"), part("b")], [part("a"), part("b", **mark)]]
    assert len({parse(user(c)).messages[0].canonical for c in both}) == 1
    outputs = [[part("a")], [part("a", **mark)], "a"]
    assert len({parse(result("c", o)).messages[0].canonical for o in outputs}) == 1


def test_call_id_referenced_not_id():
    view = parse(user("x"), call("call_1", id="fc_9"), result("call_1", LONG, id="o_7"))
    assert PROVIDER.slots(view, 2)[0].call_id == "call_1"
    assert set(PROVIDER.tool_calls(view, 1)) == {"call_1"}


def test_calls_carry_their_arguments_as_the_model_wrote_them():
    action = {"type": "exec", "command": ARGV, "env": {}}
    view = parse(
        call("a", name="f", arguments="not json", namespace="mcp__x"),
        {"type": "custom_tool_call", "call_id": "b", "name": "p", "input": PATCH},
        {"type": "local_shell_call", "call_id": "c", "action": action},
        {"type": "apply_patch_call", "call_id": "d", "operation": {"path": "a.py"}},
        {"type": "function_call", "name": "no id"},
        {"type": "web_search_call", "id": "ws"},
    )
    calls = PROVIDER.tool_calls(view, 0)
    assert {c.id: (c.name, c.input) for c in calls.values()} == {
        "a": ("mcp__x__f", b"not json"),
        "b": ("p", json.dumps(PATCH).encode()),
        "c": ("local_shell", json.dumps(action).encode()),
        "d": ("apply_patch", b'{"path": "a.py"}'),
    }


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"input":null}',
        b'{"input":7}',
        b'{"input":[1]}',
        b'{"input":["x"]}',
        b'{"input":[{"role":"user","role":"user"}]}',
        b'{"input":[],"input":[]}',
        b'{"input":"\xff"}',
        b'{"input":[{"type":"message","role":"user","content":"\\ud800"}]}',
    ],
)
def test_in_doubt_there_is_no_view_or_none_that_edits(body):
    try:
        view = PROVIDER.parse(body)
        for index in range(len(view.messages)):
            PROVIDER.slots(view, index)
    except MalformedBodyError:
        return
    assert b"\\ud800" in body


def test_the_retrieval_tool_stands_last_in_the_list():
    tools = [{"type": "function", "name": "exec"}]
    view = parse(user("x"), tools=tools)
    edits = PROVIDER.tool_edits(view, ["headroom_retrieve"])
    found = json.loads(splice(view.body, edits))["tools"]
    assert found == [*tools, json.loads(TOOL_OPENAI_RESPONSES)]
    assert PROVIDER.tool_edits(parse(user("x"), tools=[]), ["headroom_retrieve"]) == []


@pytest.mark.parametrize(
    ("listed", "given", "place"),
    [
        (None, [{"type": "function", "name": "run"}], "input"),
        ([], [{"type": "function", "name": "run"}], "input"),
        ([{"type": "function", "name": "do"}], [{"type": "custom"}], "tools"),
        (None, [], None),
        (None, {"name": "run"}, None),
        (None, None, None),
    ],
)
def test_tools_among_the_items_are_the_requests_where_it_lists_none(
    listed, given, place
):
    item = {"type": "additional_tools", "role": "developer", "tools": given}
    more = {} if listed is None else {"tools": listed}
    body = body_of(user("x"), item, said("y"), **more)
    view = PROVIDER.parse(body)
    edits = PROVIDER.tool_edits(view, ["headroom_retrieve"])
    sent = json.loads(splice(body, edits))
    ours = json.loads(TOOL_OPENAI_RESPONSES)
    found = sent["input"][1]["tools"] if place == "input" else sent.get("tools")
    assert (ours in (found or ())) == (place is not None)
    assert str(sent).count("headroom_retrieve") == (0 if place is None else 1)
    assert bool(view.tool_names) == (place is not None)


def test_passthrough_no_compression_byte_equal(halving):
    body = b'{ "model" :"gpt-5","input":[{"role":"user","content":"hi\\u00e9"}]  }'
    sent, _ = forward(body, DictStore(), api="openai_responses")
    assert sent == body


OUTPUTS = [
    result("a", LONG),
    result("a", [part(LONG)]),
    result("a", LONG, "custom_tool_call_output"),
    result("a", LONG, "apply_patch_call_output"),
    {"type": "local_shell_call_output", "id": "a", "output": LONG},
    result("a", [{"stdout": LONG, "stderr": "", "outcome": {}}], "shell_call_output"),
]


@pytest.mark.parametrize("item", OUTPUTS, ids=lambda item: item["type"])
def test_outputs_are_compressed_when_new(halving, item):
    (got,) = forwarded(item)
    assert got != item
    assert "~2026" in json.dumps(got)
    assert {k: v for k, v in got.items() if k != "output"} == {
        k: v for k, v in item.items() if k != "output"
    }
    assert forwarded(item, said("seen"), user("go on"))[0] == item


def test_local_shell_output_compressed(halving):
    item = {"type": "local_shell_call_output", "id": "a", "output": LONG}
    assert forwarded(item)[0]["output"].startswith("~2026")


def test_parallel_results_are_all_compressed(halving):
    items = [user("go"), call("a"), call("b"), result("a", LONG), result("b", LONG)]
    got = forwarded(*items)
    assert [item["output"][0] for item in got[3:]] == ["~", "~"]
    assert got[:3] == items[:3]


def lossy(*items, **more):
    """What is sent where a client brings the retrieval tool."""
    tools = [{"type": "function", "name": "mcp__headroom__headroom_retrieve"}]
    policy = Policy(
        allow_lossy=True,
        retrieval="tool",
        cache_minimum_tokens=0,
        min_lossy_bytes={"log": 100},
    )
    store = DictStore()
    forwarded(user("go"), policy=policy, store=store, tools=tools)
    return forwarded(
        user("go"), *items, policy=policy, store=store, tools=tools, **more
    )


def patched(size):
    return result("a", LONG[:size], "apply_patch_call_output")


def test_apply_patch_output_below_2kb_no_compression(halving):
    got = lossy(call("a"), patched(2047))
    assert "<<ccr:" not in json.dumps(got)


def test_apply_patch_output_above_2kb_compressed(halving):
    got = lossy(call("a"), patched(2048))
    assert "<<ccr:" in got[2]["output"]


def test_an_answer_to_a_retrieval_is_never_compressed(halving):
    for name in ("headroom_retrieve", "mcp__headroom__headroom_retrieve"):
        got = lossy(call("a", name=name), result("a", LONG))
        assert got[2] == result("a", LONG)
    grouped = call("a", name="headroom_retrieve", namespace="mcp__headroom")
    assert lossy(grouped, result("a", LONG))[2] == result("a", LONG)


HOT = {
    "v4a_patch_byte_equal_through_proxy": {
        "type": "custom_tool_call",
        "call_id": "c",
        "name": "apply_patch",
        "input": PATCH * 40,
    },
    "local_shell_call_command_argv_array_preserved": {
        "type": "local_shell_call",
        "id": "lsh",
        "call_id": "c",
        "status": "completed",
        "action": {"type": "exec", "command": [*ARGV, LONG], "env": {}},
    },
    "codex_phase_commentary_preserved": said(LONG, phase="commentary"),
    "codex_phase_final_answer_preserved": said(LONG, phase="final_answer"),
    "compaction_item_byte_equal": {
        "type": "compaction",
        "id": "cmp",
        "encrypted_content": LONG,
    },
    "reasoning_encrypted_content_byte_equal": {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": LONG}],
        "content": None,
        "encrypted_content": LONG,
    },
    "function_call_arguments_string_preserved": call("c", arguments=f'{{"x": "{LONG}'),
    "mcp_tool_call_byte_equal": {
        "type": "mcp_call",
        "id": "mcp_1",
        "name": "f",
        "server_label": "s",
        "arguments": "{}",
        "output": LONG,
    },
    "computer_call_byte_equal": {
        "type": "computer_call",
        "id": "cu",
        "call_id": "c",
        "action": {"type": "type", "text": LONG},
        "pending_safety_checks": [],
        "status": "completed",
    },
    "computer_output": result(
        "c", {"type": "computer_screenshot", "image_url": LONG}, "computer_call_output"
    ),
    "web_search": {"type": "web_search_call", "id": "ws", "action": {"query": LONG}},
    "file_search": {"type": "file_search_call", "id": "fs", "results": [{"t": LONG}]},
    "code_interpreter": {"type": "code_interpreter_call", "id": "ci", "code": LONG},
    "image_generation": {"type": "image_generation_call", "id": "i", "result": LONG},
    "tool_search": {"type": "tool_search_call", "call_id": "t", "arguments": LONG},
    "tool_search_output": {"type": "tool_search_output", "call_id": "t", "tools": []},
    "item_reference": {"id": "msg_1"},
    "unknown": {"type": "from_2031", "text": LONG, "output": LONG},
    "unknown_output": {"type": "from_2031_output", "call_id": "c", "output": LONG},
    "developer": {"role": "developer", "content": LONG},
}


@pytest.mark.parametrize("name", HOT)
def test_hot_items_are_byte_equal(halving, name):
    items = [user("go"), HOT[name], result("z", LONG)]
    got = forwarded(*items)
    assert got[:2] == items[:2]
    assert got[2]["output"].startswith("~")


def test_unknown_item_type_logged_warning_byte_equal(halving):
    view = parse(user("go"), HOT["unknown"], HOT["unknown"], HOT["unknown_output"])
    assert view.unknown_types == ("from_2031", "from_2031_output")


def test_messages_with_several_parts_keep_them(halving):
    item = user([part("one"), part(LONG), {"type": "input_image", "image_url": "u"}])
    (got,) = forwarded(item)
    assert [p["type"] for p in got["content"]] == ["input_text"] * 2 + ["input_image"]
    assert got["content"][0] == item["content"][0]
    assert got["content"][1]["text"].startswith("~")


@pytest.mark.parametrize(
    "more",
    [
        {"store": False, "include": ["reasoning.encrypted_content"]},
        {"tool_choice": {"type": "function", "name": "exec"}},
        {"text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}},
        {"reasoning": {"effort": "high"}, "prompt_cache_key": "k", "metadata": {}},
        {"max_output_tokens": 12345678901234567890, "temperature": 1.0},
    ],
)
def test_all_else_in_the_request_stays(halving, more):
    body = body_of(user("go"), call("a"), result("a", LONG), **more)
    sent, _ = forward(
        body, DictStore(), policy=Policy(cache_minimum_tokens=0), api="openai_responses"
    )
    got = json.loads(sent)
    assert {name: got[name] for name in more} == more
    assert got["input"][2]["output"].startswith("~")


def test_representative_request_round_trip(halving):
    """One of everything: only the newest results differ, and nothing but their text."""
    items = [
        {"role": "developer", "content": [part("rules")]},
        user([part("fix it")]),
        *(item for name, item in HOT.items() if name != "developer"),
        call("last"),
        result("last", LONG),
    ]
    body = body_of(*items, stream=True, store=False)
    sent, _ = forward(
        body, DictStore(), policy=Policy(cache_minimum_tokens=0), api="openai_responses"
    )
    start = body.rindex(json.dumps(LONG).encode())
    assert sent[:start] == body[:start]
    end = start + len(json.dumps(LONG).encode())
    assert sent.endswith(body[end:])
    assert len(sent) < len(body)
