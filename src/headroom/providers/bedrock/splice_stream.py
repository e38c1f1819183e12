"""Streams of frames joined into one: events inside, frames outside.

The events of the frames go through the splicer of their API, Messages or Converse; what
comes out leaves in the frames it came in, byte for byte, and only events that were
changed or made here get new ones, with their own checksums.
"""

from collections.abc import Callable, Sequence

from headroom.core.hidden import Answer
from headroom.core.protocols import Splicer
from headroom.core.types import ToolCall
from headroom.core.wire.sse import SseEvent, SseFramer
from headroom.providers.bedrock.frames import EventsFromFrames, KnownFrames
from headroom.providers.splicing import MAX_EVENT_BYTES


class FrameSplicer:
    """The ``Splicer`` of a stream of frames.

    Args:
        inner: joins the events.
        make: the frame of an event that was changed or made here.
    """

    def __init__(self, inner: Splicer, make: Callable[[SseEvent], bytes]) -> None:
        self._inner = inner
        self._events = EventsFromFrames()
        self._out = SseFramer(2 * MAX_EVENT_BYTES)
        self._known = KnownFrames(make)

    @property
    def is_waiting(self) -> bool:
        """The round has ended with calls that want answers."""
        return self._inner.is_waiting

    @property
    def is_continuing(self) -> bool:
        """The model is to go on."""
        return self._inner.is_continuing

    @property
    def is_broken(self) -> bool:
        """The client was told of an error, or the answer is incomplete."""
        return self._inner.is_broken

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls to look up."""
        return self._inner.calls

    @property
    def hidden(self) -> Answer | None:
        """What the client did not see."""
        return self._inner.hidden

    @property
    def usage(self) -> dict[str, int]:
        """Tokens billed over all rounds so far, by class."""
        return self._inner.usage

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the round; return those the client gets now."""
        out = []
        for event, frame in self._events.pairs(chunk):
            if frame:
                self._known.keep(event, frame)
            out.append(self._framed(self._inner.feed(event)))
        return b"".join(out)

    def end(self) -> bytes:
        """Take the end of the round's connection; return what the client gets now."""
        return self._framed(self._inner.end())

    def answer(self, texts: Sequence[str]) -> None:
        """Take the answers to ``calls``, in their order."""
        self._inner.answer(texts)

    def next_body(self, body: bytes) -> bytes:
        """The next round's request; the round begins.

        Raises:
            MalformedBodyError: ``body`` is not a request.
            StreamError: what the model said cannot be sent back.
        """
        self._events = EventsFromFrames()
        return self._inner.next_body(body)

    def fail(self, error: bytes) -> bytes:
        """What tells the client that the provider did not go on."""
        return self._framed(self._inner.fail(error))

    def finish(self) -> bytes:
        """What ends the client's message."""
        return self._framed(self._inner.finish())

    def _framed(self, events: bytes) -> bytes:
        if not events:
            return b""
        return b"".join(self._known.frame(event) for event in self._out.feed(events))
