"""A log as lines: what is normalised away, and each line cut into time and text.

Normalised: ANSI colours, carriage returns (of a progress line only what stands last is
kept), blanks at the ends of lines, line ends at the end of the text.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from headroom.core.folding.times import (
    TIME_MARK,
    Notation,
    Stamp,
    find_notation,
)

_ANSI = re.compile(
    r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])"
)

# Signs that separate words without blanks stand as words of their own while templates
# are looked for; what they enclose (addresses, paths, numbers, key=value) stays whole.
_SEPARATORS = (
    ("\t", " \x1d "),
    ("|", " \x1e "),
    ("(", " \x1c "),
    (")", " \x1f "),
    ("[", " \x03 "),
    ("]", " \x04 "),
    (", ", " \x05 "),
)
_EQUALS = ("=", " \x06 ")
"""A separator only where lines are lists of keys and values."""

_MIN_EQUALS = 4
RESERVED = frozenset((TIME_MARK, *(word[1] for _, word in (*_SEPARATORS, _EQUALS))))


def normalise(text: str) -> str:
    """The text as its lossless form gives it back."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        text = "\n".join(
            line.rstrip("\r").rpartition("\r")[2] if "\r" in line else line
            for line in text.split("\n")
        )
    if " \n" in text or "\t\n" in text or text[-1:].isspace():
        text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
        text = text.rstrip("\n")
    return text


class Source(NamedTuple):
    """A log's lines; where ``stamps`` is not ``None`` the text is without its time.

    Attributes:
        texts: words separated by single blanks, separators other than blanks and the
            place of a time inside the line being words too.
    """

    lines: list[str]
    notation: Notation | None
    stamps: Sequence[Stamp | None]
    texts: Sequence[str]


def read_lines(normalised: str, *, has_times: bool = True) -> Source:
    """The lines of a normalised text, cut at their times (if it may have any)."""
    lines = normalised.split("\n")
    notation = find_notation(lines) if has_times else None
    if notation is None:
        stamps: list[Stamp | None] = [None] * len(lines)
        text = normalised
    else:
        stamps, texts = notation.cut_all(lines)
        text = "\n".join(texts)
    separators = list(_SEPARATORS)
    if normalised.count("=") >= _MIN_EQUALS * len(lines):
        separators.append(_EQUALS)
    for sign, word in separators:
        if sign in text:
            text = text.replace(sign, word)
    return Source(lines, notation, stamps, text.split("\n"))


END = "~;"
"""Ends a sign for a time that a digit follows."""

_TIME_BEFORE_DIGIT = re.compile(rf" {TIME_MARK} (?=\d)")


def join_words(words: Sequence[str], time: str) -> str:
    """The text whose words these are; ``time`` stands where one was cut out."""
    text = " ".join(words)
    if text.isprintable():
        return text
    # What was put in last goes first: a word may stand next to another's sign, `,)`.
    for sign, word in (_EQUALS, *reversed(_SEPARATORS)):
        text = text.replace(word, sign)
    return _TIME_BEFORE_DIGIT.sub(f"{time}{END}", text).replace(f" {TIME_MARK} ", time)
