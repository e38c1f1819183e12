"""Responses read from events and from JSON."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.types import ToolCall
from headroom.providers.openai_responses.answer import reply_of
from headroom.providers.openai_responses.stream import (
    StreamReader,
    Usage,
    read_message,
)

USAGE = {
    "input_tokens": 1100,
    "input_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 6},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 1109,
}


def event(kind, number=0, prefix="response.", **members):
    data = {"type": f"{prefix}{kind}", "sequence_number": number, **members}
    name = f"event: {prefix}{kind}\n"
    return f"{name}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def response(status="in_progress", output=(), **more):
    return {
        "id": "resp_1",
        "object": "response",
        "model": "gpt-5.5",
        "status": status,
        "output": list(output),
        **more,
    }


def message(text, item_id="msg_1", status="completed", **more):
    content = [{"type": "output_text", "text": text, "annotations": []}] if text else []
    return {
        "type": "message",
        "id": item_id,
        "role": "assistant",
        "status": status,
        "content": content,
        **more,
    }


def function(arguments, item_id="fc_1", call_id="call_1"):
    return {
        "type": "function_call",
        "id": item_id,
        "call_id": call_id,
        "name": "exec",
        "arguments": arguments,
        "status": "completed",
    }


REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "one"}, {"text": "two 🦀"}],
    "encrypted_content": "gAAA",
}
OUTPUT = [REASONING, message("Läs 🦀"), function('{"a": 1.0}')]


def text_events(index=1, item_id="msg_1"):
    place = {"output_index": index, "item_id": item_id, "content_index": 0}
    return [
        event(
            "output_item.added",
            output_index=index,
            item=message("", item_id, "in_progress"),
        ),
        event("content_part.added", **place, part={"type": "output_text", "text": ""}),
        event("output_text.delta", **place, delta="Läs "),
        event("output_text.delta", **place, delta="🦀"),
        event("output_text.done", **place, text="Läs 🦀"),
        event("content_part.done", **place, part={}),
    ]


def call_events(index=2, item_id="fc_1"):
    place = {"output_index": index, "item_id": item_id}
    return [
        event("output_item.added", output_index=index, item=function("", item_id)),
        event("function_call_arguments.delta", **place, delta='{"a":'),
        event("function_call_arguments.delta", **place, delta=" 1.0}"),
        event("function_call_arguments.done", **place, arguments='{"a": 1.0}'),
    ]


def reasoning_events():
    place = {"output_index": 0, "item_id": "rs_1"}
    begun = {**REASONING, "summary": []}
    events = [event("output_item.added", output_index=0, item=begun)]
    for number, words in enumerate(("one", "two 🦀")):
        where = {**place, "summary_index": number}
        events += [
            event("reasoning_summary_part.added", **where, part={}),
            event("reasoning_summary_text.delta", **where, delta=words[:3]),
            event("reasoning_summary_text.delta", **where, delta=words[3:]),
            event("reasoning_summary_text.done", **where, text=words),
        ]
    return events


def done(index):
    return event("output_item.done", output_index=index, item=OUTPUT[index])


STREAM = [
    event("created", response=response()),
    event("in_progress", response=response()),
    *reasoning_events(),
    done(0),
    *text_events(),
    done(1),
    *call_events(),
    done(2),
    event(
        "completed",
        response=response("completed", OUTPUT, usage=USAGE, service_tier="default"),
    ),
]


def read(*pieces):
    reader = StreamReader()
    for piece in pieces:
        reader.feed(piece)
    return reader.close()


def told(found):
    return [(i.type, i.text or i.arguments or i.summary) for i in found.items]


ALL = [
    ("reasoning", "one\n\ntwo 🦀"),
    ("message", "Läs 🦀"),
    ("function_call", '{"a": 1.0}'),
]


def test_a_stream_is_read_in_full():
    found = read(*STREAM)
    assert (found.status, found.id, found.model) == ("completed", "resp_1", "gpt-5.5")
    assert told(found) == ALL
    assert all(item.is_complete for item in found.items)
    assert found.service_tier == "default"
    assert found.usage == Usage(
        input_tokens=70,
        output_tokens=9,
        cache_creation_input_tokens=6,
        cache_read_input_tokens=1024,
        reasoning_tokens=4,
    )
    assert (found.errors, found.unknown) == ((), ())


def test_json_reads_the_same():
    body = json.dumps(
        response("completed", OUTPUT, usage=USAGE, service_tier="default")
    )
    whole, streamed = read_message(body.encode()), read(*STREAM)
    assert told(whole) == told(streamed)
    assert (whole.usage, whole.id, whole.status) == (
        streamed.usage,
        streamed.id,
        streamed.status,
    )
    assert reply_of(whole) == reply_of(streamed)


def test_function_call_arguments_stay_the_string_they_are():
    found = read(*STREAM[:1], *call_events(0)[:3])
    assert found.items[0].arguments == '{"a": 1.0}'
    assert not found.items[0].is_complete


def test_reasoning_summary_accumulated():
    found = read(*STREAM[:1], *reasoning_events())
    assert found.items[0].summary == "one\n\ntwo 🦀"


def test_content_parts_accumulate_by_their_place():
    def where(part):
        return {"output_index": 0, "item_id": "m", "content_index": part}

    found = read(
        event("output_text.delta", **where(1), delta="b"),
        event("output_text.delta", **where(0), delta="a"),
        event("refusal.delta", **where(2), delta="no"),
    )
    assert (found.items[0].text, found.items[0].refusal) == ("ab", "no")


def test_out_of_order_item_completion_by_id():
    begun = [*STREAM[:2], *reasoning_events(), *text_events(), *call_events()]
    late = [done(2), done(0), done(1)]
    found = read(*begun, *late, STREAM[-1])
    assert told(found) == ALL
    assert all(item.is_complete for item in found.items)


def test_items_without_a_place_are_told_apart_by_id():
    found = read(
        event("output_item.added", item=message("", "a", "in_progress")),
        event("output_item.added", item=message("", "b", "in_progress")),
        event("output_text.delta", item_id="b", content_index=0, delta="B"),
        event("output_text.delta", item_id="a", content_index=0, delta="A"),
    )
    assert [item.text for item in found.items] == ["A", "B"]


def test_response_failed_status():
    error = {"code": "server_error", "message": "x"}
    failed = event("failed", response=response("failed", error=error))
    found = read(STREAM[0], failed)
    assert (found.status, json.loads(found.error)) == ("failed", error)
    assert reply_of(found) is None


def test_response_incomplete_status():
    details = {"reason": "max_output_tokens"}
    last = response("incomplete", incomplete_details=details, usage=USAGE)
    found = read(STREAM[0], event("incomplete", response=last))
    assert (found.status, found.incomplete_reason) == (
        "incomplete",
        "max_output_tokens",
    )
    assert found.usage is not None
    assert reply_of(found) is not None


def test_an_error_event_ends_the_stream():
    found = read(STREAM[0], event("error", prefix="", code="c", message="m"))
    assert (found.status, json.loads(found.error)) == (
        "errored",
        {"code": "c", "message": "m"},
    )
    nested = read(event("error", prefix="", error={"type": "t"}))
    assert json.loads(nested.error) == {"type": "t"}


@pytest.mark.parametrize("cut", range(1, len(STREAM)))
def test_without_the_end_it_is_truncated(cut):
    assert read(*STREAM[:cut]).status == "truncated"


def test_a_done_sentinel_is_no_end_here():
    assert read(STREAM[0], b"data: [DONE]\n\n").status == "truncated"
    assert read(*STREAM, b"data: [DONE]\n\n", b"data: junk\n\n").status == "completed"


def test_names_are_taken_without_their_prefix_too():
    bare = [piece.replace(b"response.", b"") for piece in STREAM]
    assert told(read(*bare)) == ALL


def test_an_end_without_the_output_keeps_what_was_streamed():
    empty = event("completed", response=response("completed", usage=USAGE))
    assert told(read(*STREAM[:-1], empty)) == ALL


def test_only_the_end_tells_all_too():
    assert told(read(STREAM[-1])) == ALL


def test_keep_alives_and_comments_are_silent_and_unknown_events_counted():
    found = read(
        b": ping\n\n",
        event("keepalive", prefix=""),
        event("from_2031"),
        event("from_2031"),
        *STREAM,
    )
    assert found.unknown == (("from_2031", 2),)
    assert told(found) == ALL


def test_a_reply_tells_how_to_go_on():
    reply = reply_of(read(*STREAM))
    assert (reply.id, len(reply.links)) == ("resp_1", 1)
    assert reply.calls == (ToolCall("call_1", "exec", b'{"a": 1.0}'),)


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b'{"output":7}', b'{"output":[7]}', b'{"usage":7}'],
)
def test_what_cannot_be_read_is_an_errored_answer(body):
    found = read_message(body)
    assert found.status in {"errored", "completed"}
    assert reply_of(found) is None


def test_an_error_answer_is_told():
    found = read_message(b'{"error":{"message":"no","type":"invalid"}}')
    assert (found.status, json.loads(found.error)["message"]) == ("errored", "no")


def test_chunk_boundary_invariance():
    data = b"".join(STREAM)
    expected = read(data)
    chooser = random.Random(7)
    for _ in range(30):
        cuts = sorted(chooser.sample(range(len(data)), 40))
        pieces = [
            data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)
        ]
        assert read(*pieces) == expected
    assert read(*(data[i : i + 1] for i in range(len(data)))) == expected


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_arbitrary_bytes_are_read_without_an_error(pieces):
    assert read(*pieces).status != "open"


@given(st.sampled_from(STREAM), st.integers(0, 200), st.binary(max_size=4))
def test_damaged_events_are_read_without_an_error(piece, place, junk):
    damaged = piece[:place] + junk + piece[place + len(junk) :]
    found = read(STREAM[0], damaged, STREAM[-1])
    assert found.status != "open"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "id", "item", "content", "output", "delta"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(
        ["created", "completed", "output_item.done", "output_text.delta", "error"]
    ),
)
def test_events_of_any_shape_are_read_without_an_error(value, kind):
    found = read(event(kind, response=value, item=value, delta=value, error=value))
    assert found.status in {"truncated", "completed", "errored"}


def long_stream(*, has_added=True):
    """Items and an end that hold far more than their limit."""
    picture = {"type": "image_generation_call", "id": "ig_1", "status": "completed"}
    whole = {**picture, "result": "A" * 5000}
    asked = function(json.dumps({"cmd": "x" * 3000}))
    begun = {**asked, "arguments": "", "status": "in_progress"}
    ended = response("completed", [whole, asked], usage=USAGE, metadata={})
    events = [
        event("created", 0, response=response()),
        event("output_item.added", 1, output_index=0, item=picture),
        event("output_item.done", 2, output_index=0, item=whole),
        event("output_item.added", 3, output_index=1, item=begun),
        event("function_call_arguments.delta", 4, output_index=1,
              item_id="fc_1", delta=asked["arguments"][:300]),
        event("function_call_arguments.delta", 5, output_index=1,
              item_id="fc_1", delta=asked["arguments"][300:600]),
        *(event("function_call_arguments.delta", 6 + n, output_index=1,
                item_id="fc_1", delta=asked["arguments"][600 + n * 300:][:300])
          for n in range(9)),
        event("output_item.done", 20, output_index=1, item=asked),
        event("completed", 21, response=ended),
    ]  # fmt: skip
    return b"".join(e for e in events if has_added or b".added" not in e)


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_answers_with_events_of_any_length_can_be_gone_on_from(size):
    stream = long_stream()
    cutting, whole = StreamReader(1000, cuts_long=True), StreamReader()
    for at in range(0, len(stream), size):
        cutting.feed(stream[at : at + size])
        assert len(cutting.pending) <= 64 * 1024
    whole.feed(stream)
    found, expected = cutting.close(), whole.close()
    assert found.status == expected.status == "completed"
    assert found.usage == expected.usage
    assert reply_of(found) == reply_of(expected)
    assert [item.is_complete for item in found.items] == [True, True]


def test_a_long_item_that_was_never_begun_is_not_guessed():
    reader = StreamReader(1000, cuts_long=True)
    reader.feed(long_stream(has_added=False))
    message = reader.close()
    assert message.status == "errored"
    assert reply_of(message) is None
