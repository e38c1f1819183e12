"""Neighbouring rows of one template written side by side.

A row of a template with one, two or three values takes the values of the rows after it:
``$a x 1`` and ``$a y 2`` become ``$a x 1 y 2``. The legend tells how many values a row
has.
"""

import re

_CODE = re.compile(r"\$[A-Za-z]+")
_HOLE = re.compile(r"~(t?)(\d*)")
_ROWS_PER_LINE = {1: 24, 2: 12, 3: 8}


def gather(form: str) -> str:
    """The form with neighbouring rows of a template side by side."""
    head, blank, body = form.partition("\n\n")
    sizes = _sizes(head)
    if not sizes:
        return form
    rows: list[str] = []
    held: list[str] = []
    last = ""
    for row in body.split("\n"):
        code, values = _split(row)
        size = sizes.get(code, 0)
        if held and (code != last or len(held) == _ROWS_PER_LINE[sizes[last]]):
            rows.append(f"{last} {' '.join(held)}")
            held = []
        if size:
            held.append(values)
            last = code
        else:
            rows.append(row)
    if held:
        rows.append(f"{last} {' '.join(held)}")
    return head + blank + "\n".join(rows)


def scatter(form: str) -> str:
    """The form with each row on its own line, as ``gather`` found it."""
    head, blank, body = form.partition("\n\n")
    sizes = _sizes(head)
    if not sizes:
        return form
    rows: list[str] = []
    for row in body.split("\n"):
        code, rest = _split(row)
        size = sizes.get(code, 0)
        if size == 0:
            rows.append(row)
            continue
        values = rest.split(" ")
        rows += (
            f"{code} {' '.join(values[at : at + size])}"
            for at in range(0, len(values), size)
        )
    return head + blank + "\n".join(rows)


def _split(row: str) -> tuple[str, str]:
    """The code and the values of a row; empty, if it has none of them."""
    if not row.startswith("$"):
        return "", ""
    code, blank, values = row.partition(" ")
    return (code, values) if blank else ("", "")


def _sizes(head: str) -> dict[str, int]:
    """How many values the rows have of each template whose rows may be gathered."""
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
    return {
        code: size
        for code, size in sizes.items()
        if size in _ROWS_PER_LINE and _CODE.fullmatch(code)
    }
