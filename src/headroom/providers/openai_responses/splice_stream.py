"""Streams joined into one: the rounds of an answer as one client response.

Events go on as they come, byte for byte, as long as nothing is hidden. The events of
hidden calls are held back; from there on events are numbered anew without a gap, and
later items get the next free place (these digits are all that changes). The first
round's beginning and the last one's end are the client's; the end then holds the items
that the client got, the output tokens of all rounds, and the id that the beginning
told: SDKs refuse an answer that changes it. Over a connection that keeps the
conversation the last round's id stands, since the next request goes on from it.

Events: https://platform.openai.com/docs/api-reference/responses-streaming. Unknown ones
pass. Nothing is ever ended as complete that is not.
"""

import re

from headroom.core.splice import splice
from headroom.core.types import Edit, Span
from headroom.core.wire import json_parts, json_spans
from headroom.core.wire.sse import with_data
from headroom.errors import MalformedBodyError, StreamError
from headroom.providers.openai_responses.answer import Message
from headroom.providers.openai_responses.rounds import (
    continued,
    ending_edits,
    hides,
    is_hidden,
    make_rounds,
    said,
)
from headroom.providers.openai_responses.stream import (
    BEGINS,
    ENDS,
    StreamEvent,
    StreamReader,
)
from headroom.providers.rounds import RETRIEVAL_ONLY, Said
from headroom.providers.splicing import MAX_EVENT_BYTES, StreamSplicing

_LAST = frozenset({"completed", "incomplete", "done"})
"""What ends a response well; the last is the ``[DONE]`` of some compatible servers."""

_ITEMS = frozenset({"output_item.added", "output_item.done"})
"""Events that hold an item; compatible servers may send the second alone."""

_PLACE, _NUMBER = "output_index", "sequence_number"
_DIGITS = {
    name: re.compile(rb'"%b"\s*:\s*(\d+)' % name.encode()) for name in (_PLACE, _NUMBER)
}


class StreamSplicer(StreamSplicing[StreamEvent]):
    """The ``Splicer`` of event streams."""

    def __init__(
        self,
        max_event_bytes: int = MAX_EVENT_BYTES,
        *,
        own: frozenset[str] = RETRIEVAL_ONLY,
    ) -> None:
        self._places: dict[int, int] = {}
        self._hidden_places: set[int] = set()
        self._first_place = 0  # of the round's item 0, in the client's response
        self._next_number = 0
        self._is_renumbering = False
        self._seen: list[bytes] = []
        self._first_id = b""  # as JSON; empty if the last round's is to be told
        self._message = Message(status="open")
        super().__init__(make_rounds(own), max_event_bytes)

    def _open_reader(self) -> StreamReader:
        self._answer = StreamReader(self._max_event_bytes, keeps_comments=True)
        return self._answer

    def _read(self) -> Said:
        self._message = self._answer.close()
        own = self._rounds.own
        self._seen += [i.data for i in self._message.items if not hides(i, own)]
        return said(self._message, own)

    def _continued(self, body: bytes) -> bytes:
        top = json_spans.members(body, json_spans.whole(body))
        if "type" in top and top["type"].of(body) == b'"response.create"':
            self._first_id = b""
        return continued(body, self._message, self._rounds.results)

    def _begin_round(self) -> None:
        super()._begin_round()
        used = (place + 1 for place in self._places.values())
        self._first_place = max(used, default=self._first_place)
        self._places.clear()
        self._hidden_places.clear()

    def _error(self, words: str) -> bytes:
        error = b'{"error":{"message":%b,"type":"server_error","code":"server_error"}}'
        return error % json_parts.encode_string(words)

    def _error_event(self, error: bytes) -> bytes:
        try:
            told = json_parts.members(error)
            told = json_parts.members(told.get("error", b"{}"))
        except StreamError:
            told = {}
        code = told.get("code", b"null")
        members = {
            "type": b'"error"',
            "code": told.get("type", b"null") if code == b"null" else code,
            "message": told.get("message", b'""'),
            "param": told.get("param", b"null"),
            "sequence_number": b"%d" % self._next_number,
        }
        self._next_number += 1
        data = json_parts.encode_object(members)
        return b"event: error\ndata: %b\n\n" % data

    def _take(self, event: StreamEvent) -> bytes:
        if self._has_ended:
            return event.raw if self._rounds.number == 0 else b""
        if event.type == "comment":
            return event.raw
        if event.type in BEGINS:
            if self._rounds.number:
                return b""
            self._first_id = self._first_id or _id_of(event.data)
        if event.type in _LAST and not self._is_plain:
            self._held.append(event)
            return b""
        if event.type in ENDS or event.type == "error":
            self._has_ended = event.type not in _LAST
            return self._numbered(event, None)
        if event.index is None:
            return self._numbered(event, None)
        is_new = event.type in _ITEMS and event.index not in self._places
        if is_new and _starts_hidden(event, self._rounds.own):
            self._hidden_places.add(event.index)
            self._is_hiding = self._is_renumbering = True
        if event.index in self._hidden_places:
            return b""
        place = self._places.get(event.index)
        if place is None:
            before = sum(index < event.index for index in self._hidden_places)
            place = self._first_place + event.index - before
            self._places[event.index] = place
        return self._numbered(event, place)

    def _ending(self, event: StreamEvent) -> bytes:
        if event.type == "done":
            return event.raw
        try:
            edits = ending_edits(event.data, self._rounds, self._seen, "response")
            edits += self._id_edits(event.data)
            data = splice(event.data, edits)
        except (MalformedBodyError, KeyError):
            data = event.data
        raw = _with_data(event, data)
        return self._numbered(
            StreamEvent(event.type, None, event.item_id, data, raw), None
        )

    def _id_edits(self, data: bytes) -> list[Edit]:
        span = _id_span(data) if self._first_id else None
        if span is None or span.of(data) == self._first_id:
            return []
        return [Edit(span, self._first_id)]

    def _numbered(self, event: StreamEvent, place: int | None) -> bytes:
        """The event with its number, and its item's place, in the client's stream."""
        wanted = {}
        if place is not None and place != event.index:
            wanted[_PLACE] = place
        if self._is_renumbering:
            wanted[_NUMBER] = self._next_number
        if not wanted:
            self._next_number = _number_of(event.data, self._next_number) + 1
            return event.raw
        data = event.data
        try:
            found = json_spans.members(data, json_spans.whole(data))
        except MalformedBodyError:
            # Half a surrogate pair in the text; inside it a quote would be escaped.
            found = {
                name: Span(*match.span(1))
                for name, pattern in _DIGITS.items()
                if (match := pattern.search(data)) is not None
            }
        if _NUMBER in wanted and _NUMBER in found:
            self._next_number += 1
        edits = [
            Edit(found[name], b"%d" % value)
            for name, value in wanted.items()
            if name in found and found[name].of(data) != b"%d" % value
        ]
        return _with_data(event, splice(data, edits)) if edits else event.raw


def _starts_hidden(event: StreamEvent, own: frozenset[str]) -> bool:
    try:
        members = json_parts.members(event.data)
        item = json_parts.members(members.get("item", b"{}"))
        kind, name, group = (
            json_parts.string(item.get(key)) for key in ("type", "name", "namespace")
        )
    except StreamError:
        return False
    return is_hidden(kind, name, group, own=own)


def _id_span(data: bytes) -> Span | None:
    """Where an event tells the id of its response."""
    top = json_spans.members(data, json_spans.whole(data))
    return json_spans.members(data, top["response"]).get("id")


def _id_of(data: bytes) -> bytes:
    try:
        span = _id_span(data)
    except (MalformedBodyError, KeyError):
        return b""
    return b"" if span is None else span.of(data)


def _number_of(data: bytes, otherwise: int) -> int:
    """An event's number; most have it near their beginning."""
    match = _DIGITS[_NUMBER].search(data)
    return otherwise - 1 if match is None else int(match[1][:15])


def _with_data(event: StreamEvent, data: bytes) -> bytes:
    """The event's bytes with other data."""
    return with_data(event.raw, event.data, data, event.type.encode())
