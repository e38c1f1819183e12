"""Form → document: the reader of what ``encode`` writes.

A header becomes a schema, a row is read cell by cell along it. What a row says at its
end is set into the finished row; absent members are taken out last, so that the order
of keys is that of the header.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headroom.core.compressors.json_table.encode import (
    BARED_HEADER,
    HEADER,
    LINES_HEADER,
)
from headroom.core.compressors.json_table.notation import (
    BLANK,
    TAB,
    WIDE_END,
    FormError,
    Legend,
    Notation,
    expect,
    of_word,
    read_line_name,
)
from headroom.core.compressors.json_table.numerals import dressed
from headroom.core.compressors.json_table.pairs import HEADER as PAIRS_HEADER
from headroom.core.compressors.json_table.pairs import decode_pairs
from headroom.core.compressors.json_table.parse import (
    ABSENT,
    DECODER,
    STYLES,
    Cell,
    Document,
    Value,
    write,
)
from headroom.core.compressors.json_table.schema import (
    PATH,
    STYLED,
    WIDE,
    ItemsShape,
    LeafShape,
    RecordShape,
    Shape,
    ends_wide,
    read_items,
)

_LEGEND = re.compile(r"(\*[0-9]+)=(.*)\Z", re.DOTALL)
_PATH = re.compile(rf"{PATH}(?=[= \t;\]}}]|\Z)")
_SPECIAL = re.compile(r"[\"\[{*=\\]")
_COUNT = re.compile(r"[0-9]+")
_ENDS = frozenset(";]}")
_MAX_SAID_AGAIN = 16_000_000
"""Characters that the rows of one table take from their groups: who imitates a form
could give many rows a long one."""


def decode(form: str) -> Document:
    """The document that a form stands for.

    Raises:
        FormError: it is no such form.
    """
    if form.startswith(PAIRS_HEADER):
        return decode_pairs(form)
    header, _, rest = form.partition("\n")
    lines = rest.split("\n") if rest else []
    labels = (LINES_HEADER, BARED_HEADER, HEADER)
    label = next((one for one in labels if header.startswith(one)), None)
    if label is None:
        raise FormError("not the header")
    legend: dict[str, str] = {}
    for line in lines:
        match = _LEGEND.match(line)
        if match is None:
            break
        legend[match[1]] = match[2]
    reader = _Reader([header, *lines[len(legend) :]], Legend(legend))
    try:
        value = reader.value(len(label), -1)
    except (IndexError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise FormError("the form is broken") from error
    if reader.at != len(reader.lines):
        raise FormError("lines are left over")
    if label == BARED_HEADER:
        value = dressed(value)
    return Document(value, is_lines=label == LINES_HEADER)


class _Reader:
    """Reads lines from ``at`` on."""

    def __init__(self, lines: list[str], legend: Legend) -> None:
        self.lines = lines
        self.legend = legend
        self.at = 0

    def value(self, place: int, depth: int) -> Value:
        """What the line at ``at`` holds behind its key, with what stands below."""
        line = self.lines[self.at]
        styled = STYLED.match(line, place)
        if styled is not None:
            inner = self.value(styled.end(), depth)
            return write(inner, *STYLES[styled[1]])
        self.at += 1
        if line.startswith(": ", place):
            return self._inline(line, place + 2)
        place = expect(line, place, ">")
        if line.startswith("-", place):
            return self._elements(line, place, depth + 1)
        if place == len(line):
            return self._members(depth + 1)
        counted = _COUNT.match(line, place)
        if counted is None:
            return self.table(line, place, depth + 1, None)
        return self.table(line, counted.end(), depth, int(counted[0]))

    def _inline(self, line: str, place: int) -> Value:
        notation = BLANK if line[place : place + 1] in {"{", "["} else TAB
        value, end = notation.read(line, place, self.legend, nested=False)
        if end != len(line) or value is ABSENT:
            raise FormError("a value does not end with its line")
        return value

    def _is_at(self, depth: int) -> bool:
        if self.at >= len(self.lines):
            return False
        line = self.lines[self.at]
        return line.startswith(" " * depth) and not line.startswith(" " * (depth + 1))

    def _elements(self, line: str, place: int, depth: int) -> list[Value]:
        if place + 1 != len(line):
            raise FormError("elements start on lines of their own")
        found: list[Value] = []
        while self._is_at(depth):
            inner = expect(self.lines[self.at], depth, "-")
            found.append(self.value(inner, depth))
        return found

    def _members(self, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        with self.legend.within(found):
            while self._is_at(depth):
                key, place = read_line_name(self.lines[self.at], depth)
                if key in found:
                    raise FormError("a key stands twice")
                found[key] = self.value(place, depth)
        return found

    def table(self, line: str, place: int, depth: int, count: int | None) -> Value:
        """A table whose schema starts at ``place``; ``None``: all rows there are."""
        notation = TAB if "\t" in line else BLANK
        items, end = read_items(line, place, notation)
        if end != len(line):
            raise FormError("a schema does not end with its line")
        return self._rows(items, notation, depth, count)

    def _rows(
        self, items: ItemsShape, notation: Notation, depth: int, count: int | None
    ) -> Value:
        cells = _Cells(notation, self.legend)
        keyed: dict[str, Value] = {}
        found: list[Value] = []
        left = len(self.lines) if count is None else count
        group: str | None = None
        budget = _MAX_SAID_AGAIN
        while left and self._is_at(depth):
            line = self.lines[self.at]
            self.at += 1
            if items.is_grouped:
                if line.startswith("^", depth):
                    group = line[depth + 1 :]
                    continue
                if group is None:
                    raise FormError("a row belongs to no group")
                budget -= len(group)
                if budget < 0:
                    raise FormError("a group says too much")
                line = line[:depth] + group + notation.separator + line[depth:]
            left -= 1
            key, value, end = cells.item(items, line, depth, nested=False)
            if end != len(line):
                raise FormError("a row does not end with its line")
            if items.block and self._is_at(depth + 1):
                _put(value, items.block, self._below(items, notation, depth + 1))
            cells.finish(items, key, value, 0)
            if items.is_keyed:
                if key in keyed:
                    raise FormError("a key stands twice")
                keyed[key] = value
            else:
                found.append(value)
        if count is not None and left:
            raise FormError("rows are missing")
        return keyed if items.is_keyed else found

    def _below(self, items: ItemsShape, notation: Notation, depth: int) -> Value:
        if items.block_mode == "self":
            return self._rows(items, notation, depth, None)
        if items.block_mode == "local":
            line = self.lines[self.at]
            self.at += 1
            return self.table(line, depth, depth, None)
        if items.inner is None:
            raise FormError("nothing may stand below this row")
        return self._rows(items.inner, notation, depth, None)


class _Words(dict[str, Cell]):
    """Bare words by what they mean; each distinct one is read once."""

    def __missing__(self, word: str) -> Cell:
        value = of_word(word)
        self[word] = value
        return value


class _Cells:
    """Reads the cells of one line.

    Members that are absent stay in place until their row is finished, for a row may
    say at its end that they are there.
    """

    def __init__(self, notation: Notation, legend: Mapping[str, str]) -> None:
        self._notation = notation
        self._separator = notation.separator
        self._legend = legend
        self._absent: list[tuple[Any, Any]] = []
        self._words = _Words()

    def item(
        self, items: ItemsShape, line: str, at: int, *, nested: bool
    ) -> tuple[str, Any, int]:
        """One item, its key, and where it ends; it is not finished yet."""
        key = ""
        if items.is_plain and not nested and not _SPECIAL.search(line):
            cells = self._split(items, line[at:])
            count = items.item.arity + items.is_keyed
            if len(cells) == count:
                return self._plain(items, cells, len(line))
            if count and len(cells) > count and items.paths.keys() >= {*cells[count:]}:
                found = self._plain(items, cells[:count], len(line))
                for path in cells[count:]:
                    self._say(found[1], items.paths[path])
                return found
        if items.is_keyed:
            key, at = self._notation.read_text(line, at, nested=nested)
            if items.item.arity:
                at = expect(line, at, self._separator)
        value, at = self._shape(items.item, line, at, nested=nested)
        if isinstance(items.item, RecordShape):
            while line.startswith(self._separator, at):
                match = _PATH.match(line, at + 1)
                if match is None or match[0] not in items.paths:
                    raise FormError("a row says something of no field")
                if line.startswith("=", match.end()):
                    said, at = self._said(line, match.end() + 1, nested=nested)
                else:
                    at = match.end()
                    self._say(value, items.paths[match[0]])
                    continue
                holder = _put(value, items.paths[match[0]], said)
                if said is ABSENT:
                    self._absent.append((holder, items.paths[match[0]][-1]))
        return key, value, at

    def _say(self, value: Any, names: tuple[Any, ...]) -> None:
        """What a row says by a name alone is true."""
        if _get(value, names) is not False:
            raise FormError("a row says nothing of a field")
        said = True
        _put(value, names, said)

    def _split(self, items: ItemsShape, row: str) -> Sequence[str]:
        if items.plain is None:
            return row.split(self._separator)
        match = items.plain.fullmatch(row)
        if match is None:
            return ()
        *cells, said = match.groups()
        return [*cells, *said.split()]

    def _plain(
        self, items: ItemsShape, cells: Sequence[str], end: int
    ) -> tuple[str, Any, int]:
        """A row without signs of any kind: its cells are the words between blanks."""
        rest = iter(cells)
        key = next(rest) if items.is_keyed else ""
        if not all(cells):
            raise FormError("a cell is missing")
        if not isinstance(items.item, RecordShape):
            raise FormError("rows of this table have no cells")
        return key, self._plain_record(items.item, rest), end

    def _plain_record(self, record: RecordShape, cells: Iterator[str]) -> Any:
        found: dict[Any, Any] = {}
        for place, member in enumerate(record.members):
            value = member.default
            if member.mode == "cell":
                if isinstance(member.shape, RecordShape):
                    value = self._plain_record(member.shape, cells)
                elif member.shape is not None:
                    word = next(cells)
                    is_text = isinstance(member.shape, LeafShape) and member.shape.mode
                    if is_text == WIDE and word == "-":
                        is_text = ""
                    value = word if is_text else self._words[word]
            key = place if record.is_array else member.key
            if value is ABSENT:
                self._absent.append((found, key))
            found[key] = value
        return list(found.values()) if record.is_array else found

    def finish(self, items: ItemsShape, key: str, value: Any, since: int) -> None:
        """Fill in equal fields, take out absent members."""
        for names, path in items.same:
            _put(value, names, key if path == "@" else _get(value, items.paths[path]))
        for holder, member in self._absent[since:]:
            if holder.get(member) is ABSENT:
                del holder[member]
        del self._absent[since:]
        for names, style in reversed(items.styles):
            _put(value, names, write(_get(value, names), *STYLES[style]))

    def _said(self, line: str, at: int, *, nested: bool) -> tuple[Any, int]:
        if line[at : at + 1] in {"{", "["}:
            return _json(line, at)
        return self._notation.read(line, at, self._legend, nested=nested)

    def _shape(
        self, shape: Shape, line: str, at: int, *, nested: bool
    ) -> tuple[Any, int]:
        if isinstance(shape, LeafShape):
            return self._leaf(shape, line, at, nested=nested)
        if shape.may_depart and line.startswith("=", at):
            at += 1
            if at == len(line) or line[at] == self._separator or line[at] in _ENDS:
                return ABSENT, at
            return _json(line, at)
        if isinstance(shape, ItemsShape):
            return self._items(shape, line, at)
        return self._record(shape, line, at, nested=nested)

    def _leaf(
        self, leaf: LeafShape, line: str, at: int, *, nested: bool
    ) -> tuple[Any, int]:
        if not leaf.mode:
            return self._notation.read(line, at, self._legend, nested=nested)
        if leaf.mode == WIDE:
            return self._wide(line, at)
        if leaf.mode == "raw" and not line.startswith("*", at):
            return self._notation.read_raw(line, at, nested=nested)
        text, end = self._notation.read_text(line, at, nested=nested)
        return (self._legend[text] if line.startswith("*", at) else text), end

    def _wide(self, line: str, at: int) -> tuple[Any, int]:
        end = line.find(WIDE_END, at)
        if end <= at:
            raise FormError("a cell does not end")
        text = line[at:end]
        if text == "-":
            return ABSENT, end + 1
        return (self._legend[text] if text.startswith("*") else text), end + 1

    def _record(
        self, record: RecordShape, line: str, at: int, *, nested: bool
    ) -> tuple[Any, int]:
        found: dict[Any, Any] = {}
        is_first = True
        for place, member in enumerate(record.members):
            value = member.default
            if member.mode == "cell" and member.shape is not None:
                if member.shape.arity:
                    if not is_first:
                        at = expect(line, at, self._separator)
                    is_first = ends_wide(member.shape)
                value, at = self._shape(member.shape, line, at, nested=nested)
            key = place if record.is_array else member.key
            if value is ABSENT:
                self._absent.append((found, key))
            found[key] = value
        return list(found.values()) if record.is_array else found, at

    def _items(self, items: ItemsShape, line: str, at: int) -> tuple[Any, int]:
        at = expect(line, at, "{" if items.is_keyed else "[")
        closing = "}" if items.is_keyed else "]"
        is_wide = items.is_keyed or isinstance(items.item, RecordShape)
        between = ";" if is_wide else self._separator
        keyed: dict[str, Any] = {}
        found: list[Any] = []
        while not line.startswith(closing, at):
            since = len(self._absent)
            key, value, at = self.item(items, line, at, nested=True)
            self.finish(items, key, value, since)
            if items.is_keyed:
                keyed[key] = value
            else:
                found.append(value)
            if line.startswith(between, at):
                at += 1
            elif not line.startswith(closing, at):
                raise FormError("items do not end")
        return keyed if items.is_keyed else found, at + 1


def _json(line: str, at: int) -> tuple[Any, int]:
    try:
        return DECODER.raw_decode(line, at)
    except ValueError as error:
        raise FormError("a value departs from JSON") from error


def _put(value: Any, names: tuple[Any, ...], inner: Any) -> Any:
    """Set what stands deep in a row; returns what holds it."""
    for one in names[:-1]:
        value = value[one]
    value[names[-1]] = inner
    return value


def _get(value: Any, names: tuple[Any, ...]) -> Any:
    for one in names:
        value = value[one]
    return value
