"""The words of a text as they are indexed and looked for.

Folded to what stays the same between spellings: case, accents and compatibility forms
do not count. Scripts without spaces between words are indexed by pairs of characters.
Deterministic, and the same in every process.
"""

import re
import unicodedata

MAX_WORD_CHARS = 40
"""Longer ones are no words; their beginning is indexed."""

_WORD = re.compile(r"\w+")
_DENSE = re.compile(r"[\u0e00-\u0fff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
"""Thai to Tibetan, kana, and Han: written without spaces."""

_COMMONEST = (
    "a about all also an and any are as at be been but by can could did do does for"
    " from get had has have he her him his how i if in into is it its just like make me"
    " more most my no not now of on one or other our out over please she should so some"
    " such than that the their them then there these they this to too up us use was we"
    " were what when where which who why will with would you your"
)
STOP_WORDS = frozenset(_COMMONEST.split())
"""The commonest words of English, which say nothing about what a text is on."""


def words_of(text: str) -> list[str]:
    """The words in order, repeated ones too."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    found: list[str] = []
    for match in _WORD.finditer(plain):
        word = match[0].strip("_")
        if not word:
            continue
        if word.isascii():
            found += _parts(word)
            continue
        start = 0
        for dense in _DENSE.finditer(word):
            if dense.start() > start:
                found.append(word[start : dense.start()][:MAX_WORD_CHARS])
            found += _pairs(dense[0])
            start = dense.end()
        if start < len(word):
            found.append(word[start:][:MAX_WORD_CHARS])
    return found


def _parts(word: str) -> list[str]:
    """An identifier whole and in its parts: ``max_facts`` is found by ``facts``."""
    whole = word[:MAX_WORD_CHARS]
    if "_" not in word:
        return [whole]
    return [whole, *(part[:MAX_WORD_CHARS] for part in word.split("_") if part)]


def _pairs(run: str) -> list[str]:
    if len(run) == 1:
        return [run]
    return [run[i : i + 2] for i in range(len(run) - 1)]


def query_words(text: str, limit: int) -> list[str]:
    """The distinct words worth looking for, in order, at most ``limit``."""
    found: dict[str, None] = {}
    for word in words_of(text):
        if word not in STOP_WORDS and (len(word) > 1 or not word.isascii()):
            found[word] = None
            if len(found) == limit:
                break
    return list(found)
