"""Gemini in the words of the Messages API, and back.

The prefix, the bill and the script know one shape of conversation, that of ``prefix``;
a Gemini request is laid out through ``as_messages``, with the model's name of its path
as ``model``. Summaries of thoughts are no part of a prompt. Calls have no ids (the
API's older shape, and the harder one for whoever must tell them apart), so results
belong to calls by name and order.

The first call of each step is signed. What a signature is goes by the call alone, so
that a converted conversation holds those that the lab gives out.
Shapes: https://ai.google.dev/api/caching#Content; what is refused:
https://ai.google.dev/gemini-api/docs/thought-signatures and the API's own messages as
its users report them. Pure.
"""

import base64
from collections import Counter
from collections.abc import Iterator
from typing import Any

from blake3 import blake3

from headroom.cachelab.prefix import Json, as_blocks, encode
from headroom.providers.models import model_named

_OUTPUT = "output"
_SIGNED_FROM = (3, 0)
"""From this generation on, steps of the running turn must be signed."""

_PICTURE: Json = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}


def as_messages(request: Json) -> Json:
    """A request that ``refusals`` accepts, as one that ``prefix`` lays out."""
    messages: list[Json] = []
    for number, content in enumerate(_turns(request["contents"])):
        is_model = content.get("role") == "model"
        caller = number if is_model else number - 1
        blocks = list(_blocks(content["parts"], caller))
        role = "assistant" if is_model else "user"
        messages.append({"role": role, "content": blocks})
    system = request.get("systemInstruction") or {}
    texts = [part.get("text", "") for part in system.get("parts", ())]
    return {
        "model": request.get("model", ""),
        "system": [{"type": "text", "text": text} for text in texts],
        "tools": list(_tools(request)),
        "messages": messages,
    }


def _turns(contents: list[Json]) -> list[Json]:
    """The contents, those of the model in a row as one, pieces of a text as one.

    Clients of streams may keep every event apart; the model reads the same.
    """
    found: list[Json] = []
    for content in contents:
        is_model = content.get("role") == "model"
        if not (is_model and found and found[-1].get("role") == "model"):
            found.append({**content, "parts": []})
        parts: list[Json] = found[-1]["parts"]
        for part in content["parts"]:
            if (
                is_model
                and set(part) == {"text"}
                and parts
                and set(parts[-1]) == {"text"}
            ):
                parts[-1] = {"text": parts[-1]["text"] + part["text"]}
            else:
                parts.append(part)
    return found


def _blocks(parts: list[Json], caller: int) -> Iterator[Json]:
    positions: Counter[str] = Counter()

    def position(what: Json) -> str:
        name = str(what.get("name", ""))
        positions[name] += 1
        return str(what.get("id") or f"{name}#{caller}#{positions[name]}")

    for part in parts:
        if part.get("thought"):
            continue
        rest = dict(part)
        if (call := rest.pop("functionCall", None)) is not None:
            name, args = call.get("name", ""), call.get("args") or {}
            block = {"type": "tool_use", "id": position(call), "name": name}
            yield {**block, "input": args}
        elif (result := rest.pop("functionResponse", None)) is not None:
            response = result.get("response") or {}
            is_plain = set(response) == {_OUTPUT} and isinstance(response[_OUTPUT], str)
            text = response[_OUTPUT] if is_plain else encode(response).decode()
            yield {
                "type": "tool_result",
                "tool_use_id": position(result),
                "is_plain": is_plain,
                "content": text,
            }
        elif isinstance(rest.get("text"), str):
            yield {"type": "text", "text": rest.pop("text")}
        if rest:
            yield {"type": "image" if "inlineData" in rest else "rest", **rest}


def _tools(request: Json) -> Iterator[Json]:
    for tool in request.get("tools") or ():
        yield from tool.get("functionDeclarations") or ()
        rest = {k: v for k, v in tool.items() if k != "functionDeclarations"}
        if rest:
            yield {"name": next(iter(rest)), **rest}


def blocks_of(parts: list[Json]) -> list[Json]:
    """What a model's parts say: texts that stand together as one, then its calls."""
    found: list[Json] = []
    positions: Counter[str] = Counter()
    for part in parts:
        if part.get("thought"):
            continue
        if "functionCall" in part:
            call = part["functionCall"]
            positions[call["name"]] += 1
            call_id = call.get("id") or f"{call['name']}#{positions[call['name']]}"
            block = {"type": "tool_use", "id": call_id, "name": call["name"]}
            found.append({**block, "input": call.get("args") or {}})
        elif text := part.get("text"):
            if found and found[-1]["type"] == "text":
                found[-1] = {"type": "text", "text": found[-1]["text"] + text}
            else:
                found.append({"type": "text", "text": text})
    return found


def parts_of(blocks: list[Json]) -> list[Json]:
    """A model's parts of blocks; thoughts are told as summaries."""
    parts: list[Json] = []
    is_signed = False
    for block in blocks:
        if block["type"] == "text":
            parts.append({"text": block["text"]})
        elif block["type"] == "thinking":
            parts.append({"text": block["thinking"], "thought": True})
        elif block["type"] == "tool_use":
            call = {"name": block["name"], "args": block["input"]}
            part: Json = {"functionCall": call}
            if not is_signed:
                part["thoughtSignature"] = _signature(call)
                is_signed = True
            parts.append(part)
    return parts


def _signature(call: Json) -> str:
    found = blake3(encode([call["name"], call["args"]])).digest(length=48)
    return base64.b64encode(found).decode()


def from_messages(conversation: Json) -> Json:
    """The conversation and what stands before it, of a Messages one."""
    contents: list[Json] = []
    names: dict[str, str] = {}
    for message in conversation["messages"]:
        blocks = as_blocks(message["content"])
        is_model = message["role"] == "assistant"
        if is_model:
            blocks = [b for b in blocks if "thinking" not in b["type"]]
            names |= {b["id"]: b["name"] for b in blocks if b["type"] == "tool_use"}
            parts = parts_of(blocks)
        else:
            parts = [p for block in blocks for p in _user_parts(block, names)]
        role = "model" if is_model else "user"
        contents.append({"role": role, "parts": parts or [{"text": " "}]})
    functions = [
        {
            "name": tool["name"],
            "description": tool.get("description", ""),
            "parametersJsonSchema": tool.get("input_schema", {}),
        }
        for tool in conversation.get("tools") or ()
    ]
    texts = [b["text"] for b in as_blocks(conversation.get("system")) if b.get("text")]
    return {
        "contents": contents,
        "system": {"parts": [{"text": text} for text in texts]} if texts else None,
        "tools": [{"functionDeclarations": functions}] if functions else [],
    }


def _user_parts(block: Json, names: dict[str, str]) -> Iterator[Json]:
    if block["type"] == "text":
        yield {"text": block["text"]}
    elif block["type"] == "tool_result":
        inner = as_blocks(block.get("content"))
        text = "\n\n".join(p["text"] for p in inner if p["type"] == "text")
        key = "error" if block.get("is_error") else _OUTPUT
        name = names.get(block["tool_use_id"], "")
        yield {"functionResponse": {"name": name, "response": {key: text}}}
    else:
        yield _PICTURE


def turn_ends(contents: list[Json]) -> list[int]:
    """Where the answers of the model stand."""
    return [n for n, content in enumerate(contents) if content.get("role") == "model"]


def answers(contents: list[Json]) -> list[list[Json]]:
    """What the model says, turn by turn."""
    return [blocks_of(contents[end]["parts"]) for end in turn_ends(contents)]


def follow_up(contents: list[Json], text: str) -> list[Json]:
    """What the user says after the last content: calls are cut short first."""
    last = contents[-1]["parts"] if contents else []
    cut = [
        {
            "functionResponse": {
                "name": part["functionCall"]["name"],
                "response": {"error": "Interrupted."},
            }
        }
        for part in last
        if "functionCall" in part
    ]
    return [{"role": "user", "parts": [*cut, {"text": text}]}]


def refusals(request: Json) -> Iterator[str]:
    """The API's words for what is wrong with a request, first first."""
    contents = request.get("contents")
    if not isinstance(contents, list) or not contents:
        yield "* GenerateContentRequest.contents: contents is not specified"
        return
    for number, content in enumerate(contents):
        where = f"GenerateContentRequest.contents[{number}]"
        parts = content.get("parts") if isinstance(content, dict) else None
        if not isinstance(parts, list) or not parts:
            yield f"* {where}.parts: contents.parts must not be empty."
        elif content.get("role", "user") not in {"user", "model", "function"}:
            yield "Please use a valid role: user, model."
        elif not all(isinstance(p, dict) and p for p in parts):
            yield f"* {where}.parts: one of the data fields must be set."
        else:
            continue
        return
    yield from _tool_refusals(request.get("tools"))
    contents = _turns(contents)
    yield from _pairing(contents)
    if model_named(str(request.get("model"))).version >= _SIGNED_FROM:
        yield from _unsigned(contents)


def _tool_refusals(tools: Any) -> Iterator[str]:
    names: set[str] = set()
    for tool in tools or ():
        for function in tool.get("functionDeclarations") or ():
            name = str(function.get("name", ""))
            if not name:
                yield "function_declarations.name: Invalid function name."
                return
            if name in names:
                yield f"Duplicate function declaration found: {name}"
                return
            names.add(name)


def _names(content: Json, member: str) -> list[str]:
    return [str(p[member].get("name")) for p in content["parts"] if member in p]


def _pairing(contents: list[Json]) -> Iterator[str]:
    """Each call is answered by the content behind it, and nothing else is."""
    waiting: list[str] = []
    for content in contents:
        results = _names(content, "functionResponse")
        if results and not waiting:
            yield (
                "Please ensure that function response turn comes immediately after a"
                " function call turn."
            )
            return
        if waiting and sorted(results) != sorted(waiting):
            yield (
                "Please ensure that the number of function response parts is equal to"
                " the number of function call parts of the function call turn."
            )
            return
        waiting = _names(content, "functionCall")
    if waiting:
        yield (
            "Please ensure that function call turn comes immediately after a user turn"
            " or after a function response turn."
        )


def _unsigned(contents: list[Json]) -> Iterator[str]:
    """Steps since the user last said something, without a signature."""
    for content in reversed(contents):
        if content.get("role") != "model":
            if not _names(content, "functionResponse"):
                return
            continue
        calls = [p for p in content["parts"] if "functionCall" in p]
        if calls and not calls[0].get("thoughtSignature"):
            name = calls[0]["functionCall"].get("name")
            yield (
                "Function call is missing a thought_signature in functionCall parts."
                " This is required for tools to work correctly. Additional data,"
                f" function call `{name}`."
            )
            return
