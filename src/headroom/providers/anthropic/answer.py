"""Anthropic Messages answers as values: what was said, what it cost, how to resend it.

``read_message`` reads a JSON answer, ``stream`` builds the same values from events.
Shapes: https://docs.anthropic.com/en/api/messages. JSON that must come back as it was
(a block's first form, citations, tool input) is kept as bytes, so that
``assistant_content`` can send the turn back to the provider without re-encoding what it
did not have to touch: signatures cover the thinking they came with.
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from headroom.core.wire import json_parts
from headroom.errors import StreamError

Status: TypeAlias = Literal["open", "message_stop", "errored", "truncated"]

_USAGE_FIELDS = (
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
)
_USAGE_BY_TTL = {
    "ephemeral_5m_input_tokens": "cache_5m_input_tokens",
    "ephemeral_1h_input_tokens": "cache_1h_input_tokens",
}
# The member of a delta that is appended to the member of the block of the same name.
_TEXT_DELTAS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
_COMPACTION_MEMBERS = ("content", "encrypted_content")


class Usage(Struct, frozen=True, gc=False):
    """What the provider counted; zero where it said nothing.

    ``input_tokens`` are the uncached ones only: all input is the sum of them, the
    cache writes and the cache reads. The two last fields split the cache writes.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_5m_input_tokens: int = 0
    cache_1h_input_tokens: int = 0


class Block(Struct, frozen=True, gc=False):
    """One content block of an answer.

    Attributes:
        start: the block's JSON as it first came: complete in a JSON answer, to be
            filled by deltas in a stream.
        partial_json: the tool input as concatenated from deltas; empty if there were
            none, and the input then stands in ``start``.
        citations: the JSON of each citation that came as a delta.
        data: of ``redacted_thinking``.
        replaced: members that deltas set as a whole, as JSON (compaction).
        unknown_deltas: the JSON of deltas of unknown types.
        is_complete: its ``content_block_stop`` was seen.
    """

    index: int
    type: str
    start: bytes
    id: str = ""
    name: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    citations: tuple[bytes, ...] = ()
    data: str = ""
    replaced: tuple[tuple[str, bytes], ...] = ()
    unknown_deltas: tuple[bytes, ...] = ()
    is_complete: bool = False
    has_deltas: bool = False


class Message(Struct, frozen=True, gc=False):
    """An answer as far as it was read.

    Attributes:
        status: ``message_stop`` if complete; ``errored`` if the provider reported an
            error or the answer cannot be read; ``truncated`` if the connection ended
            before ``message_stop``; else ``open``.
        usage: ``None`` if the provider gave no figures.
        blocks: by index.
        error: the JSON of the provider's error; empty if there was none.
        errors: what could not be read, in words.
        unknown: types of unknown events and deltas, with how many of each.
    """

    status: Status
    id: str = ""
    model: str = ""
    stop_reason: str = ""
    stop_sequence: str = ""
    usage: Usage | None = None
    blocks: tuple[Block, ...] = ()
    error: bytes = b""
    errors: tuple[str, ...] = ()
    unknown: tuple[tuple[str, int], ...] = ()


class OpenBlock:
    """A block while its deltas come in.

    Raises:
        StreamError: ``start`` is not a JSON object.
    """

    __slots__ = (
        "_citations", "_has_deltas", "_index", "_is_complete", "_parts", "_replaced",
        "_start", "_strings", "_unknown",
    )  # fmt: skip

    def __init__(self, index: int, start: bytes) -> None:
        members = json_parts.members(start)
        names = ("type", "id", "name", "data")
        self._index = index
        self._start = start
        self._strings = {name: json_parts.string(members.get(name)) for name in names}
        self._parts: dict[str, list[str]] = {}
        for name in ("text", "thinking", "signature"):
            if initial := json_parts.string(members.get(name)):
                self._parts[name] = [initial]
        self._citations: list[bytes] = []
        self._replaced: dict[str, bytes] = {}
        self._unknown: list[bytes] = []
        self._has_deltas = False
        self._is_complete = False

    def take_delta(self, kind: str, delta: dict[str, bytes], raw: bytes) -> bool:
        """Add one delta; whether its type is known.

        Raises:
            StreamError: a member that should be a string is broken.
        """
        self._has_deltas = True
        if (member := _TEXT_DELTAS.get(kind)) is not None:
            self._parts.setdefault(member, []).append(
                json_parts.string(delta.get(member))
            )
        elif kind == "citations_delta":
            if (citation := delta.get("citation")) is not None:
                self._citations.append(citation)
        elif kind == "compaction_delta":
            for name in _COMPACTION_MEMBERS:
                if name in delta:
                    self._replaced[name] = delta[name]
        else:
            self._unknown.append(raw)
            return False
        return True

    def complete(self) -> None:
        """Take the block's end.

        Raises:
            StreamError: the tool input that the deltas add up to is not JSON.
        """
        self._is_complete = True
        if text := json_parts.joined(self._parts.get("partial_json", [])):
            json_parts.checked(text)

    def freeze(self) -> Block:
        """The block as far as it has come."""
        parts = {
            name: json_parts.joined(pieces) for name, pieces in self._parts.items()
        }
        return Block(
            index=self._index,
            start=self._start,
            citations=tuple(self._citations),
            replaced=tuple(self._replaced.items()),
            unknown_deltas=tuple(self._unknown),
            is_complete=self._is_complete,
            has_deltas=self._has_deltas,
            **self._strings,
            **parts,
        )


def read_message(body: bytes) -> Message:
    """Read a JSON answer, an error answer included; never raises."""
    try:
        return _read_message(json_parts.members(body))
    except StreamError as error:
        return Message(status="errored", errors=(str(error),))


def _read_message(members: dict[str, bytes]) -> Message:
    if json_parts.string(members.get("type")) == "error":
        return Message(status="errored", error=members.get("error", b"{}"))
    contents = json_parts.elements(members.get("content", b"[]"))
    figures = dict(usage_figures(members.get("usage")))
    return Message(
        status="message_stop",
        id=json_parts.string(members.get("id")),
        model=json_parts.string(members.get("model")),
        stop_reason=json_parts.string(members.get("stop_reason")),
        stop_sequence=json_parts.string(members.get("stop_sequence")),
        usage=Usage(**figures) if figures else None,
        blocks=tuple(
            msgspec.structs.replace(OpenBlock(i, raw).freeze(), is_complete=True)
            for i, raw in enumerate(contents)
        ),
    )


def assistant_content(message: Message) -> bytes:
    """The answer's blocks as a JSON array: the content of the assistant turn to replay.

    Blocks that came complete are copied byte for byte. In the others the members that
    deltas filled are written, tool input exactly as its deltas concatenate; all other
    members keep their bytes and order.

    Raises:
        StreamError: a tool's input is not JSON (the answer was cut off).
    """
    return b"[%b]" % b",".join(map(_block_content, message.blocks))


def _block_content(block: Block) -> bytes:
    if not block.has_deltas:
        return block.start
    try:
        members = json_parts.members(block.start)
        if block.partial_json:
            members["input"] = json_parts.checked(block.partial_json)
        if block.citations:
            first = json_parts.elements(members.get("citations") or b"[]")
            members["citations"] = b"[%b]" % b",".join((*first, *block.citations))
    except StreamError as error:
        raise StreamError(f"block {block.index}: {error}") from error
    members |= dict(block.replaced)
    for name in ("text", "thinking", "signature"):
        if value := getattr(block, name):
            members[name] = json_parts.encode_string(value)
    return json_parts.encode_object(members)


def usage_figures(raw: bytes | None) -> Iterable[tuple[str, int]]:
    """The fields of ``Usage`` that a ``usage`` object gives, with their values.

    Raises:
        StreamError: it is not an object.
    """
    if raw is None or raw == b"null":
        return
    members = json_parts.members(raw)
    for name in _USAGE_FIELDS:
        if (value := json_parts.count(members.get(name))) is not None:
            yield name, value
    split = members.get("cache_creation", b"null")
    if split[:1] == b"{":
        by_ttl = json_parts.members(split)
        for name, field in _USAGE_BY_TTL.items():
            if (value := json_parts.count(by_ttl.get(name))) is not None:
                yield field, value
