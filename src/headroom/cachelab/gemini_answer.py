"""Gemini answers: made for the server's side, read for the client's.

Shapes: https://ai.google.dev/api/generate-content. Texts come in pieces of a few
tokens,
each a whole answer of its own, and several travel together, as in ``stream``; a call
comes in one piece. With ``alt=sse`` they are events, else elements of one array. The
client's side reads as strictly as clients do: some fail on a line that is no data.
Pure.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from headroom.cachelab.cache import Usage
from headroom.cachelab.gemini import blocks_of, parts_of
from headroom.cachelab.prefix import Json

_TEXT_CHARS = 24
_EVENTS_PER_PIECE = 6
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
}


def answer(request: Json, blocks: list[Json], usage: Json, *, answer_id: str) -> Json:
    """The whole answer to a request."""
    content = {"parts": parts_of(blocks), "role": "model"}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage,
        "modelVersion": request.get("model", ""),
        "responseId": answer_id,
    }


def usage_of(usage: Usage, output: int) -> Json:
    """The figures as the API tells them: cached tokens are part of the prompt's."""
    found = {
        "promptTokenCount": usage.total,
        "candidatesTokenCount": output,
        "totalTokenCount": usage.total + output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.total}],
    }
    if usage.read:
        found["cachedContentTokenCount"] = usage.read
    return found


def error(status: int, text: str) -> Json:
    """An error in the API's shape."""
    word = _STATUSES.get(status, "INTERNAL")
    return {"error": {"code": status, "message": text, "status": word}}


def events(whole: Json) -> Iterator[Json]:
    """The events of an answer in order; the last one tells why it ended."""
    (candidate,) = whole["candidates"]
    usage = whole["usageMetadata"]
    so_far = {k: v for k, v in usage.items() if not k.startswith("candidates")}
    names = ("modelVersion", "responseId")
    tail = {name: whole[name] for name in names}
    for part in _pieces(candidate["content"]["parts"]):
        content = {"parts": [part], "role": "model"}
        yield {
            "candidates": [{"content": content, "index": 0}],
            "usageMetadata": so_far,
            **tail,
        }
    content = {"parts": [{"text": ""}], "role": "model"}
    last = {**candidate, "content": content}
    yield {"candidates": [last], "usageMetadata": usage, **tail}


def _pieces(parts: list[Json]) -> Iterator[Json]:
    for part in parts:
        text = part.get("text")
        if text is None:
            yield part
            continue
        for start in range(0, len(text), _TEXT_CHARS):
            yield {**part, "text": text[start : start + _TEXT_CHARS]}


def chunks(whole: Json) -> Iterator[bytes]:
    """The stream of an answer as events, in the pieces it is sent in."""
    frames = (b"data: %b\r\n\r\n" % msgspec.json.encode(e) for e in events(whole))
    yield from _bundled(frames)


def array_chunks(whole: Json) -> Iterator[bytes]:
    """The same as one array."""
    frames = (
        (b",\r\n" if number else b"[") + msgspec.json.encode(event)
        for number, event in enumerate(events(whole))
    )
    yield from _bundled(frames)
    yield b"\n]"


def _bundled(frames: Iterator[bytes]) -> Iterator[bytes]:
    pending: list[bytes] = []
    for frame in frames:
        pending.append(frame)
        if len(pending) == _EVENTS_PER_PIECE:
            yield b"".join(pending)
            pending.clear()
    if pending:
        yield b"".join(pending)


def read_stream(data: bytes) -> tuple[list[Json], str]:
    """The content of a whole event stream, and what is wrong with it."""
    found: list[Json] = []
    for frame in data.replace(b"\r\n", b"\n").split(b"\n\n"):
        if not frame:
            continue
        if not frame.startswith(b"data:") or b"\n" in frame:
            return [], f"a line that is no data: {frame[:80]!r}"
        try:
            found.append(msgspec.json.decode(frame.removeprefix(b"data:")))
        except msgspec.DecodeError as problem:
            return [], f"incomplete JSON segment: {problem}"
    return _read(found)


def read_whole(data: bytes) -> tuple[list[Json], str]:
    """The content of a JSON answer, streamed as an array or whole."""
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError as problem:
        return [], f"unreadable answer: {problem}"
    return _read(found if isinstance(found, list) else [found])


def _read(found: list[Any]) -> tuple[list[Json], str]:
    parts: list[Json] = []
    reason = usage = None
    for event in found:
        try:
            if "error" in event:
                return [], f"error event: {event['error']}"
            candidate = event["candidates"][0]
            parts += candidate["content"]["parts"]
            reason = candidate.get("finishReason") or reason
            usage = event["usageMetadata"]["promptTokenCount"]
        except (KeyError, IndexError, TypeError) as problem:
            return [], f"unreadable answer: {problem!r}"
    blocks = blocks_of(parts)
    if reason is None:
        return blocks, "the answer ended without a finishReason"
    return blocks, "" if usage is not None else "the answer has no usage"
