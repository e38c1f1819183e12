"""What is normalised away in build output before anything is folded.

ANSI colours, carriage-return progress and blanks at line ends; the width of rulers and
of finished progress bars, and of a bar's states below each other all but the last;
progress percentages of pytest; empty gutter lines of compiler snippets; of several
empty lines all but one.
"""

import re

from headroom.core.folding import normalise

_PERCENT = re.compile(r"(?<=[^\s|]) +\[ *\d{1,3}%\]$")
"""pytest's progress, at the right edge of a line of results."""

_RULER = re.compile(r"([=_*#~━─═!-])\1{7,}(?:( [^\n]*? )\1{2,})?$")
_SPACED_RULER = re.compile(r"(?:([_-]) ){4,}\1$")
_BAR = re.compile(r"[━─]{8,}|[█▉▊▋▌▍▎▏]{8,}|#{30,}|(?<!=)={30,}>?(?=\])")
_RULERS = tuple(sign * 8 for sign in "=_*#~━─═!-")
_SPACED = ("_ _ _ _", "- - - -")
_BARS = ("#" * 30, "=" * 30)
_BAR_SIGNS = "━─█▉▊▋▌▍▎▏"
_STATE = re.compile(r"([^\n%]*?) *(\d{1,3})%\|[^|\n]*\| *\d\S*?/(\S+) \[[^\n]*\]")
"""A state of tqdm's bars: what for, how far, of how many."""

_MAX_STATE_CHARS = 600
"""A wide terminal's line. The pattern tries every blank and every stroke of a line:
what it takes grows with the square of its length."""

_GUTTER = re.compile(r" +[|│]")
_EMPTY = re.compile(r"\n{3,}")
_WORKER = re.compile(r"(\[gw\d+\]) \[ *\d{1,3}%\] ")


def clean(text: str) -> str:
    """The text as its lossless form gives it back."""
    text = normalise(text)
    if any(ruler in text for ruler in (*_RULERS, *_SPACED)) or "%]" in text:
        text = "\n".join(map(_levelled, text.split("\n")))
    if any(bar in text for bar in (*_BARS, *_BAR_SIGNS)):
        text = _BAR.sub(_shortened, text)
    if "%|" in text:
        text = "\n".join(_last_states(text.split("\n")))
    if "|\n" in text or "│\n" in text:
        *lines, last = text.split("\n")
        lines = [line for line in lines if not _is_gutter(line)]
        text = "\n".join([*lines, last])
    return _EMPTY.sub("\n\n", text) if "\n\n\n" in text else text


def _levelled(line: str) -> str:
    """The line without what depends on the width of the terminal or on progress."""
    if line.endswith("%]"):
        line = _PERCENT.sub("", line)
    worker = _WORKER.match(line) if line.startswith("[gw") else None
    if worker:
        line = f"{worker[1]} {line[worker.end() :]}"
    ruler = _RULER.match(line) if line.startswith(_RULERS) else None
    if ruler:
        return _drawn(ruler)
    spaced = _SPACED_RULER.match(line) if line.startswith(_SPACED) else None
    return f"{spaced[1]} {spaced[1]} {spaced[1]}" if spaced else line


def _last_states(lines: list[str]) -> list[str]:
    """The lines without states of a bar that the next line's has overtaken."""
    kept: list[str] = []
    last: re.Match[str] | None = None
    for line in lines:
        may_be = "%|" in line and len(line) <= _MAX_STATE_CHARS
        state = _STATE.fullmatch(line) if may_be else None
        if (
            state is not None
            and last is not None
            and (state[1], state[3]) == (last[1], last[3])
            and int(state[2]) >= int(last[2])
        ):
            kept.pop()
        kept.append(line)
        last = state
    return kept


def _is_gutter(line: str) -> bool:
    return line.endswith(("|", "│")) and _GUTTER.fullmatch(line) is not None


def _drawn(ruler: re.Match[str]) -> str:
    side = ruler[1] * 3
    return f"{side}{ruler[2]}{side}" if ruler[2] else side


def _shortened(bar: re.Match[str]) -> str:
    return bar[0][0] * 3
