"""The lossless form of lines: written by ``write``, read back by ``read``.

::

    log templates; time syslog
    $a= web1 sshd: Accepted key for ~ from ~
    $b= web1 cron: start ~1
    +~t2 web1 cron: end ~1

    Mar  3 10:00:00 web1 kernel: up
    10:00:07$a root 10.0.0.4
    $a root 10.0.0.5
    $b job-1 10:00:09

The legend gives each template once: ``~`` stands for the next value of a row, ``~2`` for
its second. A template of several lines goes on in lines that begin with ``+``; ``~t2`` is
the time, the clock being the row's second value. A row is its time if it has changed (only
the clock if only that), ``$`` and the template, ``×n`` if it stands n times, the values. A
row without ``$`` is a source line as it was; ``×9 of 2 rows`` says that the two rows above
stand nine times. Lines of a log with times that have none
themselves are marked ``~|`` in the legend, and ``|`` in rows that could be mistaken.
"""

import re
from collections import Counter
from collections.abc import Collection
from functools import cache
from itertools import groupby
from typing import NamedTuple

from headroom.core.folding.blocks import (
    CLOCK,
    FULL,
    SAME,
    VERBATIM,
    Event,
    Parts,
    Symbols,
    fold,
)
from headroom.core.folding.lines import Source, join_words
from headroom.core.folding.templates import HOLE, Template
from headroom.core.folding.times import Notation, Stamp, lead_pattern, notation

_LOOP = re.compile(r"×(\d{1,9}) of (\d{1,3}) rows")
_MAX_PERIOD = 16
_UNTIMED = "~|"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CODE = r"\$(?P<code>[A-Za-z]+)(?:×(?P<times>\d{1,9}))?(?: |$)"
_HOLE = re.compile(r"~(t?)(\d*)")


@cache
def _coded(times: str) -> re.Pattern[str]:
    """A row with a template, in a log with that notation of times (or none)."""
    return re.compile(
        (lead_pattern(times) + "?" if times else "(x)?(x)?(x)?(x)?") + _CODE
    )


class FormError(ValueError):
    """The text is not a lossless form of a log."""


# ---------------------------------------------------------------------------- writing


def write(
    name: str, source: Source, templates: list[Template], in_full: Collection[int]
) -> str | None:
    """The form of some lines, or ``None`` where no template pays.

    Args:
        name: what the lines are, the first word of the form.
        in_full: indices of lines that stand as they are, with their full time.
    """
    events, symbols = _fold(source, templates, in_full)
    uses = Counter(e.symbol for e in events if e.symbol != VERBATIM)
    forms: dict[Parts, int] = {}
    for symbol, count in uses.items():
        parts = symbols.parts[symbol]
        forms[parts] = forms.get(parts, 0) + count
    paying = [
        (count, parts)
        for parts, count in forms.items()
        if len(parts) > 1 or _pays(templates[parts[0].template], count)
    ]
    if not paying:
        return None
    paying.sort(key=lambda p: -p[0])
    codes = {parts: _code(at) for at, (_, parts) in enumerate(paying)}
    legend = [
        f"${code}=" + "\n+".join(_legend_lines(parts, source, templates))
        for parts, code in codes.items()
    ]
    coded = _coded(source.notation.name if source.notation else "")
    body = _Body(source, templates, symbols, codes, coded).rows(events)
    return "\n".join([_header(name, source.notation), *legend, "", *body])


def header(name: str) -> str:
    """How the forms of such lines begin."""
    return f"{name} templates"


def _header(name: str, times: Notation | None) -> str:
    if times is None:
        return header(name)
    return f"{header(name)}; time {times.name}" + (
        "" if times.is_leading else " inside"
    )


def _pays(template: Template, count: int) -> bool:
    literal = template.literal_cost()
    return count * (literal - 1) > literal + template.holes() + 4


def _code(at: int) -> str:
    code = _LETTERS[at % 52]
    while at >= 52:
        at = at // 52 - 1
        code = _LETTERS[at % 52] + code
    return code


def _fold(
    source: Source, templates: list[Template], in_full: Collection[int]
) -> tuple[list[Event], Symbols]:
    rows: list[tuple[int, tuple[str, ...]] | None] = [None] * len(source.lines)
    for at, template in enumerate(templates):
        if _pays(template, len(template.rows)):
            for index, values in template.rows:
                rows[index] = (at, values)
    events: list[Event] = []
    last: Stamp | None = None
    for index, stamp in enumerate(source.stamps):
        shown, lead = _lead(stamp, last)
        last = stamp or last
        row = rows[index]
        if index in in_full:
            events.append(Event(VERBATIM, "".join(stamp or ()), (), index))
        elif row is None:
            events.append(Event(VERBATIM, lead, (), index))
        else:
            events.append(Event(3 * row[0] + shown, lead, row[1], index))
    symbols = Symbols(templates)
    return fold(events, symbols), symbols


def _lead(stamp: Stamp | None, last: Stamp | None) -> tuple[int, str]:
    if stamp is None or stamp == last:
        return SAME, ""
    if last is not None and stamp[0] == last[0] and stamp[2] == last[2]:
        return CLOCK, stamp[1]
    return FULL, "".join(stamp)


def _legend_lines(parts: Parts, source: Source, templates: list[Template]) -> list[str]:
    is_leading = source.notation is not None and source.notation.is_leading
    shown: list[str] = []
    first = parts[0].slots
    is_plain = len(parts) == 1 and first == tuple(range(len(first)))
    for part in parts:
        template = templates[part.template]
        is_timed = source.stamps[template.rows[0][0]] is not None
        slots = iter(part.slots)
        words = [
            (HOLE if is_plain else f"{HOLE}{next(slots) + 1}") if w == HOLE else w
            for w in template.words
        ]
        time = "~t" + (str(part.clock + 1) if part.clock >= 0 else "")
        text = join_words(words, time)
        if is_leading and part.clock >= 0:
            text = time + text
        elif is_leading and not is_timed:
            text = _UNTIMED + text
        shown.append(text)
    return shown


class _Body(NamedTuple):
    source: Source
    templates: list[Template]
    symbols: Symbols
    codes: dict[Parts, str]
    coded: re.Pattern[str]

    def rows(self, events: list[Event]) -> list[str]:
        """The rows of the form; equal neighbours are one with their count."""
        rows: list[str] = []
        for event in events:
            code = (
                None
                if event.symbol == VERBATIM
                else self.codes.get(self.symbols.parts[event.symbol])
            )
            if code is None:
                rows.append(self._verbatim(event))
            else:
                rows.append(" ".join((f"{event.lead}${code}", *event.values)))
        return _looped(_counted(rows))

    def _verbatim(self, event: Event) -> str:
        line = self.source.lines[event.line]
        times = self.source.notation
        stamp = self.source.stamps[event.line]
        if times is not None and times.is_leading and stamp is not None:
            text = line[len("".join(stamp)) :]
            if event.lead:
                return event.lead + text
            return text if text.startswith(" ") else stamp[1] + text
        if line.startswith(("|", "×")) or self.coded.match(line):
            return "|" + line
        if times is None or not times.is_leading:
            return line
        is_mistakable = line.startswith(" ") or times.clock.match(line)
        return "|" + line if is_mistakable else line


def _counted(rows: list[str]) -> list[str]:
    counted: list[str] = []
    for row, same in groupby(rows):
        count = sum(1 for _ in same)
        if count > 1 and row.startswith("$"):
            code, blank, values = row.partition(" ")
            counted.append(f"{code}×{count}{blank}{values}")
        else:
            counted += [row] * count
    return counted


def _looped(rows: list[str]) -> list[str]:
    """Rows that go round: one round, then how often it stands and its length."""
    looped: list[str] = []
    at = 0
    while at < len(rows):
        period, rounds = _loop(rows, at)
        looped += rows[at : at + period]
        if rounds > 1:
            looped.append(f"×{rounds} of {period} rows")
        at += period * rounds
    return looped


def _loop(rows: list[str], at: int) -> tuple[int, int]:
    """Length and number of the rounds that begin here; ``(1, 1)`` for none that pays."""
    for period in range(1, _MAX_PERIOD + 1):
        if at + 3 * period > len(rows) or rows[at] != rows[at + period]:
            continue
        end = at + period
        while end < len(rows) and rows[end] == rows[end - period]:
            end += 1
        rounds = (end - at) // period
        if rounds > 2 and (rounds - 1) * sum(map(len, rows[at : at + period])) > 40:
            return period, rounds
    return 1, 1


# ---------------------------------------------------------------------------- reading


def read(name: str, form: str, limit: int | None = None) -> str:
    """The normalised text that ``form`` stands for.

    Args:
        limit: no more characters than this are written; a form that stands for more
            is refused. Small forms can stand for very large texts.

    Raises:
        FormError: it is no such form.
    """
    head, blank, body = form.partition("\n\n")
    first, *entries = head.split("\n")
    times = _read_header(name, first)
    if not blank:
        raise FormError("no body")
    forms: dict[str, list[_Line]] = {}
    lines: list[_Line] = []
    for entry in entries:
        if entry.startswith("$"):
            code, equal, text = entry[1:].partition("=")
            if not equal or code in forms:
                raise FormError("legend entry without a name of its own")
            lines = forms[code] = [_read_line(text, times)]
        elif entry.startswith("+") and lines:
            lines.append(_read_line(entry[1:], times))
        else:
            raise FormError("legend line that is no entry")
    return _Reader(times, forms, _Budget(limit)).text(body)


def _read_header(name: str, first: str) -> Notation | None:
    if first == header(name):
        return None
    said, _, inside = first.removeprefix(f"{header(name)}; time ").partition(" ")
    times = notation(said, is_leading=not inside)
    if times is None or _header(name, times) != first:
        raise FormError("unknown header")
    return times


class _Line(NamedTuple):
    """One line of a form: its text with ``%s`` for each value or time it takes in."""

    pattern: str
    takes: tuple[int, ...]
    is_timed: bool
    clock: int


_TIME = -2
"""Among the values a line takes: the time itself."""


def _read_line(text: str, times: Notation | None) -> _Line:
    is_leading = times is not None and times.is_leading
    is_timed = is_leading and not text.startswith(_UNTIMED)
    if is_leading and not is_timed:
        text = text.removeprefix(_UNTIMED)
    takes: list[int] = []
    clock = -1
    pattern: list[str] = []
    end = 0
    for found in _HOLE.finditer(text):
        pattern += (text[end : found.start()].replace("%", "%%"), "%s")
        end = found.end()
        if found[1]:
            clock = int(found[2] or 0) - 1
            takes.append(_TIME)
        else:
            takes.append(
                int(found[2]) - 1 if found[2] else len(takes) - takes.count(_TIME)
            )
    pattern.append(text[end:].replace("%", "%%"))
    if is_timed and takes[:1] != [_TIME]:
        takes.insert(0, _TIME)
        pattern.insert(0, "%s")
    return _Line("".join(pattern), tuple(takes), is_timed or _TIME in takes, clock)


class _Budget:
    """Characters that may still be written."""

    def __init__(self, limit: int | None) -> None:
        self._left = limit

    def spend(self, characters: int) -> None:
        if self._left is not None:
            self._left -= characters
            if self._left < 0:
                raise FormError("stands for more text than is allowed")


def _unrolled(rows: list[str], budget: _Budget) -> list[str]:
    unrolled: list[str] = []
    for row in rows:
        loop = _LOOP.fullmatch(row) if row.startswith("×") else None
        if loop is None:
            unrolled.append(row)
            continue
        rounds, period = int(loop[1]), int(loop[2])
        if period > min(len(unrolled), _MAX_PERIOD):
            raise FormError("loop over rows that are not there")
        budget.spend(rounds * sum(len(row) + 1 for row in unrolled[-period:]))
        unrolled += unrolled[len(unrolled) - period :] * (rounds - 1)
    return unrolled


class _Reader:
    """Reads rows one after the other, the last time in mind."""

    def __init__(
        self, times: Notation | None, forms: dict[str, list[_Line]], budget: _Budget
    ) -> None:
        self._budget = budget
        self._times = times
        self._forms = forms
        self._stamp: Stamp = ("", "", "")
        self._lines: list[str] = []

    def text(self, body: str) -> str:
        match = _coded(self._times.name if self._times else "").match
        for row in _unrolled(body.split("\n"), self._budget):
            coded = match(row)
            if coded is None:
                self._verbatim(row)
                continue
            if coded[2] is not None:
                self._stamp = (coded[1], coded[2], coded[3])
            elif coded[4] is not None:
                self._stamp = (self._stamp[0], coded[4], self._stamp[2])
            form = self._forms.get(coded["code"])
            if form is None:
                raise FormError("row of an unknown template")
            end = coded.end()
            values = row[end:].split(" ") if row[end - 1] == " " else []
            times = int(coded["times"] or 1)
            self._budget.spend(times * sum(len(line.pattern) + 1 for line in form))
            self._budget.spend(times * len(row))
            for _ in range(times):
                self._form(form, values)
        return "\n".join(self._lines)

    def _form(self, form: list[_Line], values: list[str]) -> None:
        try:
            for line in form:
                if line.clock >= 0:
                    before, _, after = self._stamp
                    self._stamp = (before, values[line.clock], after)
                self._lines.append(
                    line.pattern
                    % tuple(
                        "".join(self._stamp) if at == _TIME else values[at]
                        for at in line.takes
                    )
                )
        except IndexError as error:
            raise FormError("row with too few values") from error

    def _verbatim(self, row: str) -> None:
        times = self._times
        if row.startswith("|"):
            row = row[1:]
        elif times is not None and times.is_leading:
            if row.startswith(" "):
                row = "".join(self._stamp) + row
            elif (cut := times.cut(row)) is not None:
                self._stamp = cut[0]
            elif (clock := times.clock.match(row)) is not None:
                self._stamp = (self._stamp[0], clock[0], self._stamp[2])
                row = "".join(self._stamp) + row[clock.end() :]
        if times is not None and not times.is_leading and (cut := times.cut(row)):
            self._stamp = cut[0]
        self._lines.append(row)
