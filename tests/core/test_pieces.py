"""A long text is served piece by piece, and every piece comes back."""

import json
import re
import tracemalloc

import pytest

import headroom
from benchmarks import long_texts
from headroom.core.compressors import json_table, log
from headroom.core.mixed import decode_sections
from headroom.core.own_forms import is_own_form
from headroom.core.pieces import HEAD_AGAIN

SIZE = 450_000
ORDINARY = {
    kind: long_texts.ORDINARY[kind](SIZE)
    for kind in ("log", "csv", "array", "list", "paths", "search")
}
MEGABYTE = 1_000_000
"""Bytes; and the bound is ten of it."""


def decoded(form, decoders):
    """The text behind a form of pieces, line ends around documents aside."""
    places = re.findall(r"^\[\w+ \d+ of (.*)\]$", form, re.MULTILINE)

    def back(kind, inner):
        place = places.pop(0)
        text = decoders[kind](inner)
        if place.endswith(HEAD_AGAIN):
            return text.partition("\n")[2]
        return text if place.startswith("lines") else text.strip()[1:-1]

    return "\n".join(decode_sections(form, back))


def document(form):
    """The JSON behind a form, which may be JSON itself."""
    return json_table.decode(form) if form.startswith("#json") else form


def test_a_log_comes_back_line_by_line():
    text = ORDINARY["log"]
    form = headroom.compress_text(text).text
    assert len(form) < 0.8 * len(text)
    assert decoded(form, {"log": log.decode}).rstrip("\n") == text


@pytest.mark.parametrize("kind", ["array", "list"])
def test_a_document_comes_back_with_its_brackets(kind):
    text = ORDINARY[kind]
    form = headroom.compress_text(text).text
    assert len(form) < 0.6 * len(text)
    assert json.loads(decoded(form, {"json": document})) == json.loads(text)


def test_a_table_says_its_head_in_every_piece():
    form = headroom.compress_text(ORDINARY["csv"]).text
    announced = re.findall(r"^\[table \d+ of lines .*\]$", form, re.MULTILINE)
    assert len(announced) > 2
    assert all(line.endswith(f"{HEAD_AGAIN}]") for line in announced[1:])
    assert len(re.findall(r"^id,name,.*,status$", form, re.MULTILINE)) == len(announced)


def test_what_is_left_out_is_told_by_the_lines_of_the_text():
    text = ORDINARY["log"]
    result = headroom.compress_text(text, lossy=True)
    assert not result.lossless
    assert result.kind == "log"
    total = text.count("\n") + 1
    said = r"lines (\d+)-(\d+): \d+ of (\d+) lines omitted"
    spans = [tuple(map(int, found)) for found in re.findall(said, result.omitted)]
    assert spans[0][0] == 1
    assert spans[-1][1] == total
    assert sum(count for _, _, count in spans) == total
    assert all(last - first + 1 == count for first, last, count in spans)


def test_a_document_in_pieces_keeps_about_as_many_rows_as_one():
    text = long_texts.ORDINARY["array"](350_000)
    assert kept_rows(ORDINARY["array"]) < 1.3 * kept_rows(text)


def kept_rows(text):
    """How many rows the account of what is left out leaves."""
    omitted = headroom.compress_text(text, lossy=True).omitted
    counts = re.findall(r"root: (\d+) of (\d+) rows, numbers", omitted)
    assert counts
    return sum(int(total) - int(gone) for gone, total in counts)


def test_every_error_is_kept():
    lines = ORDINARY["log"].split("\n")
    lines[777] = "2024-03-01T00:12:57Z CRITICAL disk sdb1 vanished"
    lines[-777] = "2024-03-01T00:52:57Z CRITICAL disk sdc1 vanished"
    text = headroom.compress_text("\n".join(lines), lossy=True).text
    assert "CRITICAL disk sdb1 vanished" in text
    assert "CRITICAL disk sdc1 vanished" in text


@pytest.mark.parametrize(
    ("kind", "lossy"),
    [
        ("log", True),
        ("csv", True),
        ("search", True),
        ("paths", False),
        ("array", False),
    ],
)
def test_forms_of_pieces_are_stable(kind, lossy):
    once = headroom.compress_text(ORDINARY[kind], lossy=lossy).text
    assert len(once) < len(ORDINARY[kind])
    assert headroom.compress_text(once, lossy=lossy).text == once


def test_an_imitated_header_switches_nothing_off():
    text = ORDINARY["log"]
    plain = headroom.compress_text(text)
    for header in ("[sections]", "log templates", "[log 3 of lines 1-9]"):
        imitated = headroom.compress_text(f"{header}\n{text}")
        assert imitated.tokens_after < 1.02 * plain.tokens_after
        assert not is_own_form(f"{header}\n{text}")


def peak(text):
    tracemalloc.start()
    try:
        headroom.compress_text(text, lossy=True)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


KINDS = (
    "log", "tests", "search", "trace", "csv", "paths", "prose", "yaml", "array", "page",
    "mixed", "wide", "short log", "one key", "objects", "words",
)  # fmt: skip
"""The rest is measured by ``benchmarks.compress_memory``."""


@pytest.mark.parametrize("kind", KINDS)
def test_memory_stays_below_ten_times_a_megabyte(kind):
    text = (long_texts.ORDINARY | long_texts.DENSE)[kind](MEGABYTE)
    headroom.compress_text("what is loaded once, is loaded", lossy=True)
    assert peak(text) <= 10 * len(text.encode())
