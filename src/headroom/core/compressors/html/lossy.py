"""The page with less: what surrounds the text, and the middles of what is long.

Left out, each in place with its count: lists of links in navigation, side bars and the
like, bars of links, tables of contents (the headings they repeat stay), the middles of
long tables, samples and lists of links. Links within running text lose targets that are
places of the same site, counted at the page's end, unless links are asked for.
Sentences stay wherever they stand, a footer's too, and so does everything that shares a
rare word with the question or the call, or speaks of trouble.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Final, TypeAlias

from msgspec.structs import replace

from headroom.core.compressors.html.form import LINK
from headroom.core.compressors.html.page import Block
from headroom.core.content.passages import spare, split_sentences
from headroom.core.content.relevance import words
from headroom.core.content.severity import has_trouble

_MIN_RUN: Final = 4
_ROWS: Final = (20, 8, 3)
"""Tables longer than the first keep so many rows at their start and end."""
_LINES: Final = (36, 18, 6)
_LINKS: Final = (30, 12, 3)
_SENTENCE_CHARS: Final = 40
_MIN_BAR: Final = 4
_MIN_TARGETS: Final = 8
_MIN_TARGET_CHARS: Final = 6
_ABSOLUTE = re.compile(r"<?(?:[a-zA-Z][\w+.-]*:|//)")
_ASKS_LINKS = re.compile(
    r"\b(?:links?|urls?|hrefs?|targets?|download\w*)\b", re.IGNORECASE
)
_MIN_KEPT: Final = 0.3
_SENTENCE_SHARE: Final = 0.21
"""How much of the running text may go at most, in characters."""

_Account: TypeAlias = list[tuple[str, int]]
"""Units of the page, and how many of them were left out."""


def reduce_blocks(blocks: list[Block], question: str) -> tuple[list[Block], str] | None:
    """Fewer blocks and the account of what is missing; ``None`` if nothing is."""
    asked = _asked(blocks, question)
    total = sum(len(block.text) for block in blocks)
    kept, account = _drop_frame(blocks, asked)
    kept = [_without_bar(block, asked, account) for block in kept]
    if sum(len(block.text) for block in kept) < _MIN_KEPT * total:
        kept, account = blocks, []  # the links are what the page is for
    out: list[Block] = []
    for is_table, found in groupby(kept, key=lambda block: block.kind == "row"):
        for _, run in groupby(found, key=lambda block: block.group if is_table else 0):
            rows = list(run)
            if is_table:
                out += _shorten(rows, asked, _ROWS, "rows", account)
            else:
                out += _shorten_links(rows, asked, account)
    out = _spare_sentences(out, question, account)
    if not _ASKS_LINKS.search(question):
        out = _drop_targets(out, asked, account)
    if not account:
        return None
    counts: Counter[str] = Counter()
    for unit, count in account:
        counts[unit] += count
    told = "; ".join(f"{count} {unit}" for unit, count in counts.items())
    return out, f"left out: {told}"


def _spare_sentences(
    blocks: list[Block], question: str, account: _Account
) -> list[Block]:
    """Plain sentences of long texts go, counted in place."""
    texts = [block.text if block.kind in {"text", "item"} else "" for block in blocks]
    left = spare(texts, question, int(sum(map(len, texts)) * _SENTENCE_SHARE))
    out = list(blocks)
    for index, spans in left.items():
        text, pieces, at = texts[index], [], 0
        for start, end in spans:
            pieces += [
                text[at:start].rstrip(),
                f"[left out: {_sentences(text[start:end])}]",
            ]
            at = end
        pieces.append(text[at:])
        out[index] = replace(blocks[index], text=" ".join(filter(None, pieces)))
    if left:
        account.append(("paragraphs in part", len(left)))
    return out


def _without_bar(block: Block, asked: frozenset[str], account: _Account) -> Block:
    """A note in place of a line that is nothing but links: menus, languages, crumbs."""
    if block.kind != "text" or block.text.count("](") < _MIN_BAR:
        return block
    links = sum(len(match[1]) for match in LINK.finditer(block.text))
    rest = len(LINK.sub("", block.text).replace(" ", ""))
    if links < 2 * rest or _is_asked(block.text, asked):
        return block
    return next(_note(block.text.count("]("), "link bars", account))


def _drop_targets(
    blocks: list[Block], asked: frozenset[str], account: _Account
) -> list[Block]:
    """Links of running text without targets on the same site; words of links stay."""
    count = 0

    def shorten(match: re.Match[str]) -> str:
        nonlocal count
        target = match[2]
        if len(target) < _MIN_TARGET_CHARS or _ABSOLUTE.match(target):
            return match[0]
        count += 1
        return match[1]

    out: list[Block] = []
    for block in blocks:
        is_running = _is_running_text(block) and not _is_asked(block.text, asked)
        short = LINK.sub(shorten, block.text) if is_running else block.text
        out.append(replace(block, text=short) if is_running else block)
    if count < _MIN_TARGETS:
        return blocks
    account.append(("targets of links in running text", count))
    told = f"[left out: targets of {count} links in running text]"
    return [*out, Block("note", 0, "", told)]


def _is_running_text(block: Block) -> bool:
    """A line with links that is more than its links."""
    if block.kind not in {"text", "item"} or "](" not in block.text or _is_link(block):
        return False
    return 2 * block.link_chars < len(LINK.sub(r"\1", block.text))


def _sentences(text: str) -> str:
    count = len(split_sentences(text))
    return f"{count} sentence{'s' * (count > 1)}"


def _asked(blocks: list[Block], question: str) -> frozenset[str]:
    """The words of the question that single out some blocks of the page."""
    terms = set(words(question))
    if not terms:
        return frozenset()
    found: Counter[str] = Counter()
    for block in blocks:
        found.update(terms.intersection(words(block.text)))
    limit = max(3, len(blocks) // 20)
    return frozenset(term for term, times in found.items() if times <= limit)


def _is_asked(text: str, asked: frozenset[str]) -> bool:
    return bool(asked) and not asked.isdisjoint(words(text))


def _drop_frame(
    blocks: list[Block], asked: frozenset[str]
) -> tuple[list[Block], _Account]:
    """Without navigation and tables of contents, except for sentences in them."""
    kept: list[Block] = []
    account: _Account = []
    for (region, is_contents), found in groupby(blocks, key=_frame):
        run = list(found)
        left = [block for block in run if not _stays(block, asked)]
        if not (region or is_contents) or len(left) < _MIN_RUN:
            kept += run
            continue
        name = region or "contents"
        count = 0
        for block in run:
            if _stays(block, asked):
                kept += _note(count, name, account)
                count = 0
                kept.append(block)
            else:
                count += 1
        kept += _note(count, name, account)
    return kept, account


def _frame(block: Block) -> tuple[str, bool]:
    is_contents = block.anchor_chars * 2 > len(block.text) and block.kind == "item"
    return block.region, is_contents


def _stays(block: Block, asked: frozenset[str]) -> bool:
    size = len(block.text)
    links = block.link_chars + block.anchor_chars
    is_sentence = size >= _SENTENCE_CHARS and links * 2 < size
    is_note = block.region in {"footer", "contentinfo"} and links * 3 < size
    return is_sentence or is_note or block.kind == "pre" or _is_asked(block.text, asked)


def _note(count: int, name: str, account: _Account) -> Iterator[Block]:
    if count:
        account.append((f"items of {name}", count))
        yield Block("note", 0, "", f"[left out: {count} items of {name}]")


def _shorten_links(
    blocks: list[Block], asked: frozenset[str], account: _Account
) -> Iterator[Block]:
    """Blocks other than rows: the middles of samples and of lists of links go."""
    for is_list, run in groupby(blocks, key=_is_link):
        if is_list:
            yield from _shorten(list(run), asked, _LINKS, "links", account)
            continue
        for block in run:
            if block.kind == "pre":
                yield from _shorten_sample(block, asked, account)
            else:
                yield block


def _is_link(block: Block) -> bool:
    links = block.link_chars + block.anchor_chars
    return block.kind == "item" and links * 4 > len(block.text) * 3


def _spared(
    texts: list[str], asked: frozenset[str], limits: tuple[int, int, int]
) -> Iterator[tuple[bool, int, int]]:
    """Runs of kept and left out entries as (kept, first, behind the last)."""
    most, first, last = limits
    size = len(texts)
    if size <= most:
        yield True, 0, size
        return
    stays = [
        at < first or at >= size - last or has_trouble(text) or _is_asked(text, asked)
        for at, text in enumerate(texts)
    ]
    start = 0
    for is_kept, run in groupby(stays):
        end = start + len(list(run))
        # A short gap is not worth its note.
        yield is_kept or end - start < _MIN_RUN, start, end
        start = end


def _shorten(
    blocks: list[Block],
    asked: frozenset[str],
    limits: tuple[int, int, int],
    unit: str,
    account: _Account,
) -> Iterator[Block]:
    texts = [block.text for block in blocks]
    for is_kept, start, end in _spared(texts, asked, limits):
        if is_kept:
            yield from blocks[start:end]
        else:
            note = f"{unit} {start + 1}-{end} of {len(blocks)}"
            account.append((unit, end - start))
            yield Block("note", blocks[start].indent, "", f"[left out: {note}]")


def _shorten_sample(
    block: Block, asked: frozenset[str], account: _Account
) -> Iterator[Block]:
    lines = block.text.split("\n")
    for is_kept, start, end in _spared(lines, asked, _LINES):
        if is_kept:
            yield replace(block, text="\n".join(lines[start:end]))
        else:
            note = f"lines {start + 1}-{end} of {len(lines)}"
            account.append(("lines of samples", end - start))
            yield Block("note", block.indent, "", f"[left out: {note}]")
