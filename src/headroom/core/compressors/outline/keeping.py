"""Which lines of a source text an outline keeps.

Everything that declares stays: imports, signatures with their continuation lines,
decorators, fields, assignments outside of functions. Bodies of functions go, but for
the lines a reader searches for: what is returned, raised, yielded by a call, texts of
messages, signatures of inner functions. Of comments and docstrings the first line
stays.
"""

import re

from headroom.core.compressors.outline.grammars import Anatomy, Region

MIN_BODY_LINES = 4
"""Shorter bodies stay: naming their lines costs as much."""

MIN_GAP_CHARS = 40

# A function that holds most of its file is a module's wrapping, not a body.
_WRAPPING_SHARE = 0.6

# What a reader searches a body for: statements, texts, and what is handed on.
_STATEMENT = re.compile(
    r"\s*(?:(?:return|raise|throw|yield|panic!?|die|croak|confess|abort|assert\w*)\b"
    r"[^\n]*[(\"'`\[{]"
    r"|(?:class|struct|interface|enum|def|function|fn|func) \w)"
)
_TEXTS = {
    '"': re.compile(r"\"(?:[^\"\n]*[^\"\n]{7} [^\"\n]{3,}\"|[^\"\s]{18,}\")"),
    "'": re.compile(r"'(?:[^'\n]*[^'\n]{7} [^'\n]{3,}'|[^'\s]{18,}')"),
    "`": re.compile(r"`[^`\n]*[^`\n]{7} [^`\n]{3,}`"),
}
_HANDED_ON = re.compile(r"\b(?:return|raise|throw) \w.*\(")
_CODE_IN_COMMENT = re.compile(r"\)\s*;\s*$")
_CLOSING = re.compile(r"\s*(?:[\])}]+[;,)]*|end|fi|done|esac)\s*$")
_WORDS = re.compile(r"\w")


def kept_lines(lines: list[str], anatomy: Anatomy) -> bytearray:
    """One byte per line: 1 if the outline keeps it."""
    keep = bytearray(b"\1" * len(lines))
    for body in anatomy.bodies:
        first, last = _inside(lines, body)
        if last - first + 1 >= MIN_BODY_LINES and (
            last - first < _WRAPPING_SHARE * len(lines)
        ):
            keep[first : last + 1] = bytes(last - first + 1)
    dropped = [index for index, kept in enumerate(keep) if not kept]
    comments = _grouped(lines, anatomy.comments)
    for start, end in comments:
        if end - start >= 2:
            _shorten_comment(lines, keep, start, end)
    commented = bytearray(len(lines))
    for start, end in comments:
        commented[start : end + 1] = b"\1" * (end - start + 1)
    for index in dropped:
        if not commented[index] and _is_notable(lines[index][:2000]):
            keep[index] = 1
    for body in anatomy.bodies:
        if body.owner >= 0:
            for index in range(body.owner, body.start + 1):
                keep[index] = 1
    _close_gaps(lines, keep)
    return keep


def _is_notable(line: str) -> bool:
    if _STATEMENT.match(line):
        return True
    hands_on = "return " in line or "raise " in line or "throw " in line
    if hands_on and "(" in line and _HANDED_ON.search(line):
        return True
    return any(sign in line and text.search(line) for sign, text in _TEXTS.items())


def _inside(lines: list[str], body: Region) -> tuple[int, int]:
    """The lines of a body that are not also the signature's."""
    line = lines[body.start]
    before = line.encode()[: body.start_column]
    first = body.start if not before.strip() else body.start + 1
    return first, body.end


def _grouped(lines: list[str], comments: tuple[Region, ...]) -> list[tuple[int, int]]:
    """Comments that fill their lines; consecutive one-line comments are one."""
    found: list[tuple[int, int]] = []
    was_line = False
    for comment in comments:
        if lines[comment.start].encode()[: comment.start_column].strip():
            continue
        is_line = comment.start == comment.end
        if is_line and was_line and found[-1][1] + 1 == comment.start:
            found[-1] = (found[-1][0], comment.end)
        else:
            found.append((comment.start, comment.end))
        was_line = is_line
    return found


def _shorten_comment(lines: list[str], keep: bytearray, start: int, end: int) -> None:
    """Keep the first line that says something, and declarations that are quoted."""
    is_outside = keep[start]
    keep[start : end + 1] = bytes(end - start + 1)
    said = next((i for i in range(start, end + 1) if _WORDS.search(lines[i])), start)
    keep[said] = 1
    if is_outside:
        for index in range(start, end + 1):
            if _CODE_IN_COMMENT.search(lines[index]):
                keep[index] = 1


def _close_gaps(lines: list[str], keep: bytearray) -> None:
    """Closing brackets and blank lines beside a gap join it; tiny gaps are filled."""
    count = len(lines)
    for index in range(1, count):
        if keep[index] and not keep[index - 1]:
            text = lines[index]
            if not text or text.isspace() or _CLOSING.match(text):
                keep[index] = 0
    for index in range(count - 2, -1, -1):
        if keep[index] and not keep[index + 1] and not lines[index].strip():
            keep[index] = 0
    start = -1
    for index in range(count + 1):
        if index < count and not keep[index]:
            start = index if start < 0 else start
        elif start >= 0:
            # Of long gaps the first lines tell.
            size = 0
            for line in lines[start:index]:
                size += len(line.strip())
                if size >= MIN_GAP_CHARS:
                    break
            else:
                keep[start:index] = b"\1" * (index - start)
            start = -1
