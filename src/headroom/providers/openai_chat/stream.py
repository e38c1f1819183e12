"""Chat Completions streams: the answer read beside the byte passthrough.

A stream is ``data`` lines alone, each a chunk with deltas of one or more choices; the
first delta of a choice has its role, the first of a tool call its id and name. With
``stream_options.include_usage`` the last chunk has no choices but the figures. The end
is ``data: [DONE]``
(https://platform.openai.com/docs/api-reference/chat-streaming). What comes after it is
passed on and not read.

Reading never raises, whatever the bytes: what cannot be read is noted in ``errors``,
and the client gets its bytes regardless.
"""

from collections.abc import Iterable

from headroom.core.wire import json_parts
from headroom.core.wire.sse import DEFAULT_MAX_EVENT_BYTES, SseEvent, SseFramer
from headroom.errors import StreamError
from headroom.providers.openai_chat.answer import (
    Call,
    Choice,
    Message,
    OpenChoice,
    Status,
    Usage,
    read_message,
    read_usage,
)

__all__ = ["Call", "Choice", "Message", "StreamReader", "Usage", "read_message"]

_MAX_NOTES = 32  # a broken stream must not fill the memory with complaints


class StreamReader:
    """Reads one streamed answer.

    Args:
        max_event_bytes: more bytes without the end of an event are an error.
        keeps_comments: return comments (servers keep connections open with them) as
            events of their own, at once.
    """

    def __init__(
        self,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        *,
        keeps_comments: bool = False,
    ) -> None:
        self._framer = SseFramer(max_event_bytes, keeps_comments=keeps_comments)
        self._choices: dict[int, OpenChoice] = {}
        self._strings = {"id": "", "model": "", "service_tier": ""}
        self._usage: Usage | None = None
        self._error = b""
        self.status: Status = "open"
        self.errors: list[str] = []
        self.unknown: dict[str, int] = {}

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Take the next bytes; return the events they complete, in order."""
        try:
            return self._handle_all(self._framer.feed(chunk))
        except StreamError as error:
            self._fail(str(error))
            return []

    def close(self) -> Message:
        """Tell that the connection has ended; return what was read.

        An answer without ``[DONE]`` is ``truncated``.
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
            usage=self._usage,
            choices=tuple(c.freeze() for _, c in sorted(self._choices.items())),
            error=self._error,
            errors=tuple(self.errors),
            unknown=tuple(sorted(self.unknown.items())),
            **self._strings,
        )

    def _handle_all(self, events: Iterable[SseEvent]) -> list[SseEvent]:
        handled = list(events)
        for event in handled:
            self._handle(event)
        return handled

    def _handle(self, event: SseEvent) -> None:
        if self.status != "open" or event.is_comment:
            return
        if event.is_done:
            self.status = "done"
            return
        try:
            self._take(json_parts.members(event.data))
        except StreamError as error:
            self._note(f"a chunk: {error}")

    def _take(self, chunk: dict[str, bytes]) -> None:
        if chunk.get("error", b"null") != b"null":
            self.status = "errored"
            self._error = chunk["error"]
            return
        for name in self._strings:
            if value := json_parts.string(chunk.get(name)):
                self._strings[name] = value
        if (usage := read_usage(chunk.get("usage"))) is not None:
            self._usage = usage
        for number, raw in enumerate(
            json_parts.elements(chunk.get("choices") or b"[]")
        ):
            members = json_parts.members(raw)
            index = json_parts.count(members.get("index"))
            index = number if index is None else index
            choice = self._choices.get(index)
            if choice is None:
                choice = self._choices[index] = OpenChoice(index)
            for name in choice.take(members, "delta"):
                self._count_unknown(name)

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
