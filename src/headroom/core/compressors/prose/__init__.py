"""Prose: manuals, help texts, READMEs, change logs, documents in markdown and rst.

The lossless form joins what a line breaker split and takes away what only sets the text
(``units``, ``form``); ``compress`` accepts it only if all but white space, rulers and
the marks of headings is the same. It needs no header: the form of a form is itself. The
lossy form (``lossy``) leaves out plain sentences and repeated lines, and says which.

Normalised away: line breaks inside paragraphs, indentation of whole blocks
beyond its rank, blank lines in a row, lengths of rulers, overstrikes, colours, blanks
at line ends. Custom tags in the text survive the lossy form (``tags``).
"""

import re
from collections.abc import Sequence
from typing import Final

from headroom.core.compressors.prose.form import write_units
from headroom.core.compressors.prose.lossy import NAME, is_own, reduce_units
from headroom.core.compressors.prose.units import Unit, clean, read_units, squeeze
from headroom.core.content.crumbs import is_crumbled
from headroom.core.content.seal import sealed
from headroom.core.content.tags import Protected, protect, restore
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context, Draft, LostTag

__all__ = ["COMPRESSOR", "compress", "detect", "shorten", "squeeze"]

# Below this (about 600 tokens) nearly everything is used later: stay lossless.
MIN_LOSSY_CHARS: Final = 2400
SAMPLE_CHARS: Final = 8000
MAX_PASSES: Final = 4
MOST: Final = 0.6
"""Sentences stand in every kind of text; what else a text is counts more."""

_NOT_PROSE = ("<!", "<?", "<html", "#!")
_MIN_WORDS: Final = 4
_MANY_SENTENCES: Final = 20_000
_FEW_CHARS: Final = 24
# Runs of words for people; the second for text in ASCII, where it finds the same.
_WORDS = re.compile(r"(?<![^\W\d_])(?:[^\W\d_]++[.,;:!?)]? )++")
_ASCII_WORDS = re.compile(r"(?<![A-Za-z])(?:[A-Za-z]++[.,;:!?)]? )++")
# Behind a line end, not at a line's start: the search for a sign is much the faster.
_HEADING = re.compile(
    r"\n(?:#{1,6} \S|={3,}$|-{3,}$|\*{3,}$|(?:NAME|SYNOPSIS|DESCRIPTION|OPTIONS)\b"
    r"|\.\. \w|[Uu]sage: )",
    re.MULTILINE,
)
# Records of a package manager: fields with capital names.
_FIELD = re.compile(r"\n[A-Z][A-Za-z0-9-]+: \S", re.MULTILINE)
# Lines at the margin that begin statements, lines of Ruby and its kin, and comments;
# others end with a sign.
_CODE = re.compile(
    r"\n(?:(?:def \w|class \w.*[:{]$|import [\w.]+(?: as \w+)?$|from [\w.]+ import |#!"
    r"|#include|#define|#ifn?def|#endif|package [\w:.]+;?$|func |fn \w|use [\w:.]+.*;$"
    r"|pub |(?:const|let|var|my|our|export|static|local) .*=|sub \w|(?:public|private) "
    r"|(?:typedef|struct|enum) |fi$|done$|esac$|then$|\}|@\w[\w.()]*$|[\"']{3}|/\*|\*/"
    r"|//|<\?)|[ \t]*(?:end|(?:def|elsif|unless|rescue|attr_\w+) .*)$"
    r"|require(?:_relative)? [\"'])",
    re.MULTILINE,
)
_COMMENT = re.compile(r"\n(?:[ \t]*(?:#+(?: |$)|//|;)| \*(?: |$|/))", re.MULTILINE)
_FENCED = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)", re.MULTILINE | re.DOTALL)
_TIMED = re.compile(
    r"\n\W{0,2}(?:\d{4}-\d\d-\d\d[T ]\d\d:|\d\d:\d\d:\d\d"
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:)"
)
_LEVELS = ("INFO", "DEBUG", "ERROR", "WARN")
_LEVEL_CHARS: Final = 38


def detect(text: str) -> float:
    """How surely the beginning of the text is prose; never surer than other kinds."""
    if text.startswith(_NOT_PROSE):
        return 0.0
    sample = clean(text[:SAMPLE_CHARS])
    lines = [line for line in sample.split("\n") if line and not line.isspace()]
    if not lines:
        return 0.0
    if is_own(text):
        return 1.0
    size = sum(map(len, lines))
    words = _ASCII_WORDS if sample.isascii() else _WORDS
    runs = words.findall(" ".join(sample.split()) + " ")
    worded = sum(len(run) for run in runs if run.count(" ") >= _MIN_WORDS)
    is_record = 5 * len(_FIELD.findall(f"\n{sample}")) > 3 * len(lines)
    if worded * 6 < size and not is_record:
        return 0.0
    unfenced = _FENCED.sub("", sample) if "```" in sample or "~~~" in sample else sample
    if _is_other(unfenced, lines):
        return 0.0
    if is_record:
        return 0.5
    headings = len(_HEADING.findall(f"\n{sample}"))
    if worded * 5 >= size * 2:
        return 0.6 if headings else 0.55
    return 0.5 if headings else 0.0


def _is_other(sample: str, lines: Sequence[str]) -> bool:
    """Code, settings and logs: what is mostly not sentences for people."""
    size = len(lines)
    lined = f"\n{sample}"
    code = len(_CODE.findall(lined)) + lined.count(";\n") + lined.count("{\n")
    if code >= 3 and code * 40 > size:
        return True
    if len(_COMMENT.findall(lined)) * 10 > size * 3:
        return True
    log = len(_TIMED.findall(lined))
    if any(level in sample for level in _LEVELS):
        starts = [line[:_LEVEL_CHARS] for line in lines]
        log = max(log, sum(any(level in s for level in _LEVELS) for s in starts))
    return log * 5 > size


def shorten(text: str) -> str | None:
    """The lossless form; ``None`` if it cannot be brought to rest."""
    return _settle("\n".join(write_units(read_units(clean(text)))), {})


def _settle(form: str, worded: dict[str, bool]) -> str | None:
    """The form of a form, until it is its own."""
    for _ in range(MAX_PASSES):
        following = "\n".join(write_units(read_units(clean(form), worded)))
        if following == form:
            return form
        form = following
    return None


def compress(text: str, ctx: Context) -> Compressed | None:
    """Both forms of a text; ``None`` for own output and files that may be edited."""
    if is_own(text) or _is_unknown(ctx):
        return None
    if is_crumbled(text) or _is_chatter(text):
        return None
    worded: dict[str, bool] = {}
    units = read_units(clean(text), worded)
    first = "\n".join(write_units(units))

    def prove(first: str) -> Candidate | None:
        form = _settle(first, worded)
        if form is None or len(form) >= len(text) or squeeze(form) != squeeze(text):
            return None
        return Candidate(form, "prose_joined")

    lossy = None
    if ctx.wants_lossy and len(text) >= MIN_LOSSY_CHARS:
        best = min(len(first), len(text))
        protected = protect(text)
        if protected is not None:
            if protected.tags:
                units = read_units(clean(protected.text))
            lossy = _reduce(units, ctx, protected, best)
    return Compressed.of(Draft(lambda: first, prove), lossy)


def _reduce(
    units: list[Unit], ctx: Context, protected: Protected, best_chars: int
) -> Candidate | None:
    question = ctx.question
    if ctx.call is not None:
        question += " " + ctx.call.input.decode("utf-8", "replace")
    reduced = reduce_units(units, question)
    if reduced is None:
        return None
    short = "\n".join([reduced.header, *write_units(reduced.units)])
    lost_tags: tuple[LostTag, ...] = ()
    if protected.tags:
        restored = restore(short, protected)
        short, lost_tags = restored.text, restored.lost
    short = sealed(NAME, short)
    if len(short) >= best_chars:
        return None
    return Candidate(short, "prose_sentences", reduced.omitted, lost_tags=lost_tags)


def _is_chatter(text: str) -> bool:
    """Whether the text is tens of thousands of sentences of a few characters each."""
    ends = text.count(". ")
    return ends > _MANY_SENTENCES and len(text) < _FEW_CHARS * ends


def _is_unknown(ctx: Context) -> bool:
    """The call behind the text cannot be seen: it may have read a file to be edited."""
    return ctx.call is not None and not ctx.call.name


COMPRESSOR = Compressor(
    name="prose", kind="prose", detect=detect, compress=compress, most=MOST
)
