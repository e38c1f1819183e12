"""How single values are written in a cell, and read back.

A string stands bare where nothing else could be meant, else as a JSON literal. An
object or array in a cell is written loosely: ``{name:the web ports:[80 443]}`` (words
behind a key belong together, unless they look like a key). What ends a
bare string is the separator of the table it stands in (a blank, or a tab where texts
with blanks are common) and, inside brackets, also ``;``, ``]`` and ``}``.

Between tabs, and behind the key of a member, line breaks, tabs and backslashes are
escaped as in JSON but quotes are not.

``-`` is the cell of an absent key, ``*3`` a string of the legend.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from json import decoder as json_decoder
from typing import Any, Final

from headroom.core.compressors.json_table.numerals import Numeral
from headroom.core.compressors.json_table.parse import (
    ABSENT,
    Absence,
    Cell,
    Value,
    quote,
)

LITERAL = re.compile(r"(?:true|false|null|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\Z")
_NAME = re.compile(r"(?!@)[\w$./@+-]+\Z")
_READ_NAME = re.compile(r"[\w$./@+-]+")
_STEP = re.compile(r"[\w$-]+\Z")
_PLACE = r"\[[0-9]+(?:=[0-9]+|\+)?\][\w$./@+-]*"
_LINE_NAME = re.compile(rf"(?!@)[\w$./@+-]+(?:{_PLACE})*\Z")
_READ_LINE_NAME = re.compile(rf"[\w$./@+-]+(?:{_PLACE})*")
NOT_BARE = re.compile(LITERAL.pattern + r"|[\[{]|-\Z")
"""Strings that would mean something else in a cell that may hold anything."""

QUOTED = re.compile(r"\"[^\x00-\x20\x7f;\]}]*\Z")
"""Strings that begin with a quote and hold nothing that could end a cell."""

_NEXT_WORD = r" (?!\")[^\x00-\x20\x7f:;\]}]+"
_FIRST_WORD = r"(?![\[\"{*=])[^\x00-\x20\x7f;\]}]+"
_WORDS = re.compile(rf"{_FIRST_WORD}(?:{_NEXT_WORD})+\Z")
"""Several words, of which only the first has a colon: those are no keys."""

OWN_KEY: Final = "@"
"""The key of the object that a member stands in: ``{a-1:{id:@ state:new}}``."""

WIDE_END: Final = "|"
WIDE = re.compile(r"(?!-?\Z|[\"*=^ ])[^\x00-\x1f\x7f|]+(?<! )\Z")
"""Strings that may stand as they are in a cell that ends with ``WIDE_END``."""

_scan = json_decoder.scanstring  # type: ignore[attr-defined]  # typeshed lacks it
_START = r"\Z|[\"\[{*=]|-\Z"


class FormError(ValueError):
    """A text is no form of this compressor."""


class Same(str):
    """Stands for a list that equals a column: the path of that."""

    __slots__ = ()


class Legend(dict[str, str]):
    """Strings by their codes, and what else a value may name.

    Attributes:
        members: those that stand around the value, as far as they were read.
    """

    def __init__(self, codes: Mapping[str, str]) -> None:
        super().__init__(codes)
        self.members: dict[str, Value] = {}
        self._columns: dict[str, list[Value]] = {}

    @contextmanager
    def within(self, members: dict[str, Value]) -> Iterator[None]:
        """Read what stands beside these members, whose columns it may name."""
        around = self.members, self._columns
        self.members, self._columns = members, {}
        yield
        self.members, self._columns = around

    def column(self, path: str) -> list[Value]:
        """The column of a path, such as ``items.id``.

        It is made once: a text that names it often takes no more room for it.
        """
        if path not in self._columns:
            self._columns[path] = self._column(path)
        return self._columns[path]

    def _column(self, path: str) -> list[Value]:
        head, *steps = path.split(".")
        table = self.members.get(head)
        if steps == ["@"] and isinstance(table, dict):
            return list(table)
        rows = table.values() if isinstance(table, dict) else table
        found: list[Any] = list(rows) if isinstance(rows, Iterable) else []
        if not found or not steps:
            raise FormError("there is no such column")
        try:
            for step in steps:
                found = [one[step] for one in found]
        except (LookupError, TypeError) as error:
            raise FormError("there is no such column") from error
        if not all(isinstance(one, (str, bytes)) for one in found):
            raise FormError("a column holds more than words")
        return found


class Notation:
    """The rules of one separator.

    Attributes:
        separator: what stands between two cells.
    """

    def __init__(self, separator: str) -> None:
        self.separator = separator
        blanks = r"\x00-\x20\x7f" if separator == " " else r"\x00-\x1f\x7f"
        edge = "" if separator == " " else r"| |.* \Z"
        stop = " " if separator == " " else "\t"
        self._unsafe = (
            re.compile(rf"{_START}{edge}|[^{blanks}]*[{blanks}]"),
            re.compile(rf"{_START}{edge}|[^{blanks};\]}}]*[{blanks};\]}}]"),
        )
        self._unsafe_text = re.compile(rf"\Z|[\"*=]{edge}|[^{blanks}]*[{blanks}]")
        self._is_escaped = separator == "\t"
        following = rf"(?:{_NEXT_WORD}(?=[ }}]))*" if separator == " " else ""
        self._words = re.compile(rf"(?![\[\"{{*=])[^{stop};\]}}]+{following}")
        self._bare = (re.compile(rf"[^{stop}]+"), re.compile(rf"[^{stop};\]}}]+"))

    def text(self, text: str, *, nested: bool) -> str:
        """A string in a column of strings."""
        if nested:
            return quote(text) if self._unsafe[True].match(text) else text
        if self._is_escaped and _TO_ESCAPE.search(text):
            escaped = _escape(text)
            return quote(text) if self._unsafe_text.match(escaped) else escaped
        return quote(text) if self._unsafe_text.match(text) else text

    def scalar(self, value: Cell, *, nested: bool) -> str:
        """A cell that may hold anything but is no object or array."""
        if isinstance(value, str):
            if not nested and self._is_escaped and _TO_ESCAPE.search(value):
                escaped = _escape(value)
                return quote(value) if self._unsafe[False].match(escaped) else escaped
            if self._unsafe[nested].match(value) or LITERAL.match(value):
                return quote(value)
            return value
        if isinstance(value, bytes):
            return value.decode()
        if value is None:
            return "null"
        if value is ABSENT:
            return "-"
        return "true" if value else "false"

    def loose(self, value: Cell, *, nested: bool) -> str:
        """A cell that may hold anything."""
        if isinstance(value, dict):
            members = [f"{name(k)}:{self._member(one, k)}" for k, one in value.items()]
            return "{" + self.separator.join(members) + "}"
        if isinstance(value, list):
            items = [self.loose(one, nested=True) for one in value]
            return "[" + self.separator.join(items) + "]"
        if type(value) is Same:
            return f"=={value}"
        return self.scalar(value, nested=nested)

    def _member(self, value: Cell, key: str) -> str:
        """What stands behind the key of a member, up to the next key."""
        if isinstance(value, dict):
            inner = [
                f"{name(k)}:{OWN_KEY if _is_same(one, key) else self._member(one, k)}"
                for k, one in value.items()
            ]
            return "{" + self.separator.join(inner) + "}"
        if type(value) is not str:
            return self.loose(value, nested=True)
        if value == OWN_KEY:
            return quote(value)
        if " " in value and self.separator == " " and _WORDS.match(value):
            return value
        return self.scalar(value, nested=True)

    def read_text(self, line: str, at: int, *, nested: bool) -> tuple[str, int]:
        """The string that starts at ``at``, and where it ends."""
        if line.startswith('"', at):
            return read_string(line, at)
        match = self._bare[nested].match(line, at)
        if match is None:
            raise FormError("a cell is missing")
        word = match[0]
        if "\\" in word and self._is_escaped and not nested:
            word = _ESCAPE.sub(lambda found: _MEANT[found[0]], word)
        return word, match.end()

    def read_raw(self, line: str, at: int, *, nested: bool) -> tuple[str, int]:
        """The string that starts at ``at`` as it stands, quotes and all."""
        match = self._bare[nested].match(line, at)
        if match is None:
            raise FormError("a cell is missing")
        return match[0], match.end()

    def read(
        self, line: str, at: int, legend: Mapping[str, str], *, nested: bool
    ) -> tuple[Cell, int]:
        """The value that starts at ``at``, and where it ends."""
        first = line[at : at + 1]
        if first == '"':
            return read_string(line, at)
        if first == "{":
            return self._read_object(line, at + 1, legend, None)
        if first == "[":
            return self._read_array(line, at + 1, legend)
        word, end = self.read_text(line, at, nested=nested)
        if first == "*":
            if word not in legend:
                raise FormError("a code is not in the legend")
            return legend[word], end
        if first == "=" and word.startswith("==") and isinstance(legend, Legend):
            return legend.column(word[2:]), end
        return of_word(word), end

    def _read_object(
        self, line: str, at: int, legend: Mapping[str, str], own_key: str | None
    ) -> tuple[Cell, int]:
        found: dict[str, Value] = {}
        value: Cell
        while not line.startswith("}", at):
            key, at = read_name(line, at)
            at = expect(line, at, ":")
            words = self._words.match(line, at)
            if words is not None:
                is_key = words[0] == OWN_KEY and own_key is not None
                value, at = own_key if is_key else of_word(words[0]), words.end()
            elif line.startswith("{", at):
                value, at = self._read_object(line, at + 1, legend, key)
            else:
                value, at = self.read(line, at, legend, nested=True)
            if isinstance(value, Absence):
                raise FormError("an absent value stands in an object")
            found[key] = value
            if line.startswith(self.separator, at):
                at += 1
            elif not line.startswith("}", at):
                raise FormError("an object does not end")
        return found, at + 1

    def _read_array(
        self, line: str, at: int, legend: Mapping[str, str]
    ) -> tuple[Cell, int]:
        found: list[Value] = []
        while not line.startswith("]", at):
            value, at = self.read(line, at, legend, nested=True)
            if isinstance(value, Absence):
                raise FormError("an absent value stands in an array")
            found.append(value)
            if line.startswith(self.separator, at):
                at += 1
            elif not line.startswith("]", at):
                raise FormError("an array does not end")
        return found, at + 1


def _is_same(value: Cell, key: str) -> bool:
    """Whether a value is the string that is a key, digits or not."""
    if isinstance(value, Numeral):
        return value == key.encode()
    return value == key and len(key) > 1


_TO_ESCAPE = re.compile(r"[\\\n\t\r]")
_ESCAPE = re.compile(r"\\[\\ntr]")
_MEANT: Final = {"\\\\": "\\", "\\n": "\n", "\\t": "\t", "\\r": "\r"}
_ESCAPES: Final = str.maketrans({meant: sign for sign, meant in _MEANT.items()})


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)


BLANK: Final = Notation(" ")
TAB: Final = Notation("\t")


def of_word(word: str) -> Cell:
    """What a bare word means."""
    if LITERAL.match(word):
        known = {"true": True, "false": False, "null": None}
        return known[word] if word in known else word.encode()
    return ABSENT if word == "-" else word


@lru_cache(maxsize=4096)
def name(key: str) -> str:
    """A key, bare if it is a plain word."""
    return key if _NAME.match(key) else quote(key)


def is_step(key: str) -> bool:
    """Whether a key may be part of the path of a column."""
    return _STEP.match(key) is not None


def line_name(key: str) -> str:
    """A key at the beginning of a line, where a path with places may stand bare."""
    return key if _LINE_NAME.match(key) else quote(key)


def read_line_name(line: str, at: int) -> tuple[str, int]:
    """The same read back, and where it ends."""
    return read_name(line, at, _READ_LINE_NAME)


def read_name(
    line: str, at: int, bare: re.Pattern[str] = _READ_NAME
) -> tuple[str, int]:
    """The key that starts at ``at``, and where it ends."""
    if line.startswith('"', at):
        return read_string(line, at)
    match = bare.match(line, at)
    if match is None:
        raise FormError("a name is missing")
    return match[0], match.end()


def read_string(line: str, at: int) -> tuple[str, int]:
    """The JSON string literal that starts at ``at``, and where it ends."""
    try:
        text, end = _scan(line, at + 1)
    except ValueError as error:
        raise FormError("a string does not end") from error
    return str(text), int(end)


def expect(line: str, at: int, sign: str) -> int:
    """The place after ``sign``, which must stand at ``at``."""
    if not line.startswith(sign, at):
        raise FormError(f"expected {sign}")
    return at + len(sign)
