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

from msgspec import Struct

from headroom.core.splice import splice
from headroom.core.types import Edit, Span
from headroom.core.wire import json_parts, json_spans
from headroom.core.wire.sse import with_data
from headroom.errors import MalformedBodyError, StreamError
from headroom.providers.anthropic.answer import Message
from headroom.providers.anthropic.rounds import (
    continued,
    is_hidden,
    make_rounds,
    said,
)
from headroom.providers.anthropic.stream import StreamEvent, StreamReader
from headroom.providers.rounds import RETRIEVAL_ONLY, Rounds, Said
from headroom.providers.splicing import MAX_EVENT_BYTES, EventReader, StreamSplicing


class Names(Struct, frozen=True):
    """What the events of a stream of blocks are called.

    Attributes:
        start: begins the message.
        ends: end it, in the order in which they come.
        block_start: begins a block.
        index: the member that says which block.
    """

    start: str
    ends: frozenset[str]
    block_start: str
    index: str


class StreamSplicer(StreamSplicing[StreamEvent]):
    """The ``Splicer`` of event streams."""

    _names = Names(
        start="message_start",
        ends=frozenset({"message_delta", "message_stop"}),
        block_start="content_block_start",
        index="index",
    )

    def __init__(
        self,
        max_event_bytes: int = MAX_EVENT_BYTES,
        *,
        own: frozenset[str] = RETRIEVAL_ONLY,
    ) -> None:
        self._numbers: dict[int, int] = {}
        self._hidden_indexes: set[int] = set()
        self._first_number = 0  # of the round's block 0, in the client's message
        self._message = Message(status="open")
        super().__init__(self._make_rounds(own), max_event_bytes)

    def _make_rounds(self, own: frozenset[str]) -> Rounds:
        return make_rounds(own)

    def _open_reader(self) -> EventReader[StreamEvent]:
        self._answer = StreamReader(self._max_event_bytes, keeps_comments=True)
        return self._answer

    def _read(self) -> Said:
        self._message = self._answer.close()
        return said(self._message, self._rounds.own)

    def _continued(self, body: bytes) -> bytes:
        return continued(body, self._message, self._rounds.results, self._rounds.own)

    def _begin_round(self) -> None:
        super()._begin_round()
        used = (number + 1 for number in self._numbers.values())
        self._first_number = max(used, default=self._first_number)
        self._numbers.clear()
        self._hidden_indexes.clear()

    def _error(self, words: str) -> bytes:
        error = b'{"type":"error","error":{"type":"api_error","message":%b}}'
        return error % json_parts.encode_string(words)

    def _error_event(self, error: bytes) -> bytes:
        return b"event: error\ndata: %b\n\n" % error

    def _take(self, event: StreamEvent) -> bytes:
        if self._has_ended:
            return event.raw if self._rounds.number == 0 else b""
        if event.type == self._names.start:
            return event.raw if self._rounds.number == 0 else b""
        if event.type in self._names.ends:
            if self._is_plain:
                return event.raw
            self._held.append(event)
            return b""
        if event.type == "error":
            self._has_ended = True
            return event.raw
        if event.index is None:
            return event.raw
        if event.type == self._names.block_start and self._starts_hidden(event):
            self._hidden_indexes.add(event.index)
            self._is_hiding = True
        if event.index in self._hidden_indexes:
            return b""
        number = self._numbers.get(event.index)
        if number is None:
            before = sum(index < event.index for index in self._hidden_indexes)
            number = self._first_number + event.index - before
            self._numbers[event.index] = number
        if number == event.index:
            return event.raw
        return _renumbered(event, self._names.index, number)

    def _starts_hidden(self, event: StreamEvent) -> bool:
        """Whether a block that begins is a call that the proxy answers."""
        try:
            members = json_parts.members(event.data)
            block = json_parts.members(members.get("content_block", b"{}"))
            kind = json_parts.string(block.get("type"))
            name = json_parts.string(block.get("name"))
            return is_hidden(kind, name, self._rounds.own)
        except StreamError:
            return False

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
        return with_edits(event, edits)


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


def _renumbered(event: StreamEvent, name: str, number: int) -> bytes:
    data = event.data
    try:
        span = json_spans.members(data, json_spans.whole(data))[name]
    except MalformedBodyError:
        # Half a surrogate pair in the text; the key stands in front of the text, and
        # inside it a quote would be escaped.
        found = re.search(rb'"%b"\s*:\s*(\d+)' % name.encode(), data)
        if found is None:
            return event.raw
        span = Span(*found.span(1))
    return with_edits(event, [Edit(span, b"%d" % number)])


def with_edits(event: StreamEvent, edits: list[Edit]) -> bytes:
    """The event's bytes with edits in its data."""
    if not edits:
        return event.raw
    data = splice(event.data, edits)
    return with_data(event.raw, event.data, data, event.type.encode())
