"""What a Converse answer said, block by block, fit to be sent back.

A block has no type: its one member says what it is. In a stream a text and a thought
begin with their first delta, calls with a ``contentBlockStart``; citations come beside
the text they belong to
(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlockDelta.html).
Every other kind is put together from what its events hold, known here or not: images,
and the results of tools that Bedrock runs itself, whose deltas are lists that add to
their ``content``. JSON that must come back as it was (a call's input, whole blocks) is
kept as bytes.
"""

import contextlib
from collections.abc import Callable

from msgspec import Struct

from headroom.core.hidden import NEUTRAL, call_anchor, seal_anchor, text_anchor
from headroom.core.types import ToolCall
from headroom.core.wire import json_parts
from headroom.core.wire.sse import DEFAULT_MAX_EVENT_BYTES, SseEvent
from headroom.errors import StreamError
from headroom.providers.anthropic.answer import Message
from headroom.providers.anthropic.stream import StreamEvent
from headroom.providers.bedrock.converse_answer import StreamReader, read_message
from headroom.providers.bedrock.merging import merged

_CALL, _THOUGHT = "toolUse", "reasoningContent"
_THOUGHTS = ("text", "signature", "redactedContent")
INDEX = "contentBlockIndex"


class Block(Struct, frozen=True, gc=False):
    """One content block of an answer.

    Attributes:
        raw: it as it is sent back; empty if it cannot be.
        anchor: what tells it apart; see ``core.hidden``.
        call: what it calls; ``None`` if it is no call, or one that Bedrock answers.
        is_blank: an empty text, which the API does not take back.
        is_complete: all of it came.
    """

    raw: bytes
    anchor: str = NEUTRAL
    call: ToolCall | None = None
    is_blank: bool = False
    is_complete: bool = True


class Answer(Struct, frozen=True):
    """One answer: how it ended, and its blocks by their index."""

    message: Message
    blocks: tuple[Block, ...] = ()


def read_answer(body: bytes) -> Answer:
    """Read a JSON answer; never raises."""
    message = read_message(body)
    if message.status != "message_stop":
        return Answer(message)
    try:
        return Answer(message, tuple(map(_whole, contents(body))))
    except StreamError as error:
        return Answer(Message(status="errored", errors=(str(error),)))


def contents(body: bytes) -> list[bytes]:
    """The blocks of a JSON answer, each as its own bytes.

    Raises:
        StreamError: it is no such answer.
    """
    output = json_parts.members(json_parts.members(body).get("output", b"{}"))
    message = json_parts.members(output.get("message", b"{}"))
    return json_parts.elements(message.get("content", b"[]"))


class BlockReader(StreamReader):
    """Reads one streamed answer with its blocks; never raises."""

    def __init__(self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        super().__init__(max_event_bytes)
        self._blocks: dict[int, _OpenBlock] = {}

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Take the next bytes; return the events they complete, in order."""
        return [self._described(event) for event in self.events(chunk)]

    @property
    def pending(self) -> bytes:
        """Bytes fed that belong to no complete event yet."""
        return self._framer.pending

    def answer(self) -> Answer:
        """Tell that the connection has ended; return what was read."""
        blocks = (block.frozen() for _, block in sorted(self._blocks.items()))
        return Answer(self.close(), tuple(blocks))

    def _described(self, event: SseEvent) -> StreamEvent:
        name = (event.name or b"").decode("utf-8", "backslashreplace")
        index: int | None = None
        # What cannot be read says nothing, and cannot be sent back.
        with contextlib.suppress(StreamError):
            members = json_parts.members(event.data)
            index = json_parts.count(members.get(INDEX))
            if index is not None and name.startswith("contentBlock"):
                self._take_block(name, index, members)
        return StreamEvent(name, index, event.raw, event.data)

    def _take_block(self, name: str, index: int, members: dict[str, bytes]) -> None:
        block = self._blocks.setdefault(index, _OpenBlock())
        if name == "contentBlockStart":
            block.take_start(json_parts.members(members.get("start", b"{}")))
        elif name == "contentBlockDelta":
            block.take_delta(json_parts.members(members.get("delta", b"{}")))
        elif name == "contentBlockStop":
            block.is_complete = True


class _OpenBlock:
    """A block while its events come in."""

    __slots__ = ("_citations", "_others", "_parts", "_start", "is_complete")

    def __init__(self) -> None:
        self._start: dict[str, bytes] = {}
        self._parts: dict[tuple[str, str], list[str]] = {}
        self._citations: list[bytes] = []
        self._others: dict[str, list[bytes]] = {}
        self.is_complete = False

    def take_start(self, start: dict[str, bytes]) -> None:
        """Take what a block begins with."""
        for kind, value in start.items():
            if kind == _CALL:
                self._start = json_parts.members(value)
            else:
                self._others.setdefault(kind, []).append(value)

    def take_delta(self, delta: dict[str, bytes]) -> None:
        """Take what is added to a block."""
        for kind, value in delta.items():
            if kind == "text":
                self._add(kind, kind, value)
            elif kind in {_CALL, _THOUGHT}:
                for name, part in json_parts.members(value).items():
                    self._add(kind, name, part)
            elif kind == "citation":
                self._citations.append(value)
            else:
                piece = b'{"content":%b}' % value if value[:1] == b"[" else value
                self._others.setdefault(kind, []).append(piece)

    def _add(self, kind: str, name: str, part: bytes) -> None:
        self._parts.setdefault((kind, name), []).append(json_parts.string(part))

    def frozen(self) -> Block:
        """The block as far as it has come."""
        found = {place: json_parts.joined(p) for place, p in self._parts.items()}
        try:
            raw = self._other() if self._others else self._raw(found)
        except StreamError:
            raw = b""
        return _described(raw, self._call(found), is_complete=self.is_complete)

    def _call(self, found: dict[tuple[str, str], str]) -> ToolCall | None:
        if not self._start or is_answered_there(self._start):
            return None
        name = json_parts.string(self._start.get("name"))
        arguments = found.get((_CALL, "input"), "").encode("utf-8", "replace")
        call_id = json_parts.string(self._start.get("toolUseId"))
        return ToolCall(call_id, name, arguments or b"{}")

    def _other(self) -> bytes:
        """A block of a kind of its own, as it is sent back.

        Raises:
            StreamError: there are pieces of several kinds, or they do not fit.
        """
        if len(self._others) > 1 or self._start or self._parts or self._citations:
            raise StreamError("a block of several kinds")
        return json_parts.encode_object(
            {kind: merged(pieces) for kind, pieces in self._others.items()}
        )

    def _raw(self, found: dict[tuple[str, str], str]) -> bytes:
        """The block as it is sent back.

        Raises:
            StreamError: the input that its deltas add up to is no JSON.
        """
        if self._start:
            given = found.get((_CALL, "input"), "")
            use = {**self._start, "input": json_parts.checked(given or "{}")}
            return b'{"toolUse":%b}' % json_parts.encode_object(use)
        thought = [name for name in _THOUGHTS if (_THOUGHT, name) in found]
        if thought:
            said = {n: json_parts.encode_string(found[_THOUGHT, n]) for n in thought}
            inner = json_parts.encode_object(said)
            if "redactedContent" not in said:
                inner = b'{"reasoningText":%b}' % inner
            return b'{"reasoningContent":%b}' % inner
        text = b'{"text":%b}' % json_parts.encode_string(
            found.get(("text", "text"), "")
        )
        if not self._citations:
            return text
        cited = b",".join(self._citations)
        return b'{"citationsContent":{"content":[%b],"citations":[%b]}}' % (text, cited)


def is_answered_there(use: dict[str, bytes]) -> bool:
    """Whether a call, by its members, is of a tool that Bedrock runs itself.

    Its result stands beside it in the same message
    (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolUseBlock.html).
    """
    return use.get("type") == b'"server_tool_use"'


def _whole(raw: bytes) -> Block:
    """A block that came in one piece.

    Raises:
        StreamError: it cannot be read.
    """
    use = json_parts.members(raw).get(_CALL)
    if use is None:
        return _described(raw, None)
    found = json_parts.members(use)
    if is_answered_there(found):
        return _described(raw, None)
    call_id = json_parts.string(found.get("toolUseId"))
    name = json_parts.string(found.get("name"))
    return _described(raw, ToolCall(call_id, name, found.get("input", b"{}")))


def _described(raw: bytes, call: ToolCall | None, *, is_complete: bool = True) -> Block:
    if call is not None:
        anchor = call_anchor(call.id)
        return Block(raw, anchor, call, is_complete=is_complete)
    anchor = anchor_of(_member_of(raw)) if raw else NEUTRAL
    is_blank = raw != b"" and _is_blank(raw)
    return Block(raw, anchor, is_blank=is_blank, is_complete=is_complete)


def _is_blank(raw: bytes) -> bool:
    members = json_parts.members(raw)
    return set(members) == {"text"} and not json_parts.string(members["text"]).strip()


def _member_of(raw: bytes) -> Callable[..., str]:
    """Reads a string of a block by the names on the way to it."""

    def text(*names: str) -> str:
        value: bytes | None = raw
        for name in names:
            if value is None or value[:1] != b"{":
                return ""
            value = json_parts.members(value).get(name)
        return json_parts.string(value)

    return text


def anchor_of(text: Callable[..., str]) -> str:
    """The anchor of a block.

    Args:
        text: the string at the end of a way of names; empty if there is none.
    """
    if words := text("text"):
        return text_anchor(words)
    if call_id := text(_CALL, "toolUseId"):
        return call_anchor(call_id)
    seal = text(_THOUGHT, "reasoningText", "signature")
    return seal_anchor(seal or text(_THOUGHT, "redactedContent"))
