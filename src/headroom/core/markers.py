"""Markers: the short text that stands for an original and names its key.

Written by the pipeline at the end of a lossy result, found again in any text. A marker
grants nothing by itself: originals are kept per namespace, so that a forged one finds
nothing that is not its reader's own.
"""

from msgspec import Struct

_OPEN, _CLOSE = "<<ccr:", ">>"
_HEX = frozenset("0123456789abcdef")
_SHORTEST, _LONGEST = 12, 24


class Marker(Struct, frozen=True):
    """A marker found in a text: its digest, and the text as it stands there."""

    digest: str
    text: str


def write_marker(digest: str, omitted: str, how: str) -> str:
    """The line that ends a lossy result: what is missing and how to get it.

    Args:
        digest: 24 hex digits.
        omitted: what is missing, in units of the source.
        how: ``tool`` or ``shell``.
    """
    way = "headroom_retrieve" if how == "tool" else f"headroom retrieve {digest}"
    return f"{_OPEN}{digest}{_CLOSE} {omitted}; full text: {way}"


def find_markers(text: str) -> tuple[Marker, ...]:
    """All markers in a text, in order."""
    found = []
    for piece in text.split(_OPEN)[1:]:
        digest, close, _ = piece.partition(_CLOSE)
        if close and _SHORTEST <= len(digest) <= _LONGEST and set(digest) <= _HEX:
            found.append(Marker(digest, f"{_OPEN}{digest}{_CLOSE}"))
    return tuple(found)
