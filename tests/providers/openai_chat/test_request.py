"""Where messages, parts and calls stand in a Chat Completions request."""

import json

import pytest

from fakes import HALVE, DictStore, forward
from headroom.core import pipeline
from headroom.core.retrieval_tool import TOOL_OPENAI_CHAT
from headroom.core.splice import splice
from headroom.core.types import HotBlock, Policy
from headroom.errors import MalformedBodyError
from headroom.providers.openai_chat.request import OpenAIChat

PROVIDER = OpenAIChat()
LONG = "".join(f"2026-01-01 line {i} is ordinary output\n" for i in range(60))
BREAK = {"mode": "explicit"}


def body_of(*messages, **more):
    return json.dumps({"model": "gpt-5", "messages": list(messages), **more}).encode()


def parse(*messages, **more):
    return PROVIDER.parse(body_of(*messages, **more))


def text(words, **more):
    return {"type": "text", "text": words, **more}


def user(content):
    return {"role": "user", "content": content}


def tool(content, call_id="call_1"):
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def assistant(*call_ids, content=None):
    calls = [
        {
            "id": call_id,
            "type": "function",
            "function": {"name": "bash", "arguments": '{"command": "make  test"}'},
        }
        for call_id in call_ids
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def forwarded(*messages, policy=None, **more):
    """The messages as the provider would get them."""
    policy = policy or Policy(cache_minimum_tokens=0, may_refer=False)
    body = body_of(*messages, **more)
    sent, _ = forward(body, DictStore(), policy=policy, api="openai_chat")
    return json.loads(sent)


@pytest.fixture
def halving(monkeypatch):
    monkeypatch.setattr(pipeline, "COMPRESSORS", (HALVE,))


def test_roles_are_live_or_not():
    roles = ("system", "developer", "user", "assistant", "tool", "function")
    view = parse(*({"role": role, "content": "x"} for role in roles))
    assert [m.role for m in view.messages] == [
        "other",
        "other",
        "user",
        "assistant",
        "user",
        "other",
    ]


@pytest.mark.parametrize("role", ["system", "developer", "assistant", "function"])
def test_what_is_neither_asked_nor_returned_is_hot(role):
    view = parse({"role": role, "content": LONG})
    assert PROVIDER.slots(view, 0) == (HotBlock(0, role),)


def test_slots_are_results_and_what_users_say():
    view = parse(
        user("question"),
        user([text("first"), {"type": "image_url", "image_url": {}}, text("third")]),
        tool("plain", "a"),
        tool([text("p0"), text("p1")], "b"),
    )

    def told(slot):
        if isinstance(slot, HotBlock):
            return (slot.block_index, slot.block_type)
        words = json.loads(slot.literal.of(view.body))
        return (slot.address, slot.block_type, slot.is_tool, slot.call_id, words)

    found = [told(slot) for i in range(4) for slot in PROVIDER.slots(view, i)]
    assert found == [
        ("0", "user_string", False, "", "question"),
        ("0", "user_text", False, "", "first"),
        (1, "image_url"),
        ("2", "user_text", False, "", "third"),
        ("0", "tool_content", True, "a", "plain"),
        ("0", "tool_content", True, "b", "p0"),
        ("1", "tool_content", True, "b", "p1"),
    ]
    assert {s.block_index for s in PROVIDER.slots(view, 3)} == {0}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "refusal", "refusal": "no"},
        {"type": "from_2031", "text": "x"},
        {"type": "text", "text": ["x"]},
    ],
)
def test_other_parts_are_hot(part):
    view = parse(user([part]), tool([part]))
    assert PROVIDER.slots(view, 0) == (HotBlock(0, part["type"]),)
    assert PROVIDER.slots(view, 1) == (HotBlock(0, "tool_content"),)


@pytest.mark.parametrize("content", [None, []])
def test_messages_without_content_have_no_slots(content):
    view = parse(user(content), tool(content))
    assert PROVIDER.slots(view, 0) == ()
    assert PROVIDER.slots(view, 1) == (HotBlock(0, "tool_content"),)


def test_string_content_and_one_text_part_are_the_same_message():
    for make in (user, tool):
        views = [
            parse(make("hi")).messages[0],
            parse(make([text("hi")])).messages[0],
            parse(make([text("hi", prompt_cache_breakpoint=BREAK)])).messages[0],
            parse(make([text("hi", cache_control={"type": "ephemeral"})])).messages[0],
        ]
        assert len({view.canonical for view in views}) == 1


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" , ", " : ")])
def test_a_breakpoint_on_any_part_does_not_change_the_message(separators):
    def message(**marker):
        content = [text("a"), text("b", **marker)]
        body = {"messages": [user(content)]}
        return PROVIDER.parse(json.dumps(body, separators=separators).encode())

    both = {"prompt_cache_breakpoint": BREAK, "cache_control": {"type": "ephemeral"}}
    marked = message(**both).messages[0]
    assert marked.canonical == message().messages[0].canonical
    assert len(marked.markers) == 2


def test_roles_and_call_ids_tell_messages_apart():
    messages = [user("x"), tool("x", "a"), tool("x", "b"), {**user("x"), "name": "n"}]
    assert len({m.canonical for m in parse(*messages).messages}) == 4


def test_tool_calls_carry_their_arguments_as_the_model_wrote_them():
    custom = {
        "id": "call_2",
        "type": "custom",
        "custom": {"name": "patch", "input": "*** Begin\n"},
    }
    message = assistant("call_1")
    message["tool_calls"] += [custom, {"id": "call_3", "type": "from_2031"}, 7]
    calls = PROVIDER.tool_calls(parse(message), 0)
    assert {c.id: (c.name, c.input) for c in calls.values()} == {
        "call_1": ("bash", b'{"command": "make  test"}'),
        "call_2": ("patch", b'"*** Begin\\n"'),
    }
    assert PROVIDER.tool_calls(parse(assistant()), 0) == {}
    assert PROVIDER.tool_calls(parse({"role": "assistant", "content": "x"}), 0) == {}


def test_the_view_reads_model_stream_and_tool_names():
    tools = [
        {"type": "function", "function": {"name": "bash", "parameters": {}}},
        {"type": "custom", "custom": {"name": "patch"}},
        {"type": "web_search"},
    ]
    view = parse(user("x"), tools=tools, stream=True)
    assert (view.model, view.is_stream) == ("gpt-5", True)
    assert view.tool_names == ("bash", "patch", "")
    assert (view.is_caching, view.frozen_count) == (True, 0)
    assert json.loads(view.text_before[0].of(view.body)) == tools
    assert not view.may_drop_earlier
    assert parse(user("x"), transforms=["middle-out"]).may_drop_earlier


@pytest.mark.parametrize("n", [2, 8, 0])
def test_n_greater_than_one_passthrough(n):
    with pytest.raises(MalformedBodyError) as caught:
        parse(user("x"), n=n)
    assert caught.value.reason == "n_greater_than_one"


@pytest.mark.parametrize("n", [1, None])
def test_one_answer_is_the_usual_case(n):
    assert len(parse(user("x"), n=n).messages) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"messages":null}',
        b'{"messages":[1]}',
        b'{"messages":[{"role":"user","content":1}]}',
        b'{"messages":[{"role":"user","content":{}}]}',
        b'{"messages":[{"role":"user","content":"a","content":"b"}]}',
        b'{"messages":[],"messages":[]}',
        b'{"messages":[{"role":"user","content":"\xff"}]}',
    ],
)
def test_in_doubt_there_is_no_view(body):
    with pytest.raises(MalformedBodyError):
        PROVIDER.parse(body)


def test_the_retrieval_tool_has_its_place():
    tools = [{"type": "function", "function": {"name": "bash"}}]
    view = parse(user("x"), tools=tools)
    edits = PROVIDER.tool_edits(view, ["headroom_retrieve"])
    names = json.loads(splice(view.body, edits))["tools"]
    assert names == [*tools, json.loads(TOOL_OPENAI_CHAT)]
    assert PROVIDER.tool_edits(parse(user("x"), tools=[]), ["headroom_retrieve"]) == []
    assert view.may_add_tool


def test_passthrough_no_compression_byte_equal(halving):
    body = b'{ "model" :"gpt-5","messages":[{"role":"user","content":"hi\\u00e9"}]  }'
    sent, _ = forward(body, DictStore(), api="openai_chat")
    assert sent == body


@pytest.mark.parametrize("content", [LONG, [text(LONG)]])
def test_tool_message_compressed(halving, content):
    sent = forwarded(user("go"), assistant("call_1"), tool(content))["messages"]
    got = sent[2]["content"]
    got = got if isinstance(got, str) else got[0]["text"]
    assert got.startswith("~2026")
    assert sent[:2] == [user("go"), assistant("call_1")]


def test_parallel_results_are_all_compressed(halving):
    sent = forwarded(
        user("go"), assistant("a", "b"), tool(LONG, "a"), tool("x" + LONG, "b")
    )["messages"]
    assert [m["content"][0] for m in sent[2:]] == ["~", "~"]


def test_picks_latest_tool_only(halving):
    messages = [
        user("go"),
        assistant("a"),
        tool(LONG, "a"),
        assistant("b"),
        tool("x" + LONG, "b"),
    ]
    sent = forwarded(*messages)["messages"]
    assert sent[:4] == messages[:4]
    assert sent[4]["content"].startswith("~")


def test_a_result_behind_which_an_answer_stands_is_left(halving):
    messages = [assistant("a"), tool(LONG, "a"), {"role": "assistant", "content": "k"}]
    assert forwarded(*messages, user("next"))["messages"][:3] == messages


def test_user_array_text_parts_planned(halving):
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    sent = forwarded(user([text(LONG), picture, text("why?")]))["messages"]
    assert sent[0]["content"][0]["text"].startswith("~")
    assert sent[0]["content"][1:] == [picture, text("why?")]


@pytest.mark.parametrize(
    "more",
    [
        {"stream": True, "stream_options": {"include_usage": True}},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "bash"}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        {"seed": 12345678901234567890, "temperature": 1.0, "logit_bias": {"50256": -1}},
    ],
)
def test_all_else_in_the_request_stays(halving, more):
    sent = forwarded(user("go"), assistant("call_1"), tool(LONG), **more)
    assert {name: sent[name] for name in more} == more
    assert sent["messages"][2]["content"].startswith("~")


def test_a_conversation_has_the_retrieval_tool_from_its_first_request_on(halving):
    tools = [{"type": "function", "function": {"name": "bash"}}]
    policy = Policy(allow_lossy=True, retrieval="tool", cache_minimum_tokens=0)
    store = DictStore()
    messages = [user("go")]
    for more in ([assistant("a"), tool(LONG, "a")], [assistant("b"), tool("ok", "b")]):
        body = {"model": "gpt-5", "messages": messages, "tools": tools}
        sent, _ = forward(body, store, api="openai_chat", policy=policy)
        found = json.loads(sent)
        assert found["tools"] == [*tools, json.loads(TOOL_OPENAI_CHAT)]
        assert ("<<ccr:" in json.dumps(found["messages"])) is (len(messages) > 1)
        messages += more


def test_a_conversation_that_began_without_the_tool_stays_without_it(halving):
    tools = [{"type": "function", "function": {"name": "bash"}}]
    policy = Policy(allow_lossy=True, retrieval="tool", cache_minimum_tokens=0)
    messages = [user("go"), assistant("a"), tool(LONG, "a")]
    sent = forwarded(*messages, tools=tools, policy=policy)
    assert sent["tools"] == tools
    assert "<<ccr:" not in json.dumps(sent)


def test_a_client_that_brings_the_tool_gets_lossy_results(halving):
    name = "mcp__headroom__headroom_retrieve"
    tools = [{"type": "function", "function": {"name": name}}]
    policy = Policy(
        allow_lossy=True,
        retrieval="tool",
        cache_minimum_tokens=0,
        min_lossy_bytes={"log": 100},
    )
    store = DictStore()
    messages = [user("go")]
    for step in (messages, [*messages, assistant("call_1"), tool(LONG * 5)]):
        body = body_of(*step, tools=tools)
        sent, _ = forward(body, store, policy=policy, api="openai_chat")
    assert "<<ccr:" in json.loads(sent)["messages"][2]["content"]
    assert json.loads(sent)["tools"] == tools
