"""A JSON result that is nearly an earlier one is told by what differs.

Agents ask for the state of a thing, change it, and get the whole thing again; they
poll; they look at one record after the other of the same owner. Every member that is as
in an earlier JSON result of the conversation is left to that result; the others are
given. Nothing is lost: the earlier one can be read in full, be it by the help of one
before it.

Notation (``#5`` is the conversation's fifth tool result, its call named the first time,
without what this result's own call says)::

    [as #5 W51 with this order_id but:]
    eta: -
    status: cancelled
    payments[1=0].type: refund

Members are named by their paths (see ``changes``); ``-`` tells what is there and not
here, ``with this`` what reads as this result's own call says. The lines are those of
``json_table`` without its header, or one line of JSON where that is shorter. Where the
earlier result has long numerals only as strings, they are strings here, too.

What always holds: a form is made only if it gives the value back, keys in order and
numbers letter for letter; at most ``MAX_CHAIN`` results stand behind each other.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from headroom.core.compressors.json_table.decode import decode
from headroom.core.compressors.json_table.encode import encode, encode_members
from headroom.core.compressors.json_table.notation import FormError, line_name
from headroom.core.compressors.json_table.numerals import bared, dressed, has_numerals
from headroom.core.compressors.json_table.parse import (
    DECODER,
    Document,
    Value,
    compact,
    read,
    write,
)
from headroom.core.repeats.changes import WHOLE, Changes, apply, compare, size
from headroom.core.repeats.sources import Source, beside
from headroom.core.repeats.values import parsed
from headroom.core.types import Candidate, CountTokens, ToolCall

STRATEGY = "json_record"

MAX_CHAIN = 3
"""Results that a reader has to look up, one behind the other."""

STEP_CHARS = 24
"""What it is worth that a reader has one result less to look up."""

MAX_COMPARED = 4
"""Earlier results compared in full: those that have most in common at the top."""

MAX_REMEMBERED = 256
"""Earlier JSON results looked at, the newest ones."""

MIN_COMMON = 0.1
"""Of the JSON, before the differences take any form."""

MIN_SAVING = 0.15
"""Of the JSON without blanks."""

_GONE = "(gone)"
_HEADER = re.compile(
    r"\[as #(\d+c?)(?: [^\]\n]*?)??(?: with this ([\w-]+(?:, [\w-]+)*))?(?: but:)?\]"
)
_MIN_GIVEN_CHARS = 4
_GONE_LINE = re.compile(r'([^\s:"]+|"(?:[^"\\]|\\.)*"): -')
_THIS = " with this "
_PLAIN = re.compile(r"[\w-]+")
_JSON, _FORM = "{", "#json"


class Base(Struct, frozen=True):
    """An earlier result that stands for itself or is told by others.

    Attributes:
        through: digests of the results that it is told by itself, the nearest first.
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
    best: tuple[Changes, Base] | None = None
    least = int((1 - MIN_COMMON) * size(new))
    for base in _likeliest(new, bases):
        changes = Changes()
        compare(base.source.value, new, "", changes)
        price = changes.chars + STEP_CHARS * len(base.through)
        if WHOLE not in changes.given and price < least:
            best, least = (changes, base), price
    if best is None:
        return None
    changes, base = best
    old = base.source.value
    if repr(apply(old, changes)) != repr(new):
        return None
    form = _form(
        f"{base.source.name}{_label(base, bases, call)}", changes, old, call, count
    )
    text = write(new)
    if len(form) > (1 - MIN_SAVING) * len(text) or _meant(form, old, call) != text:
        return None
    refers_to = (base.source.digest, *base.through)
    return Candidate(form, STRATEGY, refers_to=refers_to)


def base_of(form: str) -> str | None:
    """The number of the result that a form names; ``None`` if it is no such form."""
    match = _HEADER.match(form)
    return None if match is None else match[1]


def restore(
    form: str, originals: Mapping[str, str], call: ToolCall | None = None
) -> str:
    """The JSON without blanks that a form stands for.

    Args:
        form: what ``relate`` made.
        originals: number → text of earlier results.
        call: the one whose result it is.

    Raises:
        KeyError: the result that the form names is not given.
        ValueError: it is no such form.
    """
    number = base_of(form)
    if number is None:
        raise ValueError("no header")
    found = _meant(form, read(originals[number]).value, call)
    if found is None:
        raise ValueError("no such form")
    return found


def _meant(form: str, old: Value, call: ToolCall | None) -> str | None:
    """The JSON that a form stands for, if it is one."""
    header, _, body = form.partition("\n")
    match = _HEADER.fullmatch(header)
    if match is None:
        return None
    try:
        changes = _read(body, old)
        if match[2]:
            said = _arguments(call)
            names = match[2].split(", ")
            changes.given = {name: said[name] for name in names} | changes.given
        return write(apply(old, changes))
    except (ValueError, KeyError):
        return None


def _form(
    name: str, changes: Changes, old: Value, call: ToolCall | None, count: CountTokens
) -> str:
    """The form of changes, less what the call says that the result answers."""
    said = _arguments(call)
    known = old if isinstance(old, dict) else {}
    names = [
        path
        for path, value in changes.given.items()
        if path in known and path in said and value == said[path]
    ]
    rest = Changes()
    rest.gone = changes.gone
    rest.given = {k: one for k, one in changes.given.items() if k not in names}
    head = f"[as #{name}" + (f"{_THIS}{', '.join(names)}" if names else "")
    if not rest.given and not rest.gone:
        return f"{head}]"
    return f"{head} but:]\n{_told(rest, old, count)}"


def _arguments(call: ToolCall | None) -> dict[str, Value]:
    """Those texts among a call's arguments that are worth a reference."""
    if call is None:
        return {}
    try:
        found = msgspec.json.decode(call.input)
    except (ValueError, RecursionError):
        return {}
    return {
        name: value
        for name, value in (found.items() if isinstance(found, dict) else ())
        if isinstance(value, str) and len(value) >= _MIN_GIVEN_CHARS
        if _PLAIN.fullmatch(name)
    }


def _label(base: Base, bases: Sequence[Base], call: ToolCall | None) -> str:
    """What names a base beside its number, unless a form before has done so.

    What was quoted is said again: where calls are unknown so may numbers be.
    """
    digest, label = base.source.digest, base.source.label
    is_named = any(one.through[:1] == (digest,) for one in bases)
    if is_named and not label.startswith('"'):
        return ""
    return f" {beside(label, call).partition(_THIS)[0]}"


def _likeliest(new: Value, bases: Sequence[Base]) -> Iterable[Base]:
    """Those with most in common at the top, the newest first where it is the same."""
    parts = _parts(new)
    sizes = {key: size(value) for key, value in parts.items()}
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


def _parts(value: Value) -> dict[str, Value]:
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {str(index): one for index, one in enumerate(value)}
    return {}


def _told(changes: Changes, old: Value, count: CountTokens) -> str:
    """The differences as lines or as JSON, whichever is shorter."""
    gone: dict[str, Value] = {_GONE: list(changes.gone)} if changes.gone else {}
    text = compact(Document(changes.given | gone))
    lines = [f"{line_name(path)}: -" for path in changes.gone]
    given = bared(changes.given) if has_numerals(old) else changes.given
    members = encode_members(given)
    if members is None:
        members = encode(Document(changes.given))
    form = "\n".join(filter(None, [*lines, members]))
    if len(form) >= len(text) or count(form) >= count(text):
        return text
    return form if _is_told(form, old, changes) else text


def _is_told(form: str, old: Value, changes: Changes) -> bool:
    try:
        found = _read(form, old)
    except ValueError:
        return False
    return found.gone == changes.gone and repr(found.given) == repr(changes.given)


def _read(body: str, old: Value) -> Changes:
    """The differences that stand below a header.

    Raises:
        ValueError: it is no such form.
    """
    changes = Changes()
    if body.startswith(_JSON):
        changes.given = DECODER.decode(body)
        gone = changes.given.pop(_GONE, [])
        changes.gone = [str(path) for path in gone] if isinstance(gone, list) else []
        return changes
    while (match := _GONE_LINE.match(body)) is not None:
        end = match.end()
        if body[end : end + 1] not in {"", "\n"}:
            break
        path = match[1]
        changes.gone.append(json.loads(path) if path.startswith('"') else path)
        body = body[end + 1 :]
    if not body:
        return changes
    is_form = body.startswith(_FORM)
    given = decode(body if is_form else f"#json>\n{body}").value
    if not isinstance(given, dict):
        raise FormError("no members")
    is_bared = not is_form and has_numerals(old)
    changes.given = {
        path: dressed(value) if is_bared else value for path, value in given.items()
    }
    return changes
