"""Streams joined into one: the rounds of an answer as one client message.

Events go on as they come, byte for byte. Only blocks of hidden calls are held back,
later blocks get the next free index (its digits are all that changes), the first
round's ``message_start`` and the last one's end are the client's. A round's
``message_delta`` and ``message_stop`` wait only if the round, or one before it, hid
something: then the last ``message_delta`` tells the output tokens of all rounds.

Events and their order: https://docs.anthropic.com/en/docs/build-with-claude/streaming.
Unknown events and pings pass. Nothing is ever ended as complete that is not.
"""

import re
from collections.abc import Sequence

from headroom.core.hidden import Answer
from headroom.core.splice import splice
from headroom.core.types import Edit, Span, ToolCall
from headroom.core.wire import json_parts, json_spans
from headroom.errors import MalformedBodyError, StreamError
from headroom.providers.anthropic.rounds import Rounds, is_hidden
from headroom.providers.anthropic.stream import StreamEvent, StreamReader

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Far above the longest event: results of server tools come in one."""

_INDEX = re.compile(rb'"index"\s*:\s*(\d+)')
_ENDS = frozenset({"message_delta", "message_stop"})


class StreamSplicer:
    """The ``Splicer`` of event streams."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._rounds = Rounds()
        self._max_event_bytes = max_event_bytes
        self._reader = StreamReader(max_event_bytes)
        self._numbers: dict[int, int] = {}
        self._hidden_indexes: set[int] = set()
        self._first_number = 0  # of the round's block 0, in the client's message
        self._held: list[StreamEvent] = []
        self._pending_bytes = 0
        self._is_raw = False
        self._is_silent = False
        self._has_ended = False
        self.is_broken = False

    @property
    def is_waiting(self) -> bool:
        """The round has ended with calls that want answers."""
        return self._rounds.is_waiting

    @property
    def is_continuing(self) -> bool:
        """The model is to go on."""
        return self._rounds.is_continuing

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls to look up."""
        return self._rounds.calls

    @property
    def hidden(self) -> Answer | None:
        """What the client did not see."""
        return None if self.is_broken else self._rounds.answer

    @property
    def usage(self) -> dict[str, int]:
        """Tokens billed over all rounds so far, by class."""
        return self._rounds.usage

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the round; return those the client gets now."""
        if self._is_raw:
            return b"" if self._is_silent else chunk
        events = self._reader.feed(chunk)
        if events:
            self._pending_bytes = len(self._reader.pending)
        else:
            self._pending_bytes += len(chunk)
        out = b"".join(map(self._take, events))
        if self._pending_bytes > self._max_event_bytes:
            return out + self._give_up()
        return out

    def end(self) -> bytes:
        """Take the end of the round's connection; return what the client gets now."""
        if self._is_raw:
            return b""
        is_first = self._rounds.number == 0
        rest = self._reader.pending
        if self._held or not is_first:
            # Only a lone CR may still end an event; what is none stays here.
            rest = self.feed(b"\n") if rest.endswith(b"\r") else b""
        message = self._reader.close()
        if message.status == "message_stop":
            self._rounds.close(message)
            return rest
        self.is_broken = True
        self._rounds.add_usage(message.usage)
        self._held.clear()
        if is_first or self._has_ended:
            return rest
        return self.fail(_TRUNCATED)

    def answer(self, texts: Sequence[str]) -> None:
        """Take the answers to ``calls``, in their order."""
        self._rounds.take(texts)

    def next_body(self, body: bytes) -> bytes:
        """The next round's request; the round begins.

        Raises:
            MalformedBodyError: ``body`` is not a request.
            StreamError: what the model said cannot be sent back.
        """
        sent = self._rounds.next_body(body)
        self._reader = StreamReader(self._max_event_bytes)
        self._pending_bytes = 0
        used = (number + 1 for number in self._numbers.values())
        self._first_number = max(used, default=self._first_number)
        self._numbers.clear()
        self._hidden_indexes.clear()
        self._held.clear()
        return sent

    def fail(self, error: bytes) -> bytes:
        """The error as an event; the stream ends with it."""
        self.is_broken = True
        self._held.clear()
        data = b"".join(error.splitlines())
        return b"event: error\ndata: %b\n\n" % data

    def finish(self) -> bytes:
        """The events that end the message, with the sums in them."""
        held, self._held = self._held, []
        return b"".join(map(self._ending, held))

    def _give_up(self) -> bytes:
        """An event is too long to be held: what is left passes as it is, if it may."""
        self._is_raw = True
        if self._rounds.number == 0 and not self._hidden_indexes:
            return self._reader.pending
        self._is_silent = True
        return b"" if self._has_ended else self.fail(_UNREADABLE)

    def _take(self, event: StreamEvent) -> bytes:
        if self._has_ended:
            return event.raw if self._rounds.number == 0 else b""
        if event.type == "message_start":
            return event.raw if self._rounds.number == 0 else b""
        if event.type in _ENDS:
            if self._rounds.number == 0 and not self._hidden_indexes:
                return event.raw
            self._held.append(event)
            return b""
        if event.type == "error":
            self._has_ended = True
            return event.raw
        if event.index is None:
            return event.raw
        if event.type == "content_block_start" and _starts_hidden(event):
            self._hidden_indexes.add(event.index)
        if event.index in self._hidden_indexes:
            return b""
        number = self._numbers.get(event.index)
        if number is None:
            before = sum(index < event.index for index in self._hidden_indexes)
            number = self._first_number + event.index - before
            self._numbers[event.index] = number
        return event.raw if number == event.index else _renumbered(event, number)

    def _ending(self, event: StreamEvent) -> bytes:
        if event.type != "message_delta":
            return event.raw
        try:
            edits = ending_edits(
                event.data,
                output_tokens=self._rounds.usage.get("output_tokens"),
                is_cut=self._rounds.verdict == "cut",
            )
        except MalformedBodyError:
            return event.raw
        return _with_data(event, splice(event.data, edits)) if edits else event.raw


def ending_edits(data: bytes, *, output_tokens: int | None, is_cut: bool) -> list[Edit]:
    """What changes in the object that tells how a message ended.

    Args:
        data: a ``message_delta`` event's data, or a whole JSON answer.
        output_tokens: of all rounds; ``None``: not known.
        is_cut: a call was left out, so that the message does not end with one.

    Raises:
        MalformedBodyError: it is no such object.
    """
    edits = []
    top = json_spans.members(data, json_spans.whole(data))
    usage = top.get("usage")
    if usage is not None and json_spans.is_object(data, usage):
        span = json_spans.members(data, usage).get("output_tokens")
        if span is not None and output_tokens is not None:
            edits.append(Edit(span, b"%d" % output_tokens))
    place = top.get("delta")
    if place is not None and json_spans.is_object(data, place):
        top = json_spans.members(data, place)
    reason = top.get("stop_reason")
    if is_cut and reason is not None and reason.of(data) == b'"tool_use"':
        edits.append(Edit(reason, b'"end_turn"'))
    return [edit for edit in edits if edit.span.of(data) != edit.replacement]


def _starts_hidden(event: StreamEvent) -> bool:
    try:
        members = json_parts.members(event.data)
        block = json_parts.members(members.get("content_block", b"{}"))
        kind = json_parts.string(block.get("type"))
        return is_hidden(kind, json_parts.string(block.get("name")))
    except StreamError:
        return False


def _renumbered(event: StreamEvent, number: int) -> bytes:
    data = event.data
    try:
        span = json_spans.members(data, json_spans.whole(data))["index"]
    except MalformedBodyError:
        # Half a surrogate pair in the text; the key stands in front of the text, and
        # inside it a quote would be escaped.
        found = _INDEX.search(data)
        if found is None:
            return event.raw
        span = Span(*found.span(1))
    return _with_data(event, splice(data, [Edit(span, b"%d" % number)]))


def _with_data(event: StreamEvent, data: bytes) -> bytes:
    """The event's bytes with other data."""
    start = event.raw.rfind(event.data)
    if start >= 0:
        return event.raw[:start] + data + event.raw[start + len(event.data) :]
    lines = b"".join(b"data: %b\n" % line for line in data.split(b"\n"))
    return b"event: %b\n%b\n" % (event.type.encode(), lines)


_TRUNCATED = (
    b'{"type":"error","error":{"type":"api_error","message":'
    b'"the provider broke its answer off"}}'
)
_UNREADABLE = (
    b'{"type":"error","error":{"type":"api_error","message":'
    b'"the provider\'s answer cannot be read"}}'
)
