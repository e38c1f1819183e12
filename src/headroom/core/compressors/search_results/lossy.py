"""What the next step needs of many hits: every match, near context, every file's name.

Context is cut to the two lines on each side of a match, where they say something. Only
above ``MAX_MATCHES`` matches are left out: those far from the question and the call's
pattern, repeats of a text first, never a file's first match. Very long lines (minified
files) keep the part around what was searched. Each cut is told where it was made, on
lines that start with ``|`` in the form.
"""

import re
from itertools import groupby
from typing import Final

from headroom.core.compressors.search_results.parse import RAW, Found, Hit

# Above this many matches an agent refines its search instead of reading them all.
MAX_MATCHES: Final = 500
KEPT_MATCHES: Final = 400
MAX_TEXT: Final = 600
KEPT_TEXT: Final = 200
NEAR_LINES: Final = 2

_WORD = re.compile(r"[^\W\d_]\w{3,}")
_SAYS_SOMETHING = re.compile(r"\w")
_DEFINITION = re.compile(
    r"\s*(?:export |pub |public |private |static |async |default |abstract )*"
    r"(?:def|class|func|fn|function|interface|struct|enum|type|trait|const)\b"
)


def reduce_hits(found: Found, question: str, pattern: str) -> tuple[Found, str] | None:
    """A part of the hits and the account of what is missing; ``None``: nothing is.

    Args:
        found: all hits.
        question: what the user asked.
        pattern: the call's arguments, as text.
    """
    words = frozenset(
        w.lower() for w in _WORD.findall(f"{question} {pattern}"[:20_000])
    )
    hits, context = _near_context(found.hits)
    hits, matches = _best_matches(hits, words)
    hits, shortened = _shorten(hits, pattern)
    told = []
    if context:
        told.append(f"{context} context lines, blank or over 2 lines from a match")
    if matches:
        told.append(f"{matches} matches (see the lines on each file)")
    if shortened:
        told.append(f"the ends of {shortened} long lines")
    if not told:
        return None
    account = "omitted: " + "; ".join(told)
    note = Hit("", RAW, 0, account)
    return Found(found.style, found.gaps, (*hits, note)), account


def _near_context(hits: tuple[Hit, ...]) -> tuple[list[Hit], int]:
    if all(hit.mark != "-" for hit in hits):
        return list(hits), 0
    near = {
        (hit.path, hit.line + distance)
        for hit in hits
        if hit.mark == ":"
        for distance in range(-NEAR_LINES, NEAR_LINES + 1)
    }
    kept = [
        h
        for h in hits
        if h.mark != "-"
        or ((h.path, h.line) in near and _SAYS_SOMETHING.search(h.text))
    ]
    return kept, len(hits) - len(kept)


def _best_matches(hits: list[Hit], words: frozenset[str]) -> tuple[list[Hit], int]:
    places = [i for i, h in enumerate(hits) if h.mark == ":" and h.text]
    if len(places) - len({hits[i].path for i in places}) <= MAX_MATCHES - KEPT_MATCHES:
        return hits, 0
    if len(places) <= MAX_MATCHES:
        return hits, 0
    first_in_file: dict[str, int] = {}
    repeats: dict[str, int] = {}
    ranked: list[tuple[bool, int, int, int]] = []
    for index in places:
        hit = hits[index]
        is_first = first_in_file.setdefault(hit.path, index) == index
        text = hit.text.strip()
        seen = repeats[text] = repeats.get(text, 0) + 1
        score = sum(1 for w in set(_WORD.findall(text.lower()[:400])) if w in words)
        score += 2 if _DEFINITION.match(text) else 0
        ranked.append((not is_first, seen > 3, -score, index))
    ranked.sort()
    kept = {r[-1] for r in ranked[:KEPT_MATCHES]} | set(first_in_file.values())
    dropped = [i for i in places if i not in kept]
    return _without(hits, frozenset(dropped)), len(dropped)


def _without(hits: list[Hit], dropped: frozenset[int]) -> list[Hit]:
    """The hits but for ``dropped``, each file followed by what it misses."""
    out: list[Hit] = []
    for path, group in groupby(range(len(hits)), key=lambda i: hits[i].path):
        indices = list(group)
        out += [hits[i] for i in indices if i not in dropped]
        gone = [hits[i] for i in indices if i in dropped]
        if gone and path:
            span = f", lines {gone[0].line}-{gone[-1].line}" if gone[0].line > 0 else ""
            out.append(Hit("", RAW, 0, f"{len(gone)} more matches{span}"))
        elif gone:
            numbers = f"lines {gone[0].line}-{gone[-1].line}"
            out.append(Hit("", RAW, 0, f"{len(gone)} more matches, {numbers}"))
    return out


def _shorten(hits: list[Hit], pattern: str) -> tuple[list[Hit], int]:
    if all(len(h.text) <= MAX_TEXT for h in hits):
        return hits, 0
    words = sorted(set(_WORD.findall(pattern)), key=lambda w: (-len(w), w))
    out: list[Hit] = []
    count = 0
    for hit in hits:
        if len(hit.text) <= MAX_TEXT or hit.mark == RAW:
            out.append(hit)
            continue
        count += 1
        found = (p for p in (hit.text.find(w) for w in words[:8]) if p >= 0)
        start = max(next(found, 0) - KEPT_TEXT, 0)
        end = start + 2 * KEPT_TEXT
        before = f"[{start} characters] " if start else ""
        rest = len(hit.text) - end
        after = f" [{rest} characters]" if rest > 0 else ""
        out.append(hit._replace(text=f"{before}{hit.text[start:end]}{after}"))
    return out, count
