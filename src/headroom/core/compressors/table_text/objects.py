"""Columns whose cells are JSON objects: keys and values apart.

``{"size": "S", "color": "red"}`` becomes the keys ``size,color``, which usually stay
the same for many rows, and the values ``S,red``. Strings are written bare unless they
could be read as another JSON value; numbers keep their digits. A column is split only
if every cell comes back exactly as it was written.
"""

import json
import re
from functools import lru_cache
from json.encoder import encode_basestring

from msgspec import Struct

_BARE = re.compile(r"[^\s\",{}\[\]\d+-](?:[^\",{}\[\]\\]*[^\s\",{}\[\]\\])?\Z")
_BARE_DIGIT = re.compile(r"[\d+-](?=[\w.:/%-]*?[A-Za-z%])[\w.:/%-]*+\Z")
_FLOAT = re.compile(r"[\d.+-]+[eE][+-]?\d+\Z")
_WORDS = frozenset(("true", "false", "null", "NaN", "Infinity", "-Infinity"))
_STYLES = ((", ", ": "), (",", ":"))
_PARTS = re.compile(r'"(?:[^"\\]|\\.)*"|[^,]+')


class ObjectColumn(Struct):
    """A split column and how its cells are spaced when joined again."""

    keys: list[str]
    values: list[str]
    item_gap: str
    key_gap: str


class _Lexeme(str):
    """A number as it was written."""

    __slots__ = ()


# Values of a column come back in many of its cells.
@lru_cache(maxsize=2048)
def _bare_text(value: str) -> str:
    is_plain = (_BARE.match(value) or _BARE_DIGIT.match(value)) and value not in _WORDS
    if is_plain and not _FLOAT.match(value):
        return value
    return encode_basestring(value)


_DECODER = json.JSONDecoder(parse_int=_Lexeme, parse_float=_Lexeme)


def _bare(value: object) -> str | None:
    """How a value is written in the cell; ``None``: it cannot be."""
    if isinstance(value, _Lexeme):
        return str(value)
    if isinstance(value, str):
        return _bare_text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return None


@lru_cache(maxsize=2048)
def _quote(part: str) -> str:
    """The JSON of one written value."""
    if part[:1] == '"' or part in _WORDS:
        return part
    if _BARE.match(part) or (_BARE_DIGIT.match(part) and not _FLOAT.match(part)):
        return encode_basestring(part)
    return part


def join_object(keys: str, values: str, item_gap: str, key_gap: str) -> str:
    """One cell as it was before it was split."""
    if not keys:
        return values
    parts = _PARTS.findall(values)
    pairs = map(str.__add__, _opened(keys, key_gap), map(_quote, parts))
    return "{" + item_gap.join(pairs) + "}"


@lru_cache(maxsize=256)
def _opened(keys: str, key_gap: str) -> tuple[str, ...]:
    """What stands before each value of an object with these keys."""
    return tuple(
        (key if key[:1] == '"' else encode_basestring(key)) + key_gap
        for key in _PARTS.findall(keys)
    )


def _split(cell: str) -> tuple[str, str] | None:
    try:
        value = _DECODER.decode(cell)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not value:
        return None
    parts = [_bare(v) for v in value.values()]
    if any(p is None for p in parts):
        return None
    keys = [k if _BARE.match(k) else encode_basestring(k) for k in value]
    return ",".join(keys), ",".join(p for p in parts if p is not None)


def split_objects(column: list[str]) -> ObjectColumn | None:
    """The column in two, if all of its cells are flat objects (or empty)."""
    probe = next((c for c in column if c), "")
    if probe[:1] != "{" or probe[-1:] != "}":
        return None
    keys: list[str] = []
    values: list[str] = []
    item_gap, key_gap = next((s for s in _STYLES if f'"{s[1]}' in probe), _STYLES[1])
    memo: dict[str, tuple[str, str]] = {"": ("", "")}
    for cell in column:
        pair = memo.get(cell)
        if pair is None:
            pair = _split(cell) if cell[:1] == "{" else None
            if pair is None or join_object(*pair, item_gap, key_gap) != cell:
                return None
            memo[cell] = pair
        keys.append(pair[0])
        values.append(pair[1])
    return ObjectColumn(keys, values, item_gap, key_gap)
