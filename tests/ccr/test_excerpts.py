"""Parts of originals: exact, bounded, and always with a way to ask for the rest."""

import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.ccr.excerpts import answer, rows_of

LOG = "".join(f"2026-01-0{i % 9 + 1} line {i} of a log\n" for i in range(1, 901))
ROWS = [{"id": i, "name": f"n{i}", "ok": i % 7 != 0} for i in range(1, 301)]
CSV = "id,name,note\n" + "".join(f'{i},n{i},"x, {i}"\n' for i in range(1, 101))


def test_everything_is_answered_byte_for_byte_where_it_fits():
    assert answer(LOG) == LOG
    assert answer("no line feed") == "no line feed"


def test_lines_are_numbered_from_one_and_both_ends_are_included():
    assert answer("a\nb\nc\nd\n", lines="2-3") == "[lines 2-3 of 4]\nb\nc"
    assert answer("a\nb\nc\nd", lines="4") == "[lines 4 of 4]\nd"


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ("2-", "bcd"),
        ("-2", "ab"),
        (3, "c"),
        ([2, 3], "bc"),
        (["1", "4"], "ad"),
        ("1,3-4", "acd"),
        ("3:4", "cd"),
        ("3..4", "cd"),
        (" 2 - 3 ", "bc"),
        ("'2-3'", "bc"),
        ("2-99", "bcd"),
    ],
)
def test_lines_may_be_asked_for_in_several_ways(lines, shown):
    kept = [x for x in answer("a\nb\nc\nd", lines=lines).split("\n") if x[0] != "["]
    assert "".join(kept) == shown


@pytest.mark.parametrize(
    "lines", ["abc", "0-5", "7-9", "3-2", "-", "1-2-3", {"a": 1}, "9" * 40, True]
)
def test_wrong_lines_are_answered_with_what_there_is(lines):
    said = answer("a\nb\nc\nd", lines=lines)
    assert said.startswith("[lines=")
    assert "4" in said
    assert len(said) < 300


def test_what_does_not_fit_says_what_to_ask_for_next():
    said = answer(LOG, max_bytes=5000)
    assert len(said.encode()) <= 5000
    assert re.search(r"\[not shown; ask lines=\d+-900\]$", said)


def follow(text, max_bytes, **first):
    """Ask for one page after the other, as told; the pages' texts and how many."""
    pieces, pages, ask = [], 0, first
    while ask:
        said = answer(text, max_bytes=max_bytes, **ask)
        assert len(said.encode("utf-8", "surrogatepass")) <= max_bytes
        pages += 1
        body = said.split("\n")
        last = re.fullmatch(r"\[not shown; ask (lines|rows)=(\S+)\]", body[-1])
        if last:
            body.pop()
        assert body[0].startswith(("[lines", "[rows"))
        pieces.append("\n".join(body[1:]))
        if last and "+" in last[2].partition("-")[0]:
            pieces.append("")
        else:
            pieces.append("\n")
        ask = {last[1]: last[2]} if last else None
    return "".join(pieces)[:-1], pages


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\n["), max_size=900), min_size=3
    ),
    st.integers(600, 3000),
)
def test_page_by_page_the_whole_original_comes_back(lines, max_bytes):
    text = "\n".join([*lines, "end"])
    got, _ = follow(text, max_bytes, lines="1-")
    assert got == text


def test_one_endless_line_is_read_piece_by_piece():
    text = json.dumps({"a": "é€x" * 30_000}, ensure_ascii=False)
    got, pages = follow(text, 20_000, lines="1")
    assert got == text
    assert pages < 15


def test_rows_of_an_array_stand_as_in_the_source():
    source = "[\n" + ",\n".join(f'{{"id": {i}, "v": 1.50}}' for i in range(5)) + "\n]"
    said = answer(source, rows="2-3")
    assert said == '[rows 2-3 of 5]\n{"id": 1, "v": 1.50}\n{"id": 2, "v": 1.50}'


def test_rows_are_found_inside_an_object():
    source = json.dumps({"total": 300, "items": ROWS})
    assert answer(source, rows="300").endswith(json.dumps(ROWS[299]))


def test_rows_of_json_lines_and_of_tables():
    jsonl = "".join(json.dumps(row) + "\n" for row in ROWS)
    assert answer(jsonl, rows="7").endswith(json.dumps(ROWS[6]))
    assert answer(CSV, rows="2") == '[rows 2 of 100]\nid,name,note\n2,n2,"x, 2"'


def test_a_line_feed_in_a_quoted_field_does_not_end_a_row():
    table = 'id,text\n1,"a\nb"\n2,c\n'
    assert answer(table, rows="1-2").split("\n", 2)[2] == '1,"a\nb"\n2,c'


def test_text_without_rows_says_so():
    said = answer(LOG, rows="1-3")
    assert "900 lines" in said
    assert "lines=A-B" in said
    assert rows_of("") is None
    assert rows_of('{"a": 1}') is None
    assert rows_of("[1, 2") is None
    assert rows_of("[\ud800]") is None


def test_a_search_shows_numbers_and_neighbours():
    said = answer(LOG, query="LINE 500 of")
    assert said.split("\n") == [
        "[1 of 900 lines match 'LINE 500 of']",
        *(
            f"{i}{':' if i == 500 else '-'} {LOG.splitlines()[i - 1]}"
            for i in range(498, 503)
        ),
    ]


def test_a_search_for_several_words_finds_lines_with_all_of_them():
    said = answer(LOG, query="log 500")
    assert "all words of 'log 500'" in said
    assert "500: " in said


def test_a_search_stays_within_the_lines_asked_for():
    said = answer(LOG, query="line 5", lines="540-560")
    assert said.startswith("[21 of 900 lines match")
    assert "539- " in said
    assert "500: " not in said


def test_a_search_in_one_line_of_json_shows_rows():
    said = answer(json.dumps(ROWS), query='"n250"')
    assert said == f"[1 of 300 rows match '\"n250\"']\n250: {json.dumps(ROWS[249])}"


def test_a_search_in_one_endless_line_shows_what_stands_around():
    text = "a" * 50_000 + " needle " + "b" * 50_000
    said = answer(text, query="needle")
    assert " needle " in said
    assert len(said) < 1000


def test_a_search_that_finds_nothing_or_too_much_says_so():
    assert answer(LOG, query="absent").startswith("[no match for 'absent' in 900")
    said = answer(LOG, query="line", max_bytes=4000)
    assert len(said.encode()) <= 4000
    last = re.search(r"\[(\d+) more matches; ask query=… with lines=(\d+)-900\]$", said)
    assert int(last[1]) == 900 - int(last[2]) + 1


ANY = st.one_of(
    st.none(),
    st.text("0123456789-+,: ab", max_size=12),
    st.integers(-5, 50),
    st.lists(st.integers(-2, 30), max_size=3),
    st.booleans(),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.floats(),
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(max_size=2000), st.sampled_from([LOG, CSV, json.dumps(ROWS)])),
    ANY,
    ANY,
    ANY,
    st.integers(0, 3000),
)
def test_nothing_that_is_asked_raises_or_is_answered_too_long(
    text, lines, query, rows, max_bytes
):
    said = answer(text, lines=lines, query=query, rows=rows, max_bytes=max_bytes)
    assert len(said.encode("utf-8", "surrogatepass")) <= max(500, max_bytes)


def test_ten_megabytes_are_answered_without_a_long_wait():
    text = LOG * 300
    start = time.perf_counter()
    answer(text, lines="200000-200100")
    answer(text, query="line 77 of")
    answer(json.dumps(ROWS * 500), rows="100000-100010")
    answer(text)
    assert time.perf_counter() - start < 4
