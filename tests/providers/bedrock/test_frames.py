"""Frames as events and back."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clouds import chunk, exception, frame, message_events, text
from headroom.core.wire.event_stream import FrameReader, Header, encode
from headroom.core.wire.sse import SseFramer
from headroom.providers.anthropic.stream import StreamReader
from headroom.providers.bedrock.frames import (
    EventsFromFrames,
    KnownFrames,
    chunk_of,
    error_event,
    event_of,
)

EVENTS = list(message_events([text("Grüße \u2028 – “x”\n")]))
STREAM = b"".join(chunk(event) for event in EVENTS)


def translated(stream, sizes=()):
    reader = EventsFromFrames()
    out, at = b"", 0
    for size in sizes:
        out += reader.feed(stream[at : at + size])
        at += size
    return out + reader.feed(stream[at:]), reader


def parsed(sse):
    return [(event.name.decode(), event.data) for event in SseFramer().feed(sse)]


@given(st.lists(st.integers(0, 90), max_size=40))
def test_eventstream_translated_to_sse(sizes):
    out, reader = translated(STREAM, sizes)
    assert [(n, json.loads(d)) for n, d in parsed(out)] == [
        (event["type"], event) for event in EVENTS
    ]
    assert reader.count == len(EVENTS)
    assert (reader.error, reader.pending) == (None, b"")


def test_the_messages_reader_reads_the_translation():
    reader = StreamReader()
    reader.feed(translated(STREAM)[0])
    message = reader.close()
    assert message.status == "message_stop"
    assert message.usage.output_tokens == 9
    assert message.blocks[0].text == "Grüße \u2028 – “x”\n"


def test_an_event_that_stands_in_its_chunk_as_it_is_is_read_too():
    raw = frame("chunk", {"type": "ping"})
    assert parsed(event_of(FrameReader().feed(raw)[0])) == [
        ("ping", b'{"type": "ping"}')
    ]


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (exception("throttlingException", "Slow"), "rate_limit_error", "Slow"),
        (exception("validationException", "Bad"), "invalid_request_error", "Bad"),
        (exception("serviceUnavailableException", "x"), "overloaded_error", "x"),
        (exception("modelStreamErrorException", "x"), "api_error", "x"),
        (exception("somethingNew", ""), "api_error", "somethingNew"),
        (
            encode(
                [
                    Header(":message-type", "error"),
                    Header(":error-code", "throttlingException"),
                    Header(":error-message", 'It said "no"'),
                ],
                b"",
            ),
            "rate_limit_error",
            'It said "no"',
        ),
    ],
)
def test_exceptions_and_errors_become_error_events(raw, kind, words):
    ((name, data),) = parsed(event_of(FrameReader().feed(raw)[0]))
    assert name == "error"
    assert json.loads(data) == {
        "type": "error",
        "error": {"type": kind, "message": words},
    }


def test_a_damaged_frame_is_one_error_event_and_nothing_follows_it():
    good = chunk({"type": "ping"})
    for cut in (good[:-1] + b"\x00", b"\xff" * 40):
        out, reader = translated(good + cut + STREAM)
        assert [name for name, _ in parsed(out)] == ["ping", "error"]
        assert reader.error.frame == 1
        assert reader.feed(STREAM) == b""


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[1,2]",
        b'{"bytes":5}',
        b'{"bytes":"not base64!"}',
        '{"bytes":"\u0666AAA"}'.encode(),
        b'{"bytes":"/w=="}',
        b'{"bytes":"ew=="}',
        b'{"type":"a\\nevent: x"}',
        b'{\n"type":\r\n"x"}',
        b"\xff\xfe",
    ],
)
def test_whatever_stands_in_a_chunk_is_one_event(payload):
    raw = encode([Header(":event-type", "chunk")], payload)
    sse = event_of(FrameReader().feed(raw)[0])
    assert len(parsed(sse)) == 1
    assert sum(line.startswith(b"event: ") for line in sse.splitlines()) == 1


@given(st.binary(max_size=200), st.text(max_size=20))
def test_no_payload_and_no_name_breaks_the_translation(payload, name):
    raw = encode([Header(":event-type", name)], payload)
    assert len(parsed(event_of(FrameReader().feed(raw)[0]))) <= 1


def test_a_name_cannot_hold_more_than_a_name():
    raw = encode([Header(":event-type", "x\n\nevent: message_stop\ndata: y")], b"{}")
    assert parsed(event_of(FrameReader().feed(raw)[0])) == [("chunk", b"{}")]


def test_events_leave_in_the_frames_they_came_in():
    known = KnownFrames(chunk_of)
    reader = EventsFromFrames()
    for event, raw in reader.pairs(STREAM):
        known.keep(event, raw)
    events = SseFramer().feed(translated(STREAM)[0])
    assert b"".join(known.frame(event) for event in events) == STREAM


def test_changed_events_get_frames_that_read_the_same():
    (event,) = SseFramer().feed(b'event: x\ndata: {"type":"x","n":1}\n\n')
    (made,) = FrameReader().feed(chunk_of(event))
    assert made.text(":event-type") == "chunk"
    assert base64.b64decode(json.loads(made.payload)["bytes"]) == event.data
    assert event_of(made) == event.raw


@pytest.mark.parametrize("kind", ["rate_limit_error", "overloaded_error", "api_error"])
def test_errors_survive_the_way_there_and_back(kind):
    sse = error_event(kind, "words")
    (event,) = SseFramer().feed(sse)
    (made,) = FrameReader().feed(chunk_of(event))
    assert made.text(":message-type") == "exception"
    assert event_of(made) == sse
