"""Anthropic Messages streams: the answer read beside the byte passthrough.

A stream is ``message_start``, per block ``content_block_start``, deltas and
``content_block_stop``, then ``message_delta`` and ``message_stop``; ``ping`` and
``error`` may come at any time, and unknown events must be tolerated
(https://docs.anthropic.com/en/docs/build-with-claude/streaming). Blocks are told apart
by ``index``, not by order. Usage figures only grow within a stream, so the largest of
each is the true one.

Reading never raises, whatever the bytes: what cannot be read is noted in ``errors``,
and the client gets its bytes regardless.
"""

from collections.abc import Iterable

from msgspec import Struct

from headroom.core.wire import json_parts
from headroom.core.wire.sse import DEFAULT_MAX_EVENT_BYTES, SseEvent, SseFramer
from headroom.errors import StreamError
from headroom.providers.anthropic.answer import (
    Block,
    Message,
    OpenBlock,
    Status,
    Usage,
    assistant_content,
    read_message,
    usage_figures,
)

__all__ = [
    "Block",
    "Message",
    "StreamEvent",
    "StreamReader",
    "Usage",
    "assistant_content",
    "read_message",
]

_MAX_NOTES = 32  # a broken stream must not fill the memory with complaints
_BLOCK_OF_DELTA = {"text_delta": "text", "thinking_delta": "thinking"}


class StreamEvent(Struct, frozen=True, gc=False):
    """One event of the stream, for those who hold back or renumber blocks.

    Attributes:
        type: the ``type`` in its data, or the SSE name if that has none.
        index: of the block it belongs to; ``None`` if to none.
        raw: the event's exact bytes, terminator included.
    """

    type: str
    index: int | None
    raw: bytes
    data: bytes


class StreamReader:
    """Reads one streamed answer.

    Args:
        max_event_bytes: more bytes without the end of an event are an error.
        keeps_comments: return comments (routers keep connections open with them) as
            events of their own, at once.
    """

    def __init__(
        self,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        *,
        keeps_comments: bool = False,
    ) -> None:
        self._framer = SseFramer(max_event_bytes, keeps_comments=keeps_comments)
        self._blocks: dict[int, OpenBlock] = {}
        self._usage: dict[str, int] = {}
        self._strings = dict.fromkeys(
            ("id", "model", "stop_reason", "stop_sequence"), ""
        )
        self._error = b""
        self.status: Status = "open"
        self.errors: list[str] = []
        self.unknown: dict[str, int] = {}

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Take the next bytes; return the events they complete, in order."""
        try:
            return self._handle_all(self._framer.feed(chunk))
        except StreamError as error:
            self._fail(str(error))
            return []

    def take(self, event: SseEvent) -> None:
        """Take one event, framed by whatever carries it."""
        self._handle(event)

    def close(self) -> Message:
        """Tell that the connection has ended; return what was read.

        An answer without ``message_stop`` is ``truncated``.
        """
        try:
            self._handle_all(self._framer.finish())
        except StreamError as error:
            self._fail(str(error))
        if self.status == "open":
            self.status = "truncated"
        return self.message

    @property
    def pending(self) -> bytes:
        """Bytes fed that belong to no complete event yet."""
        return self._framer.pending

    @property
    def message(self) -> Message:
        """The answer as far as it has been read."""
        return Message(
            status=self.status,
            usage=Usage(**self._usage) if self._usage else None,
            blocks=tuple(b.freeze() for _, b in sorted(self._blocks.items())),
            error=self._error,
            errors=tuple(self.errors),
            unknown=tuple(sorted(self.unknown.items())),
            **self._strings,
        )

    def _handle_all(self, events: Iterable[SseEvent]) -> list[StreamEvent]:
        return [self._handle(event) for event in events]

    def _handle(self, event: SseEvent) -> StreamEvent:
        name = (event.name or b"").decode("utf-8", "backslashreplace")
        index: int | None = None
        if event.is_comment:
            return StreamEvent("comment", index, event.raw, event.data)
        try:
            members = json_parts.members(event.data)
            name = json_parts.string(members.get("type")) or name
            index = _index(members)
            if self.status == "open":
                self._take(name, index, members)
        except StreamError as error:
            self._note(f"{name or 'an event'}: {error}")
        return StreamEvent(type=name, index=index, raw=event.raw, data=event.data)

    def _take(self, name: str, index: int | None, members: dict[str, bytes]) -> None:
        if name.startswith("content_block_"):
            self._take_block_event(name, index, members)
        elif name == "message_start":
            self._take_message_start(json_parts.members(members.get("message", b"{}")))
        elif name == "message_delta":
            delta = json_parts.members(members.get("delta", b"{}"))
            self._take_strings(delta, ("stop_reason", "stop_sequence"))
            self._merge_usage(members.get("usage"))
        elif name == "message_stop":
            self.status = "message_stop"
        elif name == "error":
            self.status = "errored"
            self._error = members.get("error", b"{}")
        elif name != "ping":
            self._count_unknown(name)

    def _take_message_start(self, message: dict[str, bytes]) -> None:
        self._take_strings(message, ("id", "model", "stop_reason", "stop_sequence"))
        self._merge_usage(message.get("usage"))

    def _take_strings(self, members: dict[str, bytes], names: tuple[str, ...]) -> None:
        for name in names:
            if value := json_parts.string(members.get(name)):
                self._strings[name] = value

    def _merge_usage(self, raw: bytes | None) -> None:
        for field, value in usage_figures(raw):
            self._usage[field] = max(value, self._usage.get(field, 0))

    def _take_block_event(
        self, name: str, index: int | None, members: dict[str, bytes]
    ) -> None:
        if index is None:
            raise StreamError("no index")
        if name == "content_block_start":
            if index in self._blocks:
                raise StreamError(f"block {index} has started before")
            self._blocks[index] = OpenBlock(index, members.get("content_block", b"{}"))
        elif name == "content_block_delta":
            self._take_delta(index, members.get("delta", b"{}"))
        elif name == "content_block_stop":
            self._block(index, "").complete()
        else:
            self._count_unknown(name)

    def _take_delta(self, index: int, raw: bytes) -> None:
        delta = json_parts.members(raw)
        kind = json_parts.string(delta.get("type"))
        block = self._block(index, kind)
        if not block.take_delta(kind, delta, raw):
            self._count_unknown(kind or "delta")

    def _block(self, index: int, delta: str) -> OpenBlock:
        found = self._blocks.get(index)
        if found is None:
            self._note(f"block {index} was not started")
            kind = _BLOCK_OF_DELTA.get(delta)
            if kind is None:
                raise StreamError(f"{delta or 'stop'} for an unknown block")
            start = f'{{"type":"{kind}"}}'.encode()
            found = self._blocks[index] = OpenBlock(index, start)
        return found

    def _count_unknown(self, name: str) -> None:
        if name in self.unknown or len(self.unknown) < _MAX_NOTES:
            self.unknown[name] = self.unknown.get(name, 0) + 1

    def _note(self, words: str) -> None:
        if len(self.errors) < _MAX_NOTES:
            self.errors.append(words)

    def _fail(self, words: str) -> None:
        if self.status == "open":
            self.status = "errored"
            self._note(words)


def _index(members: dict[str, bytes]) -> int | None:
    return json_parts.count(members.get("index"))
