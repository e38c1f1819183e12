"""The last resort: a text that no compressor gains on, as a terminal would show it.

Lossless up to what ``headroom.core.content.clean`` takes away; no notation, nothing to
decode. Stands last in the registry, so that every form of a text's own kind goes first.
"""

from headroom.core.content.clean import clean, is_clean
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context

NAME = "clean"
_CONFIDENCE = 0.5


def detect(text: str) -> float:
    """Just sure enough to be asked, where there may be something to take away."""
    return 0.0 if is_clean(text) else _CONFIDENCE


def compress(text: str, _context: Context) -> Compressed | None:
    """The cleaned text."""
    cleaned = clean(text)
    if len(cleaned) >= len(text) or not cleaned:
        return None
    return Compressed(lossless=Candidate(cleaned, NAME))


COMPRESSOR = Compressor(name=NAME, kind="mixed", detect=detect, compress=compress)
