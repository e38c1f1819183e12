"""Lists that equal a column of a table above: told by its name.

Orders name the ids of their lines again in shipments, graphs those of their nodes in
groups. In a form such a list reads ``==items.id``, the keys of a table ``==items.@``.
"""

from collections.abc import Iterator

from headroom.core.compressors.json_table.columns import Items, Leaf, Record
from headroom.core.compressors.json_table.notation import Same, is_step
from headroom.core.compressors.json_table.parse import Cell, Value

MAX_ROWS = 200
"""Of tables whose columns are looked for again."""

_MIN_ROWS = 2
_DEARER = 1.2


class Columns:
    """The columns of tables by what they hold."""

    def __init__(self) -> None:
        self._tables: list[tuple[str, Items]] = []
        self._paths: dict[tuple[Cell, ...], str] = {}

    def add(self, key: str, table: Items) -> None:
        """Know the columns of the table of a member."""
        size = sum(table.lengths)
        if table.below is None and is_step(key) and _MIN_ROWS <= size <= MAX_ROWS:
            self._tables.append((key, table))

    def named(self, value: Value) -> Value:
        """The value with a ``Same`` for each list that is such a column."""
        if not self._tables and not self._paths:
            return value
        if isinstance(value, dict):
            return {key: self.named(one) for key, one in value.items()}
        if not isinstance(value, list):
            return value
        path = self._path(value)
        if path is not None:
            return Same(path)
        return [self.named(one) for one in value]

    def _path(self, values: list[Value]) -> str | None:
        """The column that a list equals, if its name is the shorter."""
        if len(values) < _MIN_ROWS:
            return None
        size = 0
        for one in values:
            if not isinstance(one, (str, bytes)):
                return None
            size += len(one) + 1
        for key, table in self._tables:
            self._know(key, table)
        self._tables.clear()
        path = self._paths.get(tuple(values))
        return path if path and size > _DEARER * (len(path) + 2) else None

    def _know(self, key: str, table: Items) -> None:
        if not isinstance(table.item, Record):
            return
        if table.keys is not None:
            self._paths.setdefault(tuple(table.keys), f"{key}.@")
        for path, values in _columns(table.item, key):
            self._paths.setdefault(tuple(values), path)


def _columns(record: Record, path: str) -> Iterator[tuple[str, list[Cell]]]:
    if record.rows is not None or record.is_array:
        return
    for one in record.fields:
        if one.mode != "cell" or one.style or not is_step(one.key):
            continue
        inner = f"{path}.{one.key}"
        if isinstance(one.column, Record):
            yield from _columns(one.column, inner)
        elif isinstance(one.column, Leaf):
            values = list(one.column.values)
            if all(isinstance(value, (str, bytes)) for value in values):
                yield inner, values
