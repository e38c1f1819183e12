"""Elements of a streamed JSON array come back as they were, however it is cut."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.core.wire.json_array import ArrayFramer
from headroom.errors import StreamError

VALUES = st.recursive(
    st.none() | st.integers() | st.text('a"\\[]{},: é\u2028', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text('k"\\[{', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(st.text("ab", max_size=2), VALUES), max_size=5)


def read(data, sizes, **limits):
    framer, found, start, turn = ArrayFramer(**limits), [], 0, 0
    while start < len(data):
        end = start + sizes[turn % len(sizes)]
        found += framer.feed(data[start:end])
        start, turn = end, turn + 1
    return [*found, *framer.finish()], framer.pending


@settings(max_examples=500)
@given(
    OBJECTS,
    st.sampled_from([None, 1]),
    st.booleans(),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_any_chunking_gives_the_same_elements(objects, indent, is_ascii, sizes):
    data = json.dumps(objects, indent=indent, ensure_ascii=is_ascii).encode()
    found, rest = read(data, sizes)
    assert [json.loads(event.data) for event in found] == objects
    assert b"".join(event.raw for event in found) + rest == data
    assert all(event.raw.endswith(event.data) for event in found)


@settings(max_examples=500)
@given(st.binary(max_size=80), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_any_bytes_are_kept(data, sizes):
    found, rest = read(data, sizes)
    assert b"".join(event.raw for event in found) + rest == data


def test_a_long_element_is_refused_and_those_before_it_are_returned():
    framer = ArrayFramer(max_event_bytes=40)
    (event,) = framer.feed(b'[{"a":1},{"b":"' + b"x" * 50)
    assert event.data == b'{"a":1}'
    with pytest.raises(StreamError):
        framer.feed(b"y")


def test_a_long_element_in_small_chunks_is_read_once():
    framer = ArrayFramer(max_event_bytes=10**7)
    framer.feed(b'[{"a":"')
    for _ in range(20_000):
        framer.feed(b"x" * 100)
    (event,) = framer.feed(b'"}')
    assert len(event.data) == 2_000_000 + 8
