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

``#0`` is a text of the call itself, which stands right before its result: the tool that
edits a file shows the lines it was given (``[= #0:2-30 numbered 120]``).

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

import msgspec
from msgspec import Struct

from headroom.core.content.gutter import GUTTER, is_numbered
from headroom.core.digest import content_digest
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
_REFERENCE = re.compile(
    r"\[= #(\d+):(\d+)-(\d+)(?: numbers ([+-]\d+)| numbered (\d+))?\]"
)
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
    """Lines of a text that stand in a source.

    Attributes:
        shift: what the numbers have grown by; of the call's own text, which has none,
            the first line's number, ``0`` if there is none either.
    """

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


def refer(
    text: str, sources: Sequence[Source], call: ToolCall | None = None
) -> Candidate | None:
    """The text as references to earlier results plus its other lines.

    Args:
        text: the newest result.
        sources: earlier results that stand in full, oldest first.
        call: the call it answers, whose own texts it may show again.

    Returns:
        A lossless form, or ``None`` if too little repeats.
    """
    if len(text) < MIN_SOURCE_CHARS:
        return None
    lines, raw, numbers = _split(text)
    given = _given(call, lines, numbers)
    if given is not None:
        sources = [*sources, given]
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
        pieces.append(_reference(run))
        cursor = run.start + run.length
    pieces += [_escape(line) for line in raw[cursor:]]
    form = "\n".join(pieces)
    if len(form) > (1 - MIN_SAVING) * len(text):
        return None
    digests = tuple(source.digest for _, source in used)
    return Candidate(form, STRATEGY, refers_to=digests)


def given_text(call: ToolCall | None) -> tuple[str, str]:
    """The longest text among a call's arguments, and its name there; or empty ones."""
    if call is None or len(call.input) < MIN_RUN_CHARS:
        return "", ""
    try:
        arguments = msgspec.json.decode(call.input)
    except ValueError:
        return "", ""
    texts = [
        (value, name)
        for name, value in (arguments.items() if isinstance(arguments, dict) else ())
        if isinstance(value, str) and value.count("\n") > 1
    ]
    return max(texts, key=lambda pair: len(pair[0]), default=("", ""))


def expand(form: str, originals: dict[int, str], separator: str = "\t") -> str:
    """The text a form stands for, given the texts of the results it names.

    Args:
        form: what ``refer`` made.
        originals: ordinal → text of earlier results; 0: the call's own text.
        separator: between a line's number and the line; numbers are six wide.

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
        same = source[int(match[2]) - 1 : int(match[3])]
        if match[5]:
            first = int(match[5])
            same = [f"{n:6}{separator}{line}" for n, line in enumerate(same, first)]
        elif match[4]:
            same = [_shifted(line, int(match[4])) for line in same]
        lines += same
    return "\n".join(lines)


def _reference(run: _Run) -> str:
    reach = f"#{run.source.ordinal}:{run.at + 1}-{run.at + run.length}"
    if not run.shift:
        return f"[= {reach}]"
    if run.source.ordinal == 0:
        return f"[= {reach} numbered {run.shift}]"
    return f"[= {reach} numbers {run.shift:+d}]"


def _given(
    call: ToolCall | None, lines: list[str], numbers: list[int]
) -> Source | None:
    """The call's own text as a source whose lines look like those of its result."""
    text, name = given_text(call)
    if not text:
        return None
    at = next((i for i, number in enumerate(numbers) if number >= 0), -1)
    separator = lines[at][:1] if at >= 0 else ""
    own = [separator + line for line in text.split("\n")]
    places: dict[str, list[int]] = {}
    for index, line in enumerate(own):
        found = places.setdefault(line, [])
        if len(found) < MAX_POSITIONS:
            found.append(index)
    label = f"{name} of this call"
    return Source(0, content_digest(text), label, own, [-1] * len(own), places)


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
    is_given = source.ordinal == 0 and numbers[start] >= 0
    shift = numbers[start] if is_given else numbers[start] - source.numbers[at]
    length = 1
    reach = min(len(lines) - start, len(source.lines) - at)
    theirs, their_numbers = source.lines, source.numbers
    while length < reach:
        here, there = start + length, at + length
        if lines[here] != theirs[there]:
            break
        counted = length if is_given else their_numbers[there]
        if numbers[here] - counted != shift:
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
