"""Responses answers: made for the server's side, read for the client's.

Shapes: https://platform.openai.com/docs/api-reference/responses/object and
https://platform.openai.com/docs/api-reference/responses-streaming. Deltas have the size
of a few tokens, and several travel in one piece, as in ``stream``. The client's side
checks what clients rely on: events numbered without a gap, each item begun once and
done once in its place, one beginning, one end, and an end that holds what was sent.
Pure.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec

from headroom.cachelab.cache import Usage
from headroom.cachelab.prefix import Json
from headroom.cachelab.responses import blocks_of, items_of
from headroom.providers.models import CacheRules

_DELTA_CHARS = 24
_EVENTS_PER_PIECE = 6
_CREATED = 1_780_000_000  # a fixed time: the same request has the same answer
_STREAMED = {"function_call": ("function_call_arguments", "arguments")}
_STREAMED["custom_tool_call"] = ("custom_tool_call_input", "input")


def response(request: Json, blocks: list[Json], usage: Json, *, answer_id: str) -> Json:
    """The whole answer to a request."""
    names = ("instructions", "previous_response_id", "tools", "tool_choice", "metadata")
    echoed = {name: request[name] for name in names if name in request}
    return {
        "id": answer_id,
        "object": "response",
        "created_at": _CREATED,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": request["model"],
        "output": items_of(blocks, answer_id),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "previous_response_id": None,
        "store": request.get("store", True),
        "service_tier": "default",
        "text": request.get("text") or {"format": {"type": "text"}},
        **echoed,
        "usage": usage,
    }


def usage_of(usage: Usage, output: int, rules: CacheRules) -> Json:
    """The figures as the API tells them: cached tokens are part of the input's."""
    details = {"cached_tokens": usage.read}
    details["cache_write_tokens"] = usage.write_5m if rules.write > 1 else 0
    return {
        "input_tokens": usage.total,
        "input_tokens_details": details,
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total + output,
    }


def events(answer: Json) -> Iterator[Json]:
    """The events of a whole answer, in order."""
    numbers = itertools.count()

    def event(kind: str, **members: Any) -> Json:
        number = next(numbers)
        return {"type": f"response.{kind}", "sequence_number": number, **members}

    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    yield event("created", response=begun)
    yield event("in_progress", response=begun)
    for index, item in enumerate(answer["output"]):
        for kind, members in _item_events(item):
            where = {"output_index": index}
            if not kind.startswith("output_item"):
                where["item_id"] = item["id"]
            yield event(kind, **where, **members)
    yield event("completed", response=answer)


def _item_events(item: Json) -> Iterator[tuple[str, Json]]:
    begun: Json = {**item, "status": "in_progress"}
    if item["type"] == "message":
        part = item["content"][0]
        where = {"content_index": 0}
        yield "output_item.added", {"item": {**begun, "content": []}}
        yield "content_part.added", {**where, "part": {**part, "text": ""}}
        for piece in _pieces(part["text"]):
            yield "output_text.delta", {**where, "delta": piece, "logprobs": []}
        yield "output_text.done", {**where, "text": part["text"], "logprobs": []}
        yield "content_part.done", {**where, "part": part}
    elif item["type"] == "reasoning":
        summary = item["summary"][0]
        where = {"summary_index": 0}
        yield "output_item.added", {"item": {**item, "summary": []}}
        yield "reasoning_summary_part.added", {**where, "part": {**summary, "text": ""}}
        for piece in _pieces(summary["text"]):
            yield "reasoning_summary_text.delta", {**where, "delta": piece}
        yield "reasoning_summary_text.done", {**where, "text": summary["text"]}
        yield "reasoning_summary_part.done", {**where, "part": summary}
    elif item["type"] in _STREAMED:
        family, member = _STREAMED[item["type"]]
        yield "output_item.added", {"item": {**begun, member: ""}}
        for piece in _pieces(item[member]):
            yield f"{family}.delta", {"delta": piece}
        yield f"{family}.done", {member: item[member]}
    else:
        yield "output_item.added", {"item": begun}
    yield "output_item.done", {"item": item}


def chunks(answer: Json) -> Iterator[bytes]:
    """The stream of a whole answer, in the pieces it is sent in."""
    pending: list[bytes] = []
    for event in events(answer):
        name = event["type"].encode()
        data = msgspec.json.encode(event)
        pending.append(b"event: %b\ndata: %b\n\n" % (name, data))
        if len(pending) == _EVENTS_PER_PIECE:
            yield b"".join(pending)
            pending.clear()
    yield b"".join(pending)


def lines(answer: Json) -> Iterator[bytes]:
    """The events of a whole answer as messages of a WebSocket, one per line."""
    for event in events(answer):
        yield msgspec.json.encode(event) + b"\n"


def _pieces(text: str) -> list[str]:
    return [text[at : at + _DELTA_CHARS] for at in range(0, len(text), _DELTA_CHARS)]


def read_stream(data: bytes) -> tuple[list[Json], str]:
    """The content of a whole event stream, and what is wrong with it."""
    reading = _Reading()
    for frame in data.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line[5:] for line in frame.split(b"\n") if line.startswith(b"data:")]
        if lines:
            reading.take(msgspec.json.decode(b"\n".join(lines)))
    return blocks_of(reading.output()), reading.problem()


def read_lines(data: bytes) -> tuple[list[Json], str]:
    """The content of a WebSocket's events, one per line, and what is wrong with it."""
    reading = _Reading()
    for line in data.splitlines():
        reading.take(msgspec.json.decode(line))
    return blocks_of(reading.output()), reading.problem()


class _Reading:
    """What a careful client makes of a stream."""

    def __init__(self) -> None:
        self._items: dict[int, Json] = {}
        self._grown: dict[int, str] = {}
        self._done: set[int] = set()
        self._began = 0
        self._last: Json | None = None
        self._next = 0
        self._problem = ""

    def take(self, event: Json) -> None:
        kind = str(event["type"]).removeprefix("response.")
        if kind == "keepalive":
            return
        if kind == "error":
            self._note(f"error event: {event.get('error') or event.get('message')}")
            return
        if event["sequence_number"] != self._next:
            self._note(f"event {self._next} has number {event['sequence_number']}")
        if self._last is not None:
            self._note(f"{kind} stands behind the end")
        self._next += 1
        self._began += kind == "created"
        if kind in {"completed", "incomplete", "failed"}:
            self._last = event["response"]
        elif kind == "output_item.added":
            if event["output_index"] != len(self._items):
                self._note(f"item {event['output_index']} begins out of order")
            self._items[event["output_index"]] = event["item"]
        elif "output_index" in event:
            self._take_part(kind, event)

    def _take_part(self, kind: str, event: Json) -> None:
        index = event["output_index"]
        item = self._items.get(index)
        if item is None or index in self._done:
            self._note(f"{kind} is about no open item")
            return
        if kind == "output_item.done":
            self._done.add(index)
            if event["item"]["id"] != item["id"]:
                self._note(f"item {index} has changed its id")
            whole = str(event["item"].get("arguments") or _said(event["item"]))
            if (grown := self._grown.get(index)) is not None and grown != whole:
                self._note(f"item {index} is not what its deltas told")
            self._items[index] = event["item"]
        elif kind in {"output_text.delta", "function_call_arguments.delta"}:
            if event["item_id"] != item["id"]:
                self._note(f"{kind} is about another item")
            self._grown[index] = self._grown.get(index, "") + event["delta"]

    def output(self) -> list[Json]:
        return [item for _, item in sorted(self._items.items())]

    def problem(self) -> str:
        if self._problem:
            return self._problem
        if self._last is None:
            return "the stream ended before the response did"
        if self._began != 1:
            return f"the response began {self._began} times"
        if self._last["output"] != self.output() or len(self._done) < len(self._items):
            return "the end does not hold what was sent"
        return "" if self._last.get("usage") else "the stream has no usage"

    def _note(self, words: str) -> None:
        self._problem = self._problem or words


def _said(item: Json) -> str:
    return "".join(str(p.get("text", "")) for p in item.get("content") or ())


def read_whole(data: bytes) -> tuple[list[Json], str]:
    """The content of a JSON answer, and what is wrong with it."""
    try:
        answer: Any = msgspec.json.decode(data)
        blocks = blocks_of(answer["output"])
        has_usage = "input_tokens" in answer["usage"]
    except (msgspec.DecodeError, KeyError, IndexError, TypeError) as problem:
        return [], f"unreadable answer: {problem}"
    return blocks, "" if has_usage else "the answer has no usage"
