"""Which sentences of a text can be spared: the plain ones that repeat its common words.

A sentence that opens a paragraph always stays, and so does a short one. Of the others
those go first that only thank, or that carry least that could be quoted (numbers,
identifiers, options, paths, code, names in capitals), that neither oblige nor warn, and
that share least with the question. Pure and linear in the text's length.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from math import fsum
from typing import Final

from msgspec import Struct

from headroom.core.content.relevance import rank

MIN_SENTENCE_CHARS: Final = 60
"""Leaving out less costs nearly as much as saying so."""
_TYPICAL_CHARS: Final = 120

_SENTENCE_END = re.compile(r"(?<=[.!?])[\")\]]?\s+(?=[A-Z\"\[`])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|cf|vs|[A-Z])\.)\Z")
_QUOTABLE = re.compile(
    r"\d|[`<>=\\/{}$@#*_|]|--?[a-z]|\w[.:]\w|\w\(|[a-z][A-Z]|\b[A-Z]{2,}\b|\"|'\w+'|:\w+:"
)
# References that people look up, wherever they stand.
_REFERENCE = re.compile(
    r"#\d|:(?:issue|pr|pep|cve|rfc|commit|gh)\w*:`|https?:|\b\d+\.\d+\.\d|\b[A-Z]+-\d"
    r"|\b[0-9a-f]{7,}\b|\]\(|\{\{HEADROOM_TAG_"
)
_LONG_WORD = re.compile(r"\w{4,}")
_CREDIT = re.compile(
    r"(?:Thanks|Thank you|Patch|Contributed|Reported|Suggested) (?:to|by|:)|Thanks "
)
_BINDING = re.compile(
    r"\b(?:must|not|never|cannot|can't|don't|doesn't|won't|only|default\w*|requir\w*"
    r"|error\w*|fail\w*|warn\w*|deprecat\w*|remov\w*|rais\w*|unless|instead|important"
    r"|note|security|breaking|incompatible|secret|danger\w*|ensure|always|except)\b",
    re.IGNORECASE,
)


class Sentence(Struct, frozen=True, gc=False):
    """One sentence: its paragraph, its place in it, how much is lost without it."""

    paragraph: int
    start: int
    end: int
    loss: float


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a paragraph start and end."""
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if _ABBREVIATION.search(text, max(start, match.start() - 6), match.start()):
            continue
        spans.append((start, match.end()))
        start = match.end()
    if start < len(text):
        spans.append((start, len(text)))
    return spans


def spare(
    paragraphs: Sequence[str], question: str, budget_chars: int
) -> dict[int, list[tuple[int, int]]]:
    """Spans that can be left out, by the index of their paragraph, in order.

    Args:
        paragraphs: texts of one paragraph each; short ones are never touched.
        question: what was asked; sentences that answer it stay.
        budget_chars: how much may be left out at most.
    """
    sentences = _weigh(paragraphs, question)
    sentences.sort(key=lambda found: (found.loss, found.paragraph, found.start))
    left: dict[int, list[tuple[int, int]]] = {}
    for found in sentences:
        size = found.end - found.start
        if size > budget_chars:
            break
        budget_chars -= size
        left.setdefault(found.paragraph, []).append((found.start, found.end))
    return {index: _join(sorted(spans)) for index, spans in sorted(left.items())}


def _join(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined = [spans[0]]
    for start, end in spans[1:]:
        if start == joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _weigh(paragraphs: Sequence[str], question: str) -> list[Sentence]:
    """The sentences that may go, with what would be lost."""
    places: list[tuple[int, int, int]] = []
    texts: list[str] = []
    for index, paragraph in enumerate(paragraphs):
        if len(paragraph) < 2 * MIN_SENTENCE_CHARS:
            continue
        for start, end in split_sentences(paragraph)[1:]:
            text = paragraph[start:end]
            if end - start >= MIN_SENTENCE_CHARS and not _REFERENCE.search(text):
                places.append((index, start, end))
                texts.append(text)
    bags = [set(_LONG_WORD.findall(text.lower())) for text in texts]
    common = Counter(chain.from_iterable(bags))
    answers = rank(question, texts)
    sentences: list[Sentence] = []
    for place, text, bag, answer in zip(places, texts, bags, answers, strict=True):
        index, start, end = place
        # The exact sum is the same in every order, and sets have none.
        rarity = fsum([1 / common[word] for word in bag]) / (len(bag) or 1)
        loss = rarity + 0.4 * len(_QUOTABLE.findall(text))
        if _CREDIT.match(text):
            loss = 0.0
        elif _BINDING.search(text):
            loss += 0.6
        loss = loss * _TYPICAL_CHARS / len(text) + 4 * answer
        sentences.append(Sentence(index, start, end, loss))
    return sentences
