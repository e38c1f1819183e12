"""Chat Completions answers: made for the server's side, read for the client's.

Shapes: https://platform.openai.com/docs/api-reference/chat/object and
https://platform.openai.com/docs/api-reference/chat-streaming. Deltas have the size of a
few tokens, and several travel in one piece, as in ``stream``. Pure.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from headroom.cachelab.cache import Usage
from headroom.cachelab.chat import blocks_of, message_of
from headroom.cachelab.prefix import Json
from headroom.providers.models import CacheRules

NO_USAGE = "the stream has no usage"

_DELTA_CHARS = 24
_CHUNKS_PER_PIECE = 6
_CREATED = 1_780_000_000  # a fixed time: the same request has the same answer


def completion(
    request: Json, blocks: list[Json], usage: Json, *, request_id: str
) -> Json:
    """The whole answer to a Chat request."""
    message = {**message_of(blocks), "refusal": None, "annotations": []}
    reason = "tool_calls" if "tool_calls" in message else "stop"
    count = request.get("n") or 1
    return {
        "id": request_id.replace("req_", "chatcmpl-"),
        "object": "chat.completion",
        "created": _CREATED,
        "model": request["model"],
        "choices": [
            {
                "index": n,
                "message": message,
                "logprobs": None,
                "finish_reason": reason,
            }
            for n in range(count)
        ],
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": "fp_cachelab",
    }


def usage_of(usage: Usage, output: int, rules: CacheRules) -> Json:
    """The figures as the API tells them: cached tokens are part of the prompt's."""
    details = {"cached_tokens": usage.read, "audio_tokens": 0}
    if rules.write > 1:
        details["cache_write_tokens"] = usage.write_5m
    return {
        "prompt_tokens": usage.total,
        "completion_tokens": output,
        "total_tokens": usage.total + output,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def error(status: int, text: str, code: str | None = None) -> Json:
    """An error in the shape of OpenAI's APIs."""
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    return {"error": {"message": text, "type": kind, "param": None, "code": code}}


def chunks(answer: Json, *, has_usage: bool) -> Iterator[bytes]:
    """The stream of a whole answer, in the pieces it is sent in."""
    pending: list[bytes] = []
    for chunk in _chunks(answer, has_usage=has_usage):
        pending.append(b"data: %b\n\n" % msgspec.json.encode(chunk))
        if len(pending) == _CHUNKS_PER_PIECE:
            yield b"".join(pending)
            pending.clear()
    yield b"".join((*pending, b"data: [DONE]\n\n"))


def _chunks(answer: Json, *, has_usage: bool) -> Iterator[Json]:
    names = ("id", "created", "model", "service_tier", "system_fingerprint")
    head = {name: answer[name] for name in names}
    head["object"] = "chat.completion.chunk"
    if has_usage:
        head["usage"] = None
    for choice in answer["choices"]:
        for delta in _deltas(choice["message"]):
            yield {**head, "choices": [_choice(choice["index"], delta)]}
        last = _choice(choice["index"], {}, choice["finish_reason"])
        yield {**head, "choices": [last]}
    if has_usage:
        yield {**head, "choices": [], "usage": answer["usage"]}


def _choice(index: int, delta: Json, reason: str | None = None) -> Json:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


def _deltas(message: Json) -> Iterator[Json]:
    text = message["content"]
    start = "" if text is not None else None
    yield {"role": "assistant", "content": start, "refusal": None}
    for piece in _pieces(text or ""):
        yield {"content": piece}
    for index, call in enumerate(message.get("tool_calls", ())):
        function = {**call["function"], "arguments": ""}
        yield {"tool_calls": [{"index": index, **call, "function": function}]}
        for piece in _pieces(call["function"]["arguments"]):
            entry = {"index": index, "function": {"arguments": piece}}
            yield {"tool_calls": [entry]}


def _pieces(text: str) -> list[str]:
    return [text[at : at + _DELTA_CHARS] for at in range(0, len(text), _DELTA_CHARS)]


def read_stream(data: bytes) -> tuple[list[Json], str]:
    """The content of a whole event stream, and what is wrong with it."""
    message: Json = {"content": "", "tool_calls": []}
    is_done = has_usage = False
    for frame in data.replace(b"\r\n", b"\n").split(b"\n\n"):
        if not frame.startswith(b"data:"):
            continue
        text = frame.removeprefix(b"data:").strip()
        if text == b"[DONE]":
            is_done = True
            continue
        chunk: Json = msgspec.json.decode(text)
        if "error" in chunk:
            return [], f"error event: {chunk['error']}"
        has_usage = has_usage or bool(chunk.get("usage"))
        for choice in chunk["choices"]:
            if choice["index"] == 0:
                _apply(message, choice["delta"])
    if not is_done:
        return blocks_of(message), "the stream ended before [DONE]"
    return blocks_of(message), "" if has_usage else NO_USAGE


def _apply(message: Json, delta: Json) -> None:
    message["content"] += delta.get("content") or ""
    for entry in delta.get("tool_calls", ()):
        calls: list[Json] = message["tool_calls"]
        if entry["index"] == len(calls):
            calls.append({"id": entry["id"], "function": dict(entry["function"])})
        else:
            function = calls[entry["index"]]["function"]
            function["arguments"] += entry["function"]["arguments"]


def read_whole(data: bytes) -> tuple[list[Json], str]:
    """The content of a JSON answer, and what is wrong with it."""
    try:
        answer: Any = msgspec.json.decode(data)
        blocks = blocks_of(answer["choices"][0]["message"])
        has_usage = "prompt_tokens" in answer["usage"]
    except (msgspec.DecodeError, KeyError, IndexError, TypeError) as problem:
        return [], f"unreadable answer: {problem}"
    return blocks, "" if has_usage else "the answer has no usage"
