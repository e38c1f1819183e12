"""What the Messages API refuses, with the words it refuses it in.

``refusals`` goes through a parsed request in the order the API checks it and yields a
message per violation; the caller answers with the first. The texts are the API's own as
its users report them, so a client that reacts to one reacts to cachelab alike.

Sources: https://platform.claude.com/docs/en/api/messages,
https://platform.claude.com/docs/en/build-with-claude/prompt-caching,
https://platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use
Pure: values in, texts out. Only what is checked here may be relied on by ``prefix``.
"""

from collections.abc import Iterator
from typing import Any

from headroom.cachelab.prefix import MARKER, Json
from headroom.providers.models import model_named

MAX_BREAKPOINTS = 4
# From this generation on, a message in mid-conversation may have the role "system".
_SYSTEM_ROLE_FROM = (5, 0)


def refusals(request: Json) -> Iterator[str]:
    """The API's messages for everything that is wrong with the request, first first."""
    yield from _top_level(request)
    if not isinstance(request.get("messages"), list):
        return
    shape = [*_tools(request), *_system(request), *_messages(request)]
    yield from shape
    if shape:
        return
    yield from _breakpoints(request)
    yield from _pairing(request["messages"])
    yield from _last_message(request["messages"][-1])


def _top_level(request: Json) -> Iterator[str]:
    for name in ("model", "max_tokens", "messages"):
        if name not in request:
            yield f"{name}: Field required"
    if not isinstance(request.get("model", ""), str):
        yield "model: Input should be a valid string"
    limit = request.get("max_tokens", 1)
    if isinstance(limit, bool) or not isinstance(limit, int):
        yield "max_tokens: Input should be a valid integer"
    elif limit < 1:
        yield "max_tokens: Input should be greater than or equal to 1"
    messages = request.get("messages", [])
    if not isinstance(messages, list):
        yield "messages: Input should be a valid list"
    elif not messages and "messages" in request:
        yield "messages: at least one message is required"
    thinking = request.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled":
        # Interleaved with tool calls, thinking may take more than one answer's tokens.
        limit = None if request.get("tools") else limit
        yield from _thinking_budget(thinking.get("budget_tokens"), limit)


def _thinking_budget(budget: Any, limit: Any) -> Iterator[str]:
    if not isinstance(budget, int):
        yield "thinking.enabled.budget_tokens: Field required"
    elif budget < 1024:
        yield (
            "thinking.enabled.budget_tokens: "
            "Input should be greater than or equal to 1024"
        )
    elif isinstance(limit, int) and limit <= budget:
        yield "`max_tokens` must be greater than `thinking.budget_tokens`."


def _tools(request: Json) -> Iterator[str]:
    tools = request.get("tools", [])
    if not isinstance(tools, list):
        yield "tools: Input should be a valid list"
        return
    names: set[str] = set()
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict):
            yield f"tools.{index}: Input should be a valid dictionary"
        elif tool.get("type", "custom") == "custom" and not _is_custom(tool):
            missing = "input_schema" if isinstance(tool.get("name"), str) else "name"
            yield f"tools.{index}.custom.{missing}: Field required"
        elif str(tool.get("name")) in names:
            yield "tools: Tool names must be unique."
        elif "name" in tool:
            names.add(str(tool["name"]))


def _is_custom(tool: Json) -> bool:
    return isinstance(tool.get("name"), str) and "input_schema" in tool


def _system(request: Json) -> Iterator[str]:
    system = request.get("system", "")
    if isinstance(system, str):
        return
    if not isinstance(system, list):
        yield "system: Input should be a valid list"
        return
    for index, block in enumerate(system):
        path = f"system.{index}"
        if not isinstance(block, dict) or block.get("type") != "text":
            yield f"{path}: Input should be a valid dictionary of type text"
        elif not isinstance(block.get("text"), str):
            yield f"{path}.text: Field required"
        else:
            yield from _empty_text(block, path, "system")


def _messages(request: Json) -> Iterator[str]:
    messages = request["messages"]
    is_lenient = model_named(str(request.get("model"))).version >= _SYSTEM_ROLE_FROM
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        if not isinstance(message, dict):
            yield f"{path}: Input should be a valid dictionary"
            continue
        role = message.get("role")
        if role == "system" and not is_lenient:
            yield (
                'messages: Unexpected role "system". The Messages API accepts a '
                'top-level `system` parameter, not "system" as an input message role.'
            )
        elif role not in {"user", "assistant", "system"}:
            yield f"{path}.role: Input should be 'user' or 'assistant'"
        if index == 0 and role == "assistant":
            yield 'messages: first message must use the "user" role'
        if "content" not in message:
            yield f"{path}.content: Field required"
            continue
        is_last = index == len(messages) - 1
        yield from _content(message, path, may_be_empty=is_last and role == "assistant")


def _content(message: Json, path: str, *, may_be_empty: bool) -> Iterator[str]:
    content = message["content"]
    if not isinstance(content, str | list):
        yield f"{path}.content: Input should be a valid list"
        return
    if not content and not may_be_empty:
        if message.get("role") == "user":
            yield f"{path}: user messages must have non-empty content"
        else:
            yield (
                f"{path}: all messages must have non-empty content "
                "except for the optional final assistant message"
            )
    if isinstance(content, str):
        return
    for index, block in enumerate(content):
        where = f"{path}.content.{index}"
        if not isinstance(block, dict):
            yield f"{where}: Input should be a valid dictionary"
        elif not isinstance(block.get("type"), str):
            yield f"{where}.type: Field required"
        else:
            yield from _block(block, where, message.get("role"))


_REQUIRED = {
    "text": ("text",),
    "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id",),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
}


def _block(block: Json, path: str, role: Any) -> Iterator[str]:
    kind = block["type"]
    for name in _REQUIRED.get(kind, ()):
        if name not in block:
            yield f"{path}.{kind}.{name}: Field required"
            return
    if kind in {"text", "thinking"} and not isinstance(block[kind], str):
        yield f"{path}.{kind}.{kind}: Input should be a valid string"
    elif kind == "thinking" and not isinstance(block["signature"], str):
        yield f"{path}.thinking.signature: Input should be a valid string"
    elif kind == "text":
        yield from _empty_text(block, path, "messages")
    elif kind == "tool_use" and role != "assistant":
        yield f"{path}: `tool_use` blocks can only be in `assistant` messages"
    elif kind == "tool_use" and not isinstance(block["input"], dict):
        yield f"{path}.tool_use.input: Input should be a valid dictionary"
    elif kind == "tool_result":
        if role != "user":
            yield f"{path}: `tool_result` blocks can only be in `user` messages"
        yield from _parts(block.get("content", ""), path)
    elif kind in {"thinking", "redacted_thinking"} and MARKER in block:
        yield f"{path}.{kind}.{MARKER}: Extra inputs are not permitted"


def _parts(parts: Any, path: str) -> Iterator[str]:
    if isinstance(parts, str) or parts is None:
        return
    if not isinstance(parts, list):
        yield f"{path}.tool_result.content: Input should be a valid list"
        return
    for index, part in enumerate(parts):
        where = f"{path}.tool_result.content.{index}"
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            yield f"{where}: Input should be a valid dictionary"
        elif part["type"] == "text" and not isinstance(part.get("text"), str):
            yield f"{where}.text.text: Field required"


def _empty_text(block: Json, path: str, section: str) -> Iterator[str]:
    if block["text"]:
        return
    if MARKER in block:
        yield f"{path}.text: {MARKER} cannot be set for empty text blocks"
    else:
        yield f"{section}: text content blocks must be non-empty"


def _markers(request: Json) -> Iterator[tuple[str, Any]]:
    """Path and value of every marker, in prefix order."""
    for index, tool in enumerate(request.get("tools", ())):
        yield f"tools.{index}", tool.get(MARKER)
    if isinstance(request.get("system"), list):
        for index, block in enumerate(request["system"]):
            yield f"system.{index}", block.get(MARKER)
    for number, message in enumerate(request["messages"]):
        if isinstance(message["content"], str):
            continue
        for index, block in enumerate(message["content"]):
            path = f"messages.{number}.content.{index}"
            if block["type"] == "tool_result" and isinstance(
                block.get("content"), list
            ):
                for part, inner in enumerate(block["content"]):
                    yield f"{path}.content.{part}", inner.get(MARKER)
            yield path, block.get(MARKER)


def _breakpoints(request: Json) -> Iterator[str]:
    found = [(path, value) for path, value in _markers(request) if value is not None]
    top = request.get(MARKER)
    for path, value in [*found, *([("", top)] if top is not None else [])]:
        where = f"{path}.{MARKER}".lstrip(".")
        if not isinstance(value, dict):
            yield f"{where}: Input should be a valid dictionary"
            return
        if value.get("type") != "ephemeral":
            yield f"{where}.type: Input tag should be 'ephemeral'"
            return
        if value.get("ttl", "5m") not in {"5m", "1h"}:
            yield f"{where}.ephemeral.ttl: Input should be '5m' or '1h'"
            return
    yield from _top_marker(request, found)
    total = len(found) + (top is not None and not _is_marked(request["messages"][-1]))
    if total > MAX_BREAKPOINTS:
        yield (
            f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided."
            f" Found {total}."
        )
    shortest = ""
    for path, value in found:
        ttl = value.get("ttl", "5m")
        if ttl == "1h" and shortest == "5m":
            yield (
                f"{path}.cache_control.ttl: a ttl='1h' cache_control block must not "
                "come after a ttl='5m' cache_control block. Note that blocks are "
                "processed in the following order: `tools`, `system`, `messages`."
            )
        shortest = "5m" if ttl == "5m" else shortest


def _is_marked(message: Json) -> bool:
    content = message["content"]
    return isinstance(content, list) and bool(content) and MARKER in content[-1]


def _top_marker(request: Json, found: list[tuple[str, Any]]) -> Iterator[str]:
    top = request.get(MARKER)
    if top is None or not found or not _is_marked(request["messages"][-1]):
        return
    ours, theirs = top.get("ttl", "5m"), found[-1][1].get("ttl", "5m")
    if ours != theirs:
        yield (
            f"Top-level cache_control has ttl='{ours}' but the target block already "
            f"has cache_control with ttl='{theirs}'. When both are specified on the "
            "same block, they must have matching TTLs."
        )


def _pairing(messages: list[Json]) -> Iterator[str]:
    """Every call has one result right behind it, every result its call before it."""
    used: set[str] = set()
    open_calls: dict[str, None] = {}
    caller = 0
    answered: set[str] = set()
    has_other = False
    previous = ""
    for number, message in enumerate(messages):
        role = message["role"]
        if role == "assistant" and previous != "assistant":
            if open_calls:
                break
            answered, has_other = set(), False
        previous = role
        for index, block in enumerate(_typed_blocks(message)):
            path = f"messages.{number}.content.{index}"
            if block["type"] == "tool_use":
                call = str(block["id"])
                if call in used:
                    yield f"{path}: `tool_use` ids must be unique"
                used.add(call)
                open_calls[call] = None
                caller = number
            elif block["type"] == "tool_result":
                if has_other and open_calls:
                    break
                yield from _result(block, path, open_calls, answered)
            elif role == "user":
                has_other = True
    if open_calls:
        yield (
            f"messages.{caller}: `tool_use` ids were found without `tool_result` "
            f"blocks immediately after: {', '.join(open_calls)}. Each `tool_use` block "
            "must have a corresponding `tool_result` block in the next message."
        )


def _typed_blocks(message: Json) -> list[Json]:
    content = message["content"]
    if isinstance(content, list):
        return content
    return [{"type": "text"}] if content else []


def _result(
    block: Json, path: str, open_calls: dict[str, None], answered: set[str]
) -> Iterator[str]:
    call = str(block["tool_use_id"])
    if call in open_calls:
        del open_calls[call]
        answered.add(call)
    elif call in answered:
        yield (
            f"{path}: each tool_use must have a single result. "
            f"Found multiple `tool_result` blocks with id: {call}"
        )
    else:
        yield (
            f"{path}: unexpected `tool_use_id` found in `tool_result` blocks: {call}. "
            "Each `tool_result` block must have a corresponding `tool_use` block in "
            "the previous message."
        )


def _last_message(message: Json) -> Iterator[str]:
    """A prefilled answer may not end in white space."""
    if message["role"] != "assistant":
        return
    content = message["content"]
    if isinstance(content, list):
        last = content[-1] if content else {}
        content = last.get("text", "") if last.get("type") == "text" else ""
    if content and content != content.rstrip():
        yield "messages: final assistant content cannot end with trailing whitespace"
