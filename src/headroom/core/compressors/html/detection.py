"""Whether a text is a page meant for readers, and where it starts.

A whole document is known by its first tags, behind response headers or a command's own
lines if need be. A fragment has to be dense with the tags of running text. Sources that
only look alike (templates, components, XML, SVG, markdown with some tags) are no pages:
somebody edits them, or they have their own forms.
"""

import re
from typing import Final

SAMPLE_CHARS: Final = 10_000
MAX_PREAMBLE_CHARS: Final = 4_000
MAX_PREAMBLE_LINES: Final = 60
MIN_FRAGMENT_TAGS: Final = 8

_START = re.compile(
    r"^[ \t\ufeff]*(?:<\?xml [^>]*\?>\s*)?(?:<!--(?:(?!-->).){0,2000}-->\s*){0,3}"
    r"(?:<!doctype html\b|<html(?=[\s>])|<head(?=[\s>])|<body(?=[\s>]))",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_NO_PREAMBLE = re.compile(
    r"^(?:diff |@@ |[+-]{3} |commit |\s*```)|</|\'\'\'|\"\"\"|[`'\"(=]\n", re.MULTILINE
)
_TAG = re.compile(r"<(/?)([a-zA-Z][\w:.-]*)([^<>]*)>")
_KNOWN = frozenset(
    {"a", "abbr", "article", "aside", "b", "blockquote", "br", "button", "center",
     "cite", "code", "dd", "del", "details", "div", "dl", "dt", "em", "fieldset",
     "figcaption", "figure", "font", "footer", "form", "h1", "h2", "h3", "h4",
     "h5", "h6", "header", "hr", "i", "iframe", "img", "input", "ins", "kbd",
     "label", "li", "link", "main", "mark", "meta", "nav", "noscript", "ol",
     "option", "p", "picture", "pre", "q", "s", "samp", "script", "section",
     "select", "small", "source", "span", "strike", "strong", "style", "sub",
     "summary", "sup", "svg", "path", "table", "tbody", "td", "textarea", "tfoot",
     "th", "thead", "time", "title", "tr", "tt", "u", "ul", "var", "video"}
)  # fmt: skip
_TEXT_TAGS = frozenset(
    {"a", "article", "blockquote", "dd", "div", "dl", "dt", "footer", "h1", "h2",
     "h3", "h4", "h5", "h6", "header", "li", "main", "nav", "ol", "p", "pre",
     "section", "span", "table", "td", "th", "tr", "ul"}
)  # fmt: skip
# Placeholders of templates and bindings of components, inside tags or between blocks.
_TEMPLATE = re.compile(
    r"<\?php|<\?=|<%|^[ \t]*\{%[-+]? |\{\{[#/>{]|<[a-zA-Z][^<>]{0,400}\{[{%]|className="
    r"|=\{|\sv-(?:if|for|bind|model|on|html|else)\b|\s[@#:*][a-zA-Z][\w.:-]*=\""
    r"|\s[(\[][\w.]+[)\]]=\"|<[A-Z][a-z]+[A-Z\s/>]|<ng-|<script setup|<template>",
    re.MULTILINE,
)
# The same in a whole document, where rendered pages carry bindings too.
_PAGE_TEMPLATE = re.compile(
    r"\A\s*(?:<\?php|<%|\{%)|<\?php|<%[=@ -]|<[a-zA-Z][^<>]{0,200}=\"?\{[{%]"
    r"|<title>[^<]{0,80}(?:\{[{%]|%[\w.]+%)|^[ \t]*\{%[-+]? (?:block|extends|if|for) ",
    re.MULTILINE,
)
_SAMPLE_CODE = re.compile(r"<(pre|script|style|code)\b.*?(?:</\1>|\Z)", re.DOTALL)
_MARKDOWN = re.compile(r"^(?:#{1,6} \S|```|[-*] \S|\d+\. \S)|\]\(", re.MULTILINE)


def find_page(text: str) -> int:
    """Where a document starts in the text: ``0`` or behind a preamble; ``-1``: none."""
    match = _START.search(text[: MAX_PREAMBLE_CHARS + SAMPLE_CHARS])
    if match is None or match.start() > MAX_PREAMBLE_CHARS:
        return -1
    before = text[: match.start()]
    if before.strip() and not match[0].lower().endswith(("html", "<html")):
        return -1
    # What stands before a page is a few lines: response headers, a command's own words.
    if before.count("\n") > MAX_PREAMBLE_LINES or _NO_PREAMBLE.search(before):
        return -1
    return match.start()


def confidence(text: str) -> float:
    """How surely the text is a page, from 0.0 to 1.0."""
    if "<" not in text[: MAX_PREAMBLE_CHARS + 200]:
        return 0.0
    start = find_page(text)
    if start >= 0:
        sample = text[start : start + SAMPLE_CHARS]
        if _PAGE_TEMPLATE.search(_SAMPLE_CODE.sub("", sample)):
            return 0.0
        return 0.97 if start == 0 or len(_TAG.findall(sample)) > 3 else 0.0
    return _fragment(text[:SAMPLE_CHARS])


def _fragment(sample: str) -> float:
    """The same for a text without the beginning of a document."""
    sample = sample.lstrip("\ufeff \t\r\n")
    if not sample.startswith("<") or sample.startswith("<?"):
        return 0.0
    tags = _TAG.findall(sample)
    if len(tags) < MIN_FRAGMENT_TAGS or tags[0][1] not in _TEXT_TAGS:
        return 0.0
    if tags[0][1] in {"svg", "path", "script", "style", "link"}:
        return 0.0
    prose = _SAMPLE_CODE.sub("", sample)
    if _TEMPLATE.search(prose) or _MARKDOWN.search(_TAG.sub(" ", prose)):
        return 0.0
    known = sum(name.lower() in _KNOWN for _, name, _ in tags)
    is_closed = any(slash for slash, _, _ in tags)
    markup = sum(len(name) + len(rest) + 2 for _, name, rest in tags)
    if known < 0.95 * len(tags) or not is_closed or markup < 0.12 * len(sample):
        return 0.0
    return 0.9
