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
items below with a schema of their own. ``name|`` marks strings whose cells end with
that sign and need no quotes, ``:str`` strings that look like something else, ``:raw``
strings whose quotes belong to them, ``:json`` (``:json+`` with blanks) strings that
hold JSON, ``-`` an absent key, ``={…}`` the JSON of something that departs from the
schema (where the schema allows it by ``?``). ``[^name …]`` is a table in groups:
``^cell`` stands above the rows whose first cell it is. ``#json">`` says that bare long
numerals are strings (see ``numerals``), ``ids: ==items.id`` is a list that equals a
column of a table above.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from headroom.core.compressors.json_table.columns import Items, Record
from headroom.core.compressors.json_table.columns_again import Columns
from headroom.core.compressors.json_table.notation import BLANK, TAB, Same, line_name
from headroom.core.compressors.json_table.numerals import Numeral, bared, has_numerals
from headroom.core.compressors.json_table.parse import (
    Cell,
    Document,
    Value,
    embedded,
    quote,
    write,
)
from headroom.core.compressors.json_table.rows import TableWriter
from headroom.core.compressors.json_table.tables import (
    block_of,
    group_of,
    is_ragged,
    leaves_of,
    looks_like_table,
    make_table,
)
from headroom.core.content.tokens import estimate_tokens

HEADER = "#json"
LINES_HEADER = "#jsonl"
BARED_HEADER = '#json"'
"""Long numerals are strings."""

LEFT_OUT = "… left out: "
PLAIN_WRITER = TableWriter({})
"""Writes without codes."""

_QUOTED_DIGITS = re.compile(r'"[0-9]{5,}"(?!\n)|:str\b')
_MIN_QUOTED = 2
_MIN_CODED_CHARS = 16
_MIN_CODED_TOKENS = 6
_MAX_CODED = 300
_MAX_SMALL_TABLE = 6
_MIN_EMBEDDED_CHARS = 80
_SAMPLE_PLACES = 8


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


def plan(document: Document, header: str = HEADER) -> Node:
    """Lay a document out."""
    if document.is_lines:
        return _plan(LINES_HEADER, document.value, "", at_root=True)
    return _plan(header, document.value, "", at_root=True)


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
        members = [_plan(line_name(k), one, k) for k, one in value.items()]
        _name_columns(members, value)
        return Node(label, below=members, mark=">")
    if isinstance(value, list) and any(_has_tables(one, "") for one in value):
        return Node(label, below=[_plan("-", one, "") for one in value], mark=">-")
    return Node(label, value)


def _name_columns(members: list[Node], value: dict[str, Value]) -> None:
    """Tell lists by the columns of tables above that they equal."""
    columns = Columns()
    for node, key in zip(members, value, strict=True):
        if node.table is not None and node.mark == ">":
            columns.add(key, node.table)
        elif not node.below:
            node.value = columns.named(node.value)


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
    sample = places[:_SAMPLE_PLACES]
    local = _tables_at(items, one.key, sample)
    if len(local) < len(sample):
        return
    shared = sum(map(len, PLAIN_WRITER.rows(items))) * sum(
        items.lengths[i] for i in sample
    )
    apart = sum(
        len(line) for each in local.values() for line in PLAIN_WRITER.rows(each)
    )
    if apart * total < 0.95 * shared:
        local |= _tables_at(items, one.key, places[_SAMPLE_PLACES:])
        if len(local) == len(places):
            items.local = local


def _tables_at(items: Items, key: str, places: list[int]) -> dict[int, Items]:
    """Tables of their own for the items at these places, as far as there are any."""
    found: dict[int, Items] = {}
    for i in places:
        value = items.raw[i] if items.raw else None
        table = make_table(value, key) if isinstance(value, (dict, list)) else None
        if table is not None:
            found[i] = table
    return found


def _pays(table: Items, value: "list[Value] | dict[str, Value]") -> bool:
    if len(value) > _MAX_SMALL_TABLE:
        return True
    lines = PLAIN_WRITER.rows(table)
    return sum(map(len, lines)) + 2 * len(lines) <= len(BLANK.loose(value, nested=True))


def encode(document: Document, notes: Sequence[str] = ()) -> str:
    """The form of a document.

    Args:
        document: as read, or reduced.
        notes: what a reduced document lacks, for lines behind the header.
    """
    return _written(plan(document), notes)


def encode_bared(document: Document, form: str) -> str:
    """The shorter form of one document: as it is, or with bare digits for strings.

    Args:
        document: as read.
        form: the form as it is. Quotes at the end of a line are no tokens more.
    """
    quoted = len(_QUOTED_DIGITS.findall(form))
    if quoted < _MIN_QUOTED or document.is_lines or not has_numerals(document.value):
        return form
    found = _written(plan(Document(bared(document.value)), BARED_HEADER), ())
    return found if len(found) < len(form) else form


def _written(root: Node, notes: Sequence[str], *, is_whole: bool = True) -> str:
    codes = _codes(root)
    writer = TableWriter({text: code for code, text in codes.items()})
    lines = _lines(root, -1, writer, is_whole=is_whole)
    legend = [f"{code}={text}" for code, text in codes.items()]
    said = [f"{LEFT_OUT}{note}" for note in notes]
    return "\n".join([lines[0], *said, *legend, *lines[1:]])


def encode_members(value: Value) -> str | None:
    """The lines of an object's members, without a header; ``None``: it is a table."""
    root = plan(Document(value))
    if root.table is not None:
        return None
    return _written(root, (), is_whole=False).partition("\n")[2]


def _codes(root: Node) -> dict[str, str]:
    """Long strings that stand in many cells, by their codes."""
    seen: Counter[str] = Counter()
    nodes = [root]
    for node in nodes:
        nodes.extend(node.below)
        if node.table is not None:
            group = group_of(node.table)
            for one in leaves_of(node.table):
                values = one.values if one is not group else _runs(one.values)
                seen.update(
                    value
                    for value in values
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


def _runs(values: Sequence[Cell]) -> list[Cell]:
    """Each value once for each of its runs."""
    return [value for value, _ in groupby(values)]


def _lines(node: Node, depth: int, writer: TableWriter, *, is_whole: bool) -> list[str]:
    """The lines of a node."""
    pad = " " * max(depth, 0)
    if node.table is not None:
        return writer.table(pad + node.key, node.table, max(depth, 0))
    if node.mark != ":":
        lines = [f"{pad}{node.key}{node.mark}"]
        for one in node.below:
            lines += _lines(one, depth + 1, writer, is_whole=is_whole)
        return lines
    if isinstance(node.value, (dict, list, Same)):
        return [f"{pad}{node.key}: {BLANK.loose(node.value, nested=True)}"]
    is_text = isinstance(node.value, (str, Numeral))
    if is_whole and depth == 0 and node.key != "-" and not is_text:
        # Counts, totals and switches of a whole document are looked for as JSON.
        key = node.key if node.key.startswith('"') else quote(node.key)
        return [f"{key}: {write(node.value)}"]
    return [f"{pad}{node.key}: {TAB.scalar(node.value, nested=False)}"]
