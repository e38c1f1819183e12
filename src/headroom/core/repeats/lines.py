"""A text's lines as they are compared: without a view's gutter, without a diff's sign.

The same line of a file stands in a numbered read, in plain output and behind the sign
of a diff; only what it says is compared, and the reference tells how it is dressed.
"""

import re

from msgspec import Struct

from headroom.core.content.gutter import GUTTER, is_numbered

_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@")
_OUR_HUNK = re.compile(r"\[diff\]\n(?:.*\n)*?@\d")
"""The form that ``compressors.diff`` gives a diff: one number in front of a hunk."""

_SIGNS = "+- "

INDENT = "    "
"""What stands before each line of quoted code."""


class Lines(Struct, frozen=True):
    """The lines of one text.

    Attributes:
        raw: as they stand.
        bare: without gutter or sign.
        numbers: of a numbered view; ``-1`` where there is none.
        separator: what stands between a number and its line; empty if not numbered.
        signs: of a diff's hunks: ``+``, ``-`` or a blank; empty elsewhere.
    """

    raw: list[str]
    bare: list[str]
    numbers: list[int]
    separator: str
    signs: list[str]


def split(text: str) -> Lines:
    """Take a text apart; linear in its length."""
    raw = text.split("\n")
    if is_numbered(raw):
        return _numbered(raw)
    nothing = [-1] * len(raw)
    if _HUNK.search(text) is not None or _OUR_HUNK.match(text) is not None:
        return _diff(raw, nothing)
    return Lines(raw, raw, nothing, "", [""] * len(raw))


def _numbered(raw: list[str]) -> Lines:
    bare, numbers = [], []
    found = [GUTTER.match(line) for line in raw]
    separator = _separator([match for match in found if match is not None])
    for line, match in zip(raw, found, strict=True):
        if match is None or not match[3].startswith(separator):
            bare.append(line)
            numbers.append(-1)
        else:
            bare.append(line[match.start(3) + len(separator) :])
            numbers.append(int(match[2]))
    return Lines(raw, bare, numbers, separator, [""] * len(raw))


def _separator(found: list[re.Match[str]]) -> str:
    """What stands behind the numbers: the first, but its blank may be the text's.

    ``12:    indented`` is told from ``12: text`` by the other lines: without any blank,
    or with further ones.
    """
    first = found[0][3]
    if first[0] != ":":
        return first
    is_bare = any(match[3] == ":" for match in found)
    is_indented = all(match.string[match.end() :][:1] in ("", " ") for match in found)
    return ":" if is_bare or is_indented else first


def _diff(raw: list[str], nothing: list[int]) -> Lines:
    bare, signs = [], []
    is_hunk = False
    for line in raw:
        if line.startswith("@"):
            is_hunk = True
        elif line.startswith(("diff ", "## ")):
            is_hunk = False
        if is_hunk and line[:1] and line[0] in _SIGNS:
            bare.append(line[1:])
            signs.append(line[0])
        else:
            bare.append(line)
            signs.append("")
    return Lines(raw, bare, nothing, "", signs)


def dressed(number: int, separator: str, line: str) -> str:
    """A line of a numbered view; numbers are six wide, as those of ``cat -n``."""
    return f"{number:6}{separator}{line}"


def indented(line: str) -> str:
    """A line as test runners quote code; empty ones stay empty."""
    return INDENT + line if line else line


def files_of(line: str) -> str:
    """What stands behind the directory in a line of a listing's form; else nothing."""
    head, colon, files = line.partition("/: ")
    return files if colon and " " not in head.strip() else ""


def shifted(line: str, shift: int) -> str:
    """A line of a numbered view with another number, as wide as before."""
    match = GUTTER.match(line)
    if match is None:
        return line
    width = len(match[1]) + len(match[2])
    number = str(int(match[2]) + shift)
    return (number.rjust(width) if match[1] else number) + line[match.end(2) :]
