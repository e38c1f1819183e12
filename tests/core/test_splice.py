"""Only what an edit covers changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.splice import splice
from headroom.core.types import Edit, Span
from headroom.errors import OverlappingEditsError


def test_no_edit_gives_back_the_same_object():
    body = b'{"a": 1.0}'
    assert splice(body, []) is body


@given(st.data())
def test_bytes_outside_edits_are_copied_and_inside_replaced(data):
    body = data.draw(st.binary(max_size=80))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    edits = [Edit(Span(a, b), data.draw(st.binary(max_size=6))) for a, b in spans]
    expected, cursor = b"", 0
    for edit in edits:
        expected += body[cursor : edit.span.start] + edit.replacement
        cursor = edit.span.end
    expected += body[cursor:]
    assert (
        splice(body, list(reversed(edits)) if len(set(spans)) == len(spans) else edits)
        == expected
    )


@pytest.mark.parametrize(
    "spans", [[(0, 5), (4, 6)], [(2, 1)], [(0, 100)], [(1, 9), (3, 4)]]
)
def test_overlapping_or_impossible_spans_are_refused(spans):
    with pytest.raises(OverlappingEditsError):
        splice(b"0123456789", [Edit(Span(a, b), b"") for a, b in spans])
