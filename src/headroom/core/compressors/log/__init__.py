"""Logs: each kind of line once, what varies in rows, times when they change.

Stands among the compressors of the pipeline. The lossless form (``form``) decodes to the
source lines in order; it is accepted only if it does. The lossy form (``overview``) is one
chronological list of the lines that tell something, with their line numbers.

Normalised by both: ANSI colours, carriage returns, blanks at line ends (``lines``).
"""

from headroom.core.compressors.log.form import HEADER, FormError, read, write
from headroom.core.compressors.log.lines import RESERVED, Source, normalise, read_lines
from headroom.core.compressors.log.templates import Template, mine
from headroom.core.compressors.log.times import find_notation
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context

NAME = "log"


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
    if text.startswith(HEADER) and _is_form(text):
        return None
    normalised = normalise(text)
    if normalised.count("\n") < 3:
        return None
    source = read_lines(normalised)
    templates = mine(source.texts, [s is not None for s in source.stamps])
    form = _lossless(source, templates, normalised)
    lossless = None
    if form is not None and len(form) < len(text):
        lossless = Candidate(text=form, strategy=NAME)
    if lossless is None:
        return None
    return Compressed(lossless=lossless)


def _lossless(
    source: Source, templates: list[Template], normalised: str
) -> str | None:
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
    templates = mine(source.texts, [s is not None for s in source.stamps])
    return write(source, templates) == text


def detect(text: str) -> float:
    return 0.5 if find_notation(text.split("\n", 300)[:300]) else 0.0


COMPRESSOR = Compressor(name=NAME, kind="log", detect=detect, compress=compress)
