"""Which rows of a long table keep every cell, and which cells the others lose.

The skeleton: every row keeps its identity and its cheap cells; texts, objects and other
dear cells stay in rows that stand out only. Those are the first and last rows, the
extremes of every amount, rare values of a category, cells that speak of errors, cells
of odd length, and rows with words of the question or of the call. In very long tables
ordinary rows are thinned evenly, which is stated where they are missing.
"""

import re
from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from headroom.core.compressors.table_text.body import Selection
from headroom.core.compressors.table_text.grid import Grid
from headroom.core.compressors.table_text.layout import Layout
from headroom.core.content.severity import TROUBLE
from headroom.core.content.tokens import estimate_tokens
from headroom.core.types import Context

_WORD = re.compile(r"[\w.-]{3,}")
_AMOUNT = re.compile(r"[-+]?[$€£]?\d[\d,]*(?:\.\d+)?\s?(?:%|[KMGT]i?B?|m|k|B)?\Z")
_STEMS = (*TROUBLE, "unable", "defunct", "zombie", "missing", "unknown", "backoff",
          "notready", "alert")  # fmt: skip
_ID_NAME = re.compile(
    r"(?i)(?:.*[_. -])?(?:id|uuid|guid|pid|key|hash|sha|zip|code)s?\Z"
)
_TIME_NAME = re.compile(r"(?i).*(?:time|date|year|created|updated|timestamp|age)\Z")
_SCALE = {"K": 1e3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "m": 1e-3}
_DEAR_TOKENS, _VERY_DEAR_TOKENS = 5.0, 12.0
_FIRST, _LAST = 3, 2
# Tables longer than this lose ordinary rows, down to about that many; those without a
# dear column, whose rows are all that can go, sooner.
_THIN_ABOVE, _THIN_TO = 1200, 600
_BARE_ABOVE, _BARE_SHARE = 120, 0.5
_STRETCH = 20
_SAMPLE = 60
_MAX_BEFORE = 12
# Extremes of each amount: the least, the most; of one each, where there are so many
# amounts that more would keep most rows of a table.
_ENDS, _FEW_ENDS = (2, 3), (1, 1)
_MAX_ENDS_SHARE = 0.15
_UNUSUAL = 12
"""Where all but one in so many rows have one amount, those with another stand out."""

_FEW_VALUES = 12
"""Of a column with so few values those count as rare, too, that two rows have."""


def select(grid: Grid, layout: Layout, ctx: Context) -> Selection:
    """What the lossy form of the table keeps."""
    height = grid.height
    dear = _dear_columns(layout)
    full = {*range(min(_FIRST, height)), *range(max(0, height - _LAST), height)}
    said = {*layout.same, *layout.counted}
    told = [i for i in range(len(layout.columns)) if i not in said]
    has_many = sum(_ENDS) * len(told) > _MAX_ENDS_SHARE * height
    for i in told:
        ends = _FEW_ENDS if has_many else _ENDS
        full |= _standing_out(layout.columns[i], layout.names[i], ends)
    full |= _errors(layout, height) | _asked(layout, ctx)
    rows: Sequence[int] = range(height)
    share = _kept_share(height, ctx.share, has_dear=bool(dear))
    if share < 1:
        # Whole stretches stay, so that what follows what can be seen, and gaps are few.
        stretch = max(1, round(_STRETCH * share))
        rows = sorted(full.union(r for r in rows if r % _STRETCH < stretch))
    notes = []
    lacking = len(rows) - len(full.intersection(rows))
    if dear and lacking:
        names = ", ".join(layout.names[i] for i in dear)
        notes.append(f"{names} in {lacking} ordinary rows of {height}")
    else:
        dear = []
    if len(rows) < height:
        notes.append(f"{height - len(rows)} rows of {height}, told where they stood")
    return Selection(list(rows), full, dear, notes)


def _kept_share(height: int, part: float, *, has_dear: bool) -> float:
    """The share of ordinary rows that stays."""
    share = 1.0 if has_dear or height <= _BARE_ABOVE * part else _BARE_SHARE
    above = _THIN_ABOVE * part
    if height * share > above / 2 and height > above:
        share = min(share, _THIN_TO * part / height)
    return share


def cut_before(grid: Grid) -> tuple[Grid, str]:
    """The grid without the middle of a long preamble."""
    n = len(grid.before)
    if n <= _MAX_BEFORE:
        return grid, ""
    gap = f"# lines 4-{n - 2} omitted"
    before = (*grid.before[:3], gap, *grid.before[-2:])
    return replace(grid, before=before), f"lines 4-{n - 2} above the table"


def _dear_columns(layout: Layout) -> list[int]:
    """Shown texts and objects; never the first column, nor the one that names rows."""
    objects = {i + 1 for i in layout.objects}
    naming = _naming_column(layout)
    out = []
    for i in layout.shown[1:]:
        column = layout.columns[i]
        if i == naming:
            continue
        sample = [c for c in column[:: max(1, len(column) // _SAMPLE)] if c]
        if not sample or i in layout.mapped.values():
            continue
        cost = sum(map(estimate_tokens, sample)) / len(sample)
        has_text = sum(" " in c for c in sample) * 3 >= len(sample)
        is_text = (has_text or i in objects) and cost >= _DEAR_TOKENS
        if is_text or cost >= _VERY_DEAR_TOKENS:
            out.append(i)
    return out


def _naming_column(layout: Layout) -> int:
    """The first column that differs from row to row and is no amount; -1 if none."""
    for i, column in enumerate(layout.columns):
        if 20 * len(set(column)) < 19 * len(column):
            continue
        sample = column[:: max(1, len(column) // _SAMPLE)]
        amounts = sum(1 for c in sample if _AMOUNT.match(c))
        if 2 * amounts < len(sample) or _ID_NAME.match(layout.names[i]):
            return i
    return -1


def _amount(cell: str) -> float | None:
    if cell.isdecimal():
        return float(cell)
    if not _AMOUNT.match(cell):
        return None
    digits = re.sub(r"[^\d.-]", "", cell)
    unit = re.search(r"[KkMGTm]", cell)
    return float(digits) * (_SCALE[unit.group()] if unit else 1.0)


def _standing_out(column: list[str], name: str, ends: tuple[int, int]) -> set[int]:
    """Rows whose cell is extreme, rare or of odd length among its column.

    Args:
        column: its cells.
        name: what it is called; the extremes of ids and times tell nothing.
        ends: how many of the least and of the greatest amounts stand out.
    """
    height = len(column)
    times = Counter(column)
    sample = column[:: max(1, height // _SAMPLE)]
    numeric = sum(1 for c in sample if _AMOUNT.match(c))
    if numeric * 10 >= len(sample) * 9:
        if _ID_NAME.match(name) or _TIME_NAME.match(name):
            return set()
        values = [(v, r) for r, c in enumerate(column) if (v := _amount(c)) is not None]
        values.sort()
        least, most = ends
        extremes = {r for _, r in (*values[:least], *values[-most:])}
        usual, often = times.most_common(1)[0]
        if (height - often) * _UNUSUAL <= height:
            extremes |= {r for r, c in enumerate(column) if c != usual}
        return extremes | {r for r, c in enumerate(column) if not _AMOUNT.match(c)}
    if len(times) * 3 <= height:
        most_rare = max(1 + (len(times) <= _FEW_VALUES), height // 400)
        rare = {v for v, n in times.items() if n <= most_rare}
        return {r for r, c in enumerate(column) if c in rare}
    lengths = [len(c) for c in column]
    limit = 3 * (sum(lengths) / height) + 20
    return {r for r, n in enumerate(lengths) if n > limit}


def _errors(layout: Layout, height: int) -> set[int]:
    """Rows with words of trouble, but for words that many rows have in one column."""
    found: set[int] = set()
    for i in (*layout.shown, *layout.grouped):
        column = layout.columns[i]
        cells = {cell: cell.lower() for cell in set(column)}
        every = "\n".join(cells.values())
        for stem in _STEMS:
            if stem not in every:
                continue
            bad = {cell for cell, lower in cells.items() if stem in lower}
            rows = [r for r, cell in enumerate(column) if cell in bad]
            if len(rows) * 4 <= height:
                found.update(rows)
    return found


def _asked(layout: Layout, ctx: Context) -> set[int]:
    """Rows with a word that was asked for and that few rows have."""
    text = ctx.question
    if ctx.call is not None:
        text += " " + ctx.call.input.decode("utf-8", "replace")
    asked = frozenset(_WORD.findall(text.lower()[:4000]))
    if not asked:
        return set()
    hits: dict[str, set[int]] = {}
    for column in layout.columns:
        by_cell: dict[str, frozenset[str]] = {}
        for r, cell in enumerate(column):
            words = by_cell.get(cell)
            if words is None:
                words = asked.intersection(_WORD.findall(cell.lower()))
                by_cell[cell] = words
            for word in words:
                hits.setdefault(word, set()).add(r)
    limit = max(5, len(layout.columns[0]) // 5)
    return {r for rows in hits.values() if len(rows) <= limit for r in rows}
