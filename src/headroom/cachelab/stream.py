"""A message as the event stream the Messages API sends.

Events and their order: https://platform.claude.com/docs/en/build-with-claude/streaming
Deltas have the size of a few tokens, as the real ones, and several events travel in one
chunk, since the network joins what is written in quick succession. Pure.
"""

from collections.abc import Iterator

import msgspec

from headroom.cachelab.prefix import Json

_DELTA_CHARS = 24
_EVENTS_PER_CHUNK = 6


def chunks(message: Json) -> Iterator[bytes]:
    """The stream of a whole message, in the pieces it is sent in."""
    pending: list[bytes] = []
    for event in events(message):
        kind = event["type"]
        data = msgspec.json.encode(event)
        pending.append(b"event: %s\ndata: %s\n\n" % (kind.encode(), data))
        if len(pending) == _EVENTS_PER_CHUNK:
            yield b"".join(pending)
            pending.clear()
    if pending:
        yield b"".join(pending)


def events(message: Json) -> Iterator[Json]:
    """The events of a message in order."""
    usage = message["usage"]
    head = {**message, "content": [], "stop_reason": None}
    yield {"type": "message_start", "message": {**head, "usage": _first(usage)}}
    for index, block in enumerate(message["content"]):
        yield from _block_events(index, block)
        if index == 0:
            yield {"type": "ping"}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
        "usage": {key: usage[key] for key in usage if key.endswith("_tokens")},
    }
    yield {"type": "message_stop"}


def _first(usage: Json) -> Json:
    """Usage as it stands when the first token is out."""
    return {**usage, "output_tokens": min(1, usage["output_tokens"])}


def _block_events(index: int, block: Json) -> Iterator[Json]:
    match block["type"]:
        case "text":
            empty: Json = {"type": "text", "text": ""}
            deltas = _pieces("text_delta", "text", block["text"])
        case "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = _pieces("thinking_delta", "thinking", block["thinking"])
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "tool_use":
            empty = {**block, "input": {}}
            text = msgspec.json.encode(block["input"]).decode()
            deltas = [{"type": "input_json_delta", "partial_json": ""}]
            deltas += _pieces("input_json_delta", "partial_json", text)
        case _:
            empty, deltas = block, []
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _pieces(kind: str, name: str, text: str) -> list[Json]:
    return [
        {"type": kind, name: text[start : start + _DELTA_CHARS]}
        for start in range(0, len(text), _DELTA_CHARS)
    ]
