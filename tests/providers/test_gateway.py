"""Message lists of gateways: every message read by its own shape, one chain for all."""

import json

import pytest

from headroom.core.plan import make_chain
from headroom.core.types import HotBlock, Slot
from headroom.errors import MalformedBodyError
from headroom.providers.gateway import GatewayMessages

PROVIDER = GatewayMessages()
CALL = {"id": "c1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
MESSAGES = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "of chat"},
    {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "t1", "name": "b", "input": {"x": 1}}],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "of messages"},
            {"type": "text", "text": "and words"},
        ],
    },
]


def parse(messages, **members):
    return PROVIDER.parse(json.dumps({"messages": messages, **members}).encode())


def test_results_of_both_shapes_are_found_with_their_calls():
    view = parse(MESSAGES)
    found = [
        (slot.call_id, slot.is_tool)
        for index in range(len(MESSAGES))
        for slot in PROVIDER.slots(view, index)
        if isinstance(slot, Slot)
    ]
    assert found == [("", False), ("c1", True), ("t1", True), ("", False)]
    calls = PROVIDER.tool_calls(view, 1) | PROVIDER.tool_calls(view, 3)
    assert {call.id: call.name for call in calls.values()} == {"c1": "a", "t1": "b"}


def test_what_the_assistant_and_the_system_say_is_hot():
    said = [{"role": role, "content": "x" * 999} for role in ("system", "assistant")]
    view = parse(said)
    for index in range(2):
        assert all(isinstance(s, HotBlock) for s in PROVIDER.slots(view, index))


def test_the_first_message_has_the_same_key_whatever_comes_next():
    keys = {
        make_chain(parse(messages), namespace="", auth_mode="payg").keys[0]
        for messages in (MESSAGES[:1], MESSAGES[:3], [MESSAGES[0], *MESSAGES[3:]])
    }
    assert len(keys) == 1


def test_without_what_the_assistant_said_it_is_an_excerpt():
    assert parse([MESSAGES[2]]).is_excerpt
    assert not parse([MESSAGES[2]]).may_drop_earlier
    assert not parse(MESSAGES).is_excerpt
    assert not parse(MESSAGES).may_drop_earlier
    assert parse(MESSAGES, context_management={"edits": []}).may_drop_earlier


def test_nothing_is_added_to_a_gateways_request():
    tool = {"type": "function", "function": {"name": "a"}}
    view = parse(MESSAGES, tools=[tool])
    assert view.tool_names == ("a",)
    assert not view.may_add_tool
    assert PROVIDER.tool_edits(view, ("headroom_retrieve",)) == []
    assert PROVIDER.front(view).cache_key is None
    assert PROVIDER.breakpoints(view, frozenset(), 4).edits == ()


@pytest.mark.parametrize("body", [b"", b"[]", b'{"messages":1}', b'{"messages":[1]}'])
def test_what_is_no_list_of_messages_is_refused(body):
    with pytest.raises(MalformedBodyError):
        PROVIDER.parse(body)
