"""Text to grid: the first parser that takes the whole text wins."""

import re

from headroom.core.compressors.table_text.aligned import parse_aligned
from headroom.core.compressors.table_text.delimited import (
    parse_box,
    parse_csv,
    parse_markdown,
)
from headroom.core.compressors.table_text.grid import Grid
from headroom.core.compressors.table_text.unheaded import parse_unheaded
from headroom.core.content.crumbs import is_crumbled

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def clean(text: str) -> str:
    """Colours out, line ends to one character."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    return text.replace("\r\n", "\n")


def parse_grid(text: str) -> Grid | None:
    """The table that makes up the text, or ``None``."""
    text = clean(text)
    first = text.lstrip("\n")[:1]
    if not first or first in "{[<" or "\r" in text or is_crumbled(text):
        return None
    lines = text.split("\n")
    if len(lines) < 4:
        return None
    head = "\n".join(lines[:60])
    grid = None
    if "-|" in head or "- |" in head:
        grid = parse_markdown(lines)
    if grid is None and ("--" in head or "──" in head or "━━" in head):
        grid = parse_box(lines)
    return grid or parse_csv(text) or parse_aligned(lines) or parse_unheaded(lines)
