"""JSON: keys once, constants once, rows of cells; numbers as they were written.

Stands among the compressors of the pipeline. The text is read with literal numbers
(``parse``), what its objects have in common is found (``columns``, ``tables``) and
written as members, tables and rows (``encode``, which describes the notation). A form
is accepted only if ``decode`` gives the document back, keys in order and numbers letter
for letter, and only if it has fewer tokens than the same JSON without blanks; else that
compact JSON is the lossless form.

Normalised: white space between tokens, and which characters of a string are escaped.

The lossy form (``reduce``) is the same notation with less in it; it says what is left
out in units of the source.
"""

import marshal
from collections.abc import Callable
from functools import cache

from headroom.core.compressors.json_table.decode import decode as decode_document
from headroom.core.compressors.json_table.encode import (
    LEFT_OUT,
    encode,
    encode_bared,
)
from headroom.core.compressors.json_table.notation import FormError
from headroom.core.compressors.json_table.pairs import HEADER as PAIRS
from headroom.core.compressors.json_table.pairs import encode_pairs
from headroom.core.compressors.json_table.parse import (
    Document,
    RefusedError,
    compact,
    read,
)
from headroom.core.compressors.json_table.reduce import reduce
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context, Draft

__all__ = ["COMPRESSOR", "NAME", "FormError", "compress", "decode", "detect"]

NAME = "json_table"

MAX_SMALL_CHARS = 8_000
"""A document up to this is written in more than one way, to take the cheapest."""

MIN_LOSSY_CHARS = 2400
"""About 600 tokens; nearly all values that are used later stand in small outputs."""

MAX_LOSSY_SHARE = 0.92
"""Of the lossless form: less is not worth a retrieval."""

HARDLY_ANYTHING = 0.6
"""Of the shortest that a lossless form can be: which one that is does not matter."""

_DETECT_CHARS = 400


CLEARLY_SHORTER = 0.6
"""Of the JSON without blanks: a form this short need not be counted. It has no
characters beside those of the JSON but separators, of which the JSON has more."""


MOST_BRACKETS = 0.2
"""Of the characters: a text of more is nearly all structure and tells nothing."""


def detect(text: str) -> float:
    """How surely the text is JSON, by how it begins and ends; 1.0 for an own form."""
    if text.startswith("#json"):
        return 1.0 if _is_own(text) else 0.0
    head = text[:_DETECT_CHARS].lstrip()
    tail = text[-_DETECT_CHARS:].rstrip()
    if not head or not tail or head[0] not in "[{" or tail[-1] not in "]}":
        return 0.0
    following = head[1:].lstrip()
    if not following:
        return 0.3
    if head[0] == "{":
        return 0.95 if following[0] in '"}' else 0.0
    return 0.9 if following[0] in '"{[]-0123456789tfn' else 0.0


def _is_own(text: str) -> bool:
    """Whether the text decodes, less the lines that say what a lossy form lacks."""
    header, _, rest = text.partition("\n")
    while rest.startswith(LEFT_OUT):
        rest = rest.partition("\n")[2]
    try:
        document = decode_document(f"{header}\n{rest}" if rest else header)
        if header.startswith(PAIRS):
            return encode_pairs(document) == text
    except FormError:
        return False
    return True


def decode(form: str) -> str:
    """The document that a lossless form stands for, as JSON without blanks.

    Raises:
        FormError: it is no such form.
    """
    return compact(decode_document(form))


def compress(text: str, ctx: Context) -> Compressed | None:
    """Both forms of a JSON text; ``None`` for own output and for anything else."""
    try:
        document = read(text)
    except RefusedError:
        return None
    is_hollow = MOST_BRACKETS * len(text) < text.count("[") + text.count("{")
    table = None if is_hollow else _table(document, text)
    pairs = encode_pairs(document)

    @cache
    def cheapest() -> str:
        return _cheapest(text, document, table, pairs, ctx)

    def prove(_: str = "") -> Candidate | None:
        form = cheapest()
        is_short = len(form) < len(text) and _is_unicode(form)
        return Candidate(text=form, strategy=NAME) if is_short else None

    @cache
    def reduced() -> Candidate | None:
        return _reduced(document, ctx)

    wants_lossy = ctx.wants_lossy and not is_hollow
    if wants_lossy and table is not None and pairs is None:
        if _is_short(table, text):
            lossy = _if_shorter(reduced, len(table))
            return Compressed.of(Draft(lambda: table, prove), lossy)
        least = min(len(table), _least_size(text))
        lossy = _if_shorter(reduced, least, HARDLY_ANYTHING)
        if lossy is not None:
            return Compressed(lossy=lossy, draft=Draft(cheapest, prove, least))
    lossless = prove()
    if wants_lossy:
        lossy = _if_shorter(reduced, len(lossless.text if lossless else text))
        return Compressed(lossless, lossy) if lossless or lossy else None
    return None if lossless is None else Compressed(lossless)


def _table(document: Document, text: str) -> str:
    """The form with a table; of a small document the shorter one of two."""
    form = encode(document)
    return encode_bared(document, form) if len(text) <= MAX_SMALL_CHARS else form


def _cheapest(
    text: str, document: Document, table: str | None, pairs: str | None, ctx: Context
) -> str:
    """Of the forms that stand for the document the one with the fewest tokens."""
    form = table if table is not None and _stands_for(table, document) else None
    if form is None or not _is_short(form, text):
        short = compact(document)
        if form is None or not _is_cheaper(form, short, ctx):
            form = short
    return pairs if pairs is not None and _is_cheaper(pairs, form, ctx) else form


def _if_shorter(
    reduced: Callable[[], Candidate | None],
    chars: int,
    share: float = MAX_LOSSY_SHARE,
) -> Candidate | None:
    """The reduced form, if it is much shorter than a lossless one of so many."""
    if chars < MIN_LOSSY_CHARS:
        return None
    found = reduced()
    return None if found is None or len(found.text) > share * chars else found


def _reduced(document: Document, ctx: Context) -> Candidate | None:
    """The form of what stays of the document, if anything goes."""
    asked = "" if ctx.call is None else ctx.call.input.decode("utf-8", "replace")
    less, notes = reduce(document, f"{ctx.question} {asked}", ctx.share)
    if not notes:
        return None
    short = encode(less, notes)
    if not _is_unicode(short):
        return None
    return Candidate(text=short, strategy=NAME, omitted="; ".join(notes))


def _stands_for(form: str, document: Document) -> bool:
    try:
        return _is_same(decode_document(form), document)
    except FormError:
        return False


def _is_same(one: Document, other: Document) -> bool:
    """Equal values and lexemes, keys in the same order."""
    if one.is_lines != other.is_lines or one.value != other.value:
        return False
    # Comparing does not look at the order of keys; a dump does, without references.
    return marshal.dumps(one.value, 0) == marshal.dumps(other.value, 0)


def _is_short(form: str, text: str) -> bool:
    """Whether the form need not be counted beside the JSON without blanks."""
    return len(form) <= CLEARLY_SHORTER * _least_size(text)


def _least_size(text: str) -> int:
    """A lower bound of the characters of the same JSON without blanks; 0: unknown."""
    # One character first: the search for two is several times as slow.
    if "\\" in text and ("\\u" in text or "\\/" in text):
        return 0
    return len(text) - sum(map(text.count, " \n\r\t"))


def _is_cheaper(form: str, short: str, ctx: Context) -> bool:
    if len(form) >= len(short):
        return False
    return ctx.count(form) < ctx.count(short)


def _is_unicode(form: str) -> bool:
    """Whether it can be sent: JSON may escape lone surrogates, a form holds them."""
    try:
        form.encode()
    except UnicodeEncodeError:
        return False
    return True


COMPRESSOR = Compressor(name=NAME, kind="json", detect=detect, compress=compress)
