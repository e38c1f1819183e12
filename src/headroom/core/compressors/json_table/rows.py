"""Tables → lines: cells, rows with what stands below them, and the schema above.

The notation is described in ``encode``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice

from headroom.core.compressors.json_table.columns import (
    Column,
    Field,
    Items,
    Leaf,
    Record,
)
from headroom.core.compressors.json_table.notation import (
    BLANK,
    TAB,
    WIDE_END,
    Notation,
    name,
)
from headroom.core.compressors.json_table.parse import (
    ABSENT,
    Absence,
    Cell,
    write,
)
from headroom.core.compressors.json_table.tables import (
    block_of,
    group_of,
    leaves_of,
    widen,
)
from headroom.core.content.tokens import estimate_tokens

_SAMPLE = 60
_SAMPLE_LINES = 30
_SAMPLE_CHARS = 3_000
_TAB_BIAS = 1.03
"""The estimate takes tabs for cheaper than they are, and blanks read better."""

Tails = dict[int, list[str]]


class _Cells(dict[Cell, str]):
    """Cells by value; each distinct value is written once."""

    def __init__(
        self, notation: Notation, codes: dict[str, str], *, nested: bool
    ) -> None:
        super().__init__(codes)  # type: ignore[arg-type]  # str is a Cell
        self._notation = notation
        self._nested = nested

    def __missing__(self, value: Cell) -> str:
        cell = self._notation.scalar(value, nested=self._nested)
        self[value] = cell
        return cell


class _Texts(_Cells):
    """The same for columns of strings."""

    def __missing__(self, value: Cell) -> str:
        assert isinstance(value, str)
        cell = self._notation.text(value, nested=self._nested)
        self[value] = cell
        return cell


class TableWriter:
    """Writes tables, with strings replaced by their codes.

    Args:
        codes: by string, what stands for it.
    """

    def __init__(self, codes: dict[str, str]) -> None:
        self._codes = codes

    def table(self, label: str, table: Items, depth: int) -> list[str]:
        """Header and rows of a table.

        Beside other members its rows are counted, not indented: blanks before each row
        cost more than one number.
        """
        widen(table)
        count = "" if not label or label.startswith("#") else sum(table.lengths)
        label = f"{label}>{count}"
        found = [self._table(label, table, depth, one) for one in _notations_for(table)]
        if len(found) == 1 or _sampled(found[0]) <= _TAB_BIAS * _sampled(found[1]):
            return found[0]
        return found[1]

    def rows(self, table: Items) -> list[str]:
        """Header and rows, to see how long they are."""
        widen(table)
        return self._table("", table, 0, BLANK)

    def _table(
        self, label: str, table: Items, depth: int, notation: Notation
    ) -> list[str]:
        schema_line = _items_schema(table, notation)
        lines = [label + schema_line]
        self._rows(table, notation, depth, lines)
        group = group_of(table)
        if group is None:
            return lines
        cells = self._leaf(group, notation, nested=False)
        rows = _grouped(lines[1:], cells, depth)
        return lines if rows is None else [f"{label}[^{schema_line[1:]}", *rows]

    def _rows(
        self, table: Items, notation: Notation, depth: int, lines: list[str]
    ) -> None:
        blocks: list[_Block] = []
        inner: Items | None = table
        while inner is not None:
            blocks.append(self._block(inner, notation))
            found = block_of(inner.item) if isinstance(inner.item, Record) else None
            inner = found[1] if found else None
            if inner is not None and inner.local is not None:
                blocks.append(
                    _Block([], [], None, self._local(inner.local, len(inner.lengths)))
                )
                break
        _emit(blocks, 0, (0, sum(table.lengths)), depth, lines)

    def _local(self, tables: dict[int, Items], size: int) -> list[list[str]]:
        found: list[list[str]] = [[] for _ in range(size)]
        for place, table in tables.items():
            header, *rows = self.table("", table, 0)
            found[place] = [header[1:], *rows]
        return found

    def _block(self, items: Items, notation: Notation) -> "_Block":
        rows, tails = self.cells(items.item, notation, nested=False)
        if items.keys is not None:
            rows = self._keyed(items, rows, notation, nested=False)
        for i, tail in tails.items():
            rows[i] = notation.separator.join([rows[i], *tail])
        lengths = [max(length, 0) for length in items.lengths]
        starts = list(accumulate(lengths, initial=0))
        if items.below is None:
            return _Block(rows, starts, None)
        return _Block(rows, starts, list(accumulate(items.below, initial=sum(lengths))))

    def _keyed(
        self, items: Items, rows: list[str], notation: Notation, *, nested: bool
    ) -> list[str]:
        assert items.keys is not None
        keys = [notation.text(key, nested=nested) for key in items.keys]
        if items.item.arity == 0:
            return keys
        separator = notation.separator
        return [f"{key}{separator}{row}" for key, row in zip(keys, rows, strict=True)]

    def cells(
        self, column: Column, notation: Notation, *, nested: bool
    ) -> tuple[list[str], Tails]:
        """Every row's cells, and what rows say at their end."""
        if isinstance(column, Leaf):
            return self._leaf(column, notation, nested=nested), {}
        if isinstance(column, Items):
            return self._items(column, notation), {}
        return self._record(column, notation, nested=nested)

    def _leaf(self, column: Leaf, notation: Notation, *, nested: bool) -> list[str]:
        if column.is_raw:
            return [self._codes.get(str(text), str(text)) for text in column.values]
        if column.is_wide and notation is BLANK:
            return [f"{self._wide(value)}{WIDE_END}" for value in column.values]
        kind = _Texts if column.is_text else _Cells
        known = kind(notation, self._codes, nested=nested)
        try:
            return list(map(known.__getitem__, column.values))
        except TypeError:  # a list or an object among the cells
            return [notation.loose(value, nested=nested) for value in column.values]

    def _wide(self, value: Cell) -> str:
        return "-" if value is ABSENT else self._codes.get(str(value), str(value))

    def _record(
        self, record: Record, notation: Notation, *, nested: bool
    ) -> tuple[list[str], Tails]:
        count = record.size if record.rows is None else len(record.rows)
        parts: list[list[str]] = []
        marked: list[bool] = []
        tails: Tails = {}
        for i, one in enumerate(record.fields):
            label = str(i) if record.is_array else name(one.key)
            for row, value in one.overrides.items():
                # Where the rest is false, what is true need not say so.
                is_true = value is True and one.default is False
                cell = "" if is_true else _said(value, notation, nested=nested)
                said = label if is_true else f"{label}={cell}"
                tails.setdefault(row, []).append(said)
            if one.mode != "cell" or one.is_block or one.column is None:
                continue
            cells, inner = self.cells(one.column, notation, nested=nested)
            if one.column.arity:
                parts.append(cells)
                marked.append(notation is BLANK and _ends_wide(one.column))
            for row, tail in inner.items():
                known = tails.setdefault(row, [])
                known += [f"{label}.{said}" for said in tail]
        if len(parts) == 1:
            rows = parts[0]
        elif parts:
            rows = _side_by_side(parts, marked, notation.separator)
        else:
            rows = [""] * count
        return (
            _scatter(record, rows, tails) if record.rows is not None else (rows, tails)
        )

    def _items(self, items: Items, notation: Notation) -> list[str]:
        cells, tails = self.cells(items.item, notation, nested=True)
        separator = notation.separator
        if items.keys is not None:
            cells = self._keyed(items, cells, notation, nested=True)
        for i, tail in tails.items():
            cells[i] = separator.join([cells[i], *tail])
        is_wide = items.keys is not None or isinstance(items.item, Record)
        join = (";" if is_wide else separator).join
        opening, closing = "[]" if items.keys is None else "{}"
        rest = iter(cells)
        return [
            f"{opening}{join(islice(rest, length))}{closing}"
            if length >= 0
            else _odd(items.odd[place])
            for place, length in enumerate(items.lengths)
        ]


@dataclass(slots=True)
class _Block:
    rows: list[str]
    starts: list[int]
    below: list[int] | None
    local: list[list[str]] | None = None


def _emit(
    blocks: list[_Block], level: int, span: tuple[int, int], depth: int, out: list[str]
) -> None:
    """Append rows ``span`` of a block, each with what stands below it."""
    block = blocks[level]
    pad = " " * depth
    is_last = level + 1 == len(blocks)
    if block.below is None and is_last:
        out += [pad + row for row in block.rows[slice(*span)]]
        return
    if not is_last and blocks[level + 1].local is not None:
        _emit_local(block.rows, blocks[level + 1].local or [], span, depth, out)
        return
    starts = block.below if block.below is not None else blocks[level + 1].starts
    inner = level if block.below is not None else level + 1
    for i in range(*span):
        out.append(pad + block.rows[i])
        if starts[i] < starts[i + 1]:
            _emit(blocks, inner, (starts[i], starts[i + 1]), depth + 1, out)


def _emit_local(
    rows: list[str],
    local: list[list[str]],
    span: tuple[int, int],
    depth: int,
    out: list[str],
) -> None:
    pad = " " * depth
    for i in range(*span):
        out.append(pad + rows[i])
        out += [f"{pad} {line}" for line in local[i]]


def _grouped(rows: list[str], cells: list[str], depth: int) -> list[str] | None:
    """The rows without their first cells, which stand above each run of them."""
    pad = " " * depth
    found: list[str] = []
    last: str | None = None
    for row, cell in zip(rows, cells, strict=True):
        if cell != last:
            found.append(f"{pad}^{cell}")
            last = cell
        rest = row[depth + len(cell) + 1 :]
        if rest.startswith(("^", " ")):
            return None
        found.append(pad + rest)
    return found


def _side_by_side(
    parts: list[list[str]], marked: list[bool], separator: str
) -> list[str]:
    """Cells of each row with separators, but behind those that end with a sign."""
    if not any(marked[:-1]):
        return list(map(separator.join, zip(*parts, strict=True)))
    between = ["" if is_marked else separator for is_marked in marked]
    row = "".join(f"%s{sign}" for sign in [*between[:-1], ""])
    return [row % cells for cells in zip(*parts, strict=True)]


def _ends_wide(column: Column) -> bool:
    """Whether the last cell of a column ends with a sign of its own."""
    if isinstance(column, Record):
        cells = [x for x in column.fields if x.mode == "cell" and not x.is_block]
        inner = [x.column for x in cells if x.column is not None and x.column.arity]
        return bool(inner) and _ends_wide(inner[-1])
    return isinstance(column, Leaf) and column.is_wide


def _scatter(
    record: Record, rows: Sequence[str], tails: Tails
) -> tuple[list[str], Tails]:
    assert record.rows is not None
    spread = [""] * record.size
    for place, row in zip(record.rows, rows, strict=True):
        spread[place] = row
    for place, value in record.odd.items():
        spread[place] = _odd(value)
    return spread, {record.rows[i]: tail for i, tail in tails.items()}


def _said(value: Cell, notation: Notation, *, nested: bool) -> str:
    if isinstance(value, (dict, list)):
        return write(value, ", ", ": ")
    return notation.scalar(value, nested=nested)


def _odd(value: Cell) -> str:
    return "=" if isinstance(value, Absence) else "=" + write(value, ", ", ": ")


def _notations_for(table: Items) -> list[Notation]:
    """Which separators may be the cheapest: a tab saves quotes around texts."""
    quoted = cells = 0
    for one in leaves_of(table):
        sample = one.values[:_SAMPLE]
        factor = max(1, len(one.values) // _SAMPLE)
        cells += len(one.values)
        for value in () if one.is_wide else sample:
            if type(value) is str:
                quoted += factor * (" " in value)
            elif isinstance(value, (dict, list)):
                quoted += factor * (" " in BLANK.loose(value, nested=True))
    if quoted * 6 < cells or "\t" not in _items_schema(table, TAB):
        return [BLANK]
    return [BLANK, TAB] if quoted * 10 < 8 * cells else [TAB]


def _sampled(lines: list[str]) -> int:
    """Tokens of the beginning of a table, about."""
    return estimate_tokens("\n".join(lines[1:_SAMPLE_LINES])[:_SAMPLE_CHARS])


def schema(column: Column, notation: Notation) -> str:
    """A column's part of the header, after its name."""
    if isinstance(column, Leaf):
        if column.is_wide and notation is BLANK:
            return WIDE_END
        if column.is_raw:
            return ":raw"
        return ":str" if column.is_text else ""
    if isinstance(column, Record):
        inside = _fields(column, notation)
        mark = "" if column.rows is None else "?"
        return f"{mark}({inside})" if column.is_array else f"{mark}{{{inside}}}"
    return ("?" if -1 in column.lengths else "") + _items_schema(column, notation)


def _items_schema(column: Items, notation: Notation) -> str:
    item = column.item
    is_object = isinstance(item, Record) and not item.is_array
    mark = ""
    if isinstance(item, Record) and is_object:
        inside = _fields(item, notation)
        mark = "" if item.rows is None else "?"
    else:
        inside = schema(item, notation)
    if column.keys is None:
        return f"[{mark}{inside}]"
    between = notation.separator if is_object else ""
    return f"{{@{mark}{between}{inside}}}"


def _fields(record: Record, notation: Notation) -> str:
    return notation.separator.join(
        _field(one, notation, is_array=record.is_array) for one in record.fields
    )


def _field(one: Field, notation: Notation, *, is_array: bool) -> str:
    label = "_" if is_array else name(one.key)
    if one.mode == "const":
        return f"{label}={notation.loose(one.default, nested=True)}"
    if one.mode == "same":
        return f"{label}=={one.same}"
    blank = "?" if one.default is ABSENT else ""
    if one.mode == "self":
        return f"{label}>{blank}^"
    assert one.column is not None
    if one.style:
        label = f"{label}:{one.style}"
    mark = f">{blank}" if one.is_block else ""
    if isinstance(one.column, Items) and one.column.local is not None:
        return f"{label}{mark}{'[]' if one.column.keys is None else '{}'}"
    if isinstance(one.column, Items) and one.is_block:
        return f"{label}{mark}{_items_schema(one.column, notation)}"
    return f"{label}{schema(one.column, notation)}"
