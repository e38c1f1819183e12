"""Items → tables: what stands on lines below a row, what is a tree, what is equal.

A *scope* is one row: a record with all records inside it. Within a scope one field of
items may be a *block* (its items follow as indented lines), and a leaf may be said to
equal another leaf.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise, zip_longest
from typing import Any

from headroom.core.compressors.json_table.columns import (
    Column,
    Field,
    Items,
    Leaf,
    Record,
    infer,
    is_map,
    path_of,
    with_cells,
)
from headroom.core.compressors.json_table.notation import WIDE
from headroom.core.compressors.json_table.numerals import bared_text
from headroom.core.compressors.json_table.parse import ABSENT, Cell, Value


def make_table(value: "list[Value] | dict[str, Value]", key: str = "") -> Items | None:
    """The table of one array, or of one object whose keys are data.

    Args:
        value: the array or object.
        key: the member it is the value of; items with the same member form a tree.
    """
    keyed = isinstance(value, dict)
    items: list[Any] = list(value.values()) if isinstance(value, dict) else value
    tree = _tree(items, key, is_keyed=keyed) if key else None
    if tree is None:
        column = infer(items)
        keys = list(value) if isinstance(value, dict) else None
        table = Items([len(items)], column if keyed else with_cells(column), keys)
    else:
        table = tree
        table.lengths = [len(items)]
        if isinstance(value, dict) and table.keys is not None:
            table.keys[:0] = value
    if not isinstance(table.item, Record):
        return None
    finish(table)
    return table


def finish(table: Items) -> None:
    """Decide blocks and equal fields of a table whose items stand on lines."""
    if isinstance(table.item, Record):
        if table.below is None:
            _choose_block(table.item, is_keyed=table.keys is not None)
        _link(table.item, table.keys)
        _tell_flags(table.item, is_keyed=table.keys is not None)
        for column in _inner_items(table.item):
            _finish_inline(column)


def _finish_inline(items: Items) -> None:
    if isinstance(items.item, Record):
        _link(items.item, items.keys)
        for column in _inner_items(items.item):
            _finish_inline(column)
    elif isinstance(items.item, Items):
        _finish_inline(items.item)


def _inner_items(record: Record) -> Iterator[Items]:
    for one in record.fields:
        if one.mode != "cell" or one.is_block:
            continue
        if isinstance(one.column, Record):
            yield from _inner_items(one.column)
        elif isinstance(one.column, Items):
            yield one.column


def _tree(items: Sequence[Any], key: str, *, is_keyed: bool) -> Items | None:
    """All items at any depth as one column, if items have items under the same name."""
    kind = dict if is_keyed else list
    level = [one for one in items if type(one) is dict]
    if len(level) < len(items) or not any(type(x.get(key)) is kind for x in level):
        return None
    found: list[Any] = []
    keys: list[str] = []
    below: list[int] = []
    others: dict[int, Cell] = {}
    while level:
        following: list[Any] = []
        for one in level:
            inner = one.get(key, ABSENT)
            if type(inner) is kind and inner:
                inside = _inside(inner)
                if any(type(x) is not dict for x in inside):
                    return None
                following += inside
                keys += inner if is_keyed else ()
                below.append(len(inside))
            else:
                others[len(below)] = inner
                below.append(0)
            found.append({**one, key: None} if key in one else one)
        level = following
    column = infer(found)
    if not isinstance(column, Record) or column.rows is not None:
        return None
    place = next(i for i, one in enumerate(column.fields) if one.key == key)
    column.fields[place] = _blank_field(Field(key, "self"), others)
    table = Items([], column, keys if is_keyed else None, below=below)
    return table if is_keyed else _tree_with_cells(table)


def _inside(value: Any) -> list[Any]:
    return list(value.values()) if type(value) is dict else value


def _tree_with_cells(table: Items) -> Items | None:
    return table if isinstance(table.item, Record) and table.item.arity else None


def _blank_field(one: Field, others: dict[int, Cell]) -> Field:
    """Say what no lines below a row mean, and which rows mean something else."""
    values = list(others.values())
    absent = sum(value is ABSENT for value in values)
    empty = sum(value in ([], {}) for value in values)
    one.default = ABSENT if absent > empty else None
    one.overrides = {
        place: value
        for place, value in others.items()
        if (value is not ABSENT if absent > empty else value not in ([], {}))
    }
    return one


def _choose_block(record: Record, *, is_keyed: bool) -> None:
    """Put the longest items of a row on lines below it; a cell must stay in the row."""
    if record.arity < 2 and not is_keyed:
        return
    best: Field | None = None
    size = 0
    for one in _block_fields(record):
        items = one.column
        assert isinstance(items, Items)
        inner = items.item
        if not isinstance(inner, Record) or (items.keys is None and not inner.arity):
            continue
        count = len(items.keys) if items.keys is not None else inner.size
        breadth = inner.arity + _width(inner) + (items.keys is not None)
        weight = count * breadth
        if breadth > 2 and weight > size:
            best, size = one, weight
    if best is None or not isinstance(best.column, Items):
        return
    items = best.column
    others = dict(items.odd)
    empty: Cell = {} if items.keys is not None else []
    others |= {i: empty for i, length in enumerate(items.lengths) if length == 0}
    _blank_field(best, others)
    best.is_block = True
    finish(items)


def _width(record: Record) -> int:
    return sum(isinstance(one.column, Items) for one in record.fields)


def _block_fields(record: Record) -> Iterator[Field]:
    if record.rows is not None:
        return
    for one in record.fields:
        if one.mode == "cell" and isinstance(one.column, Items):
            yield one
        elif one.mode == "cell" and isinstance(one.column, Record):
            yield from _block_fields(one.column)


def block_of(record: Record) -> "tuple[Field, Items] | None":
    """The block of a scope."""
    for one in record.fields:
        if one.is_block and isinstance(one.column, Items):
            return one, one.column
        if one.mode == "cell" and isinstance(one.column, Record):
            found = block_of(one.column)
            if found:
                return found
    return None


_MIN_GROUP = 3
"""Rows a group has on average: fewer do not pay for the line that names it."""


def group_of(table: Items) -> Leaf | None:
    """The first column, if its cells come in runs: then each is said once, above."""
    item = table.item
    if table.keys is not None or not isinstance(item, Record) or item.rows is not None:
        return None
    if item.is_array or item.arity < 2 or block_of(item) is not None or table.below:
        return None
    first = next((one for one in item.fields if one.mode == "cell"), None)
    column = first.column if first is not None and not first.is_block else None
    if not isinstance(column, Leaf) or column.is_raw:
        return None
    values = column.values
    if any(type(value) is not str for value in values):
        return None
    runs = 1 + sum(a != b for a, b in pairwise(values))
    return column if runs * _MIN_GROUP <= len(values) else None


WIDE_SAMPLE = 200
FLAG_TOKENS = 3
"""What the header takes to say that a flag is false, and a bit."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^A-Za-z]+")
_WORDS = (True, False, None)
MIN_WIDE_GAIN = 1
"""Tokens that the sign takes in the header."""


def widen(table: Items) -> None:
    """Find columns of the rows whose cells need no quotes if a sign ends them."""
    item = table.item
    if not isinstance(item, Record) or item.rows is not None:
        return
    columns = list(_row_leaves(item))
    for one, following in zip_longest(columns, columns[1:]):
        if isinstance(one, Leaf) and not one.is_raw and not one.is_wide:
            one.is_wide = _gains(one.values, following)
    first = columns[0] if columns else None
    if isinstance(first, Leaf) and first.is_wide:
        first.is_wide = first is not group_of(table)
    block = block_of(item)
    if block is not None and block[1].local is None:
        widen(block[1])


def _gains(values: Sequence[Cell], following: "Leaf | Items | None") -> bool:
    """Whether the quotes are dearer than the sign.

    Tokens: words take the blank before them, numbers do not. So a quote in front of a
    word is one more, and so is one between a text and a number; the sign is one more
    between two words.
    """
    sample = values[:WIDE_SAMPLE]
    if not any(type(value) is str and " " in value for value in sample):
        return False
    behind = following.values[:WIDE_SAMPLE] if isinstance(following, Leaf) else ()
    gain = -MIN_WIDE_GAIN
    for value, one in zip_longest(sample, behind, fillvalue=ABSENT):
        is_word = one[:1].isalpha() if isinstance(one, str) else one in _WORDS
        if type(value) is str and " " in value:
            gain += value[:1].isalpha() + (following is not None and not is_word)
        else:
            gain -= is_word
    return gain > 0 and all(
        value is ABSENT or (type(value) is str and WIDE.match(value))
        for value in values
    )


def _row_leaves(record: Record) -> "Iterator[Leaf | Items]":
    """The cells of a row, one after the other."""
    for one in record.fields:
        if one.mode != "cell" or one.is_block or one.column is None:
            continue
        if isinstance(one.column, Record):
            if one.column.rows is None:
                yield from _row_leaves(one.column)
            else:
                yield Items([], one.column)
        else:
            yield one.column


def _link(record: Record, keys: list[str] | None) -> None:
    """Find leaves that are equal in every row."""
    if record.size < 2 or record.rows is not None:
        return
    known: dict[tuple[Cell, ...], str] = {}
    if keys is not None:
        known[tuple(keys)] = "@"
        known[tuple(map(bared_text, keys))] = "@"
    for names, one in list(_leaves(record, ())):
        column = one.column
        assert isinstance(column, Leaf)
        try:
            path = known.setdefault(tuple(column.values), path_of(names))
        except TypeError:  # a list or an object among the cells
            continue
        if path != path_of(names) and ABSENT not in column.values:
            one.mode, one.same, one.column = "same", path, None


def _tell_flags(record: Record, *, is_keyed: bool) -> None:
    """Tell what is true of a row by its name alone, where that is shorter.

    A cell is a token, whatever it says; the name is one if it is a plain word.
    """
    if record.rows is not None:
        return
    for names, one in list(_leaves(record, ())):
        values = one.column.values if isinstance(one.column, Leaf) else ()
        if not values or any(type(value) is not bool for value in values):
            continue
        if record.arity < 2 - is_keyed:
            return
        times = sum(map(bool, values))
        if times * _name_tokens(path_of(names)) + FLAG_TOKENS < len(values):
            one.mode, one.column, one.default = "const", None, False
            one.overrides = {row: True for row, value in enumerate(values) if value}


def _name_tokens(path: str) -> int:
    """About the tokens of a name behind a blank; plain words are one."""
    return sum(1 + len(word) // 11 for word in _WORD.findall(path))


def _leaves(
    record: Record, names: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Field]]:
    for i, one in enumerate(record.fields):
        path = (*names, str(i) if record.is_array else one.key)
        if one.mode == "cell" and isinstance(one.column, Leaf):
            yield path, one
        elif (
            one.mode == "cell"
            and isinstance(one.column, Record)
            and one.column.rows is None
        ):
            yield from _leaves(one.column, path)


def is_ragged(column: Column) -> bool:
    """Whether rows of this column differ much in what they have."""
    if isinstance(column, Leaf):
        return any(
            value is ABSENT or isinstance(value, (dict, list))
            for value in column.values
        )
    if isinstance(column, Items):
        return column.keys is not None
    return any(
        (one.mode == "const" and one.default is ABSENT)
        or (one.column is not None and is_ragged(one.column))
        for one in column.fields
    )


def leaves_of(column: Column) -> Iterator[Leaf]:
    """All leaves at any depth that are written cell by cell."""
    if isinstance(column, Leaf):
        yield column
    elif isinstance(column, Items) and column.local is not None:
        yield from chain.from_iterable(map(leaves_of, column.local.values()))
    elif isinstance(column, Items):
        yield from leaves_of(column.item)
    else:
        yield from chain.from_iterable(
            leaves_of(one.column)
            for one in column.fields
            if one.mode == "cell" and one.column is not None
        )


def looks_like_table(value: Value, key: str) -> bool:
    """Whether the value of member ``key`` may be worth a table."""
    if isinstance(value, dict):
        return (len(value) > 2 and is_map([value])) or (
            bool(key)
            and all(type(one) is dict for one in value.values())
            and any(bool(one.get(key)) for one in value.values())  # type: ignore[union-attr]
        )
    if isinstance(value, list) and len(value) > 1:
        kinds = [type(one) for one in value]
        return kinds.count(dict) * 10 > 7 * len(value) or (
            kinds.count(list) == len(value) and len(value) > 2
        )
    return False
