"""Where libraries live, said once: their directories and packages as ``@a`` … ``@h``.

::

    trace prefixes
    @a=/srv/shop/node_modules/express/lib
    @b=org.springframework.beans.factory

    TypeError: x is not a function
        at next (@a/router/route.js:149:13)
        at @b.BeanFactory.create(BeanFactory.java:318)

Only what is known as a library's is shortened; paths and frames of one's own code stay
quotable, and every frame has its file and line.
"""

import re
from collections import Counter

from headroom.core.content.tokens import estimate_tokens

HEADER = "trace prefixes"

_LETTERS = "abcdefgh"
_CODE = re.compile(r"@([a-h])(?=[/.])")
# What may be a path, and what a call at its start may be, each looked into once.
_PATH = re.compile(r"[\w/.@+-]{6,}")
_CALL = re.compile(r"at (?<!\wat )([\w./]+[$(]?)")
_DIRECTORY = re.compile(
    r"(?<![\w@.-])(?:/[\w.@+-]+)*/(?:site-packages|dist-packages|node_modules|gems|registry"
    r"|rustc|mod|go/src|lib/python\d[\d.]*|lib/ruby)(?=/)(?:/[\w.@+-]+)*(?=/)"
)
_HOMES = (
    "/site-packages/", "/dist-packages/", "/node_modules/", "/gems/", "/registry/",
    "/rustc/", "/mod/", "/go/src/", "/lib/python", "/lib/ruby/",
)  # fmt: skip
"""One of these is in every directory of a library."""

_PACKAGE = re.compile(
    r"(?:[\w.]+/)?(?:java|javax|jdk|sun|kotlin|kotlinx|scala|akka|reactor|android|androidx"
    r"|org\.springframework|org\.apache|org\.hibernate|org\.junit|org\.eclipse|io\.netty|com\.google|com\.sun|com\.android"
    r"|com\.fasterxml|com\.zaxxer|System|Microsoft)(?:\.[A-Za-z]\w*)*?(?=\.[A-Z]\w*[.$]|\.\w+\()"
)
_SAMPLE = 200_000


def shorten(text: str) -> tuple[str, str] | None:
    """Legend and shortened text; ``None`` where it does not pay or is ambiguous."""
    if _CODE.search(text):
        return None
    counts = _places(text[:_SAMPLE])
    chosen = _choose(counts)
    if not chosen:
        return None
    legend = [f"@{x}={place}" for x, place in zip(_LETTERS, chosen, strict=False)]
    codes = {place: f"@{x}" for x, place in zip(_LETTERS, chosen, strict=False)}
    short = _coded(text, codes)
    return "\n".join([HEADER, *legend, ""]), short


def _places(sample: str) -> dict[str, int]:
    """Directories and packages of libraries that stand more than once, and how often.

    Ancestors too, as several packages may share one prefix, but none that only stands
    where one longer place does.
    """
    found: list[tuple[str, int]] = []
    if any(home in sample for home in _HOMES):
        for path, count in Counter(_PATH.findall(sample)).items():
            if "/" in path:
                found += ((place, count) for place in _DIRECTORY.findall(path))
    if "at " in sample:
        for call, count in Counter(_CALL.findall(sample)).items():
            package = _PACKAGE.match(call)
            if package:
                found.append((package[0], count))
    counts: dict[str, int] = {}
    longer: dict[str, int] = {}
    for place, count in found:
        sign = "/" if place.startswith("/") else "."
        parts = place.split(sign)
        for end in range(3, len(parts) + 1):
            start = sign.join(parts[:end])
            counts[start] = counts.get(start, 0) + count
    for place, count in counts.items():
        above = place.rpartition("/" if place.startswith("/") else ".")[0]
        longer[above] = max(longer.get(above, 0), count)
    return {p: n for p, n in counts.items() if n > 1 and n > longer.get(p, 0)}


def _choose(counts: dict[str, int]) -> list[str]:
    """The prefixes that save most; an ancestor of one only for what that leaves."""
    chosen: list[str] = []
    costs = {place: estimate_tokens(place) for place in counts}
    while len(chosen) < len(_LETTERS):
        best = max(
            counts,
            key=lambda p: (counts[p] * (costs[p] - 2) - costs[p] - 4, p),
            default=None,
        )
        if best is None or counts[best] * (costs[best] - 2) <= costs[best] + 4:
            break
        chosen.append(best)
        sign = "/" if best.startswith("/") else "."
        hits = counts[best]
        for place in list(counts):
            if place == best or place.startswith(best + sign):
                del counts[place]
            elif best.startswith(place + sign):
                counts[place] -= hits
    return chosen


def _coded(text: str, codes: dict[str, str]) -> str:
    """The text with each place, where it is no part of a longer word, as its code."""
    longest = sorted(codes, key=len, reverse=True)
    places = "|".join(re.escape(place) for place in longest)

    def code(found: re.Match[str]) -> str:
        start = found.start()
        before = text[start - 1] if start else " "
        is_inside = before.isalnum() or before in "_@.-"
        return found[0] if is_inside else codes[found[0]]

    # What stands before is looked at last: the search for literals alone is fast.
    return re.sub(rf"(?:{places})(?=[/.])", code, text)


def lengthen(form: str) -> str:
    """The text that ``shorten`` made the legend and text of, joined by a line end.

    Raises:
        ValueError: it is no such text.
    """
    head, blank, text = form.partition("\n\n")
    first, *legend = head.split("\n")
    if first != HEADER or not blank:
        raise ValueError("no legend of prefixes")
    places: dict[str, str] = {}
    for entry in legend:
        code, equal, place = entry.partition("=")
        if not equal or len(code) != 2 or code in places:
            raise ValueError("legend entry without a code of its own")
        places[code[1:]] = place
    return _CODE.sub(lambda m: places.get(m[1], m[0]), text)
