"""Context around matches that has been read already goes from search results.

Agents search for a name with the lines around it in files that they have read or
edited. Where these lines stand around the same match in an earlier result, at the same
distance, they are left out and it is said where they stand; blank ones go, too. Every
match stays in place with its number. What is left out is no longer numbered here, so
the form is a lossy one: its text can be had again.
"""

from collections.abc import Sequence

from headroom.core.compressors import search_results
from headroom.core.compressors.search_results.form import encode
from headroom.core.compressors.search_results.parse import Found, Hit
from headroom.core.repeats.sources import Source
from headroom.core.types import Candidate

STRATEGY = "search_context"

MIN_CHARS = 1024
"""As for other lossy forms: below, a marker and a look-up outweigh what is left out."""

MIN_MATCH_CHARS = 8
"""Shorter matches stand anywhere."""

MAX_CONTEXT = 30
"""Lines on each side of a match that are looked for."""


def without_known_context(text: str, sources: Sequence[Source]) -> Candidate | None:
    """Search results without the context lines that stand in earlier results.

    Args:
        text: the newest result.
        sources: earlier results that stand in full, oldest first.

    Returns:
        A lossy form, or ``None`` if no context of it is known, or it has none.
    """
    if len(text) < MIN_CHARS or not sources:
        return None
    found = search_results.parse(search_results.normalise(text))
    if found is None or all(hit.mark != "-" for hit in found.hits):
        return None
    known = _known(found.hits, sources)
    if not known:
        return None
    kept = [
        hit
        for at, hit in enumerate(found.hits)
        if at not in known and (hit.mark != "-" or hit.text.strip())
    ]
    used = {source.name: source for source in known.values()}
    names = ", ".join(f"#{s.name}" for s in sources if s.name in used)
    account = f"omitted: {len(known)} context lines as in {names}"
    blank = len(found.hits) - len(kept) - len(known)
    account += f", {blank} blank ones" if blank else ""
    form = encode(Found(found.style, found.gaps, tuple(kept)))
    return Candidate(
        f"{form}\n{account}",
        STRATEGY,
        omitted=account,
        refers_to=tuple(source.digest for source in used.values()),
    )


def _known(hits: Sequence[Hit], sources: Sequence[Source]) -> dict[int, Source]:
    """Indices of context lines, with the newest source that has them at their place."""
    known: dict[int, Source] = {}
    for at, match in enumerate(hits):
        text = match.text
        if match.mark != ":" or len(text.strip()) < MIN_MATCH_CHARS:
            continue
        around = [i for i in _around(hits, at) if i not in known]
        for source in reversed(sources):
            if not around:
                break
            for place in source.places.get(text, ()):
                lines = source.lines.bare
                for i in around:
                    there = place + hits[i].line - match.line
                    if 0 <= there < len(lines) and lines[there] == hits[i].text:
                        known.setdefault(i, source)
            around = [i for i in around if i not in known]
    return known


def _around(hits: Sequence[Hit], at: int) -> list[int]:
    """The context lines next to a match, up to the next gap."""
    found: list[int] = []
    for step in (-1, 1):
        here = at
        while 0 <= here + step < len(hits) and abs(here + step - at) <= MAX_CONTEXT:
            hit, last = hits[here + step], hits[here]
            if hit.path != last.path or hit.line != last.line + step:
                break
            here += step
            if hit.mark == "-":
                found.append(here)
    return found
