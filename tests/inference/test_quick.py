import importlib
import itertools
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.inference import vocabulary
from headroom.inference.quick import QuickCounter, quick_counter

NAMES = ["o200k_base", "cl100k_base"]
PARTS = [" ", "  ", "   ", "\n", "\r\n", "\r", "\t", "\x0b", "\x1c", "\x85", "\xa0"]
PARTS += ["a", "Bar", "BAZ", "'s", "'LL", "'Ve", "1", "12345", "²", "½", "٣", "//", "="]
PARTS += [
    "é",
    "ǅ",
    "ſ",
    "İ",
    "K",
    "\u0301",
    "日本",
    "ー",
    "ا",
    "😀🏽",
    "’",
    "<|endoftext|>",
]


@pytest.fixture(scope="module", params=NAMES)
def encodings(request):
    """One vocabulary with the quick engine, and without."""
    with pytest.MonkeyPatch.context() as patch:
        quick = vocabulary._load(request.param)
        patch.setattr(vocabulary, "quick_counter", lambda *_: None)
        plain = vocabulary._load(request.param)
    assert quick._quick is not None, "the extra fast is part of dev"
    assert plain._quick is None
    return quick, plain


class Counted:
    """An engine whose tokens are the words of a text."""

    def encode(self, text):
        self.size = len(text.split())
        return self


@given(
    text=st.one_of(
        st.text(st.characters(max_codepoint=127), max_size=120),
        st.lists(st.sampled_from(PARTS), max_size=60).map("".join),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
        st.text(st.characters(max_codepoint=0x9FFF, exclude_categories=["Cs"])),
    )
)
@settings(max_examples=800, deadline=None)
def test_the_quick_engine_gives_the_numbers_of_the_other(encodings, text):
    quick, plain = encodings
    assert quick.count(text) == plain.count(text)


def test_characters_of_every_block_have_equal_numbers(encodings):
    quick, plain = encodings
    for code in (*range(0x3400), *range(0x3400, 0x110000, 1021)):
        if not 0xD800 <= code < 0xE000:
            sign = chr(code)
            text = f"a{sign}b {sign}1{sign}{sign} A{sign}b\n{sign} {sign}/{sign}'s"
            assert quick.count(text) == plain.count(text), hex(code)


@pytest.mark.parametrize("part", ["a", " ", "!", "\n", " \n", "'s", "1", "é", "\ud800"])
def test_long_runs_have_equal_numbers(encodings, part):
    quick, plain = encodings
    text = part * 70_000
    assert quick.count(text) == plain.count(text)


def test_counts_are_right_in_many_threads(encodings):
    quick, plain = encodings
    seeded = random.Random(5)
    texts = ["".join(seeded.choices(PARTS, k=300)) for _ in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(quick.count, texts))
    assert found == list(map(plain.count, texts))


def test_an_engine_that_spent_long_on_new_words_is_loaded_anew():
    loaded = []
    ticks = itertools.count()

    def load():
        loaded.append(Counted())
        return loaded[-1]

    counter = QuickCounter(load, most=2.5, clock=lambda: float(next(ticks)))
    assert [counter.count("a b c") for _ in range(12)] == [3] * 12
    # A second each: every third is the last that it may take.
    assert len(loaded) == 5


def test_where_the_engine_cannot_be_loaded_anew_the_other_counts_on():
    engines = [Counted()]
    ticks = itertools.count()
    full = OSError("no space left on device")

    def load():
        if not engines:
            raise full
        return engines.pop()

    counter = QuickCounter(load, most=2.5, clock=lambda: float(next(ticks)))
    assert [counter.count("a b c") for _ in range(5)] == [3, 3, 3, None, None]


def test_known_words_are_remembered_however_much_text_there_is():
    loaded = []

    def load():
        loaded.append(Counted())
        return loaded[-1]

    counter = QuickCounter(load, most=0.001, clock=lambda: 0.0)
    assert counter.count("many words " * 100_000) == 200_000
    assert len(loaded) == 1


def test_characters_that_unicode_classes_anew_are_left_to_the_other_engine():
    counter = QuickCounter(Counted)
    assert counter.count("plain words, caf\xe9") == 3
    assert counter.count("\u088f was assigned in 2025") is None
    assert counter.count("half of a pair: \ud83d") is None


def test_an_engine_whose_numbers_differ_is_not_used():
    with vocabulary._lock:
        ranks = vocabulary.gzip.decompress(
            vocabulary._read(vocabulary._SOURCES["o200k_base"])
        )
    assert quick_counter(ranks, "o200k", lambda _: 1) is None
    assert quick_counter(b"not a vocabulary", "o200k", lambda _: 1) is None
    assert quick_counter(ranks, "no such scheme", lambda _: 1) is None


def test_without_the_extra_numbers_are_the_same(encodings, monkeypatch):
    quick, _ = encodings

    def refuse(name):
        raise ImportError(name)

    monkeypatch.setitem(sys.modules, "gigatoken", None)
    monkeypatch.setattr(importlib, "import_module", refuse)
    alone = vocabulary._load(quick.name)
    assert alone._quick is None
    assert alone.count("hello world, it's 12345") == quick.count(
        "hello world, it's 12345"
    )
