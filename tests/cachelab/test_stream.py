import json

from hypothesis import given
from hypothesis import strategies as st

from headroom.cachelab.client import read_stream
from headroom.cachelab.stream import chunks

USAGE = {
    "input_tokens": 7,
    "cache_creation_input_tokens": 20,
    "cache_read_input_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 42,
    "service_tier": "standard",
}


def message(*blocks):
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": list(blocks),
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": USAGE,
    }


BLOCKS = (
    {"type": "thinking", "thinking": "Where is it? " * 9, "signature": "c2lnbmVk" * 20},
    {"type": "text", "text": "Überall Zeilen\n\nund “Zitate”. " * 5},
    {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"a": ["é", 1.5]}},
    {"type": "tool_use", "id": "toolu_2", "name": "List", "input": {}},
)


def frames(data):
    """Events by the framing rules of the HTML standard, written for this test."""
    kind, lines, found = None, [], []
    for line in data.decode().split("\n"):
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            lines.append(line[6:])
        elif not line and lines:
            found.append((kind, json.loads("\n".join(lines))))
            kind, lines = None, []
    assert not lines
    return found


def test_every_event_is_named_by_its_type_and_comes_in_the_documented_order():
    found = frames(b"".join(chunks(message(*BLOCKS))))
    assert all(kind == event["type"] for kind, event in found)
    order = [kind for kind, _ in found if kind != "content_block_delta"]
    block = ["content_block_start", "content_block_stop"]
    assert order == [
        "message_start",
        *block,
        "ping",
        *(block * 3),
        "message_delta",
        "message_stop",
    ]


def test_usage_stands_in_the_first_event_and_is_completed_in_the_last():
    found = dict(frames(b"".join(chunks(message(*BLOCKS)))))
    first = found["message_start"]["message"]
    assert first["content"] == []
    assert first["stop_reason"] is None
    assert first["usage"] == {**USAGE, "output_tokens": 1}
    assert found["message_delta"]["usage"]["output_tokens"] == 42
    assert found["message_delta"]["usage"]["cache_read_input_tokens"] == 30
    assert found["message_delta"]["delta"]["stop_reason"] == "tool_use"


def test_the_reader_gets_the_blocks_that_were_sent():
    assert read_stream(b"".join(chunks(message(*BLOCKS)))) == (list(BLOCKS), "")


def test_deltas_are_small_and_travel_in_several_chunks():
    pieces = list(chunks(message(*BLOCKS)))
    assert len(pieces) > 3
    assert max(map(len, pieces)) < 2000


def test_a_stream_cut_short_is_noticed():
    data = b"".join(chunks(message(*BLOCKS)))
    assert read_stream(data[: len(data) // 2 // 100 * 100].rpartition(b"\n\n")[0])[1]
    assert read_stream(data.replace(b"message_stop", b"message_halt"))[1] == (
        "the stream ended before message_stop"
    )


def test_an_error_event_is_noticed():
    frame = b'event: error\ndata: {"type":"error","error":{"type":"overloaded"}}\n\n'
    assert "overloaded" in read_stream(frame)[1]


@given(
    st.text(min_size=1),
    st.dictionaries(st.text(), st.one_of(st.text(), st.integers(-9, 9), st.none())),
)
def test_any_text_and_arguments_arrive_as_they_are(words, arguments):
    blocks = [
        {"type": "text", "text": words},
        {"type": "tool_use", "id": "a", "name": "b", "input": arguments},
    ]
    assert read_stream(b"".join(chunks(message(*blocks)))) == (blocks, "")
