"""Delimited tables: CSV and relatives, TSV, markdown, boxes drawn by database shells.

A text is one of these only if it parses as one from the first row to the last; lines in
front of the header (comments) and a footer (``(5 rows)``) are kept beside the grid.
CSV as RFC 4180: quotes, doubled quotes, delimiters and line ends inside quotes.
"""

import csv
import io
import re

from headroom.core.compressors.table_text.grid import Grid, from_rows

_NUMBER = re.compile(r"[-+]?[$€£]?\d[\d.,]*%?\Z")
_WORD_NAME = re.compile(r"#?[^\W\d][\w .%/#()\[\]:-]{0,59}\Z|\Z")
_MD_RULE = re.compile(r" {0,3}\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*\Z")
_BOX_RULE = re.compile(
    r"[-+|=─━═┌┬┐├┼┤└┴┘╭╮╰╯┏┳┓┡╇┩╔╦╗╠╬╣╚╩╝╞╪╡╤╧╟╢╫╥╨┠┨┣┫╋┯┷┿╂┴┬ ]+\Z"
)
_BARS = "│|"
_BAR_SEARCH_LINES = 40
_MD_SPLIT = re.compile(r"(?<!\\)\|")


def _is_header(cells: list[str], body: list[list[str]]) -> bool:
    """Names are distinct words, and the columns below hold something else.

    That is cells that no name would look like, or words that come back in their column
    without the name being one of them.
    """
    named = [c for c in cells if c]
    if not named or len(set(named)) < len(named):
        return False
    if not all(_WORD_NAME.match(c.strip()) for c in cells):
        return False
    sample = body[:40]
    columns = [[r[i] for r in sample if i < len(r) and r[i]] for i in range(len(cells))]
    if any(
        not _WORD_NAME.match(cell) or len(cell) > len(name) + 20
        for name, column in zip(cells, columns, strict=True)
        for cell in column
    ):
        return True
    if any(n in set(c) for n, c in zip(cells, columns, strict=True)):
        return False
    return len(cells) > 2 and any(len(set(c)) * 2 <= len(c) for c in columns)


def _numeric_columns(rows: list[list[str]], width: int) -> int:
    sample = rows[:60]
    found = 0
    for i in range(width):
        cells = [r[i] for r in sample if i < len(r) and r[i]]
        found += len(cells) * 2 >= len(sample) and all(map(_NUMBER.match, cells))
    return found


def _leading_comments(text: str) -> tuple[list[str], str]:
    before = []
    rest = text
    while rest.startswith(("#", "\n")):
        line, _, tail = rest.partition("\n")
        # A last comment that has the delimiters is the header.
        if "\t" in line:
            break
        before.append(line)
        rest = tail
        if len(before) > 200:
            break
    return before, rest


def _read_csv(text: str, delimiter: str) -> list[list[str]] | None:
    if delimiter == "\t" and '"' not in text:
        return [line.split("\t") for line in text.split("\n")]
    try:
        rows = list(
            csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        )
    except csv.Error:
        if delimiter != "\t":
            return None
        return [line.split("\t") for line in text.split("\n")]
    return rows


def _is_spaced(rows: list[list[str]]) -> bool:
    """Delimiters are followed by blanks, as in prose and code."""
    cells = [c for r in rows[:60] for c in r[1:]]
    return sum(c.startswith(" ") for c in cells) * 2 > len(cells)


def parse_csv(text: str) -> Grid | None:
    """A table with ``,`` ``;`` tab or ``|`` between the cells, or ``None``."""
    before, rest = _leading_comments(text)
    head = rest[:4000].split("\n")
    if len(head) < 3:
        return None
    for delimiter in "\t,;|":
        if delimiter in head[0] and delimiter in head[1]:
            grid = _parse_with(rest, delimiter, before)
            if grid is not None:
                return grid
    return None


def _take_comments(text: str, delimiter: str) -> tuple[str, list[tuple[int, str]]]:
    """Text without the comment lines among its rows, and these with their places."""
    if "\n#" not in text or (delimiter != "\t" and '"' in text):
        return text, []
    lines: list[str] = []
    between: list[tuple[int, str]] = []
    for n, line in enumerate(text.split("\n")):
        if n and line.startswith("#"):
            between.append((len(lines), line))
        else:
            lines.append(line)
    return "\n".join(lines), between


def _ends_badly(rows: list[list[str]] | None) -> bool:
    """Whether a last line that was cut off may be all that is wrong."""
    if rows is None:
        return True
    return len(rows) > 1 and len(rows[-1]) != len(rows[0]) == len(rows[-2])


def _parse_with(text: str, delimiter: str, before: list[str]) -> Grid | None:
    tail_blank = len(text) - len(text.rstrip("\n"))
    text, between = _take_comments(text.rstrip("\n"), delimiter)
    rows, cut_off = _read_csv(text, delimiter), ""
    if delimiter != "\t" and not between and _ends_badly(rows):
        whole, _, cut_off = text.rpartition("\n")
        rows = _read_csv(whole, delimiter)
    if not rows or len(rows) < 4 or len(between) * 5 > len(rows):
        return None
    width = len(rows[0])
    widths = set(map(len, rows))
    if delimiter == "\t":
        width = max(widths)
        is_ragged = len(widths) > 1
        if min(widths) < 2 or width > min(widths) + 3 or len(rows[0]) != width:
            return None
        if is_ragged and width < 3:
            return None
    elif len(widths) > 1:
        return None
    if width < 2 or _is_spaced(rows):
        return None
    has_header = _is_header(rows[0], rows[1:])
    if not _is_plausible(rows, width, delimiter, has_header=has_header):
        return None
    skipped = int(has_header)
    after = [line for at, line in between if at == len(rows)]
    after += [cut_off] if cut_off else []
    inner = [(max(0, at - skipped), line) for at, line in between if at < len(rows)]
    return Grid(
        tuple(before),
        tuple(rows[0]) if has_header else (),
        from_rows(rows[skipped:], width),
        (*after, *[""] * tail_blank),
        delimiter,
        tuple(inner),
    )


def _is_plausible(
    rows: list[list[str]], width: int, delimiter: str, *, has_header: bool
) -> bool:
    """Without a good header or with two columns only, numbers must tell a table."""
    if not has_header:
        wide = width >= (2 if delimiter == "\t" else 3)
        return wide and _numeric_columns(rows, width) > 0
    return width > 2 or delimiter == "\t" or _numeric_columns(rows[1:], width) > 0


def _outer(lines: list[str], is_row: list[bool]) -> tuple[int, int] | None:
    """The span of lines from the first to the last that belongs to the table."""
    first = next((i for i, ok in enumerate(is_row) if ok), -1)
    if first < 0:
        return None
    last = len(lines) - next(i for i, ok in enumerate(reversed(is_row)) if ok)
    return (first, last) if all(is_row[first:last]) else None


def parse_markdown(lines: list[str]) -> Grid | None:
    """A pipe table that makes up most of the text."""
    rule = next((i for i, s in enumerate(lines[:200]) if "-|" in s or "- |" in s), -1)
    if rule < 1 or not _MD_RULE.match(lines[rule]) or "|" not in lines[rule - 1]:
        return None
    end = rule + 1
    while end < len(lines) and "|" in lines[end]:
        end += 1
    if end - rule < 3 or (end - rule) * 2 < len(lines):
        return None

    def cells(line: str) -> list[str]:
        inner = line.strip().removeprefix("|")
        parts = _MD_SPLIT.split(inner) if "\\" in inner else inner.split("|")
        if not parts[-1].strip() and len(parts) > 1:
            parts.pop()
        return [p.strip() for p in parts]

    names = cells(lines[rule - 1])
    rows = [cells(s) for s in lines[rule + 1 : end]]
    width = len(names)
    if width < 2 or any(len(r) > width for r in rows):
        return None
    return Grid(
        tuple(lines[: rule - 1]),
        tuple(names),
        from_rows(rows, width),
        tuple(lines[end:]),
        "|",
    )


def parse_box(lines: list[str]) -> Grid | None:
    """Tables of mysql, psql, sqlite and rich: rows between bars, rules of dashes."""
    bar = _bar_of(_with_thin_bars(lines[: _BAR_SEARCH_LINES + 2]))
    if bar is None:
        return None
    lines = _with_thin_bars(lines)
    rules = [not s.strip() or _is_rule(s) for s in lines]
    is_row = [
        bar in s or (rule and bool(s.strip()))
        for s, rule in zip(lines, rules, strict=True)
    ]
    span = _outer(lines, is_row)
    if span is None or (span[1] - span[0]) * 2 < len(lines):
        return None
    first, last = span
    framed = lines[first].lstrip()[:1] in "+┌╭┏╔"
    rows: list[list[str]] = []
    for s, rule in zip(lines[first:last], rules[first:last], strict=True):
        if rule:
            continue
        inner = s.strip().strip(bar) if framed else s
        rows.append([c.strip() for c in inner.split(bar)])
    if len(rows) < 3 or len(set(map(len, rows))) != 1 or len(rows[0]) < 1:
        return None
    return Grid(
        tuple(lines[:first]),
        tuple(rows[0]),
        from_rows(rows[1:], len(rows[0])),
        tuple(lines[last:]),
        "|",
    )


def _with_thin_bars(lines: list[str]) -> list[str]:
    return [s.replace("┃", "│").replace("║", "│") for s in lines]


def _is_rule(line: str) -> bool:
    return ("--" in line or "─" in line or "━" in line or "═" in line) and bool(
        _BOX_RULE.match(line)
    )


def _bar_of(lines: list[str]) -> str | None:
    """The character between cells, if there is a rule within the first lines."""
    near = next((i for i, s in enumerate(lines[:_BAR_SEARCH_LINES]) if _is_rule(s)), -1)
    if near < 0:
        return None
    probe = lines[near + 1 : near + 2] + lines[max(0, near - 1) : near]
    if any("|" in s for s in probe) and "+" not in lines[near]:
        return None
    for bar in _BARS:
        if any(bar in s and not _is_rule(s) for s in probe):
            return bar
    return None
