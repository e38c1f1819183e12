"""Laws that every registered compressor keeps, on any text.

A new plug-in joins by its line in the registry. Texts are the golden inputs of all
kinds, cut, joined and damaged, and arbitrary strings.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headroom
from fakes import settled
from headroom.core.compressors import COMPRESSORS
from headroom.core.types import KINDS, Context
from headroom.inference.tokens import counter_for

INPUTS = sorted(Path(__file__).parents[1].joinpath("golden").glob("*/*/input.txt"))
SAMPLES = [path.read_bytes().decode() for path in INPUTS]
COUNT = counter_for(None)

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=600)


@st.composite
def damaged(draw, *, is_joined=True):
    """A sample, or two, with lines dropped, repeated, cut or replaced."""
    lines = draw(st.sampled_from(SAMPLES)).split("\n")
    if is_joined and draw(st.booleans()):
        lines += draw(st.sampled_from(SAMPLES)).split("\n")[:60]
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["drop", "twice", "cut", "other", "odd"])):
            case "drop" if len(lines) > 1:
                del lines[at]
            case "twice":
                lines.insert(at, lines[at])
            case "cut":
                lines[at] = lines[at][: draw(st.integers(0, 40))]
            case "other":
                lines[at] = draw(ANY)
            case _:
                lines[at] = draw(st.sampled_from(["", "\x1b[31mred\x1b[0m", "\r", "﻿"]))
    return "\n".join(lines)


TEXTS = st.one_of(damaged(), ANY)


@pytest.mark.parametrize("compressor", COMPRESSORS, ids=lambda c: c.name)
@settings(max_examples=60)
@given(text=TEXTS)
def test_any_text_gives_forms_or_nothing(compressor, text):
    confidence = compressor.detect(text)
    assert 0.0 <= confidence <= 1.0
    assert compressor.detect(text) == confidence
    context = Context(count=COUNT, wants_lossy=True)
    found = compressor.compress(text, context)
    again = compressor.compress(text, context)
    found = settled(found)
    assert found == settled(again)
    if found is not None and found.lossless is not None:
        assert not found.lossless.omitted
    if found is not None and found.lossy is not None:
        assert found.lossy.omitted


@settings(max_examples=150)
@given(TEXTS)
def test_tokens_never_grow_and_lossless_says_so(text):
    result = headroom.compress_text(text)
    assert result.lossless
    assert result.marker == ""
    if result.text != text:
        assert COUNT(result.text) < COUNT(text)
        assert len(result.text.encode()) < len(text.encode())
    else:
        assert result.tokens_before == result.tokens_after


@settings(max_examples=100)
@given(damaged(is_joined=False))
def test_compressing_twice_changes_nothing(text):
    once = headroom.compress_text(text).text
    assert headroom.compress_text(once).text == once


@settings(max_examples=100)
@given(damaged())
def test_lossy_results_account_for_what_is_missing(text):
    result = headroom.compress_text(text, lossy=True)
    if not result.lossless:
        assert result.omitted
        assert result.original == text
        assert COUNT(result.text) < COUNT(text)


def test_names_are_unique_and_kinds_are_known():
    names = [c.name for c in COMPRESSORS]
    assert len(names) == len(set(names))
    assert {c.kind for c in COMPRESSORS} <= set(KINDS)


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_result_does_not_depend_on_the_process(seed):
    code = (
        "import sys, headroom, hashlib\n"
        "h = hashlib.sha256()\n"
        "for p in sys.argv[1:]:\n"
        "    t = open(p, 'rb').read().decode()\n"
        "    for lossy in (False, True):\n"
        "        h.update(headroom.compress_text(t, lossy=lossy).text.encode())\n"
        "print(h.hexdigest())"
    )
    paths = [str(p) for p in INPUTS[::3]]
    found = {
        subprocess.run(
            [sys.executable, "-c", code, *paths],
            env={"PYTHONHASHSEED": value, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for value in (seed, "7")
    }
    assert len(found) == 1
