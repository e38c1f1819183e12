"""Custom tags in text survive lossy compression, or go without leaving a trace.

Harnesses mark parts of a text with tags of their own (``<system-reminder>``). Before
lossy text compression each such tag is swapped for a placeholder
``{{HEADROOM_TAG_0}}``; afterwards the placeholders that are still there become tags
again. Where one of a pair was lost, its partner goes too: a wrap that lost an end is no
wrap. Tags of HTML, comments and declarations are text like any other.

What always holds: nothing is added but the tags themselves, each where its placeholder
stands; opening and closing tags that came in pairs leave in pairs; if all placeholders
are lost, the compressed text stays byte for byte. Any text can be read, cut off
anywhere; the work is linear in its length.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from headroom.core.types import LostTag

MAX_TAG_CHARS: Final = 512
MAX_PREVIEW_CHARS: Final = 80

_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)((?:[ \t][^<>\n]*)?/?)>")
_PLACEHOLDER = re.compile(r"\{\{HEADROOM_TAG_(\d{1,9})\}\}")
_MAX_NUMBER: Final = 999_999_999
# The elements of the HTML Living Standard, obsolete ones included.
_HTML = frozenset(
    {"a", "abbr", "acronym", "address", "applet", "area", "article", "aside",
     "audio", "b", "base", "basefont", "bdi", "bdo", "bgsound", "big", "blink",
     "blockquote", "body", "br", "button", "canvas", "caption", "center", "cite",
     "code", "col", "colgroup", "command", "content", "data", "datalist", "dd",
     "del", "details", "dfn", "dialog", "dir", "div", "dl", "dt", "element", "em",
     "embed", "fieldset", "figcaption", "figure", "font", "footer", "form", "frame",
     "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hgroup",
     "hr", "html", "i", "iframe", "image", "img", "input", "ins", "isindex", "kbd",
     "keygen", "label", "legend", "li", "link", "listing", "main", "map", "mark",
     "marquee", "math", "menu", "menuitem", "meta", "meter", "multicol", "nav",
     "nextid", "nobr", "noembed", "noframes", "noscript", "object", "ol", "optgroup",
     "option", "output", "p", "param", "picture", "plaintext", "portal", "pre",
     "progress", "q", "rb", "rp", "rt", "rtc", "ruby", "s", "samp", "script",
     "search", "section", "select", "shadow", "slot", "small", "source", "spacer",
     "span", "strike", "strong", "style", "sub", "summary", "sup", "svg", "table",
     "tbody", "td", "template", "textarea", "tfoot", "th", "thead", "time", "title",
     "tr", "track", "tt", "u", "ul", "var", "video", "wbr", "xmp"}
)  # fmt: skip


_WRAP_TAG = re.compile(
    r"^<([A-Za-z][A-Za-z0-9]*[-_][\w.:-]{0,80})(?:[ \t][^<>\n]{0,400})?>"
    r"|</([A-Za-z][A-Za-z0-9]*[-_][\w.:-]{0,80})>(?=[ \t\r]*$)",
    re.MULTILINE,
)
"""Names of two words, as harnesses choose them, and no parameters of a type."""

_ANY_WRAP_TAG = re.compile(
    r"<(/?)([A-Za-z][A-Za-z0-9]*[-_][\w.:-]{0,80})(?:[ \t][^<>\n]{0,400})?(?<!/)>"
)

MAX_WRAP_CHARS: Final = 4_000
MAX_WRAPS: Final = 32


class Tag(Struct, frozen=True, gc=False):
    """One tag that was swapped out: its text, and the number of its partner.

    Attributes:
        partner: number of the tag that it opens or closes with; ``-1`` if it stands
            alone.
    """

    text: str
    partner: int


class Protected(Struct, frozen=True):
    """A text with placeholders, and the tags they stand for.

    Attributes:
        start: number of the first placeholder, above all that the text held itself.
    """

    text: str
    tags: tuple[Tag, ...]
    start: int = 0


class Restored(Struct, frozen=True):
    """A text with its tags back, and the tags that were lost on the way."""

    text: str
    lost: tuple[LostTag, ...]


def find_wraps(text: str) -> list[tuple[int, int]]:
    """Where passages stand that a harness put on lines of their own, tags included.

    They begin with a custom tag at the start of a line and end with its partner at the
    end of one. What is longer than a note, or more than half of the text, is no note
    but what a tool returned, in a frame.
    """
    if "</" not in text:
        return []
    found = list(_WRAP_TAG.finditer(text))
    last_end = {match[2]: match.start() for match in found if match[2]}
    wraps: list[tuple[int, int]] = []
    name, start, depth = "", 0, 0
    for match in found:
        if not depth:
            if match[1] and last_end.get(match[1], -1) > match.start():
                name, start, depth = match[1], match.start(), 1
        elif match[1] == name:
            depth += 1
        elif match[2] == name:
            depth -= 1
            if not depth and match.end() - start <= MAX_WRAP_CHARS:
                wraps.append((start, match.end()))
    return wraps if 2 * sum(b - a for a, b in wraps) <= len(text) else []


def is_unbalanced(text: str, form: str) -> bool:
    """Whether a form has more tags without a partner than its text."""
    if "</" not in text:
        return False
    before, after = _excess(text), _excess(form)
    return any(abs(n) > abs(before[name]) for name, n in after.items())


def _excess(text: str) -> Counter[str]:
    """Beginnings less ends, of names of two words."""
    found: Counter[str] = Counter()
    for slash, name in _ANY_WRAP_TAG.findall(text):
        found[name] += -1 if slash else 1
    return found


def lost_of(text: str, form: str) -> tuple[LostTag, ...]:
    """Tags of names of two words that the form says less often than its text."""
    if "</" not in text:
        return ()
    counts = Counter(match[0] for match in _WRAP_TAG.finditer(text))
    return tuple(
        LostTag(tag[:MAX_PREVIEW_CHARS], len(form))
        for tag, count in counts.items()
        if form.count(tag) < count
    )


def protect(text: str) -> Protected | None:
    """Swap custom tags for placeholders, and all lines that ``find_wraps`` finds.

    Returns:
        ``None`` if the text itself holds so high a placeholder that no number is left:
        it should not be compressed lossily.
    """
    if "<" not in text:
        return Protected(text, ())
    start = 1 + max(map(int, _PLACEHOLDER.findall(text)), default=-1)
    pieces: list[str] = []
    texts: list[str] = []
    partners: list[int] = []
    open_tags: dict[str, list[int]] = {}
    stray_ends: dict[str, list[int]] = {}
    at = 0
    ends = dict(find_wraps(text))
    for match in _TAG.finditer(text):
        if match.start() < at:
            continue
        slash, name, rest = match.groups()
        end = ends.get(match.start(), match.end())
        if end > match.end():
            pieces.append(text[at : match.start()])
            wrap = text[match.start() : end]
            pieces += _swapped_lines(wrap, start, texts)
            partners += [-1] * (len(texts) - len(partners))
            at = end
            continue
        if name.lower() in _HTML or len(match[0]) > MAX_TAG_CHARS:
            continue
        number = len(texts)
        partner = -1
        if slash:
            opened = open_tags.get(name)
            if opened:
                partner = opened.pop()
                partners[partner] = number
            else:
                stray_ends.setdefault(name, []).append(number)
        elif not rest.endswith("/"):
            open_tags.setdefault(name, []).append(number)
        texts.append(match[0])
        partners.append(partner)
        pieces += [text[at : match.start()], _placeholder(start + number)]
        at = match.end()
    _pair(stray_ends, open_tags, partners)
    if texts and start + len(texts) > _MAX_NUMBER:
        return None
    pieces.append(text[at:])
    tags = tuple(Tag(one, other) for one, other in zip(texts, partners, strict=True))
    return Protected("".join(pieces), tags, start)


def _pair(
    stray_ends: dict[str, list[int]],
    open_tags: dict[str, list[int]],
    partners: list[int],
) -> None:
    """An end before its beginning: to drop one alone leaves the other in excess."""
    for name, ends in stray_ends.items():
        for end, begin in zip(ends, open_tags.get(name, ()), strict=False):
            partners[end], partners[begin] = begin, end


def _swapped_lines(wrap: str, start: int, texts: list[str]) -> Iterator[str]:
    """A wrap with a placeholder for each line, so that lines keep their numbers."""
    for line in wrap.splitlines(keepends=True):
        own = line.rstrip("\r\n")
        if own:
            yield _placeholder(start + len(texts))
            texts.append(own)
        yield line[len(own) :]


def _placeholder(number: int) -> str:
    return f"{{{{HEADROOM_TAG_{number}}}}}"


def restore(compressed: str, protected: Protected) -> Restored:
    """Swap the placeholders that are left for their tags.

    Args:
        compressed: the text after compression. A placeholder that comes back twice
            becomes its tag the first time, and nothing after that; numbers that
            ``protect`` did not give out stay text.
        protected: what ``protect`` made of the text.
    """
    tags, begin = protected.tags, protected.start
    places = [
        (int(match[1]) - begin, match.start(), match.end())
        for match in _PLACEHOLDER.finditer(compressed)
        if begin <= int(match[1]) < begin + len(tags)
    ]
    first: dict[int, int] = {}
    for number, start, _ in places:
        first.setdefault(number, start)
    lost = [number for number in range(len(tags)) if number not in first]
    pieces: list[str] = []
    at = 0
    for number, start, end in places:
        pieces.append(compressed[at:start])
        at = end
        if first[number] == start and _is_whole(number, first, tags):
            pieces.append(tags[number].text)
    pieces.append(compressed[at:])
    return Restored(
        "".join(pieces),
        tuple(
            LostTag(tags[number].text[:MAX_PREVIEW_CHARS], len(compressed))
            for number in lost
        ),
    )


def _is_whole(number: int, first: dict[int, int], tags: tuple[Tag, ...]) -> bool:
    """The tag stands alone, or its partner is there too, on its right side."""
    partner = tags[number].partner
    if partner < 0:
        return True
    if partner not in first:
        return False
    is_opening = number < partner
    return (first[number] < first[partner]) == is_opening
