"""Test and build output: like results side by side; lossy: what failed.

Stands among the compressors of the pipeline. The lossless form (``folding``) keeps
every failure, place and name in whole words and is accepted only if it decodes to the
lines in order. The lossy form (``reducing``) leaves out, with counts, what went well,
and folds what remains in the same notation.

Normalised by both (``cleaning``): ANSI colours, carriage-return progress, blanks at
line ends, the width of rulers and progress bars, pytest's percentages, empty gutter
lines of compiler snippets, all but one of several empty lines.
"""

import re

from headroom.core.compressors.build_output.cleaning import clean
from headroom.core.compressors.build_output.folding import (
    NAME,
    PLAIN,
    decode,
    draft,
    encode,
    least_chars,
    stands_for,
)
from headroom.core.compressors.build_output.plain import PlainLines
from headroom.core.compressors.build_output.recognising import recognise
from headroom.core.compressors.build_output.reducing import reduce
from headroom.core.folding import FormError, header, is_foldable, is_shorter
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context, Draft

__all__ = ["COMPRESSOR", "FormError", "clean", "decode"]

_STRATEGY = "build_output"
_MIN_LINES = 4
_MIN_LOSSY_CHARS = 2400
"""About 600 tokens; nearly all values that are used later stand in small outputs."""

_MANY_LINES = 20_000
_MIN_MEAN_CHARS = 16
"""Many lines that are shorter than this on average are not worth the time they take."""

_OUTLINE = f"{NAME} outline; "
_SAID = re.compile(rf"{_OUTLINE}\d{{1,9}} of (\d{{1,9}}) lines left out or cut: ")
_OWN = (header(NAME), PLAIN, _OUTLINE)


def compress(text: str, ctx: Context) -> Compressed | None:
    """Fold build output; ``None`` if nothing repeats, or the text is a form already."""
    if not is_foldable(text) or _is_own(text):
        return None
    cleaned = clean(text)
    lines = cleaned.split("\n")
    judge = PlainLines(cleaned)
    if len(lines) < _MIN_LINES or _is_dust(cleaned, len(lines)):
        return None
    lossy = None
    if ctx.wants_lossy and len(cleaned) >= _MIN_LOSSY_CHARS:
        lossy = _outline(text, lines, judge)
    least = 0 if lossy is None else least_chars(cleaned)

    def prove(form: str) -> Candidate | None:
        proven = form if stands_for(form, cleaned) else encode(lines, judge)
        if proven is None or not is_shorter(proven, text, ctx.count):
            return None
        return Candidate(text=proven, strategy=_STRATEGY)

    return Compressed.of(Draft(lambda: draft(lines, judge), prove, least), lossy)


def _is_dust(text: str, count: int) -> bool:
    return count > _MANY_LINES and len(text) < _MIN_MEAN_CHARS * count


def _outline(source: str, lines: list[str], judge: PlainLines) -> Candidate | None:
    """What failed, and how much went well; ``None`` if that is hardly shorter."""
    reduced = reduce(lines, judge, source.removesuffix("\n").count("\n") + 1)
    if reduced is None:
        return None
    left = "\n".join(reduced.lines)
    form = encode(left.split("\n"), PlainLines(left, judge))
    text = f"{_OUTLINE}{reduced.omitted}\n{form}"
    if form is None or 20 * len(text) > 19 * len(source):
        return None
    return Candidate(text=text, strategy=_STRATEGY, omitted=reduced.omitted)


def detect(text: str) -> float:
    """Confidence that a test runner, compiler or installer wrote the text."""
    if text.startswith(_OWN):
        return 1.0 if _is_own(text) else 0.0
    return recognise(text)


def _is_own(text: str) -> bool:
    """Whether ``text`` is a form as ``compress`` writes it, not an imitation."""
    if not text.startswith(_OWN):
        return False
    said = None
    if text.startswith(_OUTLINE):
        said = _SAID.match(text)
        text = text.partition("\n")[2]
        if said is None:
            return False
    try:
        decoded = decode(text)
        if said is not None:
            # What is left need not repeat, but it is no more lines than it says.
            if decoded.count("\n") >= int(said[1]):
                return False
        elif len(decoded) < len(text) or recognise(decoded) == 0:
            # It only says so: it is no shorter than what it would stand for.
            return False
        return encode(decoded.split("\n"), PlainLines(decoded)) == text
    except FormError:
        return False


COMPRESSOR = Compressor(
    name="build_output", kind="build", detect=detect, compress=compress
)
