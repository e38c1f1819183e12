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
from typing import Final

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


def split_markup(text: str) -> Iterator[str | None]:
    """Texts and tags in turn.

    Text, ``/`` or empty, name, attributes, text, and so on. Comments, scripts and
    declarations have ``None`` for the three.
    """
    # Some tags at a time, for memory's sake; few enough times that copying the rest of
    # the text stays cheap. ``texts`` does the same.
    step = max(_MIN_STEP, text.count("<") // _MAX_STEPS)
    while True:
        parts = _TOKEN.split(text, step)
        text = parts.pop()
        yield from parts
        if len(parts) < step * 4:
            yield text
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


def texts(text: str) -> Iterator[str]:
    """The texts between the tags, entities unescaped; none is empty or blank."""
    step = max(_MIN_STEP, text.count("<") // _MAX_STEPS)
    while True:
        parts = _BARE_TOKEN.split(text, step)
        text = parts.pop() if len(parts) > step else ""
        for part in parts:
            if part and not part.isspace():
                yield unescape(part) if "&" in part else part
        if not text:
            return
