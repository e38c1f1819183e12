import json
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.core.wire.sse import SseFramer
from headroom.errors import StreamError
from headroom.providers.anthropic.stream import (
    Message,
    StreamReader,
    Usage,
    assistant_content,
    read_message,
)

USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 4000,
    "cache_creation": {
        "ephemeral_5m_input_tokens": 100,
        "ephemeral_1h_input_tokens": 200,
    },
    "output_tokens": 1,
    "service_tier": "standard",
}


def event(kind, **members):
    data = json.dumps({"type": kind, **members}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


def start(usage=USAGE):
    message = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    return event("message_start", message=message)


def block(index, content, *deltas, is_stopped=True):
    parts = [event("content_block_start", index=index, content_block=content)]
    parts += [event("content_block_delta", index=index, delta=d) for d in deltas]
    if is_stopped:
        parts.append(event("content_block_stop", index=index))
    return b"".join(parts)


def end(reason="end_turn", output_tokens=42):
    delta = {"stop_reason": reason, "stop_sequence": None}
    usage = {"output_tokens": output_tokens}
    return event("message_delta", delta=delta, usage=usage) + event("message_stop")


def text(index, *pieces):
    deltas = [{"type": "text_delta", "text": p} for p in pieces]
    return block(index, {"type": "text", "text": ""}, *deltas)


def tool(index, *pieces, name="bash"):
    deltas = [{"type": "input_json_delta", "partial_json": p} for p in pieces]
    content = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
    return block(index, content, *deltas)


def thinking(index, pieces, signature):
    deltas = [{"type": "thinking_delta", "thinking": p} for p in pieces]
    deltas += [{"type": "signature_delta", "signature": s} for s in signature]
    content = {"type": "thinking", "thinking": "", "signature": ""}
    return block(index, content, *deltas)


def read(*chunks):
    reader = StreamReader()
    for chunk in chunks:
        reader.feed(chunk)
    return reader.close()


def content(message):
    return json.loads(assistant_content(message))


FULL = (
    start()
    + event("ping")
    + thinking(0, ["Let me ", "think 🤔"], ["EqQB", "CgIY=="])
    + text(1, "Hello", ", wörld", "\u2028🎉")
    + tool(2, "", '{"cmd": "ls', ' -la", "n": 1.10}')
    + end("tool_use")
)


def test_a_text_block_is_read_from_its_four_events():
    message = read(start() + text(0, "Hel", "lo") + end())
    assert message.status == "message_stop"
    assert (message.id, message.model) == ("msg_01", "claude-opus-4-5")
    assert message.stop_reason == "end_turn"
    assert [(b.type, b.text, b.is_complete) for b in message.blocks] == [
        ("text", "Hello", True)
    ]
    assert message.errors == ()


def test_thinking_is_accumulated_and_its_signature_kept_byte_for_byte():
    message = read(FULL)
    first = message.blocks[0]
    assert first.thinking == "Let me think 🤔"
    assert first.signature == "EqQBCgIY=="
    assert content(message)[0] == {
        "type": "thinking",
        "thinking": "Let me think 🤔",
        "signature": "EqQBCgIY==",
    }


def test_thinking_whose_text_is_omitted_keeps_its_signature():
    message = read(start() + thinking(0, [], ["EqQB"]) + end())
    assert assistant_content(message) == (
        b'[{"type":"thinking","thinking": "","signature":"EqQB"}]'.replace(b": ", b":")
    )


def test_tool_input_is_concatenated_exactly_and_parsed_at_the_stop():
    message = read(FULL)
    tool_block = message.blocks[2]
    assert (tool_block.id, tool_block.name) == ("toolu_2", "bash")
    assert tool_block.partial_json == '{"cmd": "ls -la", "n": 1.10}'
    assert b'"input":{"cmd": "ls -la", "n": 1.10}' in assistant_content(message)


def test_tool_input_that_is_not_json_is_noted_and_cannot_be_replayed():
    message = read(start() + tool(0, '{"cmd": "l') + end("max_tokens"))
    assert message.status == "message_stop"
    assert "not JSON" in message.errors[0]
    with pytest.raises(StreamError, match="block 0"):
        assistant_content(message)


def test_tool_input_may_hold_numbers_of_any_size_but_no_nan():
    digits = "1" * 5000
    message = read(start() + tool(0, f'{{"n":{digits}}}') + end())
    assert message.errors == ()
    assert digits.encode() in assistant_content(message)
    assert read(start() + tool(0, '{"n":NaN}') + end()).errors


def test_a_tool_without_deltas_keeps_the_input_it_started_with():
    content_block = {"type": "tool_use", "id": "t", "name": "now", "input": {}}
    message = read(start() + block(0, content_block) + end())
    assert content(message) == [content_block]


def test_citations_are_accumulated():
    cites = [{"type": "char_location", "cited_text": f"é{i}"} for i in range(3)]
    deltas = [{"type": "citations_delta", "citation": c} for c in cites]
    deltas.insert(1, {"type": "text_delta", "text": "as said"})
    message = read(
        start()
        + block(0, {"type": "text", "text": "", "citations": []}, *deltas)
        + end()
    )
    assert [json.loads(c) for c in message.blocks[0].citations] == cites
    assert content(message) == [{"type": "text", "text": "as said", "citations": cites}]


def test_the_last_message_delta_settles_stop_reason_and_output_tokens():
    message = read(FULL)
    assert message.stop_reason == "tool_use"
    assert message.usage == Usage(
        input_tokens=12,
        output_tokens=42,
        cache_creation_input_tokens=300,
        cache_read_input_tokens=4000,
        cache_5m_input_tokens=100,
        cache_1h_input_tokens=200,
    )


def test_usage_figures_never_shrink_within_a_stream():
    later = event(
        "message_delta", delta={}, usage={"output_tokens": 7, "input_tokens": 0}
    )
    message = read(start() + later + end(output_tokens=5))
    assert message.usage.output_tokens == 7
    assert message.usage.input_tokens == 12


def test_usage_that_makes_no_sense_is_left_out():
    usage = {"input_tokens": -5, "output_tokens": "9", "cache_creation": 3}
    message = read(start(usage) + event("message_stop"))
    assert message.usage is None
    assert message.errors == ()


def test_an_error_in_the_middle_of_a_stream_is_kept():
    error = {"type": "overloaded_error", "message": "Overloaded"}
    message = read(start() + text(0, "Hel"), event("error", error=error), text(1, "no"))
    assert message.status == "errored"
    assert json.loads(message.error) == error
    assert [b.text for b in message.blocks] == ["Hel"]


def test_a_dropped_connection_is_truncated_not_success():
    whole = FULL.removesuffix(event("message_stop"))
    assert read(whole).status == "truncated"
    assert read(b"").status == "truncated"
    assert read(FULL[:-1]).status == "truncated"
    assert read(FULL).status == "message_stop"


def test_a_stream_is_open_until_told_otherwise():
    reader = StreamReader()
    reader.feed(FULL[:200])
    assert reader.message.status == "open"
    assert reader.pending
    reader.feed(FULL[200:])
    assert reader.status == "message_stop"
    assert reader.pending == b""


def test_interleaved_blocks_are_told_apart_by_index():
    deltas = [(1, "b1"), (0, "a1"), (1, "b2"), (0, "a2")]
    stream = start()
    for index in (1, 0):
        stream += block(index, {"type": "text", "text": ""}, is_stopped=False)
    for index, piece in deltas:
        delta = {"type": "text_delta", "text": piece}
        stream += event("content_block_delta", index=index, delta=delta)
    for index in (0, 1):
        stream += event("content_block_stop", index=index)
    message = read(stream + end())
    assert [(b.index, b.text) for b in message.blocks] == [(0, "a1a2"), (1, "b1b2")]


def test_redacted_thinking_is_preserved_byte_for_byte():
    redacted = {"type": "redacted_thinking", "data": "EmwKAhgB/+=="}
    message = read(start() + block(0, redacted) + text(1, "x") + end())
    assert message.blocks[0].data == "EmwKAhgB/+=="
    assert assistant_content(message).startswith(
        b"[" + json.dumps(redacted).encode() + b","
    )


def test_server_tools_and_unknown_members_are_kept():
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    result = {
        "type": "web_search_tool_result",
        "tool_use_id": "s",
        "content": [{"type": "web_search_result", "encrypted_content": "Eq/+="}],
    }
    delta = {"type": "input_json_delta", "partial_json": '{"query":"é"}'}
    extended = {**use, "caller": {"type": "direct"}}
    message = read(start() + block(0, extended, delta) + block(1, result) + end())
    assert content(message) == [{**extended, "input": {"query": "é"}}, result]


def test_a_compaction_block_takes_the_content_its_delta_sets():
    delta = {
        "type": "compaction_delta",
        "content": "summary",
        "encrypted_content": "E=",
    }
    message = read(start() + block(0, {"type": "compaction", "content": None}, delta))
    assert content(message) == [
        {"type": "compaction", "content": "summary", "encrypted_content": "E="}
    ]


def test_unknown_events_and_deltas_are_counted_and_the_stream_goes_on():
    odd = {"type": "odd_delta", "x": 1}
    message = read(
        start(),
        event("novelty", a=1) * 2,
        block(
            0, {"type": "text", "text": ""}, odd, {"type": "text_delta", "text": "k"}
        ),
        end(),
    )
    assert message.unknown == (("novelty", 2), ("odd_delta", 1))
    assert [json.loads(d) for d in message.blocks[0].unknown_deltas] == [odd]
    assert message.blocks[0].text == "k"
    assert message.status == "message_stop"


def test_pings_and_comments_change_nothing():
    noisy = b": hello\n\n" + FULL.replace(b"event: content", b": c\nevent: content")
    quiet = FULL.replace(event("ping"), b"")
    assert read(noisy) == read(FULL) == read(quiet)


def test_events_are_handed_on_with_type_index_and_exact_bytes():
    reader = StreamReader()
    events = reader.feed(FULL)
    assert b"".join(e.raw for e in events) == FULL
    assert [(e.type, e.index) for e in events[:4]] == [
        ("message_start", None),
        ("ping", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
    ]


def test_a_delta_for_a_block_that_was_not_started_is_not_lost():
    delta = {"type": "text_delta", "text": "late"}
    message = read(start() + event("content_block_delta", index=3, delta=delta) + end())
    assert [(b.index, b.text) for b in message.blocks] == [(3, "late")]
    assert content(message) == [{"type": "text", "text": "late"}]
    assert "not started" in message.errors[0]


def test_a_block_started_twice_is_noted_and_keeps_its_text():
    again = event("content_block_start", index=0, content_block={"type": "text"})
    message = read(start() + text(0, "kept") + again + end())
    assert message.blocks[0].text == "kept"
    assert "started before" in message.errors[0]


def test_halves_of_an_emoji_in_two_deltas_are_joined():
    halves = [rf'{{"type":"text_delta","text":"{h}"}}' for h in (r"\ud83c", r"\udf89")]
    deltas = "".join(
        f'data: {{"type":"content_block_delta","index":0,"delta":{h}}}\n\n'
        for h in halves
    )
    opening = block(0, {"type": "text", "text": ""}, is_stopped=False)
    message = read(start() + opening + deltas.encode() + end())
    assert message.blocks[0].text == "🎉"
    assert content(message) == [{"type": "text", "text": "🎉"}]


def test_half_a_surrogate_pair_anywhere_leaves_the_rest_as_it_was():
    raw = rb'{ "type":"tool_use", "input":{"a":1.10, "b":"\ud83c"},"id":"t"} '
    body = b'{"content":[' + raw + b', {"type":"text","text":"x"} ] }'
    message = read_message(body)
    assert [b.type for b in message.blocks] == ["tool_use", "text"]
    assert assistant_content(message) == (
        b"[" + raw.strip() + b',{"type":"text","text":"x"}]'
    )
    for broken in (body[:-3], body.replace(b'"id":', b'"id",'), body + b"x"):
        assert read_message(broken).status == "errored"


def test_a_lone_surrogate_survives_as_its_escape():
    delta = rb'data: {"type":"content_block_delta","index":0,"delta":'
    delta += rb'{"type":"text_delta","text":"a\ud83c"}}' + b"\n\n"
    opening = block(0, {"type": "text", "text": ""}, is_stopped=False)
    message = read(start() + opening + delta + end())
    assert rb"a\ud83c" in assistant_content(message)


def test_an_event_over_the_size_cap_is_an_error_and_no_exception():
    reader = StreamReader(max_event_bytes=2000)
    reader.feed(start())
    assert reader.feed(b"data: " + b"x" * 3000) == []
    assert reader.feed(b"\n\n") == []
    message = reader.close()
    assert message.status == "errored"
    assert "2000 bytes" in message.errors[0]
    assert message.error == b""


def test_complaints_are_limited():
    reader = StreamReader()
    reader.feed(b"data: {broken\n\n" * 500)
    reader.feed(b"".join(event(f"odd{i}") for i in range(500)))
    assert len(reader.errors) <= 32
    assert len(reader.unknown) <= 32


@given(st.lists(st.integers(0, len(FULL)), max_size=12))
@settings(deadline=None)
def test_any_chunking_reads_the_same(cuts):
    bounds = [0, *sorted(cuts), len(FULL)]
    chunks = [FULL[a:b] for a, b in pairwise(bounds)]
    reader = StreamReader()
    events = [e for chunk in chunks for e in reader.feed(chunk)]
    assert events == StreamReader().feed(FULL)
    assert reader.close() == read(FULL)


def test_one_byte_at_a_time_reads_the_same():
    assert read(*(FULL[i : i + 1] for i in range(len(FULL)))) == read(FULL)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_raise(data):
    assert isinstance(read(data, b"\n\n"), Message)
    assert isinstance(read(b"data: " + data + b"\n\n"), Message)
    assert isinstance(read_message(data), Message)


def test_streams_with_flipped_bytes_never_raise():
    rng = random.Random(5)
    for _ in range(300):
        stream = bytearray(FULL)
        for _ in range(rng.randrange(1, 6)):
            stream[rng.randrange(len(stream))] = rng.randrange(256)
        message = read(bytes(stream))
        assert message.status in {"message_stop", "truncated", "errored"}
        try:
            assert json.loads(assistant_content(message)) is not None
        except (StreamError, UnicodeDecodeError):
            continue


JSON_ANSWER = json.dumps(
    {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-5",
        "content": [
            {
                "type": "thinking",
                "thinking": "Let me think 🤔",
                "signature": "EqQBCgIY==",
            },
            {"type": "text", "text": "Hello, wörld\u2028🎉"},
            {
                "type": "tool_use",
                "id": "toolu_2",
                "name": "bash",
                "input": {"cmd": "ls -la", "n": 1.1},
            },
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {**USAGE, "output_tokens": 42},
    }
).encode()


def test_a_json_answer_reads_like_its_stream():
    streamed, whole = read(FULL), read_message(JSON_ANSWER)
    for name in ("status", "id", "model", "stop_reason", "usage", "errors"):
        assert getattr(streamed, name) == getattr(whole, name)
    assert content(streamed) == content(whole)
    for one, other in zip(streamed.blocks, whole.blocks, strict=True):
        for name in ("type", "id", "name", "text", "thinking", "signature"):
            assert getattr(one, name) == getattr(other, name)
        assert one.is_complete
        assert other.is_complete


def test_blocks_of_a_json_answer_are_replayed_byte_for_byte():
    raw = (
        rb'{"content":[{"type":"text", "text":"\u00e9\/", "n":1.10}],"type":"message"}'
    )
    assert assistant_content(read_message(raw)) == (
        rb'[{"type":"text", "text":"\u00e9\/", "n":1.10}]'
    )


def test_an_error_answer_is_errored_and_keeps_the_error():
    raw = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}'
    message = read_message(raw)
    assert message.status == "errored"
    assert json.loads(message.error)["type"] == "rate_limit_error"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"content":[1',
        b'{"content":[1]}',
        b'{"id":"\xff"}',
        b'{"usage":[]}',
        b"[" * 99_999,
        b'{"content":' + b"[" * 99_999,
    ],
)
def test_an_answer_that_cannot_be_read_is_errored_not_raised(body):
    message = read_message(body)
    assert message.status == "errored"
    assert message.errors


def test_the_reader_and_the_framer_agree_on_events():
    framed = SseFramer().feed(FULL)
    read_events = StreamReader().feed(FULL)
    assert [e.raw for e in framed] == [e.raw for e in read_events]
    assert [e.data for e in framed] == [e.data for e in read_events]
