"""The lossy form of stack traces: exceptions and own frames, the rest by line ranges.

Kept: lines that name what was raised, frames of one's own code and the frame that
raised, each once; other lines, of many alike the first, the last and those of trouble.
Left out, each run with its line range: library frames, frames and lines shown before.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from headroom.core.compressors.trace.units import Unit, cut_units, is_marks, is_python
from headroom.core.content.severity import has_trouble
from headroom.core.folding import find_families, read_lines

HEADER = "trace outline"

_ALIKE = 5
"""Other lines of one family: from this many on, only some are shown."""

_OUTLINE = re.compile(
    rf"{HEADER}, … with ranges; \d{{1,9}} of \d{{1,9}} lines left out: "
)


# Addresses, frame numbers and arguments, in which calls of one function differ.
_VALUES = re.compile(r"0x[0-9a-fA-F]+\??|=-?\d+|\([\d, ]+\)|\+0x\w+")
# strace's calls that failed: what was asked for, without its directories, which are
# searched one after the other, and the error's name.
_FAILED_CALL = re.compile(r"([^/\s\"(]*)\"?,?[^\"]*\) += -\d+ (E[A-Z0-9]+) \(")
_FRAME_NUMBER = re.compile(r"#\d+")


class Outline(NamedTuple):
    """The form and what it leaves out, in one line."""

    text: str
    omitted: str


def is_outline(text: str) -> bool:
    """Whether the text is an outline: as many lines as it says are missing from it."""
    found = _OUTLINE.match(text)
    if found is None:
        return False
    said, total = (int(n) for n in re.findall(r"\d+", found[0])[:2])
    ranges = re.findall(r"(?m)^… .*\((?:line|lines) (\d{1,9})(?:-(\d{1,9}))?\)$", text)
    out = sum(int(b or a) - int(a) + 1 for a, b in ranges)
    return out == said and text.count("\n") - len(ranges) == total - said


def make_outline(lines: Sequence[str]) -> Outline | None:
    """The outline of a text with stack traces; ``None`` if nothing can be left out."""
    units = cut_units(lines)
    reasons = _reasons(lines, units)
    rows: list[str] = []
    left_out: dict[str, int] = {}
    start = 0
    count = 0
    while start < len(lines):
        reason = reasons[start]
        end = start + 1
        while end < len(lines) and reasons[end] == reason:
            end += 1
        if reason is None:
            rows += lines[start:end]
        else:
            left_out[reason] = left_out.get(reason, 0) + end - start
            count += end - start
            rows.append(f"… {reason} ({_range(start, end)})")
        start = end
    if not count:
        return None
    omitted = ", ".join(f"{n} of {reason}" for reason, n in left_out.items())
    omitted = f"{count} of {len(lines)} lines left out: {omitted}"
    head = f"{HEADER}, … with ranges; {omitted}"
    return Outline("\n".join([head, *rows]), omitted)


def _range(start: int, end: int) -> str:
    return f"line {end}" if end - start == 1 else f"lines {start + 1}-{end}"


def _reasons(lines: Sequence[str], units: Sequence[Unit]) -> list[str | None]:
    """For each line why it is left out; ``None`` if it is kept."""
    reasons: list[str | None] = [None] * len(lines)
    raising = _raising(lines, units)
    seen: set[str] = set()
    known: dict[str, str] = {}
    for unit in units:
        if unit.kind == "other":
            continue
        whole = "\n".join(lines[unit.start : unit.end])
        text = known.get(whole) or known.setdefault(whole, _unvalued(whole))
        reason: str | None = None
        if text in seen and lines[unit.start].strip():
            reason = "shown above"
        elif unit.kind == "library" and unit.start not in raising:
            reason = "library frames"
        else:
            seen.add(text)
        for at in range(unit.start, unit.end):
            reasons[at] = reason
    _leave_alike([unit.start for unit in units if unit.kind == "other"], lines, reasons)
    return _unbroken(lines, reasons)


def _unvalued(unit: str) -> str:
    """A unit without the values in which calls of one function differ."""
    if "\n" in unit:
        unit = "\n".join([line for line in unit.split("\n") if not is_marks(line)])
    if unit.startswith("#"):
        unit = _FRAME_NUMBER.sub("0", unit, count=1)
    return _VALUES.sub("0", unit)


def _leave_alike(
    others: Sequence[int], lines: Sequence[str], reasons: list[str | None]
) -> None:
    """Of many lines alike outside of traces leave all but the telling ones."""
    if len(others) < _ALIKE:
        return
    text = "\n".join([lines[at] for at in others])
    for family in find_families(read_lines(text, has_times=False)):
        if len(family.rows) < _ALIKE:
            continue
        shown = {
            _failed_call(lines[others[place]]) or values
            for place, values in (family.rows[0], family.rows[-1])
        }
        for place, values in family.rows[1:-1]:
            line = lines[others[place]]
            if not line:
                continue
            failed = _failed_call(line)
            told = failed or values
            if told not in shown and (failed or has_trouble(line)):
                shown.add(told)
                continue
            reasons[others[place]] = "lines alike"


def _failed_call(line: str) -> tuple[str, ...]:
    found = _FAILED_CALL.search(line)
    return () if found is None else (found[1], found[2])


def _raising(lines: Sequence[str], units: Sequence[Unit]) -> set[int]:
    """Where the frames start that raised: next to the exception's line.

    Python names the exception below its frames, the others above.
    """
    starts: set[int] = set()
    for before, after in pairwise(units):
        if before.kind == "exception" and after.kind in {"own", "library"}:
            if not is_python(lines[after.start]):
                starts.add(after.start)
        elif (
            after.kind == "exception"
            and before.kind in {"own", "library"}
            and is_python(lines[before.start])
        ):
            starts.add(before.start)
    return starts


def _unbroken(lines: Sequence[str], reasons: list[str | None]) -> list[str | None]:
    """Neighbouring runs that are left out for different reasons become one."""
    joined = list(reasons)
    start = 0
    while start < len(joined):
        if joined[start] is None:
            start += 1
            continue
        end = start
        while end < len(joined) and (
            joined[end] is not None
            or (lines[end] == "" and end + 1 < len(joined) and joined[end + 1])
        ):
            end += 1
        kinds = dict.fromkeys(reason for reason in joined[start:end] if reason)
        joined[start:end] = [", ".join(kinds)] * (end - start)
        start = end
    return joined
