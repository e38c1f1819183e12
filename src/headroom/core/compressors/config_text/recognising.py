"""What is configuration or data in text: YAML, TOML, INI, XML data, lock files.

Told by the first lines: nearly all of them have to be such as the format has. HTML is
no XML data; prose with a colon here and there is no YAML.
"""

import re

_HEAD_CHARS = 6000
_MIN_LINES = 8

# Behind a line end, not at a line's start: the search for it is much faster.
_LOCK = re.compile(
    r"\n(?:# yarn lockfile v1|\[\[package\]\]|lockfileVersion:|GEM|PODS:"
    r"|# This file is (?:automatically )?@generated\b.*)$",
    re.MULTILINE,
)
_GO_SUM = re.compile(r"\S+ v\S+ h1:\S+=$")
_XML = re.compile(r"\s*(?:<\?xml\b|<!--|<[A-Za-z_][\w.:-]*[\s>])")
_HTML = re.compile(
    r"<(?:!doctype html|html|head|body|div|span|p|a|script|table|ul)\b", re.IGNORECASE
)
_XML_LINE = re.compile(r"\s*+(?:<.*>|[^<>]*</[\w.:-]+>|-->|[^<>=]*=\"[^\"]*\"/?>?)$")
_YAML_LINE = re.compile(
    r"\s*(?:- )*(?:[\w./$@\"'*-][\w ./$@\"'()*-]{0,60}:(?: .*)?|- \S.*|#.*|---|\.\.\.)$"
)
_YAML_KEY = re.compile(r"\s*(?:- )*[\w./$\"'-]{1,60}:(?: [^.]*|\s*)$")
_YAML_NESTED = re.compile(r"\s*(?:- )*[\w./$\"'-]{1,60}:$|\s+(?:- )?[\w./-]+: ")
_TOML_LINE = re.compile(
    r"\s*(?:\[{1,2}[^\]]+\]{1,2}|[\w.\"'-]+\s*=.*|[\"'{].*|[\]}],?|[#;].*)$"
)
_TOML_SECTION = re.compile(r"\[{1,2}[\w.\"' :/-]+\]{1,2}$")

LOCK = 0.9
DATA = 0.75


def confidence(text: str) -> float:
    """How sure it is that the text is configuration or data of these formats."""
    head = text[:_HEAD_CHARS]
    rows = head.split("\n")
    if len(text) > _HEAD_CHARS:
        rows.pop()
    lines = [row for row in rows if row.strip()]
    if len(lines) < _MIN_LINES or (
        text[:1] in "{[" and not _TOML_SECTION.match(lines[0])
    ):
        return 0.0
    if _LOCK.search(f"\n{head}") or _have(lines, _GO_SUM, 0.9):
        return LOCK
    if is_xml(text):
        return DATA if _have(lines, _XML_LINE, 0.7) else 0.0
    if _have(lines, _TOML_LINE, 0.95) and any(map(_TOML_SECTION.match, lines)):
        return DATA
    if (
        _have(lines, _YAML_LINE, 0.95)
        and _have(lines, _YAML_KEY, 0.6)
        and _have(lines, _YAML_NESTED, 0.3)
    ):
        return DATA
    return 0.0


def is_xml(text: str) -> bool:
    """The text begins as XML does and shows no element of HTML."""
    if text[:1] != "<" and not text[:1].isspace():
        return False
    head = text[:_HEAD_CHARS]
    return _XML.match(head) is not None and _HTML.search(head) is None


def _have(lines: list[str], pattern: re.Pattern[str], share: float) -> bool:
    """More than that share of the lines match; looks no further than it has to."""
    others = len(lines) * (1 - share)
    for line in lines:
        if pattern.match(line) is None:
            others -= 1
            if others <= 0:
                return False
    return True
