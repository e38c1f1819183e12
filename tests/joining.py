"""Outputs one after the other, inside each other, cut off and damaged."""

from pathlib import Path

from hypothesis import strategies as st

import headroom
from headroom.ccr.stores.memory import MemoryStore

INPUTS = sorted(Path(__file__).parent.joinpath("golden").glob("*/*/input.txt"))
TEXTS = [(path, path.read_bytes().decode()) for path in INPUTS]
SAMPLES = [text for _, text in TEXTS if len(text) < 12_000]
ODD = ["", "\r", "   x  ", "\x1b[31mred\x1b[0m", 'a \\ "quote', "|", "[json 3]", "$a x",
       "[sections]", "#table", "[html] a", "]]}", "<system-reminder>", "~", "+~t2",
       "{{HEADROOM_TAG_0}}", "<<ccr:0123456789abcdef01234567>> 9 lines",
       "… lines (lines 1-9)"]  # fmt: skip
SEPARATORS = ["", "\n", "\n\n", "\n---\n", "\n$ ls\n", "\r\n"]


@st.composite
def pieces(draw, depth=2):
    """An output in any state: whole, cut, damaged, with garbage, or a form of one."""
    text = draw(st.sampled_from(SAMPLES))
    state = draw(st.sampled_from(["whole", "cut", "end", "lines", "odd", "own"]))
    if state == "own" and depth:
        return own_form(draw(pieces(depth=depth - 1)), is_lossy=draw(st.booleans()))
    if state == "cut":
        return text[: draw(st.integers(0, len(text)))]
    if state == "end":
        return text[draw(st.integers(0, len(text))) :]
    lines = text.split("\n")
    if state == "lines":
        start = draw(st.integers(0, len(lines) - 1))
        lines = lines[start : start + draw(st.integers(1, 40))]
    elif state == "odd":
        for _ in range(draw(st.integers(1, 5))):
            at = draw(st.integers(0, len(lines) - 1))
            lines[at] = draw(st.sampled_from(ODD + lines[:3]))
    return "\n".join(lines)


def own_form(text, *, is_lossy):
    store = MemoryStore() if is_lossy else None
    return headroom.compress_text(text, lossy=is_lossy, store=store).text


@st.composite
def joined(draw):
    """One to four outputs, one after the other, one inside the other, or in turns."""
    parts = draw(st.lists(pieces(), min_size=1, max_size=4))
    way = draw(st.sampled_from(["behind", "inside", "in turns"]))
    if way == "behind" or len(parts) == 1:
        return draw(st.sampled_from(SEPARATORS)).join(parts)
    first, second = parts[0].split("\n"), parts[1].split("\n")
    if way == "inside":
        at = draw(st.integers(0, len(first)))
        return "\n".join([*first[:at], *second, *first[at:]])
    step = draw(st.integers(1, 7))
    turns = range(0, max(len(first), len(second)), step)
    return "\n".join(
        line
        for at in turns
        for some in (first, second)
        for line in some[at : at + step]
    )
