"""Lines of no known kind of which many are alike: each kind of line once, lossless.

For outputs that no compressor of a kind gains on: progress of a build, traffic, reports
of tools that this version has not heard of. The form is that of ``core.folding``, as
for logs, and decodes to the source lines in order; it is accepted only if it does.
There is no lossy form: what matters in lines of an unknown kind is unknown, too.

Normalised: ANSI colours, carriage returns, blanks at line ends.
"""

import re

from headroom.core.content.clean import clean
from headroom.core.content.editing import may_be_edited
from headroom.core.content.gutter import is_numbered
from headroom.core.content.severity import is_serious
from headroom.core.folding import (
    FormError,
    Source,
    find_families,
    fold,
    fold_unproven,
    header,
    is_foldable,
    is_shorter,
    normalise,
    read_lines,
    stands_for,
    unfold,
    unfold_own,
)
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context

NAME = "lines"

_CONFIDENCE = 0.5
"""Just sure enough to be asked: behind all that know the text's kind."""

_SAMPLE_CHARS = 8_000
_MIN_CHARS = 600
_MIN_LINES = 12
_MIN_SHARE = 0.35
_MOST_SHARE = 0.85
"""A form has to be worth the reading."""

_PATCH = re.compile(
    r"^(?:\*{15}|@@ |Index: |diff -|\d+(?:,\d+)?[acd]\d+(?:,\d+)?$)", re.MULTILINE
)
"""Of a patch in any format; it has to apply afterwards."""

_CODE_ENDS = frozenset(";{},([\\")
_MOST_CODE = 0.3
"""Of lines that end as in source code or in data written like it."""

_FIELD = re.compile(r"[ \t]*[\w.-]+(?: ?[:=] |:$)")
_MOST_FIELDS = 0.5
_SENTENCE = re.compile(r"(?:[A-Za-z][a-z']*[,.;]? ){7}")
_SENTENCE_BLANKS = 7
_MOST_WORDED = 0.2
"""Of characters in lines that people wrote for people."""

_DIGITS = re.compile(r"[0-9]+")


def detect(text: str) -> float:
    """Whether a third of the lines begin or end like one before them."""
    if text.startswith(header(NAME)):
        return 1.0 if _is_own(text) else 0.0
    if len(text) < _MIN_CHARS or text[:1] in "{[<":
        return 0.0
    sample = clean(text[:_SAMPLE_CHARS])
    if _PATCH.search(sample):
        return 0.0
    lines = [line for line in sample.split("\n") if line and not line.isspace()]
    if len(lines) < _MIN_LINES:
        return 0.0
    if is_numbered(sample.split("\n")):
        return 0.0
    written = sum(line.rstrip()[-1:] in _CODE_ENDS for line in lines)
    if written > _MOST_CODE * len(lines):
        return 0.0
    # A name and its value are read together.
    if sum(map(bool, map(_FIELD.match, lines))) > _MOST_FIELDS * len(lines):
        return 0.0
    if not _has_alike(lines):
        return 0.0
    # Last, as it takes longest; a sentence has seven blanks.
    long = [line for line in lines if line.count(" ") >= _SENTENCE_BLANKS]
    worded = sum(map(len, filter(_SENTENCE.search, long)))
    return 0.0 if worded > _MOST_WORDED * sum(map(len, lines)) else _CONFIDENCE


def _has_alike(lines: list[str]) -> bool:
    """Whether enough of the lines begin or end like one before them."""
    alike = 0
    seen: set[tuple[int, str, str]] = set()
    for line in _DIGITS.sub("0", "\n".join(lines)).split("\n"):
        words = line.split()
        begins = (len(words), words[0], words[min(1, len(words) - 1)])
        ends = (-len(words), words[-1], words[max(-2, -len(words))])
        alike += begins in seen or ends in seen
        seen.add(begins)
        seen.add(ends)
    return alike >= _MIN_SHARE * len(lines)


def compress(text: str, ctx: Context) -> Compressed | None:
    """Fold the lines; ``None`` for what nothing repeats in, or may be edited."""
    if may_be_edited(text, ctx) or not is_foldable(text):
        return None
    source = read_lines(normalise(text))
    form = fold_unproven(NAME, source, find_families(source), _in_full(source))
    if form is None or len(form) > _MOST_SHARE * len(text):
        return None
    if not is_shorter(form, text, ctx.count):
        return None
    if not stands_for(NAME, form, source):
        return None
    return Compressed(Candidate(form, NAME))


def decode(form: str) -> str:
    """The normalised lines that a form stands for.

    Raises:
        FormError: it is no such form.
    """
    return unfold(NAME, form)


def _is_own(text: str) -> bool:
    try:
        source = read_lines(unfold_own(NAME, text))
    except FormError:
        return False
    return fold(NAME, source, find_families(source), _in_full(source)) == text


def _in_full(source: Source) -> set[int]:
    """Lines that stand as they are: what is wrong, and how it begins and ends."""
    last = len(source.lines) - 1
    kinds = {line for line in set(source.lines) if is_serious(line)}
    serious = {n for n, line in enumerate(source.lines) if line in kinds}
    return serious | {0, 1, last - 1, last}


COMPRESSOR = Compressor(
    name=NAME, kind="log", detect=detect, compress=compress, most=_CONFIDENCE
)
