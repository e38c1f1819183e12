"""Answers of a scripted provider, round by round, and who takes them to their end."""

import json

from headroom.cachelab import stream
from headroom.core.hidden import encode_answer
from headroom.providers.anthropic.request import AnthropicMessages

PROVIDER = AnthropicMessages()
TOOL = "headroom_retrieve"


def text(words):
    return {"type": "text", "text": words}


def thinking(words):
    return {"type": "thinking", "thinking": words, "signature": f"sig/{words}=="}


def call(number, name="Bash", **arguments):
    return {
        "type": "tool_use",
        "id": f"toolu_{number}",
        "name": name,
        "input": arguments,
    }


def retrieval(number, digest="a" * 24):
    return call(number, TOOL, hash=digest)


def message(blocks, *, stop_reason=None, output_tokens=10, number=1):
    """An answer as the provider makes it."""
    is_call = any(block["type"] == "tool_use" for block in blocks)
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": blocks,
        "stop_reason": stop_reason or ("tool_use" if is_call else "end_turn"),
        "stop_sequence": None,
        "usage": {
            "input_tokens": 100 * number,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 7,
            "output_tokens": output_tokens,
        },
    }


def sse(answer):
    """An answer as a stream."""
    return b"".join(stream.chunks(answer))


def events(data):
    """The events of a stream as values."""
    frames = [frame for frame in data.split(b"\n\n") if frame]
    return [json.loads(frame.partition(b"data: ")[2]) for frame in frames]


class Drive:
    """One answer taken through all its rounds.

    Attributes:
        out: what the client got.
        bodies: the requests, the first one included.
        note: what is to be remembered; ``b""`` if nothing was hidden.
    """

    def __init__(self, rounds, body, *, is_stream=True, cut=lambda data: [data]):
        self.splicer = PROVIDER.splicer(is_stream=is_stream)
        self.looked_up = []
        self.bodies = [json.dumps(body).encode() if isinstance(body, dict) else body]
        self.pieces = []
        for number, blocks in enumerate(rounds):
            answer = blocks if isinstance(blocks, dict) else message(blocks)
            answer = {**answer, "id": f"msg_{number}"}
            data = sse(answer) if is_stream else json.dumps(answer).encode()
            for chunk in cut(data):
                self.pieces.append(self.splicer.feed(chunk))
            self.pieces.append(self.splicer.end())
            if not self.splicer.is_waiting:
                break
            calls = self.splicer.calls
            self.looked_up += calls
            self.splicer.answer([f'answer to {c.id}\n\u2028"é"' for c in calls])
            if not self.splicer.is_continuing:
                break
            self.bodies.append(self.splicer.next_body(self.bodies[-1]))
        hidden = self.splicer.hidden
        self.note = b"" if hidden is None else encode_answer(hidden)
        self.pieces.append(self.splicer.finish())
        self.out = b"".join(self.pieces)
