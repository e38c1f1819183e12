"""Parts of contents, as requests and answers both have them.

A content is ``{"role": …, "parts": […]}``; a part is an object with one of ``text``,
``functionCall``, ``functionResponse``, ``inlineData``, … and maybe ``thought`` and
``thoughtSignature``. The API takes every name in camelCase and in snake_case
(https://ai.google.dev/api/caching#Part, https://protobuf.dev/programming-guides/json).

Calls and results have an ``id`` only in newer shapes, and clients invent ids of their
own. Without one, the n-th result of a name answers the n-th call of that name in the
content before it: its *positional* id says that. So nothing in a content is certain to
come back as it was sent but the thought signature, which clients must return, the
arguments, and texts; clients join texts that stand next to each other.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from headroom.core.digest import content_digest
from headroom.core.hidden import NEUTRAL, call_anchor, seal_anchor, text_anchor
from headroom.core.wire import json_parts
from headroom.errors import StreamError

_T = TypeVar("_T")

CALL = ("functionCall", "function_call")
RESPONSE = ("functionResponse", "function_response")
SIGNATURE = ("thoughtSignature", "thought_signature")
DECLARATIONS = ("functionDeclarations", "function_declarations")


def either(members: Mapping[str, _T], names: Sequence[str]) -> _T | None:
    """A member under either spelling of its name."""
    for name in names:
        if name in members:
            return members[name]
    return None


class Part(Struct, frozen=True, gc=False):
    """One part of a model's content.

    Attributes:
        raw: its JSON.
        text: of a text part; ``None`` if it is another.
        is_thought: a summary of thinking, which clients may drop.
        signature: opaque; comes back in the part it came in.
        name: of the function it calls; empty if it calls none.
        id: of the call, if the API gave one.
        args: the call's arguments as JSON.
    """

    raw: bytes
    text: str | None = None
    is_thought: bool = False
    signature: str = ""
    name: str = ""
    id: str = ""
    args: bytes = b"{}"

    @property
    def is_call(self) -> bool:
        """Whether it calls a function."""
        return bool(self.name)


def read_part(raw: bytes) -> Part:
    """One part.

    Raises:
        StreamError: it is broken.
    """
    members = json_parts.members(raw)
    signature = json_parts.string(either(members, SIGNATURE))
    call = either(members, CALL)
    if call is not None:
        inner = json_parts.members(call)
        args = inner.get("args", b"null")
        return Part(
            raw,
            signature=signature,
            name=json_parts.string(inner.get("name")),
            id=json_parts.string(inner.get("id")),
            args=b"{}" if args == b"null" else args,
        )
    text = members.get("text")
    return Part(
        raw,
        text=None if text is None else json_parts.string(text),
        is_thought=members.get("thought") == b"true",
        signature=signature,
    )


class Positions:
    """Counts the calls, or the results, of one content."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def next(self, name: str) -> str:
        """The positional id of the next one of a name."""
        self._seen[name] += 1
        return f"{name}#{self._seen[name]}"


def anchors(parts: Sequence[Part]) -> tuple[str, ...]:
    """One anchor per part; a run of texts has one, at its first part.

    Thoughts have none, and stand in no run's way: clients drop them.
    """
    found = [NEUTRAL] * len(parts)
    run: list[str] = []
    first = 0
    for number, part in enumerate(parts):
        if part.is_thought:
            continue
        if part.text is not None:
            if not run:
                first = number
            run.append(part.text)
            continue
        if run:
            found[first] = text_anchor("".join(run))
            run = []
        found[number] = _anchor(part)
    if run:
        found[first] = text_anchor("".join(run))
    return tuple(found)


def _anchor(part: Part) -> str:
    if part.signature:
        return seal_anchor(part.signature)
    if part.is_call:
        return call_anchor(content_digest(f"{part.name}\0{_canonical(part.args)}"))
    # Media, code that was run: whoever writes it otherwise makes no place certain.
    return text_anchor(_canonical(part.raw))


def _canonical(raw: bytes) -> str:
    """JSON as it is equal however a client writes it down."""
    try:
        value = json.loads(raw, parse_float=_number, parse_int=_number)
        return json.dumps(value, sort_keys=True)
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")


def _number(text: str) -> int | float | str:
    """Whole numbers are told as such: clients write ``1.0`` as ``1``."""
    if len(text) > 32:
        return text
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def unsigned(raw: bytes) -> bytes:
    """A part without its signature.

    Raises:
        StreamError: it is broken.
    """
    members = json_parts.members(raw)
    for name in SIGNATURE:
        members.pop(name, None)
    return json_parts.encode_object(members)


def signed(raw: bytes, signature: str) -> bytes:
    """A part with a signature.

    Raises:
        StreamError: it is broken.
    """
    members = json_parts.members(raw)
    members[SIGNATURE[0]] = json_parts.encode_string(signature)
    return json_parts.encode_object(members)


def read_parts(raws: Sequence[bytes]) -> tuple[Part, ...]:
    """All parts; one that is broken is as if it said nothing."""
    found = []
    for raw in raws:
        try:
            found.append(read_part(raw))
        except StreamError:
            found.append(Part(raw))
    return tuple(found)
