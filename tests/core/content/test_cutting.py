"""Long texts are cut between lines, paragraphs, files, or elements of a document."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.content.cutting import Piece, cut


def lines(count, line="a line of some words that is as long as lines are, {}"):
    return "\n".join(line.format(i) for i in range(count))


def between(text, pieces):
    """What stands in no piece."""
    ends = [0, *(piece.end for piece in pieces)]
    starts = [*(piece.start for piece in pieces), len(text)]
    return [text[end:start] for end, start in zip(ends, starts, strict=True)]


def test_lines_are_cut_at_line_ends_and_numbered_through():
    text = lines(2000)
    pieces = list(cut(text))
    assert len(pieces) > 3
    assert "\n".join(text[p.start : p.end] for p in pieces) == text
    assert pieces[0].first == 1
    assert pieces[-1].last == 2000
    assert all(after.first == one.last + 1 for one, after in pairwise(pieces))
    assert pieces[0].place == f"lines 1-{pieces[0].last}"


def test_the_shorter_the_lines_the_shorter_the_pieces():
    long, short = lines(2000, "x" * 200), lines(100_000, "x")
    assert max(p.end - p.start for p in cut(long)) > len(long) / 5
    assert max(p.end - p.start for p in cut(short)) < len(short) / 20


def test_lines_count_where_they_are_short():
    text = "x" * 300_000 + "\n" + "y\n" * 150_000
    sizes = [p.end - p.start for p in cut(text)]
    assert max(sizes[1:]) < len(text) / 20


@pytest.mark.parametrize(
    ("entry", "start"),
    [
        (
            "diff --git a/{0} b/{0}\n@@ -1,2 +1,2 @@\n same\n-old\n+new {0}",
            "diff --git ",
        ),
        ("Traceback (most recent call last):\n  File x\nValueError: {}", "Traceback"),
        ("java.lang.Error: {}\n\tat a.b.C(D.java:1)\n\tat a.b.E(F.java:2)", "java"),
        ("Words of paragraph {},\nand more of them.\n", "Words"),
    ],
)
def test_what_belongs_together_stays_together(entry, start):
    text = lines(3000, entry)
    assert all(text.startswith(start, piece.start) for piece in cut(text))


ROWS = [{"id": i, "name": f"name, [{i}", "more": {"a": [i, 2]}} for i in range(2000)]


def elements(text, pieces):
    return [one for piece in pieces for one in json.loads(piece.text_of(text))]


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_is_cut_between_elements(indent):
    text = json.dumps(ROWS, indent=indent)
    pieces = list(cut(text))
    assert len(pieces) > 2
    assert {piece.unit for piece in pieces} == {"elements"}
    assert elements(text, pieces) == ROWS
    assert pieces[-1].last == len(ROWS)
    assert between(text, pieces)[:2] == ["[", ","]


def test_the_members_of_an_object_are_cut_and_large_ones_among_them():
    small = {f"key {i}": i for i in range(3)}
    document = {**small, "items": ROWS, "mid": 7, "table": {"a": 1, "b": ROWS}, "z": {}}
    text = json.dumps(document, indent=1)
    pieces = list(cut(text))
    runs = [json.loads(piece.text_of(text)) for piece in pieces]
    assert runs[0] == small
    assert [row for run in runs if isinstance(run, list) for row in run] == ROWS * 2
    assert {"mid": 7} in runs
    assert runs[-1] == {"z": {}}
    assert '"items": [' in "".join(between(text, pieces))


def test_a_document_among_lines_is_cut_by_its_elements():
    text = f"{lines(300)}\n{json.dumps(ROWS, indent=1)}\n{lines(300)}"
    pieces = list(cut(text))
    assert pieces[0].unit == pieces[-1].unit == "lines"
    inner = [piece for piece in pieces if piece.unit == "elements"]
    assert elements(text, inner) == ROWS
    assert pieces[-1].last == text.count("\n") + 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "one line " * 9000,
        '{"a":' * 9000,
        "[" * 9000,
        '["' + "x" * 9000,
        "{}" * 90_000,
    ],
)
def test_what_cannot_be_cut_is_one_piece_or_several_of_nothing_lost(text):
    pieces = list(cut(text))
    assert all(piece.end > piece.start for piece in pieces)
    assert sum(piece.end - piece.start for piece in pieces) == len(text)


@given(st.text(st.sampled_from('[]{},":\n\\ a1'), max_size=300))
def test_pieces_are_in_order_and_nothing_but_punctuation_stands_between(text):
    text = f"{text}\n" * 30
    end = 0
    for piece in cut(text):
        assert isinstance(piece, Piece)
        assert end <= piece.start < piece.end <= len(text)
        assert piece.first <= piece.last
        end = piece.end


def test_lines_are_counted_across_blank_ones_before_documents():
    document = json.dumps([{"number": i, "name": "x" * 20} for i in range(2000)])
    text = f"\n\n\n{document}\n\n\n{document}\n{lines(20)}"
    assert list(cut(text))[-1].place == "lines 8-27"
