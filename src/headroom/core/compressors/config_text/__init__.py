"""Configuration and data in text: YAML, TOML, INI, XML, lock files; blobs in any text.

Lossless: lines that come again in blocks (packages of a lock file, records of a YAML
list, elements of XML) are folded into templates (``core.folding``): each block once,
then its values row by row. The form begins with ``config templates``; with ``xml
templates`` elements on one line have lost their closing tags (``<version> 1.2`` stands
for ``<version>1.2</version>``). It is used only if it decodes to the lines and saves a
tenth of the tokens. Normalised away: colours, blanks at line ends, empty lines at the
end.

Lossy: base64, hex dumps and very long lines (minified code) are shortened, with length
and digest in place.
"""

import re

from headroom.core.compressors.config_text.blobs import may_be_blobs, shorten
from headroom.core.compressors.config_text.recognising import LOCK, confidence, is_xml
from headroom.core.folding import (
    FormError,
    Source,
    fold,
    header,
    is_foldable,
    normalise,
    read_lines,
    unfold_own,
)
from headroom.core.folding.templates import Template, families
from headroom.core.protocols import Compressor
from headroom.core.types import Candidate, Compressed, Context

STRATEGY = "config_text"
CONFIG = "config"
XML = "xml"

_BLOBS = 0.6
_SAMPLE_CHARS = 12_000
_MIN_CHARS = 600
_MIN_LOSSY_CHARS = 2400
_MANY_LINES = 40_000
_MIN_GAIN = 0.1
_ELEMENT = re.compile(r"(\s*)<([A-Za-z_][\w.:-]*)>([^\s<>][^<>]*)</\2>")
_OPENED = re.compile(r"(\s*)<([A-Za-z_][\w.:-]*)> (\S.*)")


def detect(text: str) -> float:
    """Confidence that the text is configuration, or that much of it is a blob."""
    if _is_own(text):
        return 1.0
    if len(text) < _MIN_CHARS:
        return 0.0
    sure = confidence(text)
    if sure or text[:1] in "{[<":
        return sure
    sample = text[:_SAMPLE_CHARS]
    if not may_be_blobs(sample):
        return 0.0
    shorter, _ = shorten(sample)
    return _BLOBS if 2 * len(shorter) < len(sample) else 0.0


def compress(text: str, ctx: Context) -> Compressed | None:
    """Both forms; ``None`` if neither saves a tenth."""
    if len(text) < _MIN_CHARS or not is_foldable(text) or _is_own(text):
        return None
    limit = 0
    lossless = lossy = None
    form = encode(text) if confidence(text) else None
    if form is not None and len(form) < len(text):
        limit = int(ctx.count(text) * (1 - _MIN_GAIN))
        if ctx.count(form) <= limit:
            lossless = Candidate(form, STRATEGY)
    if ctx.wants_lossy and len(text) >= _MIN_LOSSY_CHARS:
        shorter, omitted = shorten(text)
        if omitted and len(shorter) < (1 - _MIN_GAIN) * len(text):
            more = f" and {len(omitted) - 3} more blobs" if len(omitted) > 3 else ""
            lossy = Candidate(shorter, STRATEGY, "; ".join(omitted[:3]) + more)
    if lossless is None and lossy is None:
        return None
    return Compressed(lossless, lossy)


def encode(text: str) -> str | None:
    """The folded form; ``None`` if nothing comes again, or it does not decode."""
    lines = normalise(text).split("\n")
    if len(lines) > _MANY_LINES:
        return None
    name = CONFIG
    if is_xml(text) and not any(map(_OPENED.fullmatch, lines)):
        opened = [_ELEMENT.sub(r"\1<\2> \3", line) if "</" in line else line
                  for line in lines]  # fmt: skip
        if _closed(opened) == lines:
            name, lines = XML, opened
    source = read_lines("\n".join(lines), has_times=False)
    return fold(name, source, _families(source))


def _families(source: Source) -> list[Template]:
    return families(source.texts, [0] * len(source.lines))


def decode(form: str) -> str:
    """The normalised text that a lossless form stands for.

    Raises:
        FormError: it is none.
    """
    if form.startswith(header(XML)):
        return "\n".join(_closed(unfold_own(XML, form).split("\n")))
    return unfold_own(CONFIG, form)


def _closed(lines: list[str]) -> list[str]:
    return [_OPENED.sub(r"\1<\2>\3</\2>", line) for line in lines]


def _is_own(text: str) -> bool:
    """Whether ``text`` is a form as ``compress`` writes it, not an imitation."""
    if not text.startswith((header(CONFIG), header(XML))):
        return False
    try:
        return encode(decode(text)) == text
    except FormError:
        return False


COMPRESSOR = Compressor(
    name=STRATEGY, kind="json", detect=detect, compress=compress, most=LOCK
)
