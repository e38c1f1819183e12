"""Converse answers: how they ended and what Bedrock billed.

A JSON answer has ``output``, ``stopReason`` and ``usage``; a stream ends with the
events ``messageStop`` and ``metadata``, which has ``usage``. ``inputTokens`` are the
uncached ones only
(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html).
"""

import contextlib

from headroom.core.wire import json_parts
from headroom.core.wire.sse import DEFAULT_MAX_EVENT_BYTES, SseEvent, SseFramer
from headroom.errors import StreamError
from headroom.providers.anthropic.answer import Message, Status, Usage

_FIELDS = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheWriteInputTokens": "cache_creation_input_tokens",
    "cacheReadInputTokens": "cache_read_input_tokens",
}


def read_message(body: bytes) -> Message:
    """A JSON answer; never raises."""
    try:
        found = json_parts.members(body)
        if "output" not in found:
            return Message(status="errored", error=body)
        return Message(
            status="message_stop",
            stop_reason=json_parts.string(found.get("stopReason")),
            usage=_usage(found.get("usage")),
        )
    except StreamError as error:
        return Message(status="errored", errors=(str(error),))


class StreamReader:
    """Reads one streamed answer, as ``frames`` makes events of it; never raises."""

    def __init__(self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        self._framer = SseFramer(max_event_bytes)
        self._usage: Usage | None = None
        self._stop_reason = ""
        self._error = b""
        self.status: Status = "open"

    def feed(self, chunk: bytes) -> object:
        """Take the next bytes."""
        return self.events(chunk)

    def events(self, chunk: bytes) -> list[SseEvent]:
        """Take the next bytes; return the events they complete, in order."""
        try:
            events = self._framer.feed(chunk)
        except StreamError:
            self.status = "errored"
            return []
        for event in events:
            self.take(event)
        return events

    def take(self, event: SseEvent) -> None:
        """Take one event, framed by whatever carries it."""
        with contextlib.suppress(StreamError):  # it is no JSON, and says nothing
            self._take(event)

    def close(self) -> Message:
        """Tell that the connection has ended; return what was read."""
        if self.status == "open":
            self.status = "truncated"
        return Message(
            status=self.status,
            stop_reason=self._stop_reason,
            usage=self._usage,
            error=self._error,
        )

    def _take(self, event: SseEvent) -> None:
        if event.name == b"error":
            self.status, self._error = "errored", event.data
        elif event.name == b"messageStop" and self.status == "open":
            self.status = "message_stop"
            found = json_parts.members(event.data)
            self._stop_reason = json_parts.string(found.get("stopReason"))
        elif event.name == b"metadata":
            self._usage = _usage(json_parts.members(event.data).get("usage"))


def _usage(raw: bytes | None) -> Usage | None:
    if raw is None:
        return None
    found = json_parts.members(raw)
    counts = {
        ours: json_parts.count(found.get(theirs)) for theirs, ours in _FIELDS.items()
    }
    return Usage(**{name: count for name, count in counts.items() if count})
