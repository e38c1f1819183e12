"""Text that nobody reads: base64 by the line, hex dumps, minified code; shortened.

Lossy. Long lines are cut only if they are code: data on one line says something at its
end as well. The beginning stays (it tells what it is), and in place of the rest stand
its length and its digest, so that two of them can be told apart.
"""

import re
from collections.abc import Callable

from headroom.core.digest import content_digest

_BASE64_LINES = re.compile(
    r"^(?:[A-Za-z0-9+/_-]{60,100}\n){3,}[A-Za-z0-9+/_-]{1,100}={0,2}$", re.MULTILINE
)
_BASE64_RUN = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{400,}={0,2}")
_DUMP = re.compile(
    r"^(?:[0-9a-f]{6,16}:?  ?(?:[0-9a-f]{2,8} {1,2}){4,16} *.{0,20}\n|\*\n){12,}+",
    re.MULTILINE,
)
_LONG_LINE = re.compile(r"^(?![\[{\"]).{2000,}$", re.MULTILINE)
_CODE = re.compile(
    r"\bfunction\b|=>|\b(?:var|let|const|return) |\}[.#a-z][\w.#-]*\{|;[a-z][\w.]*="
)
_DUMP_ROW = re.compile(r"\n[0-9a-f]{6,16}:?  ?[0-9a-f]{2,8} ")
_MIN_BASE64_LINE = 60
_MIN_LONG_LINE = 2000
_MIN_DUMP_ROWS = 11
_MAX_BLANKS = 8
"""Where one character in so many is a blank, words are short."""
_MIN_CODE_SIGNS = 12
_DIGEST_DIGITS = 12
_KEPT_LINES = 6


def may_be_blobs(text: str) -> bool:
    """Whether half of the text may be such: long words or lines, rows of a dump."""
    if len(_DUMP_ROW.findall(f"\n{text}")) >= _MIN_DUMP_ROWS:
        return True
    if text.count(" ") * _MAX_BLANKS > len(text):
        return False
    # A block of base64 may end with a shorter line: a quarter of the block at most.
    words = sum(size for size in map(len, text.split()) if size >= _MIN_BASE64_LINE)
    if words * 3 > len(text):
        return True
    lines = sum(size for size in map(len, text.split("\n")) if size >= _MIN_LONG_LINE)
    return words + lines > len(text) // 3


def shorten(text: str) -> tuple[str, list[str]]:
    """The text with its blobs shortened, and what was left out of it."""
    omitted: list[str] = []

    def replace(cut: Callable[[str], tuple[str, str]]) -> Callable[..., str]:
        def replaced(match: re.Match[str]) -> str:
            kept, left_out = cut(match[0])
            if left_out:
                omitted.append(left_out)
            return kept

        return replaced

    text = _BASE64_LINES.sub(replace(_base64), text)
    text = _BASE64_RUN.sub(replace(_base64), text)
    text = _DUMP.sub(replace(_dump), text)
    return _LONG_LINE.sub(replace(_line), text), omitted


def _base64(blob: str) -> tuple[str, str]:
    left_out = f"{len(blob) - 40} of {len(blob)} characters of base64"
    return f"{blob[:40]}… {left_out}, digest {_digest(blob)}", left_out


def _dump(rows: str) -> tuple[str, str]:
    lines = rows.splitlines(keepends=True)
    rest = len(lines) - _KEPT_LINES - 1
    left_out = f"{rest} of {len(lines)} lines of a hex dump"
    gap = f"… {left_out}, digest {_digest(rows)}\n"
    return "".join([*lines[:_KEPT_LINES], gap, lines[-1]]), left_out


def _line(line: str) -> tuple[str, str]:
    if len(_CODE.findall(line[:8000])) < _MIN_CODE_SIGNS:
        return line, ""
    head, tail = line[:600], line[-200:]
    left_out = f"{len(line) - 800} of {len(line)} characters of one line"
    return f"{head}… {left_out}, digest {_digest(line)} …{tail}", left_out


def _digest(blob: str) -> str:
    return content_digest(blob)[:_DIGEST_DIGITS]
