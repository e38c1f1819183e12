"""Reads a response along while it passes: how it ended and what the provider billed.

Stands beside the bytes, never between them: a chunk is handed over after it was sent to
the client, or before where the next request may go on from this answer. What cannot be
read (an unknown encoding, a damaged stream, too long an answer) ends the reading, never
the response.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec
from msgspec import Struct

from headroom.core.threads import Reply
from headroom.core.wire.event_stream import CONTENT_TYPE as FRAMES
from headroom.core.wire.event_stream import MAX_FRAME_BYTES
from headroom.core.wire.sse import SseEvent
from headroom.errors import HeadroomError
from headroom.providers.anthropic import stream as anthropic
from headroom.providers.bedrock import converse_answer
from headroom.providers.bedrock.frames import EventsFromFrames
from headroom.providers.gemini import stream as gemini
from headroom.providers.openai_chat import stream as openai_chat
from headroom.providers.openai_responses import stream as openai_responses
from headroom.proxy import encodings, headers
from headroom.proxy.exchange import Exchange

# A JSON answer is kept whole until its end; 32 MiB is far above the longest.
_MAX_ANSWER_BYTES = 32 * 1024 * 1024
_MAX_STREAM_BYTES = 1024 * 1024 * 1024
_MAX_WORD_CHARS = 80
"""Of words that only some APIs tell, which stand in records."""


class _Message(Protocol):
    @property
    def status(self) -> str: ...

    @property
    def usage(self) -> Struct | None: ...


class _Reader(Protocol):
    @property
    def status(self) -> str: ...

    def feed(self, chunk: bytes) -> object: ...

    def close(self) -> _Message: ...


class _Readers(Struct, frozen=True):
    """What reads the two shapes of one API's answers."""

    stream: Callable[[int], _Reader]
    whole: Callable[[bytes], _Message]


_READERS = {
    "anthropic": _Readers(anthropic.StreamReader, anthropic.read_message),
    "openai_chat": _Readers(openai_chat.StreamReader, openai_chat.read_message),
    "openai_responses": _Readers(
        partial(openai_responses.StreamReader, cuts_long=True),
        openai_responses.read_message,
    ),
    "gemini": _Readers(gemini.StreamReader, gemini.read_message),
    "bedrock": _Readers(anthropic.StreamReader, anthropic.read_message),
    "bedrock_converse": _Readers(
        converse_answer.StreamReader, converse_answer.read_message
    ),
    "vertex": _Readers(anthropic.StreamReader, anthropic.read_message),
}


class _JsonReader:
    """Collects a JSON answer and reads it at the end."""

    status = "open"  # its end is not in its bytes

    def __init__(self, read: Callable[[bytes], _Message]) -> None:
        self._read = read
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        self._pieces.append(chunk)

    def close(self) -> _Message:
        return self._read(b"".join(self._pieces))


class _EventReader(_Reader, Protocol):
    """One that takes events which something else has framed."""

    def take(self, event: SseEvent) -> None: ...


class _FrameReader:
    """Reads the events that frames carry."""

    def __init__(self, reader: _EventReader, events: EventsFromFrames) -> None:
        self._reader = reader
        self._events = events

    @property
    def status(self) -> str:
        return self._reader.status

    def feed(self, chunk: bytes) -> None:
        for event in self._events.events(chunk):
            self._reader.take(event)

    def close(self) -> _Message:
        return self._reader.close()


_FRAMED: dict[str, Callable[[int], _EventReader]] = {
    "bedrock": anthropic.StreamReader,
    "bedrock_converse": converse_answer.StreamReader,
}
"""What reads the events of frames, by provider."""


class Tee:
    """The reading of one response.

    Attributes:
        reads_first: each chunk is handed over before it is sent.
    """

    def __init__(
        self,
        reader: _Reader,
        decoder: encodings.ResponseDecoder,
        on_reply: Callable[[Reply], None] | None = None,
        frames: EventsFromFrames | None = None,
    ) -> None:
        self._frames = frames
        self._reader: _Reader | None = reader
        self._decoder = decoder
        self._on_reply = on_reply
        self._message: _Message | None = None
        self.reads_first = on_reply is not None
        self.error = ""

    def feed(self, chunk: bytes) -> None:
        """Take bytes that were sent to the client, or are to be sent next."""
        if self._reader is None:
            return
        try:
            for piece in self._decoder.feed(chunk):
                self._reader.feed(piece)
        except HeadroomError as error:
            self.error = error.code
            self._reader = None
            return
        if self._on_reply is not None and self._reader.status != "open":
            self.finish()

    def finish(self) -> None:
        """Take the end of the response, before the client does if ``reads_first``."""
        if self._reader is None or self._message is not None:
            return
        self._message = message = self._reader.close()
        if self._on_reply is None or not isinstance(message, openai_responses.Message):
            return
        if (reply := openai_responses.reply_of(message)) is not None:
            self._on_reply(reply)

    def close(self, exchange: Exchange) -> None:
        """Write down in the exchange what was read."""
        self.finish()
        if self._frames is not None:
            exchange.frames = self._frames.count
            if self._frames.error is not None:
                exchange.fields["event_stream_error"] = self._frames.error.problem
        message = self._message
        if message is None:
            exchange.answer_status = "unread"
            return
        exchange.answer_status = message.status
        for name in ("service_tier", "incomplete_reason"):
            if found := getattr(message, name, ""):
                exchange.fields[name] = _word(found)
        if _is_refusal(message):
            exchange.fields["is_refusal"] = True
        if found := getattr(message, "unknown", ()):
            exchange.fields["unknown_events"] = {
                _word(name): count for name, count in found
            }
        if message.usage is not None:
            exchange.usage = {
                name: count
                for name, count in msgspec.structs.asdict(message.usage).items()
                if count
            }


def _word(text: str) -> str:
    """A provider's word as it can be logged: half a surrogate pair can be nowhere."""
    return text[:_MAX_WORD_CHARS].encode("utf-8", "backslashreplace").decode()


def _is_refusal(message: _Message) -> bool:
    """Whether the model declined to answer, as its API says so."""
    parts = [*getattr(message, "choices", ()), *getattr(message, "items", ())]
    is_said = any(getattr(part, "refusal", "") for part in parts)
    return is_said or getattr(message, "stop_reason", "") == "refusal"


class MessageTee:
    """The reading of an answer whose events come as messages of their own."""

    def __init__(self, on_reply: Callable[[Reply], None] | None) -> None:
        self._reader = openai_responses.StreamReader()
        plain = encodings.ResponseDecoder((), _MAX_STREAM_BYTES)
        self._tee = Tee(self._reader, plain, on_reply)

    def take(self, event: bytes) -> None:
        """Take one event, before it is sent."""
        self._reader.take(event)
        self._tee.feed(b"")

    def close(self, exchange: Exchange) -> None:
        """Write down in the exchange what was read."""
        self._tee.close(exchange)


def make_tee(
    exchange: Exchange, max_event_bytes: int, *, checks_crc: bool = True
) -> Tee | None:
    """A reader for the response whose head is in ``exchange``, if there is one."""
    readers = _READERS.get(exchange.route.provider)
    if readers is None:
        return None
    kind = headers.find(exchange.response_headers, b"content-type") or b""
    kind = kind.partition(b";")[0].strip().lower()
    reader: _Reader
    if kind == b"text/event-stream" and not exchange.reads_streams:
        return None
    frames = None
    if kind == b"text/event-stream":
        reader, limit = readers.stream(max_event_bytes), _MAX_STREAM_BYTES
    elif kind == FRAMES and (framed := _FRAMED.get(exchange.route.provider)):
        frames = EventsFromFrames(checks_crc=checks_crc)
        reader = _FrameReader(framed(MAX_FRAME_BYTES), frames)
        limit = _MAX_STREAM_BYTES
    elif kind == b"application/json":
        reader, limit = _JsonReader(readers.whole), _MAX_ANSWER_BYTES
    else:
        return None
    applied = headers.find(exchange.response_headers, b"content-encoding")
    try:
        decoder = encodings.ResponseDecoder(encodings.names(applied), limit)
    except HeadroomError:
        return None
    return Tee(reader, decoder, exchange.on_reply, frames)
