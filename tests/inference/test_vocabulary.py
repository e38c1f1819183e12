import gzip
import pickle
import random
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.errors import ConfigError
from headroom.inference import vocabulary
from headroom.inference.vocabulary import (
    PIECE_CHARS,
    Encoding,
    load_encoding,
    verify_vocabularies,
)

# The whole pattern as it is published:
# https://github.com/openai/tiktoken/blob/main/tiktoken_ext/openai_public.py
O200K_PATTERN = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)


@pytest.fixture(scope="module")
def o200k_as_published():
    """The engine with the published pattern and nothing taken out beforehand."""
    source = vocabulary._SOURCES["o200k_base"]
    ranks = vocabulary._ranks(gzip.decompress(vocabulary._read(source)))
    return tiktoken.Encoding(
        "published", pat_str=O200K_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )


BLANKS = [" ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1f"]
BLANKS += ["\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u202f", "\u3000", " " * 31]
BLANKS += [" " * 32, " " * 90]
WORDS = ["a", "Word", "x1", "12", "12345", "}", "},", "/", "//", "'s", "'LL", "é", "漢"]
WORDS += ["\u0301", "😀", "\u200b", "\ufeff", "ǅ", "ʰ", "٣", "_", "-", "$", "\x00"]


@given(
    st.one_of(
        st.lists(st.sampled_from(BLANKS + WORDS), max_size=40).map("".join),
        st.lists(st.sampled_from(BLANKS[:5] + WORDS[:9]), max_size=60).map("".join),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    )
)
@settings(max_examples=1500, deadline=None)
def test_o200k_counts_and_encodes_as_its_published_pattern_does(
    o200k_as_published, text
):
    tokens = o200k_as_published.encode_ordinary(text)
    o200k = load_encoding("o200k_base")
    assert o200k.encode(text) == tokens
    assert o200k.count(text) == len(tokens)


def test_every_blank_of_the_published_pattern_is_a_blank_here(o200k_as_published):
    o200k = load_encoding("o200k_base")
    for code in range(0x3100):
        for text in (f"a  {chr(code)}  b", f"\n{chr(code)} {chr(code)}{chr(code)}x"):
            assert o200k.count(text) == len(o200k_as_published.encode_ordinary(text))


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_known_texts_have_the_tokens_openai_documents(no_network, monkeypatch):
    monkeypatch.setattr(vocabulary, "_loaded", {})
    # https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken
    o200k, cl100k = load_encoding("o200k_base"), load_encoding("cl100k_base")
    assert cl100k.encode("tiktoken is great!") == [83, 1609, 5963, 374, 2294, 0]
    assert o200k.encode("tiktoken is great!") == [83, 8251, 2488, 382, 2212, 0]
    assert o200k.count("お誕生日おめでとう") == 8
    assert cl100k.count("お誕生日おめでとう") == 9
    assert cl100k.count("antidisestablishmentarianism") == 6


def test_counting_loads_neither_a_downloader_nor_the_network():
    script = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('network')\n"
        "socket.socket.connect = refuse\n"
        "socket.getaddrinfo = refuse\n"
        "import tiktoken.load\n"
        "tiktoken.load.read_file = refuse\n"
        "tiktoken.load.load_tiktoken_bpe = refuse\n"
        "from headroom.inference.tokens import counter_for\n"
        "print(counter_for('gpt-4')('hello world'), counter_for(None)('hello world'))\n"
        "bad = {'requests', 'urllib3', 'tiktoken_ext.openai_public'}\n"
        "print(sorted(bad & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["2 2", "[]"]


def test_importing_the_counters_does_not_import_tiktoken():
    script = "import sys, headroom.inference.tokens; print('tiktoken' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_an_encoding_is_loaded_once_even_from_many_threads(monkeypatch):
    monkeypatch.setattr(vocabulary, "_loaded", {})
    loads = []

    def load(name):
        loads.append(name)
        time.sleep(0.05)
        return Encoding(name, None)

    monkeypatch.setattr(vocabulary, "_load", load)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(load_encoding, ["o200k_base"] * 16))
    assert loads == ["o200k_base"]
    assert all(f is found[0] for f in found)


def test_an_unknown_encoding_is_a_config_error():
    with pytest.raises(ConfigError, match="p50k_base"):
        load_encoding("p50k_base")


def test_the_shipped_vocabularies_verify_quickly():
    verify_vocabularies()
    best = min(_seconds(verify_vocabularies) for _ in range(5))
    assert best < 0.015


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize("name", ["o200k_base.tiktoken.gz", "cl100k_base.tiktoken.gz"])
def test_a_missing_or_altered_file_is_a_config_error_that_names_it(
    name, tmp_path, monkeypatch
):
    for source in vocabulary._DATA.glob("*.gz"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(vocabulary, "_DATA", tmp_path)
    verify_vocabularies()
    original = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(original[:-1] + b"\xff")
    with pytest.raises(ConfigError, match=name):
        verify_vocabularies()
    (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match=name):
        verify_vocabularies()
    monkeypatch.setattr(vocabulary, "_loaded", {})
    with pytest.raises(ConfigError, match=name):
        load_encoding(name.removesuffix(".tiktoken.gz"))


def test_names_of_special_tokens_are_ordinary_text():
    for name in ("o200k_base", "cl100k_base"):
        encoding = load_encoding(name)
        tokens = encoding.encode("a<|endoftext|>b<|endofprompt|>")
        assert len(tokens) > 4
        assert encoding.decode(tokens) == b"a<|endoftext|>b<|endofprompt|>"


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
@given(
    parts=st.lists(
        st.one_of(
            st.text(max_size=30),
            st.sampled_from(
                ["  \n", "}\n/", "I'll ", "ab1 ", "\t\t", "x\n", "'S ", "é "]
            ),
        ),
        max_size=40,
    ),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_cutting_a_text_between_a_word_and_a_blank_keeps_its_tokens(name, parts, seed):
    encoding = load_encoding(name)
    random.Random(seed).shuffle(parts)
    text = "".join(parts).encode("utf-8", "replace").decode()
    whole = encoding.encode(text)
    for cut in vocabulary._SAFE_CUT.finditer(text):
        at = cut.end()
        assert encoding.encode(text[:at]) + encoding.encode(text[at:]) == whole


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_long_texts_count_as_they_would_in_one_piece(name, o200k_as_published):
    encoding = load_encoding(name)
    engine = o200k_as_published if name == "o200k_base" else encoding._engine
    rng = random.Random(7)
    words = ["def", "x1", "{\n  ", "漢字", "it's", "99.5", "\n\n", "—", "Ünder", "  "]
    text = " ".join(rng.choice(words) for _ in range(PIECE_CHARS))
    assert len(text) > 3 * PIECE_CHARS
    whole = engine.encode_ordinary(text)
    assert encoding.encode(text) == whole
    assert encoding.count(text) == len(whole)


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
@pytest.mark.parametrize(
    "unit", ["a", " ", "\n", "A", "-", "0", "\t ", "漢", "😀", "\u0301", "aB", "<|"]
)
def test_a_million_bytes_of_one_thing_are_counted_in_linear_time(name, unit):
    encoding = load_encoding(name)
    text = unit * (1_000_000 // len(unit.encode()))
    small, large = text[: len(text) // 8], text
    short_s = min(_seconds(lambda: encoding.count(small)) for _ in range(2))
    assert _seconds(lambda: encoding.count(large)) < max(24 * short_s, 1.0)
    assert encoding.count(large) > 0


def test_blind_cuts_change_a_count_by_little():
    encoding = load_encoding("o200k_base")
    text = "abcdefghij" * 40_000
    whole = len(encoding._engine.encode_ordinary(text))
    cuts = len(text) // PIECE_CHARS
    assert abs(encoding.count(text) - whole) <= 8 * cuts


def test_lone_surrogates_are_counted_not_refused():
    assert load_encoding("o200k_base").count("\ud800 x \udfff") > 0


def test_an_encoding_pickles_by_name():
    encoding = load_encoding("cl100k_base")
    data = pickle.dumps(encoding)
    assert len(data) < 200
    assert pickle.loads(data) is encoding


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "<|endoftext|>",
        "a<|endoftext|> <|endoftext|>\n" * 40,
        "<|endoftext",
        "é😀中文 \x00\u3000" * 30,
        "a lone \ud800 surrogate",
    ],
)
def test_counting_makes_no_list_and_finds_the_same(name, text):
    encoding = load_encoding(name)
    assert encoding.count(text) == len(encoding.encode(text))
    encoding._fill, fill = None, encoding._fill
    try:
        assert encoding.count(text) == len(encoding.encode(text))
    finally:
        encoding._fill = fill
    assert fill is not None
