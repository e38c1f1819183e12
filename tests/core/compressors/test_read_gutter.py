"""A numbered view keeps its numbers and its file text."""

from hypothesis import given
from hypothesis import strategies as st

from fakes import settled
from headroom.core.compressors.read_gutter import COMPRESSOR, compress, decode, detect
from headroom.core.types import Context

CONTEXT = Context(count=len)


def view(lines, first=1, width=6):
    return "\n".join(f"{str(first + i).rjust(width)}\t{t}" for i, t in enumerate(lines))


def short(text):
    found = settled(compress(text, CONTEXT))
    return text if found is None else found.lossless.text


def test_only_the_padding_goes():
    text = view(["import os", "", "    def f():", "\treturn 1"])
    assert short(text) == "1\timport os\n2\t\n3\t    def f():\n4\t\treturn 1"
    assert decode(short(text)) == text


def test_what_follows_the_view_stays():
    text = view(["a", "b", "c"]) + "\n\n<system-reminder>\n  12\tnot a line\n"
    assert short(text).endswith("\n\n<system-reminder>\n  12\tnot a line\n")


def test_a_view_that_begins_in_the_middle_of_a_file_is_one_too():
    text = view([f"line {i}" for i in range(30)], first=990)
    assert detect(text) > 0.9
    assert decode(short(text)) == text


def test_other_texts_are_not_views():
    for text in ["", "12\tx\n", "  3 apples\n  7 pears\n", '{"a": 1}', "   1\n   5\n"]:
        assert detect(text) == 0.0


def test_compressing_twice_changes_nothing():
    text = view(["a", "b", "c", "d"])
    assert short(short(text)) == short(text)


@given(
    st.lists(st.text(st.characters(exclude_characters="\n"), max_size=20), min_size=4),
    st.integers(1, 2_000_000),
)
def test_every_view_decodes_to_itself(lines, first):
    text = view(lines, first)
    assert decode(short(text)) == text


def test_it_is_registered_under_its_kind():
    assert COMPRESSOR.kind == "code"
