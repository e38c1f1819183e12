"""The last resort: a text that no compressor gains on, as a terminal would show it.

Lossless up to what ``headroom.core.content.clean`` takes away; no notation, nothing to
decode. Stands last in the registry, so that every form of a text's own kind goes first.
A blank here and there at a line's end is not worth a change (and forms of other kinds
have them): without colours and the like, an eighth of the lines has to be padded.
"""

import re

from headroom.core.content.clean import clean, is_clean
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context

NAME = "clean"
_CONFIDENCE = 0.5
_CONTROLS = re.compile(r"\x1b|\x08|\r(?!\n)")
_PADDED = re.compile(r"(?<![ \t])[ \t]{2,}\r?$", re.MULTILINE)
_PADDED_SHARE = 8


def detect(text: str) -> float:
    """Just sure enough to be asked, where there may be something to take away."""
    return 0.0 if is_clean(text) else _CONFIDENCE


def compress(text: str, _context: Context) -> Compressed | None:
    """The cleaned text."""
    if not _is_worth_it(text):
        return None
    cleaned = clean(text)
    if len(cleaned) >= len(text) or not cleaned:
        return None
    return Compressed(lossless=Candidate(cleaned, NAME))


def _is_worth_it(text: str) -> bool:
    if _CONTROLS.search(text):
        return True
    padded = len(_PADDED.findall(text))
    return padded * _PADDED_SHARE > text.count("\n") + 1


COMPRESSOR = Compressor(
    name=NAME, kind="mixed", detect=detect, compress=compress, most=_CONFIDENCE
)
