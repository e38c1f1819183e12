import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.memory.words import MAX_WORD_CHARS, query_words, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Café, twice", ["the", "cafe", "twice"]),
        ("max_facts", ["max_facts", "max", "facts"]),
        ("鷺です", ["鷺て", "てす"]),
        ("v2本番", ["v2", "本番"]),
        ("本", ["本"]),
        ("__", []),
        ("x" * 100, ["x" * MAX_WORD_CHARS]),
    ],
)
def test_words_are_what_stays_the_same_between_spellings(text, words):
    assert words_of(text) == words


def test_a_query_has_each_word_once_and_no_common_ones():
    assert query_words("what is the port of the port service?", 9) == [
        "port",
        "service",
    ]
    assert query_words("one two three four five six", 2) == ["two", "three"]


@given(st.text())
def test_words_of_words_are_the_same_words(text):
    words = words_of(text)
    assert all(word and len(word) <= MAX_WORD_CHARS for word in words)
    assert all('"' not in word and " " not in word for word in words)
