"""The schema in a table's header, as the decoder reads it.

The notation is described in ``encode``. Every row is a *scope*: its fields are named by
paths (``a.b``), by which a row can say that a field differs or a header that two fields
are equal.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from headroom.core.compressors.json_table.notation import (
    WIDE_END,
    FormError,
    Notation,
    expect,
    name,
    read_name,
)
from headroom.core.compressors.json_table.parse import ABSENT

PATH = r'(?:"(?:[^"\\]|\\.)*"|[\w$./@+-])+'

STYLED = re.compile(r":(json\+?)")
_SAME = re.compile(PATH)
WIDE = "wide"
_MODE = re.compile(r":(str|raw)")


@dataclass(slots=True)
class LeafShape:
    """One cell; ``mode`` is ``str``, ``raw``, ``wide``, or empty."""

    mode: str = ""
    arity: int = 1
    may_depart: bool = False


@dataclass(slots=True)
class Member:
    """A field of a record; what a row does not say is its ``default``."""

    key: str
    mode: str
    shape: "Shape | None" = None
    default: Any = None
    same: str = ""
    style: str = ""


@dataclass(slots=True)
class RecordShape:
    """Cells in line; ``arity`` tells how many."""

    members: list[Member]
    is_array: bool
    arity: int
    may_depart: bool = False
    ends_wide: bool = False


@dataclass(slots=True)
class ItemsShape:
    """Items in brackets, or on lines.

    Attributes:
        paths: the fields of the scope by their paths.
        same: fields that equal another one, with its path.
        styles: fields that are strings holding JSON, innermost last.
        block: where the items on lines below a row belong.
        block_mode: ``shared`` schema, ``local`` header below each row, or ``self``.
        inner: the schema of the items below, if shared.
        is_plain: rows are cells side by side, with no brackets anywhere.
        is_grouped: the first cell of a run of rows stands above them.
        plain: what a plain row looks like where some cells have a sign of their own.
    """

    item: "Shape"
    is_keyed: bool
    arity: int = 1
    may_depart: bool = False
    paths: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    same: list[tuple[tuple[Any, ...], str]] = field(default_factory=list)
    styles: list[tuple[tuple[Any, ...], str]] = field(default_factory=list)
    block: tuple[Any, ...] = ()
    block_mode: str = ""
    inner: "ItemsShape | None" = None
    is_plain: bool = False
    is_grouped: bool = False
    plain: "re.Pattern[str] | None" = None


Shape = LeafShape | RecordShape | ItemsShape


def read_items(line: str, at: int, notation: Notation) -> tuple[ItemsShape, int]:
    """The schema of items that starts at ``at``, and where it ends."""
    is_keyed = line.startswith("{@", at)
    at = expect(line, at, "{@" if is_keyed else "[")
    closing = "}" if is_keyed else "]"
    item: Shape
    is_grouped = not is_keyed and line.startswith("^", at)
    at += is_grouped
    may_depart = line.startswith("?", at)
    at += may_depart
    is_separated = line.startswith(notation.separator, at)
    if is_keyed and is_separated:
        at += 1
    if line.startswith((closing, ":"), at):
        item, at = _read_leaf(line, at)
    elif line.startswith(("(", "[", "{"), at):
        item, at = _read_shape(line, at, notation)
    else:
        item, at = _read_record(line, at, notation, closing)
        at -= 1
    item.may_depart = may_depart
    items = ItemsShape(item, is_keyed, is_grouped=is_grouped)
    if isinstance(item, RecordShape):
        _open_scope(items, item)
        items.is_plain = _is_plain(item)
        if items.is_plain and notation.separator == " ":
            cells = [*([LeafShape()] if is_keyed else []), *_cells(item)]
            if any(one.mode == WIDE for one in cells):
                items.plain = _plain_row(cells)
    return items, expect(line, at, closing)


def _read_leaf(line: str, at: int) -> tuple[LeafShape, int]:
    if line.startswith(WIDE_END, at):
        return LeafShape(WIDE), at + 1
    match = _MODE.match(line, at)
    return (LeafShape(match[1]), match.end()) if match else (LeafShape(), at)


def _read_shape(line: str, at: int, notation: Notation) -> tuple[Shape, int]:
    if line.startswith(("[", "{@"), at):
        return read_items(line, at, notation)
    if line.startswith("(", at):
        return _read_record(line, at + 1, notation, ")")
    if line.startswith("{", at):
        return _read_record(line, at + 1, notation, "}")
    return _read_leaf(line, at)


def _read_record(
    line: str, at: int, notation: Notation, closing: str
) -> tuple[RecordShape, int]:
    members: list[Member] = []
    is_array = closing == ")"
    while True:
        member, at = _read_member(line, at, notation)
        members.append(member)
        if line.startswith(closing, at):
            break
        at = expect(line, at, notation.separator)
    cells = [one.shape for one in members if one.shape and one.mode == "cell"]
    arity = sum(one.arity for one in cells)
    last = next((one for one in reversed(cells) if one.arity), None)
    is_wide = last is not None and ends_wide(last)
    return RecordShape(members, is_array, arity, ends_wide=is_wide), at + 1


def ends_wide(shape: Shape) -> bool:
    """Whether the last of its cells ends with a sign of its own."""
    if isinstance(shape, RecordShape):
        return shape.ends_wide
    return isinstance(shape, LeafShape) and shape.mode == WIDE


def _read_member(line: str, at: int, notation: Notation) -> tuple[Member, int]:
    key, at = read_name(line, at)
    if line.startswith("==", at):
        match = _SAME.match(line, at + 2)
        if match is None:
            raise FormError("a path is missing")
        return Member(key, "same", same=match[0]), match.end()
    if line.startswith("=", at):
        default, at = notation.read(line, at + 1, {}, nested=True)
        return Member(key, "const", default=default), at
    styled = STYLED.match(line, at)
    style = styled[1] if styled else ""
    at = styled.end() if styled else at
    if line.startswith(">", at):
        member, at = _read_block(line, at + 1, key, notation)
        member.style = style
        return member, at
    may_depart = line.startswith("?", at)
    shape, at = _read_shape(line, at + may_depart, notation)
    shape.may_depart = may_depart
    return Member(key, "cell", shape, style=style), at


def _read_block(line: str, at: int, key: str, notation: Notation) -> tuple[Member, int]:
    is_absent = line.startswith("?", at)
    at += is_absent
    if line.startswith("^", at):
        return Member(key, "self", default=ABSENT if is_absent else None), at + 1
    if line.startswith(("[]", "{}"), at):
        default: Any = [] if line[at] == "[" else {}
        return Member(key, "local", default=ABSENT if is_absent else default), at + 2
    items, at = read_items(line, at, notation)
    default = {} if items.is_keyed else []
    return Member(key, "shared", items, ABSENT if is_absent else default), at


def _is_plain(record: RecordShape) -> bool:
    return not record.may_depart and all(
        (isinstance(one.shape, LeafShape) and one.shape.mode != "raw")
        or (isinstance(one.shape, RecordShape) and _is_plain(one.shape))
        for one in record.members
        if one.mode == "cell"
    )


def _cells(record: RecordShape) -> Iterator[LeafShape]:
    for one in record.members:
        if one.mode == "cell" and isinstance(one.shape, RecordShape):
            yield from _cells(one.shape)
        elif one.mode == "cell" and isinstance(one.shape, LeafShape):
            yield one.shape


def _plain_row(cells: list[LeafShape]) -> re.Pattern[str]:
    found = ""
    for one in cells:
        is_wide = one.mode == WIDE
        found += r"([^|]+)\|" if is_wide else r"([^ ]+) "
    return re.compile(found.removesuffix(" ") + "((?: [^ ]+)*)")


def _open_scope(items: ItemsShape, record: RecordShape) -> None:
    for names, path, member in _fields(record, (), ""):
        if path in items.paths:
            raise FormError("two fields have one path")
        items.paths[path] = names
        if member.style:
            items.styles.append((names, member.style))
        if member.mode == "same":
            items.same.append((names, member.same))
        elif member.mode in {"shared", "local", "self"}:
            items.block, items.block_mode = names, member.mode
            if member.default is None:
                member.default = {} if items.is_keyed else []
            if isinstance(member.shape, ItemsShape):
                items.inner = member.shape


def _fields(
    record: RecordShape, names: tuple[Any, ...], path: str
) -> Iterator[tuple[tuple[Any, ...], str, Member]]:
    for i, one in enumerate(record.members):
        key = i if record.is_array else one.key
        inner = path + (str(i) if record.is_array else name(one.key))
        yield (*names, key), inner, one
        if one.mode == "cell" and isinstance(one.shape, RecordShape):
            yield from _fields(one.shape, (*names, key), inner + ".")
