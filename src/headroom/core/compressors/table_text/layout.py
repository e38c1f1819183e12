"""How to write a grid with fewer tokens: which columns are said once, and where.

The steps stand in the order of what they cost the reader: a constant column is named
once, a counting column is stated, an object column shows its keys when they change, a
column that another one determines is listed once per value, a column that changes
rarely stands in a line of its own when it changes or as ``^`` where it does not, and
long cells that come back often get a code. Every step must pay; nothing here changes a
value.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import compress
from operator import eq, ne

from msgspec import Struct

from headroom.core.compressors.table_text.objects import ObjectColumn, split_objects
from headroom.core.content.tokens import estimate_tokens

# Below this many rows a dependency between two columns is taken for chance.
_MAP_ROWS = 12
_MAP_SUPPORT = 3
_SAMPLE = 48
_MAX_CODES = 400
_CODES_PAY = 0.08
# Tokens beside the value: a cell's separator, a line for a changed value, ``^``, a
# code, a code's legend.
_CELL, _LINE, _DITTO, _CODE, _LEGEND = 0.5, 3.0, 1.0, 2.5, 4.0
ANCHOR_ROWS = 20
_ID = re.compile(r"(?i)(?:.*[_. -])?id")


class Layout(Struct):
    """What is written where; indices are those of ``columns``.

    Attributes:
        names: labels of the columns, object columns already split in two.
        objects: the columns that were objects, by the index of their keys column.
        same: constant columns.
        counted: columns that count up by a constant step, with that step.
        mapped: column → the column that determines it.
        grouped: columns that stand in a line of their own when they change.
        ditto: shown columns that say ``^`` where they do not change.
        coded: cell → code, for cells that come back often.
        shown: the columns that stand in the rows, in order.
    """

    names: list[str]
    columns: list[list[str]]
    objects: dict[int, ObjectColumn]
    same: list[int]
    counted: dict[int, int]
    mapped: dict[int, int]
    grouped: list[int]
    ditto: list[int]
    coded: dict[str, str]
    shown: list[int]


def _step_of(column: list[str]) -> int | None:
    """The constant difference of a column of plain integers, if it is one."""
    if len(column) < 6:
        return None
    first, second, last = _int(column[0]), _int(column[1]), _int(column[-1])
    if first is None or second is None or last is None or second <= first:
        return None
    step = second - first
    if first + step * (len(column) - 1) != last:
        return None
    expected = map(str, range(first, last + 1, step))
    return step if all(map(eq, expected, column)) else None


def _int(cell: str) -> int | None:
    return int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 16 else None


def _is_amount(values: set[str]) -> bool:
    """Decimal numbers determine nothing; a match would be chance."""
    sample = sorted(values)[:20]
    return any("." in v and v.replace(".", "", 1).isdigit() for v in sample)


class _Planner:
    """The steps of ``plan`` with the figures they share."""

    def __init__(
        self,
        names: list[str],
        columns: Sequence[list[str]],
        count: Callable[[str], int],
    ) -> None:
        self.layout = Layout(list(names), list(columns), {}, [], {}, {}, [], [], {}, [])
        self.count = count
        self.height = len(columns[0])
        self._split_object_columns()
        width = len(self.layout.columns)
        self.distinct = [set(c) for c in self.layout.columns]
        self.costs: dict[int, float] = {}
        self.changes: list[int] = [
            sum(map(ne, c, c[1:])) + 1 for c in self.layout.columns
        ]
        self.rest = list(range(width))

    def _split_object_columns(self) -> None:
        layout = self.layout
        at = 0
        while at < len(layout.columns):
            found = split_objects(layout.columns[at])
            if found is not None:
                name = layout.names[at]
                layout.names[at : at + 1] = [f"{name}.keys", f"{name}.values"]
                layout.columns[at : at + 1] = [found.keys, found.values]
                layout.objects[at] = found
                at += 1
            at += 1

    def _cost(self, values: Sequence[str]) -> float:
        """Tokens of a cell, on average over a sample."""
        step = max(1, len(values) // _SAMPLE)
        sample = [v for v in values[::step][:_SAMPLE] if v]
        if not sample:
            return 0.2
        # Behind a blank most words cost what they cost alone, numbers one more.
        tokens: int = self.count("\n".join(sample))
        return max(0.2, (tokens + 1) / len(sample) - 1)

    def hoist(self) -> None:
        """Constant and counting columns; ids stay, as readers use them."""
        for i in self.rest:
            step = _step_of(self.layout.columns[i])
            if len(self.distinct[i]) == 1 and self.height > 1:
                self.layout.same.append(i)
            elif step is not None and not _ID.fullmatch(self.layout.names[i]):
                self.layout.counted[i] = step
        said = {*self.layout.same, *self.layout.counted}
        self.rest = [i for i in self.rest if i not in said]
        self.costs = {i: self._cost(self.layout.columns[i]) for i in self.rest}

    def map(self) -> None:
        """Columns that another column determines are listed once per its value."""
        height, costs, distinct = self.height, self.costs, self.distinct
        if height < _MAP_ROWS:
            return
        few = [i for i in self.rest if len(distinct[i]) * _MAP_SUPPORT <= height]
        determinants = [i for i in few if not _is_amount(distinct[i])]
        mapped = self.layout.mapped
        pinned: set[int] = set()
        for b in sorted(few, key=lambda i: -costs[i]):
            if b in pinned:
                continue
            plain = min(height * (costs[b] + _CELL), self._run_cost(b))
            best, best_gain = -1, max(6.0, 0.1 * plain)
            for a in determinants:
                if a == b or a in mapped or len(distinct[a]) < len(distinct[b]):
                    continue
                gain = plain - len(distinct[a]) * (costs[a] + costs[b] + 2)
                if gain > best_gain and self._determines(a, b):
                    best, best_gain = a, gain
            if best >= 0:
                mapped[b] = best
                pinned.add(best)
        self.rest = [i for i in self.rest if i not in mapped]

    def _determines(self, a: int, b: int) -> bool:
        left, right = self.layout.columns[a], self.layout.columns[b]
        head = left[:200]
        if len(set(zip(head, right, strict=False))) != len(set(head)):
            return False
        return len(set(zip(left, right, strict=True))) == len(self.distinct[a])

    def _run_cost(self, i: int, cost: float | None = None) -> float:
        """Tokens of the column when only changes are written, the cheaper way."""
        value = self.costs[i] if cost is None else cost
        return min(self._line_cost(i, value), self._ditto_cost(i, value))

    def _line_cost(self, i: int, value: float) -> float:
        return self.changes[i] * (value + _LINE + estimate_tokens(self.layout.names[i]))

    def _ditto_cost(self, i: int, value: float) -> float:
        kept = self.changes[i] * (value + _CELL)
        return kept + (self.height - self.changes[i]) * _DITTO

    def code(self) -> dict[int, float]:
        """Codes for long cells that come back; what columns cost afterwards."""
        seen: Counter[str] = Counter()
        costs = dict.fromkeys(self.rest, 0.0)
        written: dict[int, list[str]] = {}
        body = 0.0
        for i in self.rest:
            costs[i] = self.costs[i]
            column = self.layout.columns[i]
            if self.changes[i] < 0.8 * self.height:
                moved = map(ne, column, column[1:])
                column = [column[0], *compress(column[1:], moved)]
            body += len(column) * (costs[i] + _CELL)
            if costs[i] >= 4:
                written[i] = column
                seen.update(column)
        gains: dict[str, float] = {}
        for value, times in seen.items():
            if times >= 3 and len(value) >= 6:
                gain = (times - 1) * estimate_tokens(value) - times * _CODE - _LEGEND
                if gain > 0:
                    gains[value] = gain
        if not gains or sum(gains.values()) < _CODES_PAY * body:
            return costs
        best = sorted(gains, key=lambda v: -gains[v])[:_MAX_CODES]
        chosen = set(best)
        ordered = [v for v in gains if v in chosen]
        self.layout.coded = {v: f"@{n}" for n, v in enumerate(ordered, 1)}
        for i, column in written.items():
            share = sum(v in chosen for v in column) / len(column)
            costs[i] = share * _CODE + (1 - share) * costs[i]
        return costs

    def group(self, costs: dict[int, float]) -> None:
        """For each column left: in every row, as ``^`` or by lines of its own."""
        if self.height < 4:
            self.layout.shown = self.rest
            return
        for i in self.rest:
            plain = self.height * (costs[i] + _CELL)
            line = self._line_cost(i, costs[i])
            ditto = self._ditto_cost(i, costs[i])
            if line < 0.8 * plain and line < 1.1 * ditto:
                self.layout.grouped.append(i)
                continue
            self.layout.shown.append(i)
            if ditto < 0.85 * plain:
                self.layout.ditto.append(i)

    def keep_one_shown(self) -> None:
        """A row must have at least one cell to stand for it."""
        layout = self.layout
        if layout.shown:
            return
        for pool in (layout.grouped, layout.same):
            if pool:
                layout.shown.append(pool.pop())
                return
        column = next(iter(layout.counted))
        del layout.counted[column]
        layout.shown.append(column)


def plan(
    names: list[str], columns: Sequence[list[str]], count: Callable[[str], int]
) -> Layout:
    """Choose the layout for a table with at least one row."""
    planner = _Planner(names, columns, count)
    planner.hoist()
    planner.map()
    planner.group(planner.code())
    planner.keep_one_shown()
    return planner.layout
