"""Events of any length, read in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.wire.long_events import KEPT_BYTES, LongEvent, LongEventFramer
from headroom.core.wire.sse import SseFramer

LIMIT = 100
SHORT = b"event: a\ndata: 1\n\n"
LONG = b"event: big\r\ndata: " + b"x" * 300 + b" end\r\n\r\n"


def fed(framer, stream, sizes):
    found, at, turn = [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        found += framer.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    return found + framer.finish()


@given(
    st.lists(st.sampled_from([SHORT, LONG]), max_size=8),
    st.lists(st.integers(1, 400), min_size=1, max_size=5),
)
def test_long_events_are_cut_and_all_others_are_read_as_ever(pieces, sizes):
    found = fed(LongEventFramer(LIMIT), b"".join(pieces), sizes)
    assert [isinstance(e, LongEvent) for e in found] == [p == LONG for p in pieces]
    for event in found:
        if isinstance(event, LongEvent):
            assert event.name == b"big"
            assert event.head == event.tail == LONG
        else:
            assert event.raw == SHORT


@given(st.binary(max_size=600), st.lists(st.integers(1, 90), min_size=1, max_size=5))
def test_any_bytes_are_read_and_short_events_as_without_cutting(data, sizes):
    found = fed(LongEventFramer(1000), data, sizes)
    assert found == fed(SseFramer(1000), data, sizes)
    fed(LongEventFramer(20), data, sizes)


@pytest.mark.parametrize("size", [1000, 100_000])
def test_of_a_huge_event_only_its_ends_are_kept(size):
    framer = LongEventFramer(10_000)
    assert framer.feed(b"event: big\ndata: begin ") == []
    for _ in range(20_000_000 // size):
        assert framer.feed(b"y" * size) == []
        assert len(framer.pending) <= KEPT_BYTES
    (event, after) = framer.feed(b" end\n\n" + SHORT)
    assert event.head.startswith(b"event: big\ndata: begin yyy")
    assert event.tail.endswith(b"yyy end\n\n")
    assert len(event.head) <= KEPT_BYTES >= len(event.tail)
    assert after.raw == SHORT
