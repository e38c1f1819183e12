"""Neighbouring rows of one template written side by side.

A row of a template with one, two or three values takes the values of the rows after it:
``$a x 1`` and ``$a y 2`` become ``$a x 1 y 2``. The legend tells how many values a row
has.
"""

import re
from itertools import groupby

_ROW = re.compile(r"(\$[A-Za-z]+) ")
_HOLE = re.compile(r"~(t?)(\d*)")
_ROWS_PER_LINE = {1: 24, 2: 12, 3: 8}


def gather(form: str) -> str:
    """The form with neighbouring rows of a template side by side."""
    head, blank, body = form.partition("\n\n")
    sizes = _sizes(head)
    rows: list[str] = []
    for code, same in groupby(body.split("\n"), _code):
        most = _ROWS_PER_LINE.get(sizes.get(code, 0), 1)
        if most == 1:
            rows += same
            continue
        values = [row[len(code) + 1 :] for row in same]
        rows += (
            f"{code} {' '.join(values[at : at + most])}"
            for at in range(0, len(values), most)
        )
    return head + blank + "\n".join(rows)


def scatter(form: str) -> str:
    """The form with each row on its own line, as ``gather`` found it."""
    head, blank, body = form.partition("\n\n")
    sizes = _sizes(head)
    rows: list[str] = []
    for row in body.split("\n"):
        code = _code(row)
        size = sizes.get(code, 0)
        if size not in _ROWS_PER_LINE:
            rows.append(row)
            continue
        values = row[len(code) + 1 :].split(" ")
        rows += (
            f"{code} {' '.join(values[at : at + size])}"
            for at in range(0, len(values), size)
        )
    return head + blank + "\n".join(rows)


def _code(row: str) -> str:
    found = _ROW.match(row) if row.startswith("$") else None
    return found[1] if found else ""


def _sizes(head: str) -> dict[str, int]:
    """How many values the rows of each template have."""
    sizes: dict[str, int] = {}
    code = ""
    for entry in head.split("\n")[1:]:
        text = entry
        if entry.startswith("$"):
            code, _, text = entry.partition("=")
        holes = _HOLE.findall(text)
        plain = sum(1 for time, number in holes if not number and not time)
        numbered = max((int(number) for _, number in holes if number), default=0)
        sizes[code] = max(sizes.get(code, 0), plain, numbered)
    return sizes
