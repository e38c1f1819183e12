"""The JSON value that a tool result is, where it is short enough to be compared."""

from headroom.core.compressors.json_table.parse import RefusedError, Value, read

MIN_CHARS = 208
"""Shorter results are not referred to."""

MAX_CHARS = 100_000
"""Longer results are not compared: what they hold is a table, not a record."""


def parsed(text: str) -> Value:
    """The object or array that a text is; ``None``: neither, or too long or short."""
    if not MIN_CHARS <= len(text) <= MAX_CHARS or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        document = read(text)
    except RefusedError:
        return None
    return None if document.is_lines else document.value
