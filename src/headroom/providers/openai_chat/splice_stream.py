"""Chat streams joined into one: the rounds of an answer as one client message.

Chunks go on as they come, byte for byte, until something is hidden. From then on the
hidden calls' deltas are cut out, later calls get the next free index, and whatever ends
the message (``finish_reason``, the figures, ``[DONE]``) waits until it is known to be
the end: then the figures tell the output tokens of all rounds. Chunks of later rounds
carry the first one's id, and no role.

Chunks and their order: https://platform.openai.com/docs/api-reference/chat-streaming.
Comments and unknown members pass. Nothing is ever ended as complete that is not.
"""

from msgspec import Struct

from headroom.core.splice import splice
from headroom.core.types import Edit, Span
from headroom.core.wire import json_parts, json_spans
from headroom.core.wire.json_spans import is_array, is_object
from headroom.core.wire.sse import SseEvent, with_data
from headroom.errors import MalformedBodyError, StreamError
from headroom.providers.openai_chat.answer import CallOrder, call_name
from headroom.providers.openai_chat.rounds import continued, make_rounds, said
from headroom.providers.openai_chat.stream import StreamReader
from headroom.providers.rounds import RETRIEVAL_ONLY, Said
from headroom.providers.splicing import MAX_EVENT_BYTES, StreamSplicing

_TELLING = (b'"tool_calls"', b'"error"')
"""What may change how the rest of a stream is passed on."""

_NOTHING = frozenset({b"null", b'""', b"[]", b"{}"})


class _Entry(Struct, frozen=True):
    """A tool call's delta in a chunk."""

    raw: bytes
    members: dict[str, bytes]
    place: int
    index: int


class _Calls:
    """The calls of one round, and the indexes the client has them under.

    Attributes:
        order: tells them apart.
        is_hidden: by place; a call whose name has not come yet is not in it.
        nameless: deltas of those.
        numbers: the client's index by place.
    """

    def __init__(self, first: int) -> None:
        self.order = CallOrder()
        self.is_hidden: dict[int, bool] = {}
        self.nameless: dict[int, list[_Entry]] = {}
        self.numbers: dict[int, int] = {}
        self._first = first

    @property
    def next(self) -> int:
        """The first index that is free behind this round."""
        return max((n + 1 for n in self.numbers.values()), default=self._first)

    def number(self, place: int) -> int:
        """The client's index of a call it sees."""
        return self.numbers.setdefault(place, self.next)


class StreamSplicer(StreamSplicing[SseEvent]):
    """The ``Splicer`` of event streams."""

    def __init__(
        self,
        max_event_bytes: int = MAX_EVENT_BYTES,
        *,
        own: frozenset[str] = RETRIEVAL_ONLY,
    ) -> None:
        self._calls = _Calls(0)
        self._id = b""
        super().__init__(make_rounds(own), max_event_bytes)

    def _open_reader(self) -> StreamReader:
        self._answer = StreamReader(self._max_event_bytes, keeps_comments=True)
        return self._answer

    def _read(self) -> Said:
        return said(self._answer.close(), self._rounds.own)

    def _continued(self, body: bytes) -> bytes:
        return continued(body, self._rounds.turns[-1])

    def _begin_round(self) -> None:
        super()._begin_round()
        self._calls = _Calls(self._calls.next)

    def _error(self, words: str) -> bytes:
        error = (
            b'{"error":{"message":%b,"type":"server_error","param":null,"code":null}}'
        )
        return error % json_parts.encode_string(words)

    def _error_event(self, error: bytes) -> bytes:
        return b"data: %b\n\n" % error

    def _take(self, event: SseEvent) -> bytes:
        if event.is_comment:
            return event.raw
        if self._has_ended:
            return event.raw if self._rounds.number == 0 else b""
        if event.is_done:
            return self._hold(event)
        if self._is_plain and self._id and not any(w in event.data for w in _TELLING):
            return event.raw
        try:
            chunk = json_parts.members(event.data)
            if chunk.get("error", b"null") != b"null":
                self._has_ended = True
                return event.raw
            return self._take_chunk(event, chunk)
        except (StreamError, MalformedBodyError):
            # Nobody can read it; what it means is the client's affair.
            return event.raw

    def _hold(self, event: SseEvent) -> bytes:
        if self._is_plain:
            return event.raw
        self._held.append(event)
        return b""

    def _take_chunk(self, event: SseEvent, chunk: dict[str, bytes]) -> bytes:
        choices = json_parts.elements(chunk.get("choices", b"[]"))
        if not self._id and json_parts.string(chunk.get("id")):
            self._id = chunk["id"]
        if not choices:
            has_usage = chunk.get("usage", b"null") != b"null"
            is_first = self._rounds.number == 0
            return self._hold(event) if has_usage or is_first else b""
        choice = json_parts.members(choices[0])
        delta = json_parts.members(_or_empty(choice.get("delta")))
        is_end = json_parts.string(choice.get("finish_reason")) != ""
        entries = self._entries(delta)
        visible = self._visible(entries, is_end=is_end)
        if self._is_plain:
            for entry in entries:
                self._calls.numbers[entry.place] = entry.index
            return event.raw
        if is_end:
            self._held.append(event)
        if not _says(delta, has_calls=bool(visible)):
            # The role alone, or nothing but what is hidden.
            is_idle = not entries and self._rounds.number == 0 and not is_end
            return event.raw if is_idle else b""
        return self._without_hidden(event, visible, is_end=is_end)

    def _entries(self, delta: dict[str, bytes]) -> list[_Entry]:
        found = []
        for number, raw in enumerate(
            json_parts.elements(delta.get("tool_calls", b"[]"))
        ):
            members = json_parts.members(raw)
            place, index = self._calls.order.place(members, number)
            found.append(_Entry(raw, members, place, index))
        return found

    def _visible(self, entries: list[_Entry], *, is_end: bool) -> list[_Entry]:
        """The deltas that the client gets now; those without a name wait for it."""
        calls = self._calls
        found: list[_Entry] = []
        for entry in entries:
            place = entry.place
            if place not in calls.is_hidden and (name := call_name(entry.members)):
                calls.is_hidden[place] = name in self._rounds.own
                waiting = calls.nameless.pop(place, [])
                found += [] if calls.is_hidden[place] else waiting
            if place not in calls.is_hidden:
                calls.nameless.setdefault(place, []).append(entry)
            elif not calls.is_hidden[place]:
                found.append(entry)
        if is_end:
            for waiting in calls.nameless.values():
                found += waiting
            calls.nameless.clear()
        if calls.nameless or any(calls.is_hidden.values()):
            self._is_hiding = True
        return found

    def _without_hidden(
        self, event: SseEvent, visible: list[_Entry], *, is_end: bool
    ) -> bytes:
        """The chunk as the client gets it where something is, or was, hidden."""
        data = event.data
        top = json_spans.members(data, json_spans.whole(data))
        choice = json_spans.elements(data, top["choices"])[0]
        members = json_spans.members(data, choice)
        given = members.get("delta")
        delta = json_parts.members(_or_empty(None if given is None else given.of(data)))
        shown = self._shown(delta, visible)
        edits: list[Edit] = []
        if given is None:
            place = Span(choice.start + 1, choice.start + 1)
            made = b'"delta":%b,' % json_parts.encode_object(shown)
            edits.append(Edit(place, made))
        elif shown != delta:
            edits.append(Edit(given, json_parts.encode_object(shown)))
        if is_end:
            edits.append(Edit(members["finish_reason"], b"null"))
            if "usage" in top:
                edits.append(Edit(top["usage"], b"null"))
        if self._rounds.number and "id" in top and self._id:
            edits.append(Edit(top["id"], self._id))
        edits = [edit for edit in edits if edit.span.of(data) != edit.replacement]
        return with_data(event.raw, data, splice(data, edits)) if edits else event.raw

    def _shown(
        self, delta: dict[str, bytes], visible: list[_Entry]
    ) -> dict[str, bytes]:
        shown = dict(delta)
        if self._rounds.number:
            shown.pop("role", None)
        if visible:
            calls = list(map(self._renumbered, visible))
            if json_parts.elements(delta.get("tool_calls", b"[]")) != calls:
                shown["tool_calls"] = b"[%b]" % b",".join(calls)
        elif delta.get("tool_calls", b"null") != b"null":
            shown.pop("tool_calls")
        return shown

    def _renumbered(self, entry: _Entry) -> bytes:
        number = self._calls.number(entry.place)
        if number == entry.index and "index" in entry.members:
            return entry.raw
        if "index" in entry.members:
            span = json_spans.members(entry.raw, json_spans.whole(entry.raw))["index"]
            return splice(entry.raw, [Edit(span, b"%d" % number)])
        return json_parts.encode_object({"index": b"%d" % number, **entry.members})

    def _ending(self, event: SseEvent) -> bytes:
        if event.is_done:
            return event.raw
        try:
            data = event.data
            top = json_spans.members(data, json_spans.whole(data))
            edits = ending_edits(
                data,
                top,
                output_tokens=self._rounds.usage.get("output_tokens"),
                is_cut=self._rounds.verdict == "cut" and not self._calls.numbers,
            )
            if self._rounds.number and "id" in top and self._id:
                edits.append(Edit(top["id"], self._id))
            edits += _silenced(data, top)
        except MalformedBodyError:
            return event.raw
        edits = [edit for edit in edits if edit.span.of(data) != edit.replacement]
        return with_data(event.raw, data, splice(data, edits)) if edits else event.raw


def ending_edits(
    data: bytes, top: dict[str, Span], *, output_tokens: int | None, is_cut: bool
) -> list[Edit]:
    """What changes in the object that tells how a message ended.

    Args:
        data: a chunk's data, or a whole JSON answer.
        top: its members.
        output_tokens: of all rounds; ``None``: not known.
        is_cut: calls were left out, so that the message does not end with one.

    Raises:
        MalformedBodyError: it is no such object.
    """
    edits: list[Edit] = []
    usage = top.get("usage")
    if usage is not None and is_object(data, usage) and output_tokens is not None:
        figures = json_spans.members(data, usage)
        counts = {name: json_parts.count(s.of(data)) for name, s in figures.items()}
        own = counts.get("completion_tokens")
        if own is not None:
            edits.append(Edit(figures["completion_tokens"], b"%d" % output_tokens))
            total = counts.get("total_tokens")
            if total is not None:
                total += output_tokens - own
                edits.append(Edit(figures["total_tokens"], b"%d" % total))
    choices = top.get("choices")
    if is_cut and choices is not None and is_array(data, choices):
        for span in json_spans.elements(data, choices)[:1]:
            reason = json_spans.members(data, span).get("finish_reason")
            if reason is not None and reason.of(data) == b'"tool_calls"':
                edits.append(Edit(reason, b'"stop"'))
    return edits


def _silenced(data: bytes, top: dict[str, Span]) -> list[Edit]:
    """Empties the delta of a chunk whose words were passed on, or hidden, before."""
    choices = top.get("choices")
    if choices is None or not is_array(data, choices):
        return []
    edits = []
    for span in json_spans.elements(data, choices)[:1]:
        delta = json_spans.members(data, span).get("delta")
        if delta is not None and is_object(data, delta):
            edits.append(Edit(delta, b"{}"))
    return edits


def _says(delta: dict[str, bytes], *, has_calls: bool) -> bool:
    """Whether a delta has anything for the client to see."""
    return has_calls or any(
        raw not in _NOTHING
        for name, raw in delta.items()
        if name not in {"role", "tool_calls"}
    )


def _or_empty(raw: bytes | None) -> bytes:
    return b"{}" if raw is None or raw == b"null" else raw
