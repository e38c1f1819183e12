"""JSON arrays that are streamed, framed on bytes: chunks in, complete elements out.

For APIs that stream one long array instead of events. Each element comes back as it
was, with the brackets, commas and blanks before it: joined, the ``raw`` bytes of all
elements and the ``pending`` rest are the stream, and how the stream was cut into chunks
changes nothing. Elements are not validated, only found; what is no array, or stands
behind its end, is no element.

The work is linear in the bytes fed: no byte is looked at twice.
"""

import re

from headroom.core.wire.sse import DEFAULT_MAX_EVENT_BYTES, SseEvent
from headroom.errors import StreamError

_OUTSIDE = re.compile(rb'["\[\]{},]')
_INSIDE = re.compile(rb'["\\]')


class ArrayFramer:
    """Splits one streamed array into its elements.

    Args:
        max_event_bytes: more bytes without the end of an element are an error.
    """

    def __init__(self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._buffer = bytearray()
        self._at = 0  # looked at up to here
        self._value_at = -1  # where the element that is open began
        self._depth = 0
        self._is_string = False
        self._error: StreamError | None = None

    @property
    def pending(self) -> bytes:
        """What came after the last complete element."""
        return bytes(self._buffer)

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Take the next bytes; return the elements they complete, in order.

        Elements are objects or arrays: what an array holds beside is left in the next
        element's ``raw``.

        Raises:
            StreamError: an element is longer than allowed. Elements completed before
                it are returned first; every later call raises too.
        """
        if self._error is not None:
            raise self._error
        self._buffer += chunk
        found: list[SseEvent] = []
        taken = self._scan(found)
        if taken:
            del self._buffer[:taken]
            self._at -= taken
            self._value_at = self._value_at - taken if self._value_at >= 0 else -1
        if len(self._buffer) > self._max_event_bytes:
            self._error = StreamError(
                f"an element is longer than the {self._max_event_bytes} bytes allowed"
            )
            if not found:
                raise self._error
        return found

    def finish(self) -> list[SseEvent]:
        """Tell that the stream has ended; what is open stays ``pending``."""
        return []

    def _scan(self, found: list[SseEvent]) -> int:
        """Go on through the buffer; returns where the last element ends."""
        buffer = self._buffer
        taken = 0
        while self._at < len(buffer):
            pattern = _INSIDE if self._is_string else _OUTSIDE
            match = pattern.search(buffer, self._at)
            if match is None:
                self._at = len(buffer)
                break
            byte = match[0]
            self._at = match.end()
            if byte == b"\\":
                if self._at == len(buffer):
                    self._at = match.start()  # what it escapes is yet to come
                    break
                self._at += 1
            elif byte == b'"':
                self._is_string = not self._is_string
            elif byte in b"[{":
                self._depth += 1
                if self._depth == 2:
                    self._value_at = match.start()
            elif byte in b"]}":
                self._depth -= 1
                if self._depth == 1:
                    data = bytes(buffer[self._value_at : self._at])
                    raw = bytes(buffer[taken : self._at])
                    found.append(SseEvent(name=None, data=data, raw=raw))
                    taken, self._value_at = self._at, -1
        return taken
