r"""The OpenAI vocabularies shipped with the package, ready to encode text offline.

The only module that touches tiktoken, and it does so when an encoding is first used:
importing the package must stay cheap, and the ranks cost 0.3 s and 80 MB once loaded,
with the extra ``fast`` 0.7 s and 170 MB.
Two SHA-256 sums pin each vocabulary: of the shipped file, checked at start-up, and of
the unpacked ranks, which are the sums tiktoken itself expects of the official files.
tiktoken's own loader, which downloads, is never called; nothing here opens a socket.

Texts are encoded in pieces. tiktoken's regular expressions overflow their stack on
runs of about a million blanks, and a piece of bounded length keeps the time linear.
A cut between an ASCII letter or digit and the blank that follows it never changes the
tokens: in both patterns a word or number ends there and looks at nothing beyond. Only
a run without any such place for 64 KiB is cut blindly, which can add one or two tokens
per cut.

The one look-ahead in o200k's pattern (``\s+(?!\S)``: of a run of blanks before a word
the last one goes with the word) keeps the expression out of the fast matcher. So the
engine gets the pattern without it, and runs of blanks are taken out beforehand, down to
that last blank, and counted by themselves: the same number of tokens in two thirds of
the time. What is taken out is what the look-ahead would have matched: a run without
line ends that begins after a word, a sign or a line end, where a piece always ends.
"""

import binascii
import gzip
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from headroom.errors import ConfigError
from headroom.inference.quick import QuickCounter, quick_counter

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer
    from tiktoken import Encoding as Engine

EncodingName: TypeAlias = Literal["o200k_base", "cl100k_base"]

PIECE_CHARS = 65_536
_SEARCH_CHARS = 65_536
_SAFE_CUT = re.compile(r"[A-Za-z0-9](?=[ \n\t])")

# White space as the engine's expressions mean it (Unicode's White_Space), line ends
# aside: Python's own \s has four control characters more.
_RARE_BLANKS = (
    "\x0b\x0c\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000"
)
_BLANK = f" \t{_RARE_BLANKS}"
_RUN = re.compile(rf"(?<![{_BLANK}])([{_BLANK}]+)(?=[{_BLANK}][^{_BLANK}\r\n])")
"""A run before a word, its last blank aside. It begins where no blank stands before, so
that a run before a line end is tried once, not once per blank."""

_PLAIN_RUN = re.compile(r"(  ++)(?=[^\r\n])")
"""The same with its last blank, where none but spaces stand side by side."""

_RARE_ASCII = "\t\x0b\x0c"
_RARE = f"\t{_RARE_BLANKS}"
_LONG_END = " " * 32
"""A run before a line end, which ``_PLAIN_RUN`` tries once per blank."""

# The patterns are part of the encodings' definition; they are the ones published in
# https://github.com/openai/tiktoken/blob/main/tiktoken_ext/openai_public.py (MIT), but
# for o200k's ``\s+(?!\S)``, which would stand before its last part.
_O200K_PATTERN = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+",
    )
)
_CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+|"
    r" ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)


class _Source(Struct, frozen=True):
    file_name: str
    file_sha256: str
    ranks_sha256: str
    pattern: str
    scheme: str
    takes_out_runs: bool


_SOURCES: dict[str, _Source] = {
    "o200k_base": _Source(
        "o200k_base.tiktoken.gz",
        "aa7f57c462db101b58b6648a2b0047128f61e68c0776814ad75251aab1bccdfa",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        _O200K_PATTERN,
        "o200k",
        takes_out_runs=True,
    ),
    "cl100k_base": _Source(
        "cl100k_base.tiktoken.gz",
        "eb039321fca3dd961193251802424710b59fbd1df8a16067911191014f4ab732",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        _CL100K_PATTERN,
        "cl100k",
        takes_out_runs=False,
    ),
}

# The engine looks for special tokens while it fills a buffer and must have one to look
# for; as none is allowed, its name is ordinary text.
_SPECIAL = {"<|endoftext|>": 1 << 20}
_NOTHING: frozenset[str] = frozenset()
_TOKEN_BYTES = 4
_Fill: TypeAlias = "Callable[[str, AbstractSet[str]], Buffer]"

_DATA = Path(__file__).parent / "data"
_loaded: dict[str, "Encoding"] = {}
_lock = threading.Lock()


class Encoding:
    """One vocabulary: text to tokens. Immutable, safe in threads, pickled by name."""

    __slots__ = ("_engine", "_fill", "_quick", "_takes_out_runs", "name")

    def __init__(
        self, name: EncodingName, engine: "Engine", *, takes_out_runs: bool = False
    ) -> None:
        self.name = name
        self._engine = engine
        self._takes_out_runs = takes_out_runs
        # Tokens as bytes, where the engine has that: no number is made of each, only to
        # be counted, which saves a tenth of the time.
        core = getattr(engine, "_core_bpe", None)
        self._fill: _Fill | None = getattr(core, "encode_to_tiktoken_buffer", None)
        self._quick: QuickCounter | None = None

    def hasten(self, ranks: bytes, scheme: str) -> None:
        """Count by the quick engine, where there is one that gives equal numbers."""
        self._quick = quick_counter(ranks, scheme, self._count_piece)

    def encode(self, text: str) -> list[int]:
        """The tokens of ``text``; names of special tokens are ordinary text."""
        tokens: list[int] = []
        for piece in _pieces(text):
            for part in _RUN.split(piece) if self._takes_out_runs else (piece,):
                tokens += self._engine.encode_ordinary(part)
        return tokens

    def count(self, text: str) -> int:
        """How many tokens ``text`` has."""
        if len(text) <= PIECE_CHARS:
            return self._count_piece(text)
        return sum(map(self._count_piece, _pieces(text)))

    def _count_piece(self, text: str) -> int:
        if self._quick is not None:
            quickly = self._quick.count(text)
            if quickly is not None:
                return quickly
        if not self._takes_out_runs:
            return self._tokens_in(text)
        text, runs = _without_runs(text)
        tokens = self._tokens_in(text)
        for run, times in runs.items():
            tokens += times * self._tokens_in(run)
        return tokens

    def _tokens_in(self, text: str) -> int:
        if self._fill is not None:
            try:
                return memoryview(self._fill(text, _NOTHING)).nbytes // _TOKEN_BYTES
            except UnicodeEncodeError:
                pass  # lone surrogates, which the engine's own method replaces
        return len(self._engine.encode_ordinary(text))

    def decode(self, tokens: list[int]) -> bytes:
        """The bytes the tokens stand for."""
        return self._engine.decode_bytes(tokens)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return load_encoding, (self.name,)


def load_encoding(name: EncodingName) -> Encoding:
    """The encoding of that name, loaded on first use and kept for the process.

    The first call takes about 0.3 s of CPU; call it off the event loop.

    Raises:
        ConfigError: there is no such encoding, or its file is missing or altered.
    """
    if (found := _loaded.get(name)) is not None:
        return found
    with _lock:
        if (found := _loaded.get(name)) is None:
            found = _loaded[name] = _load(name)
        return found


def is_loaded(name: EncodingName) -> bool:
    """Whether the encoding of that name is there without being loaded first."""
    return name in _loaded


def verify_vocabularies() -> None:
    """Check that both vocabulary files are there and are the ones that were shipped.

    Reads and hashes 2.4 MB (a few milliseconds) and loads nothing.

    Raises:
        ConfigError: a file is missing or its SHA-256 differs; the message names it.
    """
    for source in _SOURCES.values():
        _read(source)


def _read(source: _Source) -> bytes:
    path = _DATA / source.file_name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"vocabulary file {path} cannot be read: {error}") from error
    found = sha256(data, usedforsecurity=False).hexdigest()
    if found != source.file_sha256:
        raise ConfigError(
            f"vocabulary file {path} is not the one that was shipped: "
            f"expected SHA-256 {source.file_sha256}, found {found}"
        )
    return data


def _load(name: EncodingName) -> Encoding:
    source = _SOURCES.get(name)
    if source is None:
        raise ConfigError(f"no encoding {name!r}; there are {', '.join(_SOURCES)}")
    ranks_text = gzip.decompress(_read(source))
    found = sha256(ranks_text, usedforsecurity=False).hexdigest()
    if found != source.ranks_sha256:
        raise ConfigError(
            f"vocabulary {name} unpacks to SHA-256 {found}, "
            f"expected {source.ranks_sha256}"
        )
    import tiktoken  # noqa: PLC0415  (the package's import must not pay for it)

    ranks = _ranks(ranks_text)
    engine = tiktoken.Encoding(
        name=name,
        pat_str=source.pattern,
        mergeable_ranks=ranks,
        special_tokens=_SPECIAL,
    )
    # The engine has copied them; its own reference to the dict would keep 27 MB alive.
    ranks.clear()
    encoding = Encoding(name, engine, takes_out_runs=source.takes_out_runs)
    encoding.hasten(ranks_text, source.scheme)
    return encoding


def _ranks(text: bytes) -> dict[bytes, int]:
    decode = binascii.a2b_base64
    fields = text.split()
    return dict(zip(map(decode, fields[::2]), map(int, fields[1::2]), strict=True))


def _without_runs(text: str) -> tuple[str, Counter[str]]:
    """The text with one blank left of each run before a word, and what was taken."""
    if _is_plain(text):
        if "  " not in text:
            return text, Counter()
        parts = _PLAIN_RUN.split(text)
        return " ".join(parts[::2]), Counter(run[1:] for run in parts[1::2])
    parts = _RUN.split(text)
    return "".join(parts[::2]), Counter(parts[1::2])


def _is_plain(text: str) -> bool:
    """Whether no blanks stand side by side but spaces, and few before a line end."""
    if f"{_LONG_END}\n" in text or text.endswith(_LONG_END):
        return False
    if "\r" in text and f"{_LONG_END}\r" in text:
        return False
    rare = [b for b in (_RARE_ASCII if text.isascii() else _RARE) if b in text]
    return not rare or not any(
        f"{one}{other}" in text
        for one in (" ", *rare)
        for other in (" ", *rare)
        if one != " " or other != " "
    )


def _pieces(text: str) -> Iterator[str]:
    start, end = 0, len(text)
    while end - start > PIECE_CHARS:
        at = start + PIECE_CHARS
        found = _SAFE_CUT.search(text, at, at + _SEARCH_CHARS)
        cut = found.end() if found else at
        yield text[start:cut]
        start = cut
    yield text[start:]
