"""Reads the lossless form of lines back (``form`` says how it looks).

Forms may have been written by others to do harm: how much text one may stand for can be
limited, and whatever is not as it should be raises.
"""

import re
from typing import NamedTuple

from headroom.core.folding.form import (
    MAX_PERIOD,
    UNTIMED,
    FormError,
    coded_row,
    header,
    header_line,
)
from headroom.core.folding.lines import END
from headroom.core.folding.times import Notation, Stamp, notation

_LOOP = re.compile(r"×(\d{1,9}) of (\d{1,3}) rows")
_HOLE = re.compile(r"~(?:;|(t?)(\d*))")


def read(name: str, form: str, limit: int | None = None) -> list[str]:
    """The lines that ``form`` stands for.

    Args:
        name: the first word of the form.
        form: the whole form.
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
    return _Reader(times, forms, _Budget(limit)).read(body)


def _read_header(name: str, first: str) -> Notation | None:
    if first == header(name):
        return None
    said, _, inside = first.removeprefix(f"{header(name)}; time ").partition(" ")
    times = notation(said, is_leading=not inside)
    if times is None or header_line(name, times) != first:
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
    is_timed = is_leading and not text.startswith(UNTIMED)
    if is_leading and not is_timed:
        text = text.removeprefix(UNTIMED)
    takes: list[int] = []
    clock = -1
    pattern: list[str] = []
    end = 0
    for found in _HOLE.finditer(text):
        pattern.append(text[end : found.start()].replace("%", "%%"))
        end = found.end()
        if found[0] == END:
            continue
        pattern.append("%s")
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
        if period > min(len(unrolled), MAX_PERIOD):
            raise FormError("loop over rows that are not there")
        budget.spend(rounds * sum(len(row) + 1 for row in unrolled[-period:]))
        unrolled += unrolled[len(unrolled) - period :] * (rounds - 1)
    return unrolled


_DIGITS = str.maketrans("123456789", "0" * 9)
_NO_CLOCK_SHAPES = "epoch"
"""The notation whose clock is told by one of its digits, not by its shape alone."""


class _Form:
    """What a row stands for.

    Attributes:
        is_plain: one line that takes the row's values in order, the time before them
            if it ``is_timed``.
        size: characters of text for each row, less its values.
    """

    def __init__(self, lines: list[_Line]) -> None:
        first = lines[0]
        self.lines = lines
        self.size = sum(len(line.pattern) + 1 for line in lines)
        self.pattern = first.pattern
        self.is_timed = first.takes[:1] == (_TIME,)
        values = first.takes[1:] if self.is_timed else first.takes
        self.values = len(values)
        self.is_plain = (
            len(lines) == 1 and first.clock < 0 and values == tuple(range(len(values)))
        )


class _Reader:
    """Reads rows one after the other, the last time in mind."""

    def __init__(
        self, times: Notation | None, forms: dict[str, list[_Line]], budget: _Budget
    ) -> None:
        self._budget = budget
        self._times = times
        self._forms = {code: _Form(lines) for code, lines in forms.items()}
        self._match = coded_row(times.name if times else "").match
        self._stamp: Stamp = ("", "", "")
        self._time = ""
        self._lines: list[str] = []

    def read(self, body: str) -> list[str]:
        # Most rows are a plain code and its values, with a clock before it or without.
        easy = {
            f"${code}": form
            for code, form in self._forms.items()
            if code.isascii() and code.isalpha()
        }
        clocks: dict[str, bool] = {}
        for row in _unrolled(body.split("\n"), self._budget):
            head, blank, rest = row.partition(" ")
            lead, _, code = head.partition("$")
            form = easy.get("$" + code)
            if form is None or (lead and not self._is_clock(lead, code, clocks)):
                self._row(row)
                continue
            if lead:
                before, _, after = self._stamp
                self._set_time((before, lead, after))
            self._budget.spend(form.size + len(row))
            self._form(form, rest.split(" ") if blank else [])
        return self._lines

    def _is_clock(self, lead: str, code: str, known: dict[str, bool]) -> bool:
        """Whether what stands before a code is a clock, not a time in full."""
        if self._times is None or self._times.name == _NO_CLOCK_SHAPES:
            return False
        shape = lead.translate(_DIGITS)
        is_clock = known.get(shape)
        if is_clock is None:
            coded = self._match(f"{lead}${code}")
            is_clock = known[shape] = coded is not None and coded[4] == lead
        return is_clock

    def _row(self, row: str) -> None:
        """Any row, by its pattern."""
        coded = self._match(row) if "$" in row else None
        if coded is None:
            self._verbatim(row)
            return
        if coded[2] is not None:
            self._set_time((coded[1], coded[2], coded[3]))
        elif coded[4] is not None:
            self._set_time((self._stamp[0], coded[4], self._stamp[2]))
        form = self._forms.get(coded["code"])
        if form is None:
            raise FormError("row of an unknown template")
        end = coded.end()
        values = row[end:].split(" ") if row[end - 1] == " " else []
        times = int(coded["times"] or 1)
        self._budget.spend(times * (form.size + len(row)))
        for _ in range(times):
            self._form(form, values)

    def _set_time(self, stamp: Stamp) -> None:
        self._stamp = stamp
        self._time = "".join(stamp)

    def _form(self, form: _Form, values: list[str]) -> None:
        if form.is_plain and len(values) == form.values:
            taken = (self._time, *values) if form.is_timed else tuple(values)
            self._lines.append(form.pattern % taken)
            return
        try:
            for line in form.lines:
                if line.clock >= 0:
                    before, _, after = self._stamp
                    self._set_time((before, values[line.clock], after))
                time = self._time
                taken = tuple(
                    [time if at == _TIME else values[at] for at in line.takes]
                )
                self._lines.append(line.pattern % taken)
        except IndexError as error:
            raise FormError("row with too few values") from error

    def _verbatim(self, row: str) -> None:
        times = self._times
        if row.startswith("|"):
            row = row[1:]
        elif times is not None and times.is_leading:
            if row.startswith(" "):
                row = self._time + row
            elif (cut := times.cut(row)) is not None:
                self._set_time(cut[0])
            elif (clock := times.clock.match(row)) is not None:
                self._set_time((self._stamp[0], clock[0], self._stamp[2]))
                row = self._time + row[clock.end() :]
        if times is not None and not times.is_leading and (cut := times.cut(row)):
            self._set_time(cut[0])
        self._lines.append(row)
