"""HTML pages as markdown-like text: headings, lists, tables, samples, links, words.

The markup is read in one pass (``tokens``, ``page``) and written as lines (``form``).
``compress`` accepts a form only if every visible text of the source is found in it, in
order. Normalised away are what a rendered page does not show (scripts, styles,
comments, attributes), what only shapes it (emphasis, permalinks), the blanks and line
breaks of running text, and repeated targets of links. The lossy form (``lossy``) leaves
out navigation, the middles of what is long and plain sentences, with counts.
"""

import re
from html import unescape
from typing import Final

from headroom.core.compressors.html.detection import confidence, find_page
from headroom.core.compressors.html.form import NAME, decode, write_page
from headroom.core.compressors.html.lossy import reduce_blocks
from headroom.core.compressors.html.page import Page, read_page
from headroom.core.compressors.html.tokens import texts
from headroom.core.content.seal import is_sealed
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context

__all__ = ["COMPRESSOR", "compress", "decode", "detect"]

# Below this (about 600 tokens) nearly everything is used later: stay lossless.
MIN_LOSSY_CHARS: Final = 2400

_NO_WORD = re.compile(r"[\W_]+")
_SQUEEZED_CHARS = 65_536
_SEPARATOR = "\x01"
_NO_SIGN = re.compile(rf"[^\w{_SEPARATOR}]+")


def detect(text: str) -> float:
    """How surely the text is a page, or a fragment of one; looks at its beginning."""
    return 1.0 if is_sealed(NAME, text) else confidence(text)


def compress(text: str, ctx: Context) -> Compressed | None:
    """Both forms of a page; ``None`` if it is none, or a file that may be edited."""
    if is_sealed(NAME, text) or not detect(text) or _is_unknown(ctx):
        return None
    start = max(find_page(text), 0)
    preamble = "\n".join(map(str.rstrip, text[:start].strip().splitlines()))
    source = text[start:].replace(_SEPARATOR, "")
    try:
        page = read_page(source)
    except ValueError:
        return None
    form = write_page(page, preamble)
    if len(form) >= len(text) or not is_complete(source, form):
        return None
    lossy = None
    if ctx.wants_lossy and len(form) >= MIN_LOSSY_CHARS:
        question = ctx.question
        if ctx.call is not None:
            question += " " + ctx.call.input.decode("utf-8", "replace")
        reduced = reduce_blocks(page.blocks, question)
        if reduced is not None:
            blocks, omitted = reduced
            short = write_page(Page(page.title, page.address, blocks), preamble)
            if len(short) < len(form):
                lossy = Candidate(short, "html_main", omitted)
    return Compressed(Candidate(form, "html_text"), lossy)


def is_complete(source: str, form: str) -> bool:
    """Whether every visible text of the source stands in the form, in order."""
    # Some of it at a time: what is left of it is held in pieces until it is joined.
    squeezed = "".join(
        _NO_WORD.sub("", form[start : start + _SQUEEZED_CHARS])
        for start in range(0, len(form), _SQUEEZED_CHARS)
    )
    at = 0
    for some in texts(source):
        # Many at once: the source has no such sign, nor does an entity stand for it.
        joined = _SEPARATOR.join(some)
        joined = unescape(joined) if "&" in joined else joined
        for word in _NO_SIGN.sub("", joined.replace("_", "")).split(_SEPARATOR):
            if word:
                found = squeezed.find(word, at)
                if found < 0:
                    return False
                at = found + len(word)
    return True


def _is_unknown(ctx: Context) -> bool:
    """The call behind the text cannot be seen: it may have read a file to be edited."""
    return ctx.call is not None and not ctx.call.name


COMPRESSOR = Compressor(
    name="html", kind="html", detect=detect, compress=compress, reads_whole=True
)
