"""Cut HTML into texts and tags, as browsers do, in one pass.

The markup is read as a stream, not as a tree: tree builders spend quadratic time and
memory on deep nesting and on formatting elements that are never closed (a megabyte of
``<div>`` takes minutes), and nothing here needs a tree.

Follows the tokenizer of the HTML Living Standard (section 13.2.5): ``<`` opens a tag
only before a letter or ``/`` and a letter, quotes count only behind ``=``, comments end
at ``-->``, an unclosed one at the end of the text.
"""

import re
from collections.abc import Iterator
from html import unescape
from typing import Final, TypeAlias

_MIN_STEP: Final = 1000
_MAX_STEPS: Final = 64

# Possessive throughout: no input makes it look at a character more than a few times.
_ATTRIBUTES = r"(?:[^>=]++|=\s*+(?:\"[^\"]*+\"|'[^']*+')?+)*+"
_SCRIPT = rf"(?:script|style)(?=[\s/>]){_ATTRIBUTES}>.*?(?:</(?:script|style)[^>]*>|\Z)"
_OTHER = r"!--(?:-?>|.*?--!?>|.*)|[!?/][^>]*(?:>|\Z)"
_NAME = r"[a-z][^\s/>]*+"
_TOKEN = re.compile(
    rf"<(?:{_SCRIPT}|(/?)({_NAME})({_ATTRIBUTES})(?:>|\Z)|{_OTHER})",
    re.IGNORECASE | re.DOTALL,
)
_BARE_TOKEN = re.compile(
    rf"<(?:{_SCRIPT}|/?{_NAME}{_ATTRIBUTES}(?:>|\Z)|{_OTHER})",
    re.IGNORECASE | re.DOTALL,
)
"""The same where nobody asks what tag it is."""

_ATTRIBUTE = re.compile(
    r"([^\s=/\"'>]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))|([^\s=/\"'>]+)"
)


Tag: TypeAlias = tuple[str, str | None, str | None, str | None]
"""Text, and behind it ``/`` or empty, name and attributes of a tag.

Comments, scripts and declarations, and the end, have ``None`` for the three.
"""


def split_markup(text: str) -> Iterator[Tag]:
    """Texts, each with the tag behind it."""
    # Some tags at a time, for memory's sake; few enough times that copying the rest of
    # the text stays cheap. ``texts`` does the same.
    step = max(_MIN_STEP, text.count("<") // _MAX_STEPS)
    while True:
        parts = _TOKEN.split(text, step)
        text = parts.pop()
        yield from zip(*[iter(parts)] * 4, strict=True)
        if len(parts) < step * 4:
            yield text, None, None, None
            return


def attributes(source: str) -> dict[str, str]:
    """The attributes of a tag, values unescaped; of two by one name the first."""
    found: dict[str, str] = {}
    for name, quoted, single, bare, flag in _ATTRIBUTE.findall(source):
        value = quoted or single or bare
        found.setdefault(
            (name or flag).lower(), unescape(value) if "&" in value else value
        )
    return found


def texts(text: str) -> Iterator[list[str]]:
    """The texts between the tags as they stand, some at a time; none is empty."""
    step = max(_MIN_STEP, text.count("<") // _MAX_STEPS)
    while True:
        parts = _BARE_TOKEN.split(text, step)
        text = parts.pop() if len(parts) > step else ""
        yield list(filter(None, parts))
        if not text:
            return
