"""The written form of a prose text: one line per unit.

In an indented text, such as a manual page, each level of indentation costs one blank
from the level of the body on, and what stands further out is marked as headings, ``# ``
and ``## ``. Within a block that holds more than paragraphs (samples, drawings) the
indentation relative to the block stays. A line that imitates a mark or a note has a
backslash in front.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct

from headroom.core.compressors.prose.units import Unit

_MAX_LEVELS = 12
_MIN_INDENT = 2
_STEP = 3
_DRAWN = "\\/|+^\"'"
_MARKS = ("# ", "## ")


class _Block(Struct, gc=False):
    indent: int
    units: list[Unit]


def write_units(units: Sequence[Unit]) -> list[str]:
    """One line for each unit; lines that were blank are empty."""
    blocks = _blocks(units)
    ranks, headings = _levels(blocks)
    lines: list[str] = []
    for block in blocks:
        if block is _BLANK:
            lines.append("")
            continue
        indent = block.indent
        rank = ranks.get(indent, -1)
        if rank < 0:
            mark = " " * indent
        else:
            mark = _MARKS[rank] if rank < headings else " " * (rank - headings)
        for unit in block.units:
            text = unit.text
            if headings and text.startswith(_MARKS):
                text = f"\\{text}"
            lines.append(f"{mark}{' ' * (unit.indent - indent)}{text}")
    return lines


_BLANK = _Block(0, [])
"""Stands for blank lines, of which nothing is kept but that they are there."""


def _blocks(units: Sequence[Unit]) -> list[_Block]:
    """Units between blank lines; a title and what it heads are blocks of their own."""
    found: list[_Block] = []
    run: list[Unit] = []
    for unit in units:
        if unit.text:
            run.append(unit)
            continue
        if len(run) == 1:
            found.append(_Block(run[0].indent, run))
        elif run:
            found += _split(run)
        run = []
        found.append(_BLANK)
    if run:
        found += _split(run)
    return found


def _split(run: list[Unit]) -> Iterator[_Block]:
    start, size = 0, len(run)
    least = [0] * size  # the least indentation from here on
    for at in range(size - 1, -1, -1):
        rest = least[at + 1] if at + 1 < size else run[at].indent
        least[at] = min(rest, run[at].indent)
    while start + 1 < size:
        title, below = run[start], least[start + 1]
        is_title = title.text[0].isalnum() or title.text[0] in "-<"
        # What follows begins like words too: a drawing's second line does not.
        if run[start + 1].text[0] in _DRAWN or below < title.indent + _STEP:
            is_title = False
        if not is_title:
            break
        yield _Block(title.indent, [title])
        start += 1
    if start < size:
        yield _Block(least[start], run[start:])


def _levels(blocks: Sequence[_Block]) -> tuple[dict[int, int], int]:
    """The rank of each indentation, and how many ranks are headings'.

    Nothing is ranked unless most of the text is indented paragraphs.
    """
    filled = [block for block in blocks if block is not _BLANK]
    levels = Counter([block.indent for block in filled])
    prose = Counter(
        [block.indent for block in filled if any(u.is_prose for u in block.units)]
    )
    indented = sum(n for level, n in prose.items() if level >= _MIN_INDENT)
    if len(levels) > _MAX_LEVELS or indented < 4 or indented * 4 < prose.total() * 3:
        return {}, 0
    order = sorted(levels)
    ranks = {level: rank for rank, level in enumerate(order)}
    body = max(prose, key=lambda level: (prose[level], -level))
    return ranks, min(order.index(body), len(_MARKS))
