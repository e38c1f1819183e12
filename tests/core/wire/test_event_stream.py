"""Frames of AWS event streams, compared with botocore's own parser."""

import contextlib
import struct
import zlib

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.core.wire.event_stream import (
    MAX_FRAME_BYTES,
    Frame,
    FrameReader,
    Header,
    encode,
)
from headroom.errors import EventStreamError

UUID = bytes(range(16))
EVERY_TYPE = (
    Header("yes", value=True, type=0),
    Header("no", value=False, type=1),
    Header("byte", -7, 2),
    Header("short", -30_000, 3),
    Header("int", 2**31 - 1, 4),
    Header("long", -(2**63), 5),
    Header("bytes", b"\x00\xff", 6),
    Header(":event-type", "chunk – größer", 7),
    Header("time", 1_700_000_000_123, 8),
    Header("uuid", UUID, 9),
)
FRAMES = [
    encode(EVERY_TYPE, b'{"bytes":"eA=="}'),
    encode([], b""),
    encode([Header(":message-type", "event")], b"\x00" * 1000),
]
STREAM = b"".join(FRAMES)

names = st.text(max_size=20)
header = st.one_of(
    st.builds(Header, names, st.sampled_from([True]), st.just(0)),
    st.builds(Header, names, st.sampled_from([False]), st.just(1)),
    st.builds(Header, names, st.integers(-(2**7), 2**7 - 1), st.just(2)),
    st.builds(Header, names, st.integers(-(2**15), 2**15 - 1), st.just(3)),
    st.builds(Header, names, st.integers(-(2**31), 2**31 - 1), st.just(4)),
    st.builds(Header, names, st.integers(-(2**63), 2**63 - 1), st.sampled_from([5, 8])),
    st.builds(Header, names, st.binary(max_size=300), st.just(6)),
    st.builds(Header, names, st.text(max_size=300), st.just(7)),
    st.builds(Header, names, st.binary(min_size=16, max_size=16), st.just(9)),
)
unique_headers = st.lists(header, max_size=6, unique_by=lambda one: one.name)


def read(stream, sizes=None, **options):
    """All frames of a stream fed in chunks of given sizes, and the reader."""
    reader = FrameReader(**options)
    frames = []
    at = 0
    for size in sizes or [len(stream)]:
        frames += reader.feed(stream[at : at + size])
        at += size
    frames += reader.feed(stream[at:])
    return frames, reader


def botocores(stream):
    """What botocore reads: headers and payload of each frame."""
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    return [(message.headers, message.payload) for message in buffer]


def ours(frames):
    return [({h.name: h.value for h in f.headers}, f.payload) for f in frames]


def test_eventstream_parses_correctly():
    frames, reader = read(STREAM)
    assert frames[0].headers == EVERY_TYPE
    assert [frame.raw for frame in frames] == FRAMES
    assert frames[0].text(":event-type") == "chunk – größer"
    assert frames[0].text("int") == frames[0].text("absent") == ""
    assert reader.pending == b""
    assert ours(frames)[1:] == botocores(b"".join(FRAMES[1:]))


def test_eventstream_parses_correctly_one_byte_at_a_time():
    frames, _ = read(STREAM, [1] * len(STREAM))
    assert frames == read(STREAM)[0]


@given(
    st.lists(st.tuples(unique_headers, st.binary(max_size=2000)), max_size=4), st.data()
)
def test_botocore_reads_what_is_encoded_as_it_is_read_here(made, data):
    stream = b"".join(encode(headers, payload) for headers, payload in made)
    sizes = data.draw(st.lists(st.integers(0, 300), max_size=20))
    frames, reader = read(stream, sizes)
    assert [(list(f.headers), f.payload) for f in frames] == made
    assert b"".join(f.raw for f in frames) == stream
    assert reader.count == len(made)
    assert ours(frames) == botocores(stream)


@given(st.binary(max_size=400), st.lists(st.integers(0, 60), max_size=10))
def test_eventstream_parser_no_panic(data, sizes):
    for stream in (data, STREAM[:200] + data, data + STREAM):
        for checks_crc in (True, False):
            with contextlib.suppress(EventStreamError):
                frames, reader = read(stream, sizes, checks_crc=checks_crc)
                assert b"".join(f.raw for f in frames) + reader.pending == stream


@settings(max_examples=300)
@given(st.data())
def test_a_flipped_bit_anywhere_is_found_wherever_botocore_finds_it(data):
    frame = encode([Header(":event-type", "chunk")], b"payload")
    at = data.draw(st.integers(0, len(frame) * 8 - 1))
    damaged = bytearray(frame)
    damaged[at // 8] ^= 1 << at % 8
    with pytest.raises(ChecksumMismatch):
        botocores(bytes(damaged))
    with pytest.raises(EventStreamError) as caught:
        read(bytes(damaged))
    assert caught.value.problem in {"prelude_crc", "message_crc"}


def test_eventstream_crc_mismatch_surfaces_structured_error():
    damaged = FRAMES[1] + FRAMES[0][:-1] + bytes([FRAMES[0][-1] ^ 1])
    reader = FrameReader()
    assert len(reader.feed(damaged)) == 1  # what was whole before it
    with pytest.raises(EventStreamError) as caught:
        reader.feed(b"")
    error = caught.value
    assert (error.problem, error.frame, error.code) == (
        "message_crc",
        1,
        "event_stream_error",
    )
    assert error.expected ^ error.found == 1
    with pytest.raises(EventStreamError):
        reader.feed(STREAM)


def test_with_the_check_switched_off_a_wrong_checksum_passes():
    damaged = bytearray(FRAMES[0])
    damaged[8] ^= 1
    damaged[-1] ^= 1
    frames, _ = read(bytes(damaged), checks_crc=False)
    assert frames[0].headers == EVERY_TYPE


def prelude(total, headers_length):
    lengths = struct.pack(">II", total, headers_length)
    return lengths + struct.pack(">I", zlib.crc32(lengths))


@pytest.mark.parametrize(
    ("total", "headers_length", "problem"),
    [
        (MAX_FRAME_BYTES + 1, 0, "too_long"),
        (2**32 - 1, 2**32 - 1, "too_long"),
        (15, 0, "length"),
        (0, 0, "length"),
        (16, 1, "length"),
    ],
)
def test_a_length_that_cannot_be_is_refused_before_its_bytes_are_awaited(
    total, headers_length, problem
):
    for checks_crc in (True, False):
        with pytest.raises(EventStreamError) as caught:
            FrameReader(checks_crc=checks_crc).feed(prelude(total, headers_length))
        assert caught.value.problem == problem


@pytest.mark.parametrize(
    "head",
    [
        b"\x05ab",  # the name is cut off
        b"\x01a",  # no type
        b"\x01a\x0a",  # no such type
        b"\x01a\x07\x00\x05ab",  # the value is cut off
        b"\x01a\x04\x00",  # the number is cut off
        b"\x01a\x09" + UUID[:-1],
        b"\x01\xff\x00",  # the name is not UTF-8
        b"\x01a\x07\x00\x01\xff",  # nor is the value
    ],
)
def test_broken_headers_are_refused(head):
    start = prelude(16 + len(head), len(head)) + head
    frame = start + struct.pack(">I", zlib.crc32(start))
    with pytest.raises(EventStreamError) as caught:
        FrameReader().feed(frame)
    assert caught.value.problem == "header"


@pytest.mark.parametrize(
    "header",
    [
        Header("n" * 256, "x"),
        Header("n", "x" * 65_536),
        Header("n", 128, 2),
        Header("n", b"short", 9),
        Header("n", 1, 7),
    ],
)
def test_what_does_not_fit_is_not_encoded(header):
    with pytest.raises(ValueError):
        encode([header], b"")


def test_the_longest_frame_is_read_and_memory_is_let_go():
    payload = bytes(MAX_FRAME_BYTES - 16)
    frame = encode([], payload)
    reader = FrameReader()
    assert reader.feed(frame[:100]) == []
    (found,) = reader.feed(frame[100:])
    assert isinstance(found, Frame)
    assert len(found.payload) == len(payload)
    assert reader.pending == b""
