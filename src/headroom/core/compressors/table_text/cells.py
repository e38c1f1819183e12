"""How cells stand in a line: split by one character, quoted only where they must be.

A cell is quoted (as a JSON string) if it holds the character that splits cells or a
line end, begins with a quote, begins or ends with white space, or would be read as part
of the notation. The last cell takes the rest of its line and may hold that character.
An empty cell is ``""`` between blanks, nothing at the end of a line and elsewhere.
"""

import json
import re
from collections.abc import Sequence

WORDS = {" ": "blank", "\t": "tab", ",": "comma", "|": "pipe", ";": "semicolon"}
BY_WORD = {word: char for char, word in WORDS.items()}

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_CODE = re.compile(r"@\d+\Z")
DITTO = "^"
EMPTY = '""'
_SPACE = re.compile(r"\s")
_PAIR = re.compile(r'([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)')


def quote(cell: str) -> str:
    """The cell as a JSON string, other alphabets left readable."""
    return json.dumps(cell, ensure_ascii=False)


def unquote(cell: str) -> str:
    """What ``quote`` was given; raises ValueError for what it never writes."""
    value = json.loads(cell)
    if not isinstance(value, str):
        raise ValueError("a quoted cell must be a string")  # noqa: TRY004
    return value


def escape_column(
    cells: Sequence[str], sep: str, *, is_first: bool, is_last: bool
) -> Sequence[str]:
    """The column as it is written; the same object if nothing needs quotes."""
    joined = "\0" + "\0".join(cells) + "\0"
    has_empties = "\0\0" in joined and (sep == " " or (is_first and is_last))
    needs = (
        has_empties
        or "\n" in joined
        or '\0"' in joined
        or "\0@" in joined
        or "\0^\0" in joined
        or (not is_last and sep in joined)
        or (is_first and "\0#" in joined)
        or "\0 " in joined
        or " \0" in joined
        or "\t\0" in joined
        or "\0\t" in joined
        or len(cells) != joined.count("\0") - 1
    )
    if not needs:
        return cells
    forbidden = "\n" if is_last else sep

    def written(cell: str) -> str:
        if not cell:
            return EMPTY if has_empties else ""
        if (
            cell[0] == '"'
            or "\n" in cell
            or forbidden in cell
            or cell[0] in " \t"
            or cell[-1] in " \t"
            or (is_first and cell[0] == "#")
            or is_mark(cell)
        ):
            return quote(cell)
        return cell

    memo = {c: written(c) for c in set(cells)}
    return [memo[c] for c in cells]


def is_mark(cell: str) -> bool:
    """The cell reads like a code or like the mark for *as above*."""
    return cell == DITTO or (cell[:1] == "@" and _CODE.match(cell) is not None)


def split_line(line: str, sep: str, width: int) -> list[str]:
    """The cells of one line, fewer than ``width`` if the line ends before."""
    if '"' not in line:
        return line.split(sep, width - 1)
    cells: list[str] = []
    at = 0
    while len(cells) < width - 1:
        if line[at : at + 1] == '"':
            match = _QUOTED.match(line, at)
            if match is None:
                raise ValueError("a quoted cell must end")
            cells.append(match.group())
            end = match.end()
            if end == len(line):
                return cells
            if line[end] != sep:
                raise ValueError("a quoted cell must end at a separator")
        else:
            end = line.find(sep, at)
            if end < 0:
                cells.append(line[at:])
                return cells
            cells.append(line[at:end])
        at = end + 1
    cells.append(line[at:])
    return cells


def pairs(fields: Sequence[tuple[str, str]], codes: dict[str, str]) -> str:
    """``name=value`` words on one line, values by their code if they have one."""
    return " ".join(
        f"{name}={codes.get(value) or (quote(value) if _unclear(value) else value)}"
        for name, value in fields
    )


def _unclear(value: str) -> bool:
    return (
        not value or value[0] == '"' or _SPACE.search(value) is not None
    ) or is_mark(value)


def read_pairs(text: str, codes: dict[str, str]) -> list[tuple[str, str]]:
    """What ``pairs`` wrote; ``codes`` from code to value."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            raise ValueError("name=value expected")
        name, value = match.groups()
        value = unquote(value) if value[:1] == '"' else codes.get(value, value)
        found.append((name, value))
        at = match.end() + 1
    return found
