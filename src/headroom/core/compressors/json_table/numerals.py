"""Strings of digits without quotes: ids, zip codes, telephone numbers.

Where a document has long numerals only as strings, a form may say so once and write
them like numbers. What is shorter than ``MIN_DIGITS`` stays what it looks like: counts
and sizes are numbers, and short strings of digits keep their quotes.
"""

import re

from headroom.core.compressors.json_table.parse import Value

MIN_DIGITS = 5

_TEXT = re.compile(rf"[0-9]{{{MIN_DIGITS},}}\Z")
_NUMBER = re.compile(rb"-?[0-9]{%d,}\Z" % MIN_DIGITS)
"""With a sign, too: in a column of ids no reader takes it for something else."""


class Numeral(bytes):
    """The digits of a string, among numbers that are held as bytes."""


def has_numerals(value: Value) -> bool:
    """Whether a value has long numerals, and only as strings."""
    count = _count(value)
    return count is not None and count > 0


def bared(value: Value) -> Value:
    """The same value with a ``Numeral`` for every long string of digits."""
    if isinstance(value, str):
        return bared_text(value)
    if isinstance(value, dict):
        return {key: bared(one) for key, one in value.items()}
    if isinstance(value, list):
        return [bared(one) for one in value]
    return value


def bared_text(text: str) -> str | Numeral:
    """A string, or its digits if it is nothing else."""
    return Numeral(text.encode()) if _TEXT.match(text) else text


def dressed(value: Value) -> Value:
    """The value with strings again for all long numerals.

    What stands in several places (a constant, a column) does so again: who imitates a
    form could have it stand in many.
    """
    return _dressed(value, {})


def _dressed(value: Value, done: dict[int, Value]) -> Value:
    if isinstance(value, bytes):
        return value.decode() if _NUMBER.match(value) else value
    if not isinstance(value, (dict, list)):
        return value
    found = done.get(id(value))
    if found is None:
        found = (
            {key: _dressed(one, done) for key, one in value.items()}
            if isinstance(value, dict)
            else [_dressed(one, done) for one in value]
        )
        done[id(value)] = found
    return found


def _count(value: Value) -> int | None:
    """How many strings are long numerals; ``None`` if a number is one."""
    if isinstance(value, str):
        return int(_TEXT.match(value) is not None)
    if isinstance(value, bytes):
        return None if _NUMBER.match(value) else 0
    if not isinstance(value, (dict, list)):
        return 0
    total = 0
    for one in value.values() if isinstance(value, dict) else value:
        count = _count(one)
        if count is None:
            return None
        total += count
    return total
