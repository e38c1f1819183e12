"""Texts of very many, very short lines: not worth what they cost.

Every line that is read becomes objects of some hundred bytes. Where a line holds a few
characters, and there are tens of thousands of them, reading takes dozens of times the
text's size in memory and nearly a second per megabyte, and there is little to say in
fewer tokens. The compressors that read a text line by line leave such texts alone.
"""

from typing import Final

_MANY_LINES: Final = 50_000
_FEW_CHARS: Final = 16


def is_crumbled(text: str) -> bool:
    """Whether the text is tens of thousands of lines of a few characters each."""
    if len(text) <= _MANY_LINES:
        return False
    lines = text.count("\n")
    return lines > _MANY_LINES and len(text) < _FEW_CHARS * lines
