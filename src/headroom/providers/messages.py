"""Lists of messages, as the Messages and the Chat Completions API both have them.

A message is an object with a ``role`` and ``content``, a string or a list of blocks (or
parts). For the ledger it is its own bytes with ``cache_control`` members cut out
(clients move them every turn), and string content is the one text block it means.

Clients resend the whole conversation on every turn: what a message's bytes mean is kept
by their hash, so that the work grows with what is new. Values depend on nothing but the
bytes.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from headroom.core.digest import chain_key
from headroom.core.types import HotBlock, MessageView, Slot, Span
from headroom.core.wire import json_spans
from headroom.core.wire.json_spans import (
    elements,
    has_half_pair,
    is_array,
    is_object,
    is_string,
)
from headroom.errors import MalformedBodyError

Role: TypeAlias = Literal["user", "assistant", "other"]
Slots: TypeAlias = tuple[Slot | HotBlock, ...]
Canonical: TypeAlias = Callable[[bytes, Span, list[Span]], bytes]
"""Content without markers, of a body and the content's span; see ``Markers``."""

MAX_KEPT = 20_000
"""Messages whose meaning is remembered; then all are forgotten."""
_MAX_KEPT_SLOTS = 64


class SlotMemo:
    """The slots of messages, kept by the messages' bytes.

    Args:
        read_slots: the blocks of a message, with spans into the body.
    """

    def __init__(self, read_slots: Callable[[bytes, MessageView], Slots]) -> None:
        self._read_slots = read_slots
        self._slots: dict[bytes, Slots] = {}

    def slots(self, body: bytes, message: MessageView) -> Slots:
        """The blocks of a message in order, hot ones included."""
        start = message.span.start
        found = self._slots.get(message.raw)
        if found is None:
            read = self._read_slots(body, message)
            found = _shifted(tuple(_writable(body, slot) for slot in read), -start)
            if len(self._slots) >= MAX_KEPT:
                self._slots.clear()
            if len(found) <= _MAX_KEPT_SLOTS:
                self._slots[message.raw] = found
        return _shifted(found, start)


class _Shape(Struct, frozen=True, gc=False):
    """What a message's bytes mean; spans count from the message's start."""

    role: Role
    canonical: bytes
    markers: tuple[Span, ...]


class MessageReader:
    """Reads messages of one API and remembers what it read.

    Args:
        roles: what the API's roles are in a view; all others are ``other``.
        markers: the members of blocks that are cache markers, or what cuts them out.
        read_slots: the blocks of a message, with spans into the body.
        needs_content: a message without ``content`` is refused.
        content: the name of that member.
    """

    def __init__(
        self,
        roles: dict[str, Role],
        markers: tuple[str, ...] | Canonical,
        read_slots: Callable[[bytes, MessageView], Slots],
        *,
        needs_content: bool,
        content: str = "content",
    ) -> None:
        self._content = content
        self._roles = roles
        self._canonical = (
            Markers(markers).canonical if isinstance(markers, tuple) else markers
        )
        self._needs_content = needs_content
        self._shapes: dict[bytes, _Shape] = {}
        self._slots = SlotMemo(read_slots)

    def view(self, body: bytes, span: Span) -> MessageView:
        """One message.

        Raises:
            MalformedBodyError: in any doubt.
        """
        raw = chain_key(body[span.start : span.end])
        shape = self._shapes.get(raw)
        if shape is None:
            shape = self._read_shape(body, span)
            if len(self._shapes) >= MAX_KEPT:
                self._shapes.clear()
            self._shapes[raw] = shape
        markers = shape.markers
        if markers:
            markers = tuple(moved(marker, span.start) for marker in markers)
        return MessageView(shape.role, span, raw, shape.canonical, markers)

    def slots(self, body: bytes, message: MessageView) -> Slots:
        """The blocks of a message in order, hot ones included."""
        return self._slots.slots(body, message)

    def _read_shape(self, body: bytes, span: Span) -> _Shape:
        found = json_spans.members(body, span)
        role = text_of(body, found.get("role"))
        content = found.get(self._content)
        if not _is_content(body, content, is_needed=self._needs_content):
            raise MalformedBodyError("message without content", span.start)
        pieces = [role.encode()]
        markers: list[Span] = []
        for name, value in found.items():
            if name == self._content:
                pieces.append(self._canonical(body, value, markers))
            elif name != "role":
                pieces += (name.encode(), value.of(body))
        return _Shape(
            role=self._roles.get(role, "other"),
            canonical=chain_key(*pieces),
            markers=tuple(moved(marker, -span.start) for marker in markers),
        )


def members(body: bytes, span: Span) -> dict[str, Span]:
    """The members of an object; none of what is none, or in any doubt.

    Names inside results and arguments are the client's: written with escapes, or twice,
    they cannot be told from the bytes, which is no reason to leave the rest alone.
    """
    if not is_object(body, span):
        return {}
    try:
        return json_spans.members(body, span)
    except MalformedBodyError:
        return {}


def text_of(body: bytes, span: Span | None) -> str:
    """The text of a string member; empty where it is absent or no string.

    Also where it holds half a surrogate pair: no id, name or type does, and nothing
    that is recorded or put into a header could.
    """
    if span is None or not is_string(body, span) or has_half_pair(body, span):
        return ""
    return json_spans.string(body, span)


def said_in(body: bytes, span: Span | None) -> str:
    """As ``text_of``, for texts, which may hold half a surrogate pair."""
    if span is None or not is_string(body, span):
        return ""
    return json_spans.string(body, span)


def _writable(body: bytes, slot: Slot | HotBlock) -> Slot | HotBlock:
    """The slot, but where its text could not be written again: that one stays."""
    if isinstance(slot, HotBlock) or not has_half_pair(body, slot.literal):
        return slot
    return HotBlock(slot.block_index or 0, slot.block_type)


def _is_content(body: bytes, content: Span | None, *, is_needed: bool) -> bool:
    if content is None or content.of(body) == b"null":
        return not is_needed
    return is_string(body, content) or is_array(body, content)


def moved(span: Span, by: int) -> Span:
    """The span as many bytes further on."""
    return Span(span.start + by, span.end + by)


def _shifted(slots: Slots, by: int) -> Slots:
    return tuple(
        replace(slot, literal=moved(slot.literal, by))
        if isinstance(slot, Slot)
        else slot
        for slot in slots
    )


class Markers:
    """Cuts cache markers out of content.

    Args:
        names: the members of blocks that are markers.
        text_type: the type of the block that a string stands for.
    """

    def __init__(self, names: tuple[str, ...], text_type: str = "text") -> None:
        self._names = names
        self._text_type = text_type
        self._keys = tuple(f'"{name}"'.encode() for name in names)

    def canonical(self, body: bytes, content: Span, markers: list[Span]) -> bytes:
        """The content without markers; a lone text block is the string it means.

        Args:
            body: what the spans point into.
            content: of a message.
            markers: where the spans of those found are added.
        """
        if is_string(body, content):
            return b"s" + content.of(body)
        if not is_array(body, content):
            return content.of(body)
        blocks = elements(body, content)
        if len(blocks) == 1:
            block = json_spans.members(body, blocks[0])
            plain = {name for name in block if name not in self._names}
            is_text = text_of(body, block.get("type")) == self._text_type
            if is_text and plain == {"type", "text"}:
                markers += (block[name] for name in self._names if name in block)
                return b"s" + block["text"].of(body)
        if not self._may_mark(content.of(body)):
            return content.of(body)
        return b"".join(self._without_markers(body, content, blocks, markers))

    def _may_mark(self, data: bytes) -> bool:
        return any(key in data for key in self._keys)

    def _without_markers(
        self, body: bytes, content: Span, blocks: list[Span], markers: list[Span]
    ) -> list[bytes]:
        """The pieces of a block list that remain when its markers are cut out.

        Only markers of blocks and of a ``tool_result``'s parts are markers; the same
        word inside a tool's input is content.
        """
        holes: list[Span] = []
        for span in blocks:
            if not self._may_mark(span.of(body)):
                continue
            holes += self._holes(body, span, markers)
            inner = json_spans.members(body, span).get("content")
            if inner is not None and is_array(body, inner):
                for part in elements(body, inner):
                    if is_object(body, part) and self._may_mark(part.of(body)):
                        holes += self._holes(body, part, markers)
        pieces: list[bytes] = []
        cursor = content.start
        for hole in sorted(holes):
            pieces.append(body[cursor : hole.start])
            cursor = hole.end
        pieces.append(body[cursor : content.end])
        return pieces

    def _holes(self, body: bytes, span: Span, markers: list[Span]) -> list[Span]:
        found = json_spans.members(body, span)
        holes = []
        for name in self._names:
            if (marker := found.get(name)) is not None:
                markers.append(marker)
                before, after = json_spans.without_member(body, span, marker)
                holes.append(Span(before.end, after.start))
        return holes
