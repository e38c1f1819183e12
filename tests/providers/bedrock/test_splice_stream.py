"""Rounds joined into one stream of frames, as the Messages splicer joins events."""

import json

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from clouds import chunk, exception, message_events, text
from headroom.core.wire.event_stream import FrameReader
from headroom.providers.anthropic.splice_stream import StreamSplicer
from headroom.providers.bedrock.frames import EventsFromFrames, chunk_of, event_of
from headroom.providers.bedrock.splice_stream import FrameSplicer

CALL = {
    "type": "tool_use",
    "id": "toolu_r",
    "name": "headroom_retrieve",
    "input": {"hash": "0" * 24},
}
OWN = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"a": 1}}
REQUEST = json.dumps(
    {
        "anthropic_version": "bedrock-2023-05-31",
        "messages": [{"role": "user", "content": "x"}],
    }
).encode()
ROUNDS = {
    "nothing hidden": [[text("a"), OWN]],
    "one retrieval": [[text("a"), CALL], [text("b")]],
    "retrieval beside a call": [[CALL, OWN]],
    "two retrievals": [[CALL], [text("b"), CALL], [text("c"), OWN]],
}


def invoke_splicer():
    return FrameSplicer(StreamSplicer(), chunk_of)


def frames_of(blocks):
    stop = "tool_use" if blocks[-1]["type"] == "tool_use" else "end_turn"
    return [chunk(event) for event in message_events(blocks, stop_reason=stop)]


def joined(splicer, rounds, sizes=()):
    """What the client gets of all rounds, and the bodies of the continuations."""
    out, bodies, body, at = b"", [], REQUEST, 0
    for number, stream in enumerate(rounds):
        if number:
            if not splicer.is_waiting:
                break
            splicer.answer(["the original"] * len(splicer.calls))
            body = splicer.next_body(body)
            bodies.append(body)
        at = 0
        for size in sizes:
            out += splicer.feed(stream[at : at + size])
            at += size
        out += splicer.feed(stream[at:]) + splicer.end()
    if splicer.is_waiting:
        splicer.answer(["the original"] * len(splicer.calls))
    return out + splicer.finish(), bodies


@pytest.mark.parametrize("name", ROUNDS)
@given(sizes=st.lists(st.integers(0, 300), max_size=30))
def test_frames_are_joined_as_their_events_are(name, sizes):
    streams = [b"".join(frames_of(blocks)) for blocks in ROUNDS[name]]
    events = [EventsFromFrames().feed(stream) for stream in streams]
    expected, expected_bodies = joined(StreamSplicer(), events)
    splicer = invoke_splicer()
    found, bodies = joined(splicer, streams, sizes)
    assert EventsFromFrames().feed(found) == expected
    assert bodies == expected_bodies
    assert (splicer.hidden is None) == (name == "nothing hidden")
    assert not splicer.is_broken
    buffer = EventStreamBuffer()
    buffer.add_data(found)
    assert all(message.headers[":event-type"] == "chunk" for message in buffer)


def test_what_hides_nothing_keeps_every_byte():
    stream = b"".join(frames_of([text("a"), OWN]))
    assert joined(invoke_splicer(), [stream])[0] == stream


def test_frames_that_were_not_changed_keep_their_bytes_beside_a_retrieval():
    first, second = (frames_of(blocks) for blocks in ROUNDS["one retrieval"])
    found, _ = joined(invoke_splicer(), [b"".join(first), b"".join(second)])
    raws = [frame.raw for frame in FrameReader().feed(found)]
    assert raws[:4] == first[:4]  # the start and the first text
    assert raws[-1] == second[-1]  # with Bedrock's own metrics in it


def test_an_exception_passes_as_it_came_and_ends_the_answer():
    failed = exception("throttlingException", "Slow down")
    stream = b"".join([*frames_of([text("a")])[:3], failed])
    splicer = invoke_splicer()
    assert joined(splicer, [stream])[0] == stream
    assert splicer.hidden is None


def test_a_stream_that_is_cut_or_damaged_never_ends_as_complete():
    frames = frames_of([text("a"), CALL])
    damaged = frames[4][:-1] + bytes([frames[4][-1] ^ 1])
    told = b"".join([*frames[:4], damaged, *frames[5:]])
    for stream in (b"".join(frames[:5]), b"".join(frames)[:-7], told):
        splicer = invoke_splicer()
        out = splicer.feed(stream) + splicer.end() + splicer.finish()
        assert splicer.is_broken
        assert not splicer.is_waiting
        assert splicer.hidden is None
        assert b"message_stop" not in EventsFromFrames().feed(out)
        last = event_of(FrameReader().feed(out)[-1])
        assert (b"event: error" in last) == (stream == told)


def test_a_failure_of_the_continuation_is_an_exception_frame():
    splicer = invoke_splicer()
    splicer.feed(b"".join(frames_of([text("a"), CALL])))
    splicer.end()
    splicer.answer(["x"])
    splicer.next_body(REQUEST)
    out = splicer.fail(b'{"type":"error","error":{"type":"api_error","message":"no"}}')
    (frame,) = FrameReader().feed(out)
    assert frame.text(":message-type") == "exception"
    assert json.loads(frame.payload) == {"message": "no"}
