"""A long text piece by piece, each in the form its own kind gives it.

Notation: as of mixed texts (``core.mixed``); the announcement of a piece tells where it
stood, ``[log 30 of lines 1189-2387]``. Numbers of lines and rows within a form begin
anew in each piece. Of a table every piece has the head again: ``[table 80 of lines
901-1800, head again]``. Elements of an array, and members of an object, that make up a
piece of a JSON document have brackets around them in their form, ``[json 30 of elements
201-400]``; the document's own brackets, and the commas between pieces, stand between.
"""

from collections.abc import Callable

from headroom.core.content.cutting import Piece, cut
from headroom.core.content.seal import sealed
from headroom.core.content.sections import MIN_SECTION_CHARS
from headroom.core.mixed import NAME, Section, announce, escape
from headroom.core.types import Candidate, LostTag

STRATEGY = "pieces"
HEAD_AGAIN = ", head again"

Shorten = Callable[[str, str], Section | None]
"""A piece and the kind of the one before it → its form."""


def compress_pieces(
    text: str, shorten: Shorten, head_of: Callable[[str, str], str]
) -> tuple[str, Candidate] | None:
    """A long text with each of its pieces in its own form.

    Args:
        text: the whole text.
        shorten: serves a piece; ``None`` leaves it.
        head_of: kind and text → the lines that every piece has to begin with to be
            understood; none: empty.

    Returns:
        The kind of all forms (``mixed`` if they differ) and the text; ``None`` if no
        piece has a form.
    """
    joined = _Joined(text)
    kind = head = ""
    for piece in cut(text):
        if piece.end - piece.start < MIN_SECTION_CHARS:
            continue
        found = about = None
        if kind and head:
            found = shorten(f"{head}{piece.text_of(text)}", kind)
            about = HEAD_AGAIN
        if found is None or found.kind != kind:
            found, about = shorten(piece.text_of(text), kind), ""
            head = ""
        if found is None:
            continue
        if found.kind != kind:
            kind = found.kind
            head = head_of(kind, text) if piece.start == 0 else ""
        joined.add(piece, found, about or "")
    return joined.written()


class _Joined:
    """The form of a text as it grows."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts = ["\n"]
        self._end = 0
        self._kinds: set[str] = set()
        self._omitted: list[str] = []
        self._lost_tags: list[LostTag] = []

    def add(self, piece: Piece, found: Section, about: str) -> None:
        """Put the form of a piece behind what stands before it as it was."""
        self._as_it_was(piece.start)
        self._end = piece.end
        self._kinds.add(found.kind)
        self._lost_tags += found.lost_tags
        if found.omitted:
            self._omitted.append(f"{piece.place}: {found.omitted}")
        if not self._parts[-1].endswith("\n"):
            self._parts.append("\n")
        self._parts.append(announce(found, f" of {piece.place}{about}"))

    def _as_it_was(self, end: int) -> None:
        between = self._text[self._end : end]
        # A form ends with its own line end.
        if self._end and between.startswith("\n"):
            between = between[1:]
        if between:
            self._parts.append(escape(between))

    def written(self) -> tuple[str, Candidate] | None:
        """The form, once all pieces are there."""
        if not self._kinds:
            return None
        self._as_it_was(len(self._text))
        kind = self._kinds.pop() if len(self._kinds) == 1 else "mixed"
        form = "".join(self._parts)
        self._parts.clear()  # as long again
        return kind, Candidate(
            sealed(NAME, form),
            STRATEGY,
            omitted="; ".join(self._omitted),
            lost_tags=tuple(self._lost_tags),
        )
