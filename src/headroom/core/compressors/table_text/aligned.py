"""Tables whose columns are aligned with blanks: ps, df, kubectl, docker, dpkg -l, pip.

Columns are found by their gutters, positions that are blank in every line; where cells
run over their column, by words, the last column taking the rest of the line. Either way
the header must look like one and the columns below it must hold together, so that logs,
code and prose are not taken for tables. Padding is what is not kept; the last column is
kept exactly.
"""

import re
from functools import reduce
from itertools import pairwise
from operator import or_

from headroom.core.compressors.table_text.grid import Grid, from_rows

_INKED = re.compile(rb"\x01+")
_RULE = re.compile(r"(?=[-=+| ]*?(?:--|==))[-=+| ]*+\Z")
_NUMERIC = re.compile(r"[-+]?\d[\d.,:]*[%KMGTBkmgi]*\Z")
_HEAD_WORD = re.compile(
    r"(?:[%(/\[#]|\d{1,4}(?=[A-Z]))?[A-Za-z][\w%/().,:#<>\[\]=?+-]*\Z|%?\w{1,4}\Z|#\Z|\|\|/\Z"
)
_CODE_END = (";", "{", "}", "(", ",", "\\")
_OTHER_START = re.compile(
    r"[+-]{3} |@@ |diff --git|commit [0-9a-f]{7}|Traceback|\s+at |#!|import |"
    r"#\s*(?:define|include|if|pragma)|npm (?:http|verb|WARN|ERR|info|sill|timing)|"
    r"from \S+ import "
)
_NO_BARE_START = " +-@<>#/*|"
_NO_BARE_END = " .,;:{}(\\"
_WIDE_GAP = re.compile(r" {2,}")
_SCAN_CHARS = 400
_HEADER_SEARCH_LINES = 12
_TRIAL_LINES = 30
_MANY_NAMES = 4
_MIN_BARE_ROWS, _MAX_BARE_WORDS = 12, 12
_MAX_BARE_BEFORE = 2


# Blanks to 0, all else to 1, so that lines can be laid over each other as numbers.
_INK = bytes(0 if c == 32 else 1 for c in range(256))


class _Inks:
    """Where the lines of a text have ink: a number for each, made when asked for."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._inks: list[int] = []

    def spans(self, header: int, body_from: int, end: int) -> list[tuple[int, int]]:
        """Where columns stand: the gutters between them are blank in every line."""
        for line in self._lines[len(self._inks) : end]:
            head = line[:_SCAN_CHARS].encode("latin-1", "replace").translate(_INK)
            self._inks.append(int.from_bytes(head, "little"))
        ink = reduce(or_, self._inks[body_from:end], self._inks[header])
        laid = ink.to_bytes(_SCAN_CHARS, "little")
        return [m.span() for m in _INKED.finditer(laid)]


def _cut(line: str, bounds: list[int]) -> list[str]:
    cells = [line[a:b].strip() for a, b in pairwise(bounds)]
    cells.append(line[bounds[-1] :].strip())
    return cells


def _is_header(cells: list[str]) -> bool:
    named = [c for c in cells if c]
    if len(named) < 2 or len(named) - len(set(named)) > _may_repeat(named):
        return False
    words = [w for c in named for w in c.split()]
    return len(words) <= len(named) * 3 and _may_name(words)


def _may_repeat(named: list[str]) -> int:
    """How many names may come again: ``ps`` calls two columns ``COMMAND``."""
    return len(named) >= _MANY_NAMES and all(map(str.isupper, named))


def _may_name(words: list[str]) -> bool:
    """Whether names of columns may consist of these words."""
    match = _HEAD_WORD.match
    return all(match(word) and not word.endswith(_CODE_END) for word in words)


def _is_a_row(names: list[str], rows: list[list[str]]) -> bool:
    """Whether what may be a header says what most rows say: it is one of them."""
    sample = rows[:80]
    columns = zip(names, zip(*sample, strict=True), strict=True)
    return any(name and 2 * cells.count(name) > len(cells) for name, cells in columns)


def _solid(rows: list[list[str]], width: int) -> tuple[int, float]:
    """Columns that hold numbers throughout, and the share of filled cells."""
    sample = rows[:80]
    numeric = 0
    filled = 0
    for i in range(width):
        cells = [r[i] for r in sample if r[i]]
        filled += len(cells)
        hits = sum(1 for c in cells if _NUMERIC.match(c))
        numeric += bool(cells) and hits >= 0.9 * len(cells)
    return numeric, filled / (len(sample) * width)


def _by_gutters(
    lines: list[str], rows_from: int, inks: _Inks
) -> tuple[list[str], list[list[str]]] | None:
    """Header cells and rows for a table whose header is ``lines[rows_from - 1]``."""
    header = lines[rows_from - 1]
    body_from = rows_from
    if body_from < len(lines) and _RULE.match(lines[body_from]):
        body_from += 1
    if len(lines) - body_from < 2:
        return None
    has_rule = body_from > rows_from
    spans = inks.spans(rows_from - 1, body_from, len(lines))
    if len(spans) < 2:
        return None
    used = [header, *lines[body_from:]]
    bounds = _merge_gutters([a for a, _ in spans], spans, used)
    if len(bounds) < 2:
        return None
    bounds[0] = 0
    names = _cut(header, bounds)
    if not _is_header(names) or (not names[-1]):
        return None
    rows = [_cut(s, bounds) for s in used[1:]]
    numeric, filled = _solid(rows, len(names))
    if not has_rule and _is_a_row(names, rows):
        return None
    if not has_rule and not (
        len(names) >= 3 and filled >= 0.5 and (numeric or header.upper() == header)
    ):
        return None
    return names, rows


def _merge_gutters(
    starts: list[int], spans: list[tuple[int, int]], lines: list[str]
) -> list[int]:
    """Drop gutters that no name of the header stands behind (blanks inside a text)."""
    header = lines[0]
    bounds = [starts[0]]
    for (_, end), (start, stop) in pairwise(spans):
        name = header[start:stop].strip()
        is_named = bool(name)
        is_wide = start - end >= 2
        is_name_split = (
            not is_wide
            and name
            and header[start - 1 : start] == " "
            and (header[end - 1 : end].strip() != "")
        )
        # The last column has no end: its cells may be longer than its name.
        end_of_cell = None if stop == spans[-1][1] else stop
        if is_named and not (
            is_name_split and not _has_cells(lines, start, end_of_cell)
        ):
            bounds.append(start)
    return bounds


def _has_cells(lines: list[str], start: int, stop: int | None) -> bool:
    """Most lines have ink behind the gutter, so that a column stands there."""
    sample = lines[1:40]
    inked = sum(1 for s in sample if s[start:stop].strip())
    return inked * 2 >= len(sample)


def _by_words(
    lines: list[str], rows_from: int
) -> tuple[list[str], list[list[str]]] | None:
    """Split at blanks; the last column takes what is left of the line."""
    names = lines[rows_from - 1].split()
    body = lines[rows_from:]
    if len(names) < 4 or len(body) < 2:
        return None
    if names[-2:] == ["Mounted", "on"]:
        least = min(len(s.split(None, len(names))) for s in body)
        if least < len(names):
            names = [*names[:-2], " ".join(names[-2:])]
    least = len(names)
    if not _is_header(names) or any(len(s.split(None, least)) < least for s in body):
        return None
    rows = [s.rstrip().split(None, len(names) - 1) for s in body]
    if _is_a_row(names, rows):
        return None
    numeric, _ = _solid(rows, len(names))
    if numeric < 2 and not (numeric and lines[rows_from - 1].isupper()):
        return None
    return names, rows


def _parse_run(lines: list[str]) -> tuple[int, list[str], list[list[str]]] | None:
    """The header's index with names and rows, for lines without a blank one."""
    inks = _Inks(lines)
    for i in range(min(len(lines) - 2, _HEADER_SEARCH_LINES)):
        words = lines[i].split()
        if len(words) < 2 or not _may_name(words):
            continue
        # What does not hold for the first rows is not tried on all.
        if _by_words_first(lines[: i + _TRIAL_LINES], i + 1, inks) is None:
            continue
        found = _by_words_first(lines, i + 1, inks)
        if found is not None:
            return i, *found
    return None


def _parse_bare(lines: list[str]) -> tuple[int, list[str], list[list[str]]] | None:
    """Rows without a header: as many words in four of five, the last taking the rest.

    Such as ``apt list``. Words are one blank apart; two columns must repeat theirs, or
    it is a list of phrases. A line or two above may tell what is listed.
    """
    if len(lines) < _MIN_BARE_ROWS or "  " in lines[-1]:
        return None
    counts = [line.count(" ") + 1 for line in lines]
    width = max(set(counts), key=lambda n: (counts.count(n), n))
    at = next(i for i, n in enumerate(counts) if n == width)
    body = lines[at:]
    if not (
        3 <= width <= _MAX_BARE_WORDS
        and at <= _MAX_BARE_BEFORE
        and len(body) >= _MIN_BARE_ROWS
        and counts.count(width) * 5 >= len(body) * 4
        and min(counts[at:]) == width
        and not any("  " in s or s[0] in _NO_BARE_START for s in body)
        and not any(s[-1] in _NO_BARE_END for s in body)
    ):
        return None
    rows = [s.split(" ", width - 1) for s in body]
    repeating = sum(1 for c in zip(*rows, strict=True) if len(set(c)) * 4 <= len(rows))
    return (at, [], rows) if repeating >= 2 else None


def _by_words_first(
    lines: list[str], rows_from: int, inks: _Inks
) -> tuple[list[str], list[list[str]]] | None:
    """Gutters, unless words tell more columns (cells that run over their column)."""
    gutters = _by_gutters(lines, rows_from, inks)
    if gutters is not None:
        header = lines[rows_from - 1].strip()
        width = len(gutters[0])
        # A header with wide gaps between all names says itself where columns are.
        if len(_WIDE_GAP.split(header)) == width or len(header.split()) <= width:
            return gutters
    return _by_words(lines, rows_from) or gutters


def parse_aligned(lines: list[str]) -> Grid | None:
    """The longest table of aligned columns, if it is most of the text."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    best = (0, 0)
    begin = 0
    for i in range(end + 1):
        if i == end or not lines[i].strip():
            if i - begin > best[1] - best[0]:
                best = (begin, i)
            begin = i + 1
    first, last = best
    if last - first < 3 or ((last - first) * 10 < end * 7 and end - last + first > 12):
        return None
    if any(map(_OTHER_START.match, lines[first : first + 5])):
        return None
    run = [s.expandtabs() if "\t" in s else s for s in lines[first:last]]
    found = _parse_run(run) or _parse_bare(run)
    if found is None:
        return None
    at, names, rows = found
    # Rules under the header are drawn again by whoever wants them.
    return Grid(
        tuple(lines[: first + at]),
        tuple(names),
        from_rows(rows, len(rows[0])),
        tuple(lines[last:]),
        " ",
    )
