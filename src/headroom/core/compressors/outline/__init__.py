"""Source code nobody will edit, as an outline: what it declares, without the bodies.

Lossy only, and only for files that no edit tool has to quote: the call or the text says
that they are installed, vendored, built or generated, or there is no call at all.
Notation: ``[outline of 812 lines; "… a-b": left out]`` and a seal, then the lines that
are kept, untouched, and ``… 120-159`` where lines are missing, by the numbers of the
file (of the view, where it is numbered; its padding goes as for any numbered view). A
line of the source that looks like a gap gets a backslash in front. Needs the extra
``code``.

A numbered view of a file that may be edited is no candidate; compressed by itself,
without a call, it loses its empty lines alone, whose numbers are then missing.
"""

import re

from headroom.core.compressors.outline.grammars import dissect, is_installed
from headroom.core.compressors.outline.keeping import kept_lines
from headroom.core.content.gutter import GUTTER, is_numbered
from headroom.core.content.languages import (
    language_of_path,
    language_of_text,
)
from headroom.core.content.paths import may_be_outlined, path_shown, paths_of
from headroom.core.content.seal import is_stamped, stamped
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context

NAME = "outline"

_HEADER = "[outline of "
_EMPTIED = re.compile(r"\[numbered view without its (\d+) empty lines\]\n")
_GAP = re.compile(r"\\*… (\d+)-(\d+)$")
_MIN_CHARS = 2400
_SURE = 0.995
"""Before the gutter's compressor, which serves what is left to it."""

_MIN_VIEW_CHARS = 1000
_MIN_EMPTY_LINES = 8
_HEAD_CHARS = 3000
_PART_CHARS = (2400, 1800, 1800)
_MAX_CHARS = 400_000
# More than that unread means that the text is in another language, or none.
_MAX_ERRORS = 0.3
_MIN_GAIN = 0.25
"""Below it an outline tells less than it saves."""


def detect(text: str) -> float:
    """Sure of numbered views and of lines that only source code has."""
    if is_form(text):
        return 1.0
    if len(text) < _MIN_VIEW_CHARS or text[:1] == "{":
        return 0.0
    view = _View(text[:_HEAD_CHARS])
    if view.is_numbered:
        return _SURE
    if len(text) < _MIN_CHARS:
        return 0.0
    if len(text) > 3 * _HEAD_CHARS:
        # Its beginning, which is long where it is a licence, and two places further on.
        text = "".join(
            _lines_at(text, len(text) * part // 3, _PART_CHARS[part])
            for part in range(3)
        )
    return 0.8 if language_of_text(text) else 0.0


def _lines_at(text: str, start: int, size: int) -> str:
    begin = text.find("\n", start) + 1 if start else 0
    return text[begin : text.rfind("\n", begin, begin + size) + 1]


def compress(text: str, ctx: Context) -> Compressed | None:
    """The outline, ``None`` unless something lossy is wanted and nobody edits this."""
    if not ctx.wants_lossy or len(text) > _MAX_CHARS or is_form(text):
        return None
    view = _View(text)
    if not may_be_outlined(text, ctx.call, is_view=view.is_numbered):
        is_alone = ctx.call is None and view.is_numbered
        return _without_empty_lines(view) if is_alone else None
    if len(text) < _MIN_CHARS:
        return None
    source = view.source()
    language = _language(text, source, ctx)
    if not language or not is_installed(language):
        return None
    anatomy = dissect(source, language)
    if anatomy is None or anatomy.error_share > _MAX_ERRORS:
        return None
    lines = source.split("\n")
    keep = kept_lines(lines, anatomy)
    left_out = len(keep) - sum(keep)
    dropped = sum(len(line) for line, kept in zip(lines, keep, strict=True) if not kept)
    if dropped < _MIN_GAIN * len(text):
        return None
    omitted = f"{left_out} of {len(lines)} lines of code left out, ranges in place"
    header = f'[outline of {len(lines)} lines; "… a-b": left out]'
    form = stamped(view.write(keep, header))
    return Compressed(lossy=Candidate(form, NAME, omitted))


def _without_empty_lines(view: "_View") -> Compressed | None:
    lines = view.source().split("\n")
    keep = bytearray(1 if line.strip() else 0 for line in lines)
    # From the first to the last number it can be told which are missing.
    keep[0] = keep[-1] = 1
    empty = len(keep) - sum(keep)
    if empty < _MIN_EMPTY_LINES:
        return None
    header = f"[numbered view without its {empty} empty lines]"
    omitted = f"{empty} empty lines of {len(lines)}, their numbers missing in place"
    form = view.write(keep, header, has_gaps=False)
    return Compressed(lossy=Candidate(form, NAME, omitted))


def _language(text: str, source: str, ctx: Context) -> str:
    shown = path_shown(text)
    paths = [shown] if shown else paths_of(ctx.call) if ctx.call is not None else []
    named = {language for path in paths if (language := language_of_path(path))}
    if len(named) == 1:
        language = named.pop()
        # A header named .h may be C++.
        return language_of_text(source) or language if language == "c" else language
    return language_of_text(source)


class _View:
    """A file's lines, with or without the gutter and the frame of a numbered view."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.first = 0
        # A view may be announced by a line or two.
        for first in range(3):
            if is_numbered(self.lines[first : first + 40]):
                self.first = first
                break
        self.matches = self._gutter()
        self.is_numbered = len(self.matches) > 3

    def _gutter(self) -> "list[re.Match[str]]":
        """The gutters of the numbered lines, one after the other."""
        found: list[re.Match[str]] = []
        expected = -1
        start = self.first
        for index in range(start, len(self.lines)):
            match = GUTTER.match(self.lines[index])
            if match is None or (expected >= 0 and int(match[2]) != expected):
                if found or index > start + 2:
                    break
                self.first = index + 1
                continue
            found.append(match)
            expected = int(match[2]) + 1
        if len(found) <= 3:
            self.first = 0
            return []
        return found

    def source(self) -> str:
        """The file's own text."""
        if not self.is_numbered:
            return "\n".join(self.lines)
        shown = self.lines[self.first : self.first + len(self.matches)]
        return "\n".join(
            line[match.end() :] for line, match in zip(shown, self.matches, strict=True)
        )

    def write(self, keep: bytearray, header: str, *, has_gaps: bool = True) -> str:
        """The form: kept lines and the ranges of the others."""
        count = len(keep)
        out = [header]
        out += self.lines[: self.first]
        base = int(self.matches[0][2]) if self.is_numbered else 1
        start = -1
        for index in range(count):
            if not keep[index]:
                start = index if start < 0 else start
                continue
            if start >= 0 and has_gaps:
                out.append(f"… {start + base}-{index + base - 1}")
            start = -1
            line = self.lines[self.first + index]
            if self.is_numbered:
                line = line[self.matches[index].end(1) :]
            elif _GAP.match(line):
                line = f"\\{line}"
            out.append(line)
        if start >= 0 and has_gaps:
            out.append(f"… {start + base}-{count + base - 1}")
        out += self.lines[self.first + count :]
        return "\n".join(out)


def is_form(text: str) -> bool:
    """The text is one of this module's forms: by its seal, or by the missing lines."""
    emptied = _EMPTIED.match(text)
    if emptied is not None:
        shown = [int(m[2]) for m in map(GUTTER.match, text.split("\n")) if m]
        missing = shown[-1] - shown[0] + 1 - len(shown) if shown else -1
        return missing == int(emptied[1])
    return text.startswith(_HEADER) and is_stamped(text)


COMPRESSOR = Compressor(
    name=NAME,
    kind="code",
    detect=detect,
    compress=compress,
    most=_SURE,
    is_lossy_only=True,
)
