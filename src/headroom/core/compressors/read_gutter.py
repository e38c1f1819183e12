"""Numbered file views: the padding before the line numbers goes, all else stays.

An edit tool may have to quote a file exactly, so no line of it is altered; the padding
of the gutter is no file text, and one token on nearly every line. Decoding pads the
numbers to the width they had; the form needs no header, because it says the same.
"""

from headroom.core.content.gutter import GUTTER, is_numbered
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context

NAME = "read_gutter"


def detect(text: str) -> float:
    """Sure of a text whose first lines carry consecutive, padded numbers."""
    head = text[:4096].split("\n")
    return 0.99 if text[:1] in {" ", "\t"} and is_numbered(head) else 0.0


def compress(text: str, _context: Context) -> Compressed | None:
    """The text with its gutter flush left."""
    lines = text.split("\n")
    if not is_numbered(lines):
        return None
    expected = -1
    is_changed = False
    for index, line in enumerate(lines):
        match = GUTTER.match(line)
        if match is None:
            continue
        number = int(match[2])
        # A number out of turn is text that happens to begin like a gutter.
        if expected in {-1, number}:
            expected = number + 1
            if match[1]:
                lines[index] = line[match.end(1) :]
                is_changed = True
    if not is_changed:
        return None
    return Compressed(lossless=Candidate("\n".join(lines), NAME))


def decode(form: str, width: int = 6) -> str:
    """The view with its numbers padded to ``width`` again (6 for ``cat -n``)."""
    lines = form.split("\n")
    expected = -1
    for index, line in enumerate(lines):
        match = GUTTER.match(line)
        if match is not None and not match[1] and expected in {-1, int(match[2])}:
            expected = int(match[2]) + 1
            lines[index] = match[2].rjust(width) + line[match.end(2) :]
    return "\n".join(lines)


COMPRESSOR = Compressor(name=NAME, kind="code", detect=detect, compress=compress)
