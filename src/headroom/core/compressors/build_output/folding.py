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
from collections import Counter
from collections.abc import Sequence

from headroom.core.compressors.build_output.gathering import gather, scatter
from headroom.core.compressors.build_output.plain import PLACED, PlainLines
from headroom.core.compressors.build_output.squeezing import (
    MARK,
    SqueezeError,
    squeeze,
    unsqueeze,
)
from headroom.core.folding import (
    FormError,
    Source,
    fold,
    fold_unproven,
    header,
    unfold_own,
)
from headroom.core.folding.templates import FIXED, HOLE, families
from headroom.core.folding.times import find_notation

NAME = "build"
PLAIN = f"{NAME} lines"

_MAY_LEAD = re.compile(r"\[?(?:\d|[A-Z][a-z]{2} )")
_MIN_SAID_AGAIN = 50
"""Characters; what says less again with other places stays whole, places and all."""

_OWN_GROWTH = 16
_OWN_CHARS = 1_000_000


def encode(lines: list[str], judge: PlainLines) -> str | None:
    """The form of normalised lines, not always shorter; ``None`` if it fails to decode.

    Each step is checked on its own: ``fold`` checks itself.

    Args:
        lines: the lines.
        judge: knows which of them are plain.
    """
    squeezed = squeeze(lines)
    try:
        if unsqueeze(squeezed, sum(map(len, lines)) + len(lines)) != lines:
            return None
    except SqueezeError:
        return None
    source = to_source(squeezed)
    form = fold(NAME, source, families(source.texts, _classes(source, judge)))
    if form is not None:
        gathered = gather(form)
        if scatter(gathered) == form:
            return gathered
    return "\n".join([PLAIN, *squeezed])


def draft(lines: list[str], judge: PlainLines) -> str:
    """As ``encode``, before anybody has looked what the form stands for."""
    squeezed = squeeze(lines)
    source = to_source(squeezed)
    found = families(source.texts, _classes(source, judge))
    form = fold_unproven(NAME, source, found)
    return "\n".join([PLAIN, *squeezed]) if form is None else gather(form)


def least_chars(cleaned: str) -> int:
    """A bound of the characters of any form of a text.

    Each distinct word stands in it, but for what rows may share of addresses, names of
    tests and times.
    """
    for sign in "/:":
        cleaned = cleaned.replace(sign, " ")
    return sum(map(len, set(cleaned.split())))


def stands_for(form: str, cleaned: str) -> bool:
    """Whether a form gives the normalised text back."""
    try:
        return decode(form) == cleaned
    except FormError:
        return False


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
    timed = sum([_MAY_LEAD.match(line) is not None for line in lines])
    notation = find_notation(lines) if 3 * timed > len(lines) else None
    if notation is not None and not notation.is_leading:
        notation = None
    if notation is None:
        return Source(lines, None, [None] * len(lines), list(map(_words, lines)))
    stamps, texts = notation.cut_all(lines)
    return Source(lines, notation, stamps, list(map(_words, texts)))


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


def _classes(source: Source, judge: PlainLines) -> Sequence[int]:
    """Lines fall together within a class: one for each message of trouble."""
    messages: dict[str, int] = {}
    classes: list[int] = []
    lines = [
        whole if stamp is None else whole[len("".join(stamp)) :]
        for whole, stamp in zip(source.lines, source.stamps, strict=True)
    ]
    placed = [_message(line) for line in lines]
    counts = Counter(placed)
    for line, stamp, message in zip(lines, source.stamps, placed, strict=True):
        if message is not None and HOLE not in line and _is_rare(message, counts):
            classes.append(FIXED)
        elif message is not None:
            classes.append(messages.setdefault(message, len(messages) + FIXED + 2))
        elif not judge.is_plain(line, is_placed=False):
            # What looks like a hole must be one, even where nothing else varies.
            own = len(messages) + FIXED + 2
            classes.append(messages.setdefault(line, own) if HOLE in line else FIXED)
        else:
            classes.append(int(stamp is not None))
    return classes


def _message(line: str) -> str | None:
    """What a line says of the place that it begins with; ``None`` without a place."""
    if (":" not in line and "(" not in line) or line.startswith(MARK):
        return None
    placed = PLACED.match(line)
    return None if placed is None else placed[2]


def _is_rare(message: str, counts: Counter[str | None]) -> bool:
    """Whether its lines stay whole, each with its place."""
    return (counts[message] - 1) * len(message) < _MIN_SAID_AGAIN
