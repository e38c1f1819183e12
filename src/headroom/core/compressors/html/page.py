"""What a reader of the rendered page sees, as a list of blocks in reading order.

One pass over texts and tags (``tokens``): block tags end a block, inline tags leave no
trace but for links, code that does not look like code, and images' alternative texts.
Elements that are never closed, or closed twice, cost nothing but their indentation.

What always holds: every visible text stands in exactly one block, in the order of the
source; every link target that leads off the page stands in one block, where it is first
used. Blanks and line breaks are those of rendered text, but two blanks in a row stay.
"""

import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Final

from msgspec import Struct

from headroom.core.compressors.html.tables import BREAK, Table
from headroom.core.compressors.html.tokens import Tag, attributes, split_markup

MAX_INDENT: Final = 8
# A cell with more parts than this is page layout, not data.
MAX_CELL_BREAKS: Final = 6

_FEW_BLOCKS: Final = 5000
_MIN_CHARS_PER_BLOCK: Final = 16

_MANY_BLANKS = re.compile(r" {3,}")
_SPACES = " \t\r\f\n"
# Code that reads as plain words is marked; `--follow-tags` or `copytree()` needs none.
_PLAIN_WORDS = re.compile(r"[A-Za-z]?[a-z]*")
# Where ``](`` and ``![`` would begin a link or an image, with backslashes or without.
_LINK_START = re.compile(r"(?<=\])\\*+(?=\()|(?<=!)\\*+(?=\[)")
_IMITATION = re.compile(
    r"\\(?!\[left out: )|#{1,6} |- |\|[ -]|\d{1,9}\. |```|\[(?:html|base)\b"
)
_REGION = re.compile(
    r"(?<![a-z])(?:nav|navbar|navigation|menu|sidebar|breadcrumbs?|toc|cookies?|consent"
    r"|related|share|social|promo|newsletter|pagination|skip-?link|contentinfo"
    r"|complementary|toctree-wrapper|sphinxsidebar\w*)(?![a-z])",
    re.IGNORECASE,
)
_REGION_TAGS = {"nav": "navigation", "aside": "aside", "footer": "footer"}
MAY_BE_REGION = {"div", "section", "ul", "header", "form", *_REGION_TAGS}


class Block(Struct, gc=False):
    """One line, or one sample, of the page.

    Attributes:
        kind: ``text``, ``heading``, ``item``, ``row``, ``head`` (the row that names a
            table's columns) or ``pre``.
        indent: how deep it stands in lists and descriptions.
        mark: what stands before the text (``- ``, ``## ``).
        text: one line; of a ``pre`` as many as there are.
        group: number of the table or list it belongs to.
        region: what part of the page it stands in; empty for the main part.
        link_chars: how many characters of the text lead to other pages.
        anchor_chars: how many lead to other places of this page.
    """

    kind: str
    indent: int
    mark: str
    text: str
    group: int = 0
    region: str = ""
    link_chars: int = 0
    anchor_chars: int = 0


class Page(Struct):
    """A page: its title, the address that relative links start from, its blocks."""

    title: str
    address: str
    blocks: list[Block]


class Reader:
    """Reads one page; lives for one call."""

    def __init__(self, text: str) -> None:
        self.has_marks = any(sign in text for sign in "`[]")
        self.page = Page("", "", [])
        self.most = max(_FEW_BLOCKS, len(text) // _MIN_CHARS_PER_BLOCK)
        self.buffer: list[str] = []
        self.kind, self.mark = "text", ""
        # Next number (0: bullets) and group of each open list or description.
        self.nests: list[list[int]] = []
        self.groups = 0
        self.is_pre = False
        self.samples_links: list[str] = []
        self.link: tuple[int, str] | None = None
        self.link_chars = self.anchor_chars = 0
        self.code_at = -1
        self.title_at = -1
        self.seen: set[str] = set()
        # Tag, number of open tags of that name, and name of each open region.
        self.regions: list[tuple[str, int, str]] = []
        self.tables: list[Table] = []

    def read(self, tags: Iterator[Tag]) -> Page:
        """The page that the texts and tags mean (see ``split_markup``)."""
        buffer = self.buffer
        for text, slash, written, source in tags:
            if text:
                is_bare = not self.has_marks and "&" not in text
                buffer.append(text if is_bare else self._plain(text))
            if written is None or source is None:
                continue
            name = written if written in KNOWN else written.lower()
            if name not in KNOWN:
                continue
            if slash:
                self._close(name)
            else:
                if name in MAY_BE_REGION:
                    self._enter_region(name, source)
                start = OPENING.get(name)
                if start is not None:
                    start(self, source)
        while self.tables:
            self.close_table()
        self.is_pre = False
        self.flush()
        return self.page

    def _close(self, name: str) -> None:
        close = CLOSING.get(name)
        if close is not None:
            close(self)
        if self.regions and self.regions[-1][0] == name:
            self._leave_region()

    # Text and blocks

    def _plain(self, text: str) -> str:
        if "&" in text:
            text = unescape(text)
        return escape_inline(text) if self.has_marks and not self.is_pre else text

    def flush(self, _source: str = "") -> None:
        """End the block that is being read."""
        buffer = self.buffer
        if not buffer:
            return
        if self.is_pre:
            if not buffer[-1].endswith("\n"):
                buffer.append("\n")
            return
        table = self.tables[-1] if self.tables else None
        if table is not None and table.is_in_cell:
            table.breaks += 1
            buffer.append(BREAK)
            if table.breaks > MAX_CELL_BREAKS:
                self.unfold_table()
            return
        if self.code_at >= 0:
            self.close_code()
        if self.link is not None and len(buffer) > self.link[0]:
            self.close_link()
        text = normalise("".join(buffer))
        buffer.clear()
        self.code_at = -1
        if self.link is not None:
            self.link = (0, self.link[1])
        if text:
            self.add(self.kind, self.mark, text)
            self.kind, self.mark = "text", ""

    def add(self, kind: str, mark: str, text: str) -> None:
        """Append a block at the present place of the page."""
        depth = len(self.nests) - (kind == "item")
        if kind == "text" and _IMITATION.match(text):
            text = "\\" + text
        group = self.nests[-1][1] if self.nests else 0
        block = Block(kind, min(max(depth, 0), MAX_INDENT), mark, text, group)
        if self.tables:
            block.group = self.tables[-1].group
        if self.regions:
            block.region = self.regions[-1][2]
        block.link_chars, block.anchor_chars = self.link_chars, self.anchor_chars
        self.link_chars = self.anchor_chars = 0
        if len(self.page.blocks) > self.most:
            raise ValueError("more blocks than a page for readers has")
        self.page.blocks.append(block)

    def break_line(self, _source: str) -> None:
        """``<br>``: a line of its own."""
        if self.is_pre:
            self.buffer.append("\n")
        else:
            self.flush()

    def open_heading(self, level: int) -> None:
        """``<h1>`` to ``<h6>``; one inside a cell makes the table layout."""
        if self._is_in_cell():
            self.unfold_table()
        self.flush()
        self.kind, self.mark = "heading", "#" * level + " "

    def close_heading(self) -> None:
        """End of a heading, empty or not."""
        self.flush()
        if self.kind == "heading":
            self.kind, self.mark = "text", ""

    def open_title(self, _source: str) -> None:
        """``<title>``: the page's, if nothing stands before it; else text."""
        self.flush()
        if not self.page.blocks and not self.page.title and not self.tables:
            self.title_at = 0

    def close_title(self) -> None:
        """End of the title."""
        if self.title_at == 0:
            self.page.title = normalise("".join(self.buffer))
            self.buffer.clear()
            self.title_at = -1
        else:
            self.flush()

    # Samples and code

    def open_pre(self, _source: str) -> None:
        """``<pre>``: text that stays as it is."""
        if self._is_in_cell():
            self.unfold_table()
        self.flush()
        self.is_pre = True

    def close_pre(self) -> None:
        """End of a sample; the links met in it follow it."""
        if not self.is_pre:
            return
        self.is_pre = False
        text = "".join(self.buffer).replace("\r\n", "\n")
        self.buffer.clear()
        self.code_at = -1
        self.link = None
        lines = [line.rstrip() for line in text.split("\n")]
        text = "\n".join(lines).strip("\n")
        if text:
            self.add("pre", self.mark, text)
            self.kind, self.mark = "text", ""
        if self.samples_links:
            self.add("links", "", " ".join(self.samples_links))
            self.samples_links.clear()

    def open_code(self, _source: str) -> None:
        """``<code>`` in running text."""
        if not self.is_pre and self.code_at < 0:
            self.code_at = len(self.buffer)

    def close_code(self) -> None:
        """Mark code that could be taken for words."""
        start, self.code_at = self.code_at, -1
        if start < 0 or self.is_pre:
            return
        buffer = self.buffer
        text = "".join(buffer[start:])
        # Behind a backslash the mark would read as a character of the page.
        is_clear = not "".join(buffer[max(0, start - 1) : start]).endswith("\\")
        if text and is_clear and "`" not in text and _PLAIN_WORDS.fullmatch(text):
            buffer[start:] = ["`", text, "`"]

    # Links, images, forms

    def open_link(self, source: str) -> None:
        """``<a>``."""
        if self.link is not None:
            self.close_link()
        if "href" in source or "HREF" in source:
            href = attributes(source).get("href", "").strip()
            if href:
                self.link = (len(self.buffer), href)

    def close_link(self) -> None:
        """Write the target behind the text, where it is used first."""
        if self.link is None:
            return
        (start, href), self.link = self.link, None
        buffer = self.buffer
        inner = "".join(buffer[start:])
        size = len(inner)
        if href.startswith("#"):
            if self.is_pre or any(map(str.isalnum, inner)):
                self.anchor_chars += size
            else:
                del buffer[start:]  # a permalink's sign
            return
        self.link_chars += size
        if not is_target(href) or href in self.seen:
            return
        self.seen.add(href)
        text = inner.strip(_SPACES)
        if text in {href, href.removeprefix("mailto:")}:
            return
        if self.is_pre:
            self.samples_links.append(f"[{normalise(text)}]({as_target(href)})")
            return
        lead = inner[: len(inner) - len(inner.lstrip(_SPACES))]
        tail = inner[len(inner.rstrip(_SPACES)) :] if text else ""
        buffer[start:] = [lead, f"[{text}]({as_target(href)})", tail]

    def image(self, source: str) -> None:
        """``<img>``: its alternative text."""
        if "alt" in source:
            alt = normalise(attributes(source).get("alt", ""))
            if alt:
                self.buffer.append(f"![{escape_inline(alt)}]")

    def input(self, source: str) -> None:
        """``<input>``: what it shows."""
        found = attributes(source)
        if found.get("type", "").lower() not in {"hidden", "checkbox", "radio"}:
            shown = normalise(found.get("value", "") or found.get("placeholder", ""))
            if shown:
                self.buffer.append(f" {escape_inline(shown)} ")

    def embed(self, source: str) -> None:
        """``<iframe>`` and its like: the address of what is shown."""
        self.flush()
        href = attributes(source).get("src", "").strip()
        if is_target(href) and href not in self.seen:
            self.seen.add(href)
            self.buffer.append(f"[]({as_target(href)})")
            self.flush()

    def base(self, source: str) -> None:
        """``<base href>``: where relative links start."""
        self.page.address = attributes(source).get("href", "").strip()

    def relation(self, source: str) -> None:
        """``<link rel=canonical>``: the page's own address."""
        if "canonical" in source and not self.page.address:
            found = attributes(source)
            href = found.get("href", "").strip()
            if found.get("rel", "").lower() == "canonical" and "://" in href:
                self.page.address = href

    # Lists and descriptions

    def open_list(self, _source: str) -> None:
        """``<ul>``."""
        self._nest(0)

    def open_ordered(self, source: str) -> None:
        """``<ol>``, counted from its ``start``."""
        start = attributes(source).get("start", "1") if source else "1"
        self._nest(int(start) if start.isdecimal() and len(start) < 7 else 1)

    def open_nest(self, _source: str) -> None:
        """``<blockquote>``: what stands in it is indented."""
        self._nest(-1)

    def open_meaning(self, _source: str) -> None:
        """``<dd>``; one that was not closed ends here."""
        self.close_meaning()
        self._nest(-2)

    def close_meaning(self, _source: str = "") -> None:
        """End of a ``<dd>``, if one is open; also its next ``<dt>``."""
        self.flush()
        if self.nests and self.nests[-1][0] == -2:
            self.nests.pop()

    def _nest(self, number: int) -> None:
        self.flush()
        self.groups += 1
        self.nests.append([number, self.groups])

    def close_nest(self) -> None:
        """End of the innermost list or description."""
        self.close_meaning()
        if self.nests:
            self.nests.pop()
        self.kind, self.mark = "text", ""

    def item(self, _source: str) -> None:
        """``<li>``."""
        self.flush()
        if self._is_in_cell():
            return
        self.kind, self.mark = "item", "- "
        if self.nests and self.nests[-1][0] > 0:
            self.mark = f"{self.nests[-1][0]}. "
            self.nests[-1][0] += 1

    # Tables

    def _is_in_cell(self) -> bool:
        return bool(self.tables) and self.tables[-1].is_in_cell

    def open_table(self, _source: str) -> None:
        """``<table>``; one inside a cell makes the outer one layout."""
        if self._is_in_cell():
            self.unfold_table()
        self.flush()
        self.groups += 1
        self.tables.append(Table(self.groups))

    def unfold_table(self) -> None:
        """The innermost table is layout: what was read of its row becomes blocks."""
        table = self.tables[-1]
        parts = table.take_cells()
        parts += "".join(self.buffer).split(BREAK)
        self.buffer.clear()
        self.link, self.code_at = None, -1
        table.is_layout, table.is_in_cell = True, False
        for part in parts:
            text = normalise(part)
            if text:
                self.add("text", "", text)

    def open_row(self, _source: str) -> None:
        """``<tr>``."""
        self.close_row()

    def open_cell(self, source: str) -> None:
        """``<td>``."""
        self._cell(source, is_head=False)

    def open_head_cell(self, source: str) -> None:
        """``<th>``."""
        self._cell(source, is_head=True)

    def _cell(self, source: str, *, is_head: bool) -> None:
        if not self.tables or self.tables[-1].is_layout:
            self.flush()
            return
        self.close_cell()
        table = self.tables[-1]
        self.flush()
        table.is_in_cell, table.breaks = True, 0
        spans = attributes(source) if "span" in source.lower() else {}
        table.open_cell(spans, is_head=is_head)

    def close_cell(self) -> None:
        """End of a cell."""
        if not self._is_in_cell():
            self.flush()
            return
        if self.code_at >= 0:
            self.close_code()
        self.close_link()
        table = self.tables[-1]
        table.is_in_cell = False
        parts = map(normalise, "".join(self.buffer).split(BREAK))
        table.close_cell([part for part in parts if part])
        self.buffer.clear()

    def close_row(self) -> None:
        """End of a row: its cells side by side."""
        self.close_cell()
        if not self.tables:
            return
        row = self.tables[-1].take_row()
        if row is not None:
            self.add(row[0], "", row[1])

    def close_table(self) -> None:
        """End of a table."""
        self.close_row()
        if self.tables:
            self.tables.pop()

    # Regions

    def _enter_region(self, name: str, source: str) -> None:
        if self.regions and self.regions[-1][0] == name:
            tag, count, label = self.regions[-1]
            self.regions[-1] = (tag, count + 1, label)
            return
        if self.regions:
            return
        label = _REGION_TAGS.get(name, "")
        if not label and source:
            match = _REGION.search(source)
            label = match[0].lower() if match else ""
        if label:
            self.flush()
            self.regions.append((name, 1, label))

    def _leave_region(self) -> None:
        tag, count, label = self.regions.pop()
        if count > 1:
            self.regions.append((tag, count - 1, label))
        else:
            self.flush()


def normalise(text: str) -> str:
    """Rendered text: one line, no blanks around it, at most two within."""
    if "\n" in text or "\t" in text or "\r" in text:
        text = text.replace("\t", " ").replace("\r", "\n")
        text = " ".join([line.strip(_SPACES) for line in text.split("\n")])
    if "   " in text:
        text = _MANY_BLANKS.sub(" ", text)
    return text.strip(_SPACES)


def escape_inline(text: str) -> str:
    """Text in which nothing reads as a link, as marked code or as a note."""
    if "`" in text:
        text = text.replace("`", "\\`")
    if "[" in text or "(" in text:
        text = _LINK_START.sub(r"\\\g<0>", text)
        text = text.replace("[left out: ", "\\[left out: ")
    return text


def is_target(href: str) -> bool:
    """Whether a link leads somewhere: not to a script, inline data or this page."""
    scheme = href[:11].lower()
    return bool(href) and not scheme.startswith(("javascript:", "data:", "#"))


def as_target(href: str) -> str:
    """A link target as it is written: in angle brackets if it could end too early."""
    if " " in href or "\n" in href or "(" in href or ")" in href:
        return f"<{' '.join(href.split())}>"
    return href


def read_page(text: str) -> Page:
    """The page that the markup of ``text`` means.

    Raises:
        ValueError: it is cut into so many blocks that nobody can have written it.
    """
    return Reader(text).read(split_markup(text))


_OPEN = Callable[[Reader, str], None]
_CLOSE = Callable[[Reader], None]
_BLOCKS = (
    "p", "div", "section", "article", "main", "header", "address", "figure",
    "figcaption", "fieldset", "legend", "form", "details", "summary", "body", "center",
    "dialog", "hgroup", "caption", "optgroup", "option", "button", "label", "thead",
    "tbody", "tfoot", "hr", "textarea", "select", "nav", "aside", "footer",
)  # fmt: skip


def _open_level(level: int) -> _OPEN:
    return lambda reader, _source: reader.open_heading(level)


OPENING: Final[dict[str, _OPEN]] = {
    **dict.fromkeys(_BLOCKS, Reader.flush),
    **{f"h{level}": _open_level(level) for level in range(1, 7)},
    **dict.fromkeys(("code", "tt", "kbd", "samp"), Reader.open_code),
    **dict.fromkeys(("pre", "listing", "xmp"), Reader.open_pre),
    **dict.fromkeys(("ul", "menu", "dir"), Reader.open_list),
    **dict.fromkeys(
        ("iframe", "video", "audio", "source", "embed", "frame"), Reader.embed
    ),
    "a": Reader.open_link, "br": Reader.break_line, "title": Reader.open_title,
    "ol": Reader.open_ordered, "li": Reader.item, "dt": Reader.close_meaning,
    "dd": Reader.open_meaning, "blockquote": Reader.open_nest,
    "table": Reader.open_table, "tr": Reader.open_row, "td": Reader.open_cell,
    "th": Reader.open_head_cell, "img": Reader.image, "input": Reader.input,
    "base": Reader.base, "link": Reader.relation,
}  # fmt: skip
CLOSING: Final[dict[str, _CLOSE]] = {
    **dict.fromkeys(_BLOCKS, Reader.flush),
    **{f"h{level}": Reader.close_heading for level in range(1, 7)},
    **dict.fromkeys(("code", "tt", "kbd", "samp"), Reader.close_code),
    **dict.fromkeys(("pre", "listing", "xmp"), Reader.close_pre),
    **dict.fromkeys(("ul", "ol", "menu", "dir", "blockquote"), Reader.close_nest),
    "a": Reader.close_link, "title": Reader.close_title, "li": Reader.flush,
    "dt": Reader.flush, "dd": Reader.close_meaning, "dl": Reader.close_meaning,
    "table": Reader.close_table, "tr": Reader.close_row, "td": Reader.close_cell,
    "th": Reader.close_cell,
}  # fmt: skip
KNOWN: Final = OPENING.keys() | CLOSING.keys()
