"""Spans are exact or refused: checked against an independent strict scanner."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.core.types import Span
from headroom.core.wire import json_spans
from headroom.errors import MalformedBodyError

# Keys that must be escaped are refused: no provider has one at a level that is read.
KEYS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'),
    max_size=6,
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=20,
)


def spaced(value, draw_space):
    """The value as JSON with arbitrary white space between tokens."""
    if isinstance(value, dict):
        pieces = [
            f"{draw_space()}{json.dumps(k, ensure_ascii=False)}{draw_space()}:"
            f"{draw_space()}{spaced(v, draw_space)}{draw_space()}"
            for k, v in value.items()
        ]
        return "{" + ",".join(pieces) + draw_space() + "}"
    if isinstance(value, list):
        pieces = [f"{draw_space()}{spaced(v, draw_space)}{draw_space()}" for v in value]
        return "[" + ",".join(pieces) + draw_space() + "]"
    return json.dumps(value, ensure_ascii=False)


@given(JSON, st.randoms(use_true_random=False))
def test_every_span_is_exactly_the_value_it_names(value, random):
    def draw_space():
        return random.choice(["", "", " ", "\n  ", "\t\r\n"])

    body = (draw_space() + spaced(value, draw_space) + draw_space()).encode()

    def check(span, expected):
        assert json.loads(span.of(body)) == expected
        if isinstance(expected, dict):
            found = json_spans.members(body, span)
            assert list(found) == list(expected)
            for key, inner in found.items():
                check(inner, expected[key])
        elif isinstance(expected, list):
            found = json_spans.elements(body, span)
            assert len(found) == len(expected)
            for inner, element in zip(found, expected, strict=True):
                check(inner, element)
        elif isinstance(expected, str):
            assert json_spans.string(body, span) == expected

    check(json_spans.whole(body), value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b'{"a":1',
        b'{"a":1}x',
        b'{"a":1,}',
        b'{"a":NaN}',
        b'{"a":01}',
        b'{"a":1,"a":2}',
        b'{"a":1,"b":2,"a":1}',
        b'{"a":{"x":1,"b":9},"b":2,"a":123456}',
        b'{"\\u0061":1}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b'{"a":"\xc3"}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\\x"}',
        b'{"a":"tab\there"}',
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        b"[" * 100_000,
        b"\x00" * 100,
        b'{"a"\x0b:1}',
    ],
)
def test_in_any_doubt_the_members_are_refused(body):
    with pytest.raises(MalformedBodyError):
        json_spans.members(body, json_spans.whole(body))


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_give_members_or_a_malformed_body(body):
    try:
        found = json_spans.members(body, json_spans.whole(body))
    except MalformedBodyError:
        return
    assert list(json.loads(body)) == list(found)


@given(JSON, st.data())
def test_a_body_with_one_byte_changed_never_yields_a_wrong_span(value, data):
    body = bytearray(json.dumps({"k": value, "z": 1}).encode())
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] = data.draw(st.integers(0, 255))
    mutated = bytes(body)
    try:
        found = json_spans.members(mutated, json_spans.whole(mutated))
    except MalformedBodyError:
        return
    pairs = json.loads(mutated, object_pairs_hook=lambda p: p)
    assert [key for key, _ in pairs] == list(found)
    for (_, expected), span in zip(pairs, found.values(), strict=True):
        read = json.loads(span.of(mutated), object_pairs_hook=lambda p: p)
        assert repr(read) == repr(expected)


def test_number_lexemes_beyond_any_type_are_only_pointed_at():
    body = b'{"a":' + b"9" * 5000 + b',"b":1e4000,"c":-0}'
    found = json_spans.members(body, json_spans.whole(body))
    assert [len(s.of(body)) for s in found.values()] == [5000, 6, 2]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a":1,"m":{"x":2}}', b'{"a":1}'),
        (b'{"m":{"x":2},"a":1}', b'{"a":1}'),
        (b'{"a": 1, "m": [1], "b": 2}', b'{"a": 1, "b": 2}'),
        (b'{ "m" : 1 }', b"{ }"),
        (b'{"a":"\\"m\\":1","m":"v"}', b'{"a":"\\"m\\":1"}'),
    ],
)
def test_a_member_is_cut_out_as_if_it_had_never_been_written(body, expected):
    span = json_spans.whole(body)
    value = json_spans.members(body, span)["m"]
    before, after = json_spans.without_member(body, span, value)
    assert before.of(body) + after.of(body) == expected


def test_a_string_literal_holds_any_text_but_lone_surrogates():
    text = 'q"\\\n\t é 🚀 \x01 \u2028'
    literal = json_spans.encode_string(text)
    assert json.loads(literal) == text
    assert json_spans.string(literal, Span(0, len(literal))) == text
    with pytest.raises(ValueError, match="surrogates not allowed"):
        json_spans.encode_string("\ud800")


@pytest.mark.parametrize(
    ("literal", "has"),
    [
        (rb'"\ud83d"', True),
        (rb'"\uDE00"', True),
        (rb'"a\ud83d\ude00b"', False),
        (rb'"\ud83d\ud83d\ude00"', True),
        (rb'"\ude00\ud83d"', True),
        (rb'"\ud83d\u0041"', True),
        (rb'"\ud83d \ude00"', True),
        (rb'"\\ud83d"', False),
        (rb'"\\\ud83d"', True),
        (rb'"\\\\ud83d"', False),
        (rb'"\ud83d\\ude00"', True),
    ],
)
def test_half_a_surrogate_pair_is_told_from_a_whole_one_and_from_a_text(literal, has):
    span = Span(0, len(literal))
    assert json_spans.has_half_pair(literal, span) == has
    assert json_spans.string(literal, span) == json.loads(literal)


def test_values_with_half_pairs_keep_their_spans():
    body = rb' {"a" : "\ud83d", "b":["\ude00", {"c":"\ud83d\ude00"}] , "c":1} '
    top = json_spans.members(body, json_spans.whole(body))
    assert [span.of(body) for span in top.values()] == [
        rb'"\ud83d"',
        rb'["\ude00", {"c":"\ud83d\ude00"}]',
        b"1",
    ]
    assert json_spans.elements(body, top["b"])[1].of(body) == (rb'{"c":"\ud83d\ude00"}')


@pytest.mark.parametrize(
    "body", [rb'{"\ud83d":1}', rb'{"a":"\ud83d","a":1}', rb'{"a":"\ud83"}']
)
def test_half_pairs_make_no_doubt_certain(body):
    with pytest.raises(MalformedBodyError):
        json_spans.members(body, Span(0, len(body)))


def test_a_text_of_nothing_but_half_pairs_is_read_in_linear_time():
    for unit in (rb"\ud83d", rb"\ude00", rb"\\ud83d", b"\\" * 64 + rb"\ud83d"):
        body = b'{"a":"%b"}' % (unit * (1_000_000 // len(unit)))
        started = time.process_time()
        found = json_spans.members(body, Span(0, len(body)))
        assert found["a"].end == len(body) - 1
        assert time.process_time() - started < 2


def test_what_is_no_escape_makes_half_pairs_malformed():
    for literal in (rb'"\UD83D \ud83d"', rb'"\ud83d\UDE00"'):
        with pytest.raises(MalformedBodyError):
            json_spans.string(literal, Span(0, len(literal)))


def test_many_texts_with_half_pairs_are_read_in_linear_time():
    text = rb'["\ud83d", "%b"]' % (b"x" * 1000)
    body = b"[%b]" % b",".join([text] * 4000)
    started = time.process_time()
    found = json_spans.elements(body, Span(0, len(body)))
    first = [json_spans.elements(body, one)[0] for one in found]
    assert {json_spans.string(body, span) for span in first} == {"\ud83d"}
    assert time.process_time() - started < 2
