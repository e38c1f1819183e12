"""Chat Completions in the words of the Messages API, and back.

The prefix, the bill and the script know one shape of conversation, that of ``prefix``;
a Chat request is laid out and answered through ``as_messages``. What is compared goes
by content all the same: every member of a message is in one of its blocks. Results that
stand in a row are one message there, as the provider's template renders them.

``from_messages`` makes a Chat conversation of a recorded Messages one, as clients that
speak both do. Shapes: https://platform.openai.com/docs/api-reference/chat/create.
Pure: values in, values out.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from headroom.cachelab.prefix import Json, as_blocks

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_SAID = frozenset({"role", "content", "tool_calls", "tool_call_id"})


def as_messages(request: Json) -> Json:
    """A Chat request that ``refusals`` accepts, as one that ``prefix`` lays out."""
    messages: list[Json] = []
    for message in request["messages"]:
        if message["role"] != "tool":
            messages.append({"role": message["role"], "content": _blocks(message)})
            continue
        if not messages or messages[-1]["role"] != "tool":
            messages.append({"role": "tool", "content": []})
        result = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
        messages[-1]["content"].append({**result, "content": message.get("content")})
    tools = [_tool(tool) for tool in request.get("tools") or ()]
    return {**request, "tools": tools, "messages": messages, "tool_choice": None}


def blocks_of(message: Json) -> list[Json]:
    """What an assistant's message says: its text, then its calls with parsed input."""
    content = message.get("content")
    text = content if isinstance(content, str) else _joined(content)
    found: list[Json] = [{"type": "text", "text": text}] if text else []
    for call in message.get("tool_calls") or ():
        arguments = call["function"]["arguments"]
        try:
            value = msgspec.json.decode(arguments)
        except msgspec.DecodeError:
            value = arguments
        name = call["function"]["name"]
        block = {"type": "tool_use", "id": call["id"], "name": name, "input": value}
        found.append(block)
    return found


def message_of(blocks: list[Json]) -> Json:
    """An assistant's message of text blocks and calls; its thoughts are not told."""
    text = _joined(blocks)
    message: Json = {"role": "assistant", "content": text or None}
    calls = [_call(block) for block in blocks if block["type"] == "tool_use"]
    if calls:
        message["tool_calls"] = calls
    return message


def from_messages(conversation: Json) -> Json:
    """The ``messages`` and ``tools`` of a Chat request, of those of a Messages one."""
    messages: list[Json] = []
    if text := _joined(as_blocks(conversation.get("system"))):
        messages.append({"role": "system", "content": text})
    for message in conversation["messages"]:
        blocks = as_blocks(message["content"])
        if message["role"] == "assistant":
            messages.append(message_of(blocks))
        else:
            messages += _user_messages(message, blocks)
    tools = [
        {
            "type": "function",
            "function": {
                "name": tool["name"],
                "description": tool.get("description", ""),
                "parameters": tool.get("input_schema", {}),
            },
        }
        for tool in conversation.get("tools") or ()
    ]
    return {"messages": messages, "tools": tools}


def answers(messages: list[Json]) -> list[list[Json]]:
    """What the assistant says, turn by turn."""
    return [blocks_of(messages[end]) for end in turn_ends(messages)]


def follow_up(messages: list[Json], text: str) -> list[Json]:
    """What the user says after the last message: calls are cut short first."""
    calls = messages[-1].get("tool_calls") or () if messages else ()
    cut = [
        {"role": "tool", "tool_call_id": call["id"], "content": "Interrupted."}
        for call in calls
    ]
    return [*cut, {"role": "user", "content": text}]


def turn_ends(messages: list[Json]) -> list[int]:
    """Where the answers of the assistant stand."""
    return [n for n, m in enumerate(messages) if m["role"] == "assistant"]


def refusals(request: Json) -> Iterator[str]:
    """The API's words for what is wrong with a request, first first."""
    for name in ("model", "messages"):
        if name not in request:
            yield f"Missing required parameter: '{name}'."
            return
    messages = request["messages"]
    if not isinstance(messages, list) or not messages:
        yield "Invalid 'messages': empty array. Expected an array with minimum length 1"
        return
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            yield f"Invalid value: 'messages[{number}].role'."
        elif not isinstance(message.get("content"), str | list | None):
            yield f"Invalid type for 'messages[{number}].content'."
        elif message["role"] == "tool" and "tool_call_id" not in message:
            yield f"Missing required parameter: 'messages[{number}].tool_call_id'."
        else:
            continue
        return
    yield from _tool_refusals(request.get("tools"))
    yield from _pairing(messages)


def _tool_refusals(tools: Any) -> Iterator[str]:
    for number, tool in enumerate(tools or ()):
        what = tool.get(str(tool.get("type"))) if isinstance(tool, dict) else None
        if not isinstance(what, dict) or not isinstance(what.get("name"), str):
            yield f"Missing required parameter: 'tools[{number}].function.name'."
            return


def _pairing(messages: list[Json]) -> Iterator[str]:
    """Each call is answered by the messages behind it, and nothing else is."""
    waiting: set[str] = set()
    for number, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                yield (
                    f"Invalid parameter: 'messages[{number}]' with role 'tool' must be "
                    "a response to a preceeding message with 'tool_calls'."
                )
                return
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            break
        waiting = {call["id"] for call in message.get("tool_calls") or ()}
    if waiting:
        yield (
            "An assistant message with 'tool_calls' must be followed by tool messages "
            "responding to each 'tool_call_id'. The following tool_call_ids did not "
            f"have response messages: {', '.join(sorted(waiting))}"
        )


def _blocks(message: Json) -> list[Json]:
    blocks = as_blocks(message.get("content"))
    for call in message.get("tool_calls") or ():
        what = call.get("function") or call.get("custom") or {}
        said = what.get("arguments", what.get("input", ""))
        name = what.get("name", "")
        blocks.append(
            {"type": "tool_use", "id": call["id"], "name": name, "input": said}
        )
    rest = {k: v for k, v in message.items() if k not in _SAID and v is not None}
    return [*blocks, {"type": "rest", **rest}] if rest else blocks


def _tool(tool: Json) -> Json:
    what = tool[tool["type"]]
    named = {"input_schema" if k == "parameters" else k: v for k, v in what.items()}
    return {**tool, tool["type"]: None, **named}


def _call(block: Json) -> Json:
    said = block["input"]
    arguments = said if isinstance(said, str) else msgspec.json.encode(said).decode()
    function = {"name": block["name"], "arguments": arguments}
    return {"id": block["id"], "type": "function", "function": function}


def _user_messages(message: Json, blocks: list[Json]) -> Iterator[Json]:
    """Results become messages of their own, in front of what is said beside them."""
    said = []
    for block in blocks:
        if block["type"] == "tool_result":
            content = block.get("content") or ""
            parts = content if isinstance(content, str) else _parts(content)
            call_id = block["tool_use_id"]
            yield {"role": "tool", "tool_call_id": call_id, "content": parts}
        else:
            said.append(block)
    if said:
        is_string = isinstance(message["content"], str)
        content = message["content"] if is_string else _parts(said)
        yield {"role": "user", "content": content}


def _parts(blocks: list[Json]) -> list[Json]:
    """Text parts as they are; pictures by an address, which is not fetched."""
    return [
        {"type": "text", "text": block["text"]}
        if block["type"] == "text"
        else {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
        for block in blocks
    ]


def _joined(blocks: Any) -> str:
    texts = [b["text"] for b in blocks or () if b.get("type") == "text"]
    return "\n\n".join(texts)
