"""JSON text → values that keep every number as it was written, and back.

Numbers are held as ``bytes`` (``b"1.0"``, ``b"1e-9"``): no lexeme is lost, they never
equal a string, and they hash and compare at C speed. Several documents in one text
(JSON lines, or documents printed one after the other) come as a list.

Refused, because they cannot be given back for certain: duplicate keys, NaN and
Infinity, lone surrogates, a byte order mark, nesting deeper than ``MAX_DEPTH``.
"""

import json
from enum import Enum
from typing import Any, Final, NoReturn, TypeAlias

from msgspec import Struct

Value: TypeAlias = "str | bytes | bool | list[Value] | dict[str, Value] | None"


class Absence(Enum):
    """The value of a key that an object does not have."""

    ABSENT = "-"


ABSENT: Final = Absence.ABSENT
Cell: TypeAlias = "Value | Absence"

MAX_DEPTH: Final = 64
"""Deepest nesting that is read; real tool output stays below 30."""


class RefusedError(ValueError):
    """The text is not JSON that can be given back for certain."""


class Document(Struct, frozen=True):
    """What a text holds.

    Attributes:
        value: the document; for several documents the list of them.
        is_lines: the text holds several documents.
    """

    value: Value
    is_lines: bool = False


def _unique(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RefusedError("an object has a key twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise RefusedError(f"{name} is no JSON")


DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_float=str.encode,
    parse_int=str.encode,
    parse_constant=_refuse_constant,
)
_BLANKS: Final = " \t\n\r"


def read(text: str) -> Document:
    """Parse a text that is one JSON array or object, or several of them.

    Raises:
        RefusedError: it is something else, or cannot be given back for certain.
    """
    stripped = text.strip(_BLANKS)
    if not stripped or stripped[0] not in "[{" or stripped[-1] not in "]}":
        raise RefusedError("neither an object nor an array")
    _check_start(stripped)
    try:
        text.encode()
        value, end = DECODER.raw_decode(stripped)
        if end == len(stripped):
            document = Document(value)
        else:
            document = Document(_read_more(stripped, value, end), is_lines=True)
    except RefusedError:
        raise
    except (ValueError, RecursionError) as error:
        raise RefusedError("not JSON") from error
    _check_depth(document.value)
    return document


def _check_start(text: str) -> None:
    """Refuse what opens deeper than ``MAX_DEPTH`` at once: no parser need see it."""
    opening = "".join(text[:4096].split())
    if len(opening) - len(opening.lstrip("[")) > MAX_DEPTH:
        raise RefusedError("nested too deep")


def _read_more(text: str, first: Value, end: int) -> list[Value]:
    values: list[Value] = [first]
    size = len(text)
    while end < size:
        start = end
        while text[end] in _BLANKS:
            end += 1
        if start == end or text[end] not in "[{":
            raise RefusedError("documents run into something else")
        value, end = DECODER.raw_decode(text, end)
        values.append(value)
    return values


def _check_depth(value: Value) -> None:
    """Walk level by level, so that no nesting can exhaust the stack.

    Raises:
        RefusedError: nested deeper than ``MAX_DEPTH``, or a lone surrogate inside.
    """
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for one in level:
            inner.extend(one.values() if type(one) is dict else one)
        level = [one for one in inner if type(one) is dict or type(one) is list]
        if not level:
            return
    raise RefusedError("nested too deep")


_string = json.encoder.encode_basestring
_CONSTANTS: Final = {True: "true", False: "false", None: "null"}


def quote(text: str) -> str:
    """A string as a JSON literal; what need not be escaped stays as it is."""
    return str(_string(text))


def write(value: Value, comma: str = ",", colon: str = ":") -> str:
    """A value as JSON on one line, numbers as they were written."""
    if isinstance(value, str):
        return str(_string(value))
    if isinstance(value, bytes):
        # Digits that stand for a string (see ``numerals``) are one wherever JSON is.
        text = value.decode()
        return text if type(value) is bytes else str(_string(text))
    if isinstance(value, dict):
        return (
            "{"
            + comma.join(
                f"{_string(key)}{colon}{write(one, comma, colon)}"
                for key, one in value.items()
            )
            + "}"
        )
    if isinstance(value, list):
        return "[" + comma.join([write(one, comma, colon) for one in value]) + "]"
    return _CONSTANTS[value]


STYLES: Final = {"json": (",", ":"), "json+": (", ", ": ")}
"""How JSON inside strings is printed: without blanks, or with blanks after signs."""

_MIN_EMBEDDED_CHARS: Final = 16


def embedded(text: str) -> tuple[Value, str] | None:
    """The object or array that a string holds, and the style that prints it so."""
    if len(text) < _MIN_EMBEDDED_CHARS or text[0] + text[-1] not in {"{}", "[]"}:
        return None
    try:
        value = read(text).value
    except RefusedError:
        return None
    for name, (comma, colon) in STYLES.items():
        if write(value, comma, colon) == text:
            return value, name
    return None


def compact(document: Document) -> str:
    """The document without blanks; several documents one to a line."""
    if document.is_lines and isinstance(document.value, list):
        return "\n".join(map(write, document.value))
    return write(document.value)
