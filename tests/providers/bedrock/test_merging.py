"""JSON values that came in pieces."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.errors import StreamError
from headroom.providers.bedrock.merging import merged

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        (['"a"', '"b"', '""'], "ab"),
        (['"\\ud83c"', '"\\udf89"'], "\U0001f389"),
        (["[1]", "[]", '["b"]'], [1, "b"]),
        (['{"a":1}', '{"b":[2]}'], {"a": 1, "b": [2]}),
        (
            ['{"a":{"b":"x"}}', '{"a":{"b":"y","c":null}}'],
            {"a": {"b": "xy", "c": None}},
        ),
        (['{"bytes":"QUJD"}', '{"bytes":"REVG"}'], {"bytes": "QUJDREVG"}),
    ],
)
def test_texts_and_lists_are_joined_and_objects_member_by_member(pieces, whole):
    assert json.loads(merged([piece.encode() for piece in pieces])) == whole


@pytest.mark.parametrize(
    "pieces",
    [
        [b"1", b"2"],
        [b"true", b"true"],
        [b'"a"', b"[]"],
        [b'{"a":1}', b'{"a":2}'],
        [b"{}", b"null"],
        [b'{"a":' * 20 + b"{}" + b"}" * 20] * 2,
        [b'{"a":' * 5000 + b"1" + b"}" * 5000] * 2,
    ],
)
def test_what_does_not_fit_together_is_no_value(pieces):
    with pytest.raises(StreamError):
        merged(pieces)


@given(VALUES)
def test_one_piece_keeps_its_bytes(value):
    raw = json.dumps(value, indent=1).encode()
    assert merged([raw]) is raw


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text()), min_size=1))
def test_any_texts_of_any_members_stand_in_the_whole_in_their_order(pieces):
    expected = {}
    for piece in pieces:
        for name, text in piece.items():
            expected[name] = expected.get(name, "") + text
    assert json.loads(merged([json.dumps(p).encode() for p in pieces])) == expected


def test_many_pieces_take_time_in_proportion():
    pieces = [b'{"image":{"bytes":"%b"}}' % (b"A" * 40)] * 50_000
    assert len(json.loads(merged(pieces))["image"]["bytes"]) == 2_000_000
