"""Whoever asks for an original gets words, whatever happens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.ccr.retrieve import read_digest, retrieve, retrieve_call
from headroom.ccr.stores import open_store
from headroom.core.digest import content_digest
from headroom.core.markers import write_marker
from headroom.errors import (
    CorruptOriginalError,
    OriginalNotFoundError,
    StoreUnavailableError,
)

TEXT = "first\nsecond\nthird\n"
DIGEST = content_digest(TEXT)


@pytest.fixture
def get():
    store = open_store("memory://")
    store.save([], {DIGEST: TEXT})
    return store.get


@pytest.mark.parametrize(
    "named",
    [
        DIGEST,
        DIGEST.upper(),
        f" {DIGEST}\n",
        f"<<ccr:{DIGEST}>>",
        f"ccr:{DIGEST}",
        f"`{DIGEST}`",
        write_marker(DIGEST, "lines 1-2 omitted", "tool"),
        write_marker(DIGEST, "lines 1-2 omitted", "shell"),
    ],
)
def test_the_original_is_found_however_it_is_named(get, named):
    found = retrieve(named, get)
    assert (found.text, found.digest, found.error) == (TEXT, DIGEST, "")


def test_a_call_gives_the_part_asked_for(get):
    arguments = b'{"hash":"%s","lines":"2"}' % DIGEST.encode()
    assert retrieve_call(arguments, get).text == "[lines 2 of 3]\nsecond"


def test_arguments_that_nobody_knows_are_ignored(get):
    arguments = b'{"hash":"%s","reason":"I need it","lines":null}' % DIGEST.encode()
    assert retrieve_call(arguments, get).text == TEXT


def named_texts(name):
    if name != "7c":
        raise OriginalNotFoundError(f"no result is known as #{name}")
    return TEXT


@pytest.mark.parametrize(
    "named", ["#7c", "7c", " #7C\n", "`#7c`", "<<ccr:#7c>>", "result #7c", "Result 7c"]
)
def test_a_result_is_found_by_its_number_however_it_is_named(get, named):
    arguments = json.dumps({"hash": named, "lines": "2"}).encode()
    found = retrieve_call(arguments, get, numbered=named_texts)
    assert (found.text, found.digest) == ("[lines 2 of 3]\nsecond", "#7c")


@pytest.mark.parametrize(
    ("named", "more", "text"),
    [
        ("#7c:2-3", {}, "[lines 2-3 of 3]\nsecond\nthird"),
        ("[repeats #7c:2]", {}, "[lines 2 of 3]\nsecond"),
        ("[#7c:1-2 numbers +1]", {}, "[lines 1-2 of 3]\nfirst\nsecond"),
        ("#7c Read src/app.py", {}, TEXT),
        ("#7c:1-2", {"lines": "3"}, "[lines 3 of 3]\nthird"),
    ],
)
def test_a_reference_may_be_asked_for_as_it_stands(get, named, more, text):
    arguments = json.dumps({"hash": named} | more).encode()
    assert retrieve_call(arguments, get, numbered=named_texts).text == text


@pytest.mark.parametrize("named", ["#7c:1 #8:2", "#", "#x", "1234567", "#7e", "7:"])
def test_what_is_neither_hash_nor_number_is_answered_with_what_is_expected(get, named):
    arguments = json.dumps({"hash": named}).encode()
    found = retrieve_call(arguments, get, numbered=named_texts)
    assert (found.error, "expected" in found.text) == ("bad_arguments", True)


def test_a_number_that_nothing_is_known_by_is_answered_with_what_to_do(get):
    found = retrieve_call(b'{"hash":"#8"}', get, numbered=named_texts)
    assert found.error == "original_not_found"
    assert "#8" in found.text
    assert "run the original command again" in found.text


def test_a_hash_is_one_where_numbers_are_known_too(get):
    arguments = b'{"hash":"%s"}' % DIGEST.encode()
    assert retrieve_call(arguments, get, numbered=named_texts).text == TEXT


def test_who_does_not_know_the_conversation_finds_nothing_by_number(get):
    found = retrieve_call(b'{"hash":"#7c"}', get)
    assert found.error == "bad_arguments"


@pytest.mark.parametrize(
    "arguments",
    [b"", b"{}", b"[]", b"not json", b'"x"', b'{"hash":7}', b"\xff", b"null"],
)
def test_wrong_arguments_are_explained(get, arguments):
    found = retrieve_call(arguments, get)
    assert found.error == "bad_arguments"
    assert "hash" in found.text


@pytest.mark.parametrize("named", ["0" * 12, "0" * 23, "xyz", "", None, 5, "g" * 24])
def test_what_is_no_hash_is_explained(get, named):
    found = retrieve(named, get)
    assert found.error == "bad_arguments"
    assert "24 hex digits" in found.text


def test_an_unknown_hash_is_answered_with_what_to_do(get):
    found = retrieve("0" * 24, get)
    assert found.error == "original_not_found"
    assert "run the original command again" in found.text


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (StoreUnavailableError("/secret/path: locked"), "store_unavailable"),
        (CorruptOriginalError("kept bytes"), "corrupt_original"),
    ],
)
def test_trouble_in_the_store_is_told_without_its_inner_parts(raised, error):
    def get(digest):
        raise raised

    found = retrieve(DIGEST, get)
    assert found.error == error
    assert str(raised) not in found.text
    assert "run the original command again" in found.text


@given(st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text())))
def test_nothing_that_is_named_raises(named):
    store = open_store("memory://")
    assert retrieve(named, store.get).error
    assert len(read_digest(named)) in {0, *range(12, 25)}


@given(st.binary(max_size=100))
def test_no_arguments_raise(arguments):
    assert retrieve_call(arguments, open_store("memory://").get).error


def test_parts_that_are_not_there_are_bad_arguments_and_the_size_is_told():
    found = retrieve("0" * 24, lambda _: "é\n" * 3, lines="7-9")
    assert (found.error, found.text) == (
        "bad_arguments",
        "[lines=7-9: there are lines 1-3]",
    )
    assert retrieve("0" * 24, lambda _: "é\n" * 3).size_bytes == 9
