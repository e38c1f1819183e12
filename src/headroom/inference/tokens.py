"""Token counts: exact for OpenAI models, an estimate with a stated bound for the rest.

Two uses. The *gate* asks whether a shorter form has fewer tokens: it needs a real
tokenizer of low bias, and gets o200k (cl100k for the models that use it) uncalibrated,
for a factor would cancel out. *Reports* ask how many tokens a text has for a model:
they get the calibrated count together with how far it may be off.

No vocabulary of Claude 3 or later, nor of Gemini, is published, so theirs are estimates
and never called exact. Where the factors come from:

- Claude 3 to 4.6: 1.16 (English articles) to 1.30 (Python) times o200k, as published
  comparisons of Claude 3.5 with GPT-4o found; the centre is 1.22.
- Claude 4.7 and later: the provider says "approximately 30 % more" than before, 1.0 to
  1.35 by kind of text
  (https://platform.claude.com/docs/en/models/haiku-5-5/overview).
- Claude 2 and older: 1.07, measured with the published vocabulary of that time over
  tool outputs of twelve kinds. One text deviated from that mean by -15 % to +28 %;
  the bounds below allow for that spread around each centre.
- Gemini and others: no comparison of their own; a factor near 1.1 and a wide bound.

Bounds hold for texts of some hundred tokens in Latin script; short ones, and other
scripts, can be further off. The providers' ``usage`` figures are the truth.
"""

from functools import partial

from msgspec import Struct

from headroom.core.types import CountTokens
from headroom.inference.vocabulary import (
    EncodingName,
    is_loaded,
    load_encoding,
    verify_vocabularies,
)
from headroom.providers.models import Family, Model, family_of, model_named

__all__ = [
    "EncodingName",
    "Family",
    "TokenCount",
    "can_count",
    "count_tokens",
    "counter_for",
    "encoding_name_for",
    "family_of",
    "load_encoding",
    "verify_vocabularies",
]


class TokenCount(Struct, frozen=True, gc=False):
    """How many tokens a text has for a model.

    Attributes:
        is_exact: counted with the model's own vocabulary.
        error_bound: largest relative error to expect, as a fraction of ``tokens``;
            0.0 if exact.
    """

    tokens: int
    is_exact: bool
    error_bound: float


class _Calibration(Struct, frozen=True, gc=False):
    factor: float  # the model's tokens per o200k token
    error_bound: float


_CLAUDE_2 = _Calibration(1.07, 0.30)
_CLAUDE_3 = _Calibration(1.22, 0.30)
_CLAUDE_4_7 = _Calibration(1.5, 0.35)
_GEMINI = _Calibration(1.1, 0.35)
_OTHER = _Calibration(1.1, 0.40)


def encoding_name_for(model: str | None) -> EncodingName:
    """The vocabulary that counts a model's tokens, or stands in for its own."""
    return (model_named(model).tokenizer if model else None) or "o200k_base"


def counter_for(model: str | None) -> CountTokens:
    """The counter that gates results for a model: a real tokenizer, uncalibrated.

    The counter can be pickled and sent to a worker process; a vocabulary is loaded at
    the first count in each process. Equal models give equal counts everywhere.
    """
    return _COUNTERS[encoding_name_for(model)]


def can_count(model: str | None) -> bool:
    """Whether ``counter_for`` a model counts without loading a vocabulary first."""
    return is_loaded(encoding_name_for(model))


def count_tokens(text: str, model: str | None = None) -> TokenCount:
    """How many tokens ``text`` has for ``model``; calibrated where not exact.

    ``None`` stands for an OpenAI model of today (o200k).
    """
    encoding = load_encoding(encoding_name_for(model))
    tokens = encoding.count(text)
    if model is None:
        return TokenCount(tokens, is_exact=True, error_bound=0.0)
    known = model_named(model)
    if known.tokenizer is not None:
        return TokenCount(tokens, is_exact=True, error_bound=0.0)
    calibration = _calibration(known)
    return TokenCount(
        round(tokens * calibration.factor),
        is_exact=False,
        error_bound=calibration.error_bound,
    )


def _calibration(model: Model) -> _Calibration:
    if model.family == "claude":
        if model.version >= (4, 7) or model.version == (0, 0):
            return _CLAUDE_4_7
        return _CLAUDE_3 if model.version >= (3, 0) else _CLAUDE_2
    return _GEMINI if model.family == "gemini" else _OTHER


def _count(name: EncodingName, text: str) -> int:
    return load_encoding(name).count(text)


_COUNTERS: dict[EncodingName, CountTokens] = {
    "o200k_base": partial(_count, "o200k_base"),
    "cl100k_base": partial(_count, "cl100k_base"),
}
