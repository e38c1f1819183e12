"""What a terminal does not show goes; everything else stays."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headroom.core.compressors import clean as compressor
from headroom.core.content.clean import clean, is_clean
from headroom.core.types import Context

PIECES = st.lists(
    st.sampled_from(
        ["\x1b[31m", "\x1b[0m", "\x1b[", "\x1b", "m", "\r", "\n", "\r\n", " ", "\t",
         "a", "b7", "\x08", "é", "_", "50%", "\x1b]0;title\x07", "\x1b]", "@@ -1", "…"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;31merror\x1b[0m: no\n", "error: no\n"),
        ("\x1b]0;title\x07$ ls\n", "$ ls\n"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", "link\n"),
        ("10%\r50%\r100%\ndone\n", "100%\ndone\n"),
        ("working\r       \r\nnext", "working\r\nnext"),
        ("a  \nb\t\n  c \r\nd ", "a\nb\n  c\r\nd"),
        ("N\x08NA\x08AM\x08ME\x08E _\x08x\n", "NAME x\n"),
        ("plain\r\nlines\r\n", "plain\r\nlines\r\n"),
    ],
)
def test_what_is_shown_stays(text, expected):
    assert clean(text) == expected


def test_blanks_stay_where_they_count():
    diff = "diff --git a/x b/x\n@@ -1 +1 @@\n-a \n+a\n \n"
    assert clean(diff) == diff
    view = "".join(f"{n}\tline  \n" for n in range(1, 9))
    assert clean(view) == view


@settings(max_examples=600)
@given(PIECES)
@example("@@ -1\r\x1b[ ")
def test_cleaning_twice_changes_nothing(text):
    once = clean(text)
    assert clean(once) == once
    assert len(once) <= len(text)


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=60))
def test_visible_characters_stay(text):
    assert clean(f"\x1b[32m{text}\x1b[0m  \n") == f"{text}\n"
    assert is_clean(text)


@pytest.mark.parametrize(
    "unit",
    ["\x1b[", "\x1b]", "\r", "a\r", " ", " x", "\x08", "a\x08a", "\x1b[\x1b[0m0m"],
)
def test_a_megabyte_of_anything_takes_a_second_at_most(unit):
    text = f"{unit * (1_000_000 // len(unit))}x"
    start = time.perf_counter()
    clean(text)
    assert time.perf_counter() - start < 1


def test_the_compressor_serves_what_has_something_to_take_away():
    context = Context(count=len)
    text = "\x1b[32mok\x1b[0m  \n" * 9
    assert compressor.detect(text) == 0.5
    assert compressor.compress(text, context).lossless.text == "ok\n" * 9
    assert compressor.detect("ok\n" * 9) == 0
    assert compressor.compress("ok\n" * 9, context) is None
    assert compressor.compress(" ", context) is None
    assert compressor.compress("a \n" + "b\n" * 9, context) is None
    padded = "".join(f"{word:<20}\n" for word in ("one", "two", "three"))
    assert compressor.compress(padded, context).lossless.text == "one\ntwo\nthree\n"
    imitated = compressor.compress(f"[sections]\n{text}", context)
    assert imitated.lossless.text == "[sections]\n" + "ok\n" * 9
