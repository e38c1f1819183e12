"""Responses streams: the answer read beside the byte passthrough.

A stream is events, each with a ``type`` and a ``sequence_number``: the response begins,
its items begin, grow part by part and are done, and the response ends with an event
that holds all of it. Items are told apart by their id, and by their place where they
have none or change it. There is no ``[DONE]``: the end is ``response.completed``,
``.incomplete`` or ``.failed``, or an ``error``
(https://platform.openai.com/docs/api-reference/responses-streaming).

Names are taken with and without the prefix ``response.``. Reading never raises,
whatever the bytes: what cannot be read is noted in ``errors``, and the client gets its
bytes regardless.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from headroom.core.wire import json_parts
from headroom.core.wire.long_events import LongEvent, LongEventFramer
from headroom.core.wire.sse import DEFAULT_MAX_EVENT_BYTES, SseEvent, SseFramer
from headroom.errors import StreamError
from headroom.providers.openai_responses.answer import (
    STATUSES,
    Message,
    OutputItem,
    Status,
    Usage,
    read_message,
    read_output_item,
    read_response,
    read_usage,
    reply_of,
)

__all__ = [
    "Message",
    "OutputItem",
    "StreamEvent",
    "StreamReader",
    "Usage",
    "read_message",
    "reply_of",
]

ENDS = frozenset({"completed", "incomplete", "failed", "cancelled"})
"""Events behind which a response has ended."""

BEGINS = frozenset({"created", "queued", "in_progress"})
"""Events before which there is no item."""

_PREFIX = "response."
_TYPE = re.compile(rb'"type"\s*:\s*"([\w.]+)"')
_INDEX = re.compile(rb'"output_index"\s*:\s*(\d+)')
_DECODER = json.JSONDecoder()
_MAX_NOTES = 32  # a broken stream must not fill the memory with complaints

_TEXTS = {
    "output_text": ("text", "text"),
    "refusal": ("refusal", "refusal"),
    "function_call_arguments": ("arguments", "arguments"),
    "custom_tool_call_input": ("arguments", "input"),
    "reasoning_summary_text": ("summary", "text"),
}
"""Event family → the field that its deltas append to, and the member of its ``done``
event that holds the whole of it."""

_SILENT = frozenset(
    {"content_part", "reasoning_summary_part", "reasoning_text", "mcp_call_arguments",
     "output_text.annotation", "web_search_call", "file_search_call", "mcp_call",
     "mcp_list_tools", "code_interpreter_call", "code_interpreter_call_code",
     "image_generation_call", "shell_call_command", "shell_call_output_content",
     "compaction", "audio", "audio.transcript"}
)  # fmt: skip
"""Event families whose content the item has once it is done."""


class StreamEvent(Struct, frozen=True, gc=False):
    """One event with what places it.

    Attributes:
        type: without the prefix ``response.``.
        index: the place of the item it is about; ``None`` if it is about none.
        item_id: the id of that item, where the event has it.
    """

    type: str
    index: int | None
    item_id: str
    data: bytes
    raw: bytes


class Framer(Protocol):
    """What cuts a stream into events."""

    @property
    def pending(self) -> bytes:
        """Bytes fed that belong to no complete event yet."""
        ...

    def feed(self, chunk: bytes) -> Sequence[SseEvent | LongEvent]:
        """Take the next bytes; return the events they complete, in order."""
        ...

    def finish(self) -> Sequence[SseEvent | LongEvent]:
        """Tell that the stream has ended."""
        ...


class _Open:
    """An item while it grows."""

    __slots__ = ("item", "texts")

    def __init__(self, item: OutputItem) -> None:
        self.item = item
        self.texts: dict[tuple[str, int], list[str]] = {}

    def freeze(self) -> OutputItem:
        """The item as far as it has come; what it says of itself wins when done."""
        item = self.item
        if item.is_complete:
            return item
        grown: dict[str, list[str]] = {}
        for (field, _), pieces in sorted(self.texts.items()):
            grown.setdefault(field, []).append(json_parts.joined(pieces))
        joined = {
            field: ("\n\n" if field == "summary" else "").join(texts)
            for field, texts in grown.items()
        }
        return replace(item, **joined)


class StreamReader:
    """Reads one streamed answer.

    Args:
        max_event_bytes: more bytes without the end of an event are an error.
        keeps_comments: return comments (routers keep connections open with them) as
            events of their own, at once.
        cuts_long: longer events are no error: only their ends are read, and they are
            not returned.
    """

    def __init__(
        self,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        *,
        keeps_comments: bool = False,
        cuts_long: bool = False,
    ) -> None:
        framer = LongEventFramer if cuts_long else SseFramer
        self._framer: Framer = framer(max_event_bytes, keeps_comments=keeps_comments)
        self._items: dict[int, _Open] = {}
        self._places: dict[str, int] = {}
        self._response = Message(status="open")
        self._error = b""
        self.status: Status = "open"
        self.errors: list[str] = []
        self.unknown: dict[str, int] = {}

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Take the next bytes; return the events they complete, in order."""
        return self._guarded(lambda: self._framer.feed(chunk))

    def close(self) -> Message:
        """Tell that the connection has ended; return what was read.

        An answer without an event that ends it is ``truncated``.
        """
        self._guarded(self._framer.finish)
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
        return replace(
            self._response,
            status=self.status,
            items=tuple(opened.freeze() for _, opened in sorted(self._items.items())),
            error=self._error,
            errors=tuple(self.errors),
            unknown=tuple(sorted(self.unknown.items())),
        )

    def take(self, data: bytes, raw: bytes = b"", name: str = "") -> StreamEvent:
        """Take one event, framed by whatever carries it (a WebSocket message, say).

        Args:
            data: its JSON.
            raw: the bytes it came in.
            name: its name outside the JSON, for when it has none inside.
        """
        kind, index, item_id = name, None, ""
        try:
            members = json_parts.members(data)
            kind = json_parts.string(members.get("type")) or name
            kind = kind.removeprefix(_PREFIX)
            index = json_parts.count(members.get("output_index"))
            item_id = json_parts.string(members.get("item_id"))
            if index is None:
                index = self._places.get(item_id)
            if self.status == "open":
                self._apply(kind, index, item_id, members)
        except StreamError as error:
            self._note(f"an event: {error}")
        return StreamEvent(kind, index, item_id, data, raw)

    def _guarded(
        self, read: "Callable[[], Sequence[SseEvent | LongEvent]]"
    ) -> list[StreamEvent]:
        try:
            events = read()
        except StreamError as error:
            if self.status == "open":
                self.status = "errored"
                self._note(str(error))
            return []
        return self._handle_all(events)

    def _handle_all(self, events: Iterable[SseEvent | LongEvent]) -> list[StreamEvent]:
        found = []
        for event in events:
            if isinstance(event, SseEvent):
                found.append(self._handle(event))
            elif self.status == "open":
                self._take_long(event)
        return found

    def _take_long(self, event: LongEvent) -> None:
        """Take what is left of an event that was too long.

        What an item is was told when it began, and what the response is in the first
        event; the figures stand at the end of the last one.
        """
        named = _TYPE.search(event.head)
        kind = event.name or (b"" if named is None else named[1])
        step = kind.decode("utf-8", "replace").removeprefix(_PREFIX)
        place = _INDEX.search(event.head) or _INDEX.search(event.tail)
        if step == "output_item.done":
            opened = None if place is None else self._items.get(int(place[1][:9]))
            if opened is None:
                self.status = "errored"
                self._note("a long item did not begin")
                return
            opened.item = opened.freeze()
            opened.item = replace(opened.item, is_complete=True)
        elif step in ENDS:
            usage = _last_usage(event.tail)
            self._response = replace(self._response, usage=usage)
            self.status = STATUSES[step]

    def _handle(self, event: SseEvent) -> StreamEvent:
        if event.is_comment:
            return StreamEvent("comment", None, "", event.data, event.raw)
        if event.is_done:
            return StreamEvent("done", None, "", event.data, event.raw)
        name = (event.name or b"").decode("utf-8", "replace").removeprefix(_PREFIX)
        return self.take(event.data, event.raw, name)

    def _apply(
        self, kind: str, index: int | None, item_id: str, members: dict[str, bytes]
    ) -> None:
        family, _, step = kind.rpartition(".")
        if kind in ENDS:
            self._end(kind, members)
        elif kind in BEGINS:
            self._begin(members)
        elif kind == "error":
            self.status = "errored"
            self._error = members.get("error") or _error_of(members)
        elif family == "output_item":
            self._take_item(index, members, is_complete=step == "done")
        elif family in _TEXTS and step in {"delta", "done"}:
            opened = self._opened(index, item_id)
            field, whole = _TEXTS[family]
            part = json_parts.count(
                members.get("summary_index", members.get("content_index"))
            )
            pieces = opened.texts.setdefault((field, part or 0), [])
            if step == "done":
                pieces[:] = [json_parts.string(members.get(whole))]
            else:
                pieces.append(json_parts.string(members.get("delta")))
        elif family not in _SILENT and kind != "keepalive":
            self._count_unknown(kind)

    def _begin(self, members: dict[str, bytes]) -> None:
        found = read_response(json_parts.members(members.get("response", b"{}")))
        self._response = replace(found, items=(), usage=None)

    def _end(self, kind: str, members: dict[str, bytes]) -> None:
        """Take the event that holds all of the response; it may leave items out."""
        found = read_response(json_parts.members(members.get("response", b"{}")))
        before = self._response
        self._response = replace(
            found,
            id=found.id or before.id,
            model=found.model or before.model,
            service_tier=found.service_tier or before.service_tier,
            items=(),
        )
        for item in found.items:
            known = self._items.get(item.index)
            if known is None or not known.item.is_complete:
                self._items[item.index] = _Open(item)
        if found.error:
            self._error = found.error
        self.status = STATUSES[kind]

    def _take_item(
        self, index: int | None, members: dict[str, bytes], *, is_complete: bool
    ) -> None:
        raw = members.get("item", b"{}")
        if index is None:
            item_id = json_parts.string(json_parts.members(raw).get("id"))
            index = self._places.get(item_id, len(self._items))
        item = read_output_item(index, raw, is_complete=is_complete)
        known = self._places.get(item.id)
        if known is not None and is_complete:
            item = replace(item, index=known)
        opened = self._items.get(item.index)
        if opened is None:
            opened = self._items[item.index] = _Open(item)
        opened.item = item
        if item.id:
            self._places.setdefault(item.id, item.index)

    def _opened(self, index: int | None, item_id: str) -> _Open:
        """The item that a delta is about, even if it was never begun."""
        place = self._places.get(item_id, index)
        if place is None:
            place = len(self._items)
        opened = self._items.get(place)
        if opened is None:
            opened = self._items[place] = _Open(OutputItem(place, id=item_id))
            if item_id:
                self._places[item_id] = place
        return opened

    def _count_unknown(self, kind: str) -> None:
        if kind in self.unknown or len(self.unknown) < _MAX_NOTES:
            self.unknown[kind] = self.unknown.get(kind, 0) + 1

    def _note(self, words: str) -> None:
        if len(self.errors) < _MAX_NOTES:
            self.errors.append(words)


def _last_usage(tail: bytes) -> Usage | None:
    """The figures at the end of a response; ``None`` if they cannot be read."""
    text = tail.decode("utf-8", "replace")
    at = text.rfind('"usage":')
    if at < 0:
        return None
    try:
        start = text.index("{", at)
        _, end = _DECODER.raw_decode(text, start)
        return read_usage(text[start:end].encode())
    except (ValueError, RecursionError, StreamError):
        return None


def _error_of(members: dict[str, bytes]) -> bytes:
    """An error event's own members as the error they are."""
    return b"{%b}" % b",".join(
        b"%b:%b" % (json_parts.encode_string(name), members[name])
        for name in ("code", "message", "param")
        if name in members
    )
