"""Back from the form to the grid: proof that nothing is lost, and the recogniser."""

import re
from collections.abc import Callable

from msgspec import Struct

from headroom.core.compressors.table_text.body import COMMENT
from headroom.core.compressors.table_text.cells import (
    BY_WORD,
    DITTO,
    read_pairs,
    split_line,
    unquote,
)
from headroom.core.compressors.table_text.form import MARK, read_header
from headroom.core.compressors.table_text.grid import Grid, labels
from headroom.core.compressors.table_text.objects import join_object
from headroom.core.content.seal import is_stamped

_HEAD = re.compile(
    r"#table (\d+) rows(?:; header (\w+))?; cells (\w+)"
    r"(?:; (\d+) lines? before)?(?:; (\d+) lines? after)?(; lossy)?\Z"
)


class _Legend(Struct):
    same: dict[str, str]
    counts: dict[str, int]
    objects: dict[str, tuple[str, str]]
    maps: list[tuple[str, list[str], dict[str, list[str]]]]
    codes: dict[str, str]
    cells: list[str]
    has_ditto: bool = False


class _Lines:
    """The lines of a form, taken from the front."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.at = 0

    def peek(self) -> str:
        return self.lines[self.at] if self.at < len(self.lines) else ""

    def take(self, n: int = 1) -> list[str]:
        if n < 0 or self.at + n > len(self.lines):
            raise ValueError("the form ends early")
        found = self.lines[self.at : self.at + n]
        self.at += n
        return found


def _value(cell: str) -> str:
    return unquote(cell) if cell[:1] == '"' else cell


def _read_same(legend: _Legend, rest: str, lines: _Lines) -> None:
    del lines
    legend.same.update(read_pairs(rest, {}))


def _read_count(legend: _Legend, rest: str, lines: _Lines) -> None:
    del lines
    name, _, step = rest.rpartition(" +")
    legend.counts[name] = int(step)


def _read_objects(legend: _Legend, rest: str, lines: _Lines) -> None:
    del lines
    name, item_gap, key_gap = split_line(rest, " ", 3)
    legend.objects[name] = (unquote(item_gap), unquote(key_gap))


def _read_map(legend: _Legend, rest: str, lines: _Lines) -> None:
    key, _, tail = rest.partition(": ")
    listed, _, size = tail.rpartition(" ")
    names = listed.split(",")
    table = {}
    for line in lines.take(int(size)):
        cells = [_value(c) for c in split_line(line, "\t", len(names) + 1)]
        if len(cells) != len(names) + 1:
            raise ValueError("a map row needs all of its cells")
        table[cells[0]] = cells[1:]
    legend.maps.append((key, names, table))


def _read_codes(legend: _Legend, rest: str, lines: _Lines) -> None:
    for line in lines.take(int(rest)):
        code, _, value = line.partition(" ")
        legend.codes[code] = _value(value)


def _read_cells(legend: _Legend, rest: str, lines: _Lines) -> None:
    del lines
    legend.cells.extend(rest.split(" "))


def _read_ditto(legend: _Legend, rest: str, lines: _Lines) -> None:
    del rest, lines
    legend.has_ditto = True


_READERS: dict[str, Callable[[_Legend, str, _Lines], None]] = {
    "#same": _read_same,
    "#count": _read_count,
    "#objects": _read_objects,
    "#map": _read_map,
    "#codes": _read_codes,
    f"#{DITTO}": _read_ditto,
    "#cells": _read_cells,
}


def _read_legend(lines: _Lines) -> _Legend:
    legend = _Legend({}, {}, {}, [], {}, [])
    while True:
        word, _, rest = lines.peek().partition(" ")
        reader = _READERS.get(word)
        if reader is None:
            return legend
        lines.take()
        reader(legend, rest, lines)


def decode(form: str) -> Grid:
    """The grid that a lossless form was written from.

    Raises:
        ValueError: the text is no lossless form.
    """
    if not form.startswith(MARK):
        raise ValueError("no table form")
    lines = _Lines(form.split("\n"))
    head = _HEAD.match(lines.take()[0])
    if head is None or head.group(6) or head.group(3) not in BY_WORD:
        raise ValueError("no lossless table form")
    height, word, sep = int(head.group(1)), head.group(2), BY_WORD[head.group(3)]
    before = tuple(lines.take(int(head.group(4) or 0)))
    names = read_header(lines.take()[0], word) if word else ()
    legend = _read_legend(lines)
    tail = int(head.group(5) or 0)
    body = lines.take(len(lines.lines) - lines.at - tail)
    body, between = _take_comments(body)
    plain = labels(names, len(names)) if names else _unnamed(legend, body)
    work, shown = _names(plain, legend)
    columns = _read_body(body, legend, shown, sep, height)
    _fill(columns, legend, work, height)
    original = _rejoin(columns, legend, plain)
    delimiter = BY_WORD.get(word or "blank", ",")
    after = tuple(lines.take(tail))
    return Grid(before, names, tuple(original), after, delimiter, between)


def _take_comments(body: list[str]) -> tuple[list[str], tuple[tuple[int, str], ...]]:
    """The body without the table's own comment lines, and these by row."""
    if not any(line.startswith(COMMENT) for line in body):
        return body, ()
    rest: list[str] = []
    between: list[tuple[int, str]] = []
    rows = 0
    for line in body:
        if line.startswith(COMMENT):
            between.append((rows, line[len(COMMENT) :]))
            continue
        rest.append(line)
        rows += not line.startswith("## ")
    return rest, tuple(between)


def _unnamed(legend: _Legend, body: list[str]) -> list[str]:
    """What the columns are called of a table that has no names."""
    known = [*legend.cells, *legend.same, *legend.counts]
    for _, mapped, _ in legend.maps:
        known += mapped
    for line in body:
        if line.startswith("## "):
            known += [name for name, _ in read_pairs(line[3:], legend.codes)]
    roots = {re.sub(r"\.(keys|values)\Z", "", n) for n in known}
    if not all(re.fullmatch(r"c\d{1,4}", n) for n in roots):
        raise ValueError("a table without names calls its columns c1, c2, …")
    width = max((int(n[1:]) for n in roots), default=0)
    return [f"c{i + 1}" for i in range(width)]


def _names(plain: list[str], legend: _Legend) -> tuple[list[str], list[str]]:
    """All columns as they are called in the form, and those that rows show."""
    work: list[str] = []
    for name in plain:
        if name in legend.objects:
            work += [f"{name}.keys", f"{name}.values"]
        else:
            work.append(name)
    shown = legend.cells or [n for n in work if n not in legend.same]
    return work, shown


def _read_body(
    body: list[str], legend: _Legend, shown: list[str], sep: str, height: int
) -> dict[str, list[str]]:
    """The columns that stand in rows and in the lines between them."""
    rows: list[list[str]] = []
    said: dict[str, list[tuple[int, str]]] = {}
    width = len(shown)
    for line in body:
        if line.startswith("## "):
            for name, value in read_pairs(line[3:], legend.codes):
                said.setdefault(name, []).append((len(rows), value))
        else:
            row = split_line(line, sep, width)
            if sep == " " and len(row) < width:
                row += [""] * (width - len(row))
            rows.append(row)
    if len(rows) != height or set(map(len, rows)) - {width}:
        raise ValueError("rows or cells are missing")
    columns: dict[str, list[str]] = {}
    for name, column in zip(shown, zip(*rows, strict=True), strict=True):
        columns[name] = _read_column(column, legend)
    for name, changes in said.items():
        cells: list[str] = []
        step = legend.counts.get(name)
        ends = [at for at, _ in changes[1:]] + [height]
        for (at, value), end in zip(changes, ends, strict=True):
            if at != len(cells):
                raise ValueError("a value is missing at the top")
            if step is None:
                cells += [value] * (end - at)
            else:
                first = int(value)
                cells += map(str, range(first, first + step * (end - at), step))
        columns[name] = cells
    return columns


def _read_column(column: tuple[str, ...], legend: _Legend) -> list[str]:
    joined = "\n".join(column)
    codes = legend.codes if "@" in joined else {}
    if not codes and '"' not in joined and not legend.has_ditto:
        return list(column)
    quoted = {c: unquote(c) for c in set(column) if c[:1] == '"'}
    meaning = {**codes, **quoted}
    cells: list[str] = []
    above = ""
    for cell in column:
        if cell != DITTO or not legend.has_ditto:
            above = meaning.get(cell, cell)
        cells.append(above)
    return cells


def _fill(
    columns: dict[str, list[str]], legend: _Legend, work: list[str], height: int
) -> None:
    """Constant and mapped columns, from the legend."""
    for name, value in legend.same.items():
        columns[name] = [value] * height
    for key, names, table in legend.maps:
        keys = columns[key]
        for i, name in enumerate(names):
            columns[name] = [table[k][i] for k in keys]
    if set(columns) != set(work) or any(len(c) != height for c in columns.values()):
        raise ValueError("a column is missing")


def _rejoin(
    columns: dict[str, list[str]], legend: _Legend, work: list[str]
) -> list[list[str]]:
    """Object columns in one again, in the table's order."""
    out = []
    for name in work:
        if name in legend.objects:
            item_gap, key_gap = legend.objects[name]
            keys, values = columns[f"{name}.keys"], columns[f"{name}.values"]
            out.append(
                [
                    join_object(k, v, item_gap, key_gap)
                    for k, v in zip(keys, values, strict=True)
                ]
            )
        elif not name.endswith((".keys", ".values")) or name in columns:
            out.append(columns[name])
    return out


def is_form(text: str) -> bool:
    """The text is a form of this package: it decodes, or is a lossy one's seal."""
    if not text.startswith(MARK):
        return False
    if is_stamped(text):
        return True
    try:
        grid = decode(text)
    except (ValueError, KeyError, IndexError, RecursionError):
        return False
    return is_mostly_rows(grid)


def is_mostly_rows(grid: Grid) -> bool:
    """Whether the lines around the rows are not the greater part."""
    return len(grid.before) + len(grid.after) <= grid.height + 40
