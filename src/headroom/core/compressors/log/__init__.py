"""Logs: each kind of line once, what varies in rows, times when they change.

Stands among the compressors of the pipeline. The lossless form (``form``) decodes to the
source lines in order; it is accepted only if it does. The lossy form (``overview``) is one
chronological list of the lines that tell something, with their line numbers.

Normalised by both: ANSI colours, carriage returns, blanks at line ends (``lines``).
"""

from headroom.core.compressors.log.form import HEADER, FormError, read, write
from headroom.core.compressors.log.lines import RESERVED, Source, normalise, read_lines
from headroom.core.compressors.log.overview import HEADER as LOSSY_HEADER
from headroom.core.compressors.log.overview import is_overview, make_overview
from headroom.core.compressors.log.severity import level
from headroom.core.compressors.log.templates import Template, families, mine
from headroom.core.compressors.log.times import TIME_MARK, find_notation
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context

NAME = "log"

_MIN_LOSSY_CHARS = 2400
"""About 600 tokens; nearly all values that are used later stand in small outputs."""

_DETECT_CHARS = 16_000
_DETECT_LINES = 120


def decode(form: str) -> str:
    """The normalised log that a lossless form stands for.

    Raises:
        FormError: it is no such form.
    """
    return read(form)


def compress(text: str, ctx: Context) -> Compressed | None:
    """Fold a log; ``None`` for what has no repeating lines, or is a form already."""
    if not RESERVED.isdisjoint(text):
        return None
    if text.startswith(LOSSY_HEADER) and is_overview(text):
        return None
    if text.startswith(HEADER) and _is_form(text):
        return None
    normalised = normalise(text)
    if normalised.count("\n") < 3:
        return None
    source = read_lines(normalised)
    found = families(source.texts, [s is not None for s in source.stamps])
    form = _lossless(source, mine(found), normalised)
    lossless = None
    if form is not None and len(form) < len(text):
        lossless = Candidate(text=form, strategy=NAME)
    lossy = None
    if ctx.wants_lossy and len(normalised) >= _MIN_LOSSY_CHARS:
        overview = make_overview(source, found)
        if overview is not None and 2 * len(overview.text) < len(text):
            lossy = Candidate(
                text=overview.text, strategy=NAME, omitted=overview.omitted
            )
    if lossless is None and lossy is None:
        return None
    return Compressed(lossless=lossless, lossy=lossy)


def _lossless(source: Source, templates: list[Template], normalised: str) -> str | None:
    form = write(source, templates)
    if form is None:
        return None
    try:
        return form if read(form) == normalised else None
    except FormError:
        return None


def _is_form(text: str) -> bool:
    """Whether ``text`` is a form as ``compress`` writes it, not one that imitates it."""
    try:
        source = read_lines(read(text))
    except FormError:
        return False
    templates = mine(families(source.texts, [s is not None for s in source.stamps]))
    return write(source, templates) == text


def detect(text: str) -> float:
    """Confidence that the text is a log: by times on its lines, else by levels.

    Looks at the first part only. Rows of equally many cells, JSON lines and outputs with
    few such lines are left to those who know them better.
    """
    if text.startswith((HEADER, LOSSY_HEADER)):
        return 0.9
    head = normalise(text[:_DETECT_CHARS]).split("\n")
    if len(text) > _DETECT_CHARS:
        head.pop()
    lines = [line for line in head if line][:_DETECT_LINES]
    if len(lines) < 3:
        return 0.0
    if sum(line.startswith("{") for line in lines) * 2 > len(lines):
        return 0.1
    times = find_notation(lines)
    if times is None:
        levelled = sum(1 for line in lines if level(line))
        return 0.6 if 10 * levelled >= 6 * len(lines) else 0.0
    cuts = [cut for line in lines if (cut := times.cut(line))]
    share = len(cuts) / len(lines)
    if _is_table(lines, [rest for _, rest in cuts]):
        return 0.3
    return (0.6 + 0.35 * share) if times.is_leading else 0.75 * share


def _is_table(lines: list[str], rests: list[str]) -> bool:
    """Whether the time is a cell: all lines have a separator equally often, and next to it."""
    for sign in (",", ";", "\t"):
        if lines[0].count(sign) > 1 and len({line.count(sign) for line in lines}) == 1:
            ends = (sign, f'"{sign}', f" {TIME_MARK} {sign}", f' {TIME_MARK} "{sign}')
            return all(r.startswith(ends) or any(e in r for e in ends[2:]) for r in rests)
    return False


COMPRESSOR = Compressor(name=NAME, kind="log", detect=detect, compress=compress)
