r"""Search results: grep, ripgrep, git grep, ack, ag, and the agents' own search tools.

Stands behind detection in the pipeline. The text is read into hits (``parse``), printed
again to be sure nothing was misread, and written with each directory and file named
once (``form``). The lossy form (``lossy``) is the same notation with fewer hits.

Normalised: colours, trailing blanks, blank lines at the end; for ``rg --json`` also
byte offsets, timings and the columns of submatches. Everything else comes back through
``form.decode``, which ``compress`` runs on every form before it offers it.
"""

import re
from itertools import islice
from typing import Final

from headroom.core.compressors.search_results.form import (
    STYLES,
    decode,
    encode,
)
from headroom.core.compressors.search_results.lossy import reduce_hits
from headroom.core.compressors.search_results.parse import (
    RAW,
    Found,
    normalise,
    parse,
    render,
)
from headroom.core.content.crumbs import is_crumbled
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context, Draft

__all__ = ["COMPRESSOR", "compress", "decode", "detect", "normalise", "parse", "render"]

# Below this (about 600 tokens) nearly everything is used later: stay lossless.
MIN_LOSSY_CHARS: Final = 2400
SAMPLE_CHARS: Final = 60_000
SAMPLE_LINES: Final = 60
SAMPLE_LINE_CHARS: Final = 400
# Larger forms are not decoded to be known again: they read as nothing else.
MAX_OWN_CHARS: Final = 200_000

_CONFIDENCE: Final = {
    "grep": 0.95,
    "json": 0.98,
    "heading": 0.9,
    "found": 0.95,
    "file": 0.95,
    "lines": 0.6,
    "unnumbered": 0.6,
    "paths": 0.5,
}
_WITH_CONTEXT: Final = 0.95
"""Of one file's matches among their context; no compiler numbers lines so."""

_DIAGNOSTIC = re.compile(
    r"(?:\d+:)?\s*(?:fatal |internal )?(?:error|warning|note|info|help)\b[:\[ ]|"
    r"\d+:\s?[A-Z]{1,4}\d{2,5}\b|(?:in|Error) |\d+\s+(?:error|warning)\b",
    re.IGNORECASE,
)
_HEADERS = frozenset(STYLES.values())


def detect(text: str) -> float:
    """How surely the text's beginning is search output (compilers print alike)."""
    if _is_own(text):
        return 1.0
    sample = _sample(text)
    found = parse(normalise(sample))
    if found is None:
        return 0.0
    confidence = _CONFIDENCE[found.style]
    if found.style == "lines" and any(h.mark == "-" for h in found.hits):
        return _WITH_CONTEXT
    matches = [h for h in islice(found.hits, 200) if h.mark != RAW]
    diagnostics = sum(1 for h in matches if _DIAGNOSTIC.match(h.text))
    return confidence if diagnostics * 4 < len(matches) else 0.3


def compress(text: str, ctx: Context) -> Compressed | None:
    """Both forms of search results; ``None`` for own output and for anything else."""
    if is_crumbled(text) or _is_own(text):
        return None
    found = parse(normalise(text))
    if found is None:
        return None
    form = _form(found, text, "")

    def prove(_: str) -> Candidate | None:
        return form if form is not None and decode(form.text) == found else None

    lossy = None
    if ctx.wants_lossy and len(text) >= MIN_LOSSY_CHARS:
        pattern = ctx.call.input.decode("utf-8", "replace") if ctx.call else ""
        reduced = reduce_hits(found, ctx.question, pattern)
        if reduced is not None:
            lossy = _form(reduced[0], form.text if form else text, reduced[1])
    return Compressed.of(Draft(lambda: form.text, prove) if form else None, lossy)


def _sample(text: str) -> str:
    """The first whole lines of a text, very long ones (but for JSON) cut."""
    lines = text[:SAMPLE_CHARS].split("\n", SAMPLE_LINES)
    if len(lines) > SAMPLE_LINES or (len(text) > SAMPLE_CHARS and len(lines) > 1):
        lines.pop()
    if not text.startswith("{"):
        lines = [line[:SAMPLE_LINE_CHARS] for line in lines]
    return "\n".join(lines).rstrip("\n")


def _form(found: Found, longer: str, omitted: str) -> Candidate | None:
    """The form, if it is shorter than ``longer``."""
    form = encode(found)
    if len(form) >= len(longer):
        return None
    return Candidate(text=form, strategy=f"search_{found.style}", omitted=omitted)


def _has_own_header(text: str) -> bool:
    header = text[:600].partition("\n")[0]
    if not header.startswith("[") or not header.endswith("]"):
        return False
    return header[1:-1].partition(" under ")[0].removesuffix(" -C") in _HEADERS


def _is_own(text: str) -> bool:
    """Whether the text is a form of this module, a marker at its end aside."""
    if not _has_own_header(text) or len(text) > MAX_OWN_CHARS:
        return False
    form = text
    for _ in range(3):
        found = decode(form)
        if found is not None and found.hits and encode(found) == form:
            # A text that only says so is no shorter than what it would stand for.
            source = render(found)
            return len(form) < len(source) and parse(source) is not None
        form = form.rpartition("\n")[0]
    return False


COMPRESSOR = Compressor(
    name="search_results", kind="search", detect=detect, compress=compress
)
