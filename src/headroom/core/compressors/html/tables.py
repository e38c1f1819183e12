"""The table that is being read: its cells, and how its rows are written.

Cells stand side by side, ``|`` between them, without padding. A cell that spans columns
is followed by empty ones; one that spans rows is ``^`` in the rows below it.
"""

import re
from typing import Final

from msgspec import Struct

BREAK: Final = "\x01"
"""Stands for a line break inside a cell; no character of HTML."""

_BREAK_FORM: Final = " / "
_MAX_SPAN: Final = 20
_BORDER: Final = re.compile(r"(?<![^\s\\])\||\|(?!\S)")
"""What could be taken for the sign between cells; ``on|off`` cannot."""


class Table(Struct):
    """An open table.

    Attributes:
        is_layout: it turned out to arrange a page, so its cells are blocks.
        breaks: line breaks so far in the open cell.
        below: column → rows that a cell still spans.
    """

    group: int
    is_layout: bool = False
    is_in_cell: bool = False
    breaks: int = 0
    cells: list[str] = []
    below: dict[int, int] = {}
    spans: tuple[int, int] = (1, 1)
    heads: int = 0
    has_head: bool = False

    def open_cell(self, attributes: dict[str, str], *, is_head: bool) -> None:
        """Begin a cell behind those that reach down into this row."""
        while self.below.get(len(self.cells), 0) > 0:
            self.below[len(self.cells)] -= 1
            self.cells.append("^")
        self.heads += is_head
        self.spans = (
            _span(attributes.get("colspan", "")),
            _span(attributes.get("rowspan", "")),
        )

    def close_cell(self, parts: list[str]) -> None:
        """End the cell with what it holds."""
        text = _BREAK_FORM.join(parts)
        text = _BORDER.sub(r"\\|", text)
        columns, rows = self.spans
        if rows > 1:
            self.below[len(self.cells)] = rows - 1
        self.cells.append(text)
        if columns > 1:
            self.heads += columns - 1 if self.heads else 0
            self.cells += [""] * (columns - 1)

    def take_cells(self) -> list[str]:
        """The cells of the unfinished row, which is then empty."""
        cells = [_bare(cell) for cell in self.cells if cell not in {"", "^"}]
        self.cells, self.heads = [], 0
        return cells

    def take_row(self) -> tuple[str, str] | None:
        """Kind and text of the finished row, ``None`` if there is nothing in it."""
        cells, heads = self.cells, self.heads
        self.cells, self.heads = [], 0
        filled = [cell for cell in cells if cell not in {"", "^"}]
        if not filled:
            return None
        if len(cells) == 1:
            return "text", _bare(cells[0])
        if heads >= len(cells) and not self.has_head:
            self.has_head = True
            return "head", " | ".join(cells)
        return "row", " | ".join(cells).rstrip()


def _bare(cell: str) -> str:
    return cell.replace("\\|", "|")


def _span(value: str) -> int:
    return min(int(value), _MAX_SPAN) if value.isdecimal() and len(value) < 5 else 1
