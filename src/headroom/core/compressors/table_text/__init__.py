"""Tables as text: CSV, aligned columns, markdown, boxes of database shells.

A text is parsed into a grid of cells, the grid is written with every repeated thing
said once, and the result is accepted only if it decodes to the same grid. What is
normalised away is padding, rules between rows, quotes that a cell does not need,
colours and the alignment marks of markdown. The lossy form keeps every row's identity
and cheap cells, and all cells of the rows that stand out; what is missing is stated in
rows and columns.
"""

import re

from msgspec.structs import replace

from headroom.core.compressors.table_text.decode import decode, is_form, is_mostly_rows
from headroom.core.compressors.table_text.form import MARK, encode, write
from headroom.core.compressors.table_text.grid import Grid
from headroom.core.compressors.table_text.layout import Layout
from headroom.core.compressors.table_text.lossy import cut_before, select
from headroom.core.compressors.table_text.parse import parse_grid
from headroom.core.content.editing import may_be_edited
from headroom.core.content.seal import stamped
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context

# Shorter tables stay lossless: most of what is used later stands in short outputs.
_MIN_LOSSY_CHARS = 1800
_MIN_LOSSY_ROWS = 12
_HEAD_CHARS = 6000
_CUTS = 4
_BARE_CONFIDENCE = 0.55
"""Words in rows under no header may be lines of a log, or of another tool's output."""

_HEAD_LINES = 4
_RULE = re.compile(r"[-+|:=─━┼│ ]*[-─━=]{2}[-+|:=─━┼│ ]*")


def detect(text: str) -> float:
    """Confidence that the text is a table; looks at its beginning."""
    if text.startswith(MARK):
        return 1.0 if is_form(text) else 0.0
    head = text
    if len(text) > _HEAD_CHARS:
        head = text[:_HEAD_CHARS]
        # A quoted cell may hold line ends: cut before a line until the rest parses.
        for _ in range(_CUTS if '"' in head else 1):
            head = head.rpartition("\n")[0]
            if head and (grid := parse_grid(head)) is not None:
                return _confidence(grid)
        return 0.0
    grid = parse_grid(head)
    return 0.0 if grid is None else _confidence(grid)


def _confidence(grid: Grid) -> float:
    if grid.delimiter == "|":
        return 0.9
    if _is_bare(grid):
        return _BARE_CONFIDENCE
    return 0.85 if grid.delimiter != " " else 0.8


def _is_bare(grid: Grid) -> bool:
    """Words in rows, by which alone a table is told."""
    return not grid.names and grid.delimiter == " "


def compress(text: str, ctx: Context) -> Compressed | None:
    """Lossless and lossy forms of a table, ``None`` if it is none or nothing is won."""
    if is_form(text):
        return None
    grid = parse_grid(text)
    if grid is None or (_is_bare(grid) and may_be_edited(text, ctx)):
        return None
    form, layout, sep = write(grid, ctx.count)
    # The lossy form rests on the same layout: proven, it is for both.
    if not _same(decode(form), grid) or not is_mostly_rows(grid):
        return None
    lossless = Candidate(form, "table_columns") if len(form) < len(text) else None
    lossy = None
    is_long = len(form) >= _MIN_LOSSY_CHARS and grid.height >= _MIN_LOSSY_ROWS
    if ctx.wants_lossy and is_long:
        lossy = _reduce(grid, layout, sep, ctx)
        if lossy is not None and len(lossy.text) >= min(len(form), len(text)):
            lossy = None
    return Compressed(lossless, lossy) if lossless or lossy else None


def _reduce(grid: Grid, layout: Layout, sep: str, ctx: Context) -> Candidate | None:
    selection = select(grid, layout, ctx)
    grid, cut = cut_before(grid)
    if cut:
        selection.notes.append(cut)
    if not selection.notes:
        return None
    form = stamped(encode(grid, layout, sep, selection))
    return Candidate(form, "table_rows", "; ".join(selection.notes))


def _same(one: Grid, other: Grid) -> bool:
    return replace(one, delimiter="") == replace(other, delimiter="")


def head_of(text: str) -> str:
    """The lines of a table above its first row, rules included."""
    lines = text[:_HEAD_CHARS].splitlines(keepends=True)[:_HEAD_LINES]
    ruled = [at for at, line in enumerate(lines) if _RULE.fullmatch(line.strip())]
    return "".join(lines[: ruled[-1] + 1 if ruled else 1])


COMPRESSOR = Compressor(
    name="table_text", kind="table", detect=detect, compress=compress, head=head_of
)
