"""Responses in the words of the Messages API, and back.

The prefix, the bill and the script know one shape of conversation, that of ``prefix``;
a Responses request is laid out and answered through ``as_messages``. What is compared
goes by content: every member of an item is in its block, but for its ``id`` and
``status``, which clients send or leave out and no model sees. Items that the model
produced in a row are one assistant message there, results in a row one of ``tool``.

``from_messages`` makes a Responses conversation of a recorded Messages one. Shapes:
https://platform.openai.com/docs/api-reference/responses/create. Pure.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from headroom.cachelab.prefix import MARKER, Json, as_blocks

_ROLES = frozenset({"system", "developer", "user", "assistant"})
_GIVEN = frozenset({"additional_tools", "configuration_update", "compaction_trigger"})
_CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
}
_BREAKPOINT = "prompt_cache_breakpoint"
_OWN = frozenset({"id", "status"})


def as_messages(request: Json) -> Json:
    """A request that ``refusals`` accepts, as one that ``prefix`` lays out."""
    messages: list[Json] = []
    for item in as_items(request["input"]):
        role, block = _placed(item)
        blocks = block if isinstance(block, list) else [block]
        if messages and role in {"assistant", "tool"} and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": list(blocks)})
    return {
        **request,
        "system": request.get("instructions") or "",
        "tools": [_tool(tool) for tool in request.get("tools") or ()],
        "messages": messages,
        "tool_choice": None,
    }


def as_items(given: Any) -> list[Json]:
    """Input as items; a string is the one message it means."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return list(given)


def kind_of(item: Json) -> str:
    """The type of an item; without one it is a message."""
    return str(item.get("type") or "message")


def is_answer(item: Json) -> bool:
    """Whether the model produced the item."""
    kind = kind_of(item)
    if kind == "message":
        return item.get("role") == "assistant"
    return not _is_result(kind) and kind not in _GIVEN


def answers(items: list[Json]) -> list[list[Json]]:
    """What the model says, run by run, without its thoughts."""
    ends = turn_ends(items)
    found = []
    for end in ends:
        run = []
        for item in items[end:]:
            if not is_answer(item):
                break
            run.append(item)
        found.append(blocks_of(run))
    return found


def turn_ends(items: list[Json]) -> list[int]:
    """Where the answers of the model begin."""
    return [
        n
        for n, item in enumerate(items)
        if is_answer(item) and not (n and is_answer(items[n - 1]))
    ]


def blocks_of(items: list[Json]) -> list[Json]:
    """What items of the model say: texts, and calls with parsed input."""
    found: list[Json] = []
    for item in items:
        kind = kind_of(item)
        if kind == "message":
            text = _text(item.get("content"))
            found += [{"type": "text", "text": text}] if text else []
        elif kind in _CALLS:
            block = {"type": "tool_use", "id": item.get("call_id", "")}
            block["name"] = item.get("name", kind)
            block["input"] = _parsed(item.get(_CALLS[kind]))
            found.append(block if kind == "function_call" else {**block, "kind": kind})
    return found


def items_of(blocks: list[Json], answer_id: str) -> list[Json]:
    """The output that says what blocks say; ``answer_id`` makes the items' ids."""
    found: list[Json] = []
    for number, block in enumerate(blocks):
        item_id = f"{answer_id.removeprefix('resp_')}_{number}"
        if block["type"] == "thinking":
            found.append(_reasoning(f"rs_{item_id}", block["thinking"]))
        elif block["type"] == "text":
            found.append(_message(f"msg_{item_id}", block["text"]))
        else:
            found.append(_call(f"fc_{item_id}", block))
    return found


def from_messages(conversation: Json) -> Json:
    """A Messages conversation's ``input`` and ``tools`` in a Responses request."""
    items: list[Json] = []
    system = [b["text"] for b in as_blocks(conversation.get("system"))]
    if system:
        items.append({"role": "developer", "content": "\n\n".join(system)})
    for number, message in enumerate(conversation["messages"]):
        blocks = as_blocks(message["content"])
        if message["role"] == "assistant":
            said = [b for b in blocks if b["type"] in {"text", "tool_use"}]
            items += [
                {k: v for k, v in item.items() if k not in _OWN}
                for item in items_of(said, str(number))
            ]
        else:
            items += _user_items(message, blocks)
    tools = [
        {
            "type": "function",
            "name": tool["name"],
            "description": tool.get("description", ""),
            "parameters": tool.get("input_schema", {}),
            "strict": False,
        }
        for tool in conversation.get("tools") or ()
    ]
    return {"input": items, "tools": tools}


def refusals(request: Json) -> Iterator[str]:
    """The API's words for what is wrong with a request, first first."""
    if "model" not in request:
        yield "Missing required parameter: 'model'."
        return
    given = request.get("input")
    may_be_empty = request.get("generate") is False
    if not isinstance(given, str | list) or not (given or may_be_empty):
        yield "Missing required parameter: 'input'."
        return
    for number, item in enumerate(as_items(given)):
        if not isinstance(item, dict):
            yield f"Invalid type for 'input[{number}]': expected an object."
        elif kind_of(item) == "message" and item.get("role") not in _ROLES:
            yield f"Invalid value: 'input[{number}].role'."
        elif _is_result(kind_of(item)) and not _call_id(item):
            yield f"Missing required parameter: 'input[{number}].call_id'."
        else:
            continue
        return
    for number, tool in enumerate(request.get("tools") or ()):
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            yield f"Missing required parameter: 'tools[{number}].type'."
        elif tool["type"] == "function" and not tool.get("name"):
            yield f"Missing required parameter: 'tools[{number}].name'."
        else:
            continue
        return
    yield from _pairing(as_items(given))


def _pairing(items: list[Json]) -> Iterator[str]:
    """Every call has its result behind it, and every result its call before it."""
    waiting: dict[str, None] = {}
    answered: set[str] = set()
    for item in items:
        kind, call_id = kind_of(item), _call_id(item)
        if kind in _CALLS:
            waiting[call_id] = None
        elif _is_result(kind) and kind.removesuffix("_output") in _CALLS:
            if call_id not in waiting and call_id not in answered:
                yield (
                    "No tool call found for function call output with call_id"
                    f" {call_id}."
                )
                return
            waiting.pop(call_id, None)
            answered.add(call_id)
    for call_id in waiting:
        yield f"No tool output found for function call {call_id}."
        return


def follow_up(items: list[Json], text: str) -> list[Json]:
    """What the user says after the last item: a call is cut short first."""
    added: list[Json] = []
    if items and kind_of(items[-1]) in _CALLS:
        kind = f"{kind_of(items[-1])}_output"
        call_id = items[-1]["call_id"]
        added.append({"type": kind, "call_id": call_id, "output": "Interrupted."})
    return [*added, {"role": "user", "content": text}]


def _is_result(kind: str) -> bool:
    return kind.endswith("_output") or kind == "mcp_approval_response"


def _call_id(item: Json) -> str:
    found = item.get("call_id") or item.get("approval_request_id")
    return str(found or (item.get("id", "") if _is_result(kind_of(item)) else ""))


def _placed(item: Json) -> tuple[str, Json | list[Json]]:
    """Whose message an item belongs to, and the blocks it is there."""
    kind = kind_of(item)
    bare = {k: v for k, v in item.items() if k not in _OWN and v is not None}
    if kind == "message":
        parts = [_part(part) for part in as_blocks(item.get("content"))]
        rest = {k: v for k, v in bare.items() if k not in {"type", "role", "content"}}
        return str(item["role"]), [*parts, {"type": "rest", **rest}] if rest else parts
    if kind in _CALLS:
        said = bare.pop(_CALLS[kind], "")
        name = bare.pop("name", kind)
        block = {**bare, "type": "tool_use", "kind": kind, "id": _call_id(item)}
        return "assistant", {**block, "name": name, "input": said}
    if _is_result(kind):
        output = bare.pop("output", "")
        content = [_part(p) for p in output] if isinstance(output, list) else output
        content = content if isinstance(content, str | list) else [_part(content)]
        block = {**bare, "type": "tool_result", "kind": kind}
        return "tool", {**block, "tool_use_id": _call_id(item), "content": content}
    return ("developer" if kind in _GIVEN else "assistant"), {**bare, "type": kind}


def _part(part: Json) -> Json:
    """A part as a block; its breakpoint is a marker, a picture has a size."""
    found = {MARKER if k == _BREAKPOINT else k: v for k, v in part.items()}
    kind = str(part.get("type", ""))
    if kind in {"input_text", "output_text"}:
        return {**found, "type": "text"}
    return {**found, "type": "image" if kind == "input_image" else kind}


def _tool(tool: Json) -> Json:
    named = {"input_schema" if k == "parameters" else k: v for k, v in tool.items()}
    return {**named, "name": tool.get("name") or tool["type"]}


def _reasoning(item_id: str, thought: str) -> Json:
    summary = [{"type": "summary_text", "text": thought}]
    sealed = msgspec.json.encode(thought).hex()
    return {
        "id": item_id,
        "type": "reasoning",
        "summary": summary,
        "encrypted_content": f"gAAAA{sealed}",
    }


def _message(item_id: str, text: str) -> Json:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": item_id,
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }


def _call(item_id: str, block: Json) -> Json:
    kind = block.get("kind", "function_call")
    said = block["input"]
    if kind == "function_call" and not isinstance(said, str):
        said = msgspec.json.encode(said).decode()
    item = {"id": item_id, "type": kind, "status": "completed", _CALLS[kind]: said}
    return {**item, "call_id": block["id"], "name": block["name"]}


def _user_items(message: Json, blocks: list[Json]) -> Iterator[Json]:
    """Results become items of their own, in front of what is said beside them."""
    said: list[Json] = []
    for block in blocks:
        if block["type"] != "tool_result":
            said.append(block)
            continue
        content = block.get("content") or ""
        yield {
            "type": "function_call_output",
            "call_id": block["tool_use_id"],
            "output": content if isinstance(content, str) else _parts(content),
        }
    if said:
        is_string = isinstance(message["content"], str)
        content = message["content"] if is_string else _parts(said)
        yield {"role": "user", "content": content}


def _parts(blocks: list[Json]) -> list[Json]:
    """Text parts; pictures by an address, which is not fetched."""
    return [
        {"type": "input_text", "text": block["text"]}
        if block["type"] == "text"
        else {"type": "input_image", "image_url": "https://example.com/a.png"}
        for block in blocks
    ]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or ())


def _parsed(said: Any) -> Any:
    if not isinstance(said, str):
        return said
    try:
        return msgspec.json.decode(said)
    except msgspec.DecodeError:
        return said
