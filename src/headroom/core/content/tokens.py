"""A one-pass estimate of token counts, without any vocabulary.

Used where a cheap, deterministic number is enough: choosing between layouts of a text.
The gate that accepts a result uses a real tokenizer (``headroom.inference``).
"""

import re

_PIECES = re.compile(r"[^\W\d_]+|\d{1,3}|\s+|[^\w\s]|_")


def estimate_tokens(text: str) -> int:
    """About how many o200k tokens the text has; 0 only for the empty text."""
    return sum(1 + (len(m) - 1) // 8 for m in _PIECES.findall(text))
