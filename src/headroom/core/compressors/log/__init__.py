"""Logs: each kind of line once, what varies in rows, times when they change.

Stands among the compressors of the pipeline. The lossless form is that of
``core.folding`` and decodes to the source lines in order; it is accepted only if it
does. The lossy form (``overview``) is one chronological list of the lines that tell
something, numbered.

Normalised by both: ANSI colours, carriage returns, blanks at line ends.
"""

import re
from collections.abc import Sequence

from headroom.core.compressors.log.overview import HEADER as LOSSY_HEADER
from headroom.core.compressors.log.overview import is_overview, make_overview
from headroom.core.content.severity import is_serious, level
from headroom.core.folding import (
    FormError,
    Source,
    Template,
    find_families,
    fold,
    fold_unproven,
    header,
    is_foldable,
    is_shorter,
    normalise,
    read_lines,
    stands_for,
    unfold,
    unfold_own,
)
from headroom.core.folding.times import TIME_MARK, find_notation
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context, Draft

NAME = "log"

_MIN_LINES = 4
_MIN_MEAN_CHARS = 10
"""Lines that are shorter on average have nothing to fold."""

_MIN_LOSSY_CHARS = 2400
"""About 600 tokens; nearly all values that are used later stand in small outputs."""

_DETECT_CHARS = 12_000
_DETECT_LINES = 100
_MIN_ENTRIES = 40
_DATED = re.compile(r"[0-9][0-9]{3}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}")
# Each entry of MySQL's and MariaDB's slow query logs; see the servers' manuals.
_SLOW_QUERY = "# Query_time: "
_MIN_QUERIES, _OF_QUERIES = 3, 0.92
_NUMBERS = re.compile(r"\d+(?:\.\d+)?")
_RARE_ERROR = 12
"""Trouble up to this frequency has its first line in full in the lossless form."""


def decode(form: str) -> str:
    """The normalised log that a lossless form stands for.

    Raises:
        FormError: it is no such form.
    """
    return unfold(NAME, form)


def compress(text: str, ctx: Context) -> Compressed | None:
    """Fold a log; ``None`` for what has no repeating lines, or is a form already."""
    if not is_foldable(text) or _is_own(text):
        return None
    normalised = normalise(text)
    count = normalised.count("\n") + 1
    if count < _MIN_LINES or len(normalised) < _MIN_MEAN_CHARS * count:
        return None
    source = read_lines(normalised)
    found = find_families(source)
    lossy = None
    if ctx.wants_lossy and len(normalised) >= _MIN_LOSSY_CHARS:
        overview = make_overview(source, found)
        if overview is not None and 2 * len(overview.text) < len(text):
            lossy = Candidate(
                text=overview.text, strategy=NAME, omitted=overview.omitted
            )
    if lossy is not None and _LONG_CHARS < len(text) > _CLEAR_GAIN * len(lossy.text):
        # No lossless form comes near it; folding the whole would take most of the time.
        return Compressed(lossy=lossy)
    form = fold_unproven(NAME, source, found, _landmarks(source, found))
    if form is None:
        return Compressed.of(None, lossy)

    def prove(form: str) -> Candidate | None:
        is_good = is_shorter(form, text, ctx.count) and stands_for(NAME, form, source)
        return Candidate(text=form, strategy=NAME) if is_good else None

    return Compressed.of(Draft(lambda: form, prove), lossy)


def _is_own(text: str) -> bool:
    """Whether ``text`` is a form that ``compress`` wrote, not an imitation."""
    if text.startswith(LOSSY_HEADER):
        return is_overview(text)
    if not text.startswith(header(NAME)):
        return False
    try:
        source = read_lines(unfold_own(NAME, text))
    except FormError:
        return False
    found = find_families(source)
    return fold(NAME, source, found, _landmarks(source, found)) == text


def _landmarks(source: Source, found: Sequence[Template]) -> set[int]:
    """Lines in full: first and last, the first of each level and of rare errors."""
    kept = {0, len(source.lines) - 1}
    levels: set[str] = set()
    for family in sorted(found, key=lambda t: t.rows[0][0]):
        first = family.rows[0][0]
        if source.stamps[first] is None:
            continue
        text = source.texts[first]
        stated = level(text)
        if stated not in levels or (
            len(family.rows) <= _RARE_ERROR and is_serious(text)
        ):
            levels.add(stated)
            kept.add(first)
    return kept


_LONG_CHARS = 50_000
_CLEAR_GAIN = 10
"""Of longer logs only the lossy form is made where it has a tenth of the characters."""


def detect(text: str) -> float:
    """Confidence that the text is a log: by times on its lines, else by levels.

    Looks at the first part only. Rows of equally many cells, JSON lines and outputs
    with few such lines are left to those who know them better.
    """
    if _is_own(text):
        return 1.0
    head = normalise(text[:_DETECT_CHARS]).split("\n")
    if len(text) > _DETECT_CHARS:
        head.pop()
    lines = [line for line in head if line][:_DETECT_LINES]
    if len(lines) < _MIN_LINES:
        return 0.0
    if sum(line.startswith("{") for line in lines) * 2 > len(lines):
        return 0.1
    if sum(line.startswith(_SLOW_QUERY) for line in lines) >= _MIN_QUERIES:
        return _OF_QUERIES
    times = find_notation(lines)
    if times is None:
        if _are_levelled(lines):
            return 0.6
        return 0.35 if _is_repetitive(lines) else 0.0
    cuts = [cut for line in lines if (cut := times.cut(line))]
    share = len(cuts) / len(lines)
    if _is_table(lines, [rest for _, rest in cuts]):
        return 0.3
    return (0.6 + 0.35 * share) if times.is_leading else 0.75 * share


def _are_levelled(lines: list[str]) -> bool:
    """Whether six of ten lines state a level."""
    others_left = 4 * len(lines) // 10
    for line in lines:
        if not level(line):
            others_left -= 1
            if others_left < 0:
                return False
    return True


def _is_repetitive(lines: list[str]) -> bool:
    """Whether entries of several lines, some with a date, come again and again."""
    if len(lines) < _MIN_ENTRIES:
        return False
    dated = sum(
        1
        for line in lines
        if line.count(":") > 1 and line.count("-") > 1 and _DATED.search(line)
    )
    if 12 * dated < len(lines):
        return False
    kinds = {_NUMBERS.sub("0", line) for line in lines}
    return 3 * len(kinds) <= len(lines)


def _is_table(lines: list[str], rests: list[str]) -> bool:
    """Whether the time is a cell: each line has equally many of a sign, and by it."""
    for sign in (",", ";", "\t"):
        if lines[0].count(sign) > 1 and len({line.count(sign) for line in lines}) == 1:
            inside = (f" {TIME_MARK} {sign}", f' {TIME_MARK} "{sign}')
            ends = (sign, f'"{sign}', *inside)
            return all(r.startswith(ends) or any(e in r for e in inside) for r in rests)
    return False


COMPRESSOR = Compressor(name=NAME, kind="log", detect=detect, compress=compress)
