"""Rows of names and numbers without a header: ``sysctl -a``, /etc/services, meminfo.

A row is a name, a wide gap (or a colon) and what begins with a digit; more may stand
behind another wide gap. Or it is ``a.b.c = value``, as kernels print their settings.
Every line must be such a row, but for comments and blank lines, so that prose, code and
settings files are not taken for tables. Gaps are what is not kept.
"""

import re

from headroom.core.compressors.table_text.grid import Grid, from_rows

_MIN_ROWS = 24
_MIN_SETTINGS = 48
_MAX_BETWEEN = 0.2
_GAPPED = re.compile(
    r"(\S++(?: \S++)*)(?:\t+| {2,}| (?<=: )| (?=\d+/[a-z]))[ \t]*"
    r"([-+]?\d\S*+(?: \S++)*)(?:(?:\t+| {2,})[ \t]*(\S.*+))?"
)
_SETTING = re.compile(r"([\w-]++\.[\w./*:@-]++ =) ?(.*)")


def parse_unheaded(lines: list[str]) -> Grid | None:
    """The rows of such a list, ``None`` if any of its lines is something else."""
    for pattern, least in ((_GAPPED, _MIN_ROWS), (_SETTING, _MIN_SETTINGS)):
        rows: list[list[str]] = []
        between: list[tuple[int, str]] = []
        for line in lines:
            if not line.strip() or line.startswith("#"):
                between.append((len(rows), line))
                continue
            found = pattern.fullmatch(line.rstrip())
            if found is None:
                break
            rows.append([cell or "" for cell in found.groups()])
        else:
            return _grid(rows, between) if len(rows) >= least else None
    return None


def _grid(rows: list[list[str]], between: list[tuple[int, str]]) -> Grid | None:
    inner = [(at, line) for at, line in between if 0 < at < len(rows)]
    if len(inner) > _MAX_BETWEEN * len(rows):
        return None
    width = 2 if not any(row[2:3] != [""] for row in rows) else len(rows[0])
    return Grid(
        tuple(line for at, line in between if at == 0),
        (),
        from_rows([row[:width] for row in rows], width),
        tuple(line for at, line in between if at == len(rows)),
        " ",
        tuple(inner),
    )
