"""Answers in several rounds, damaged, into the splicers of all APIs.

However an answer is cut into chunks, the client gets the same bytes of it.
"""

import json
import random
from collections.abc import Callable
from typing import NamedTuple

from headroom.core.wire.event_stream import Header, encode
from headroom.core.wire.sse import SseFramer
from headroom.errors import HeadroomError
from headroom.providers import PROVIDERS
from headroom.providers.bedrock.frames import chunk_of

_REQUEST = json.dumps(
    {
        "anthropic_version": "x",
        "messages": [{"role": "user", "content": [{"text": "x"}]}],
        "input": "x",
        "contents": [{"role": "user", "parts": [{"text": "x"}]}],
        "store": False,
    }
).encode()


class Spliced(NamedTuple):
    """One form of answers that are joined, with a sample of two rounds."""

    api: str
    is_stream: bool
    rounds: tuple[bytes, bytes]


def _sse(*events: object, names: bool = True) -> bytes:
    pieces = []
    for event in events:
        kind = event.get("type") if isinstance(event, dict) else None
        lead = f"event: {kind}\n" if names and kind else ""
        pieces.append(f"{lead}data: {json.dumps(event)}\n\n".encode())
    return b"".join(pieces)


def _messages_rounds() -> tuple[bytes, bytes]:
    use = {"type": "tool_use", "id": "t", "name": "headroom_retrieve"}
    asked = {"type": "input_json_delta", "partial_json": '{"hash": "a"}'}
    said = {"type": "text_delta", "text": "é"}

    def stream(block: object, delta: object, reason: str) -> bytes:
        ended = {"type": "message_delta", "delta": {"stop_reason": reason}}
        return _sse(
            {"type": "message_start", "message": {"id": "m", "usage": {}}},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {**ended, "usage": {"output_tokens": 3}},
            {"type": "message_stop"},
        )

    text = {"type": "text", "text": ""}
    return stream({**use, "input": {}}, asked, "tool_use"), stream(
        text, said, "end_turn"
    )


def _chat_rounds() -> tuple[bytes, bytes]:
    function = {"name": "headroom_retrieve", "arguments": '{"hash":"a"}'}
    call = {"index": 0, "id": "t", "type": "function", "function": function}

    def stream(delta: object, reason: str) -> bytes:
        chunk = {"id": "c", "choices": [{"index": 0, "delta": delta}]}
        ended = [{"index": 0, "delta": {}, "finish_reason": reason}]
        events = _sse(chunk, {"id": "c", "choices": ended}, names=False)
        return events + b"data: [DONE]\n\n"

    return stream({"tool_calls": [call]}, "tool_calls"), stream(
        {"content": "é"}, "stop"
    )


def _responses_rounds() -> tuple[bytes, bytes]:
    call = {"type": "function_call", "id": "f", "call_id": "t"}
    call |= {"name": "headroom_retrieve", "arguments": '{"hash":"a"}'}
    part = {"type": "output_text", "text": "é"}
    said = {"type": "message", "id": "m", "role": "assistant", "content": [part]}

    def stream(item: object) -> bytes:
        whole = {"id": "r", "status": "completed", "output": [item], "usage": {}}
        place = {"output_index": 0, "item": item}
        return _sse(
            {"type": "response.created", "response": {"id": "r"}},
            {"type": "response.output_item.added", **place},
            {"type": "response.output_item.done", **place},
            {"type": "response.completed", "response": whole},
        )

    return stream(call), stream(said)


def _gemini_rounds(*, array: bool) -> tuple[bytes, bytes]:
    call = {"functionCall": {"name": "headroom_retrieve", "args": {"hash": "a"}}}

    def stream(part: object) -> bytes:
        content = {"content": {"role": "model", "parts": [part]}}
        whole = {"candidates": [content], "responseId": "r"}
        ended = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {}}
        if array:
            return f"[{json.dumps(whole)},\r\n{json.dumps(ended)}\n]".encode()
        return _sse(whole, ended, names=False)

    return stream(call), stream({"text": "é"})


def _converse_rounds() -> tuple[bytes, bytes]:
    use = {"toolUse": {"toolUseId": "t", "name": "headroom_retrieve"}}

    def frames(start: object, delta: object, reason: str) -> bytes:
        place = {"contentBlockIndex": 0}
        events: list[tuple[str, object]] = [
            ("messageStart", {"role": "assistant"}),
            ("contentBlockStart", {**place, "start": start}),
            ("contentBlockDelta", {**place, "delta": delta}),
            ("contentBlockStop", place),
            ("messageStop", {"stopReason": reason}),
            ("metadata", {"usage": {"outputTokens": 3, "totalTokens": 4}}),
        ]
        return b"".join(
            encode([Header(":event-type", name)], json.dumps(payload).encode())
            for name, payload in events
        )

    asked = {"toolUse": {"input": '{"hash": "a"}'}}
    return frames(use, asked, "tool_use"), frames({}, {"text": "é"}, "end_turn")


def forms() -> list[Spliced]:
    messages = _messages_rounds()
    first, second = (
        b"".join(chunk_of(event) for event in SseFramer().feed(stream))
        for stream in messages
    )
    return [
        Spliced("anthropic", is_stream=True, rounds=messages),
        Spliced("openai_chat", is_stream=True, rounds=_chat_rounds()),
        Spliced("openai_responses", is_stream=True, rounds=_responses_rounds()),
        Spliced("gemini", is_stream=True, rounds=_gemini_rounds(array=False)),
        Spliced("gemini", is_stream=False, rounds=_gemini_rounds(array=True)),
        Spliced("bedrock", is_stream=True, rounds=(first, second)),
        Spliced("bedrock_converse", is_stream=True, rounds=_converse_rounds()),
    ]


def _joined(form: Spliced, rounds: list[list[bytes]]) -> bytes:
    """What the client gets of an answer's rounds."""
    own = frozenset({"headroom_retrieve"})
    splicer = PROVIDERS[form.api].splicer(is_stream=form.is_stream, own=own)
    out = []
    for number, chunks in enumerate(rounds):
        if number:
            if not splicer.is_waiting:
                break
            splicer.answer(["the original"] * len(splicer.calls))
            if not splicer.is_continuing:
                break
            try:
                splicer.next_body(_REQUEST)
            except HeadroomError:
                out.append(splicer.fail(b'{"error":{"message":"no"}}'))
                break
        out += [splicer.feed(chunk) for chunk in chunks]
        out.append(splicer.end())
    if splicer.is_waiting:
        splicer.answer(["the original"] * len(splicer.calls))
    return b"".join([*out, splicer.finish()])


def problem(
    rng: random.Random,
    form: Spliced,
    rounds: list[bytes],
    cut: Callable[[random.Random, bytes], list[bytes]],
) -> str:
    """What is wrong with joining these rounds; empty: nothing."""
    if rng.random() < 0.3:
        rounds[0] = form.rounds[0]
    if _joined(form, [cut(rng, stream) for stream in rounds]) != _joined(
        form, [[stream] for stream in rounds]
    ):
        return f"{form.api}: what is joined depends on chunks: {rounds!r}"
    return ""
