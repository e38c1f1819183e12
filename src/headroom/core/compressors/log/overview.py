"""The lossy form of a log: one chronological list of the lines that tell something.

::

    log overview, by line number; 1997 of 2000 lines omitted: repeats of 1 kinds of …
    time Mar  3 10:00:00 to Mar  3 12:00:00; levels: error 1
    1 Mar  3 10:00:00 web1 kernel: up
    2 10:00:07 web1 sshd: key for root from 10.0.0.4 (×1400, last 1998 at 11:02:10;
      10.0.0.4 ×900, 10.0.0.9 ×500)
    17 10:01:12 web1 app: ERROR disk full

Kept: the first line of every family, so each distinct message once; every distinct line
of trouble (the first of each family whose values vary too much to list), with its stack
trace and the lines next to it; first and last line. Each stands as in the source, its
time if it has changed. Left out: further lines of the same families; of families with
many values all but the most frequent ones.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from headroom.core.content.severity import (
    LEVELS,
    has_trouble,
    level,
)
from headroom.core.folding import Source
from headroom.core.folding.templates import Row, Template

HEADER = "log overview"

_MAX_DISTINCT = 8
"""Distinct lines of one family of trouble that are all shown."""

_VARIANTS = 80
"""Lines of trouble shown because their values differ, over all families."""

_MAX_TRACE = 60
_MAX_PLAIN_TRACE = 6
_MAX_TRACES = 40
_MIN_COUNT_FOR_VALUES = 4
_MAX_COLUMNS = 4
_TOP = 3
_RARE = 20
_MIN_KEPT = 80
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+")
_NUMERALS = re.compile(r"[0-9.]{7,}")
_ADDRESS = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}")
_ENTRY = re.compile(
    r"[\[<(]?(?:FATAL|CRITICAL|SEVERE|ERROR|WARN(?:ING)?|INFO|NOTICE|DEBUG)[\]>)]?[ :]"
)
_CONTINUES = ("Caused by", "Traceback (", "During handling", "The above exception")


class Overview(NamedTuple):
    """The form and what it leaves out, in one line."""

    text: str
    omitted: str


def make_overview(source: Source, families: Sequence[Template]) -> Overview | None:
    """The overview of a log, or ``None`` if nearly all of its lines tell something."""
    judged = [_judge(family, source) for family in families]
    picked = _Picked(source, judged)
    picked.pick()
    total = len(source.lines)
    if 2 * len(picked.kept) > total:
        return None
    shown = len(picked.kept)
    omitted = f"repeats of {picked.repeating} kinds of lines (×n, last: at line)"
    if picked.dropped:
        omitted += f", all of {picked.dropped} kinds"
    omitted = f"{total - shown} of {total} lines omitted: {omitted}"
    head = [f"{HEADER}, by line number; {omitted}", *_totals(source, judged)]
    return Overview("\n".join([*head, *picked.rows()]), omitted)


def is_overview(text: str) -> bool:
    """Whether ``text`` is an overview: its lines numbered, and as many as it says."""
    header, *rows = text.split("\n")
    said = _SAID.match(header)
    if said is None:
        return False
    numbers = [int(found[0]) for row in rows if (found := _NUMBER.match(row))]
    shown = int(said[2]) - int(said[1])
    is_ordered = all(a < b for a, b in pairwise(numbers))
    return is_ordered and len(numbers) == shown and len(rows) <= shown + 1


_SAID = re.compile(
    rf"{HEADER}, by line number; (\d{{1,9}}) of (\d{{1,9}}) lines omitted: "
)
_NUMBER = re.compile(r"\d{1,9}(?= |$)")


class _Judged(NamedTuple):
    """A family and what its first line says of it."""

    family: Template
    level: str
    has_trouble: bool

    @property
    def is_serious(self) -> bool:
        """An error by its level, or trouble in a line of no level or a warning."""
        is_open = self.level in {"", "warning"}
        return self.level == "error" or (is_open and self.has_trouble)

    def rank(self) -> tuple[int, int, int]:
        """Trouble first, debugging last; among equals what is rare."""
        order = 0 if self.is_serious else 1 + (self.level == "debug")
        return order, len(self.family.rows), self.family.rows[0][0]


def _judge(family: Template, source: Source) -> _Judged:
    text = source.texts[family.rows[0][0]]
    return _Judged(family, level(text), has_trouble(text))


def _totals(source: Source, judged: Sequence[_Judged]) -> list[str]:
    stamps = [s for s in source.stamps if s is not None]
    counts: Counter[str] = Counter()
    for one in judged:
        counts[one.level] += len(one.family.rows)
    levels = ", ".join(f"{name} {counts[name]}" for name in LEVELS if counts[name])
    parts = []
    if stamps:
        parts.append(f"time {''.join(stamps[0])} to {''.join(stamps[-1])}")
    if levels:
        parts.append(f"levels: {levels}")
    addresses = _addresses("\n".join(source.lines))
    if len(addresses) > 1:
        parts.append(f"addresses: {_top(addresses)}")
    return ["; ".join(parts)] if parts else []


def _addresses(text: str) -> Counter[str]:
    counts = Counter(_NUMERALS.findall(text))
    for numerals in [one for one in counts if not _ADDRESS.fullmatch(one)]:
        del counts[numerals]
    return counts


def _top(counts: Counter[str]) -> str:
    shown = [f"{value} ×{count}" for value, count in counts.most_common(_TOP)]
    more = len(counts) - len(shown)
    if more == 1:
        value, count = counts.most_common()[-1]
        return ", ".join([*shown, f"{value} ×{count}"])
    return ", ".join(shown) + (f", {more} more" if more else "")


class _Picked:
    """Which lines are kept, and what is noted at them."""

    def __init__(self, source: Source, judged: Sequence[_Judged]) -> None:
        self._source = source
        self._judged = judged
        self._continues = _continuations(source)
        self.kept: set[int] = {0, len(source.lines) - 1}
        self.notes: dict[int, str] = {}
        self.repeating = 0
        self.dropped = 0
        self._variants = _MAX_DISTINCT

    def pick(self) -> None:
        """Choose the lines; those of trouble first, the rest within a budget."""
        total = len(self._source.lines)
        in_family = {i for judged in self._judged for i, _ in judged.family.rows}
        serious = sum(judged.is_serious for judged in self._judged)
        self._variants = max(1, min(_MAX_DISTINCT, _VARIANTS // max(1, serious)))
        budget = max(_MIN_KEPT, total // 6)
        self._traces()
        self.kept |= {i for i in range(total) if i not in in_family}
        for judged in sorted(self._judged, key=_Judged.rank):
            rows = judged.family.rows
            self.repeating += len(rows) > 1
            if all(self._continues[i] for i, _ in rows[:_MAX_DISTINCT]):
                continue
            is_frequent = 50 * len(rows) > total
            if judged.is_serious:
                self._keep_trouble(judged.family)
            elif len(self.kept) < budget or is_frequent or judged.has_trouble:
                self._keep(rows[0][0], rows)
            else:
                self.dropped += 1

    def _keep(self, index: int, rows: Sequence[Row]) -> None:
        self.kept.add(index)
        if index + 1 < len(self._continues) and self._continues[index + 1]:
            self._keep_trace(index, _MAX_PLAIN_TRACE)
        if len(rows) > 1:
            last = rows[-1][0]
            note = f"×{len(rows)}, last {last + 1}"
            stamp = self._source.stamps[last]
            if stamp is not None and stamp != self._source.stamps[index]:
                note += f" at {stamp[1]}"
            values = self._values(rows) if len(rows) >= _MIN_COUNT_FOR_VALUES else ""
            self.notes[index] = note + (f"; {values}" if values else "")

    def _values(self, rows: Sequence[Row]) -> str:
        """The most frequent values of the holes whose values repeat."""
        said: list[str] = []
        seen: set[tuple[str, ...]] = set()
        for column in zip(*(values for _, values in rows), strict=True):
            counts = Counter(column)
            if len(counts) == 1 or column in seen or 4 * len(counts) > 3 * len(column):
                continue
            seen.add(column)
            said.append(_top(counts))
        return " | ".join(said[:_MAX_COLUMNS])

    def _keep_trouble(self, family: Template) -> None:
        distinct: dict[tuple[str, ...], list[Row]] = {}
        for row in family.rows:
            distinct.setdefault(row[1], []).append(row)
        if len(distinct) > self._variants:
            self._keep(family.rows[0][0], family.rows)
        else:
            for rows in distinct.values():
                self._keep(rows[0][0], rows)
        if len(family.rows) <= _RARE:
            first = family.rows[0][0]
            self.kept |= {max(0, first - 1), min(len(self._continues) - 1, first + 1)}

    def _traces(self) -> None:
        """Keep every distinct stack trace in full, with the line it hangs on."""
        seen: Counter[str] = Counter()
        first: dict[str, int] = {}
        for index in _heads(self._continues):
            end = self._trace_end(index)
            lines = self._source.lines[index + 1 : end]
            if not _is_trace(lines):
                continue
            key = _NUMBERS.sub("0", "\n".join(lines))
            seen[key] += 1
            if key in first or len(first) >= _MAX_TRACES:
                continue
            first[key] = index
            self.kept.add(index)
            self._keep_trace(index, _MAX_TRACE)
        for key, index in first.items():
            if seen[key] > 1:
                self.notes[index] = f"this trace ×{seen[key]}"

    def _keep_trace(self, index: int, limit: int) -> None:
        end = self._trace_end(index)
        if end - index - 1 <= limit:
            self.kept |= set(range(index + 1, end))
        else:
            self.kept |= set(range(index + 1, index + 1 + limit * 2 // 3))
            self.kept |= set(range(end - limit // 3, end))

    def _trace_end(self, index: int) -> int:
        end = index + 1
        while end < len(self._continues) and self._continues[end]:
            end += 1
        return end

    def rows(self) -> Iterable[str]:
        """The kept lines, numbered, with their notes."""
        last = None
        for index in sorted(self.kept):
            line = self._source.lines[index]
            stamp = self._source.stamps[index]
            notation = self._source.notation
            is_end = index in {0, len(self._source.lines) - 1}
            if stamp is not None and notation is not None and notation.is_leading:
                text = line[len("".join(stamp)) :]
                if last is not None and not is_end and text.startswith(" "):
                    if stamp == last:
                        line = text[1:]
                    elif (stamp[0], stamp[2]) == (last[0], last[2]):
                        line = stamp[1] + text
                last = stamp
            note = self.notes.get(index)
            yield f"{index + 1} {line}" + (f" ({note})" if note else "")


def _continuations(source: Source) -> list[bool]:
    """Which lines go on with the entry above them.

    Among lines with times those without one do, unless they begin with a level.
    """
    if source.notation is not None:
        stamped = zip(source.stamps, source.lines, strict=True)
        found = [s is None and not _ENTRY.match(line) for s, line in stamped]
        return [False, *found[1:]]
    marks = [
        i > 0 and (line.startswith((" ", "\t")) or line.startswith(_CONTINUES))
        for i, line in enumerate(source.lines)
    ]
    return marks if 10 * sum(marks) < 6 * len(marks) else [False] * len(marks)


def _heads(continues: Sequence[bool]) -> Iterable[int]:
    for index in range(len(continues) - 1):
        if continues[index + 1] and not continues[index]:
            yield index


_FRAME = re.compile(
    r"^\s+at |^\s*File \"|^Traceback|Caused by:|^\s+from |^goroutine |^\s+\d+: "
    r"|Exception|Error"
)


def _is_trace(lines: Sequence[str]) -> bool:
    return any(_FRAME.search(line) for line in lines[:_MAX_TRACE])
