"""Does any byte sequence make the framer or the stream reader raise or differ?

    python benchmarks/fuzz_stream.py [COUNT] [SEED]

Feeds COUNT (100,000) random or damaged streams, each in random chunks. Every stream
must read without an exception, must read the same in one piece, and must give back its
own bytes; anything else is printed with its seed and ends the run with status 1.
"""

import json
import random
import sys
import time

from headroom.core.wire.sse import SseFramer
from headroom.providers.anthropic.stream import StreamReader, read_message

WORDS = [
    b"data: ", b"event: ", b"\n", b"\r", b"\r\n", b"\n\n", b":", b"[DONE]", b"\xff",
    b"message_start", b"content_block_delta", b'{"type":"error"}', b"\xe2\x80\xa8",
    b'{"type":"content_block_start","index":0,"content_block":{"type":"text"}}',
    b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}',
    b'{"type":"message_delta","usage":{"output_tokens":3}}',
    b"\xef\xbb\xbf", b"\\ud83c",
]  # fmt: skip


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


def _check(rng: random.Random, stream: bytes) -> str:
    chunks = []
    position = 0
    while position < len(stream):
        size = rng.choice((1, 2, 3, 7, 40, 500))
        chunks.append(stream[position : position + size])
        position += size
    framer = SseFramer()
    events = [e for chunk in chunks for e in framer.feed(chunk)] + framer.finish()
    if b"".join(e.raw for e in events) + framer.pending != stream:
        return "bytes lost"
    reader, at_once = StreamReader(), StreamReader()
    for chunk in chunks:
        reader.feed(chunk)
    at_once.feed(stream)
    if reader.close() != at_once.close():
        return "chunks matter"
    read_message(stream)
    return ""


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    sample = _sample()
    start = time.perf_counter()
    failures = 0
    for number in range(count):
        rng = random.Random(f"{seed}:{number}")
        stream = _stream(rng, sample)
        if found := _check(rng, stream):
            failures += 1
            print(f"{seed}:{number}: {found}: {stream!r}")
    seconds = time.perf_counter() - start
    print(f"{count:,} streams, {failures} failures, {seconds:.1f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
