"""Where messages, blocks and markers stand in a Messages request."""

import json

import pytest

from headroom.core.types import HotBlock, Slot
from headroom.errors import MalformedBodyError
from headroom.providers.anthropic.request import (
    AnthropicMessages,
    compute_frozen_count,
    ttl_order_violations,
)

PROVIDER = AnthropicMessages()
MARK = {"type": "ephemeral"}


def parse(**body):
    return PROVIDER.parse(json.dumps({"model": "claude-x", **body}).encode())


def text(words, **more):
    return {"type": "text", "text": words, **more}


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def slot_texts(view, index):
    return {
        s.address: json.loads(s.literal.of(view.body))
        for s in PROVIDER.slots(view, index)
        if isinstance(s, Slot)
    }


def canonicals(*messages):
    return [m.canonical for m in parse(messages=list(messages)).messages]


def test_string_content_and_a_lone_text_block_are_the_same_message():
    plain, block, marked = canonicals(
        {"role": "user", "content": "hi"},
        user(text("hi")),
        user(text("hi", cache_control=MARK)),
    )
    assert plain == block == marked


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" , ", " : ")])
def test_a_marker_on_any_block_does_not_change_the_message(separators):
    def message(*, marked):
        mark = {"cache_control": MARK} if marked else {}
        body = {
            "messages": [
                user(
                    text("a"),
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": [text("part", **mark)],
                        **mark,
                    },
                )
            ]
        }
        raw = json.dumps(body, separators=separators).encode()
        return PROVIDER.parse(raw).messages[0]

    assert message(marked=True).canonical == message(marked=False).canonical
    assert len(message(marked=True).markers) == 2


def test_the_word_cache_control_inside_a_tool_input_is_content():
    def call(value):
        block = {"type": "tool_use", "id": "t", "name": "n", "input": value}
        return {"role": "assistant", "content": [block]}

    one, other = canonicals(call({"cache_control": 1}), call({}))
    assert one != other
    assert parse(messages=[call({"cache_control": 1})]).frozen_count == 0


def test_slots_are_user_texts_and_tool_results_of_both_shapes():
    view = parse(
        messages=[
            user(
                text("question"),
                {"type": "tool_result", "tool_use_id": "a", "content": "plain"},
                {
                    "type": "tool_result",
                    "tool_use_id": "b",
                    "is_error": True,
                    "content": [
                        text("p0"),
                        {"type": "image", "source": {}},
                        text("p2"),
                    ],
                },
                {"type": "image", "source": {}},
                {"type": "tool_result", "tool_use_id": "c"},
            ),
            {"role": "assistant", "content": [text("answer")]},
        ]
    )
    assert slot_texts(view, 0) == {
        "0": "question",
        "1": "plain",
        "2.0": "p0",
        "2.2": "p2",
    }
    slots = PROVIDER.slots(view, 0)
    assert [s.call_id for s in slots if isinstance(s, Slot)] == ["", "a", "b", "b"]
    assert [s.is_error for s in slots if isinstance(s, Slot)] == [
        False,
        False,
        True,
        True,
    ]
    assert [s for s in slots if isinstance(s, HotBlock)] == [
        HotBlock(3, "image"),
        HotBlock(4, "tool_result"),
    ]
    assert PROVIDER.slots(view, 1) == (HotBlock(0, "text"),)


@pytest.mark.parametrize(
    "kind", ["tool_use", "thinking", "redacted_thinking", "compaction", "from_2031"]
)
def test_hot_and_unknown_block_types_are_never_slots(kind):
    view = parse(messages=[user({"type": kind, "text": "x", "content": "x"})])
    assert PROVIDER.slots(view, 0) == (HotBlock(0, kind),)


def test_odd_content_is_hot():
    view = parse(
        messages=[
            user("x", 3, {"type": "text", "text": 3}, tool_result([1, text("p")]))
        ]
    )
    kinds = [type(slot) for slot in PROVIDER.slots(view, 0)]
    assert kinds == [HotBlock, HotBlock, HotBlock, Slot]


def tool_result(content):
    return {"type": "tool_result", "tool_use_id": "t", "content": content}


def test_more_pieces_than_any_conversation_has_are_refused():
    with pytest.raises(MalformedBodyError, match="pieces"):
        PROVIDER.parse(b'{"messages":[' + b",".join([b"{}"] * 100_001) + b"]}")


def test_padding_by_the_megabyte_is_no_matter():
    raw = b" " * 5_000_000 + b'{"messages" :' + b"\n" * 5_000_000 + b"[ ]} "
    assert PROVIDER.parse(raw).messages == ()


def test_tool_calls_carry_their_arguments_as_written():
    raw = (
        b'{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t1",'
        b'"name":"Bash","input":{"b":1.0, "a":"x"}}]}]}'
    )
    call = PROVIDER.tool_calls(PROVIDER.parse(raw), 0)["t1"]
    assert (call.name, call.input) == ("Bash", b'{"b":1.0, "a":"x"}')


def with_markers(*indices, count=6):
    return [
        user(text("x"), text("y", **({"cache_control": MARK} if i in indices else {})))
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("marked", "expected"), [((), 0), ((3,), 4), ((1, 3), 4), ((0,), 1), ((5,), 6)]
)
def test_messages_up_to_the_last_marker_are_frozen(marked, expected):
    view = parse(messages=with_markers(*marked))
    assert view.frozen_count == compute_frozen_count(view.messages) == expected


def test_markers_in_system_and_tools_do_not_move_the_floor():
    view = parse(
        system=[text("s", cache_control=MARK)],
        tools=[{"name": "t", "input_schema": {}, "cache_control": MARK}],
        messages=with_markers(),
    )
    assert view.frozen_count == 0
    assert view.is_caching


@pytest.mark.parametrize(
    ("ttls", "violations"),
    [(["5m", "1h"], 1), (["1h", "5m"], 0), ([None, "1h"], 1), (["1h", "1h"], 0)],
)
def test_a_long_lifetime_behind_a_short_one_is_counted(ttls, violations):
    marks = [{"type": "ephemeral", **({"ttl": t} if t else {})} for t in ttls]
    view = parse(messages=[user(text("a"), text("b", cache_control=m)) for m in marks])
    assert ttl_order_violations(view.body, view.messages) == violations
    assert view.warnings == (("cache_control_ttl_order",) if violations else ())


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"messages":null}',
        b'{"messages":{}}',
        b'{"messages":[1]}',
        b'{"messages":[{"role":"user"}]}',
        b'{"messages":[{"role":"user","content":null}]}',
        b'{"messages":[{"role":"user","content":"a","content":"b"}]}',
        b'{"messages":[],"messages":[]}',
        b'{"mess\\u0061ges":[]}',
    ],
)
def test_in_doubt_there_is_no_view(body):
    with pytest.raises(MalformedBodyError):
        PROVIDER.parse(body)


def test_no_messages_at_all_is_a_view_without_any():
    assert PROVIDER.parse(b'{"messages":[]}').messages == ()


def test_the_view_reads_model_stream_and_tool_names():
    view = parse(
        stream=True, tools=[{"name": "Bash"}, {"type": "web_search"}], messages=[]
    )
    assert (view.model, view.is_stream, view.tool_names) == (
        "claude-x",
        True,
        ("Bash", ""),
    )
