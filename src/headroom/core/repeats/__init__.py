r"""Output that repeats earlier output of the same conversation becomes a reference.

Agents read a file again after an edit, run the same command twice, and grep what they
have read. Where lines of a result stand, in full and as forwarded, in an earlier tool
result of this conversation, the later result says which lines those are and gives only
the others. Nothing is lost: every line can be read where the reference points.

Notation (``#7`` is the conversation's seventh tool result; its call is named where it
is referred to for the first time)::

    [repeats #7 Read src/app.py]
    [#7:1-381]
       382\tthe changed line
    [#7:383-640 numbers +1 #7:652-700 +2]

References next to each other stand in one bracket. How the same lines are dressed here
is told behind them: ``numbers +1`` if an edit has shifted their numbers (then ``+2``),
``numbered 120`` if they have numbers only here, ``bare`` if only there, ``indented`` if
each stands four blanks further right (as test runners quote code), ``flush`` if without
the blanks in front, ``files`` if of a directory's line there only what it holds is
here; ``[+ #7:1-9]`` are lines of a diff, each behind that sign. ``#7c`` and ``#7d`` are
texts in the call that result 7 answers (what an edit tool was given), ``#0`` and
``#0d`` those in the very call this result answers. Of a call is not said again what
stands around: the tool or the path of this result's own call, a path in the text. Where
every source is known from earlier forms, the first references follow at once:
``[repeats #7:1-40 numbers +2]``. Other lines stand as they were; one that looks like
this notation gets a backslash in front.

What always holds: only lines of sources given by the caller are referred to, never a
reference; runs are at least ``MIN_RUN_CHARS`` long, at most ``MAX_REFERENCES`` are
made, and the whole must save ``MIN_SAVING`` of the text, else there is no form at all.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence

import msgspec
from msgspec import Struct

from headroom.core.content.gutter import GUTTER
from headroom.core.repeats import legend
from headroom.core.repeats.context import without_known_context
from headroom.core.repeats.legend import names_told_in
from headroom.core.repeats.lines import (
    INDENT,
    Lines,
    dressed,
    files_of,
    indented,
    shifted,
    split,
)
from headroom.core.repeats.records import Base, base_of, relate, restore
from headroom.core.repeats.sources import (
    MessageSources,
    Source,
    SourceMemo,
    beside,
    given_sources,
    legend_of,
    make_form_source,
    make_source,
)
from headroom.core.types import Candidate, ToolCall

__all__ = [
    "MIN_SOURCE_CHARS",
    "STRATEGY",
    "Base",
    "MessageSources",
    "Source",
    "SourceMemo",
    "expand",
    "given_sources",
    "make_form_source",
    "make_source",
    "names_told_in",
    "refer",
    "relate",
    "restore",
    "told",
    "without_known_context",
]

STRATEGY = "repeat"

MIN_RUN_CHARS = 64
"""About 16 tokens: a shorter run costs its reference (about 9) and a look-up."""

MIN_LINE_CHARS = 104
"""A single line is read faster than looked up."""

MIN_USED_CHARS = 90
"""Of one source in all: naming it takes about 14 tokens."""

MIN_SOURCE_CHARS = 208
"""Shorter results are neither referred to nor made into references."""

GUTTER_CHARS = 8
"""Worth of a line number and what it is set off by: about two tokens."""

MAX_CANDIDATES = 8
"""Places tried for a run to begin; a line that stands in more begins none better."""

STEPS_PER_LINE = 24
MIN_STEPS = 4_000
"""Lines compared before the search gives up: counted, so that it is the same always."""

MAX_REFERENCES = 40
MIN_SAVING = 0.2

_NOTATION = re.compile(r"\\*\[(?:repeats\]|(?:repeats |[+ -] )?#\d)")
_ITEM = (
    r"(?:([+ -]) )?#(\d+[cd]?):(\d+)(?:-(\d+))?(?: (?:numbers )?([+-]\d+)"
    r"| numbered (\d+)|( bare)|( indented)|( flush)|( files))?"
)
_REFERENCE = re.compile(rf"(?<=[\[ ]){_ITEM}(?=[\] ])")
_REFERENCES = re.compile(rf"\[(?:repeats )?{_ITEM}(?: {_ITEM})*\]")
_SHIFT = " numbers "


class _Run(Struct, frozen=True):
    """Lines of a text that stand in a source, and how they are dressed here.

    Attributes:
        sign: of a diff's lines; else empty.
        dress: what the reference says behind the line numbers.
    """

    start: int
    length: int
    source: Source
    at: int
    sign: str
    dress: str


def refer(
    text: str,
    sources: Sequence[Source],
    call: ToolCall | None = None,
    known: Container[str] = (),
) -> Candidate | None:
    """The text as references to earlier results plus its other lines.

    Args:
        text: the newest result.
        sources: earlier results that stand in full, oldest first.
        call: the call it answers, whose own texts it may show again.
        known: what earlier forms tell of sources; see ``names_told_in``.

    Returns:
        A lossless form, or ``None`` if too little repeats.
    """
    if len(text) < MIN_SOURCE_CHARS:
        return None
    sources = [*sources, *given_sources(call, MIN_RUN_CHARS)]
    if not sources:
        return None
    lines = split(text)
    runs = _best_runs(_worth_naming(_find_runs(lines, sources), lines))
    covered = sum(_chars(lines, run.start, run.length) for run in runs)
    if not runs or covered < MIN_SAVING * len(text):
        return None
    used = {run.source.name: run.source for run in runs}
    labels = [(name, beside(one.label, call, text)) for name, one in used.items()]
    pieces = _headed(legend.write(labels, known), runs, lines)
    form = "\n".join(pieces)
    if len(form) > (1 - MIN_SAVING) * len(text):
        return None
    digests = tuple(source.digest for source in used.values())
    return Candidate(form, STRATEGY, refers_to=digests)


def _headed(told: str, runs: Sequence[_Run], lines: Lines) -> list[str]:
    """The lines of a form; its head stands alone where it has something to tell."""
    pieces = list(_told_by(runs, lines))
    if told:
        return [f"[{legend.WORD} {told}]", *pieces]
    if runs[0].start or runs[0].sign:
        return [f"[{legend.WORD}]", *pieces]
    return [f"[{legend.WORD} {pieces[0][1:]}", *pieces[1:]]


def _told_by(runs: Sequence[_Run], lines: Lines) -> Iterator[str]:
    """The lines of a form; references next to each other stand in one bracket."""
    cursor = 0
    together: list[str] = []
    is_shift_named = False
    for run in runs:
        if together and run.start > cursor:
            yield f"[{' '.join(together)}]"
            together = []
        yield from map(_escape, lines.raw[cursor : run.start])
        reach = f"{run.at + 1}"
        if run.length > 1:
            reach += f"-{run.at + run.length}"
        sign = f"{run.sign} " if run.sign else ""
        dress = run.dress
        if dress.startswith(_SHIFT):
            dress = dress.replace(_SHIFT, " ") if is_shift_named else dress
            is_shift_named = True
        together.append(f"{sign}#{run.source.name}:{reach}{dress}")
        cursor = run.start + run.length
    if together:
        yield f"[{' '.join(together)}]"
    yield from map(_escape, lines.raw[cursor:])


def expand(form: str, originals: dict[str, str], separator: str = "\t") -> str:
    """The text a form stands for, given the texts of the results it names.

    Args:
        form: what ``refer`` made.
        originals: name → text of earlier results and of calls.
        separator: between number and line where lines are numbered only here.

    Raises:
        KeyError: a result that the form names is not given.
    """
    lines: list[str] = []
    for number, line in enumerate(form.split("\n")):
        if _REFERENCES.fullmatch(line) is None:
            if not number:  # the head
                continue
            lines.append(line[1:] if _NOTATION.match(line) else line)
            continue
        for match in _REFERENCE.finditer(line):
            lines += _lines_of(match, split(originals[match[2]]), separator)
    return "\n".join(lines)


def _lines_of(match: re.Match[str], source: Lines, separator: str) -> list[str]:
    """The lines that one reference stands for."""
    reach = slice(int(match[3]) - 1, int(match[4] or match[3]))
    bare = source.bare[reach]
    if match[1]:
        return [match[1] + line for line in bare]
    if match[5]:
        return [shifted(raw, int(match[5])) for raw in source.raw[reach]]
    if match[6]:
        numbered = enumerate(bare, int(match[6]))
        return [dressed(number, separator, line) for number, line in numbered]
    if match[7]:
        return bare
    if match[9]:
        return [line.lstrip(" ") for line in source.raw[reach]]
    if match[10]:
        return [files_of(line) for line in source.raw[reach]]
    return [indented(line) for line in bare] if match[8] else source.raw[reach]


def names_in(form: str) -> set[str]:
    """The earlier results, and texts of their calls, that a form is told by."""
    if (base := base_of(form)) is not None:
        return {base}
    return {
        match[2]
        for line in form.split("\n")
        if _REFERENCES.fullmatch(line) is not None
        for match in _REFERENCE.finditer(line)
    }


def told(form: str) -> str:
    """What a form leaves to earlier results, in words; empty if it is no such form.

    Which lines these are is said where they are left out.
    """
    if (base := base_of(form)) is not None:
        return f"members as in #{base}"
    lines = 0
    for line in form.split("\n"):
        if _REFERENCES.fullmatch(line) is not None:
            for match in _REFERENCE.finditer(line):
                lines += int(match[4] or match[3]) - int(match[3]) + 1
    return f"{lines} lines as told" if lines else ""


def _find_runs(lines: Lines, sources: Sequence[Source]) -> list[_Run]:
    """Maximal runs from front to back, each the longest at its start.

    The comparisons are counted, and end the search when there have been too many:
    degenerate texts (thousands of equal lines) would take time without bound.
    """
    places = _places(lines, _with_known_codes(lines, sources))
    if not places:
        return []
    runs: list[_Run] = []
    used: set[str] = set()
    position = 0
    total = len(lines.raw)
    steps = STEPS_PER_LINE * total + MIN_STEPS
    while position < total and steps > 0:
        best: _Run | None = None
        if lines.bare[position].strip():
            for source, at in _candidates(position, lines, places):
                run = _extend(position, at, lines, source)
                steps -= run.length + 1
                if (
                    best is None
                    or run.length > best.length
                    or (
                        run.length == best.length
                        and run.source.name in used
                        and best.source.name not in used
                    )
                ):
                    best = run
        best = _long_enough(best, lines)
        if best is None:
            position += 1
            continue
        covered = runs[-1].start + runs[-1].length if runs else 0
        best = _from_further_back(best, covered, lines)
        runs.append(best)
        used.add(best.source.name)
        position = best.start + best.length
    return runs


def _with_known_codes(lines: Lines, sources: Sequence[Source]) -> Sequence[Source]:
    """The sources; lines with codes are like others where these mean the same here."""
    legend = legend_of(lines.raw)
    if not legend:
        return sources
    return [
        msgspec.structs.replace(source, coded=())
        if source.coded and legend_of(source.lines.raw) == legend
        else source
        for source in sources
    ]


def _reach(start: int, at: int, lines: Lines, source: Source) -> int:
    """How long a run may get: to the first line that says nothing, or else, here."""
    reach = min(len(lines.raw) - start, len(source.lines.raw) - at)
    for indices in (source.closed, source.coded):
        found = bisect_left(indices, at)
        if found < len(indices):
            reach = min(reach, indices[found] - at)
    return reach


def _from_further_back(run: _Run, covered: int, lines: Lines) -> _Run:
    """A run with the blank lines in front of it, which begin none themselves."""
    theirs = run.source.lines.bare
    most = min(run.start - covered, run.at)
    before = _while(
        most,
        lambda i: (
            lines.bare[run.start - i - 1] == theirs[run.at - i - 1]
            and not theirs[run.at - i - 1].strip()
        ),
    )
    # Halved, as each of them may be dressed otherwise: linear in all but for a factor.
    while before:
        wider = _extend(run.start - before, run.at - before, lines, run.source)
        if wider.length >= run.length + before:
            return wider
        before //= 2
    return run


def _places(
    lines: Lines, sources: Sequence[Source]
) -> dict[str, list[tuple[Source, int]]]:
    """Where the text's lines stand in the sources, the newest first, a few each."""
    wanted = {key for at in range(len(lines.raw)) for key in _keys(at, lines)}
    found: dict[str, list[tuple[Source, int]]] = {}
    for source in reversed(sources):
        for line in source.places.keys() & wanted:
            places = found.setdefault(line, [])
            if len(places) < MAX_CANDIDATES:
                places += [(source, at) for at in source.places[line]]
    return found


def _candidates(
    position: int, lines: Lines, places: dict[str, list[tuple[Source, int]]]
) -> list[tuple[Source, int]]:
    found = [place for key in _keys(position, lines) for place in places.get(key, ())]
    return found[:MAX_CANDIDATES]


def _keys(position: int, lines: Lines) -> list[str]:
    """What a line may stand as in a source, the likeliest first.

    A numbered line stands with its number in a text that is not numbered throughout,
    and the other way round.
    """
    raw, bare = lines.raw[position], lines.bare[position]
    keys = [bare]
    if raw is not bare:
        keys = [raw, bare] if lines.signs[position] else [bare, raw]
    elif raw[:8].lstrip()[:1].isdigit():
        gutter = GUTTER.match(raw)
        if gutter is not None:
            keys.append(raw[gutter.end() :])
            keys += [raw[gutter.end() - 1 :]] if gutter[3] == ": " else []
    if bare.startswith(INDENT):
        keys.append(bare[len(INDENT) :])
    return keys


def _long_enough(run: _Run | None, lines: Lines) -> _Run | None:
    if run is None:
        return None
    least = MIN_RUN_CHARS if run.length > 1 else MIN_LINE_CHARS
    return None if _chars(lines, run.start, run.length) < least else run


def _extend(start: int, at: int, lines: Lines, source: Source) -> _Run:
    """The longest run of lines from here on that are dressed alike."""
    theirs = source.lines
    number, their_number = lines.numbers[start], theirs.numbers[at]
    reach = _reach(start, at, lines, source)
    if not reach:
        return _Run(start, 0, source, at, "", "")
    if lines.raw[start] == theirs.raw[at]:
        ours, others = lines.raw, theirs.raw
        length = 1
        while length < reach and ours[start + length] == others[at + length]:
            length += 1
        return _Run(start, length, source, at, "", "")
    sign = lines.signs[start]
    if lines.bare[start] != theirs.bare[at] and not sign:
        return _moved(start, at, reach, lines, source)

    def is_same(i: int) -> bool:
        return lines.bare[start + i] == theirs.bare[at + i]

    # No line is looked at behind the run, so that its length tells what it cost.
    if sign:
        length = _while(reach, lambda i: lines.signs[start + i] == sign and is_same(i))
        return _Run(start, length, source, at, sign, "")
    if number >= 0 and their_number >= 0 and lines.separator == theirs.separator:
        shift = number - their_number
        length = _while(
            reach,
            lambda i: (
                lines.numbers[start + i] - theirs.numbers[at + i] == shift
                and theirs.numbers[at + i] >= 0
                and is_same(i)
            ),
        )
        return _Run(start, length, source, at, "", f" numbers {shift:+d}")
    if number >= 0:
        if their_number >= 0:
            return _Run(start, 0, source, at, "", "")
        length = _while(
            reach,
            lambda i: (
                lines.numbers[start + i] == number + i
                and not theirs.signs[at + i]
                and is_same(i)
            ),
        )
        return _Run(start, length, source, at, "", f" numbered {number}")
    if their_number >= 0:
        length = _while(
            reach,
            lambda i: (
                theirs.numbers[at + i] >= 0
                and lines.numbers[start + i] < 0
                and not lines.signs[start + i]
                and is_same(i)
            ),
        )
        return _Run(start, length, source, at, "", " bare")
    return _Run(start, 0, source, at, "", "")


_MOVES: tuple[tuple[str, Callable[[str], str]], ...] = (
    (" indented", indented),
    (" flush", lambda line: line.lstrip(" ")),
    (" files", files_of),
)
"""What a line is here that stands there with other blanks, or behind its directory."""


def _moved(start: int, at: int, reach: int, lines: Lines, source: Source) -> _Run:
    """The longest run of lines that stand there otherwise, all in the same way."""
    ours, theirs = lines.raw, source.lines.bare
    run = _Run(start, 0, source, at, "", "")
    for dress, move in _MOVES:
        length = 0
        while length < reach and ours[start + length] == move(theirs[at + length]):
            length += 1
        if length > run.length:
            run = _Run(start, length, source, at, "", dress)
    return run


def _while(length: int, holds: Callable[[int], bool]) -> int:
    """The first index below ``length`` at which a condition fails, else ``length``."""
    return next((i for i in range(length) if not holds(i)), length)


def _worth_naming(runs: list[_Run], lines: Lines) -> list[_Run]:
    """Without the runs of sources that give too little to be named."""
    given: Counter[str] = Counter()
    for run in runs:
        given[run.source.name] += _chars(lines, run.start, run.length)
    return [run for run in runs if given[run.source.name] >= MIN_USED_CHARS]


def _best_runs(runs: list[_Run]) -> list[_Run]:
    """At most ``MAX_REFERENCES`` runs, the longest ones, in order."""
    if len(runs) <= MAX_REFERENCES:
        return runs
    ranked = sorted(runs, key=lambda run: (-run.length, run.start))
    return sorted(ranked[:MAX_REFERENCES], key=lambda run: run.start)


def _chars(lines: Lines, start: int, length: int) -> int:
    end = start + length
    gutters = sum(number >= 0 for number in lines.numbers[start:end])
    text = sum(map(len, lines.bare[start:end]))
    return text + length + gutters * GUTTER_CHARS


def _escape(line: str) -> str:
    return f"\\{line}" if _NOTATION.match(line) else line
