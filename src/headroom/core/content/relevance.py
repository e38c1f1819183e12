"""How well passages answer a question: Okapi BM25 over words, in plain Python.

``rank`` scores each passage with the usual constants (Robertson and Zaragoza, *The
Probabilistic Relevance Framework*, 2009). Identifiers count as a whole and by their
parts, so that ``max_retries`` answers a question about retries.
"""

import re
from collections import Counter
from collections.abc import Sequence
from math import log
from typing import Final

_K1: Final = 1.2
_B: Final = 0.75
_WORD = re.compile(r"\w+", re.UNICODE)
_PART = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}|\d+")
_STOP = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "do", "does",
     "for", "from", "had", "has", "have", "how", "i", "if", "in", "into", "is",
     "it", "its", "me", "my", "no", "not", "of", "on", "or", "our", "should", "so",
     "than", "that", "the", "their", "them", "then", "there", "these", "they",
     "this", "to", "was", "we", "what", "when", "where", "which", "who", "why",
     "will", "with", "would", "you", "your", "please", "file", "show", "tell",
     "use", "using", "used", "get"}
)  # fmt: skip


def words(text: str) -> list[str]:
    """The words that can be asked for, in lower case, plural ``s`` cut off."""
    found: list[str] = []
    for word in _WORD.findall(text):
        lower = word.lower()
        if lower in _STOP or len(lower) < 2:
            continue
        found.append(_stem(lower))
        parts = _PART.findall(word)
        if len(parts) > 1:
            found += [_stem(part.lower()) for part in parts]
    return found


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] != "s" else word


def rank(question: str, passages: Sequence[str]) -> list[float]:
    """A score for each passage; 0.0 where it shares no word with the question."""
    terms = set(words(question))
    if not terms or not passages:
        return [0.0] * len(passages)
    counts = [Counter(words(passage)) for passage in passages]
    lengths = [count.total() for count in counts]
    mean = sum(lengths) / len(lengths) or 1.0
    total = len(passages)
    found_in = Counter(term for count in counts for term in terms & count.keys())
    weight = {
        term: log(1 + (total - n + 0.5) / (n + 0.5)) for term, n in found_in.items()
    }
    return [
        sum(
            weight[term]
            * (_K1 + 1)
            * count[term]
            / (count[term] + _K1 * (1 - _B + _B * length / mean))
            for term in sorted(terms & count.keys())
        )
        for count, length in zip(counts, lengths, strict=True)
    ]
