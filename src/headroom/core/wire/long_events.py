"""Server-sent events of any length, read in bounded memory.

Of an event longer than allowed only its first and last bytes are kept; what came before
and comes after it is read as ever. For readers that look at a stream beside its bytes:
of a long event they learn what it is, and what stands at its end.
"""

import re

from msgspec import Struct

from headroom.core.wire.sse import SseEvent, SseFramer
from headroom.errors import StreamError

KEPT_BYTES = 64 * 1024
"""Kept of either end of a long event."""

_BLANK_LINE = re.compile(rb"\n\r?\n|\r\r")
_END_BYTES = 3
_NAME = re.compile(rb"(?:^|[\r\n])event: ?([^\r\n]*)")


class LongEvent(Struct, frozen=True, gc=False):
    """What is left of an event that was too long.

    Attributes:
        name: as it was given outside its data; empty if it was not.
        head, tail: of its bytes, field names included.
    """

    name: bytes
    head: bytes
    tail: bytes


class LongEventFramer:
    """Splits one stream into events, long ones cut.

    Args:
        max_event_bytes: a longer event is cut.
        keeps_comments: as in ``SseFramer``.
    """

    def __init__(self, max_event_bytes: int, *, keeps_comments: bool = False) -> None:
        self._max_event_bytes = max_event_bytes
        self._keeps_comments = keeps_comments
        self._framer = self._fresh()
        self._head: bytes | None = None  # of the long event that has begun
        self._tail = b""

    @property
    def pending(self) -> bytes:
        """What came after the last complete event, as far as it is kept."""
        return self._framer.pending if self._head is None else self._tail

    def feed(self, chunk: bytes) -> list[SseEvent | LongEvent]:
        """Take the next bytes; return the events they complete, in order."""
        found: list[SseEvent | LongEvent] = []
        while True:
            if self._head is None:
                chunk = self._read(chunk, found)
                if self._head is None:
                    return found
            end = self._skipped(chunk)
            if end < 0:
                return found
            found.append(LongEvent(_name(self._head), self._head, self._tail))
            self._head, self._tail = None, b""
            chunk = chunk[end:]

    def finish(self) -> list[SseEvent | LongEvent]:
        """Tell that the stream has ended; return the event a last CR completes."""
        return [] if self._head is not None else [*self._framer.finish()]

    def _fresh(self) -> SseFramer:
        return SseFramer(self._max_event_bytes, keeps_comments=self._keeps_comments)

    def _read(self, chunk: bytes, found: list[SseEvent | LongEvent]) -> bytes:
        """Take bytes as ever; where a long event begins, return all bytes from there.

        A framer that has failed has the event's bytes and all that follow pending.
        """
        try:
            found += self._framer.feed(chunk)
            self._framer.feed(b"")  # raises if it failed behind whole events
        except StreamError:
            rest = self._framer.pending
            self._framer = self._fresh()
            self._head, self._tail = b"", b""
            return rest
        return b""

    def _skipped(self, chunk: bytes) -> int:
        """Where the long event ends in a chunk; -1: not in it."""
        before = self._tail[-_END_BYTES:]
        match = _BLANK_LINE.search(before + chunk)
        end = -1 if match is None else match.end() - len(before)
        taken = chunk if match is None else chunk[: max(0, end)]
        if self._head is not None and len(self._head) < KEPT_BYTES:
            self._head += taken[: KEPT_BYTES - len(self._head)]
        self._tail = (self._tail + taken[-KEPT_BYTES:])[-KEPT_BYTES:]
        return end


def _name(head: bytes) -> bytes:
    match = _NAME.search(head[:1024])
    return b"" if match is None else match[1]
