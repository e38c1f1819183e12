"""Streams joined into one: the rounds of an answer as one client message.

Events go on as they come, byte for byte. Hidden calls are cut out of the events they
stand in; an event with nothing else in it is left out. In a round that hides something,
and in those behind it, the event with the ``finishReason`` waits: what it says beside
goes on at once, and when the message ends it tells the output tokens of all rounds.
Later rounds keep the first one's ``responseId``.

Framing is that of the stream: server-sent events, never with a comment (clients of this
API fail on one), or elements of one JSON array.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from headroom.core.wire import json_parts
from headroom.core.wire.json_array import ArrayFramer
from headroom.core.wire.sse import SseFramer, with_data
from headroom.errors import StreamError
from headroom.providers.gemini.answer import Chunk, Message
from headroom.providers.gemini.replay import continue_body
from headroom.providers.gemini.rounds import GeminiRounds, Lender, is_hidden
from headroom.providers.gemini.stream import StreamEvent, StreamReader
from headroom.providers.rounds import RETRIEVAL_ONLY, Said
from headroom.providers.splicing import MAX_EVENT_BYTES, StreamSplicing

_NOTHING = b'{"text":""}'


class Framing(Protocol):
    """How events become bytes again."""

    def reader(self, max_event_bytes: int) -> StreamReader:
        """A reader for one round."""
        ...

    def passed(self, event: StreamEvent, data: bytes) -> bytes:
        """An event with its own or other data, as the client's next one."""
        ...

    def made(self, data: bytes) -> bytes:
        """An event of Headroom's own, as the client's next one."""
        ...

    def end(self) -> bytes:
        """What ends the client's stream, if its own end was held back."""
        ...


class SseFraming:
    """Server-sent events."""

    def reader(self, max_event_bytes: int) -> StreamReader:
        """A reader for one round."""
        return StreamReader(max_event_bytes, SseFramer(max_event_bytes))

    def passed(self, event: StreamEvent, data: bytes) -> bytes:
        """An event with its own or other data."""
        if data is event.data:
            return event.raw
        return with_data(event.raw, event.data, data)

    def made(self, data: bytes) -> bytes:
        """An event of Headroom's own."""
        return b"data: %b\r\n\r\n" % data

    def end(self) -> bytes:
        """Nothing: the connection's end is the stream's."""
        return b""


class ArrayFraming:
    """Elements of one JSON array."""

    def __init__(self) -> None:
        self._has_begun = False

    def reader(self, max_event_bytes: int) -> StreamReader:
        """A reader for one round."""
        return StreamReader(max_event_bytes, ArrayFramer(max_event_bytes))

    def passed(self, event: StreamEvent, data: bytes) -> bytes:
        """An element with its own or other data, and what must stand before it."""
        lead = event.raw[: len(event.raw) - len(event.data)]
        if lead.strip() != (b"," if self._has_begun else b"["):
            return self.made(data)
        self._has_begun = True
        return lead + data

    def made(self, data: bytes) -> bytes:
        """An element of Headroom's own."""
        lead = b",\r\n" if self._has_begun else b"["
        self._has_begun = True
        return lead + data

    def end(self) -> bytes:
        """The end of the array."""
        return b"\n]" if self._has_begun else b"[]"


class StreamSplicer(StreamSplicing[StreamEvent]):
    """The ``Splicer`` of streams."""

    def __init__(
        self,
        max_event_bytes: int = MAX_EVENT_BYTES,
        *,
        framing: Framing | None = None,
        own: frozenset[str] = RETRIEVAL_ONLY,
    ) -> None:
        self._all = GeminiRounds(own)
        self._framing = framing or SseFraming()
        self._message = Message(status="open")
        self._id = b""
        super().__init__(self._all, max_event_bytes)

    def _open_reader(self) -> StreamReader:
        self._lender = Lender(self._all.own)
        self._answer = self._framing.reader(self._max_event_bytes)
        return self._answer

    def _read(self) -> Said:
        self._message = self._answer.close()
        return self._all.said(self._message)

    def _continued(self, body: bytes) -> bytes:
        return continue_body(body, self._message.parts, self._rounds.results)

    def fail(self, error: bytes) -> bytes:
        """The error as an event; the stream ends with it."""
        return super().fail(error) + self._framing.end()

    def finish(self) -> bytes:
        """The events that end the message, with the sums in them."""
        if self.is_broken or self._rounds.is_unchanged:
            return b""
        return super().finish() + self._framing.end()

    def _error(self, words: str) -> bytes:
        error = b'{"error":{"code":502,"message":%b,"status":"UNAVAILABLE"}}'
        return error % json_parts.encode_string(words)

    def _error_event(self, error: bytes) -> bytes:
        return self._framing.made(error)

    def _take(self, event: StreamEvent) -> bytes:
        chunk = event.chunk
        if self._has_ended:
            return event.raw if self._rounds.number == 0 else b""
        if chunk is None:
            return self._framing.passed(event, event.data) if event.data else event.raw
        if chunk.error:
            self._has_ended = True
            self._held.clear()
            told = self._framing.passed(event, event.data)
            # The first round's own end follows as it comes.
            return told + self._framing.end() if self._rounds.number else told
        if not self._id and chunk.id:
            self._id = json_parts.encode_string(chunk.id)
        visible = self._lender.visible(chunk.parts)
        if any(is_hidden(part, self._all.own) for part in chunk.parts):
            self._is_hiding = True
        if self._is_plain:
            return self._framing.passed(event, event.data)
        return self._sifted(event, chunk, [part.raw for part in visible])

    def _sifted(self, event: StreamEvent, chunk: Chunk, visible: list[bytes]) -> bytes:
        """What goes on of an event where something is hidden; its end is held."""
        is_end = bool(chunk.finish_reason) or bool(self._held)
        if is_end:
            self._held.append(event)
        if not visible and (is_end or chunk.parts):
            return b""
        return self._framing.passed(
            event,
            rewritten(
                event.data,
                parts=visible if chunk.parts else None,
                is_ending=not is_end,
                id_=self._id,
            ),
        )

    def _ending(self, event: StreamEvent) -> bytes:
        try:
            data = rewritten(
                event.data, parts=[_NOTHING], total=self._all.total, id_=self._id
            )
        except StreamError:
            data = event.data
        return self._framing.passed(event, data)


def rewritten(
    data: bytes,
    *,
    parts: Sequence[bytes] | None = None,
    total: Callable[[bytes], bytes] | None = None,
    is_ending: bool = True,
    id_: bytes = b"",
) -> bytes:
    """An answer, or an event of one, with some members changed.

    Args:
        data: its JSON; members that do not change keep their own bytes.
        parts: of the first candidate, if it has a content; ``None``: its own.
        total: what becomes of the figures.
        is_ending: it may tell why the answer ended.
        id_: the answer's id as JSON; empty: its own.

    Raises:
        StreamError: it is broken.
    """
    members = json_parts.members(data)
    candidates = json_parts.elements(members.get("candidates", b"[]"))
    if candidates:
        candidate = json_parts.members(candidates[0])
        if parts is not None:
            content = json_parts.members(candidate.get("content", b"{}"))
            content.setdefault("role", b'"model"')
            content["parts"] = b"[%b]" % b",".join(parts or [_NOTHING])
            candidate["content"] = json_parts.encode_object(content)
        if not is_ending:
            candidate.pop("finishReason", None)
        first = json_parts.encode_object(candidate)
        members["candidates"] = b"[%b]" % b",".join((first, *candidates[1:]))
    usage = members.get("usageMetadata", b"null")
    if total is not None and usage != b"null":
        members["usageMetadata"] = total(usage)
    if id_ and "responseId" in members:
        members["responseId"] = id_
    return json_parts.encode_object(members)
