r"""Counting in a tenth of the time where the extra ``fast`` is installed: same numbers.

The only module that touches gigatoken, whose engine remembers how the words that it met
are cut. Words are the same in most texts, whichever came before, so that a text seen
for the first time is counted at hundreds of MB per second.

What always holds: numbers are those of the engine without the extra. Characters that
versions of Unicode may class differently are left to that engine, and so is everything
where the engines disagree on a sample. What is remembered is bounded: what takes long
is new, and the engine is loaded anew (0.4 s) when it has spent so long on new words. A
hundred MB of real text do not take that long, and make it grow by some 20 MB; words
made up at random do, after 25 MB of them and 300 MB of memory.
"""

import importlib
import re
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

MOST_SECONDS = 2.0
"""Of processor time spent on new words before the engine is loaded anew."""

KNOWN_SECONDS = 2e-8
"""Per character, for text of words that were met before, at most."""

# Letters and marks of blocks that have been complete for many versions of Unicode, and
# blocks of signs, whose class no version changes.
_UNSURE = re.compile(
    "[^\x00-\u086f\u0900-\u0c5b\u0d00-\u0fff\u1e00-\u2bff\u3000-\u318f\u3400-\u9fff"
    "\uac00-\ud7a3\ufe00-\ufe0f\ufeff\uff00-\uffef\U0001f000-\U0001faff]"
)
_FAILURES = (OSError, RuntimeError, TypeError, ValueError, AttributeError)
"""How loading ends where it cannot be had: files, versions of the package."""

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
        most: seconds spent on new words before it is loaded anew.
        clock: processor time of this thread, in seconds.
    """

    __slots__ = ("_clock", "_engine", "_load", "_lock", "_most", "_room")

    def __init__(
        self,
        load: Callable[[], Engine],
        *,
        most: float = MOST_SECONDS,
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._load = load
        self._clock = clock
        self._engine: Engine | None = load()
        self._lock = threading.Lock()
        self._most = self._room = most

    def count(self, text: str) -> int | None:
        """How many tokens a text has; ``None``: the other engine must say."""
        engine = self._engine
        if engine is None or (not text.isascii() and _UNSURE.search(text)):
            return None
        start = self._clock()
        tokens = engine.encode(text).size
        spent = self._clock() - start - len(text) * KNOWN_SECONDS
        if spent > 0:
            self._room -= spent
            if self._room < 0:
                self._forget()
        return tokens

    def _forget(self) -> None:
        with self._lock:
            if self._room >= 0:
                return
            self._room = self._most
            try:
                self._engine = self._load()
            except _FAILURES:
                # A disk may be full by now; counting goes on, with bounded memory.
                self._engine = None


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
    except _FAILURES:
        return None
