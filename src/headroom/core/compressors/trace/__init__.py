"""Stack traces of any language: repeated frames once; lossy: own frames and exceptions.

Stands among the compressors of the pipeline. The lossless form is that of
``core.folding``: frames and exception lines stay whole, runs, loops and blocks that
come again are said once; it is accepted only if it decodes to the source lines in
order. The lossy form (``outline``) leaves out library frames and frames that were
shown.

Normalised by both: ANSI colours, carriage returns, blanks at line ends.
"""

import re
from collections.abc import Callable

from headroom.core.compressors.trace.outline import is_outline, make_outline
from headroom.core.compressors.trace.prefixes import HEADER as PREFIXES
from headroom.core.compressors.trace.prefixes import lengthen, shorten
from headroom.core.folding import (
    find_families,
    fold_unproven,
    header,
    is_foldable,
    is_shorter,
    normalise,
    read_lines,
    unfold,
    unfold_own,
)
from headroom.core.folding.frames import is_exception, is_frame
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context, Draft

NAME = "trace"

_MIN_LINES = 4
_MIN_MEAN_CHARS = 10
"""Lines that are shorter on average have nothing to fold."""

_MIN_LOSSY_LINES = 12
_DETECT_CHARS = 10_000
_DETECT_LINES = 120
_FRAME_STARTS = frozenset("F#.-")
"""How a line begins that is a frame, but for blanks; most lines begin otherwise."""

# strace's and ltrace's calls; valgrind's and the sanitizers' reports.
_TOOL = re.compile(
    r"(?:\[pid +\d+\] |\d+ +)?(?:[\d:.]+ )?(?:\w+(?:->\w+)?\(.*\) += -?\S|[+-]{3} \w+ )"
    r"|==\d+=="
)


def decode(form: str) -> str:
    """The normalised text that a lossless form stands for.

    Raises:
        ValueError: it is no such form.
    """
    return _lengthen(form, unfold)


def _lengthen(form: str, unfolded: Callable[[str, str], str]) -> str:
    if not form.startswith(PREFIXES):
        return unfolded(NAME, form)
    legend, _, text = form.partition("\n\n")
    if text.startswith(header(NAME)):
        text = unfolded(NAME, text)
    return lengthen(f"{legend}\n\n{text}")


def compress(text: str, ctx: Context) -> Compressed | None:
    """Fold stack traces; ``None`` if nothing repeats, or the text is a form already."""
    if not is_foldable(text) or _is_own(text):
        return None
    normalised = normalise(text)
    count = normalised.count("\n") + 1
    if count < _MIN_LINES or len(normalised) < _MIN_MEAN_CHARS * count:
        return None
    lossy = None
    if ctx.wants_lossy and count >= _MIN_LOSSY_LINES:
        outline = make_outline(normalised.split("\n"))
        if outline is not None and 5 * len(outline.text) < 4 * len(text):
            lossy = Candidate(text=outline.text, strategy=NAME, omitted=outline.omitted)

    def write() -> str:
        return _fold(normalised) or text

    def prove(form: str) -> Candidate | None:
        if is_shorter(form, text, ctx.count) and _stands_for(form, normalised):
            return Candidate(text=form, strategy=NAME)
        return None

    return Compressed.of(Draft(write, prove), lossy)


def _stands_for(form: str, normalised: str) -> bool:
    try:
        return decode(form) == normalised
    except ValueError:
        return False


def _fold(normalised: str) -> str | None:
    """The lossless form, before anybody has looked what it stands for."""
    short = shorten(normalised)
    if short is not None:
        legend, text = short
        if lengthen(f"{legend}\n{text}") == normalised:
            source = read_lines(text, has_times=False)
            folded = fold_unproven(NAME, source, find_families(source))
            return f"{legend}\n{folded or text}"
    source = read_lines(normalised, has_times=False)
    return fold_unproven(NAME, source, find_families(source))


def _is_own(text: str) -> bool:
    """Whether ``text`` is a form that ``compress`` wrote, not an imitation."""
    if not text.startswith((PREFIXES, header(NAME))):
        return is_outline(text)
    try:
        return _fold(_lengthen(text, unfold_own)) == text
    except ValueError:
        return False


def detect(text: str) -> float:
    """Confidence by the share of frames and exception lines in the first part."""
    if _is_own(text):
        return 1.0
    lines = [
        line for line in normalise(text[:_DETECT_CHARS]).split("\n") if line.strip()
    ]
    lines = lines[:_DETECT_LINES]
    if len(lines) >= _MIN_LINES and _are_calls(lines):
        return 0.9
    frames = sum(
        1
        for line in lines
        if (line[0] in _FRAME_STARTS or line[0].isspace()) and is_frame(line)
    )
    if frames < 2:
        return 0.0
    heads = sum(1 for line in lines if is_exception(line))
    # A Python frame is two or three lines; a log with some traces in it stays a log.
    share = min(1.0, (2 * frames + heads) / len(lines))
    return share * (0.95 if heads else 0.8)


def _are_calls(lines: list[str]) -> bool:
    """Whether seven of ten lines are calls that a tool traced."""
    others_left = 3 * len(lines) // 10
    for line in lines:
        if not _TOOL.match(line):
            others_left -= 1
            if others_left < 0:
                return False
    return True


COMPRESSOR = Compressor(name=NAME, kind="trace", detect=detect, compress=compress)
