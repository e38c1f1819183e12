"""Answers of a scripted provider, round by round, and who takes them to their end."""

import json
import random
from typing import ClassVar

from hypothesis import strategies as st

from headroom.cachelab import chat_answer, stream
from headroom.core.hidden import encode_answer
from headroom.providers import PROVIDERS
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


def noisy_log(number, lines=200):
    """Much output, of which little matters."""
    rng = random.Random(number)
    return "".join(
        f"2026-03-0{1 + number % 9}T12:{i // 60 % 60:02d}:{i % 60:02d}Z INFO"
        f" worker-{rng.randrange(8)} took job {rng.randrange(10**6)} in {i % 97} ms\n"
        for i in range(lines)
    )


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


def completion(blocks, *, number=1, output_tokens=10, finish_reason=None):
    """An answer of Chat Completions."""
    usage = {
        "prompt_tokens": 100 * number + 7,
        "completion_tokens": output_tokens,
        "total_tokens": 100 * number + 7 + output_tokens,
        "prompt_tokens_details": {"cached_tokens": 7},
    }
    answer = chat_answer.completion(
        {"model": "gpt-5"}, blocks, usage, request_id=f"req_{number}"
    )
    if finish_reason:
        answer["choices"][0]["finish_reason"] = finish_reason
    return answer


def chat_sse(answer):
    """An answer of Chat Completions as a stream."""
    return b"".join(chat_answer.chunks(answer, has_usage=True))


@st.composite
def cuts(draw):
    """How a stream is cut into chunks."""
    sizes = draw(st.lists(st.integers(1, 400), min_size=1, max_size=8))

    def cut(data):
        chunks, start, turn = [], 0, 0
        while start < len(data):
            end = start + sizes[turn % len(sizes)]
            chunks.append(data[start:end])
            start, turn = end, turn + 1
        return chunks

    return cut


class Drive:
    """One answer taken through all its rounds.

    Attributes:
        api: whose answers they are.
        out: what the client got.
        bodies: the requests, the first one included.
        note: what is to be remembered; ``b""`` if nothing was hidden.
        own: the tools that are answered on the way.
    """

    api: ClassVar = "anthropic"
    own: ClassVar = frozenset({TOOL})

    def __init__(self, rounds, body, *, is_stream=True, cut=lambda data: [data]):
        self.splicer = PROVIDERS[self.api].splicer(is_stream=is_stream, own=self.own)
        self.looked_up = []
        self.bodies = [json.dumps(body).encode() if isinstance(body, dict) else body]
        self.pieces = []
        for number, blocks in enumerate(rounds):
            data = self.data(blocks, number, is_stream=is_stream)
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

    def data(self, blocks, number, *, is_stream):
        """The bytes of one round; ``blocks`` may be a whole answer."""
        answer = blocks if isinstance(blocks, dict) else message(blocks)
        answer = {**answer, "id": f"msg_{number}"}
        return sse(answer) if is_stream else json.dumps(answer).encode()


class ChatDrive(Drive):
    """The same for Chat Completions; ``blocks`` are texts and calls."""

    api = "openai_chat"

    def data(self, blocks, number, *, is_stream):
        if isinstance(blocks, bytes):
            return blocks
        answer = blocks if isinstance(blocks, dict) else completion(blocks)
        answer = {**answer, "id": f"chatcmpl-{number}"}
        return chat_sse(answer) if is_stream else json.dumps(answer).encode()
