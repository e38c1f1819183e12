"""Responses as values: what was said, what it cost, how a request can go on from it.

``read_message`` reads a whole response object, ``stream`` builds the same values from
events. Shapes: https://platform.openai.com/docs/api-reference/responses/object. The
arguments of a call stay the string they are: a model may write anything into it.
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

from headroom.core.threads import Reply
from headroom.core.types import ToolCall
from headroom.core.wire import json_parts
from headroom.errors import HeadroomError, StreamError
from headroom.providers.openai_responses.items import (
    CALLS,
    call_name,
    links_of,
    read_item,
)

Status: TypeAlias = Literal[
    "open", "queued", "in_progress", "completed", "incomplete", "failed", "cancelled",
    "errored", "truncated",
]  # fmt: skip

STATUSES: dict[str, Status] = {
    "queued": "queued",
    "in_progress": "in_progress",
    "completed": "completed",
    "incomplete": "incomplete",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""States of a response object; a new one counts as completed."""

_CONTINUABLE = frozenset({"completed", "incomplete"})


class Usage(Struct, frozen=True, gc=False):
    """What the provider counted, by the names that all APIs' figures have here.

    ``input_tokens`` are the uncached ones only: the provider's own are the sum of them,
    the cache writes and the cache reads.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    reasoning_tokens: int = 0


class OutputItem(Struct, frozen=True, gc=False):
    """One item of the output, as far as it was read.

    Attributes:
        index: its place in the output.
        text: of a message, parts joined; refusals stand in ``refusal``.
        arguments: of a function call, or a custom tool's input.
        summary: of reasoning, parts joined by blank lines.
        is_complete: the provider has said that it is done.
        data: the item as it came last; before it is done, what it began with.
    """

    index: int
    id: str = ""
    type: str = ""
    status: str = ""
    call_id: str = ""
    name: str = ""
    namespace: str = ""
    phase: str = ""
    text: str = ""
    refusal: str = ""
    arguments: str = ""
    summary: str = ""
    is_complete: bool = False
    data: bytes = b"{}"


class Message(Struct, frozen=True, gc=False):
    """An answer as far as it was read.

    Attributes:
        status: the response's own once it has ended; ``errored`` if there was an error
            instead or it cannot be read; ``truncated`` if the connection ended before
            the response did; else ``open``.
        incomplete_reason: why it is ``incomplete``.
        service_tier: the tier that served it.
        usage: ``None`` if the provider gave no figures.
        items: by place.
        error: the JSON of the provider's error; empty if there was none.
        errors: what could not be read, in words.
        unknown: types of unknown events, with how many of each.
    """

    status: Status
    id: str = ""
    model: str = ""
    incomplete_reason: str = ""
    service_tier: str = ""
    usage: Usage | None = None
    items: tuple[OutputItem, ...] = ()
    error: bytes = b""
    errors: tuple[str, ...] = ()
    unknown: tuple[tuple[str, int], ...] = ()


def read_message(body: bytes) -> Message:
    """Read a JSON answer, an error answer included; never raises."""
    try:
        members = json_parts.members(body)
        if "output" not in members and members.get("error", b"null") != b"null":
            return Message(status="errored", error=members["error"])
        return read_response(members)
    except StreamError as error:
        return Message(status="errored", errors=(str(error),))


def read_response(members: dict[str, bytes]) -> Message:
    """Read the members of a response object.

    Raises:
        StreamError: it is broken.
    """
    details = json_parts.members(_object(members.get("incomplete_details")))
    error = members.get("error", b"null")
    return Message(
        status=STATUSES.get(json_parts.string(members.get("status")), "completed"),
        id=json_parts.string(members.get("id")),
        model=json_parts.string(members.get("model")),
        incomplete_reason=json_parts.string(details.get("reason")),
        service_tier=json_parts.string(members.get("service_tier")),
        usage=read_usage(members.get("usage")),
        items=tuple(
            read_output_item(index, raw, is_complete=True)
            for index, raw in enumerate(
                json_parts.elements(members.get("output", b"[]"))
            )
        ),
        error=b"" if error == b"null" else error,
    )


def read_usage(raw: bytes | None) -> Usage | None:
    """The figures of a ``usage`` object; ``None`` where there is none.

    Raises:
        StreamError: it is broken.
    """
    if raw is None or raw == b"null":
        return None
    members = json_parts.members(raw)
    details = json_parts.members(_object(members.get("input_tokens_details")))
    spent = json_parts.members(_object(members.get("output_tokens_details")))
    total = json_parts.count(members.get("input_tokens")) or 0
    read = json_parts.count(details.get("cached_tokens")) or 0
    written = json_parts.count(details.get("cache_write_tokens")) or 0
    return Usage(
        input_tokens=max(0, total - read - written),
        output_tokens=json_parts.count(members.get("output_tokens")) or 0,
        cache_creation_input_tokens=written,
        cache_read_input_tokens=read,
        reasoning_tokens=json_parts.count(spent.get("reasoning_tokens")) or 0,
    )


def read_output_item(index: int, raw: bytes, *, is_complete: bool) -> OutputItem:
    """One item of an output.

    Raises:
        StreamError: it is broken.
    """
    members = json_parts.members(raw)

    def text(name: str) -> str:
        return json_parts.string(members.get(name))

    parts = [
        json_parts.members(part)
        for part in json_parts.elements(_array(members.get("content")))
        if part[:1] == b"{"
    ]
    is_message = text("type") == "message"
    return OutputItem(
        index=index,
        id=text("id"),
        type=text("type"),
        status=text("status"),
        call_id=text("call_id"),
        name=text("name"),
        namespace=text("namespace"),
        phase=text("phase"),
        text=_joined(parts, "text") if is_message else "",
        refusal=_joined(parts, "refusal"),
        arguments=text("arguments") or text("input"),
        summary="\n\n".join(
            json_parts.string(json_parts.members(part).get("text"))
            for part in json_parts.elements(_array(members.get("summary")))
            if part[:1] == b"{"
        ),
        is_complete=is_complete,
        data=raw,
    )


def reply_of(message: Message) -> Reply | None:
    """How a request can go on from an answer; ``None`` if it cannot."""
    if message.status not in _CONTINUABLE or not message.id:
        return None
    links: list[bytes] = []
    calls: list[ToolCall] = []
    for item in message.items:
        links += _links(item)
        if item.type in CALLS and item.call_id:
            calls.append(tool_call(item))
    is_compacted = any(item.type.startswith("compaction") for item in message.items)
    chars = sum(len(one.text) + len(one.arguments) for one in message.items)
    return Reply(message.id, tuple(links), tuple(calls), is_compacted, chars)


def tool_call(item: OutputItem) -> ToolCall:
    """The call that an item is."""
    members = json_parts.members(item.data)
    name = call_name(item.type, lambda key: json_parts.string(members.get(key)))
    if item.type == "function_call":
        return ToolCall(item.call_id, name, item.arguments.encode("utf-8", "replace"))
    for key in ("input", "action", "operation"):
        if key in members:
            return ToolCall(item.call_id, name, members[key])
    return ToolCall(item.call_id, name, b"{}")


def _links(item: OutputItem) -> tuple[bytes, ...]:
    """What an item enters a chain with: as it will when a client sends it back."""
    try:
        found = read_item(item.data)
    except HeadroomError:
        # Half a surrogate pair somewhere; type and call id are enough.
        ids = {"call_id": item.call_id, "id": item.id}
        return links_of(item.type, lambda name: ids.get(name, ""))
    return found.links if found.role == "assistant" else (found.canonical,)


def _joined(parts: Iterable[dict[str, bytes]], name: str) -> str:
    return "".join(json_parts.string(part.get(name)) for part in parts)


def _object(raw: bytes | None) -> bytes:
    return b"{}" if raw is None or raw[:1] != b"{" else raw


def _array(raw: bytes | None) -> bytes:
    return b"[]" if raw is None or raw[:1] != b"[" else raw
