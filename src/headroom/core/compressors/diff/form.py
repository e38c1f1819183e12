r"""The short form of diffs and git logs, and back. ``unshorten(shorten(t)) == t``.

::

    [diff]
    ## src/x.py 35176c7..16774ef
    @41 class Group:
     context
    -removed
    +added
    @97 "

``@41`` is ``@@ -… +41,… @@``: the hunk's first line in the changed file. The counts are
those of the lines below; the old file's line follows from the hunks above (where it
does not: ``@40+41``). ``"`` repeats the function of the hunk above. Removed, added and
context lines stay as they are, trailing blanks too; a blank context line loses its
blank. ``\`` says that the file ends without a newline. Commits of a log: the id, the
author where it changes (the address once), the date, the message indented by one blank;
blank lines between the parts go. Stat blocks: ``stat``. File headers: ``heading``.
``|`` precedes a line that would read as something else; in combined diffs (``@@@``)
lines are untouched.
"""

import re
from typing import Final

from headroom.core.compressors.diff.heading import (
    Roots,
    find_roots,
    fold,
    header_end,
    unfold,
)
from headroom.core.compressors.diff.stat import (
    SHORT_LINE,
    STAT_LINE,
    SUMMARY,
    Row,
    expand,
    is_directory_line,
    is_width_line,
    print_rows,
)
from headroom.core.compressors.diff.stat import shorten as shorten_stat

HUNK: Final = re.compile(
    r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: (.*))?\Z", re.DOTALL
)
COMMIT: Final = re.compile(r"commit [0-9a-f]{7,64}(?: .*)?\Z")
NO_NEWLINE: Final = "\\ No newline at end of file"

_SHORT_HUNK = re.compile(r"@(?:(\d{1,9})\+)?(\d{1,9})(?: (.*))?\Z", re.DOTALL)
_HEADER = re.compile(r"\[diff(?: (\S+) (\S+))?( bare)?\]\Z")
_AUTHOR = "Author: "
_DATE = "Date:   "
_DATED = re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} +\d|\d{4}-\d\d-\d\d|\d+ \w+ ago|\w")
_AMBIGUOUS = re.compile(r"[|]|## |@\d|commit |\[diff")


def _is_stat(line: str) -> bool:
    return (
        is_directory_line(line)
        or is_width_line(line)
        or SHORT_LINE.match(line) is not None
    )


# Notes that a file has no newline at its end: one for each side.
_MAX_NOTES = 2


def hunk_size(lines: list[str], start: int, old: int, new: int) -> int | None:
    """How many lines from ``start`` on a hunk takes; ``None`` if it is cut off."""
    index = start
    for line in lines[start : start + max(old + new, 0) + _MAX_NOTES]:
        if old <= 0 and new <= 0:
            break
        sign = line[:1]
        if sign == " " or not sign:
            old -= 1
            new -= 1
        elif sign == "+":
            new -= 1
        elif sign == "-":
            old -= 1
        elif sign != "\\":
            return None
        index += 1
    if index < len(lines) and lines[index].startswith("\\"):
        index += 1
    return index - start if old == new == 0 else None


def print_hunk(old: tuple[int, int], new: tuple[int, int], function: str | None) -> str:
    """A hunk's header as git and GNU diff print it."""
    left = f"{old[0]},{old[1]}" if old[1] != 1 else f"{old[0]}"
    right = f"{new[0]},{new[1]}" if new[1] != 1 else f"{new[0]}"
    header = f"@@ -{left} +{right} @@"
    return header if function is None else f"{header} {function}"


class _Shortener:
    """Walks a diff's lines once; ``after`` says what the line above was part of."""

    def __init__(self, lines: list[str], roots: Roots, *, is_bare: bool) -> None:
        self.lines = lines
        self.roots = roots
        self.is_bare = is_bare
        self.out: list[str] = []
        self.index = 0
        self.after = ""
        self.shift = 0
        self.function: str | None = None
        self.author = ""
        self.authors: dict[str, str] = {}
        self.commits = 0

    def run(self) -> list[str]:
        while self.index < len(self.lines):
            line = self.lines[self.index]
            step = (
                (line.startswith("@@ ") and self._hunk(line))
                or (line.startswith("diff --git ") and self._file())
                or (line.startswith("commit ") and self._commit())
                or (not line and self._blank_before_commit())
                or (line.startswith(" ") and " | " in line and self._stat())
                or self._raw(line)
            )
            self.index += step
        return self.out

    def _hunk(self, header: str) -> int:
        match = HUNK.match(header)
        if match is None:
            return 0
        a, c = int(match[1]), int(match[3])
        b = 1 if match[2] is None else int(match[2])
        d = 1 if match[4] is None else int(match[4])
        size = hunk_size(self.lines, self.index + 1, b, d)
        function = match[5]
        is_canonical = print_hunk((a, b), (c, d), function) == header
        if size is None or not size or not is_canonical or function == '"':
            return 0
        body = self.lines[self.index + 1 : self.index + 1 + size]
        odd = {line for line in body if line[:1] in {"", "\\"} or line == " "}
        if not odd <= {"" if self.is_bare else " ", NO_NEWLINE}:
            return 0
        shift = (c + (d == 0)) - (a + (b == 0))
        place = f"@{c}" if shift == self.shift else f"@{a}+{c}"
        self.shift = shift + d - b
        if function is not None:
            place += ' "' if function and function == self.function else f" {function}"
            self.function = function
        self.out.append(place)
        if odd:
            short = {" ": "", NO_NEWLINE: "\\"}
            body = [short.get(line, line) for line in body]
        self.out += body
        self.after = "hunk"
        return size + 1

    def _file(self) -> int:
        end = header_end(self.lines, self.index)
        has_hunk = self.lines[end - 1].startswith("+++ ")
        follows = end < len(self.lines) and self.lines[end].startswith("@@ ")
        heading = fold(self.lines[self.index : end], self.roots, has_hunk=has_hunk)
        if heading is None and end - self.index > 1:
            # What names the two binary files may say something else than the header.
            end -= self.lines[end - 1].startswith("Binary files ")
            heading = fold(self.lines[self.index : end], self.roots, has_hunk=has_hunk)
        self.shift = 0
        self.function = None
        if heading is None or has_hunk != follows or (follows and self._is_cut(end)):
            return 0
        self.out.append(heading)
        self.after = "file"
        return end - self.index

    def _is_cut(self, index: int) -> bool:
        """Whether the hunk at ``index`` would be left raw, so that no ``@`` follows."""
        probe = _Shortener(self.lines, self.roots, is_bare=self.is_bare)
        probe.index = index
        return not probe._hunk(self.lines[index])

    def _blank_before_commit(self) -> int:
        following = self.lines[self.index + 1 : self.index + 2]
        if self.commits and following and COMMIT.match(following[0]):
            self.index += 1
            size = self._commit()
            self.index -= 1
            return size + 1 if size else 0
        return 0

    def _commit(self) -> int:
        """A commit's header and message; the blank line before it is implied."""
        lines, index = self.lines, self.index
        if not COMMIT.match(lines[index]) or (index > 0 and not self.commits):
            return 0
        start = index
        short = [lines[index]]
        index += 1
        if index < len(lines) and lines[index].startswith("Merge: "):
            short.append(lines[index])
            index += 1
        header = lines[index : index + 3]
        if len(header) < 3 or header[2] or not header[0].startswith(_AUTHOR):
            return 0
        if not header[1].startswith(_DATE) or not header[1][len(_DATE) :].strip():
            return 0
        date = header[1][len(_DATE) :]
        if date.startswith((_AUTHOR, "Merge: ", "|")):
            return 0
        name = header[0].partition(" <")[0]
        if self.authors.get(name, header[0]) != header[0]:
            return 0
        if header[0] != self.author:
            short.append(name if name in self.authors else header[0])
        short.append(date)
        index += 3
        message, index = self._message(index)
        if message is None:
            return 0
        if start and lines[start - 1]:
            return 0
        self.author = self.authors[name] = header[0]
        self.commits += 1
        self.shift = 0
        self.function = None
        self.out += [*short, *message]
        self.after = "message"
        return index - start

    def _message(self, index: int) -> tuple[list[str] | None, int]:
        """Message lines by one blank, and the index after the blank that ends them."""
        lines = self.lines
        blank = "" if self.is_bare else "    "
        out: list[str] = []
        while index < len(lines):
            line = lines[index]
            if line.startswith("    ") and line != "    ":
                out.append(line[3:])
            elif line == blank and self._goes_on(index):
                out.append("")
            else:
                break
            index += 1
        if index == len(lines):
            return (out or None), index
        if lines[index] or not out:
            return None, index
        following = lines[index + 1 : index + 2]
        is_commit = bool(following) and COMMIT.match(following[0]) is not None
        if not following or not following[0] or following[0].startswith("    "):
            return None, index
        return out, index if is_commit else index + 1

    def _goes_on(self, index: int) -> bool:
        """Whether the message continues after a blank line (bounded look ahead)."""
        for line in self.lines[index + 1 : index + 6]:
            if line.strip():
                return line.startswith("    ")
        return False

    def _stat(self) -> int:
        rows: list[Row] = []
        index = self.index
        while index < len(self.lines):
            match = STAT_LINE.match(self.lines[index])
            if match is None:
                break
            rows.append(Row(match[1], match[2], match[3] or ""))
            index += 1
        block = self.lines[self.index : index]
        width = block[0].rfind(" |", 0, block[0].find("|") + 1) - 1 if block else 0
        if not rows or print_rows(rows, width) != block:
            return 0
        summary = None
        if index < len(self.lines) and SUMMARY.match(self.lines[index]):
            summary = self.lines[index]
            index += 1
        short = shorten_stat(rows, summary, width)
        wanted = self.lines[self.index : index]
        last = short[-1] if summary is not None and SUMMARY.match(short[-1]) else None
        if expand(short[:-1] if last else short, last) != wanted:
            return 0
        self.out += short
        self.after = "stat"
        return index - self.index

    def _raw(self, line: str) -> int:
        first = line[:1]
        is_ambiguous = (
            (self.after == "hunk" and first in {"", " ", "+", "-", "\\"})
            or (self.after == "message" and first in {"", " "})
            or _AMBIGUOUS.match(line) is not None
            or SUMMARY.match(line) is not None
            or (line != "" and _is_stat(line))
        )
        self.out.append(f"|{line}" if is_ambiguous else line)
        self.after = ""
        if line.startswith(("--- ", "Index: ")):
            self.shift = 0
            self.function = None
        return 1


class _Expander:
    """The way back; ``failed`` says that a line is no part of a form."""

    def __init__(self, lines: list[str], roots: Roots, *, is_bare: bool) -> None:
        self.lines = lines
        self.roots = roots
        self.is_bare = is_bare
        self.out: list[str] = []
        self.index = 0
        self.shift = 0
        self.function: str | None = None
        self.author = ""
        self.authors: dict[str, str] = {}
        self.failed = False

    def run(self) -> list[str] | None:
        while self.index < len(self.lines) and not self.failed:
            line = self.lines[self.index]
            self.index += 1
            if line.startswith("|"):
                self._raw(line[1:])
            elif line.startswith("## "):
                self._file(line)
            elif (match := _SHORT_HUNK.match(line)) is not None:
                self._hunk(match)
            elif line.startswith("commit "):
                self._commit(line)
            elif line and _is_stat(line):
                self._stat()
            else:
                self._raw(line)
        return None if self.failed else self.out

    def _raw(self, line: str) -> None:
        self.out.append(line)
        if line.startswith(("--- ", "Index: ")):
            self.shift = 0
            self.function = None

    def _file(self, line: str) -> None:
        following = self.lines[self.index : self.index + 1]
        has_hunk = bool(following) and _SHORT_HUNK.match(following[0]) is not None
        header = unfold(line, self.roots, has_hunk=has_hunk)
        self.failed = header is None
        self.out += header or []
        self.shift = 0
        self.function = None

    def _hunk(self, match: re.Match[str]) -> None:
        body: list[str] = []
        old = new = 0
        while self.index < len(self.lines):
            line = self.lines[self.index]
            sign = line[:1]
            if sign in {"", " "}:
                old += 1
                new += 1
                if not line and not self.is_bare:
                    line = " "
            elif sign == "-":
                old += 1
            elif sign == "+":
                new += 1
            elif line == "\\":
                line = NO_NEWLINE
            else:
                break
            body.append(line)
            self.index += 1
        c = int(match[2])
        a = c + (new == 0) - self.shift - (old == 0)
        if match[1] is not None:
            a = int(match[1])
        self.shift = (c + (new == 0)) - (a + (old == 0)) + new - old
        function = self.function if match[3] == '"' else match[3]
        if match[3] is not None:
            self.function = function
        self.out.append(print_hunk((a, old), (c, new), function))
        self.out += body

    def _commit(self, line: str) -> None:
        if self.out:
            self.out.append("")
        self.out.append(line)
        for start in ("Merge: ", _AUTHOR):
            if self.index < len(self.lines) and self.lines[self.index].startswith(
                start
            ):
                found = self.lines[self.index]
                if start == _AUTHOR:
                    name = found.partition(" <")[0]
                    self.author = self.authors.setdefault(name, found)
                else:
                    self.out.append(found)
                self.index += 1
        if self.index >= len(self.lines):
            self.failed = True
            return
        self.out += [self.author, _DATE + self.lines[self.index], ""]
        self.index += 1
        self._message()
        self.shift = 0
        self.function = None

    def _message(self) -> None:
        while self.index < len(self.lines) and self.lines[self.index][:1] in {"", " "}:
            line = self.lines[self.index]
            blank = "" if self.is_bare else "    "
            self.out.append(f"   {line}" if line else blank)
            self.index += 1
        if self.index < len(self.lines) and not self.lines[self.index].startswith(
            "commit "
        ):
            self.out.append("")

    def _stat(self) -> None:
        start = self.index - 1
        while self.index < len(self.lines):
            line = self.lines[self.index]
            if not line or not _is_stat(line):
                break
            self.index += 1
        rows = self.lines[start : self.index]
        summary = None
        if self.index < len(self.lines) and SUMMARY.match(self.lines[self.index]):
            summary = self.lines[self.index]
            self.index += 1
        block = expand(rows, summary)
        self.failed = block is None
        self.out += block or []


def shorten(text: str) -> str:
    """The short form of a diff or log; lines it does not know stay as they are."""
    body = text.rstrip("\n")
    lines = body.split("\n")
    roots = find_roots(body[:200_000])
    is_bare = "\n \n" not in body and "\n    \n" not in body and "\n\n" in body
    shortener = _Shortener(lines, roots, is_bare=is_bare)
    left, right = roots.directories
    words = ""
    if roots.prefixes[0] == "":
        words = f" {left or '.'} {right or '.'}"
    elif left or right:
        words = f" a/{left} b/{right}"
    header = f"[diff{words}{' bare' if is_bare else ''}]"
    out = shortener.run()
    if not out[-1]:  # a blank context line; emptied it would pass for a line's end
        out[-1] = " "
    return "\n".join([header, *out]) + text[len(body) :]


def unshorten(form: str) -> str | None:
    """The text of a form; ``None`` if it is none."""
    header, _, rest = form.partition("\n")
    match = _HEADER.match(header)
    if match is None or not rest:
        return None
    roots = Roots()
    if match[1] is not None:
        left, right = match[1], match[2]
        if left.startswith("a/") and right.startswith("b/"):
            roots = Roots(directories=(left[2:], right[2:]))
        else:
            sides = tuple("" if side == "." else side for side in (left, right))
            roots = Roots(prefixes=("", ""), directories=(sides[0], sides[1]))
    body = rest.rstrip("\n")
    expander = _Expander(body.split("\n"), roots, is_bare=match[3] is not None)
    lines = expander.run()
    return None if lines is None else "\n".join(lines) + rest[len(body) :]
