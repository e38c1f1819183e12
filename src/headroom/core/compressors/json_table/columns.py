"""Values → columns: what many objects have in common, found once.

A *leaf* is a column of cells. A *record* stands for objects of one shape (or arrays of
one short length): it has fields, and costs nothing itself. *Items* stands for arrays,
or objects whose keys are data, of any length: one column for all their items together.
A field is a cell, a constant that few rows override, or equal to another field.

Everything is decided from counts and rough prices; ``encode`` writes what was decided.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, TypeAlias

from headroom.core.compressors.json_table.notation import NOT_BARE, QUOTED, name
from headroom.core.compressors.json_table.parse import ABSENT, Cell, embedded

MAX_TUPLE = 4
"""Arrays of one length up to this become fields: coordinates, ranges, pairs."""

MAX_LISTED = 16
"""The same for arrays of objects, where each place has a constant of its own: tags."""

MAX_SHAPES = 500
"""Objects of more shapes are no table."""

_MANY_ITEMS = 8
_MIN_DEFAULT_SHARE = 0.7
_MAX_ODD_SHARE = 0.05


@dataclass(slots=True)
class Leaf:
    """Cells: scalars, or anything written loosely.

    Attributes:
        is_text: strings, some of which look like something else.
        is_raw: strings that begin with a quote.
        is_wide: strings with blanks, which end with a sign of their own.
    """

    values: Sequence[Cell]
    is_text: bool = False
    is_raw: bool = False
    is_wide: bool = False
    arity: int = 1


@dataclass(slots=True)
class Field:
    """One member of a record.

    Attributes:
        key: the member's name; empty in arrays.
        mode: how rows tell its value.
        column: the cells, unless constant.
        default: the constant.
        overrides: rows with another value than the constant.
        same: path of the field that it equals.
        is_block: the items stand on lines of their own below the row.
        style: the cells stand for strings that hold JSON, printed in this style.
    """

    key: str
    mode: Literal["cell", "const", "same", "self"]
    column: "Column | None" = None
    default: Cell = None
    overrides: dict[int, Cell] = field(default_factory=dict)
    same: str = ""
    is_block: bool = False
    style: str = ""


@dataclass(slots=True)
class Record:
    """Objects of one shape, or arrays of one short length.

    Attributes:
        rows: places of the regular ones in the column; ``None``: all of it.
        odd: what stands at the other places.
    """

    size: int
    fields: list[Field]
    is_array: bool = False
    rows: list[int] | None = None
    odd: dict[int, Cell] = field(default_factory=dict)

    @property
    def arity(self) -> int:
        """How many cells one of them takes."""
        return sum(
            one.column.arity
            for one in self.fields
            if one.mode == "cell" and one.column is not None and not one.is_block
        )


@dataclass(slots=True)
class Items:
    """Arrays, or objects whose keys are data.

    Attributes:
        lengths: number of items at each place; ``-1`` where something odd stands.
        item: the items of all places, one after the other; in a tree those of the
            next level follow, and so on.
        keys: the keys of the items, if they stand in objects.
        odd: what stands at the other places.
        raw: the values themselves, place by place.
        below: in a tree, number of items below each item.
        local: tables of their own, by place, where places have little in common.
    """

    lengths: list[int]
    item: "Column"
    keys: list[str] | None = None
    odd: dict[int, Cell] = field(default_factory=dict)
    raw: Sequence[Cell] = ()
    below: list[int] | None = None
    local: "dict[int, Items] | None" = None
    arity: int = 1


Column: TypeAlias = "Leaf | Record | Items"


def price(cell: Cell) -> int:
    """Tokens of a cell, roughly."""
    if isinstance(cell, (str, bytes)):
        return 1 + len(cell) // 4
    if isinstance(cell, dict):
        return 2 + sum(2 + len(key) // 4 + price(one) for key, one in cell.items())
    if isinstance(cell, list):
        return 2 + sum(map(price, cell)) + len(cell)
    return 1


def infer(values: Sequence[Cell]) -> Column:
    """The column that these values are best written as."""
    kinds = set(map(type, values))
    if dict not in kinds and list not in kinds:
        return leaf(values)
    if dict in kinds and list in kinds:
        return Leaf(values)
    container = dict if dict in kinds else list
    if len(kinds) == 1:
        found = _objects(values) if container is dict else _arrays(values)
        return found or Leaf(values)
    rows = [i for i, value in enumerate(values) if type(value) is container]
    if len(rows) < 3:
        return Leaf(values)
    odd = {i: v for i, v in enumerate(values) if type(v) is not container}
    regular = [values[i] for i in rows]
    found = _objects(regular) if container is dict else _arrays(regular)
    column = _with_odd(found, rows, odd, len(values)) if found else None
    return column or Leaf(values)


def leaf(values: Sequence[Cell]) -> Leaf:
    """A column of scalars; marked if it has strings that read like numbers."""
    if not all(type(value) is str for value in values):
        return Leaf(values)
    if all(map(QUOTED.match, values)):  # type: ignore[arg-type]  # all are strings
        return Leaf(values, is_raw=True)
    return Leaf(values, is_text=any(map(NOT_BARE.match, values)))  # type: ignore[arg-type]  # all are strings


def _with_odd(
    column: "Record | Items | None", rows: list[int], odd: dict[int, Cell], size: int
) -> "Column | None":
    """The column with odd values put between its regular ones."""
    if isinstance(column, Record):
        inner = column.rows
        places = rows if inner is None else [rows[i] for i in inner]
        odd = odd | {rows[i]: value for i, value in column.odd.items()}
        if not may_depart(column):
            return None
        column.rows, column.odd, column.size = places, odd, size
    elif column is not None:
        lengths = [-1] * size
        for place, length in zip(rows, column.lengths, strict=True):
            lengths[place] = length
        column.lengths, column.odd = lengths, odd
        column.raw = ()
    return column


def may_depart(record: Record) -> bool:
    """Whether a row that departs from it could be told from one that does not.

    The mark of a departure stands in the first cell, which must not have such a mark
    of its own.
    """
    for one in record.fields:
        if one.mode == "cell" and one.column is not None and one.column.arity:
            return not _starts_marked(one.column)
    return False


def _starts_marked(column: Column) -> bool:
    if isinstance(column, Leaf):
        return False
    if isinstance(column, Items):
        return -1 in column.lengths
    return column.rows is not None or not may_depart(column)


def _arrays(values: Sequence[Any]) -> "Record | Items | None":
    lengths = list(map(len, values))
    size = lengths[0]
    flat = list(chain.from_iterable(values))
    if not flat:
        return None
    if size and len(values) > 1 and lengths.count(size) == len(lengths):
        record = _tuple(values, flat)
        if record is not None:
            return record
    if len(flat) == 1:
        return None
    return Items(lengths, with_cells(infer(flat)), raw=values)


def _tuple(values: Sequence[Any], flat: list[Any]) -> Record | None:
    """Arrays of one length as a record, if their places differ in what they hold."""
    size = len(values[0])
    is_flat = not any(type(one) in {dict, list} for one in flat)
    if size > (MAX_TUPLE if is_flat else MAX_LISTED) or (
        size > 1 and not is_flat and len(values) < 3
    ):
        return None
    fields = [make_field("", [one[i] for one in values]) for i in range(size)]
    if size > 1 and not is_flat and not all(map(_has_constant, fields)):
        return None
    return Record(len(values), fields, is_array=True)


def _has_constant(one: Field) -> bool:
    if one.mode == "const":
        return True
    return isinstance(one.column, Record) and any(
        inner.mode == "const" and not inner.overrides for inner in one.column.fields
    )


def _objects(values: Sequence[Any]) -> "Record | Items | None":
    if len(values) < 2:
        return _map(values) if values and is_map(values) else None
    shapes = Counter(map(tuple, values))
    if len(shapes) > 1 and is_map(values):
        return _map(values)
    return _record(values, shapes)


def is_map(values: Sequence[dict[str, Any]]) -> bool:
    """Whether the keys of these objects are data: many keys, items of one shape."""
    total = sum(map(len, values))
    union = set(chain.from_iterable(values))
    if total < 3 or (len(values) > 1 and total > 0.5 * len(union) * len(values)):
        return False
    inner = list(chain.from_iterable(one.values() for one in values))
    if any(type(one) is not dict for one in inner):
        return False
    keys = set(chain.from_iterable(inner))
    spread = 1.5 if total < _MANY_ITEMS else 5
    return bool(keys) and len(keys) * total <= spread * sum(map(len, inner))


def _map(values: Sequence[dict[str, Any]]) -> Items:
    flat = list(chain.from_iterable(one.values() for one in values))
    keys = list(chain.from_iterable(values))
    return Items(list(map(len, values)), infer(flat), keys, raw=values)


def _record(
    values: Sequence[dict[str, Any]], shapes: Counter[tuple[str, ...]]
) -> Record | None:
    total = len(values)
    named = sum(
        count * sum(2 + len(key) // 6 for key in shape)
        for shape, count in shapes.items()
    )
    if named < len(set(chain.from_iterable(shapes))) * total:
        return None
    order, strange = _union(shapes, total)
    if not order:
        return None
    if strange:
        rows = [i for i, one in enumerate(values) if tuple(one) not in strange]
        odd: dict[int, Cell] = {
            i: one for i, one in enumerate(values) if tuple(one) in strange
        }
        values = [values[i] for i in rows]
        found = _fields(values, order)
        record = Record(total, found, rows=rows, odd=odd)
        return record if may_depart(record) else None
    return Record(total, _fields(values, order))


def _fields(values: Sequence[dict[str, Any]], order: list[str]) -> list[Field]:
    return [make_field(key, [one.get(key, ABSENT) for one in values]) for key in order]


def _union(
    shapes: Counter[tuple[str, ...]], total: int
) -> tuple[list[str], set[tuple[str, ...]]]:
    """All keys in an order that agrees with the objects; the shapes that do not fit.

    A rare shape that has little in common with the most frequent one does not fit
    either; what departs from a table is easier to see as the JSON that it is.
    """
    ranked = shapes.most_common()
    if len(ranked) > MAX_SHAPES:
        return [], set()
    main = set(ranked[0][0])
    allowed = max(1, int(total * _MAX_ODD_SHARE)) if total > 3 else 0
    order = list(ranked[0][0])
    place = {key: i for i, key in enumerate(order)}
    strange: set[tuple[str, ...]] = set()
    for shape, count in ranked[1:]:
        differs = len(main.symmetric_difference(shape)) * 2 > len(main)
        known = [place[key] for key in shape if key in place]
        if known == sorted(known) and not (differs and count <= allowed):
            if len(known) < len(shape):
                _insert(order, shape)
                place = {key: i for i, key in enumerate(order)}
            continue
        if count > allowed:
            return [], set()
        allowed -= count
        strange.add(shape)
    return order, strange


def _insert(order: list[str], shape: tuple[str, ...]) -> None:
    known = set(order)
    at = 0
    for key in shape:
        if key in known:
            at = order.index(key) + 1
        else:
            order.insert(at, key)
            at += 1


def make_field(key: str, values: Sequence[Cell]) -> Field:
    """A member of a record: constant, constant with exceptions, or cells."""
    kinds = set(map(type, values))
    if dict in kinds or list in kinds:
        return _container_field(key, values)
    counts = Counter(values)
    usual, times = counts.most_common(1)[0]
    if times == len(values):
        return Field(key, "const", default=usual)
    if times >= _MIN_DEFAULT_SHARE * len(values):
        step = 2 + len(key) // 4
        cells = sum(price(cell) * count for cell, count in counts.items())
        others = cells - price(usual) * times + step * (len(values) - times)
        if others < cells:
            overrides = {i: v for i, v in enumerate(values) if v != usual}
            return Field(key, "const", default=usual, overrides=overrides)
    return _embedded_field(key, values) or Field(key, "cell", leaf(values))


def _embedded_field(key: str, values: Sequence[Cell]) -> Field | None:
    """A field whose cells are all strings that hold JSON."""
    inner: list[Cell] = []
    styles: set[str] = set()
    for value in values:
        found = embedded(value) if isinstance(value, str) else None
        if found is None or len(styles | {found[1]}) > 1:
            return None
        inner.append(found[0])
        styles.add(found[1])
    return Field(key, "cell", infer(inner), style=styles.pop())


def _container_field(key: str, values: Sequence[Cell]) -> Field:
    size = len(values)
    first = values[0]
    if values.count(first) == size and all(
        repr(value) == repr(first) for value in values[1:]
    ):
        return Field(key, "const", default=first)
    usuals: list[Cell] = [ABSENT, [], {}, None, first, values[size // 2]]
    for usual in usuals:
        times = values.count(usual)
        if times > 0.85 * size and times < size:
            overrides = {i: v for i, v in enumerate(values) if v != usual}
            return Field(key, "const", default=usual, overrides=overrides)
    return Field(key, "cell", infer(values))


def with_cells(column: Column) -> Column:
    """The column, made to take at least one cell: items are told apart by cells."""
    if not isinstance(column, Record) or column.arity:
        return column
    one = column.fields[0]
    if isinstance(one.column, Record):
        with_cells(one.column)
        return column
    count = column.size if column.rows is None else len(column.rows)
    values = [one.overrides.get(i, one.default) for i in range(count)]
    column.fields[0] = Field(one.key, "cell", Leaf(values))
    return column


def path_of(names: Sequence[str]) -> str:
    """How a field deep in a row is named."""
    return ".".join(map(name, names))
