"""The grid that every table text is parsed into, and names for its columns.

All parsers of this package give a ``Grid``; the form is written from it and decodes to
an equal one. What a grid does not hold is what counts as layout: padding, rules,
quotes.
"""

import re

from msgspec import Struct

# A name that can stand in front of ``=`` in the notation without quotes.
_PLAIN = re.compile(r"[^\s=,;:\"#@]+\Z")
_GENERATED = re.compile(r"c\d+\Z")


class Grid(Struct, frozen=True):
    """One table with the lines around it.

    Attributes:
        before: lines that stand before the header, as they are.
        names: the header's cells; empty if the table has no header.
        columns: the cells, column by column; all columns are equally long.
        after: lines behind the last row.
        delimiter: what the header line is written with: ``,`` ``;`` ``|`` tab or blank.
        between: comment lines among the rows, each with the row it stands before.
    """

    before: tuple[str, ...]
    names: tuple[str, ...]
    columns: tuple[list[str], ...]
    after: tuple[str, ...]
    delimiter: str
    between: tuple[tuple[int, str], ...] = ()

    @property
    def height(self) -> int:
        """Number of rows."""
        return len(self.columns[0]) if self.columns else 0


def labels(names: tuple[str, ...], width: int) -> list[str]:
    """How the notation calls each column: its name, or ``c3`` where that cannot be."""
    out = []
    for i in range(width):
        name = names[i] if i < len(names) else ""
        unusable = (
            not _PLAIN.match(name) or _GENERATED.match(name) or names.count(name) > 1
        )
        out.append(f"c{i + 1}" if unusable else name)
    return out


def from_rows(rows: list[list[str]], width: int) -> tuple[list[str], ...]:
    """Rows as columns; short rows are filled with empty cells."""
    full = [r if len(r) == width else r + [""] * (width - len(r)) for r in rows]
    return tuple(list(c) for c in zip(*full, strict=True))
