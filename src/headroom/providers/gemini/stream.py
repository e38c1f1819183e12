"""Gemini streams: the answer read beside the byte passthrough.

With ``alt=sse`` a stream is ``data`` lines alone, each a whole answer with further
parts and the figures so far; without, it is one JSON array of the same objects, sent
element by element. Neither has a last event of its own: the answer is complete when a
``finishReason`` has come (https://ai.google.dev/api/generate-content). What comes after
an error is passed on and not read.

Reading never raises, whatever the bytes: what cannot be read is noted in ``errors``,
and the client gets its bytes regardless.
"""

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from headroom.core.wire.sse import DEFAULT_MAX_EVENT_BYTES, SseEvent, SseFramer
from headroom.errors import StreamError
from headroom.providers.gemini.answer import (
    Chunk,
    Message,
    OpenMessage,
    Status,
    Usage,
    read_chunk,
    read_message,
)

__all__ = ["Message", "StreamEvent", "StreamReader", "Usage", "read_message"]

_MAX_NOTES = 32  # a broken stream must not fill the memory with complaints


class StreamEvent(Struct, frozen=True, gc=False):
    """One event.

    Attributes:
        raw: its exact bytes, with what frames it.
        chunk: what it says; ``None`` if it cannot be read, or says nothing.
    """

    raw: bytes
    data: bytes
    chunk: Chunk | None


class _Framer(Protocol):
    @property
    def pending(self) -> bytes: ...

    def feed(self, chunk: bytes) -> list[SseEvent]: ...

    def finish(self) -> list[SseEvent]: ...


class StreamReader:
    """Reads one streamed answer.

    Args:
        max_event_bytes: a longer event ends the reading.
        framer: what cuts the bytes into events; server-sent events if not given.
    """

    def __init__(
        self,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        framer: _Framer | None = None,
    ) -> None:
        self._framer = framer or SseFramer(max_event_bytes)
        self._message = OpenMessage()
        self.errors: list[str] = []

    @property
    def status(self) -> Status:
        """How far the answer has come."""
        return self._message.status

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Take the next bytes; return the events they complete, in order."""
        try:
            return self._handle_all(self._framer.feed(chunk))
        except StreamError as error:
            self._fail(str(error))
            return []

    def close(self) -> Message:
        """Tell that the connection has ended; return what was read."""
        try:
            self._handle_all(self._framer.finish())
        except StreamError as error:
            self._fail(str(error))
        if self._message.status == "open":
            self._message.status = "truncated"
        return self.message

    @property
    def pending(self) -> bytes:
        """Bytes fed that belong to no complete event yet."""
        return self._framer.pending

    @property
    def message(self) -> Message:
        """The answer as far as it has been read."""
        return self._message.freeze(tuple(self.errors))

    def _handle_all(self, events: Iterable[SseEvent]) -> list[StreamEvent]:
        return [self._handle(event) for event in events]

    def _handle(self, event: SseEvent) -> StreamEvent:
        chunk: Chunk | None = None
        if self._message.status != "errored" and event.data:
            try:
                chunk = read_chunk(event.data)
                self._message.take(chunk)
            except StreamError as error:
                if len(self.errors) < _MAX_NOTES:
                    self.errors.append(f"an event: {error}")
        return StreamEvent(event.raw, event.data, chunk)

    def _fail(self, words: str) -> None:
        if self._message.status == "open":
            self._message.status = "errored"
            if len(self.errors) < _MAX_NOTES:
                self.errors.append(words)
