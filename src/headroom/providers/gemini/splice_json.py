"""JSON answers joined into one: the rounds of an answer as one client message.

The client gets the last round's object with the parts of all rounds in it, hidden calls
left out, the output tokens of all rounds, and the first round's id. An answer that
hides nothing is passed on as it came, byte for byte, and so is an error.

``streamGenerateContent`` without ``alt=sse`` answers with a list under the same content
type; its first byte tells, and it is never collected.
"""

from collections.abc import Sequence

from headroom.core.hidden import Answer
from headroom.core.protocols import Splicer
from headroom.core.types import ToolCall
from headroom.core.wire import json_parts
from headroom.errors import StreamError
from headroom.providers.gemini.answer import Message, read_message
from headroom.providers.gemini.replay import continue_body
from headroom.providers.gemini.rounds import GeminiRounds, Lender
from headroom.providers.gemini.splice_stream import (
    ArrayFraming,
    StreamSplicer,
    rewritten,
)
from headroom.providers.rounds import RETRIEVAL_ONLY, Said
from headroom.providers.splicing import JsonSplicing


class JsonSplicer(JsonSplicing):
    """The ``Splicer`` of answers that are one object."""

    def __init__(self, own: frozenset[str] = RETRIEVAL_ONLY) -> None:
        self._all = GeminiRounds(own)
        super().__init__(self._all)
        self._message = Message(status="open")
        self._body = b""
        self._parts: list[bytes] = []
        self._id = b""

    def _read(self, body: bytes) -> Said:
        self._message = read_message(body)
        return self._all.said(self._message)

    def _keep(self, body: bytes) -> None:
        self._body = body
        if self._rounds.number == 0:
            self._id = json_parts.encode_string(self._message.id)
        visible = Lender(self._rounds.own).visible(self._message.parts)
        self._parts += [part.raw for part in visible]

    def _continued(self, body: bytes) -> bytes:
        return continue_body(body, self._message.parts, self._rounds.results)

    def _joined(self) -> bytes:
        try:
            return rewritten(
                self._body, parts=self._parts, total=self._all.total, id_=self._id
            )
        except StreamError:
            return self._body


class AnswerSplicer:
    """The ``Splicer`` of what comes as JSON: an object, or a streamed list."""

    def __init__(self, own: frozenset[str] = RETRIEVAL_ONLY) -> None:
        self._own = own
        self._blanks = b""
        self._chosen: Splicer | None = None

    @property
    def _splicer(self) -> Splicer:
        if self._chosen is None:
            self._chosen = JsonSplicer(self._own)
        return self._chosen

    @property
    def is_waiting(self) -> bool:
        """The round has ended with calls that want answers."""
        return self._splicer.is_waiting

    @property
    def is_continuing(self) -> bool:
        """The model is to go on."""
        return self._splicer.is_continuing

    @property
    def is_broken(self) -> bool:
        """The client was told of an error, or the answer is incomplete."""
        return self._splicer.is_broken

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls to look up."""
        return self._splicer.calls

    @property
    def hidden(self) -> Answer | None:
        """What the client did not see."""
        return self._splicer.hidden

    @property
    def usage(self) -> dict[str, int]:
        """Tokens billed over all rounds so far, by class."""
        return self._splicer.usage

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the round; return those the client gets now."""
        if self._chosen is None:
            chunk = self._blanks + chunk
            first = chunk.lstrip()[:1]
            if not first:
                self._blanks = chunk
                return b""
            self._blanks = b""
            if first == b"[":
                self._chosen = StreamSplicer(framing=ArrayFraming(), own=self._own)
        return self._splicer.feed(chunk)

    def end(self) -> bytes:
        """Take the end of the round's connection; return what the client gets now."""
        if self._blanks:
            self._splicer.feed(self._blanks)
            self._blanks = b""
        return self._splicer.end()

    def answer(self, texts: Sequence[str]) -> None:
        """Take the answers to ``calls``, in their order."""
        self._splicer.answer(texts)

    def next_body(self, body: bytes) -> bytes:
        """The next round's request; the round begins.

        Raises:
            MalformedBodyError: ``body`` is not a request.
            StreamError: what the model said cannot be sent back.
        """
        return self._splicer.next_body(body)

    def fail(self, error: bytes) -> bytes:
        """What tells the client that the provider did not go on."""
        return self._splicer.fail(error)

    def finish(self) -> bytes:
        """What ends the client's message."""
        return self._splicer.finish()
