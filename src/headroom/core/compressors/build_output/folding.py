"""The lossless form of build output and its decoder.

::

    build templates
    $a=npm http fetch GET 200 https://registry.example.org/ ~ ~ (cache miss)

    » no blank after https://registry.example.org/
    $a express 242ms accepts 29ms

Squeezed lines (``squeezing``), folded into templates (``core.folding``), rows of one
template side by side (``gathering``). Where no template pays, the first line is ``build
lines`` and squeezed lines follow.

Whole words vary, and never within a message: a line that tells of trouble falls
together with others only if all but its place is the same.
"""

import re
from collections.abc import Sequence

from headroom.core.compressors.build_output.gathering import gather, scatter
from headroom.core.compressors.build_output.squeezing import (
    MARK,
    SqueezeError,
    squeeze,
    unsqueeze,
)
from headroom.core.folding import FormError, Source, fold, header, unfold_own
from headroom.core.folding.frames import is_fixed
from headroom.core.folding.templates import FIXED, HOLE, families
from headroom.core.folding.times import find_notation

NAME = "build"
PLAIN = f"{NAME} lines"

PLACED = re.compile(
    r"(\s*(?:[A-Za-z]:)?[^\s:(]+(?::\d+(?::\d+)?|\(\d+(?:,\d+)?\)):?(?: -)?) (.+)"
)
"""A line that begins with a place in a file, and what it says of it."""

_TROUBLED = (
    r"(?i:err(?:or)?s?\b|warn|fail|assert|exception|panic|fatal|cannot|can't|could not"
    r"|unable|not found|denied|missing|unknown|undefined|deprecat|conflict|invalid"
    r"|unexpected|vulnerab|timed out)"
)
# Apart, so that each is looked for at the few places where it may begin.
_TROUBLE_FIRST = re.compile(_TROUBLED)
_TROUBLE = re.compile(rf"[\s\"'(\[:!]{_TROUBLED}")
_RAISED = re.compile(r"[a-z](?:Error|Exception|Warning)\b")
_CODE_LINE = re.compile(r"(?:[>E] |\s*\d* *[|│]|\s{4,}\S.*[;{}()=,:]$|[+-] )")
_MAY_LEAD = re.compile(r"\[?(?:\d|[A-Z][a-z]{2} )")
_OWN_GROWTH = 16
_OWN_CHARS = 1_000_000


def encode(lines: list[str]) -> str | None:
    """The form of normalised lines, not always shorter; ``None`` if it fails to decode.

    Each step is checked on its own: ``fold`` checks itself.
    """
    squeezed = squeeze(lines)
    try:
        if unsqueeze(squeezed, sum(map(len, lines)) + len(lines)) != lines:
            return None
    except SqueezeError:
        return None
    source = to_source(squeezed)
    form = fold(NAME, source, families(source.texts, _classes(source)))
    if form is not None:
        gathered = gather(form)
        if scatter(gathered) == form:
            return gathered
    return "\n".join([PLAIN, *squeezed])


def decode(form: str) -> str:
    """The normalised text that a lossless form stands for.

    Raises:
        FormError: it is none, or stands for very much.
    """
    first, _, rest = form.partition("\n")
    if first == PLAIN:
        squeezed: str | None = rest
    elif form.startswith(header(NAME)):
        squeezed = unfold_own(NAME, scatter(form))
    else:
        squeezed = None
    if squeezed is None:
        raise FormError("not a form of build output")
    try:
        limit = _OWN_GROWTH * len(form) + _OWN_CHARS
        return "\n".join(unsqueeze(squeezed.split("\n"), limit))
    except SqueezeError as error:
        raise FormError(str(error)) from error


def to_source(lines: list[str]) -> Source:
    """The lines as words; brackets are words of their own only around whole words."""
    timed = sum(1 for line in lines if _MAY_LEAD.match(line))
    notation = find_notation(lines) if 3 * timed > len(lines) else None
    if notation is not None and not notation.is_leading:
        notation = None
    stamps = []
    texts = []
    for line in lines:
        cut = notation.cut(line) if notation is not None else None
        stamps.append(cut[0] if cut else None)
        texts.append(_words(cut[1] if cut else line))
    return Source(lines, notation, stamps, texts)


def tells_of_trouble(line: str) -> bool:
    """Whether something in the line's words went wrong."""
    if _TROUBLE_FIRST.match(line) or _TROUBLE.search(line):
        return True
    may_raise = "Error" in line or "Exception" in line or "Warning" in line
    return may_raise and _RAISED.search(line) is not None


def is_plain(line: str) -> bool:
    """Whether a line tells of no trouble and is no part of a failure."""
    return not (
        line.startswith(MARK)
        or _CODE_LINE.match(line)
        or tells_of_trouble(line)
        or is_fixed(line)
        or PLACED.match(line)
    )


def _words(text: str) -> str:
    """The text with brackets and tabs as words, as ``core.folding`` reads them."""
    if " (" in text and ")" in text:
        text = text.replace(" (", "  \x1c ").replace(") ", " \x1f  ")
        if text.endswith(")"):
            text = text[:-1] + " \x1f "
    if " [" in text and "]" in text:
        text = text.replace(" [", "  \x03 ").replace("] ", " \x04  ")
        if text.endswith("]"):
            text = text[:-1] + " \x04 "
    return text.replace("\t", " \x1d ") if "\t" in text else text


def _classes(source: Source) -> Sequence[int]:
    """Lines fall together within a class: one for each message of trouble."""
    messages: dict[str, int] = {}
    classes: list[int] = []
    for whole, stamp in zip(source.lines, source.stamps, strict=True):
        line = whole if stamp is None else whole[len("".join(stamp)) :]
        placed = None if line.startswith(MARK) else PLACED.match(line)
        if placed:
            classes.append(messages.setdefault(placed[2], len(messages) + FIXED + 2))
        elif not is_plain(line):
            # What looks like a hole must be one, even where nothing else varies.
            own = len(messages) + FIXED + 2
            classes.append(messages.setdefault(line, own) if HOLE in line else FIXED)
        else:
            classes.append(int(stamp is not None))
    return classes
