"""The gutter of numbered file views: blank padding, line number, separator.

``cat -n`` and the read tools of agents put one in front of every line. It is no file
text: the padding may go, the number and everything from the separator on may not.
"""

import re
from itertools import pairwise

GUTTER = re.compile(r"([ \t]*)(\d{1,7})(\t|→|\||: ?|│)")
"""Groups: padding, number, separator."""

SAMPLE_LINES = 24


def is_numbered(lines: list[str]) -> bool:
    """Whether most of the first lines carry consecutive numbers."""
    sample = lines[:SAMPLE_LINES]
    found = [int(m[2]) for line in sample if (m := GUTTER.match(line))]
    steps = sum(b == a + 1 for a, b in pairwise(found))
    return steps >= 2 and steps * 2 >= len(sample) - 2
