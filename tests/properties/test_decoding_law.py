"""The law of lossless forms: decoded, they say what their text said.

Of whole outputs, and of joined, cut and damaged ones. White space, padding and what
else the page of a kind names as normalised aside.
"""

import re

import pytest
from hypothesis import given, settings

import headroom
from benchmarks import long_texts
from decoding import difference
from joining import INPUTS, SAMPLES, joined

_WORD = re.compile(r"\w{4}")


def lost(text):
    """What the lossless form of a text says other than the text, if anything."""
    found = headroom.compress_text(text)
    assert found.lossless
    if found.text == text:
        return None
    return difference(found.kind, found.text, text)


@pytest.mark.parametrize("path", INPUTS, ids=lambda p: "/".join(p.parts[-3:-1]))
def test_the_form_of_an_output_decodes_to_it(path):
    assert lost(path.read_bytes().decode()) is None


# Of a page an address could be cut, which is not looked at here.
TEXTS = [path for path in INPUTS[::3] if path.parts[-3] != "html"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: "/".join(p.parts[-3:-1]))
def test_a_form_that_says_something_else_is_found_out(path):
    text = path.read_bytes().decode()
    found = headroom.compress_text(text)
    lines = found.text.split("\n")
    worded = [at for at, line in enumerate(lines) if at and _WORD.search(line)]
    longest = max(worded, key=lambda at: len(lines[at]), default=0)
    lines[longest] = _WORD.sub("qqzq", lines[longest], count=1)
    try:
        told = difference(found.kind, "\n".join(lines), text)
    except (ValueError, KeyError, AttributeError) as error:
        told = error
    assert found.text == text or told is not None


@pytest.mark.parametrize("kind", sorted(long_texts.ORDINARY))
def test_the_pieces_of_a_long_text_decode_to_them(kind):
    text = long_texts.ORDINARY[kind](420_000)
    short = SAMPLES[len(kind) :: 17]
    assert lost(f"{text}\n" + "\n\n".join(short)) is None


@settings(max_examples=150)
@given(joined())
def test_forms_of_joined_and_damaged_texts_decode_to_them(text):
    assert lost(text) is None
