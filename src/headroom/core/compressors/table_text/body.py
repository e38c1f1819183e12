"""The rows of a form: cells, codes, ``^``, and the lines between rows."""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter

from msgspec import Struct

from headroom.core.compressors.table_text.cells import (
    DITTO,
    EMPTY,
    escape_column,
    pairs,
)
from headroom.core.compressors.table_text.layout import ANCHOR_ROWS, Layout

COMMENT = "#- "


class Selection(Struct):
    """What a lossy form keeps.

    Attributes:
        rows: the rows that stay, ascending.
        full: those of them that keep every cell.
        dear: the shown columns that the others lose.
        notes: what is missing, in units of the source.
    """

    rows: list[int]
    full: set[int]
    dear: list[int]
    notes: list[str]


def write_lines(columns: Sequence[Sequence[str]], sep: str) -> list[str]:
    """One line per row, nothing but escaped cells."""
    last = len(columns) - 1
    written = [
        escape_column(c, sep, is_first=i == 0, is_last=i == last)
        for i, c in enumerate(columns)
    ]
    return _join(written, sep, may_end=True)


def write_rows(
    layout: Layout,
    sep: str,
    rows: Sequence[int],
    selection: Selection | None = None,
    between: Sequence[tuple[int, str]] = (),
) -> list[str]:
    """All lines of the body.

    Args:
        layout: what stands where.
        sep: what splits cells.
        rows: the rows to write, ascending; gaps between them are stated.
        selection: which columns only some of the rows keep.
        between: comment lines, each with the row it stands before.
    """
    dear = selection.dear if selection is not None else []
    full = selection.full if selection is not None else set()
    height = len(layout.columns[0])
    order = [i for i in layout.shown if i not in dear]
    tail = [i for i in layout.shown if i in dear]
    lines = _cells(layout, order, sep, rows, ends=not tail, begins=True)
    if tail:
        ends = dict(
            zip(
                rows,
                _cells(layout, tail, sep, rows, ends=True, begins=not order),
                strict=True,
            )
        )
        lines = [
            f"{line}{sep}{ends[r]}" if r in full else line
            for r, line in zip(rows, lines, strict=True)
        ]
    marks = _between(layout, rows)
    if not marks and not between and len(rows) == height:
        return lines
    return _weave(layout, lines, marks, rows, dict(_by_row(between)))


def _by_row(between: Sequence[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    for row, group in groupby(between, key=itemgetter(0)):
        yield row, [COMMENT + line for _, line in group]


def _cells(
    layout: Layout,
    order: Sequence[int],
    sep: str,
    rows: Sequence[int],
    *,
    ends: bool,
    begins: bool,
) -> list[str]:
    """The given columns side by side; ``^`` only where every row shows them."""
    codes = layout.coded
    written: list[Sequence[str]] = []
    for n, i in enumerate(order):
        column: Sequence[str] = layout.columns[i]
        if len(rows) != len(column):
            column = [column[r] for r in rows]
        cells = escape_column(
            column,
            sep,
            is_first=begins and n == 0,
            is_last=ends and n == len(order) - 1,
        )
        if codes:
            cells = [codes.get(c, w) for c, w in zip(column, cells, strict=True)]
        if i in layout.ditto and begins:
            cells = _as_above(column, cells)
        written.append(cells)
    return _join(written, sep, may_end=ends)


def _join(written: Sequence[Sequence[str]], sep: str, *, may_end: bool) -> list[str]:
    """The lines; between blanks, empty cells at the end of a line are not written."""
    rows = zip(*written, strict=True)
    if not may_end or sep != " " or len(written) < 2 or EMPTY not in written[-1]:
        return list(map(sep.join, rows))
    lines = []
    for row in rows:
        end = len(row)
        while end > 1 and row[end - 1] == EMPTY:
            end -= 1
        lines.append(sep.join(row[:end]))
    return lines


def _as_above(column: Sequence[str], cells: Sequence[str]) -> list[str]:
    out = [
        DITTO if above == cell and cell else w
        for (above, cell), w in zip(pairwise(column), cells[1:], strict=True)
    ]
    return [cells[0], *out]


def _between(layout: Layout, rows: Sequence[int]) -> dict[int, list[tuple[str, str]]]:
    """By position in ``rows``: the values that change there, and anchors."""
    found: dict[int, list[tuple[str, str]]] = {}
    for i in layout.counted:
        column = layout.columns[i]
        due, next_row = 0, 0
        for at, r in enumerate(rows):
            if at >= due or r != next_row:
                found.setdefault(at, []).append((layout.names[i], column[r]))
                due = at + ANCHOR_ROWS
            next_row = r + 1
    for i in layout.grouped:
        column = layout.columns[i]
        name = layout.names[i]
        before: str | None = None
        for at, r in enumerate(rows):
            if column[r] != before:
                before = column[r]
                found.setdefault(at, []).append((name, before))
    return found


def _weave(
    layout: Layout,
    lines: list[str],
    marks: dict[int, list[tuple[str, str]]],
    rows: Sequence[int],
    between: dict[int, list[str]],
) -> list[str]:
    out: list[str] = []
    due = 0
    for at, (r, line) in enumerate(zip(rows, lines, strict=True)):
        if r != due:
            out.append(_gap(due, r))
        due = r + 1
        if at in marks:
            out.append("## " + pairs(marks[at], layout.coded))
        if r in between:
            out += between[r]
        out.append(line)
    height = len(layout.columns[0])
    out += between.get(height, [])
    if due != height:
        out.append(_gap(due, height))
    return out


def _gap(start: int, stop: int) -> str:
    if stop == start + 1:
        return f"## row {stop} omitted"
    return f"## rows {start + 1}-{stop} omitted"
