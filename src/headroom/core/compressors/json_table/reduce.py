"""Document → a document with less in it, and an account of what is gone.

The *skeleton* of a table: every row keeps its identity and its cheap cells, dear cells
(hashes, times, long ids, nested lists) stay only in notable rows and read ``…`` in the
others. Notable are the first and last rows, rare categories, rare key sets, extreme
numbers, rows that read like trouble, and rows that match the question or the call.
Only tables of very many rows lose rows. Long arrays and maps of scalars keep both ends;
prose and encoded bytes are cut behind their beginning, messages of errors never.

The reduced document is written by ``encode`` in the same notation; nothing is invented
or rounded. Tables below ``MIN_ROWS`` rows are left as they are.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headroom.core.compressors.json_table.columns import is_map
from headroom.core.compressors.json_table.events import PLACES, Events
from headroom.core.compressors.json_table.parse import Document, Value, write
from headroom.core.content.severity import TROUBLE

MIN_ROWS = 8
LEFT_OUT: Final = "…"

_MAX_ROWS = 300
_KEPT_ROWS = 200
_DEAR_TOKENS = 6
_MAX_DEAR_IDS = 2
_MAX_LIST_TOKENS = 16
_MIN_LONG_HASH = 80
_MIN_SCALARS = 40
_KEPT_SCALARS = 10
_MAX_WANTED = 20_000
_MAX_WORDS = 40
_MAX_NAMED = 8
_MIN_COLUMN_SHARE = 0.2
_MAX_RARE_COLUMNS = 12
_MAX_AMOUNTS = 8
_MAX_CATEGORIES = 24
_SELDOM = 40
_MAX_PROSE = 400
_KEPT_PROSE = 200
_MAX_DOCUMENTATION = 160
_KEPT_DOCUMENTATION = 80
_MAX_ENCODED = 120
_KEPT_ENCODED = 32

_NAMES = (
    "id|name|key|path|file|title|number|status|state|error|message|code|type|reason"
    "|version|text|level|severity|url|uri|sku|price|amount|total|ip|address|host"
    "|hostname|email|login|user|summary|body|content|value|subject|err|exception"
    "|cause|stack|stderr|data|arn"
)
_NAMING = re.compile(
    rf"(?:^|[_\-.@])(?i:{_NAMES})$|[a-z](?:ID|IP)$"
    rf"|[a-z](?:{'|'.join(word.title() for word in _NAMES.split('|'))})$",
    re.ASCII,
)
_IDENTITY = re.compile(r"(?:^|[_\-.])id$|[a-z](?:Id|ID)$|^ID$|(?:^|_)uid$", re.ASCII)
_MESSAGE = re.compile(
    r"message|error|reason|stack|trace|stderr|detail|failure", re.IGNORECASE
)
_DOCUMENTATION = re.compile(
    r"doc|description|help|readme|license|notes?$", re.IGNORECASE
)
_ENCODED = re.compile(r"(?:data:[\w/+.;-]+,)?[A-Za-z0-9+/_=-]+\Z")
_TIME = re.compile(r"\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d")
_WORD = re.compile(r"[\w@./:-]{4,}")

Path = tuple[Any, ...]


@dataclass(slots=True)
class Reduction:
    """What is wanted, and what was left out so far."""

    words: frozenset[str]
    share: float = 1.0
    is_lines: bool = False
    account: list[str] = field(default_factory=list)
    shortened: dict[str, list[int]] = field(default_factory=dict)
    cut_strings: int = 0
    cut_chars: int = 0

    def notes(self) -> list[str]:
        """The account, a line for each table or list."""
        notes = list(self.account)
        for path, (times, gone, total, first, last) in self.shortened.items():
            place = f"numbers {first}-{last}" if times == 1 else f"in {times} lists"
            notes.append(f"{path or 'root'}: {gone} of {total} items, {place}")
        if self.cut_strings:
            notes.append(
                f"{self.cut_strings} long strings cut ({self.cut_chars} characters)"
            )
        return notes


def reduce(
    document: Document, wanted: str, share: float = 1.0
) -> tuple[Document, list[str]]:
    """A smaller document, and what is missing from it; nothing missing: no notes.

    Args:
        document: as read.
        wanted: the question and the call's arguments; what matches is kept.
        share: the part of the whole that the document is; see ``Context``.
    """
    words = {word.strip(".:/-") for word in _WORD.findall(wanted[:_MAX_WANTED])}
    longest = sorted(words - {""}, key=lambda word: (-len(word), word))
    work = Reduction(frozenset(longest[:_MAX_WORDS]), share)
    work.is_lines = document.is_lines
    value = _reduce(document.value, "", "", work)
    return Document(value, document.is_lines), work.notes()


def _reduce(value: Value, key: str, path: str, work: Reduction) -> Value:
    if isinstance(value, str):
        return _cut(value, key, work)
    if isinstance(value, dict):
        if len(value) >= MIN_ROWS and is_map([value]):
            rows = list(value.values())
            kept = _table(rows, path, work, list(value))
            names = list(value)
            return {names[i]: row for i, row in kept}
        if len(value) > _MIN_SCALARS and _all_scalars(list(value.values())):
            return _ends_of_map(value, path, work)
        return _reduce_members(value, path, work)
    if isinstance(value, list):
        dicts = sum(type(one) is dict for one in value)
        if len(value) >= MIN_ROWS and dicts == len(value):
            return [row for _, row in _table(value, path, work, None)]
        if len(value) > _MIN_SCALARS and _all_scalars(value):
            return _ends_of_list(value, path, work)
        return [_reduce(one, key, path, work) for one in value]
    return value


def _all_scalars(values: list[Any]) -> bool:
    return not any(type(one) in {dict, list} for one in values)


def _matches(text: str, work: Reduction) -> bool:
    return any(word in text for word in work.words)


def _cut(text: str, key: str, work: Reduction) -> str:
    if len(text) <= _MAX_ENCODED or _MESSAGE.search(key):
        return text
    if _ENCODED.match(text) and not _matches(text, work):
        kept, what = _KEPT_ENCODED, f"characters of {len(text)}"
    elif " " not in text[:_MAX_DOCUMENTATION]:
        return text
    elif _DOCUMENTATION.search(key) and len(text) > _MAX_DOCUMENTATION:
        kept, what = _KEPT_DOCUMENTATION, "characters"
    elif len(text) > _MAX_PROSE:
        kept, what = _KEPT_PROSE, "characters"
    else:
        return text
    cut = text.rfind(" ", kept // 2, kept) if " " in text[kept // 2 : kept] else kept
    work.cut_strings += 1
    work.cut_chars += len(text) - cut
    return f"{text[:cut]}{LEFT_OUT}+{len(text) - cut} {what}"


def _ends_of_map(value: dict[str, Any], path: str, work: Reduction) -> Value:
    names = list(value)
    kept = set(names[:_KEPT_SCALARS] + names[-_KEPT_SCALARS:])
    kept |= {
        name
        for name, one in value.items()
        if _matches(name, work) or (isinstance(one, str) and _is_trouble(one))
    }
    gone = len(names) - len(kept)
    if gone < _KEPT_SCALARS:
        return dict(value)  # cells may be taken out of it
    work.account.append(f"{path or 'root'}: {gone} of {len(names)} members")
    reduced: dict[str, Value] = {}
    for name in names:
        if name in kept:
            reduced[name] = value[name]
        elif LEFT_OUT not in reduced:
            reduced[LEFT_OUT] = f"{gone} members"
    return reduced


def _ends_of_list(value: list[Any], path: str, work: Reduction) -> Value:
    first, last = _KEPT_SCALARS, len(value) - _KEPT_SCALARS
    kept = [
        one
        for one in value[first:last]
        if isinstance(one, str) and (_matches(one, work) or _is_trouble(one))
    ]
    gone = last - first - len(kept)
    if gone < _KEPT_SCALARS:
        return value
    place = f"items {first + 1}-{last}"
    known = work.shortened.setdefault(path, [0, 0, 0, first + 1, last])
    known[:3] = known[0] + 1, known[1] + gone, known[2] + len(value)
    numbers = [float(one) for one in value if isinstance(one, bytes)]
    said = f"{LEFT_OUT} {gone} of {place}"
    if len(numbers) == len(value):
        lowest = value[numbers.index(min(numbers))].decode()
        highest = value[numbers.index(max(numbers))].decode()
        said += f", {lowest} to {highest}"
    return [*value[:first], said, *kept, *value[last:]]


def _table(
    rows: list[Any], path: str, work: Reduction, keys: list[str] | None
) -> list[tuple[int, Value]]:
    """The rows that stay, each with its place."""
    columns = _columns(rows)
    may_be_log = work.is_lines if not path else path in PLACES
    if may_be_log and keys is None and (events := Events(rows)).is_log:
        return _events(rows, path, columns, events, work)
    dear = _dear(columns, len(rows), is_keyed=keys is not None)
    # Where all rows stay as they are, none need stand out.
    is_less = bool(dear) or len(rows) > _MAX_ROWS * work.share
    ranked = _notable(rows, columns, work, keys) if is_less else []
    kept = _kept_rows(len(rows), ranked, work.share)
    notable = set(ranked)
    label = path or "root"
    hashes = [names for names in dear if _are_long_hashes(names, columns[names])]
    # Rows whose hashes may be asked for: at both ends, and those that match.
    named = _named(rows, work, keys) if hashes else set()
    reduced: list[tuple[int, Value]] = []
    thinned = 0
    for i in kept:
        row = _reduce_members(rows[i], path, work)
        # A long hash says nothing of why its row stands out.
        gone = hashes if i in notable - named else [] if i in notable else dear
        thinned += _thin(row, gone)
        reduced.append((i, row))
    if thinned:
        said = [_said(names, columns[names]) for names in dear]
        if len(said) > _MAX_NAMED:
            said[_MAX_NAMED:] = [f"{len(said) - _MAX_NAMED} more members"]
        names = ", ".join(said)
        work.account.append(f"{label}: {thinned} of {len(rows)} rows without {names}")
    if len(kept) < len(rows):
        work.account.append(
            f"{label}: {len(rows) - len(kept)} of {len(rows)} rows, "
            f"numbers {_gaps(kept, len(rows))}"
        )
    return reduced


def _events(
    rows: list[Any],
    path: str,
    columns: dict[Path, dict[int, Any]],
    events: Events,
    work: Reduction,
) -> list[tuple[int, Value]]:
    """The events of a log that tell something, each with its place."""
    size = len(rows)
    texts = _texts(rows, work)
    kept = events.telling() | _extremes(columns) | _asked(texts, work)
    trouble = _troubled(texts)
    if len(trouble) * _SELDOM <= size:
        kept |= trouble
    for cells in columns.values():
        values = list(cells.values())
        if any(isinstance(one, (list, dict)) for one in values):
            continue
        counts = Counter(values)
        if len(counts) <= _MAX_CATEGORIES:
            kept |= {i for i, one in cells.items() if counts[one] == 1}
    if 2 * len(kept) > size:
        kept = set(range(size))
    else:
        work.account.append(
            f"{size - len(kept)} of {size} events, {events.account()}; "
            f"numbers {_gaps(sorted(kept), size)}"
        )
    return [(i, _reduce_members(rows[i], path, work)) for i in sorted(kept)]


def _extremes(columns: dict[Path, dict[int, Any]]) -> set[int]:
    """Rows with the least or the greatest of the first amounts."""
    found: set[int] = set()
    numeric = 0
    for names, cells in columns.items():
        values = list(cells.values())
        if numeric == _MAX_AMOUNTS or not all(isinstance(v, bytes) for v in values):
            continue
        if not _is_label(str(names[-1]), values):
            numeric += 1
            numbers = {i: float(one) for i, one in cells.items()}
            found.add(min(numbers, key=numbers.__getitem__))
            found.add(max(numbers, key=numbers.__getitem__))
    return found


def _texts(rows: list[Any], work: Reduction) -> list[str]:
    """Rows as words are looked for in them."""
    # As Python shows them: words are found as in JSON, in much less time.
    return list(map(repr if work.words.isdisjoint(_CONSTANTS) else write, rows))


def _asked(texts: list[str], work: Reduction) -> set[int]:
    """Places of the texts with a word that was asked for, unless many have it."""
    found: set[int] = set()
    for word in sorted(work.words):
        found |= _few(_holding((word,), texts), len(texts))
    return found


def _reduce_members(
    row: Mapping[str, Any], path: str, work: Reduction
) -> dict[str, Value]:
    return {
        # Most are numbers and short words, which stay.
        name: one
        if (kind := type(one)) is bytes
        or (kind is str and len(one) <= _MAX_ENCODED)
        or one is None
        or kind is bool
        else _reduce(one, name, f"{path}.{name}" if path else name, work)
        for name, one in row.items()
    }


def _columns(rows: list[Any]) -> dict[Path, dict[int, Any]]:
    """Cells by path and row; what may have any length is one cell."""
    found: dict[Path, dict[int, Any]] = {}
    for i, row in enumerate(rows):
        _gather(row, (), i, found)
    return found


def _gather(
    value: Any, names: Path, row: int, found: dict[Path, dict[int, Any]]
) -> None:
    for key, one in value.items():
        kind = type(one)
        if kind is dict and one and len(names) < 8:
            _gather(one, (*names, key), row, found)
        elif kind is list and len(one) == 1 and type(one[0]) is dict:
            _gather(one[0], (*names, key, 0), row, found)
        else:
            path = (*names, key)
            cells = found.get(path)
            if cells is None:
                found[path] = {row: one}
            else:
                cells[row] = one


def _tokens(value: Any) -> float:
    """What a cell costs; digits and letters mixed cost most."""
    if isinstance(value, bytes):
        return 1 + len(value) / 3
    if isinstance(value, str):
        digits = sum(map(value.count, "0123456789"))
        return 1 + (len(value) / 2.2 if digits * 6 > len(value) else len(value) / 5)
    if isinstance(value, (list, dict)):
        return 1 + len(write(value)) / 3
    return 1


def _dear(
    columns: dict[Path, dict[int, Any]], size: int, *, is_keyed: bool
) -> list[Path]:
    """Columns that ordinary rows can do without.

    The first column without a repeated value is taken for the rows' name.
    """
    dear: list[Path] = []
    ids: list[Path] = []
    is_named = is_keyed
    for names, cells in columns.items():
        values = list(cells.values())
        if len(values) < _MIN_COLUMN_SHARE * size:
            continue
        if not all(isinstance(one, (str, bytes)) for one in values):
            if _are_long_lists(values) and not _NAMING.search(str(names[-1])):
                dear.append(names)
            continue
        name = next((str(one) for one in names[::-1] if len(str(one)) > 1), "")
        is_hash = _ENCODED_NAME.search(name) is not None
        if not is_named and not is_hash and len(set(values)) == size:
            is_named = True
            continue
        sample = values[:: max(1, len(values) // 40)]
        if len(set(sample)) * 2 < len(sample):
            continue
        if sum(map(_tokens, sample)) <= _DEAR_TOKENS * len(sample):
            continue
        if _IDENTITY.search(name):
            ids.append(names)
        elif is_hash or not _NAMING.search(name):
            dear.append(names)
    ids.sort(key=len)
    dear += ids[_MAX_DEAR_IDS:]
    wanted = set(dear)
    return [names for names in columns if names in wanted]


def _are_long_hashes(names: Path, cells: dict[int, Any]) -> bool:
    return _ENCODED_NAME.search(str(names[-1])) is not None and all(
        len(one) >= _MIN_LONG_HASH for one in cells.values()
    )


def _are_long_lists(values: list[Any]) -> bool:
    """Lists of words that cost more than a row can pay for them."""
    sample = values[:: max(1, len(values) // 40)]
    if not all(type(one) is list and _all_scalars(one) for one in sample):
        return False
    return sum(map(_tokens, sample)) > _MAX_LIST_TOKENS * len(sample)


_ENCODED_NAME = re.compile(r"(?:sha|hash|token|digest|etag|integrity)", re.IGNORECASE)


def _notable(
    rows: list[Any],
    columns: dict[Path, dict[int, Any]],
    work: Reduction,
    keys: list[str] | None,
) -> list[int]:
    """Rows that stand out; those first that must not give way to others."""
    size = len(rows)
    notable = {0, 1, 2, size - 2, size - 1}
    shapes = Counter(map(tuple, rows))
    rare = max(1, size // 33)
    notable |= {i for i, row in enumerate(rows) if shapes[tuple(row)] <= rare}
    seldom: list[set[int]] = []
    common: dict[Path, dict[int, Any]] = {}
    for names, cells in columns.items():
        values = list(cells.values())
        if len(cells) <= rare:
            seldom.append(set(cells))
            continue
        common[names] = cells
        is_plain = not any(isinstance(one, (list, dict)) for one in values)
        if is_plain and not all(isinstance(one, bytes) for one in values):
            counts = Counter(values)
            if len(counts) * 4 <= size:
                notable |= {i for i, one in cells.items() if counts[one] <= rare}
        elif is_plain and len(set(values)) <= _MAX_CATEGORIES:  # of codes, say
            counts = Counter(values)
            notable |= {i for i, one in cells.items() if counts[one] == 1}
    if len(seldom) <= _MAX_RARE_COLUMNS:  # more are objects whose keys are data
        notable |= set().union(*seldom)
    texts = _texts(rows, work)
    if keys is not None:
        texts = [key + text for key, text in zip(keys, texts, strict=True)]
    first = _troubled(texts) | _asked(texts, work) | _extremes(common)
    return [*sorted(first), *sorted(notable - first)]


def _named(rows: list[Any], work: Reduction, keys: list[str] | None) -> set[int]:
    """The first and the last row, and the few that hold a wanted word."""
    found = {0, len(rows) - 1}
    if work.words:
        texts = list(map(write, rows))
        if keys is not None:
            texts = [key + text for key, text in zip(keys, texts, strict=True)]
        for word in sorted(work.words):
            found |= _few(_holding((word,), texts), len(rows))
    return found


_CONSTANTS = frozenset(("true", "false", "null", "fals", "alse"))
"""Words that stand in JSON where Python writes others."""


def _is_trouble(text: str) -> bool:
    lower = text.lower()
    return any(word in lower for word in TROUBLE)


def _holding(words: tuple[str, ...], texts: list[str]) -> list[int]:
    """Places of the texts that hold one of the words."""
    every = "\n".join(texts)
    there = [word for word in words if word in every]
    if not there:
        return []
    return [i for i, text in enumerate(texts) if any(word in text for word in there)]


def _troubled(texts: list[str]) -> set[int]:
    """Places of the texts with a word of trouble, but for words that many have.

    A member's name is one of these, whatever its values are.
    """
    lower = [text.lower() for text in texts]
    every = "\n".join(lower)
    found: set[int] = set()
    for word in TROUBLE:
        if word in every:
            found |= _few(
                [i for i, text in enumerate(lower) if word in text], len(texts)
            )
    return found


def _few(found: list[int], size: int) -> set[int]:
    """What most rows have makes none of them notable."""
    return set(found) if len(found) * 4 <= size else set()


def _is_label(name: str, values: list[Any]) -> bool:
    """Whether numbers name or date a row, rather than measure it."""
    if _IDENTITY.search(name) or re.search(r"time|date|stamp|_at$|At$", name):
        return True
    return all(len(one) >= 10 for one in values)


def _kept_rows(size: int, ranked: list[int], share: float) -> list[int]:
    if size <= _MAX_ROWS * share:
        return list(range(size))
    most = max(MIN_ROWS, round(_KEPT_ROWS * share))
    kept = set(ranked[: 2 * most])
    room = most - len(kept)
    if room > 0:
        step = -(-size // room)
        kept |= set(range(0, size, step))
    return sorted(kept)


def _thin(row: Any, dear: list[Path]) -> bool:
    """Take dear cells out of a row; whether there were any."""
    found = False
    for names in dear:
        holder: Any = row
        for one in names[:-1]:
            inside = isinstance(holder, list) or (
                isinstance(holder, dict) and one in holder
            )
            holder = holder[one] if inside and holder else None
        if isinstance(holder, dict) and names[-1] in holder:
            holder[names[-1]] = LEFT_OUT
            found = True
    return found


def _said(names: Path, cells: dict[int, Any]) -> str:
    """A column, with the span of its times."""
    label = ".".join(map(str, names))
    values = [one for one in cells.values() if isinstance(one, str)]
    if len(values) == len(cells) and _TIME.search(values[0]):
        return f"{label} ({min(values)} to {max(values)})"
    return label


def _gaps(kept: list[int], size: int) -> str:
    """The numbers of the rows that are gone, counted from 1."""
    gaps = []
    for before, after in zip([-1, *kept], [*kept, size], strict=True):
        if after - before == 2:
            gaps.append(str(before + 2))
        elif after - before > 2:
            gaps.append(f"{before + 2}-{after}")
    return ", ".join(gaps)
