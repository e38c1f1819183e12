"""Document → form: one header line, a legend, then members, tables and rows.

```
#json>
"Count": 2
Items>2[id name tags[] size=small]
1 first [a b]
2 second [] size=large
```

``#json>`` opens the members of an object, ``>2[…]`` a table of an array of two items,
``>2{@ …}`` one of an object whose keys are data (``@`` is the key). The bracket is the
schema, and its separator is the separator of the rows: ``name`` is a cell,
``name=value`` a constant (a row that differs says so at its end), ``name==other``
equals another field, ``name{…}`` an object and ``name(…)`` an array of one length whose
cells follow in line, ``name[…]`` items in brackets with ``;`` between them,
``name>[…]`` items on lines below, ``name>^`` the same again below (trees), ``name>[]``
items below with a schema of their own. ``:str`` marks strings that look like something
else, ``:raw`` strings whose quotes belong to them, ``:json`` (``:json+`` with blanks)
strings that hold JSON, ``-`` an absent key, ``={…}`` the JSON of something that departs
from the schema (where the schema allows it by ``?``).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    Notation,
    name,
)
from headroom.core.compressors.json_table.parse import (
    ABSENT,
    Absence,
    Cell,
    Document,
    Value,
    embedded,
    quote,
    write,
)
from headroom.core.compressors.json_table.tables import (
    block_of,
    is_ragged,
    leaves_of,
    looks_like_table,
    make_table,
)
from headroom.core.content.tokens import estimate_tokens

HEADER = "#json"
LINES_HEADER = "#jsonl"

_MIN_CODED_CHARS = 16
_MIN_CODED_TOKENS = 6
_MAX_CODED = 300
_MAX_SMALL_TABLE = 6
_MIN_EMBEDDED_CHARS = 80
_SAMPLE = 200

Tails = dict[int, list[str]]


@dataclass(slots=True)
class Node:
    """One member on lines: a value in line, a table, or members or elements below.

    Attributes:
        key: how the line begins.
        value: what stands in line.
        table: its rows stand below.
        below: members or elements.
    """

    key: str
    value: Value = None
    table: Items | None = None
    below: "list[Node]" = field(default_factory=list)
    mark: str = ":"


def plan(document: Document) -> Node:
    """Lay a document out."""
    if document.is_lines:
        return _plan(LINES_HEADER, document.value, "", at_root=True)
    return _plan(HEADER, document.value, "", at_root=True)


def _plan(label: str, value: Value, key: str, *, at_root: bool = False) -> Node:
    if isinstance(value, str) and len(value) >= _MIN_EMBEDDED_CHARS:
        found = embedded(value)
        if found is not None:
            return _plan(f"{label}:{found[1]}", found[0], key)
    if isinstance(value, (dict, list)) and looks_like_table(value, key):
        table = make_table(value, key)
        if table is not None:
            _localize(table)
        if table is not None and (at_root or _pays(table, value)):
            return Node(label, table=table, mark=">")
    if isinstance(value, dict) and (at_root or _has_tables(value, key)):
        members = [_plan(name(k), one, k) for k, one in value.items()]
        return Node(label, below=members, mark=">")
    if isinstance(value, list) and any(_has_tables(one, "") for one in value):
        return Node(label, below=[_plan("-", one, "") for one in value], mark=">-")
    return Node(label, value)


def _has_tables(value: Value, key: str) -> bool:
    if isinstance(value, dict):
        return looks_like_table(value, key) or any(
            _has_tables(one, inner) for inner, one in value.items()
        )
    if isinstance(value, list):
        return looks_like_table(value, key) or any(
            _has_tables(one, "") for one in value
        )
    return False


def _localize(table: Items) -> None:
    """Give each parent's items a header of their own where that is shorter."""
    found = block_of(table.item) if isinstance(table.item, Record) else None
    if found is None:
        return
    one, items = found
    places = [i for i, length in enumerate(items.lengths) if length > 0]
    total = sum(items.lengths[i] for i in places)
    if len(places) < 2 or total < 3 * len(places) or not is_ragged(items.item):
        _localize(items)
        return
    local: dict[int, Items] = {}
    for i in places:
        value = items.raw[i] if items.raw else None
        inner = make_table(value, one.key) if isinstance(value, (dict, list)) else None
        if inner is None:
            return
        local[i] = inner
    writer = Writer({})
    shared = writer.table("", items, 0)
    apart = [line for each in local.values() for line in writer.table("", each, 0)]
    if sum(map(len, apart)) + len(apart) < 0.95 * sum(map(len, shared)) + len(shared):
        items.local = local


def _pays(table: Items, value: "list[Value] | dict[str, Value]") -> bool:
    if len(value) > _MAX_SMALL_TABLE:
        return True
    writer = Writer({})
    lines = writer.table("", table, 0)
    return sum(map(len, lines)) + 2 * len(lines) <= len(BLANK.loose(value, nested=True))


def encode(document: Document, notes: Sequence[str] = ()) -> str:
    """The form of a document.

    Args:
        document: as read, or reduced.
        notes: what a reduced document lacks, for lines behind the header.
    """
    root = plan(document)
    codes = _codes(root)
    writer = Writer({text: code for code, text in codes.items()})
    lines = writer.node(root, -1)
    legend = [f"{code}={text}" for code, text in codes.items()]
    said = [f"… left out: {note}" for note in notes]
    return "\n".join([lines[0], *said, *legend, *lines[1:]])


def _codes(root: Node) -> dict[str, str]:
    """Long strings that stand in many cells, by their codes."""
    seen: Counter[str] = Counter()
    nodes = [root]
    for node in nodes:
        nodes.extend(node.below)
        if node.table is not None:
            for one in leaves_of(node.table):
                seen.update(
                    value
                    for value in one.values
                    if type(value) is str and len(value) >= _MIN_CODED_CHARS
                )
    often = [one for one in seen.most_common(_MAX_CODED) if one[1] > 2]
    codes: dict[str, str] = {}
    for text, times in often:
        tokens = estimate_tokens(text)
        if tokens < _MIN_CODED_TOKENS or (tokens - 2) * (times - 1) < 2 * tokens:
            continue
        if text.isprintable() and text.strip() == text:
            codes[f"*{len(codes) + 1}"] = text
    return codes


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


class Writer:
    """Writes planned nodes, with strings replaced by their codes."""

    def __init__(self, codes: dict[str, str]) -> None:
        self._codes = codes

    def node(self, node: Node, depth: int) -> list[str]:
        """The lines of a node."""
        pad = " " * max(depth, 0)
        if node.table is not None:
            return self.table(pad + node.key, node.table, max(depth, 0))
        if node.mark != ":":
            lines = [f"{pad}{node.key}{node.mark}"]
            for one in node.below:
                lines += self.node(one, depth + 1)
            return lines
        if isinstance(node.value, (dict, list)):
            return [f"{pad}{node.key}: {BLANK.loose(node.value, nested=True)}"]
        if depth == 0 and node.key != "-":
            key = node.key if node.key.startswith('"') else quote(node.key)
            return [f"{key}: {write(node.value)}"]
        return [f"{pad}{node.key}: {TAB.scalar(node.value, nested=False)}"]

    def table(self, label: str, table: Items, depth: int) -> list[str]:
        """Header and rows of a table.

        Beside other members its rows are counted, not indented: blanks before each row
        cost more than one number.
        """
        count = "" if not label or label.startswith("#") else sum(table.lengths)
        notation = _notation_for(table)
        lines = [f"{label}>{count}{_items_schema(table, notation)}"]
        self._rows(table, notation, depth, lines)
        return lines

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
        kind = _Texts if column.is_text else _Cells
        known = kind(notation, self._codes, nested=nested)
        try:
            return list(map(known.__getitem__, column.values))
        except TypeError:  # a list or an object among the cells
            return [notation.loose(value, nested=nested) for value in column.values]

    def _record(
        self, record: Record, notation: Notation, *, nested: bool
    ) -> tuple[list[str], Tails]:
        count = record.size if record.rows is None else len(record.rows)
        parts: list[list[str]] = []
        tails: Tails = {}
        for i, one in enumerate(record.fields):
            label = str(i) if record.is_array else name(one.key)
            for row, value in one.overrides.items():
                cell = _said(value, notation, nested=nested)
                tails.setdefault(row, []).append(f"{label}={cell}")
            if one.mode != "cell" or one.is_block or one.column is None:
                continue
            cells, inner = self.cells(one.column, notation, nested=nested)
            if one.column.arity:
                parts.append(cells)
            for row, tail in inner.items():
                known = tails.setdefault(row, [])
                known += [f"{label}.{said}" for said in tail]
        if len(parts) == 1:
            rows = parts[0]
        elif parts:
            rows = list(map(notation.separator.join, zip(*parts, strict=True)))
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


def _notation_for(table: Items) -> Notation:
    """A tab between cells where quoting texts with blanks would cost more."""
    quoted = cells = 0
    for one in leaves_of(table):
        sample = one.values[:_SAMPLE]
        factor = max(1, len(one.values) // _SAMPLE)
        cells += len(one.values)
        quoted += factor * sum(" " in v for v in sample if type(v) is str)
    return TAB if quoted * 5 > cells else BLANK


def schema(column: Column, notation: Notation) -> str:
    """A column's part of the header, after its name."""
    if isinstance(column, Leaf):
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
