"""The lines before a file's hunks as one ``## path`` line, and back.

::

    diff --git a/src/x.py b/src/x.py              ## src/x.py 35176c7..16774ef
    index 35176c7..16774ef 100644           →
    --- a/src/x.py
    +++ b/src/x.py

After the path, in this order and only where they apply: ``new``, ``deleted``,
``renamed from PATH 95%``, ``copied from PATH 95%``, ``mode 100644..100755``, the blob
ids, the mode if it is not 100644, ``binary`` for ``Binary files … and … differ``.
``---`` and ``+++`` are implied by a hunk below.
Everything is kept; a header this cannot print again stays as it is.

Source: git-diff(1), "Generating patch text with -p".
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

PLAIN_MODE: Final = "100644"
_BINARY: Final = "Binary files "

_GIT = re.compile(r"diff --git (\S+) (\S+)\Z")
_MODES = re.compile(r"(old|new|new file|deleted file) mode (\d{6})\Z")
_SIMILAR = re.compile(r"similarity index (\d{1,3}%)\Z")
_MOVED = re.compile(r"(rename|copy) (from|to) (\S+)\Z")
_INDEX = re.compile(r"index ([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: (\d{6}))?\Z")
_HEADING = re.compile(
    r"## (?P<path>\S+)"
    r"(?P<file> new| deleted)?"
    r"(?: (?P<moved>renamed|copied) from (?P<source>\S+)(?: (?P<similar>\d{1,3}%))?)?"
    r"(?: mode (?P<modes>\d{6}\.\.\d{6}))?"
    r"(?: (?P<ids>[0-9a-f]{4,64}(?:\.\.[0-9a-f]{4,64})?))?"
    r"(?: (?P<mode>\d{6}))?"
    r"(?P<binary> binary)?\Z"
)


class Roots(NamedTuple):
    """What precedes every path: git's prefixes, then the compared directories."""

    prefixes: tuple[str, str] = ("a/", "b/")
    directories: tuple[str, str] = ("", "")

    def paths(self, old: str, new: str, kind: str) -> tuple[str, str]:
        """Both sides' paths as git prints them on its ``diff --git`` line."""
        left, right = self.directories
        if kind == " new":
            left = right
        elif kind == " deleted":
            right = left
        return self.prefixes[0] + left + old, self.prefixes[1] + right + new


_SIDES = re.compile(
    r"\n(rename to .*\n(?:index .*\n)?)?--- (\S+)\n\+\+\+ (\S+)$", re.MULTILINE
)


def find_roots(text_start: str) -> Roots:
    """The roots of most files that stand on both sides; of the first, if in doubt.

    A file that was moved says nothing of the others.
    """
    found: Counter[Roots] = Counter()
    for moved, old, new in _SIDES.findall(f"\n{text_start}"):
        if moved or "/dev/null" in {old, new}:
            continue
        if old.startswith("a/") and new.startswith("b/"):
            found[Roots(directories=_directories(old[2:], new[2:]))] += 1
        else:
            roots = Roots(prefixes=("", ""), directories=_directories(old, new))
            found[roots] += 1
    return found.most_common(1)[0][0] if found else Roots()


def _directories(old: str, new: str) -> tuple[str, str]:
    """What is left of two paths when the directories and name they share are cut."""
    left, right = old.split("/"), new.split("/")
    shared = 0
    for a, b in zip(reversed(left), reversed(right), strict=False):
        if a != b:
            break
        shared += 1
    if shared == 0 or shared in {len(left), len(right)}:
        return "", ""
    return (
        "".join(f"{part}/" for part in left[:-shared]),
        "".join(f"{part}/" for part in right[:-shared]),
    )


class _Header(NamedTuple):
    """The parts of a heading; paths without roots, modes and ids as they stand."""

    path: str
    kind: str = ""
    moved: str = ""
    source: str = ""
    similar: str = ""
    modes: str = ""
    ids: str = ""
    mode: str = ""
    binary: str = ""


def header_end(lines: Sequence[str], start: int) -> int:
    """Index after the header (at most 12 lines) that a ``diff --git`` line starts."""
    end = start + 1
    while end < len(lines) and end < start + 12:
        line = lines[end]
        if line.startswith(("+++ ", _BINARY)):
            return end + 1
        is_extended = (
            line.startswith("--- ")
            or _INDEX.match(line)
            or _MODES.match(line)
            or _SIMILAR.match(line)
            or _MOVED.match(line)
        )
        if not is_extended:
            break
        end += 1
    return end


def fold(header: Sequence[str], roots: Roots, *, has_hunk: bool) -> str | None:
    """The heading of a file header; ``None`` if it would not print the same again."""
    names = _GIT.match(header[0])
    if names is None:
        return None
    found = _read_header(header, names[2], roots)
    if found is None:
        return None
    heading = _print_heading(found)
    same = unfold(heading, roots, has_hunk=has_hunk) == list(header)
    return heading if same else None


def _read_header(header: Sequence[str], right: str, roots: Roots) -> _Header | None:
    modes: dict[str, str] = {}
    similar = source = moved = ids = mode = binary = ""
    for line in header[1:]:
        if match := _MODES.match(line):
            modes[match[1]] = match[2]
        elif match := _SIMILAR.match(line):
            similar = match[1]
        elif match := _MOVED.match(line):
            moved = "renamed" if match[1] == "rename" else "copied"
            source = match[3] if match[2] == "from" else source
        elif match := _INDEX.match(line):
            ids, mode = f"{match[1]}..{match[2]}", match[3] or ""
        elif line.startswith(_BINARY):
            binary = " binary"
    kind = " new" if "new file" in modes else ""
    kind = " deleted" if "deleted file" in modes else kind
    prefix = roots.paths("", "", kind)[1]
    if not right.startswith(prefix):
        return None
    if kind:
        mode = modes["new file"] if kind == " new" else modes["deleted file"]
        ids = _one_id(ids, kind)
    if mode == PLAIN_MODE:
        mode = ""
    left = roots.directories[0]
    return _Header(
        right[len(prefix) :],
        kind,
        moved,
        source.removeprefix(left),
        similar,
        f"{modes['old']}..{modes.get('new')}" if "old" in modes else "",
        ids,
        mode,
        binary,
    )


def _one_id(ids: str, kind: str) -> str:
    """Of ``0000000..abc1234`` the id that is no row of zeros."""
    old, _, new = ids.partition("..")
    return new if kind == " new" else old


def _print_heading(header: _Header) -> str:
    words = [f"## {header.path}{header.kind}"]
    if header.moved:
        words.append(f"{header.moved} from {header.source}")
        if header.similar:
            words.append(header.similar)
    if header.modes:
        words.append(f"mode {header.modes}")
    words += [word for word in (header.ids, header.mode) if word]
    return " ".join(words) + header.binary


def unfold(heading: str, roots: Roots, *, has_hunk: bool) -> list[str] | None:
    """The header lines of a heading; ``None`` if the line is none."""
    match = _HEADING.match(heading)
    if match is None:
        return None
    h = _Header(*(group or "" for group in match.groups()))
    old, new = roots.paths(h.source or h.path, h.path, h.kind)
    out = [f"diff --git {old} {new}"]
    if h.modes:
        before, _, after = h.modes.partition("..")
        out += [f"old mode {before}", f"new mode {after}"]
    if h.kind:
        out.append(f"{h.kind[1:]} file mode {h.mode or PLAIN_MODE}")
    if h.similar:
        out.append(f"similarity index {h.similar}")
    if h.moved:
        word = "rename" if h.moved == "renamed" else "copy"
        prefixes = roots.prefixes
        out.append(f"{word} from {old.removeprefix(prefixes[0])}")
        out.append(f"{word} to {new.removeprefix(prefixes[1])}")
    if h.ids:
        out.append(_index_line(h))
    old = "/dev/null" if h.kind == " new" else old
    new = "/dev/null" if h.kind == " deleted" else new
    if has_hunk:
        out += [f"--- {old}", f"+++ {new}"]
    if h.binary:
        out.append(f"{_BINARY}{old} and {new} differ")
    return out


def _index_line(header: _Header) -> str:
    ids = header.ids
    if header.kind:
        zeros = "0" * len(ids)
        ids = f"{zeros}..{ids}" if header.kind == " new" else f"{ids}..{zeros}"
        return f"index {ids}"
    if header.modes:
        return f"index {ids}"
    return f"index {ids} {header.mode or PLAIN_MODE}"
