r"""A text as units: paragraphs, list items, option descriptions, and lines left alone.

Hard-wrapped lines are one unit if a line breaker would have broken them there: the next
line's first word did not fit any more. So the break says nothing, and only lines of
words qualify; code, tables, addresses, verse and short lines stay lines.

What a unit does not keep: where its lines were broken, the indentation of its second
and later lines, blanks at line ends, overstrikes (``a\ba``), the colours of a
terminal, the length of a ruler, the number of blank lines in a row. Blanks that only
justify a line stay, so that what stood on one line can be quoted.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

MIN_WRAPPED_CHARS: Final = 40
"""A line that a line breaker filled is at least so long."""

MIN_WIDTH: Final = 60
MAX_WIDTH: Final = 160
# A word that did not fit may have been shorter than this by a hyphen or a wide letter.
_SLACK: Final = 0.86

_OVERSTRIKE = re.compile(r".\x08")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")
_INDENT = re.compile(r" *")
_RULER = re.compile(r"([=~^*+#._-])\1{4,}\Z")
# Behind a line end, not at a line's start: the search for them is much faster.
_ANY_RULER = re.compile(r"\n *+([=~^*+#._-])\1{4,}(?=\n|\Z)")
_MARK = re.compile(r"\n *+\\?#{1,2} +")
_FENCE = re.compile(r"\s*(```+|~~~+)")
# A marker and the column where its text begins.
_ITEM = re.compile(
    r"(?:[-*+•o]|\(?[0-9a-zA-Z]{1,3}[.)]|:[\w -]{1,40}:|\[\d+\]) +(?=\S)"
)
_GAP = re.compile(r"\S( {2,})(?=\S)")
_STARTS_ANEW = re.compile(
    r"\\#|[-*+•] |\(?\d{1,3}[.)] |[|>$%#]|>>>|\.\. |//|--?\w|:\w+:|@|```|\[\d+\] "
    r"|\[[^\[\]]+\]: |[\w-]+: |<"
)
_ENDS_OPEN = re.compile(r"[-{;\\|]\Z|::\Z")
_CODE_SIGNS = re.compile(r"[{};=<>|\\$]|\w[(_]|::")
_CODE_BYTES = b"{};=<>|\\$"
_LETTERS = bytes((*range(65, 91), *range(97, 123)))
_RULERS = frozenset("=~^*+#._-")
_WIDE_GAP = re.compile(r"\S {4,}\S")


class Unit(Struct, gc=False):
    """One line of the form.

    Attributes:
        indent: blanks before the first line.
        text: the unit in one line, without them; empty for blank lines.
        first: number of its first line in the source, from 1.
        last: number of its last line.
        is_prose: more than one line was joined, or one could have been.
    """

    indent: int
    text: str
    first: int
    last: int
    is_prose: bool


def clean(text: str) -> str:
    """Without overstrikes, colours, carriage returns and blanks at line ends."""
    if "\x08" in text:
        text = _OVERSTRIKE.sub("", text)
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    text = text.replace("\r\n", "\n")
    return "\n".join([line.rstrip(" \t") for line in text.split("\n")])


def read_units(text: str, worded: dict[str, bool] | None = None) -> list[Unit]:
    """The units of a cleaned text, in order.

    Args:
        text: the text.
        worded: what is known of lines from reading another form of it; added to.
    """
    return _Lines(text.split("\n"), {} if worded is None else worded).units()


def squeeze(text: str) -> str:
    """What two forms of a text have in common: all but what this page normalises."""
    lined = f"\n{clean(text)}"
    if "#" in lined:
        lined = _MARK.sub("\n", lined)
    lined = _ANY_RULER.sub(r"\n\1\1\1", lined)
    for blank in " \n\t\r\f\v":
        lined = lined.replace(blank, "")
    return lined


class _Lines:
    """The lines of one text and what is known of them; lives for one call."""

    def __init__(self, lines: list[str], worded: dict[str, bool]) -> None:
        self.lines = lines
        self.width = _width(lines)
        self._worded = worded

    def units(self) -> list[Unit]:
        found: list[Unit] = []
        lines, at, size = self.lines, 0, len(self.lines)
        literal = -1  # lines deeper than this are a literal block
        while at < size:
            line = lines[at]
            if not line:
                if not found or found[-1].text:
                    found.append(Unit(0, "", at + 1, at + 1, is_prose=False))
                at += 1
                continue
            indent = len(line) - len(line.lstrip(" "))
            fence = _FENCE.match(line) if "```" in line or "~~~" in line else None
            if fence is not None:
                end = self._fence_end(at, fence[1])
            elif indent > literal >= 0:
                end = at + 1
            else:
                literal = indent if line.endswith("::") else -1
                end = at + 1
                if len(line) <= MAX_WIDTH and end < size and lines[end]:
                    end = self._paragraph_end(at, indent)
                if end == at + 1:
                    found.append(self._one_line(at, line[indent:], indent))
                else:
                    found.append(self._joined(at, end, indent))
                at = end
                continue
            found += [_plain(lines[n], n) for n in range(at, end)]
            at = end
        return found

    def _fence_end(self, at: int, fence: str) -> int:
        for end in range(at + 1, len(self.lines)):
            if self.lines[end].lstrip(" ").startswith(fence):
                return end + 1
        return at + 1

    def _paragraph_end(self, at: int, indent: int) -> int:
        """Behind the last line that a line breaker split off from line ``at``."""
        lines, size = self.lines, len(self.lines)
        end = at + 1
        inner = -1
        is_item = (
            lines[at][indent] in "-*+•" and lines[at][indent + 1 : indent + 2] == " "
        )
        while end < size and self._was_broken(
            lines[end - 1], lines[end], is_item=is_item
        ):
            line = lines[end]
            depth = len(line) - len(line.lstrip(" "))
            if inner < 0:
                if depth not in _columns(lines[at], indent):
                    break
                inner = depth
            elif depth != inner:
                break
            end += 1
        return end

    def _was_broken(self, line: str, following: str, *, is_item: bool) -> bool:
        """Whether the break between the lines says nothing.

        In an item of a list, sentences on lines of their own are one paragraph too.
        """
        size = len(line)
        if size > MAX_WIDTH or not following:
            return False
        body = following.lstrip(" ")
        # What rules most lines out comes first.
        is_filled = (
            size >= MIN_WRAPPED_CHARS
            and size + 1 + len(body.partition(" ")[0]) > self.width
        )
        is_ended = is_item and line[-1] in ".!?)"
        if not (is_filled or is_ended):
            return False
        if _ENDS_OPEN.search(line) or _STARTS_ANEW.match(body):
            return False
        if not self._is_worded(body):
            return False
        return is_ended or self._is_worded(_described(line))

    def _is_worded(self, text: str) -> bool:
        """The same as for one line; asked of a line with the one before and behind."""
        known = self._worded.get(text)
        if known is None:
            known = self._worded[text] = is_worded(text)
        return known

    def _one_line(self, at: int, text: str, indent: int) -> Unit:
        if text[0] in _RULERS and _RULER.match(text):
            text = text[0] * 3
        is_prose = text[-1] in ".!?" and self._is_worded(text)
        return Unit(indent, text, at + 1, at + 1, is_prose=is_prose)

    def _joined(self, at: int, end: int, indent: int) -> Unit:
        parts = [line.lstrip(" ") for line in self.lines[at:end]]
        return Unit(indent, " ".join(parts), at + 1, end, is_prose=True)


def _plain(line: str, at: int) -> Unit:
    text = line.lstrip(" ")
    return Unit(len(line) - len(text), text, at + 1, at + 1, is_prose=False)


def _width(lines: Sequence[str]) -> float:
    """The length that lines were broken at, less some slack."""
    sizes = sorted(
        len(line)
        for line, following in itertools.pairwise(lines)
        if following and MIN_WRAPPED_CHARS <= len(line) <= MAX_WIDTH
    )
    if not sizes:
        return float(MAX_WIDTH)
    return max(sizes[int(len(sizes) * 0.95)] * _SLACK, MIN_WIDTH)


def _columns(line: str, indent: int) -> tuple[int, ...]:
    """The columns where the second line of a paragraph may begin."""
    item = _ITEM.match(line, indent)
    if item is not None:
        return (item.end(),)
    gap = _GAP.search(line, indent)
    return (indent,) if gap is None else (indent, gap.end(1))


def _described(line: str) -> str:
    """The line without an option's name in a column of its own."""
    body = line.lstrip(" ")
    return body.partition("   ")[2].lstrip(" ") or body


def is_worded(text: str) -> bool:
    """The line holds words, not code or columns."""
    if "    " in text and _WIDE_GAP.search(text):
        return False
    size = len(text)
    if not text.isascii():
        if len(_CODE_SIGNS.findall(text)) * 14 > size:
            return False
        letters = sum(map(str.isalpha, text))
    else:
        plain = text.encode()
        if "(" in text or "_" in text or "::" in text:
            signs = len(_CODE_SIGNS.findall(text))
        else:
            signs = size - len(plain.translate(None, _CODE_BYTES))
        if signs * 14 > size:
            return False
        letters = size - len(plain.translate(None, _LETTERS))
    return letters * 10 > (size - text.count(" ")) * 7
