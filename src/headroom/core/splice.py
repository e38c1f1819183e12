"""Body + edits → body. The one place where a request's bytes change.

Every change to a body is an ``Edit`` against the original bytes; all other bytes are
copied as they stand. No edits: the same object comes back.
"""

from collections.abc import Sequence

from headroom.core.types import Edit
from headroom.errors import OverlappingEditsError


def splice(body: bytes, edits: Sequence[Edit]) -> bytes:
    """Return ``body`` with every edit applied; all other bytes are copied as they are.

    Args:
        body: the request body as the client sent it.
        edits: replacements whose spans are byte offsets into ``body``; any order.
            Insertions at one place keep the order they are given in.

    Raises:
        OverlappingEditsError: two spans share a byte, or one lies outside the body.
    """
    if not edits:
        return body
    view = memoryview(body)
    pieces: list[bytes | memoryview] = []
    cursor = 0
    for edit in sorted(edits, key=lambda e: (e.span.start, e.span.end)):
        start, end = edit.span.start, edit.span.end
        if start < cursor or end < start or end > len(body):
            raise OverlappingEditsError(
                f"edit [{start}, {end}) meets the one that ends at {cursor}"
                f" in a body of {len(body)} bytes"
            )
        pieces += (view[cursor:start], edit.replacement)
        cursor = end
    pieces.append(view[cursor:])
    return b"".join(pieces)
