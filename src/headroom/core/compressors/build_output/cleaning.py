"""What is normalised away in build output before anything is folded.

ANSI colours, carriage-return progress and blanks at line ends; the width of rulers and
of finished progress bars; progress percentages of pytest; empty gutter lines of
compiler snippets; of several empty lines all but one.
"""

import re

from headroom.core.folding import normalise

_PERCENT = re.compile(r"(?m)(?<=[^\s|]) +\[ *\d{1,3}%\]$")
"""pytest's progress, at the right edge of a line of results."""

_RULER = re.compile(r"(?m)^([=_*#~━─═-])\1{7,}(?:( [^\n]*? )\1{2,})?$")
_SPACED_RULER = re.compile(r"(?m)^(?:([_-]) ){4,}\1$")
_BAR = re.compile(r"[━─]{8,}|[█▉▊▋▌▍▎▏]{8,}|#{30,}|(?<!=)={30,}>?(?=\])")
_RULERS = tuple(sign * 8 for sign in "=_*#~━─═-")
_BARS = ("#" * 30, "=" * 30)
_GUTTER = re.compile(r"(?m)(?:(?<=\n)|\A) +[|│]\n")
_EMPTY = re.compile(r"\n{3,}")
_WORKER = re.compile(r"(?m)^(\[gw\d+\]) \[ *\d{1,3}%\] ")


def clean(text: str) -> str:
    """The text as its lossless form gives it back."""
    text = normalise(text)
    if "%]" in text:
        text = _WORKER.sub(r"\1 ", _PERCENT.sub("", text))
    if any(ruler in text for ruler in _RULERS):
        text = _RULER.sub(_drawn, text)
    if "_ _ _ _" in text or "- - - -" in text:
        text = _SPACED_RULER.sub(r"\1 \1 \1", text)
    if not text.isascii() or _BARS[0] in text or _BARS[1] in text:
        text = _BAR.sub(_shortened, text)
    if "|\n" in text or "│\n" in text:
        text = _GUTTER.sub("", text)
    return _EMPTY.sub("\n\n", text) if "\n\n\n" in text else text


def _drawn(ruler: re.Match[str]) -> str:
    side = ruler[1] * 3
    return f"{side}{ruler[2]}{side}" if ruler[2] else side


def _shortened(bar: re.Match[str]) -> str:
    return bar[0][0] * 3
