"""The written form of a grid, and back.

::

    #table 600 rows; header comma; cells tab; 1 line after
    LineId,Month,Level,Event,Template          the header as it stood
    #same Level=combo                          constant columns
    #count LineId +1                           columns that count up, with anchors below
    #objects options ", " ": "                 JSON objects split in .keys and .values
    #map Event: Template 2                     columns that another one determines,
    E16<tab>session opened for user <*>        … once per value
    #codes                                     cells that come back
    @1 session opened for user root
    #^ as above                                ^ is the cell of the row above
    #cells Event                               what a row holds, if not the header
    ## LineId=1 Month=Jun                      holds for the rows below, until changed
    E16

Lines around the table stand raw before the header line and at the end, counted in the
first line, so that nothing in them can be taken for notation. ``decode`` reads a
lossless form back to the grid.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from headroom.core.compressors.table_text.body import (
    Selection,
    write_lines,
    write_rows,
)
from headroom.core.compressors.table_text.cells import (
    BY_WORD,
    DITTO,
    WORDS,
    escape_column,
    pairs,
    quote,
)
from headroom.core.compressors.table_text.grid import Grid, labels
from headroom.core.compressors.table_text.layout import Layout, plan

MARK = "#table "
OMITTED = "#omitted "
_SEPARATORS = (" ", "\t", ",", "|")
_SAMPLE_ROWS = 16
_CODES = re.compile(r"@\d+")


def _header_line(names: Sequence[str], delimiter: str) -> tuple[str, str]:
    """The header as one line and the word for what splits it."""
    wanted = delimiter if delimiter in ",;\t" else " "
    for sep in (wanted, "|", "\t"):
        if all(not {sep, '"', "\n"} & set(n) and (n or sep != " ") for n in names):
            return sep.join(names), WORDS[sep]
    if delimiter == "," and not any("\n" in n for n in names):
        out = io.StringIO()
        csv.writer(out, lineterminator="").writerow(names)
        return out.getvalue(), "csv"
    return json.dumps(names, ensure_ascii=False), "json"


def read_header(line: str, word: str) -> tuple[str, ...]:
    """The names in a header line; raises ValueError for an unknown word."""
    if word == "csv":
        return tuple(next(csv.reader([line])))
    if word == "json":
        return tuple(str(n) for n in json.loads(line))
    if word not in BY_WORD:
        raise ValueError("unknown way to write a header")
    return tuple(line.split(BY_WORD[word]))


def _map_lines(layout: Layout, rows: Sequence[int]) -> list[str]:
    names, columns = layout.names, layout.columns
    by_key: dict[int, list[int]] = {}
    for b, a in sorted(layout.mapped.items()):
        by_key.setdefault(a, []).append(b)
    lines = []
    for a, bs in by_key.items():
        first: dict[str, int] = {}
        for r in rows:
            first.setdefault(columns[a][r], r)
        fields = [list(first), *([columns[b][r] for r in first.values()] for b in bs)]
        lines.append(f"#map {names[a]}: {','.join(names[b] for b in bs)} {len(first)}")
        lines += write_lines(fields, "\t")
    return lines


def _legend(grid: Grid, layout: Layout, rows: Sequence[int], body: str) -> list[str]:
    lines: list[str] = []
    names, columns = layout.names, layout.columns
    if layout.same:
        same = [(names[i], columns[i][0]) for i in layout.same]
        lines.append("#same " + pairs(same, {}))
    for i, step in layout.counted.items():
        lines.append(f"#count {names[i]} +{step}")
    for i, found in layout.objects.items():
        name = names[i].removesuffix(".keys")
        lines.append(f"#objects {name} {quote(found.item_gap)} {quote(found.key_gap)}")
    lines += _map_lines(layout, rows)
    if layout.coded:
        used = set(_CODES.findall(body))
        codes = [(c, v) for v, c in layout.coded.items() if c in used]
        lines.append(f"#codes {len(codes)}")
        values = escape_column(
            [v for _, v in codes], "\n", is_first=False, is_last=True
        )
        lines += [f"{c} {v}" for (c, _), v in zip(codes, values, strict=True)]
    if layout.ditto:
        lines.append(f"#{DITTO} as above")
    if (
        layout.shown != list(range(len(grid.columns)))
        or layout.objects
        or not grid.names
    ):
        lines.append("#cells " + " ".join(names[i] for i in layout.shown))
    return lines


def choose_separator(layout: Layout, count: Callable[[str], int]) -> str:
    """The separator that makes a sample of rows cheapest."""
    height = len(layout.columns[0])
    step = max(1, height // _SAMPLE_ROWS)
    sample = [layout.columns[i][::step][:_SAMPLE_ROWS] for i in layout.shown]
    if len(sample) == 1:
        return " "
    prices = [count("\n".join(write_lines(sample, sep))) for sep in _SEPARATORS]
    return _SEPARATORS[prices.index(min(prices))]


def encode(
    grid: Grid, layout: Layout, sep: str, selection: Selection | None = None
) -> str:
    """The form of the grid in this layout, or of what ``selection`` keeps of it."""
    rows: Sequence[int] = range(grid.height)
    if selection is not None:
        rows = selection.rows
        dear = selection.dear
        layout = replace(
            layout,
            shown=[i for i in layout.shown if i not in dear] + dear,
            ditto=[i for i in layout.ditto if i not in dear],
        )
    body = write_rows(layout, sep, rows, selection, grid.between)
    lines = [_first_line(grid, sep, is_lossy=selection is not None), *grid.before]
    if grid.names:
        lines.append(_header_line(grid.names, grid.delimiter)[0])
    lines += _legend(grid, layout, rows, "\n".join(body))
    if selection is not None:
        lines += [f"{OMITTED}{note}" for note in selection.notes]
    return "\n".join([*lines, *body, *grid.after])


def _first_line(grid: Grid, sep: str, *, is_lossy: bool) -> str:
    line = f"{MARK}{grid.height} rows"
    if grid.names:
        line += f"; header {_header_line(grid.names, grid.delimiter)[1]}"
    line += f"; cells {WORDS[sep]}"
    for n, where in ((len(grid.before), "before"), (len(grid.after), "after")):
        if n:
            line += f"; {n} line{'s' if n > 1 else ''} {where}"
    return line + ("; lossy" if is_lossy else "")


def write(grid: Grid, count: Callable[[str], int]) -> tuple[str, Layout, str]:
    """The lossless form with the layout and separator it was written in."""
    layout = plan(labels(grid.names, len(grid.columns)), grid.columns, count)
    sep = choose_separator(layout, count)
    return encode(grid, layout, sep), layout, sep
