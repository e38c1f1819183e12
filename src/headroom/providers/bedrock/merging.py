"""A JSON value that came in pieces, put together by what all of Converse's blocks do.

Texts are joined, lists too, and objects member by member; a piece that nothing is added
to keeps its own bytes
(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlockDelta.html).
"""

from collections.abc import Sequence

from headroom.core.wire import json_parts
from headroom.errors import StreamError

_MAX_DEPTH = 16
"""Objects in objects that are put together; those of blocks are three deep."""


def merged(pieces: Sequence[bytes], depth: int = 0) -> bytes:
    """The value that pieces add up to; linear in their bytes.

    Args:
        pieces: JSON values, at least one, in the order in which they came.
        depth: of the objects that they are members of.

    Raises:
        StreamError: they do not fit together.
    """
    if len(pieces) == 1:
        return pieces[0]
    openings = {piece[:1] for piece in pieces}
    if openings == {b'"'}:
        texts = [json_parts.string(piece) for piece in pieces]
        return json_parts.encode_string(json_parts.joined(texts))
    if openings == {b"["}:
        lists = [json_parts.elements(piece) for piece in pieces]
        return b"[%b]" % b",".join(element for found in lists for element in found)
    if openings == {b"{"} and depth < _MAX_DEPTH:
        found: dict[str, list[bytes]] = {}
        for piece in pieces:
            for name, value in json_parts.members(piece).items():
                found.setdefault(name, []).append(value)
        whole = {name: merged(values, depth + 1) for name, values in found.items()}
        return json_parts.encode_object(whole)
    raise StreamError("pieces of a block do not fit together")
