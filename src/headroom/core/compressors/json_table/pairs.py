"""An object of names and codes as lines, the code in front: the name takes its blank.

```
#json<str
3377618313 Action Camera
3821016478 Air Purifier
```

``#json<str`` says that the values are strings, ``#json<`` that they are numbers. A
value ends with the first blank of its line; the rest of the line is the key.
"""

import re

from headroom.core.compressors.json_table.notation import FormError
from headroom.core.compressors.json_table.parse import Document, Value

HEADER = "#json<"
_TEXTS = f"{HEADER}str"
_MIN_MEMBERS = 8
_MAX_VALUE_CHARS = 80
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def encode_pairs(document: Document) -> str | None:
    """The form of an object whose values are all short words, or all numbers."""
    value = document.value
    if document.is_lines or not isinstance(value, dict) or len(value) < _MIN_MEMBERS:
        return None
    if not all(key.isprintable() for key in value):
        return None
    words: list[str] = []
    kinds = {type(one) for one in value.values()}
    for one in value.values():
        word = one.decode() if isinstance(one, bytes) else one
        if not isinstance(word, str) or not 0 < len(word) <= _MAX_VALUE_CHARS:
            return None
        if " " in word or not word.isprintable():
            return None
        words.append(word)
    if len(kinds) != 1:
        return None
    header = _TEXTS if str in kinds else HEADER
    lines = [f"{word} {key}" for word, key in zip(words, value, strict=True)]
    return "\n".join([header, *lines])


def decode_pairs(form: str) -> Document:
    """The document that a form stands for.

    Raises:
        FormError: it is no such form.
    """
    header, *lines = form.split("\n")
    if header not in {HEADER, _TEXTS}:
        raise FormError("not the header")
    found: dict[str, Value] = {}
    for line in lines:
        word, blank, key = line.partition(" ")
        if not blank or not word or key in found:
            raise FormError("a line is no pair")
        if header == HEADER and _NUMBER.fullmatch(word) is None:
            raise FormError("a value is no number")
        found[key] = word if header == _TEXTS else word.encode()
    return Document(found)
