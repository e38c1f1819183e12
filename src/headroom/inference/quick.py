r"""Counting in a tenth of the time where the extra ``fast`` is installed: same numbers.

The only module that touches gigatoken, whose engine remembers how the words that it met
are cut. Words are the same in most texts, whichever came before, so that a text seen
for the first time is counted at hundreds of MB per second.

What always holds: numbers are those of the engine without the extra. Characters that
versions of Unicode may class differently are left to that engine, and so is everything
where the engines disagree on a sample. What is remembered is bounded: the engine is
loaded anew (0.4 s) after so many tokens; in that time real text makes it grow by some
20 MB, words made up at random by 250 MB.
"""

import importlib
import re
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

MOST_TOKENS = 8_000_000
"""Counted by one engine before it is loaded anew."""

# Letters and marks of blocks that have been complete for many versions of Unicode, and
# blocks of signs, whose class no version changes.
_UNSURE = re.compile(
    "[^\x00-\u086f\u0900-\u0c5b\u0d00-\u0fff\u1e00-\u2bff\u3000-\u318f\u3400-\u9fff"
    "\uac00-\ud7a3\ufe00-\ufe0f\ufeff\uff00-\uffef\U0001f000-\U0001faff]"
)
SAMPLE = (
    'Words, It\'s HTTPServer 12345678 -- {"a": [1.5e3]}\r\n\r\n\t  x = y(z)  \n'
    "café Ünïcode 日本語 😀🏽 <|endoftext|> https://example.org/a?b=c#d e\u0301 \u2003."
)
"""What both engines must agree on."""


class Tokens(Protocol):
    """The tokens of a text, as an array."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...


class Engine(Protocol):
    """What gigatoken makes of a vocabulary."""

    def encode(self, text: str) -> Tokens:
        """The tokens of a text; no name of a special token is one."""
        ...


class QuickCounter:
    """Counts tokens of one vocabulary; safe in threads.

    Args:
        load: makes an engine that remembers nothing.
        most: tokens counted before it is loaded anew.
    """

    __slots__ = ("_engine", "_load", "_lock", "_most", "_room")

    def __init__(self, load: Callable[[], Engine], most: int = MOST_TOKENS) -> None:
        self._load = load
        self._engine = load()
        self._lock = threading.Lock()
        self._most = self._room = most

    def count(self, text: str) -> int | None:
        """How many tokens a text has; ``None``: the other engine must say."""
        if not text.isascii() and _UNSURE.search(text):
            return None
        tokens = self._engine.encode(text).size
        self._room -= tokens
        if self._room < 0:
            self._forget()
        return tokens

    def _forget(self) -> None:
        with self._lock:
            if self._room < 0:
                self._room = self._most
                self._engine = self._load()


def quick_counter(
    ranks: bytes, scheme: str, count: Callable[[str], int]
) -> QuickCounter | None:
    """The counter of a vocabulary; ``None`` where it cannot be had or differs.

    Args:
        ranks: the vocabulary, as its file has it, unpacked.
        scheme: what gigatoken calls its expression (``o200k``, ``cl100k``).
        count: the other engine, for the sample.
    """
    try:
        module = importlib.import_module("gigatoken.gigatoken_rs")
        make = module.BPETokenizer.from_tiktoken
    except (ImportError, AttributeError):
        return None

    def load() -> Engine:
        # Vocabularies are taken from files alone.
        with tempfile.TemporaryDirectory(prefix="headroom-") as folder:
            path = Path(folder) / f"{scheme}.tiktoken"
            path.write_bytes(ranks)
            engine: Engine = make(str(path), scheme, {})
        return engine

    try:
        found = QuickCounter(load)
        return found if found.count(SAMPLE) == count(SAMPLE) else None
    except (OSError, RuntimeError, TypeError, ValueError, AttributeError):
        return None
