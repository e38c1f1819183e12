"""A request as the provider's cache sees it: a chain of units in prefix order.

The prefix is rendered in the order tools, system, messages. Each tool, system block and
content block is a unit; the parts of a ``tool_result`` are units of their own, since a
part may carry a breakpoint. What a unit is goes by *content*: parsed values with their
key order, ``cache_control`` removed, a content string read as the one text block it
means. ``key`` chains the content of everything up to and including the unit, so two
requests share a prefix exactly as long as their keys are equal.

A different ``tool_choice`` or ``thinking`` setting leaves the cached tools and system
valid and invalidates the messages, so both enter the chain in front of the messages.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
Pure: text in, units out; the caller brings the token counter.
"""

import json
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec
from blake3 import blake3
from msgspec import Struct

# Any: a request's free-form JSON, whose shape ``shape.refusals`` has checked.
Json: TypeAlias = dict[str, Any]
Section: TypeAlias = Literal["tools", "system", "messages"]
CountUnit: TypeAlias = Callable[[bytes, str], int]
"""Tokens of a text; the digest of the unit it belongs to comes first, as a memo key."""

MARKER = "cache_control"
RETRIEVAL_TOOL = "headroom_retrieve"

# Pictures and pages are billed by their size, which is not worth decoding them for;
# these are the provider's figures for a picture of common size and a page of text.
_IMAGE_TOKENS = 1600
_DOCUMENT_TOKENS = 2000
_CHARS_PER_REDACTED_TOKEN = 4


class Unit(Struct, frozen=True, gc=False):
    """One piece of the prefix that can end at a breakpoint.

    Attributes:
        message: index of the message; ``-1`` in tools and system.
        index: place among the tools, the system blocks or the message's blocks.
        part: place within a ``tool_result``'s list of parts, else ``-1``.
        block: running number of the top-level block over the whole prefix, which is
            what the look-back counts.
        kind: ``tool`` or the block's type; ``retrieved`` for the result of a call of
            the retrieval tool.
        name: the tool's name, for tools, calls and results.
        tokens: what is billed for it.
        content: digest of this unit's own content.
        key: digest of the prefix up to and including it.
        bound: the same without thinking blocks and without the messages' settings: what
            a signature is bound to.
        marker: the value of ``cache_control`` on it, as sent.
    """

    section: Section
    message: int
    index: int
    part: int
    block: int
    kind: str
    name: str
    tokens: int
    content: bytes
    key: bytes
    bound: bytes
    marker: Any

    @property
    def path(self) -> str:
        """Where it stands, as the provider's error messages spell it."""
        if self.section != "messages":
            return f"{self.section}.{self.index}"
        path = f"messages.{self.message}.content.{self.index}"
        return path if self.part < 0 else f"{path}.content.{self.part}"

    @property
    def is_tool_output(self) -> bool:
        """The unit is what a tool returned, a retrieval included."""
        return self.kind in {"tool_result", "retrieved"}


def parse(body: bytes) -> Json | str:
    """The request as parsed JSON, or what the provider says if it is none."""
    try:
        request = msgspec.json.decode(body)
    except msgspec.ValidationError:
        # A number outside the range of a double is valid JSON all the same; its digits
        # are what identifies it.
        request = json.loads(body, parse_int=str, parse_float=str)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"The request body is not valid JSON: {error}"
    except RecursionError:
        return "The request body is not valid JSON: recursion limit exceeded"
    if not isinstance(request, dict):
        return "Input should be a valid dictionary"
    return request


def encode(value: object) -> bytes:
    """Compact JSON with the key order of ``value``."""
    try:
        return msgspec.json.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return json.dumps(value, separators=(",", ":")).encode()


def as_blocks(content: Any) -> list[Json]:
    """Content as a block list; a string is the one text block it means."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content or ())


def lay_out(request: Json, count: CountUnit) -> list[Unit]:
    """The units of a request that ``shape`` has found well-formed, in prefix order.

    A marker at the request's top level stands on the last block that can carry one.
    """
    chain = _Chain(count)
    for index, tool in enumerate(request.get("tools") or ()):
        chain.add(tool, _Place("tools", index), "tool", str(tool.get("name", "")))
    for index, block in enumerate(as_blocks(request.get("system"))):
        chain.add(block, _Place("system", index), "system")
    chain.mix(encode([request.get("tool_choice"), request.get("thinking")]))
    callers: dict[str, str] = {}
    for number, message in enumerate(request.get("messages") or ()):
        for index, block in enumerate(as_blocks(message.get("content"))):
            place = _Place("messages", index, number, str(message["role"]))
            _add_block(chain, block, place, callers)
    return _with_top_marker(chain.units, request.get(MARKER))


class _Place(Struct, frozen=True, gc=False):
    section: Section
    index: int
    message: int = -1
    role: str = ""
    part: int = -1


class _Chain:
    """Grows the list of units with the digests that chain them."""

    def __init__(self, count: CountUnit) -> None:
        self.units: list[Unit] = []
        self._count = count
        self._key = b""
        self._bound = b""
        self._block = -1

    def mix(self, data: bytes) -> None:
        self._key = _digest(self._key, b"=", data)

    def add(self, block: Json, place: "_Place", kind: str, name: str = "") -> None:
        marker = block.get(MARKER)
        if marker is not None:
            block = {key: block[key] for key in block if key != MARKER}
        encoded = encode(block)
        content = _digest(place.role.encode(), place.section.encode(), encoded)
        self._key = _digest(self._key, b"+", content)
        if "thinking" not in kind:
            self._bound = _digest(self._bound, b"+", content)
        self._block += place.part <= 0
        self.units.append(
            Unit(
                section=place.section,
                message=place.message,
                index=place.index,
                part=place.part,
                block=self._block,
                kind=kind,
                name=name,
                tokens=_fixed_tokens(block, kind)
                or self._count(content, _text(block, kind, encoded)),
                content=content,
                key=self._key,
                bound=self._bound,
                marker=marker,
            )
        )


def _add_block(
    chain: _Chain,
    block: Json,
    place: "_Place",
    callers: dict[str, str],
) -> None:
    kind = str(block.get("type", ""))
    name = str(block.get("name", ""))
    if kind == "tool_use":
        callers[str(block.get("id"))] = name
    if kind != "tool_result":
        chain.add(block, place, kind, name)
        return
    name = callers.get(str(block.get("tool_use_id")), "")
    kind = "retrieved" if name == RETRIEVAL_TOOL else kind
    parts = as_blocks(block.get("content"))
    around = {key: block[key] for key in block if key not in {"content", MARKER}}
    for number, part in enumerate(parts or [{}]):
        is_last = number >= len(parts) - 1
        whole: Json = {"part": {k: part[k] for k in part if k != MARKER}}
        if number == 0:
            whole = {**around, **whole}
        # The block's own marker stands behind its last part.
        marker = (block.get(MARKER) if is_last else None) or part.get(MARKER)
        if marker is not None:
            whole[MARKER] = marker
        if len(parts) > 1:
            place = msgspec.structs.replace(place, part=number)
        chain.add(whole, place, kind, name)


def _with_top_marker(units: list[Unit], marker: Any) -> list[Unit]:
    if not isinstance(marker, dict):
        return units
    for number in range(len(units) - 1, -1, -1):
        if "thinking" not in units[number].kind and units[number].tokens:
            if units[number].marker is None:
                units[number] = msgspec.structs.replace(units[number], marker=marker)
            break
    return units


def _text(block: Json, kind: str, encoded: bytes) -> str:
    """What of a unit is counted."""
    block = block.get("part", block)
    match block.get("type"):
        case "text":
            return str(block.get("text", ""))
        case "thinking":
            return str(block.get("thinking", ""))
        case "tool_use":
            arguments = encode(block.get("input")).decode(errors="backslashreplace")
            return f"{block.get('name', '')} {arguments}"
        case "document" if _source(block).get("type") == "text":
            return str(_source(block).get("data", ""))
    if kind in {"tool_result", "retrieved"} and not block:
        return ""
    return encoded.decode(errors="backslashreplace")


def _fixed_tokens(block: Json, kind: str) -> int:
    """Tokens of what is not text; 0 where the text is counted."""
    block = block.get("part", block)
    match block.get("type", kind):
        case "image":
            return _IMAGE_TOKENS
        case "document" if _source(block).get("type") != "text":
            return _DOCUMENT_TOKENS
        case "redacted_thinking":
            return len(str(block.get("data", ""))) // _CHARS_PER_REDACTED_TOKEN
    return 0


def _source(block: Json) -> Json:
    source = block.get("source")
    return source if isinstance(source, dict) else {}


def _digest(*parts: bytes) -> bytes:
    hasher = blake3()
    for part in parts:
        hasher.update(len(part).to_bytes(8, "little"))
        hasher.update(part)
    return hasher.digest()[:16]
