"""A JSON result that is nearly an earlier one is told by what differs.

Agents ask for the state of a thing, change it, and get the whole thing again; they
poll; they look at one record after the other of the same owner. Every member that is as
in an earlier JSON result of the conversation is left to that result; the others are
given. Nothing is lost: the earlier one can be read in full, be it by the help of one
before it.

Notation (``#5`` is the conversation's fifth tool result, its call named
without what this result's own call says)::

    [JSON as #5 W51, but:]
    {"status":"cancelled","payments[1+]":[{"type":"refund"}],"(gone)":["eta"]}

Members are named by their paths; ``payments[1]`` is an element, ``payments[1+]`` what
follows from there on, ``(gone)`` the paths of what is there and not here. The line
below the header may have the form that ``json_table`` gives it.

What always holds: a form is made only if it gives the value back, keys in order and
numbers letter for letter; at most ``MAX_CHAIN`` results stand behind each other.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from headroom.core.compressors import json_table
from headroom.core.compressors.json_table.parse import (
    DECODER,
    Document,
    Value,
    compact,
    read,
    write,
)
from headroom.core.repeats.sources import Source, beside
from headroom.core.repeats.values import parsed
from headroom.core.types import Candidate, Context, CountTokens, ToolCall

STRATEGY = "json_record"

MAX_CHAIN = 3
"""Results that a reader has to look up, one behind the other."""

STEP_CHARS = 24
"""What it is worth that a reader has one result less to look up."""

MAX_COMPARED = 4
"""Earlier results compared in full: those that have most in common at the top."""

MAX_REMEMBERED = 256
"""Earlier JSON results looked at, the newest ones."""

MAX_DEPTH = 8
"""Differences further down are told by the value above them."""

MAX_CHANGE = 0.7
"""Of a value: what changes in more of it is given whole."""

MIN_COMMON = 0.1
"""Of the JSON, before the differences take any form."""

MIN_SAVING = 0.15
"""Of the JSON without blanks."""

_GONE = "(gone)"
_NAME = re.compile(r"[^.\[\]()\s][^.\[\]()]*")
_HEADER = re.compile(r"\[JSON as #(\d+c?) [^\]\n]*\]")
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)(\+?)\]")


class Base(Struct, frozen=True):
    """An earlier result that stands for itself or is told by others.

    Attributes:
        through: digests of the results that it is told by itself.
    """

    source: Source
    through: tuple[str, ...] = ()


def relate(
    text: str,
    bases: Sequence[Base],
    count: CountTokens,
    call: ToolCall | None = None,
) -> Candidate | None:
    """A JSON text by what differs from an earlier one.

    Args:
        text: the newest result.
        bases: earlier results that can be read in full, oldest first.
        count: tells which form of the differences is the shorter.
        call: the one it answers; what that says is not said again of a base's.

    Returns:
        A lossless form, or ``None`` if none of them is like it.
    """
    new = parsed(text)
    if new is None:
        return None
    best: tuple[_Changes, Base] | None = None
    least = int((1 - MIN_COMMON) * _size(new))
    for base in _likeliest(new, bases):
        changes = _Changes()
        _compare(base.source.value, new, "", changes)
        price = changes.chars + STEP_CHARS * len(base.through)
        if _WHOLE not in changes.given and price < least:
            best, least = (changes, base), price
    if best is None:
        return None
    changes, base = best
    if repr(_apply(base.source.value, changes)) != repr(new):
        return None
    head = f"[JSON as #{base.source.name} {beside(base.source.label, call)}"
    told = f", but:]\n{_told(changes, count)}" if changes.chars else "]"
    form = head + told
    if len(form) > (1 - MIN_SAVING) * len(write(new)):
        return None
    refers_to = (base.source.digest, *base.through)
    return Candidate(form, STRATEGY, refers_to=refers_to)


def base_of(form: str) -> str | None:
    """The number of the result that a form names; ``None`` if it is no such form."""
    match = _HEADER.match(form)
    return None if match is None else match[1]


def restore(form: str, originals: Mapping[str, str]) -> str:
    """The JSON without blanks that a form stands for.

    Args:
        form: what ``relate`` made.
        originals: number → text of earlier results.

    Raises:
        KeyError: the result that the form names is not given.
        ValueError: it is no such form.
    """
    header, _, body = form.partition("\n")
    match = _HEADER.fullmatch(header)
    if match is None:
        raise ValueError("no header")
    changes = _Changes()
    if body:
        given = body if body[0] == "{" else json_table.decode(body)
        changes.given = DECODER.decode(given)
        gone = changes.given.pop(_GONE, [])
        changes.gone = [str(path) for path in gone] if isinstance(gone, list) else []
    return write(_apply(read(originals[match[1]]).value, changes))


class _Changes:
    """What differs, by path; a change without a path is the whole."""

    def __init__(self) -> None:
        self.given: dict[str, Value] = {}
        self.gone: list[str] = []
        self.chars = 0

    def give(self, path: str, value: Value) -> None:
        """A value is another one here, or only here."""
        self.given[path] = value
        self.chars += len(path) + _size(value) + 4

    def drop(self, path: str) -> None:
        """A value is only there."""
        self.gone.append(path)
        self.chars += len(path) + 3

    def add(self, more: "_Changes") -> None:
        """Take the changes inside of a value."""
        self.given |= more.given
        self.gone += more.gone
        self.chars += more.chars


_WHOLE = ""
"""The path of a change that leaves nothing in common."""


def _likeliest(new: Value, bases: Sequence[Base]) -> Iterable[Base]:
    """Those with most in common at the top, the newest first where it is the same."""
    parts = _parts(new)
    sizes = {key: _size(value) for key, value in parts.items()}
    ranked: list[tuple[int, int, Base]] = []
    for age, base in enumerate(reversed(bases)):
        if age >= MAX_REMEMBERED:
            break
        if type(base.source.value) is not type(new) or len(base.through) >= MAX_CHAIN:
            continue
        old = _parts(base.source.value)
        alike = [key for key in parts if key in old]
        if len(alike) * 2 < len(parts):
            continue
        same = sum(sizes[key] for key in alike if parts[key] == old[key])
        worth = same + len(alike) - STEP_CHARS * len(base.through)
        ranked.append((-worth, age, base))
    ranked.sort(key=lambda entry: entry[:2])
    return [base for _, _, base in ranked[:MAX_COMPARED]]


def _size(value: Value) -> int:
    """About the characters of a value; a measure that costs little."""
    return len(repr(value))


def _parts(value: Value) -> dict[str, Value]:
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {str(index): one for index, one in enumerate(value)}
    return {}


def _compare(old: Value, new: Value, path: str, changes: _Changes) -> None:
    """Collect what differs between two values that stand at one path."""
    if old == new:  # but for the order of keys, which is seen at the end
        return
    inside: _Changes | None = None
    if path.count(".") + path.count("[") < MAX_DEPTH:
        if isinstance(old, dict) and isinstance(new, dict):
            inside = _compare_members(old, new, path)
        elif isinstance(old, list) and isinstance(new, list):
            inside = _compare_elements(old, new, path)
    if inside is None or (path and inside.chars > MAX_CHANGE * _size(new)):
        changes.give(path, new)
    else:
        changes.add(inside)


def _compare_members(
    old: dict[str, Value], new: dict[str, Value], path: str
) -> _Changes | None:
    """Changes inside an object; ``None`` if a path could not tell them in order."""
    order = [key for key in old if key in new] + [key for key in new if key not in old]
    if list(new) != order or not all(_NAME.fullmatch(key) for key in (*old, *new)):
        return None
    found = _Changes()
    for key, value in new.items():
        below = f"{path}.{key}" if path else key
        if key in old:
            _compare(old[key], value, below, found)
        else:
            found.give(below, value)
    for key in old:
        if key not in new:
            found.drop(f"{path}.{key}" if path else key)
    return found


def _compare_elements(old: list[Value], new: list[Value], path: str) -> _Changes:
    found = _Changes()
    for index, (before, after) in enumerate(zip(old, new, strict=False)):
        _compare(before, after, f"{path}[{index}]", found)
    rest = f"{path}[{min(len(old), len(new))}+]"
    if len(new) > len(old):
        found.give(rest, new[len(old) :])
    elif len(old) > len(new):
        found.drop(rest)
    return found


def _told(changes: _Changes, count: CountTokens) -> str:
    """The differences as JSON, in the shorter of its two forms."""
    gone: dict[str, Value] = {_GONE: list(changes.gone)} if changes.gone else {}
    text = compact(Document(changes.given | gone))
    found = json_table.compress(text, Context(count=count))
    return text if found is None or found.lossless is None else found.lossless.text


def _apply(old: Value, changes: _Changes) -> Value:
    """The value with the changes made; the old one is not touched."""
    root = _copy(old)
    for path in changes.gone:
        holder, step = _holder(root, path)
        if isinstance(holder, dict):
            del holder[str(step)]
        elif isinstance(holder, list):
            del holder[int(step) :]
    for path, value in changes.given.items():
        holder, step = _holder(root, path)
        if isinstance(holder, dict):
            holder[str(step)] = value
        elif path.endswith("+]") and isinstance(holder, list):
            holder[int(step) :] = value if isinstance(value, list) else []
        elif isinstance(holder, list):
            holder[int(step)] = value
    return root


def _holder(root: Value, path: str) -> tuple[Value, str]:
    """What holds the last step of a path, and that step."""
    steps = [match[1] or match[2] for match in _STEP.finditer(path)]
    if not steps:
        raise ValueError("a path without steps")
    value = root
    for step in steps[:-1]:
        if isinstance(value, dict):
            value = value[step]
        elif isinstance(value, list):
            value = value[int(step)]
    return value, steps[-1]


def _copy(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _copy(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_copy(one) for one in value]
    return value
