"""Does any byte sequence make a framer, a reader or a splicer raise or differ?

    python -m benchmarks.fuzz_stream [COUNT] [SEED]

Feeds COUNT (100,000) random or damaged sequences, in random chunks, in turn to:

* the readers of answers of all APIs: Messages, Chat Completions, Responses, both forms
  of Gemini, Bedrock's frames of both kinds (with their checksums checked, and not, so
  that damage gets deeper). Each must read without an exception, must read the same in
  one piece, and must give back its own bytes;
* the splicers of all APIs, with a retrieval in the answer and a second round behind it:
  the client must get the same bytes however the answer is cut;
* the readers of requests (``fuzz_bodies``);
* the protocol of WebSockets (``fuzz_sockets``).

A million take about 160 seconds of processor. Anything else is printed with its seed
and ends the run with status 1; so does a sequence that takes longer than ten seconds.
The most memory that was used is told.
"""

import json
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from benchmarks import fuzz_bodies, fuzz_splicers
from benchmarks.fuzz_sockets import FuzzedSockets
from headroom.core.wire.event_stream import Frame, FrameReader, Header, encode
from headroom.core.wire.json_array import ArrayFramer
from headroom.core.wire.sse import SseEvent, SseFramer
from headroom.errors import EventStreamError
from headroom.providers.anthropic import stream as anthropic
from headroom.providers.bedrock import converse_answer
from headroom.providers.bedrock.converse_blocks import BlockReader, read_answer
from headroom.providers.bedrock.frames import EventsFromFrames, chunk_of
from headroom.providers.gemini import stream as gemini
from headroom.providers.openai_chat import stream as openai_chat
from headroom.providers.openai_responses import stream as openai_responses

WORDS = [
    b"data: ", b"event: ", b"\n", b"\r", b"\r\n", b"\n\n", b":", b"[DONE]", b"\xff",
    b"message_start", b"content_block_delta", b'{"type":"error"}', b"\xe2\x80\xa8",
    b'{"type":"content_block_start","index":0,"content_block":{"type":"text"}}',
    b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}',
    b'{"type":"message_delta","usage":{"output_tokens":3}}',
    b"\xef\xbb\xbf", b"\\ud83c", b"[", b"]", b",\r\n", b'"',
    b'{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}',
    b'{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3}}',
    b'{"choices":[{"index":0,"delta":{"content":"a"}}]}',
    b'{"type":"response.output_text.delta","output_index":0,"delta":"a"}',
    b'{"type":"response.completed","response":{"output":[{"type":"message"}]}}',
]  # fmt: skip


class Form(NamedTuple):
    """One form of answers: what cuts and reads it (Any: each API has its own types)."""

    framer: Callable[[], Any]
    reader: Callable[[], Any]
    read: Callable[[bytes], Any]
    sample: bytes


def _sample() -> bytes:
    def event(kind: str, **members: object) -> bytes:
        data = json.dumps({"type": kind, **members})
        return f"event: {kind}\ndata: {data}\n\n".encode()

    usage = {"input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 1}
    delta = {"type": "input_json_delta", "partial_json": '{"a": "é"}'}
    return b"".join(
        (
            event("message_start", message={"id": "m", "usage": usage}),
            event("content_block_start", index=0, content_block={"type": "tool_use"}),
            event("content_block_delta", index=0, delta=delta),
            event("content_block_stop", index=0),
            event("message_delta", delta={"stop_reason": "tool_use"}),
            event("message_stop"),
        )
    )


def _gemini_sample(lead: bytes, between: bytes, end: bytes) -> bytes:
    call = {"name": "f", "args": {"a": "é"}}
    parts = [{"text": "[{"}, {"functionCall": call, "thoughtSignature": "c2ln"}]
    events = [{"candidates": [{"content": {"parts": [part]}}]} for part in parts]
    usage = {"promptTokenCount": 9, "cachedContentTokenCount": 3}
    last = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": usage}
    raws = [json.dumps(event).encode() for event in (*events, last)]
    return lead + between.join(raws) + end


def _responses_sample() -> bytes:
    place = {"output_index": 0, "item_id": "m"}
    part = {"type": "output_text", "text": "é"}
    said = {"type": "message", "id": "m", "content": [part]}
    call = {"type": "function_call", "id": "f", "call_id": "c", "arguments": "{"}
    usage = {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 3}}
    ended = {"id": "r", "status": "completed", "output": [said, call], "usage": usage}
    events: list[tuple[str, dict[str, object]]] = [
        ("created", {"response": {"id": "r"}}),
        ("output_item.added", {"output_index": 0, "item": {**said, "content": []}}),
        ("output_text.delta", {**place, "content_index": 0, "delta": "é"}),
        ("output_item.done", {"output_index": 0, "item": said}),
        ("output_item.added", {"output_index": 1, "item": call}),
        ("function_call_arguments.delta", {"item_id": "f", "delta": "{"}),
        ("completed", {"response": ended}),
    ]
    return b"".join(
        f"event: response.{kind}\ndata: "
        f"{json.dumps({'type': f'response.{kind}', **members})}\n\n".encode()
        for kind, members in events
    )


def _forms() -> list[Form]:
    chat = {"choices": [{"index": 0, "delta": {"content": "é"}}]}
    lines = f"data: {json.dumps(chat)}\n\ndata: [DONE]\n\n".encode()
    sse = _gemini_sample(b"data: ", b"\r\n\r\ndata: ", b"\r\n\r\n")
    array = _gemini_sample(b"[", b",\r\n", b"\n]")
    return [
        Form(
            SseFramer,
            openai_responses.StreamReader,
            openai_responses.read_message,
            _responses_sample(),
        ),
        Form(
            SseFramer,
            partial(openai_responses.StreamReader, 60, cuts_long=True),
            openai_responses.read_message,
            _responses_sample(),
        ),
        Form(SseFramer, anthropic.StreamReader, anthropic.read_message, _sample()),
        Form(SseFramer, openai_chat.StreamReader, openai_chat.read_message, lines),
        Form(SseFramer, gemini.StreamReader, gemini.read_message, sse),
        Form(
            ArrayFramer,
            lambda: gemini.StreamReader(framer=ArrayFramer()),
            gemini.read_message,
            array,
        ),
        *_frame_forms(),
    ]


class _Frames:
    """The frames of a stream; what follows damage is pending."""

    def __init__(self, *, checks_crc: bool) -> None:
        self._frames = FrameReader(checks_crc=checks_crc)
        self._rest = b""
        self._has_failed = False

    def feed(self, chunk: bytes) -> list[Frame]:
        if self._has_failed:
            self._rest += chunk
            return []
        found: list[Frame] = []
        try:
            found += self._frames.feed(chunk)
            self._frames.feed(b"")
        except EventStreamError:
            self._has_failed = True
        return found

    def finish(self) -> list[Frame]:
        return []

    @property
    def pending(self) -> bytes:
        return self._frames.pending + self._rest


class _Framed:
    """A reader of events that are carried in frames."""

    def __init__(self, reader: Any, *, checks_crc: bool) -> None:
        self._events = EventsFromFrames(checks_crc=checks_crc)
        self._reader = reader

    def feed(self, chunk: bytes) -> None:
        for event in self._events.events(chunk):
            self._reader.take(event)

    def close(self) -> Any:
        return self._reader.close()


def _frame_forms() -> list[Form]:
    chunks = b"".join(chunk_of(event) for event in SseFramer().feed(_sample()))
    usage = {"usage": {"inputTokens": 3, "outputTokens": 4}}
    converse = b"".join(
        encode([Header(":event-type", name)], json.dumps(payload).encode())
        for name, payload in [
            ("contentBlockDelta", {"delta": {"text": "é"}}),
            ("messageStop", {"stopReason": "end_turn"}),
            ("metadata", usage),
        ]
    )
    readers: list[tuple[Any, Any, bytes]] = [
        (anthropic.StreamReader, anthropic.read_message, chunks),
        (converse_answer.StreamReader, converse_answer.read_message, converse),
        (_Blocks, read_answer, converse),
    ]
    return [
        Form(
            partial(_Frames, checks_crc=checks),
            lambda reader=reader, checks=checks: _Framed(reader(), checks_crc=checks),
            read,
            sample,
        )
        for reader, read, sample in readers
        for checks in (True, False)
    ]


def _stream(rng: random.Random, sample: bytes) -> bytes:
    kind = rng.randrange(3)
    if kind == 0:
        return rng.randbytes(rng.randrange(120))
    if kind == 1:
        return b"".join(rng.choices(WORDS, k=rng.randrange(30)))
    damaged = bytearray(sample)
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(len(damaged))
        damaged[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    return bytes(damaged[: rng.randrange(len(damaged) + 1)])


def _check(rng: random.Random, form: Form, stream: bytes) -> str:
    chunks = cut(rng, stream)
    framer = form.framer()
    events = [e for chunk in chunks for e in framer.feed(chunk)] + framer.finish()
    if b"".join(e.raw for e in events) + framer.pending != stream:
        return "bytes lost"
    reader, at_once = form.reader(), form.reader()
    for chunk in chunks:
        reader.feed(chunk)
    at_once.feed(stream)
    if reader.close() != at_once.close():
        return "chunks matter"
    form.read(stream)
    return ""


class _Blocks:
    """A reader of Converse's events that tells its blocks in the end."""

    def __init__(self) -> None:
        self._reader = BlockReader()

    def take(self, event: SseEvent) -> None:
        self._reader.feed(b"event: %b\ndata: %b\n\n" % (event.name or b"", event.data))

    def close(self) -> Any:
        return self._reader.answer()


_MAX_S = 10


def cut(rng: random.Random, stream: bytes) -> list[bytes]:
    chunks = []
    position = 0
    while position < len(stream):
        size = rng.choice((1, 2, 3, 7, 40, 500))
        chunks.append(stream[position : position + size])
        position += size
    return chunks


class StuckError(Exception):
    """A sequence took too long."""


def _stuck(*_: object) -> None:
    raise StuckError


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    forms, spliced, sockets = _forms(), fuzz_splicers.forms(), FuzzedSockets()
    kinds = len(forms) + len(spliced) + len(fuzz_bodies.SAMPLES) + 2
    signal.signal(signal.SIGALRM, _stuck)
    start, used = time.perf_counter(), time.process_time()
    failures = 0
    for number in range(count):
        rng = random.Random(f"{seed}:{number}")
        kind = number % kinds
        signal.alarm(_MAX_S)
        found, is_over = "", False
        try:
            if kind < len(forms):
                read = forms[kind]
                stream = _stream(rng, read.sample)
                found = _check(rng, read, stream)
                found = f"{found}: {stream!r}" if found else ""
            elif (kind := kind - len(forms)) < len(spliced):
                form = spliced[kind]
                rounds = [_stream(rng, sample) for sample in form.rounds]
                found = fuzz_splicers.problem(rng, form, rounds, cut)
            elif (kind := kind - len(spliced)) < len(fuzz_bodies.SAMPLES):
                found = fuzz_bodies.problem(rng, kind)
            else:
                found = sockets.problem(rng)
            is_over = True
        finally:
            if not is_over:
                print(f"{seed}:{number}: this one raised", flush=True)
        if found:
            failures += 1
            print(f"{seed}:{number}: {found}", flush=True)
    signal.alarm(0)
    if left := sockets.close():
        failures += 1
        print(left)
    seconds, processor = time.perf_counter() - start, time.process_time() - used
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:,} sequences, {failures} failures, {seconds:.0f} s"
        f" ({processor:.0f} s of processor), {most_mb:.0f} MB at most"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
