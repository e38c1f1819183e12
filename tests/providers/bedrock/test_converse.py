"""Converse requests and answers."""

import copy
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clouds import exception, frame
from headroom.core.hidden import Place, Placement
from headroom.core.splice import splice
from headroom.core.types import HotBlock, PathView, Slot
from headroom.core.wire.event_stream import Header, encode
from headroom.errors import CompressionError, HeadroomError
from headroom.providers.bedrock import converse_answer
from headroom.providers.bedrock.converse import BedrockConverse
from headroom.providers.bedrock.frames import EventsFromFrames

PROVIDER = BedrockConverse()
PATH = PathView("anthropic.claude-sonnet-4-5-20250929-v1:0", is_stream=True)
POINT = {"cachePoint": {"type": "default"}}
LONG = "x" * 200

BODY = {
    "system": [{"text": "Be brief."}, POINT],
    "messages": [
        {"role": "user", "content": [{"text": "Hi"}, {"image": {"format": "png"}}]},
        {
            "role": "assistant",
            "content": [
                {
                    "reasoningContent": {
                        "reasoningText": {"text": "Hm", "signature": "s"}
                    }
                },
                {"text": "Let me look."},
                {
                    "toolUse": {
                        "toolUseId": "t1",
                        "name": "list",
                        "input": {"b": 1, "a": 2},
                    }
                },
                {"toolUse": {"toolUseId": "t2", "name": "get", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"text": "one"}]}},
                {
                    "toolResult": {
                        "toolUseId": "t2",
                        "status": "error",
                        "content": [
                            {"json": {"out": "two", "n": 1, "deep": {"log": LONG}}},
                            {"image": {}},
                            {"text": "three"},
                        ],
                    }
                },
                {"guardContent": {"text": {"text": "x"}}},
                {"text": "And?"},
            ],
        },
    ],
    "toolConfig": {
        "tools": [
            {"toolSpec": {"name": "list", "inputSchema": {"json": {}}}},
            {"toolSpec": {"name": "get", "inputSchema": {"json": {}}}},
            POINT,
        ]
    },
}


def view_of(body, path=PATH):
    return PROVIDER.parse(json.dumps(body).encode(), path)


def test_a_request_is_read_by_the_one_member_of_its_blocks():
    view = view_of(BODY)
    assert (view.model, view.is_stream, view.api) == (
        PATH.model,
        True,
        "bedrock_converse",
    )
    assert view.tool_names == ("list", "get")
    assert [m.role for m in view.messages] == ["user", "assistant", "user"]
    assert view.is_caching
    assert view.may_add_tool
    assert len(view.text_before) == 2
    calls = PROVIDER.tool_calls(view, 1)
    assert {c.id: (c.name, json.loads(c.input)) for c in calls.values()} == {
        "t1": ("list", {"b": 1, "a": 2}),
        "t2": ("get", {}),
    }
    found = [
        (
            s.address,
            json.loads(s.literal.of(view.body)),
            s.call_id,
            s.is_error,
            s.is_tool,
        )
        for s in PROVIDER.slots(view, 2)
        if isinstance(s, Slot)
    ]
    assert found == [
        ("0.0", "one", "t1", False, True),
        ("1.0.0", "two", "t2", True, True),
        ("1.0.1", LONG, "t2", True, True),
        ("1.2", "three", "t2", True, True),
        ("3", "And?", "", False, False),
    ]
    hot = [s for s in PROVIDER.slots(view, 2) if isinstance(s, HotBlock)]
    assert hot == [HotBlock(2, "guardContent")]


def test_what_the_model_said_is_hot():
    view = view_of(BODY)
    assert all(isinstance(s, HotBlock) for s in PROVIDER.slots(view, 1))


def test_cache_points_are_no_part_of_a_message_wherever_they_stand():
    plain = copy.deepcopy(BODY)
    marked = copy.deepcopy(BODY)
    content = marked["messages"][2]["content"]
    content.insert(0, POINT)
    content.insert(2, POINT)
    content.append({"cachePoint": {"type": "default", "ttl": "1h"}})
    before, after = view_of(plain), view_of(marked)
    assert [m.canonical for m in before.messages] == [
        m.canonical for m in after.messages
    ]
    addresses = [
        [s.address for s in PROVIDER.slots(view, 2) if isinstance(s, Slot)]
        for view in (before, after)
    ]
    assert addresses[0] == addresses[1]
    assert (before.frozen_count, after.frozen_count) == (0, 3)
    assert len(after.messages[2].markers) == 3


def test_content_that_only_looks_like_a_cache_point_is_content():
    other = copy.deepcopy(BODY)
    other["messages"][0]["content"][0]["text"] = '"cachePoint"'
    texts = (BODY, other)
    first, second = (view_of(body).messages[0].canonical for body in texts)
    assert first != second
    assert view_of(other).messages[0].markers == ()


def test_tools_are_added_behind_the_clients_and_nothing_is_put_in_order():
    view = view_of(BODY)
    body = splice(view.body, PROVIDER.tool_edits(view, ["headroom_retrieve"]))
    tools = json.loads(body)["toolConfig"]["tools"]
    assert tools[:3] == BODY["toolConfig"]["tools"]
    assert tools[3]["toolSpec"]["name"] == "headroom_retrieve"
    assert tools[3]["toolSpec"]["inputSchema"]["json"]["type"] == "object"
    assert not PROVIDER.front(view).tools
    assert not PROVIDER.breakpoints(view, frozenset(), 4).edits


def test_blocks_are_told_apart_by_what_clients_send_back():
    view = view_of(BODY)
    kinds = [anchor.partition(":")[0] for anchor in PROVIDER.anchors(view, 1)]
    assert kinds == ["seal", "text", "call", "call"]
    marked = copy.deepcopy(BODY)
    marked["messages"][1]["content"].insert(1, POINT)
    assert PROVIDER.anchors(view_of(marked), 1) == PROVIDER.anchors(view, 1)


@pytest.mark.parametrize("points", [(), (0,), (2,), (3, 3), (0, 2, 6)])
def test_hidden_parts_are_put_back_wherever_cache_points_stand(points):
    marked = copy.deepcopy(BODY)
    for place in points:
        marked["messages"][1]["content"].insert(place, POINT)
    turn = b'{"toolResult":{"toolUseId":"h","content":[{"text":"x"}]}}'
    call = b'{"toolUse":{"toolUseId":"h","name":"headroom_retrieve","input":{}}}'
    places = (Place(2, "call", call), Place(2, "turn", turn))
    view = view_of(marked)
    body = splice(view.body, PROVIDER.hidden_edits(view, 1, Placement(places)))
    sent = json.loads(body)["messages"]
    assert [message["role"] for message in sent] == [
        "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    bare = [[b for b in message["content"] if b != POINT] for message in sent]
    said = BODY["messages"][1]["content"]
    assert bare[1:4] == [
        [*said[:2], json.loads(call)], [json.loads(turn)], said[2:],
    ]  # fmt: skip
    everything = [block for message in sent for block in message["content"]]
    assert everything.count(POINT) == len(points)


def test_nothing_is_put_back_where_content_is_no_list():
    body = {"messages": [{"role": "assistant", "content": "x"}]}
    with pytest.raises(CompressionError):
        PROVIDER.hidden_edits(view_of(body), 0, Placement(()))


@given(st.binary(max_size=200), st.integers(0, 1500), st.integers(1, 40))
def test_any_bytes_are_a_request_or_refused(noise, at, length):
    body = json.dumps(BODY).encode()
    for data in (noise, body[:at] + noise + body[at + length :]):
        try:
            view = PROVIDER.parse(data, PATH)
            for index, message in enumerate(view.messages):
                assert data[message.span.start : message.span.end][:1] == b"{"
                PROVIDER.slots(view, index)
                PROVIDER.tool_calls(view, index)
        except HeadroomError:
            continue


ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": "x"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 4, "cacheReadInputTokens": 5},
}


def test_an_answer_tells_how_it_ended_and_what_was_billed():
    message = converse_answer.read_message(json.dumps(ANSWER).encode())
    assert (message.status, message.stop_reason) == ("message_stop", "end_turn")
    usage = message.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens) == (
        3,
        4,
        5,
    )


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"message":"no"}', b"\xff"])
def test_what_is_no_answer_is_an_error(body):
    assert converse_answer.read_message(body).status == "errored"


def read(frames):
    events = EventsFromFrames()
    reader = converse_answer.StreamReader()
    for one in frames:
        reader.feed(events.feed(one))
    return reader.close()


def test_a_stream_ends_with_its_stop_and_its_figures():
    frames = [
        frame("messageStart", {"role": "assistant"}),
        frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "x"}}),
        frame("messageStop", {"stopReason": "max_tokens"}),
        frame("metadata", {"usage": ANSWER["usage"]}),
    ]
    message = read(frames)
    assert (message.status, message.stop_reason) == ("message_stop", "max_tokens")
    assert message.usage.cache_read_input_tokens == 5
    assert read(frames[:2]).status == "truncated"
    errored = read([*frames[:2], exception("throttlingException", "Slow")])
    assert errored.status == "errored"
    assert b"Slow" in errored.error


def test_an_event_that_is_no_json_hides_none_behind_it():
    stop = frame("messageStop", {"stopReason": "end_turn"})
    broken = encode([Header(":event-type", "metadata")], b"{")
    figures = frame("metadata", {"usage": ANSWER["usage"]})
    message = read([broken + stop + broken + figures])
    assert (message.status, message.usage.output_tokens) == ("message_stop", 4)


@given(st.binary(max_size=100))
def test_any_stream_is_read_to_an_end(noise):
    frames = [frame("messageStop", {"stopReason": "end_turn"}), noise]
    for order in itertools.permutations(frames):
        assert read(order).status in {"message_stop", "errored", "truncated"}
