"""Chat Completions in the words of the Messages API, and back."""

import pytest

from headroom.cachelab import chat
from headroom.cachelab.prefix import lay_out


def call(call_id, name="f", arguments='{"a":1}'):
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def request(*messages, **more):
    return {"model": "gpt-5", "messages": list(messages), **more}


USER = {"role": "user", "content": "hi"}
CALLS = {"role": "assistant", "content": None, "tool_calls": [call("a"), call("b")]}
RESULTS = [
    {"role": "tool", "tool_call_id": "a", "content": "one"},
    {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "two"}]},
]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"x": 1}}}]


def keys(asked):
    units = lay_out(chat.as_messages(asked), lambda _, text: len(text))
    return [unit.key for unit in units]


def test_every_part_of_a_request_is_a_unit():
    system = {"role": "system", "content": "be careful"}
    units = lay_out(
        chat.as_messages(request(system, USER, CALLS, *RESULTS, tools=TOOLS)),
        lambda _, text: len(text),
    )
    assert [(u.kind, u.name) for u in units] == [
        ("tool", "f"),
        ("text", ""),
        ("text", ""),
        ("tool_use", "f"),
        ("tool_use", "f"),
        ("tool_result", "f"),
        ("tool_result", "f"),
    ]


@pytest.mark.parametrize(
    "changed",
    [
        request({**USER, "name": "ada"}, CALLS, *RESULTS, tools=TOOLS),
        request({**USER, "role": "developer"}, CALLS, *RESULTS, tools=TOOLS),
        request(USER, {**CALLS, "reasoning_content": "hm"}, *RESULTS, tools=TOOLS),
        request(USER, CALLS, *RESULTS, tools=[{**TOOLS[0], "strict": True}]),
        request(
            USER,
            {**CALLS, "tool_calls": [call("a", arguments='{"a": 1}'), call("b")]},
            *RESULTS,
            tools=TOOLS,
        ),
    ],
)
def test_every_member_is_part_of_the_prefix(changed):
    assert keys(changed)[-1] != keys(request(USER, CALLS, *RESULTS, tools=TOOLS))[-1]


def test_string_content_is_the_one_text_part_it_means():
    parts = {"role": "user", "content": [{"type": "text", "text": "hi"}]}
    assert keys(request(parts)) == keys(request(USER))


def test_a_longer_conversation_repeats_the_prefix_of_the_shorter_one():
    short = keys(request(USER, CALLS, *RESULTS))
    done = {"role": "assistant", "content": "done"}
    assert keys(request(USER, CALLS, *RESULTS, done))[: len(short)] == short


def test_blocks_and_messages_are_each_other():
    blocks = [
        {"type": "text", "text": "so"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"a": [1, "é"]}},
    ]
    assert chat.blocks_of(chat.message_of(blocks)) == blocks
    assert chat.message_of([])["content"] is None
    broken = {"tool_calls": [call("a", arguments="{")]}
    assert chat.blocks_of(broken)[0]["input"] == "{"


def test_a_messages_conversation_becomes_a_chat_one():
    found = chat.from_messages(
        {
            "system": [{"type": "text", "text": "be careful"}],
            "tools": [{"name": "f", "input_schema": {"x": 1}}],
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "s"},
                        {"type": "tool_use", "id": "a", "name": "f", "input": {"a": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "a", "content": "one"},
                        {"type": "text", "text": "and?"},
                        {"type": "image", "source": {}},
                    ],
                },
            ],
        }
    )
    assert [m["role"] for m in found["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "user",
    ]
    assert found["messages"][2]["tool_calls"] == [call("a")]
    assert found["messages"][3]["content"] == "one"
    assert [p["type"] for p in found["messages"][4]["content"]] == ["text", "image_url"]
    assert found["tools"][0]["function"]["parameters"] == {"x": 1}
    assert list(chat.refusals({"model": "m", **found})) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"messages": [USER]}, "'model'"),
        ({"model": "m"}, "'messages'"),
        (request(), "empty array"),
        (request({"role": "robot", "content": "x"}), "messages[0].role"),
        (request({"role": "user", "content": 7}), "messages[0].content"),
        (request({"role": "tool", "content": "x"}), "messages[0].tool_call_id"),
        (request(USER, RESULTS[0]), "must be a response to a preceeding message"),
        (request(USER, CALLS, RESULTS[0]), "did not have response messages: b"),
        (request(USER, CALLS, USER), "did not have response messages: a, b"),
        (request(USER, tools=[{"type": "function"}]), "tools[0].function.name"),
    ],
)
def test_what_the_api_refuses_is_refused_in_its_words(asked, words):
    assert words in next(chat.refusals(asked))


def test_a_well_formed_request_is_not_refused():
    assert list(chat.refusals(request(USER, CALLS, *RESULTS, tools=TOOLS))) == []
