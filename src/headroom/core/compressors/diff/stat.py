"""``git diff --stat`` blocks: no padding, directories once, one-sided bars short.

::

     src/app/main.py  |  59 +++++++++++-----        src/app/
     src/app/views.py |   4 ++++              →      main.py 59 +++++++++++-----
     2 files changed, 52 insertions(+), 11 deletions(-)
                                                    views.py 4 +
                                                    2 files changed, 52 insertions(+), …

A bar of both signs stays as it is. A bar of one sign is one sign: its length is the
number, or follows from git's scaling (``scale_linear`` in git's diff.c). A summary that
says no more than the one line above it is left out.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

STAT_LINE: Final = re.compile(
    r" (\S.*?) +\| +(\d+|Bin)(?: (\++-*|-+|\d+ -> \d+ bytes))?\Z"
)
SUMMARY: Final = re.compile(
    r" ?\d+ files? changed(?:, \d+ insertions?\(\+\))?(?:, \d+ deletions?\(-\))?\Z"
)
# Names with blanks other than a renaming's would read as any line with a number.
SHORT_LINE: Final = re.compile(
    r"(\S+(?: => \S+)?) (\d+|Bin)(?: (\++-*|-+|\d+ -> \d+ bytes))?\Z"
)
ROOT: Final = "./"

_WIDTH = re.compile(r"\[width \d{1,4}\]\Z")
_BAR = re.compile(r"\+*-*\Z")


class Row(NamedTuple):
    """One file of the block; ``size`` is a number or ``Bin``."""

    name: str
    size: str
    bar: str


_BARS = frozenset("+-")


def is_directory_line(line: str) -> bool:
    """Whether a line of the short form names a directory for the rows below it."""
    return line.endswith("/") and line[0] not in " |"


def is_width_line(line: str) -> bool:
    """Whether a line of the short form gives the width of the name column."""
    return _WIDTH.match(line) is not None


def shorten(rows: Sequence[Row], summary: str | None, width: int) -> list[str]:
    """The short lines of a block; ``expand`` must give the block back, see there."""
    scale = _scale([(r.size, r.bar) for r in rows])
    names = [r.name for r in rows]
    out = [f"[width {width}]"] if width > max(map(len, names)) else []
    directory = ""
    end = 0
    for index, row in enumerate(rows):
        if index >= end:
            found, run = _best_directory(names, index)
            end = index + run
            if found and found != directory:
                out.append(found)
                directory = found
        name = row.name.removeprefix(directory)
        if directory and (name == row.name or name.startswith(ROOT)):
            name = ROOT + row.name
        bar = row.bar
        if len(bar) > 1 and len(set(bar)) == 1 and row.size.isdigit():
            derived = _length(int(row.size), scale)
            if derived == len(bar) and (scale is None or len(bar) < scale[0]):
                bar = bar[0]
        line = f"{name} {row.size}"
        out.append(f"{line} {bar}" if bar else line)
    if summary is not None and summary != _implied_summary(rows):
        out.append(summary.removeprefix(" "))
    return out


def expand(lines: Sequence[str], summary: str | None) -> list[str] | None:
    """The block as git prints it, from short lines and the summary below them."""
    rows: list[Row] = []
    directory = ""
    width = 0
    for line in lines:
        if is_width_line(line):
            width = int(line[7:-1])
            continue
        match = SHORT_LINE.match(line)
        if match is None:
            directory = line
            continue
        is_placed = directory != "" and not match[1].startswith(ROOT)
        name = directory + match[1] if is_placed else match[1]
        if directory:
            name = name.removeprefix(ROOT)
        rows.append(Row(name, match[2], match[3] or ""))
    if not rows:
        return None
    scale = _scale([(r.size, r.bar) for r in rows])
    full = []
    for row in rows:
        if row.bar in _BARS and row.size.isdigit():
            bar = row.bar * _length(int(row.size), scale)
            full.append(row if bar == row.bar else Row(row.name, row.size, bar))
        else:
            full.append(row)
    out = print_rows(full, width)
    tail = f" {summary}" if summary is not None else _implied_summary(full)
    return [*out, tail] if tail else out


def print_rows(rows: Sequence[Row], width: int = 0) -> list[str]:
    """Rows padded as git pads them; names it cut can be shorter than their column."""
    name_width = max([width, *(len(r.name) for r in rows)])
    size_width = max(len(r.size) for r in rows)
    out = []
    for name, size, bar in rows:
        line = f" {name:<{name_width}} | {size:>{size_width}}"
        out.append(f"{line} {bar}" if bar else line)
    return out


def _scale(rows: Sequence[tuple[str, str]]) -> tuple[int, int] | None:
    """Width of the longest bar and the largest number, if bars are scaled."""
    sizes = [
        (int(size), len(bar))
        for size, bar in rows
        if size.isdigit() and len(bar) > 1 and _BAR.match(bar)
    ]
    if all(size == length for size, length in sizes):
        return None
    largest = max(int(size) for size, _ in rows if size.isdigit())
    return max(length for _, length in sizes), largest


def _length(size: int, scale: tuple[int, int] | None) -> int:
    """How long a bar git draws for ``size`` changed lines (at most 2,000 signs)."""
    if scale is None or not size:
        return min(size, 2000)
    width, largest = scale
    return min(1 + size * (width - 1) // largest, 2000)


def _implied_summary(rows: Sequence[Row]) -> str | None:
    """The summary of a single row whose unscaled bar says it all."""
    if len(rows) != 1 or rows[0].size != str(len(rows[0].bar)):
        return None
    added, removed = rows[0].bar.count("+"), rows[0].bar.count("-")
    if added + removed != len(rows[0].bar):
        return None
    parts = [" 1 file changed"]
    if added:
        parts.append(f"{added} insertion{'s' if added > 1 else ''}(+)")
    if removed:
        parts.append(f"{removed} deletion{'s' if removed > 1 else ''}(-)")
    return ", ".join(parts)


def _best_directory(names: Sequence[str], start: int) -> tuple[str, int]:
    """The directory worth a line of its own here, and how many rows it spans."""
    best = ("", 1)
    best_gain = 8
    name = names[start]
    cut = name.find("/") + 1
    while 0 < cut <= 240:
        span, served = _span(names, start, name[:cut])
        gain = (served - 1) * cut - 3 * (span - served) - 6
        if gain > best_gain:
            best, best_gain = (name[:cut], span), gain
        cut = name.find("/", cut) + 1
    return best


def _span(names: Sequence[str], start: int, prefix: str) -> tuple[int, int]:
    """Rows from ``start`` to the last one served, and how many of them are served."""
    span = served = 0
    for offset, name in enumerate(names[start : start + 100]):
        if name.startswith(prefix):
            span, served = offset + 1, served + 1
        elif offset - span >= 3:
            break
    return span, served
