"""Lines that are alike, folded losslessly: what logs, traces and their kin share.

``read_lines`` cuts the lines at their times, ``find_families`` finds which are alike,
``fold`` writes their form and accepts it only if ``unfold`` gives the lines back.
"""

from collections.abc import Collection, Sequence

from headroom.core.folding.form import FormError, header
from headroom.core.folding.frames import is_fixed
from headroom.core.folding.lines import RESERVED, Source, normalise, read_lines
from headroom.core.folding.reading import read
from headroom.core.folding.templates import FIXED, HOLE, Template, families, mine
from headroom.core.folding.writing import write
from headroom.core.types import CountTokens

__all__ = [
    "FormError",
    "Source",
    "Template",
    "find_families",
    "fold",
    "fold_unproven",
    "header",
    "is_foldable",
    "is_shorter",
    "normalise",
    "read_lines",
    "stands_for",
    "unfold",
    "unfold_own",
]


def is_foldable(text: str) -> bool:
    """Whether the text is free of the control characters that folding works with."""
    return not any(sign in text for sign in RESERVED)


def is_shorter(form: str, text: str, count: CountTokens) -> bool:
    """Whether the form has fewer tokens; counted only where it could be close."""
    if 3 * len(form) < 2 * len(text):
        return True
    return len(form) < len(text) and count(form) < count(text)


def find_families(source: Source) -> list[Template]:
    """Lines that are the same but for words that vary; of stack traces none do."""
    classes = [
        int(stamp is not None)
        if stamp is not None or HOLE in line or not is_fixed(line)
        else FIXED
        for line, stamp in zip(source.lines, source.stamps, strict=True)
    ]
    return families(source.texts, classes)


def fold(
    name: str, source: Source, found: Sequence[Template], in_full: Collection[int] = ()
) -> str | None:
    """The shortest form of the lines that was found; ``None`` if folding does not pay.

    Args:
        name: what the lines are, the first word of the form.
        source: the lines.
        found: the families of the lines.
        in_full: indices of lines that stand as they are, with their full time.
    """
    form = fold_unproven(name, source, found, in_full)
    return form if form is not None and stands_for(name, form, source) else None


def fold_unproven(
    name: str, source: Source, found: Sequence[Template], in_full: Collection[int] = ()
) -> str | None:
    """As ``fold``, before ``stands_for`` has looked at it."""
    return write(name, source, mine(found), in_full)


def stands_for(name: str, form: str, source: Source) -> bool:
    """Whether a form gives the lines back."""
    try:
        return read(name, form) == source.lines
    except FormError:
        return False


def unfold(name: str, form: str) -> str:
    """The lines that a form stands for.

    Raises:
        FormError: it is no form of that name.
    """
    return "\n".join(read(name, form))


def unfold_own(name: str, text: str) -> str:
    """As ``unfold``, for a text that only may be a form written here.

    Raises:
        FormError: it is none, or stands for very much: small texts that others wrote
            to look like forms can.
    """
    return "\n".join(read(name, text, _OWN_GROWTH * len(text) + _OWN_CHARS))


_OWN_GROWTH = 8
_OWN_CHARS = 1_000_000
