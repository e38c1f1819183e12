r"""The short form of search results: each directory and file once.

::

    [grep under src/app/]
    models/
    user.py
    12<tab>class User:
    30,44<tab>    raise ValueError
    group.py, role.py
    1<tab>import enum
    ./
    main.py:8 cli.py:3<tab>import sys

A heading that ends in a separator names a directory below the root; names without one
stand in the directory above them (``./name``: in the root itself); ``a, b`` are files
in a row with the same hits; ``a:8 b:3<tab>text`` files in a row whose one hit reads
the same. ``30,44`` is one text on two lines. A tab ends a match's numbers: a token
cheaper than a colon, and the indentation stays to be seen. Context has ``-`` after the
first number of a run, then one blank in place of the number. Lines without numbers
start with a blank. ``|`` precedes what was no hit, ``\`` a heading that would read as
something else.
"""

import re
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from headroom.core.compressors.search_results.parse import (
    RAW,
    UNNUMBERED,
    Found,
    Hit,
)

STYLES: Final = {
    "grep": "grep",
    "lines": "grep lines",
    "unnumbered": "grep without line numbers",
    "heading": "grep --heading",
    "json": "rg --json",
    "paths": "paths",
    "found": "Found, Line n",
    "file": "File, Ln",
}
_STYLE_OF = {word: style for style, word in STYLES.items()}
_HEADER = re.compile(r"\[([^\[\]]*?)( -C)?(?: under (.*))?\]\Z")
_BODY = re.compile(r"(\d+(?:,\d+)*)([\t\-=])(.*)", re.DOTALL)
_PLACE = re.compile(r"(\S+?):(\d+)([ \t])")
_AWKWARD = re.compile(r"[\d\s|\\\[]|.*(?:, |:\d+[ \t])", re.DOTALL)


class Block(NamedTuple):
    """The hits of one file in a row, or raw lines in a row (``name`` empty)."""

    directory: str
    name: str
    body: list[str]
    hits: list[Hit]


def encode(found: Found) -> str:
    """The short form; ``decode`` of it is ``found`` again."""
    root = _root(found.hits)
    header = STYLES[found.style] + (" -C" if found.gaps else "")
    out = [f"[{header} under {root}]" if root else f"[{header}]"]
    if found.style == "paths":
        _encode_paths(found.hits, root, out)
    else:
        _encode_hits(found.hits, root, out)
    return "\n".join(out)


def _root(hits: tuple[Hit, ...]) -> str:
    """The directory all paths share, with its separator at the end; may be empty."""
    paths = [h.path for h in hits if h.mark != RAW]
    low, high = min(paths, default=""), max(paths, default="")
    if low == high:
        return ""
    size = 0
    for size, (a, b) in enumerate(zip(low, high, strict=False)):  # noqa: B007
        if a != b:
            break
    else:
        size = min(len(low), len(high))
    root = low[: max(low.rfind("/", 0, size), low.rfind("\\", 0, size)) + 1]
    return "" if "]" in root or "[" in root else root


def split_path(path: str) -> tuple[str, str]:
    """Directory with its separator, and name."""
    cut = max(path.rfind("/"), path.rfind("\\")) + 1
    return path[:cut], path[cut:]


def _encode_hits(hits: tuple[Hit, ...], root: str, out: list[str]) -> None:
    current = ""
    for directory, row in groupby(_blocks(hits, root), key=lambda b: b.directory):
        blocks = list(row)
        if directory == RAW:
            out += [line for block in blocks for line in block.body]
        elif directory == current:
            _encode_row(blocks, out)
        elif len(blocks) == 1:
            out.append(_heading(blocks[0].name, directory or "./"))
            out += blocks[0].body
        else:
            out.append(_heading("", directory or "./"))
            current = directory
            _encode_row(blocks, out)


def _blocks(hits: tuple[Hit, ...], root: str) -> Iterator[Block]:
    for path, group in groupby(hits, key=lambda h: None if h.mark == RAW else h.path):
        run = list(group)
        if path is None:
            yield Block(RAW, "", [RAW + h.text for h in run], run)
        else:
            yield Block(*split_path(path[len(root) :]), body_lines(run), run)


def _heading(name: str, directory: str = "") -> str:
    heading = directory + name
    is_plain = not _AWKWARD.match(heading) and (name or not heading.startswith("\\"))
    return heading if is_plain else "\\" + heading


def _encode_row(blocks: list[Block], out: list[str]) -> None:
    """Files of one directory, equal neighbours on one heading or one line."""
    index = 0
    while index < len(blocks):
        block = blocks[index]
        end = index + 1
        if not block.name:
            out += block.body
        elif _AWKWARD.match(block.name) or " " in block.name:
            out += [_heading(block.name), *block.body]
        else:
            end = _run(blocks, index, lambda b: b.body)
            single = _run(blocks, index, _only_text) if _only_text(block) else end
            if single > end:
                end = single
                places = (f"{b.name}:{b.hits[0].line}" for b in blocks[index:end])
                out.append(f"{' '.join(places)}\t{block.hits[0].text}")
            else:
                out.append(", ".join(b.name for b in blocks[index:end]))
                out += block.body
        index = end


def _run(blocks: list[Block], start: int, key: Callable[[Block], object]) -> int:
    """End of the row of plainly named blocks that agree in ``key`` with the first."""
    wanted = key(blocks[start])
    end = start + 1
    while end < len(blocks):
        block = blocks[end]
        if key(block) != wanted or _AWKWARD.match(block.name) or " " in block.name:
            break
        end += 1
    return end


def _only_text(block: Block) -> tuple[str] | None:
    """The text of a block's one numbered match."""
    if len(block.hits) != 1:
        return None
    hit = block.hits[0]
    return (hit.text,) if hit.mark == ":" and hit.line != UNNUMBERED else None


def body_lines(run: list[Hit]) -> list[str]:
    """One file's hits in a row: equal matches once, numbers of context once a run."""
    if len(run) == 1 and run[0].mark == ":" and run[0].line != UNNUMBERED:
        return [f"{run[0].line}\t{run[0].text}"]
    if run[0].line == UNNUMBERED:
        return [" " + h.text if h.text else "" for h in run]
    if all(h.mark == ":" for h in run) and _is_rising(run):
        numbers: dict[str, list[str]] = {}
        for hit in run:
            numbers.setdefault(hit.text, []).append(str(hit.line))
        return [f"{','.join(places)}\t{text}" for text, places in numbers.items()]
    out: list[str] = []
    expected = -1
    for hit in run:
        if hit.mark == "-" and hit.line == expected:
            out.append(" " + hit.text if hit.text else "")
        else:
            mark = "\t" if hit.mark == ":" else hit.mark
            out.append(f"{hit.line}{mark}{hit.text}")
        expected = hit.line + 1
    return out


def _is_rising(run: list[Hit]) -> bool:
    return all(a.line < b.line for a, b in pairwise(run))


def _encode_paths(hits: tuple[Hit, ...], root: str, out: list[str]) -> None:
    """One line per directory in a row, names side by side."""
    for directory, group in groupby(
        hits, key=lambda h: RAW if h.mark == RAW else split_path(h.path[len(root) :])[0]
    ):
        run = list(group)
        if directory == RAW:
            out += [RAW + h.text for h in run]
            continue
        names = [h.path[len(root) + len(directory) :] for h in run]
        place = directory or "./"
        out.append(place + names[0] if len(run) == 1 else f"{place} {' '.join(names)}")


def decode(form: str) -> Found | None:
    """The hits that ``encode`` wrote; ``None`` if this is none of its forms."""
    header, _, rest = form.partition("\n")
    match = _HEADER.match(header)
    if match is None or match[1] not in _STYLE_OF or not rest:
        return None
    style, root = _STYLE_OF[match[1]], match[3] or ""
    reader = _Reader(root, has_headings=style != "lines")
    for line in rest.split("\n"):
        is_read = reader.read_paths(line) if style == "paths" else reader.read(line)
        if not is_read:
            return None
    reader.finish()
    return Found(style, gaps=match[2] is not None, hits=tuple(reader.hits))


class _Reader:
    """Collects hits line by line; a file's body waits until the next heading."""

    def __init__(self, root: str, *, has_headings: bool) -> None:
        self.root = root
        self.hits: list[Hit] = []
        self._directory = root
        self._files: list[str] = [] if has_headings else [""]
        self._body: list[tuple[list[int], str, str]] = []
        self._has_headings = has_headings

    def read_paths(self, line: str) -> bool:
        if line.startswith(RAW):
            self.hits.append(Hit("", RAW, 0, line[1:]))
            return True
        place, _, names = line.partition(" ")
        base = self.root + place.removeprefix("./")
        for name in names.split(" ") if names else [""]:
            self.hits.append(Hit(base + name, ":", UNNUMBERED, ""))
        return True

    def read(self, line: str) -> bool:
        match = _BODY.match(line)
        if match is not None:
            numbers = [int(n) for n in match[1].split(",")]
            mark = ":" if match[2] == "\t" else match[2]
            self._body.append((numbers, mark, match[3]))
            return bool(self._files)
        if not line or line[0] == " ":
            self._body.append(([], "-", line[1:]))
            return bool(self._files)
        if line[0] == RAW:
            self.finish()
            if self._has_headings:
                self._files = []
            self.hits.append(Hit("", RAW, 0, line[1:]))
            return True
        return self._has_headings and self._read_heading(line)

    def _read_heading(self, line: str) -> bool:
        if self._files and not self._body:
            return False
        self.finish()
        self._files = []
        names = [line[1:]] if line[0] == "\\" else line.split(", ")
        if line[-1] in "/\\":
            self._directory = self._place(names[0])
            return True
        places = list(_places(line))
        if len(places) > 1:
            text = line[places[-1][2] :]
            for name, number, _ in places:
                self.hits.append(Hit(self._directory + name, ":", number, text))
            return True
        self._files = [self._place(name) for name in names]
        return True

    def _place(self, heading: str) -> str:
        """The path a heading names: below the root, or in the directory above."""
        if "/" in heading or "\\" in heading:
            return self.root + heading.removeprefix("./")
        return self._directory + heading

    def finish(self) -> None:
        """Write out the hits of the files whose bodies have been read."""
        if not self._body:
            return
        expected = UNNUMBERED
        hits: list[tuple[int, str, str]] = []
        for numbers, mark, text in self._body:
            if not numbers and expected == UNNUMBERED:
                hits.append((UNNUMBERED, ":", text))
                continue
            hits += [(n, mark, text) for n in numbers or [expected]]
            expected = hits[-1][0] + 1
        if any(len(numbers) > 1 for numbers, _, _ in self._body):
            hits.sort(key=lambda h: h[0])
        for path in self._files:
            self.hits += [Hit(path, mark, line, text) for line, mark, text in hits]
        self._body = []


def _places(line: str) -> Iterator[tuple[str, int, int]]:
    """``name:number`` pairs at a line's start, each with where its text begins."""
    position = 0
    while (match := _PLACE.match(line, position)) is not None:
        yield match[1], int(match[2]), match.end()
        if match[3] == "\t":
            return
        position = match.end()
