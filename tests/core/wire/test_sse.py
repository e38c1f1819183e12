import json
import random
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.wire.sse import (
    SseEvent,
    SseFramer,
    parse_sse_events_from_byte_buffer,
    with_data,
)
from headroom.errors import StreamError


def frame(*chunks, **options):
    framer = SseFramer(**options)
    events = [event for chunk in chunks for event in framer.feed(chunk)]
    return events + framer.finish(), framer


def pairs(*chunks):
    return [(e.name, e.data) for e in frame(*chunks)[0]]


def byte_by_byte(stream):
    return [stream[i : i + 1] for i in range(len(stream))]


def test_an_empty_line_ends_an_event():
    assert pairs(b"event: ping\ndata: {}\n\n") == [(b"ping", b"{}")]


def test_a_single_newline_does_not_emit_an_event():
    events, framer = frame(b"event: ping\ndata: {}\n")
    assert events == []
    assert framer.pending == b"event: ping\ndata: {}\n"


def test_several_events_come_out_of_one_chunk():
    assert pairs(b"data: 1\n\ndata: 2\n\nevent: x\ndata: 3\n\n") == [
        (None, b"1"),
        (None, b"2"),
        (b"x", b"3"),
    ]


def test_a_chunk_may_end_inside_an_event_name():
    assert pairs(b"event: content_blo", b"ck_delta\nda", b"ta: {}\n", b"\n") == [
        (b"content_block_delta", b"{}")
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_with_lf_crlf_or_cr(end):
    stream = end.join([b"event: a", b"data: 1", b"data: 2", b"", b"data: 3", b"", b""])
    assert pairs(stream) == [(b"a", b"1\n2"), (None, b"3")]
    assert pairs(*byte_by_byte(stream)) == [(b"a", b"1\n2"), (None, b"3")]


def test_line_ends_may_be_mixed():
    stream = b"event: a\r\ndata: 1\rdata: 2\n\r\ndata: 3\r\rdata: 4\n\r"
    expected = [(b"a", b"1\n2"), (None, b"3"), (None, b"4")]
    assert pairs(stream) == expected
    assert pairs(*byte_by_byte(stream)) == expected


def test_a_crlf_cut_in_two_is_one_line_end():
    assert pairs(b"data: 1\r", b"\ndata: 2\r", b"\n\r", b"\n") == [(None, b"1\n2")]


def test_comments_are_skipped():
    assert pairs(b": keep-alive\n\n", b"data: 1\n: inside\ndata: 2\n\n") == [
        (None, b"1\n2")
    ]


def test_skipped_comments_stay_in_the_raw_bytes_of_the_next_event():
    events, _ = frame(b": ping\n\n\ndata: 1\n\n")
    assert [e.raw for e in events] == [b": ping\n\n\ndata: 1\n\n"]


def test_comments_are_returned_at_once_where_they_are_kept():
    events, framer = frame(b": ping\n\ndata: 1\n\n: tail", keeps_comments=True)
    assert events == [
        SseEvent(None, b"", b": ping\n\n", is_comment=True),
        SseEvent(None, b"1", b"data: 1\n\n"),
    ]
    assert framer.pending == b": tail"


def test_exactly_one_leading_space_is_stripped():
    assert pairs(b"data:x\ndata: x\ndata:  x\n\n") == [(None, b"x\nx\n x")]


def test_fields_without_a_colon_have_an_empty_value():
    assert pairs(b"data\n\ndata\ndata\n\n") == [(None, b""), (None, b"\n")]


def test_an_event_without_data_is_none_and_its_name_is_forgotten():
    assert pairs(b"event: lost\n\ndata: 1\n\n") == [(None, b"1")]


def test_unknown_fields_are_ignored():
    assert pairs(b"id: 7\nretry: 10\nDATA: no\n data: no\ndata: 1\n\n") == [
        (None, b"1")
    ]


def test_an_empty_name_is_no_name():
    assert pairs(b"event:\ndata: 1\n\n") == [(None, b"1")]


def test_a_byte_order_mark_may_open_the_stream_and_only_there():
    bom = b"\xef\xbb\xbf"
    stream = bom + b"data: 1\n\n" + bom + b"data: 2\n\ndata: 3\n\n"
    expected = [(None, b"1"), (None, b"3")]
    assert pairs(stream) == expected
    assert pairs(*byte_by_byte(stream)) == expected


def test_done_is_recognised_and_bytes_after_it_are_tolerated():
    events, framer = frame(b"data: {}\n\ndata: [DONE]\n\n\ntrailing")
    assert [e.is_done for e in events] == [False, True]
    assert framer.pending == b"\ntrailing"


def test_line_separators_of_unicode_are_data():
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"
    stream = f"data: {text}\n\n".encode()
    assert pairs(*byte_by_byte(stream)) == [(None, text.encode())]


@pytest.mark.parametrize("text", ["🎉 done", "漢字かな", "👩‍💻é"])
def test_characters_cut_at_any_byte_come_out_whole(text):
    stream = f'event: d\ndata: {{"t":"{text}"}}\n\n'.encode()
    for at in range(len(stream) + 1):
        events, _ = frame(stream[:at], stream[at:])
        assert [json.loads(e.data) for e in events] == [{"t": text}]
        buf = bytearray(stream[:at])
        found = parse_sse_events_from_byte_buffer(buf)
        buf += stream[at:]
        found += parse_sse_events_from_byte_buffer(buf)
        assert found == [("d", f'{{"t":"{text}"}}')]
        assert buf == b""


PARTS = st.sampled_from(
    [
        b"data",
        b"event",
        b":",
        b": ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"x",
        b"\xef\xbb\xbf",
        b"data: {}\n\n",
        b"event: e\r\n",
        b":c\n\n",
        "\u2028é".encode(),
        b"[DONE]",
        b"\xff",
    ]
)
STREAMS = st.one_of(st.lists(PARTS, max_size=30).map(b"".join), st.binary(max_size=200))


@given(STREAMS, st.lists(st.integers(0, 200), max_size=10), st.booleans())
def test_any_chunking_gives_the_same_events_and_loses_no_byte(stream, cuts, keeps):
    bounds = [0, *sorted(min(c, len(stream)) for c in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(bounds)]
    whole, rest = frame(stream, keeps_comments=keeps)
    for cut in (chunks, byte_by_byte(stream)):
        events, framer = frame(*cut, keeps_comments=keeps)
        assert events == whole
        assert framer.pending == rest.pending
    assert b"".join(e.raw for e in whole) + rest.pending == stream


@given(STREAMS, st.lists(st.integers(0, 200), max_size=10), st.integers(1, 40))
def test_the_size_cap_acts_the_same_for_any_chunking(stream, cuts, limit):
    def outcome(chunks):
        framer = SseFramer(limit)
        events = []
        try:
            for chunk in chunks:
                events += framer.feed(chunk)
            events += framer.finish()
            events += framer.finish()
        except StreamError:
            return events, "too long"
        return events, framer.pending

    bounds = [0, *sorted(min(c, len(stream)) for c in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(bounds)]
    assert outcome(chunks) == outcome([stream]) == outcome(byte_by_byte(stream))


def test_an_event_longer_than_allowed_is_an_error_after_those_before_it():
    framer = SseFramer(max_event_bytes=20)
    assert [e.data for e in framer.feed(b"data: 1\n\ndata: " + b"x" * 30)] == [b"1"]
    for call in (lambda: framer.feed(b"\n\n"), framer.finish):
        with pytest.raises(StreamError, match="20 bytes"):
            call()
    with pytest.raises(StreamError):
        SseFramer(max_event_bytes=20).feed(b"data: " + b"x" * 30 + b"\n\n")


def test_a_megabyte_fed_byte_by_byte_takes_linear_time():
    stream = b"data: " + b"x" * 1_000_000 + b"\n\n"
    framer = SseFramer(2 * len(stream))
    start = time.process_time()
    events = [e for i in range(len(stream)) for e in framer.feed(stream[i : i + 1])]
    assert time.process_time() - start < 10.0
    assert len(events[0].data) == 1_000_000


def test_many_events_in_one_chunk_take_linear_time():
    stream = b"event: e\ndata: {}\n\n" * 50_000
    start = time.process_time()
    assert len(frame(stream)[0]) == 50_000
    assert time.process_time() - start < 3.0


def test_a_buffer_is_drained_of_complete_events_and_keeps_its_tail():
    buf = bytearray(b"event: a\ndata: 1\n\n: c\n\ndata: 2\r\n\r\ndata: 3\n")
    assert parse_sse_events_from_byte_buffer(buf) == [("a", "1"), (None, "2")]
    assert buf == b"data: 3\n"
    assert parse_sse_events_from_byte_buffer(buf) == []
    buf += b"\n"
    assert parse_sse_events_from_byte_buffer(buf) == [(None, "3")]
    assert buf == b""


def test_a_complete_event_with_invalid_utf8_raises_loud():
    buf = bytearray(b"data: 1\n\ndata: \xff\xfe\n\ndata: 3\n\n")
    assert parse_sse_events_from_byte_buffer(buf) == [(None, "1")]
    with pytest.raises(StreamError, match="not UTF-8"):
        parse_sse_events_from_byte_buffer(buf)
    assert parse_sse_events_from_byte_buffer(buf) == [(None, "3")]


def test_an_incomplete_event_with_half_a_character_does_not_raise():
    buf = bytearray("data: 漢".encode()[:-1])
    assert parse_sse_events_from_byte_buffer(buf) == []


def test_a_buffer_over_the_cap_raises_and_is_emptied():
    buf = bytearray(b"data: " + b"x" * 50)
    with pytest.raises(StreamError):
        parse_sse_events_from_byte_buffer(buf, max_event_bytes=20)
    assert buf == b""


def test_arbitrary_bytes_never_raise():
    rng = random.Random(11)
    for _ in range(500):
        stream = rng.randbytes(rng.randrange(200))
        events, framer = frame(stream)
        assert b"".join(e.raw for e in events) + framer.pending == stream


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b'id: 7\ndata: {"a":1}\n\n', b"id: 7\ndata: {}\n\n"),
        (b'data:{"a":1}\r\n\r\n', b"data:{}\r\n\r\n"),
        (b'event: x\ndata: {"a"\ndata: :1}\n\n', b"event: x\ndata: {}\n\n"),
    ],
)
def test_an_event_takes_other_data(raw, found):
    event = SseFramer().feed(raw)[0]
    assert with_data(event.raw, event.data, b"{}", event.name or b"") == found
