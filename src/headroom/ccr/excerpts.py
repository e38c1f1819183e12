"""Parts of an original, as asked for: lines, rows, places that match.

What always holds: what is quoted is quoted as it stands in the original; an answer
never exceeds its size, and one that could not say everything ends with what to ask for
next; what is wrong with an argument is said in words for whoever gave it.

A part is named ``A-B`` (from 1, both included), ``A``, ``A-`` or ``-B``; several are
separated by commas. ``A+N`` means line or row A from its character N on: so even one
endless line can be read piece by piece.
"""

import re
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct

from headroom.errors import RequestError

DEFAULT_MAX_BYTES = 48 * 1024
"""About 12,000 tokens: below what clients and models take as one tool result."""

CONTEXT_LINES = 2
_LONG_LINE = 2000
"""Longer lines are searched by row, or quoted around the match."""

_AROUND = 200
_MAX_PARTS = 64
_NAMED_PARTS = 6
_PART = re.compile(r"(\d{0,12})(?:\+(\d{1,12}))?\s*(?:(-|\.\.|:)\s*(\d{0,12}))?\Z")


class Units(Struct, frozen=True):
    """An original cut into lines or rows.

    Attributes:
        word: ``lines`` or ``rows``.
        items: the pieces, as they stand in the original.
        heading: what stands before every selection of them (a CSV's first line).
    """

    word: str
    items: Sequence[str]
    heading: str = ""


class _Part(Struct, frozen=True):
    """Units ``start`` to ``end`` (zero-based, end excluded), from a character on."""

    start: int
    end: int
    offset: int = 0


class ArgumentError(RequestError):
    """An argument is wrong; the message is what to answer."""

    code = "bad_arguments"


def answer(
    text: str,
    *,
    lines: object = None,
    query: object = None,
    rows: object = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> str:
    """``excerpt``, or what is wrong with what was asked for, in words."""
    try:
        return excerpt(text, lines=lines, query=query, rows=rows, max_bytes=max_bytes)
    except ArgumentError as error:
        return f"[{error}]"


def excerpt(
    text: str,
    *,
    lines: object = None,
    query: object = None,
    rows: object = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> str:
    """What to answer to who asks for an original or a part of it.

    Args:
        text: the original.
        lines: which lines, ``"A-B"``; also a number or a list of such.
        query: what to search for, within the lines or rows asked for, if any.
        rows: which rows of a JSON array, of JSON lines or of a CSV table.
        max_bytes: the answer's UTF-8 bytes are at most so many; at least 500.

    Raises:
        ArgumentError: lines or rows that are not there, or cannot be understood.
    """
    room = max(500, max_bytes) - 300
    if rows:
        units = rows_of(text)
        if units is None:
            count = len(lines_of(text).items)
            raise ArgumentError(
                "rows= needs a JSON array, JSON lines or CSV; this is text of"
                f" {count} lines: ask for lines=A-B or query=TEXT"
            )
        parts = _parts(rows, units)
    else:
        units = lines_of(text)
        parts = _parts(lines, units) if lines else [_Part(0, len(units.items))]
    if query:
        return _search(text, units, parts, str(query), room)
    if not rows and not lines and _size(text) <= room:
        return text
    return _quote(units, parts, room)


def lines_of(text: str) -> Units:
    """The lines of a text, without their line feeds."""
    items = text.split("\n")
    if len(items) > 1 and not items[-1]:
        items.pop()
    return Units("lines", items)


def rows_of(text: str) -> Units | None:
    """The rows of a table in JSON or CSV, each as in the source; else ``None``."""
    head = text.lstrip()[:1]
    if head in {"[", "{"}:
        return _json_rows(text)
    items = lines_of(text).items
    heading = items[0]
    for mark in ("\t", ",", ";", "|"):
        width = heading.count(mark)
        if width and len(items) > 1 and items[1].count(mark) >= width:
            return Units("rows", _csv_rows(items[1:]), heading)
    return None


def _json_rows(text: str) -> Units | None:
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        return None
    try:
        found = msgspec.json.decode(
            data, type=list[msgspec.Raw] | dict[str, msgspec.Raw]
        )
        if isinstance(found, dict):
            values = [bytes(value) for value in found.values()]
            arrays = [value for value in values if value.startswith(b"[")]
            longest = max(arrays, key=len, default=b"")
            if 2 * len(longest) < len(data):
                return None
            found = msgspec.json.decode(longest, type=list[msgspec.Raw])
    except msgspec.MsgspecError:
        items = [line for line in lines_of(text).items if line.strip()]
        is_jsonl = len(items) > 1 and all(x.lstrip()[:1] in {"{", "["} for x in items)
        return Units("rows", items) if is_jsonl else None
    return Units("rows", [bytes(row).decode("utf-8").strip() for row in found])


def _csv_rows(lines: Iterable[str]) -> list[str]:
    """Lines joined where a quoted field holds a line feed."""
    rows: list[str] = []
    opened: list[str] = []
    is_open = False
    for line in lines:
        opened.append(line)
        is_open ^= line.count('"') % 2 == 1
        if not is_open:
            rows.append("\n".join(opened))
            opened = []
    return rows + opened


def _parts(given: object, units: Units) -> list[_Part]:
    """The parts that an argument names, in its order, cut to what there is."""
    total = len(units.items)
    if isinstance(given, (list, tuple)):
        is_pair = len(given) == 2 and all(isinstance(x, int) for x in given)
        words = [f"{given[0]}-{given[1]}"] if is_pair else [str(x) for x in given]
    else:
        words = str(given).split(",")
    parts = []
    for word in words[:_MAX_PARTS]:
        match = _PART.fullmatch(word.strip().strip("\"'[]() "))
        first, offset, dash, last = match.groups() if match else ("", None, None, "")
        if not match or not (first or last):
            raise ArgumentError(
                f"{units.word}={str(given)[:60]!r} was not understood; expected A-B,"
                f" from 1 to {total}"
            )
        start = int(first or 1)
        end = int(last or total) if dash else start
        if not 1 <= start <= end or start > total:
            raise ArgumentError(
                f"{units.word}={word.strip()}: there are {units.word} 1-{total}"
            )
        parts.append(_Part(start - 1, min(end, total), int(offset or 0)))
    return parts


def _quote(units: Units, parts: Sequence[_Part], room: int) -> str:
    """The parts as they stand, as far as there is room; then what to ask for next."""
    out: list[str] = []
    room -= _size(units.heading)
    heading = units.heading[:room] if units.heading else ""
    for number, part in enumerate(parts):
        taken, rest = _take(units.items, part, room)
        shown = _name(_Part(part.start, part.start + len(taken), part.offset))
        out.append(f"[{units.word} {shown} of {len(units.items)}]")
        if heading:
            out.append(heading)
        out += taken
        room -= sum(_size(item) + 1 for item in taken) + 60
        if rest is not None or (room <= 0 and number + 1 < len(parts)):
            left = ([rest] if rest else []) + list(parts[number + 1 :])
            names = ",".join(_name(one) for one in left[:_NAMED_PARTS])
            more = f" and {len(left) - _NAMED_PARTS} more" * (len(left) > _NAMED_PARTS)
            out.append(f"[not shown{more}; ask {units.word}={names}]")
            break
    return "\n".join(out)


def _take(
    items: Sequence[str], part: _Part, room: int
) -> tuple[list[str], _Part | None]:
    """Items of a part that fit, at least a piece of one; and what is left of it."""
    taken: list[str] = []
    offset = part.offset
    for index in range(part.start, part.end):
        item = items[index][offset:]
        size = _size(item) + 1
        if size > room:
            if taken:
                return taken, _Part(index, part.end, offset)
            piece = _cut(item, max(room, 100))
            return [piece], _Part(index, part.end, offset + len(piece))
        taken.append(item)
        room -= size
        offset = 0
    return taken, None


def _cut(text: str, size_bytes: int) -> str:
    """The longest beginning of a text that has so many UTF-8 bytes, or fewer."""
    data = text[:size_bytes].encode("utf-8", "surrogatepass")[:size_bytes]
    while data and len(data) > 1:
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            data = data[:-1]
    return text[:1]


def _search(
    text: str, units: Units, parts: Sequence[_Part], query: str, room: int
) -> str:
    """Places that match, with their numbers and neighbours, as ``grep -n -C`` does."""
    is_long = any(len(item) > _LONG_LINE for item in units.items)
    if units.word == "lines" and is_long:
        whole = rows_of(text) if len(parts) == 1 and _is_all(parts[0], units) else None
        if whole is not None:
            units, parts = whole, [_Part(0, len(whole.items))]
    found, how = _matches(units, parts, query)
    if not found:
        return (
            f"[no match for {query[:80]!r} in {len(units.items)} {units.word};"
            f" ask for {units.word}=A-B, or search for something shorter]"
        )
    context = CONTEXT_LINES if units.word == "lines" and not is_long else 0
    out = [f"[{len(found)} of {len(units.items)} {units.word} match {how}]"]
    if units.heading:
        out.append(units.heading[:_LONG_LINE])
    matched = set(found)
    previous = -1
    for number, index in enumerate(found):
        start = max(previous + 1, index - context)
        stop = min(len(units.items), index + context + 1)
        block = ["--"] if context and previous >= 0 and start > previous + 1 else []
        block += [
            f"{at + 1}{':' if at in matched else '-'} {_around(units.items[at], query)}"
            for at in range(start, stop)
        ]
        room -= sum(_size(line) + 1 for line in block)
        if room < 0:
            rest = f"{index + 1}-{len(units.items)}"
            left = len(found) - number
            out.append(f"[{left} more matches; ask query=… with {units.word}={rest}]")
            break
        out += block
        previous = max(previous, stop - 1)
    return "\n".join(out)


def _matches(units: Units, parts: Sequence[_Part], query: str) -> tuple[list[int], str]:
    """Indexes of the items that match, and how: as written, or by all its words."""
    needle = query.casefold()
    words = needle.split()
    where = dict.fromkeys(i for part in parts for i in range(part.start, part.end))
    folded = [(index, units.items[index].casefold()) for index in sorted(where)]
    tests: list[tuple[str, Callable[[str], bool]]] = [
        (repr(query[:80]), lambda item: needle in item),
        (
            f"all words of {query[:80]!r}",
            lambda item: all(word in item for word in words),
        ),
        (
            f"some word of {query[:80]!r}",
            lambda item: any(word in item for word in words),
        ),
    ]
    for how, is_match in tests[: 3 if len(words) > 1 else 1]:
        found = [index for index, item in folded if is_match(item)]
        if found:
            return found, how
    return [], ""


def _around(item: str, query: str) -> str:
    """A long item around its first match; others whole."""
    if len(item) <= _LONG_LINE:
        return item
    at = max(0, item.casefold().find(query.casefold()))
    start, stop = max(0, at - _AROUND), at + len(query) + 2 * _AROUND
    before = f"[{start} characters] … " if start else ""
    after = f" … [{len(item) - stop} characters]" if stop < len(item) else ""
    return f"{before}{item[start:stop]}{after}"


def _is_all(part: _Part, units: Units) -> bool:
    return part == _Part(0, len(units.items))


def _name(part: _Part) -> str:
    first = f"{part.start + 1}+{part.offset}" if part.offset else f"{part.start + 1}"
    return first if part.end == part.start + 1 else f"{first}-{part.end}"


def _size(text: str) -> int:
    if text.isascii():
        return len(text)
    return len(text.encode("utf-8", "surrogatepass"))
