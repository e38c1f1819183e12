"""The written form of a page, and its decoder.

Notation, close to markdown: ``[html 4f2a]`` (see ``core.content.seal``) and the title,
``[base]`` and the address that relative links start from; ``#`` headings, ``-`` and
``1.`` items, one blank of indentation per level, ``| a | b`` rows (``|-`` ends a
table's head), samples between fences, a sample of one line between back-ticks,
``[text](target)`` where a target is used first, ``![alternative text]``. A line of text
that imitates a mark has a backslash in front; so have a back-tick, ``|`` in a cell and
the parenthesis of ``](`` in text.
"""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from headroom.core.compressors.html.page import Block, Page
from headroom.core.content.seal import sealed

NAME: Final = "html"
BASE: Final = "[base]"
LEFT_OUT: Final = "[left out"

_HEADER = re.compile(rf"\[{NAME} [0-9a-f]{{4}}\]")
_FENCE_RUN = re.compile(r"^`{3,}", re.MULTILINE)
LINK: Final = re.compile(
    r"(?<!!)\[((?:[^\[\]]|!\[[^\[\]]*\]|\[[^\[\]]*\])*)\]\((<[^>]*>|[^()\s]*)\)"
)
_ALT = re.compile(r"!\[([^\]]*)\]")
_CELL_END = re.compile(r" \|(?: |$)")
_MARK = re.compile(r"(?:#{1,6}|-|\d{1,9}\.)(?: |$)")
_TICKS = re.compile(r"\\?`")
_ESCAPED_START = re.compile(r"(?<=\])\\(\\*)(?=\()|(?<=!)\\(\\*)(?=\[)")


def write_page(page: Page, preamble: str = "") -> str:
    """The whole form of a page."""
    lines = [f" {page.title}".rstrip()]
    if page.address:
        lines.append(f"{BASE} {page.address}")
    if preamble:
        lines += write_blocks([Block("pre", 0, "", preamble)])
    lines += write_blocks(page.blocks)
    return sealed(NAME, "\n".join(lines) + "\n")


def write_blocks(blocks: Iterable[Block]) -> list[str]:
    """The lines of the blocks; a sample is one entry of several lines."""
    lines: list[str] = []
    for block in blocks:
        kind, pad = block.kind, " " * block.indent
        if kind == "row":
            lines.append(f"{pad}| {block.text}")
        elif kind == "head":
            lines.append(f"{pad}| {block.text}\n{pad}|-")
        elif kind == "pre":
            lines.append(_sample(block, pad))
        else:
            lines.append(f"{pad}{block.mark}{block.text}")
    return lines


def _sample(block: Block, pad: str) -> str:
    text, mark = block.text, block.mark
    # Of a long sample an empty line may be all that is left at a place.
    if text and "\n" not in text and "`" not in text and text[-1] != "\\":
        return f"{pad}{mark}`{text}`"
    fence = "```"
    if fence in text:
        longest = max(map(len, _FENCE_RUN.findall(text)), default=0)
        fence = "`" * max(3, longest + 1)
    lead = f"{pad}{mark.rstrip()}\n" if mark else ""
    return f"{lead}{fence}\n{text}\n{fence}"


class Decoded(Struct, frozen=True):
    """What a form says: the title, the visible texts in order, the link targets."""

    title: str
    texts: list[str]
    targets: list[str]


def decode(form: str) -> Decoded:
    """Read a form back.

    Raises:
        ValueError: the text is no form.
    """
    lines = iter(form.rstrip("\n").split("\n"))
    title = next(lines)
    header = _HEADER.match(title)
    if header is None:
        raise ValueError(f"a form begins with [{NAME} and its seal")
    texts: list[str] = []
    targets: list[str] = []
    for line in lines:
        body = line.lstrip(" ")
        fence = _FENCE_RUN.match(body)
        if body == "|-" or body.startswith((f"{BASE} ", LEFT_OUT)):
            continue
        if fence is not None and body == fence[0]:
            texts += iter(lines.__next__, fence[0])
        elif body.startswith("| "):
            cells = _CELL_END.split(body[2:])
            texts += [_plain(cell.replace("\\|", "|"), targets) for cell in cells]
        else:
            mark = _MARK.match(body)
            body = body.removeprefix("\\") if mark is None else body[mark.end() :]
            texts.append(_plain(body, targets))
    return Decoded(title[header.end() :].strip(), texts, targets)


def _plain(text: str, targets: list[str]) -> str:
    """Text without marks; the targets in it are added to ``targets``."""

    def take(match: re.Match[str]) -> str:
        targets.append(match[2].removeprefix("<").removesuffix(">"))
        return match[1]

    if "](" in text:
        text = LINK.sub(take, text)
    text = _ALT.sub(r"\1", text)
    text = _TICKS.sub(lambda found: found[0][1:], text)
    text = _ESCAPED_START.sub(lambda found: found[0][1:], text)
    return text.replace("\\[left out: ", "[left out: ")
