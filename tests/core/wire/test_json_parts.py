import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.wire import json_parts
from headroom.errors import StreamError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_values_keep_their_own_bytes():
    raw = rb'{"a": 1.10, "b" :[ 1e5 ],"c":"\u00e9\/"}'
    assert json_parts.members(raw) == {
        "a": b"1.10",
        "b": b"[ 1e5 ]",
        "c": rb'"\u00e9\/"',
    }
    assert json_parts.elements(rb'[1.0, {"x" : 2}]') == [b"1.0", b'{"x" : 2}']
    assert json_parts.elements(b"null") == []


def test_half_a_surrogate_pair_costs_no_other_value_its_bytes():
    raw = rb'{ "a" : 1.10, "b":{"t":"\ud83c"}, "\ud83c":[ 2 ] }'
    assert json_parts.members(raw) == {
        "a": b"1.10",
        "b": rb'{"t":"\ud83c"}',
        "\ud83c": b"[ 2 ]",
    }
    assert json_parts.elements(rb'["\udf89", 1.0 ]') == [rb'"\udf89"', b"1.0"]
    assert json_parts.string(rb'"a\ud83c"') == "a\ud83c"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"1",
        b"{",
        b'{"a"}',
        b'{"a":1,}',
        b"{} {}",
        rb'{"\ud83c" 1}',
        rb'{"\ud83c":1',
        rb'{"\ud83c":1} x',
        rb'{"\ud83c":NaN}',
        b'{"\\ud83c":"\xff"}',
        b'{"a":' + b"[" * 5000,
    ],
)
def test_what_is_no_object_is_an_error(raw):
    with pytest.raises(StreamError):
        json_parts.members(raw)
    with pytest.raises(StreamError):
        json_parts.elements(raw.replace(b"{", b"[").replace(b":", b" "))


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=6))
def test_members_and_elements_read_back_what_was_written(value):
    for ascii_only in (True, False):
        raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace")
        expected = json.loads(raw)
        found = json_parts.members(raw)
        assert {key: json.loads(part) for key, part in found.items()} == expected
        raw = json.dumps(list(value.values())).encode()
        assert [json.loads(part) for part in json_parts.elements(raw)] == (
            json.loads(raw)
        )


@given(st.text())
def test_strings_are_written_and_read_alike(text):
    literal = json_parts.encode_string(text)
    assert json_parts.string(literal) == text
    assert json.loads(literal) == text


def test_what_is_no_string_reads_as_empty():
    for raw in (None, b"null", b"1", b"{}", b'""'):
        assert json_parts.string(raw) == ""
    for raw in (b'"', b'"\xff"', b'"\n"'):
        with pytest.raises(StreamError):
            json_parts.string(raw)


def test_counts_are_whole_numbers_of_sane_size():
    assert json_parts.count(b"0") == 0
    assert json_parts.count(b"4096") == 4096
    for raw in (None, b"-1", b"1.5", b'"3"', b"null", b"true", b"9" * 40):
        assert json_parts.count(raw) is None


def test_text_is_checked_to_be_json_and_kept_as_it_is():
    big = '{"n": ' + "9" * 6000 + ', "x": 1.10}'
    assert json_parts.checked(big) == big.encode()
    for text in ("", "{", '{"a":NaN}', "[" * 50_000, '"\ud83c"'):
        with pytest.raises(StreamError):
            json_parts.checked(text)


def test_halves_of_a_pair_that_meet_become_one_character():
    assert json_parts.joined(["a\ud83c", "\udf89b"]) == "a🎉b"
    assert json_parts.joined(["\ud83c", "x"]) == "\ud83cx"
    assert json_parts.joined(["é", "漢"]) == "é漢"
