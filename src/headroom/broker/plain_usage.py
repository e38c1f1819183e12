"""What was billed for answers that are no conversation: embeddings and their like.

Their APIs tell it in a member ``usage`` beside the answer
(https://platform.openai.com/docs/api-reference/embeddings/object).
"""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

from headroom.errors import HeadroomError
from headroom.proxy import encodings, headers
from headroom.proxy.exchange import Exchange
from headroom.proxy.tee import Tee

_MAX_ANSWER_BYTES = 32 * 1024 * 1024


_Count: TypeAlias = Annotated[int, Meta(ge=0, le=10**9)]
"""More is a mistake of the provider's, which would use up every budget for good."""


class _Told(Struct, frozen=True):
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    input_tokens: _Count = 0
    output_tokens: _Count = 0
    total_tokens: _Count = 0


class _Answer(Struct, frozen=True):
    usage: _Told | None = None


class Usage(Struct, frozen=True):
    """By the names that all providers' figures have here."""

    input_tokens: int
    output_tokens: int


class Message(Struct, frozen=True):
    """An answer, as far as it was read."""

    status: str
    usage: Usage | None


class _Reader:
    """Collects an answer and reads its figures at the end."""

    status = "open"

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        self._pieces.append(chunk)

    def close(self) -> Message:
        try:
            told = msgspec.json.decode(b"".join(self._pieces), type=_Answer).usage
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Message("unread", None)
        if told is None:
            return Message("done", None)
        output = told.completion_tokens or told.output_tokens
        given = told.prompt_tokens or told.input_tokens or told.total_tokens - output
        return Message("done", Usage(max(0, given), output))


def make_usage_tee(exchange: Exchange) -> Tee | None:
    """A reader for the answer whose head is in ``exchange``, if it is JSON."""
    if not headers.is_json(exchange.response_headers):
        return None
    applied = headers.find(exchange.response_headers, b"content-encoding")
    try:
        decoder = encodings.ResponseDecoder(encodings.names(applied), _MAX_ANSWER_BYTES)
    except HeadroomError:
        return None
    return Tee(_Reader(), decoder)
