"""Where libraries live, said once: their directories and packages as ``@a`` … ``@h``.

::

    trace prefixes
    @a=/srv/shop/node_modules/express/lib
    @b=org.springframework.beans.factory

    TypeError: x is not a function
        at next (@a/router/route.js:149:13)
        at @b.BeanFactory.create(:318)

A Java frame whose file has the name of its class leaves the file out. Only what
``_LIBRARY`` names is shortened; paths and frames of one's own code stay quotable.
"""

import re
from collections import Counter

from headroom.core.content.tokens import estimate_tokens

HEADER = "trace prefixes"

_LETTERS = "abcdefgh"
_CODE = re.compile(r"@([a-h])(?=[/.])")
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
    r"(?<=\bat )(?:[\w.]+/)?(?:java|javax|jdk|sun|kotlin|scala|akka|reactor"
    r"|org\.springframework|org\.apache|org\.hibernate|org\.junit|org\.eclipse|io\.netty|com\.google|com\.sun"
    r"|com\.fasterxml|com\.zaxxer|System|Microsoft)(?:\.[A-Za-z]\w*)*?(?=\.[A-Z]\w*[.$]|\.\w+\()"
)
_SAME_FILE = re.compile(
    r"(@[a-h]\.(?:[\w]+\.)*?(\w+)(?:\$[\w$]*)?\.[\w$<>]+\()\2\.java(?=:\d+\))"
)
_NO_FILE = re.compile(
    r"(@[a-h]\.(?:[\w]+\.)*?(\w+)(?:\$[\w$]*)?\.[\w$<>]+\()(?=:\d+\))"
)
_SAMPLE = 200_000


def shorten(text: str) -> tuple[str, str] | None:
    """Legend and shortened text; ``None`` where it does not pay or is ambiguous."""
    if _CODE.search(text):
        return None
    counts: Counter[str] = Counter()
    sample = text[:_SAMPLE]
    for pattern in (_DIRECTORY, _PACKAGE):
        if pattern is _DIRECTORY and not any(map(sample.__contains__, _HOMES)):
            continue
        for place in pattern.findall(sample):
            sign = "/" if place.startswith("/") else "."
            # Ancestors too: several packages may share one prefix.
            parts = place.split(sign)
            for end in range(3, len(parts) + 1):
                counts[sign.join(parts[:end])] += 1
    chosen = _choose(counts)
    if not chosen:
        return None
    legend = [f"@{x}={place}" for x, place in zip(_LETTERS, chosen, strict=False)]
    codes = {place: f"@{x}" for x, place in zip(_LETTERS, chosen, strict=False)}
    longest = sorted(chosen, key=len, reverse=True)
    places = "|".join(re.escape(place) for place in longest)
    found = re.compile(rf"(?<![\w@.-])(?:{places})(?=[/.])")
    short = found.sub(lambda m: codes[m[0]], text)
    return "\n".join([HEADER, *legend, ""]), _SAME_FILE.sub(r"\1", short)


def _choose(counts: Counter[str]) -> list[str]:
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
    text = _NO_FILE.sub(r"\1\2.java", text)
    return _CODE.sub(lambda m: places.get(m[1], m[0]), text)
