"""The items of a Responses conversation: who produced which, what they are known by.

Every type the API has is named here; what is not is kept as it came and reported. Both
https://platform.openai.com/docs/api-reference/responses/create (``input``) and the
official SDK (``openai.types.responses.response_input_item_param``) list them.

What the model produced comes back rewritten by clients: ids and states dropped, JSON in
arguments laid out anew, members added. So it enters a chain by type and call id alone,
in requests and in answers alike, and not at all without a call id. What a client adds
is known by all it says but its ``id`` and ``status``, which servers fill in.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

from msgspec import Struct

from headroom.core.digest import chain_key
from headroom.core.hidden import NEUTRAL, call_anchor, seal_anchor, text_anchor
from headroom.core.types import Span
from headroom.core.wire import json_spans
from headroom.core.wire.json_spans import elements, is_array, is_object, is_string
from headroom.providers.messages import Markers, Role, said_in, text_of

Source: TypeAlias = Literal["model", "tool", "given"]
"""Who an item is from: the model (and what runs beside it at the provider), a tool of
the client's, or the client itself."""

GIVEN_TOOLS = "additional_tools"
"""Tools that stand among the items, not in a list of their own (the type
``AdditionalTools`` of OpenAI's SDKs; codex, for its newest models)."""

SOURCES: dict[str, Source] = {
    "reasoning": "model",
    "compaction": "model",
    "compaction_summary": "model",
    "function_call": "model",
    "custom_tool_call": "model",
    "local_shell_call": "model",
    "shell_call": "model",
    "apply_patch_call": "model",
    "computer_call": "model",
    "tool_search_call": "model",
    "web_search_call": "model",
    "file_search_call": "model",
    "code_interpreter_call": "model",
    "image_generation_call": "model",
    "mcp_call": "model",
    "mcp_list_tools": "model",
    "mcp_approval_request": "model",
    "program": "model",
    "program_output": "model",
    # Clients name by it what the model said; what they said themselves they send.
    "item_reference": "model",
    "function_call_output": "tool",
    "custom_tool_call_output": "tool",
    "local_shell_call_output": "tool",
    "shell_call_output": "tool",
    "apply_patch_call_output": "tool",
    "computer_call_output": "tool",
    "tool_search_output": "tool",
    "mcp_approval_response": "tool",
    GIVEN_TOOLS: "given",
    "configuration_update": "given",
    "compaction_trigger": "given",
}
"""Type → who it is from; a ``message`` is from whom its role says."""

LIVE_OUTPUTS = frozenset(
    {
        "function_call_output",
        "custom_tool_call_output",
        "local_shell_call_output",
        "shell_call_output",
        "apply_patch_call_output",
    }
)
"""Results whose text is for the model to read."""

CALLS = frozenset(
    {
        "function_call",
        "custom_tool_call",
        "local_shell_call",
        "shell_call",
        "apply_patch_call",
    }
)
"""Calls that these results answer."""

_MARKERS = Markers(("prompt_cache_breakpoint", "cache_control"), "input_text")
_OWN_MEMBERS = frozenset({"type", "id", "status"})
_CONTENTS = frozenset({"content", "output"})
_ROLES: dict[Source, Role] = {"tool": "user", "model": "assistant", "given": "other"}

Text: TypeAlias = Callable[[str], str]
"""A string member of an item by its name; empty where there is none."""


class Item(Struct, frozen=True, gc=False):
    """What an item's bytes mean, wherever it stands."""

    role: Role
    kind: str
    canonical: bytes
    links: tuple[bytes, ...] = ()


def is_known(kind: str) -> bool:
    """Whether items of a type are described here."""
    return kind == "message" or kind in SOURCES


def source_of(kind: str, text: Text) -> Source:
    """Who an item is from.

    Args:
        kind: its type; without one it is a message.
        text: its string members.
    """
    if kind == "message":
        return "model" if text("role") == "assistant" else "given"
    if kind == "tool_search_output" and text("execution") == "server":
        return "model"
    found = SOURCES.get(kind)
    if found is None:
        # What answers a call is the client's; all else new is rather the model's.
        return "tool" if kind.endswith("_output") else "model"
    return found


def call_id_of(kind: str, text: Text) -> str:
    """What pairs a call with its result; the item's own ``id`` never does.

    Except for results of ``local_shell``, which have the call's id as their own.
    """
    found = text("call_id")
    return text("id") if not found and kind == "local_shell_call_output" else found


def links_of(kind: str, text: Text) -> tuple[bytes, ...]:
    """What an item of the model's enters a chain with; mostly nothing."""
    call_id = text("call_id")
    if not call_id:
        return ()
    return (chain_key(kind.encode("utf-8"), call_id.encode("utf-8")),)


def anchor_of(kind: str, text: Text, said: str) -> str:
    """What a client echoes of an item of the model's; see ``core.hidden``.

    Args:
        kind: its type.
        text: its string members.
        said: the text of a message.
    """
    if kind == "message":
        return text_anchor(said)
    if kind in {"reasoning", "compaction"}:
        return seal_anchor(text("encrypted_content")) or NEUTRAL
    return call_anchor(text("call_id") or text("id"))


def call_name(kind: str, text: Text) -> str:
    """The name of the tool that a call is for, as tool lists give it."""
    if kind in {"function_call", "custom_tool_call"}:
        return qualified(text("namespace"), text("name"))
    return kind.removesuffix("_call")


def qualified(namespace: str, name: str) -> str:
    """A tool's name with that of the group it is in, as MCP clients write it."""
    return f"{namespace}__{name}" if namespace else name


def read_item(data: bytes) -> Item:
    """What an item means.

    Args:
        data: the item alone.

    Raises:
        MalformedBodyError: in any doubt.
    """
    found = json_spans.members(data, Span(0, len(data)))
    kind = kind_of(data, found)
    text = text_reader(data, found)
    source = source_of(kind, text)
    if source == "model":
        said = _said(data, found.get("content"))
        return Item(
            role="assistant",
            kind=kind,
            canonical=anchor_of(kind, text, said).encode("utf-8"),
            links=links_of(kind, text),
        )
    is_user = kind == "message" and text("role") == "user"
    role: Role = "user" if is_user else _ROLES[source]
    return Item(role, kind, _canonical(data, kind, found))


def kind_of(data: bytes, found: dict[str, Span]) -> str:
    """An item's type; clients leave it out of messages, and of references."""
    kind = text_of(data, found.get("type"))
    if kind:
        return kind
    return "message" if "role" in found else "item_reference"


def _canonical(data: bytes, kind: str, found: dict[str, Span]) -> bytes:
    """All that an item says, with breakpoints cut out."""
    pieces = [kind.encode("utf-8")]
    for name, value in found.items():
        if name in _OWN_MEMBERS and not (
            name == "id" and kind == "local_shell_call_output"
        ):
            continue
        said = value.of(data)
        if name in _CONTENTS:
            said = _MARKERS.canonical(data, value, [])
        pieces += (name.encode("utf-8"), said)
    return chain_key(*pieces)


def said_by_user(literal: bytes) -> bytes:
    """What string input means: a user's message with that text."""
    item = b'{"role":"user","content":%b}' % literal
    found = json_spans.members(item, Span(0, len(item)))
    return _canonical(item, "message", found)


def text_reader(data: bytes, found: dict[str, Span]) -> Text:
    """The string members of an object whose members were found."""
    return lambda name: text_of(data, found.get(name))


def _said(data: bytes, content: Span | None) -> str:
    """The text of a message, whatever its parts."""
    if content is None:
        return ""
    if is_string(data, content):
        return json_spans.string(data, content)
    if not is_array(data, content):
        return ""
    pieces = []
    for span in elements(data, content):
        part = json_spans.members(data, span) if is_object(data, span) else {}
        pieces.append(said_in(data, part.get("text")))
        pieces.append(said_in(data, part.get("refusal")))
    return "".join(pieces)
