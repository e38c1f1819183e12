r"""Output that repeats earlier output of the same conversation becomes a reference.

Agents read a file again after an edit, run the same command twice, and grep what they
have read. Where lines of a result stand, in full and as forwarded, in an earlier tool
result of this conversation, the later result says which lines those are and gives only
the others. Nothing is lost: every line can be read where the reference points.

Notation (``#7`` is the conversation's seventh tool result, its call named once)::

    [repeats #7 Read /src/app.py]
    [= #7:1-381]
       382\tthe changed line
    [= #7:383-640 numbers +1]

Lines of numbered reads are compared without their gutter, because an edit shifts the
numbers; ``numbers +1`` tells the shift. Other lines stand as they were; one that looks
like this notation gets a backslash in front.

What always holds: only lines of sources given by the caller are referred to, never a
reference; runs are at least ``MIN_RUN_CHARS`` long, at most ``MAX_REFERENCES`` are
made, and the whole must save ``MIN_SAVING`` of the text, else there is no form at all.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct

from headroom.core.content.gutter import GUTTER, is_numbered
from headroom.core.types import Candidate, ToolCall

STRATEGY = "repeat"

MIN_RUN_CHARS = 104
"""About 26 tokens: a shorter run costs its reference (about 14) and a look-up."""

MIN_SOURCE_CHARS = 2 * MIN_RUN_CHARS
"""Shorter results are neither referred to nor made into references."""

MAX_REFERENCES = 8
MIN_SAVING = 0.4
MAX_POSITIONS = 4
"""Places kept per distinct line; blank lines and braces stand in hundreds."""

_NOTATION = re.compile(r"\\*\[(?:repeats |= )#\d")
_REFERENCE = re.compile(r"\[= #(\d+):(\d+)-(\d+)(?: numbers ([+-]\d+))?\]")
_ARGUMENTS = ("file_path", "path", "filePath", "command", "cmd", "pattern", "query")


class Source(Struct, frozen=True):
    """An earlier tool result that stands in full in the prefix, indexed by line.

    Attributes:
        ordinal: its number among the conversation's tool results, from 1.
        digest: content digest of its text.
        label: its call, in a few words.
        lines: its lines without gutter.
        numbers: the gutter's number of each line, ``-1`` where there is none.
        places: line → indices into ``lines``, at most ``MAX_POSITIONS``.
    """

    ordinal: int
    digest: str
    label: str
    lines: list[str]
    numbers: list[int]
    places: dict[str, list[int]]


class MessageSources(Struct, frozen=True):
    """The tool results of one message.

    Attributes:
        ordinal_after: the number of tool results up to and including this message.
        sources: slot address → source, of the results long enough to refer to.
    """

    ordinal_after: int
    sources: dict[str, Source]


class SourceMemo:
    """Sources by chain key: a key names all that the ordinals and lines depend on.

    Bounded by the characters it holds (an index takes about ten times that in bytes);
    safe to use from several threads.
    """

    def __init__(self, max_chars: int = 4_000_000) -> None:
        self._max_chars = max_chars
        self._chars = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, tuple[int, MessageSources]] = OrderedDict()

    def get(self, key: bytes) -> MessageSources | None:
        """What was kept under a message's chain key."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[1]

    def put(self, key: bytes, found: MessageSources, chars: int) -> None:
        """Keep what was found; the longest unused makes room."""
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = (chars + 64, found)
            self._chars += chars + 64
            while self._chars > self._max_chars and self._entries:
                _, (dropped, _) = self._entries.popitem(last=False)
                self._chars -= dropped


class _Run(Struct, frozen=True):
    start: int
    length: int
    source: Source
    at: int
    shift: int


def make_source(ordinal: int, digest: str, text: str, call: ToolCall | None) -> Source:
    """Index a text that later ones may refer to; linear in its length."""
    lines, _, numbers = _split(text)
    places: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        found = places.setdefault(line, [])
        if len(found) < MAX_POSITIONS:
            found.append(index)
    return Source(ordinal, digest, _label(call), lines, numbers, places)


def refer(text: str, sources: Sequence[Source]) -> Candidate | None:
    """The text as references to earlier results plus its other lines.

    Args:
        text: the newest result.
        sources: earlier results that stand in full, oldest first.

    Returns:
        A lossless form, or ``None`` if too little repeats.
    """
    if not sources or len(text) < MIN_SOURCE_CHARS:
        return None
    lines, raw, numbers = _split(text)
    runs = _best_runs(_find_runs(lines, numbers, sources))
    covered = sum(_chars(lines, r.start, r.length) for r in runs)
    if not runs or covered < MIN_SAVING * len(text):
        return None
    used = sorted({run.source.ordinal: run.source for run in runs}.items())
    names = "; ".join(f"#{n} {source.label}" for n, source in used)
    pieces = [f"[repeats {names}]"]
    cursor = 0
    for run in runs:
        pieces += [_escape(line) for line in raw[cursor : run.start]]
        shift = f" numbers {run.shift:+d}" if run.shift else ""
        reach = f"{run.at + 1}-{run.at + run.length}"
        pieces.append(f"[= #{run.source.ordinal}:{reach}{shift}]")
        cursor = run.start + run.length
    pieces += [_escape(line) for line in raw[cursor:]]
    form = "\n".join(pieces)
    if len(form) > (1 - MIN_SAVING) * len(text):
        return None
    digests = tuple(source.digest for _, source in used)
    return Candidate(form, STRATEGY, refers_to=digests)


def expand(form: str, originals: dict[int, str]) -> str:
    """The text a form stands for, given the texts of the results it names.

    Args:
        form: what ``refer`` made.
        originals: ordinal → text of earlier results.

    Raises:
        KeyError: a result that the form names is not given.
    """
    lines: list[str] = []
    for line in form.split("\n")[1:]:
        match = _REFERENCE.fullmatch(line)
        if match is None:
            lines.append(line[1:] if _NOTATION.match(line) else line)
            continue
        source = originals[int(match[1])].split("\n")
        shift = int(match[4] or 0)
        same = source[int(match[2]) - 1 : int(match[3])]
        lines += [_shifted(line, shift) for line in same] if shift else same
    return "\n".join(lines)


def _split(text: str) -> tuple[list[str], list[str], list[int]]:
    """Lines without gutter, lines as they are, gutter numbers."""
    raw = text.split("\n")
    if not is_numbered(raw):
        return raw, raw, [-1] * len(raw)
    lines, numbers = [], []
    for line in raw:
        match = GUTTER.match(line)
        if match is None:
            lines.append(line)
            numbers.append(-1)
        else:
            # The separator stays, so that a numbered and a plain line differ.
            lines.append(line[match.start(3) :])
            numbers.append(int(match[2]))
    return lines, raw, numbers


def _shifted(line: str, shift: int) -> str:
    match = GUTTER.match(line)
    if match is None:
        return line
    width = len(match[1]) + len(match[2])
    number = str(int(match[2]) + shift)
    padding = number.rjust(width) if match[1] else number
    return padding + line[match.end(2) :]


def _find_runs(
    lines: list[str], numbers: list[int], sources: Sequence[Source]
) -> list[_Run]:
    """Maximal runs from front to back, each the longest at its start."""
    runs: list[_Run] = []
    position = 0
    total = len(lines)
    while position < total:
        best: _Run | None = None
        if lines[position].strip():
            best = _longest_at(position, lines, numbers, sources)
        if best is None:
            position += 1
            continue
        runs.append(best)
        position += best.length
    return runs


def _longest_at(
    position: int, lines: list[str], numbers: list[int], sources: Sequence[Source]
) -> _Run | None:
    best: _Run | None = None
    line = lines[position]
    for source in reversed(sources):
        for at in source.places.get(line, ()):
            run = _extend(position, at, lines, numbers, source)
            if best is None or run.length > best.length:
                best = run
                if run.length > len(lines) // 2:
                    return _long_enough(best, lines)
    return _long_enough(best, lines)


def _long_enough(run: _Run | None, lines: list[str]) -> _Run | None:
    if run is None or _chars(lines, run.start, run.length) < MIN_RUN_CHARS:
        return None
    return run


def _extend(
    start: int, at: int, lines: list[str], numbers: list[int], source: Source
) -> _Run:
    shift = numbers[start] - source.numbers[at]
    length = 1
    reach = min(len(lines) - start, len(source.lines) - at)
    theirs, their_numbers = source.lines, source.numbers
    while length < reach:
        here, there = start + length, at + length
        if lines[here] != theirs[there]:
            break
        if numbers[here] - their_numbers[there] != shift:
            break
        length += 1
    return _Run(start, length, source, at, shift)


def _best_runs(runs: list[_Run]) -> list[_Run]:
    """At most ``MAX_REFERENCES`` runs, the longest ones, in order."""
    if len(runs) <= MAX_REFERENCES:
        return runs
    ranked = sorted(runs, key=lambda run: (-run.length, run.start))
    return sorted(ranked[:MAX_REFERENCES], key=lambda run: run.start)


def _chars(lines: list[str], start: int, length: int) -> int:
    return sum(map(len, lines[start : start + length])) + length


def _escape(line: str) -> str:
    return f"\\{line}" if _NOTATION.match(line) else line


def _label(call: ToolCall | None) -> str:
    """The call in a few words: the tool's name and its telling argument."""
    if call is None:
        return "tool result"
    text = call.input.decode("utf-8")
    for name in _ARGUMENTS:
        match = re.search(rf'"{name}"\s*:\s*"((?:[^"\\]|\\.)*)"', text)
        if match is not None:
            argument = match[1].split("\\n", 1)[0]
            return f"{call.name} {argument[:80]}".replace(";", ",").replace("]", ")")
    return call.name
