"""What a tool result looks like, as a short hash: for learning between runs.

Results of the same command in the same shape have the same structure, whatever they
say: the tool, the first words of a command, and of the text the keys of its first JSON
object or the outline of its first lines. No word of the text itself goes in.
"""

import msgspec

from headroom.core.content.hints import command_of
from headroom.core.digest import content_digest
from headroom.core.types import ToolCall

STRUCTURE_HEX_LENGTH = 16
_HEAD_CHARS = 2_000
_LINES = 3
_LINE_CHARS = 48
_COMMAND_WORDS = 2
_MAX_KEYS = 24
_MAX_JSON_CHARS = 1_000_000

_ROW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ROWS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def structure_of(text: str, call: ToolCall | None) -> str:
    """The structure of a tool result: 16 hex digits.

    Args:
        text: the result.
        call: what asked for it, if that is known.
    """
    head = text[:_HEAD_CHARS]
    parts = [_asked(call), _keys(text) or _outline(head)]
    return content_digest("\0".join(parts))[:STRUCTURE_HEX_LENGTH]


def _asked(call: ToolCall | None) -> str:
    if call is None:
        return ""
    words = [w for w in command_of(call).split() if not w.startswith("-")]
    return " ".join([call.name, *words[:_COMMAND_WORDS]])


def _keys(text: str) -> str:
    """The keys of a JSON object, or of the first one of a list."""
    if text[:1] not in {"{", "["} or len(text) > _MAX_JSON_CHARS:
        return ""
    try:
        found = _ROWS.decode(text)[:1] if text[0] == "[" else [_ROW.decode(text)]
    except (ValueError, RecursionError):
        return ""
    return "{" + ",".join(sorted(found[0])[:_MAX_KEYS]) + "}" if found else ""


def _outline(head: str) -> str:
    """The first lines with every letter an ``a`` and every digit a ``0``, runs once."""
    lines = [line[:_LINE_CHARS] for line in head.split("\n") if line.strip()][:_LINES]
    outlines = []
    for line in lines:
        shape: list[str] = []
        for char in line:
            sign = "a" if char.isalpha() else "0" if char.isdigit() else char
            if not shape or shape[-1] != sign:
                shape.append(sign)
        outlines.append("".join(shape))
    return "\n".join(outlines)
