"""Server-sent events, framed on bytes: chunks of any size in, complete events out.

Stands beside the byte passthrough of a response: what it returns can be read, or sent
on, for ``raw`` holds each event exactly as it came. Joined, the ``raw`` bytes of all
events and the ``pending`` rest are the stream, and how the stream was cut into chunks
changes nothing.

The rules are those of https://html.spec.whatwg.org/multipage/server-sent-events.html:
lines end with LF, CRLF or CR; an event ends with an empty line; a line that starts with
a colon is a comment; one blank after the colon of a field is no part of its value;
several ``data`` lines are joined by LF; a byte order mark may open the stream; what
follows the last empty line is no event. Lines are split at these bytes only: U+2028 and
its like are data, and JSON carries them raw.

Nothing is decoded here but in ``parse_sse_events_from_byte_buffer``. The work is linear
in the bytes fed, for no byte of a line is looked at twice.
"""

from msgspec import Struct

from headroom.errors import StreamError

DEFAULT_MAX_EVENT_BYTES = 1024 * 1024

_CARRIAGE_RETURN = 0x0D
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DONE = b"[DONE]"


class SseEvent(Struct, frozen=True, gc=False):
    """One event of a stream.

    Attributes:
        name: value of the ``event`` field; ``None`` if there is none or it is empty.
        data: the ``data`` lines joined by LF.
        raw: the bytes it came in, terminator included, and before it any comments and
            empty lines that belong to no event.
        is_comment: there was no ``data`` line: a comment or an empty block, which only
            a framer made with ``keeps_comments`` returns.
    """

    name: bytes | None
    data: bytes
    raw: bytes
    is_comment: bool = False

    @property
    def is_done(self) -> bool:
        """Whether this is the ``[DONE]`` that ends OpenAI streams."""
        return self.data.strip() == _DONE


class SseFramer:
    """Splits one response stream into events.

    Args:
        max_event_bytes: more bytes without the end of an event are an error.
        keeps_comments: return comments at once as events of their own (so that
            keep-alive comments can be passed on) instead of in the next event's
            ``raw``.
    """

    def __init__(
        self,
        max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
        *,
        keeps_comments: bool = False,
    ) -> None:
        self._max_event_bytes = max_event_bytes
        self._keeps_comments = keeps_comments
        self._buffer = bytearray()  # starts where the unfinished event starts
        self._line_start = 0
        self._searched = 0  # there is no line end between _line_start and here
        self._is_first_line = True
        self._name: bytes | None = None
        self._data: list[bytes] = []
        self._error: StreamError | None = None

    @property
    def pending(self) -> bytes:
        """What came after the last complete event."""
        return bytes(self._buffer)

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Take the next bytes; return the events they complete, in order.

        Raises:
            StreamError: an event is longer than allowed. Events completed before it
                are returned first, whatever the chunks; every later call raises too.
        """
        if self._error is not None:
            raise self._error
        self._buffer += chunk
        return self._events(is_end=False)

    def finish(self) -> list[SseEvent]:
        """Tell that the stream has ended; return the event a last CR completes, if any.

        What is left in ``pending`` afterwards is an unfinished event, and discarded.

        Raises:
            StreamError: as ``feed``.
        """
        if self._error is not None:
            raise self._error
        return self._events(is_end=True)

    def _events(self, *, is_end: bool) -> list[SseEvent]:
        buffer = self._buffer
        size = len(buffer)
        events: list[SseEvent] = []
        event_start, line_start, searched = 0, self._line_start, self._searched
        return_at = _find(buffer, b"\r", searched)
        while True:
            if return_at < searched:
                return_at = _find(buffer, b"\r", searched)
            # Only up to the next CR: no byte is looked at twice.
            feed_at = _find(buffer, b"\n", searched, return_at)
            line_end = min(feed_at, return_at)
            if line_end == size:
                searched = size
                break
            searched = line_end + 1
            if line_end == return_at and buffer[searched : searched + 1] == b"\n":
                searched += 1
            if searched == size and buffer[-1] == _CARRIAGE_RETURN and not is_end:
                searched = line_end  # the LF of a CRLF may be next
                break
            if line_start < line_end:
                self._take_line(bytes(buffer[line_start:line_end]))
            elif self._data or self._keeps_comments:
                if searched - event_start > self._max_event_bytes:
                    break
                events.append(self._make_event(bytes(buffer[event_start:searched])))
                event_start = searched
            else:
                self._name = None
            line_start = searched
        del buffer[:event_start]
        self._line_start = line_start - event_start
        self._searched = searched - event_start
        if len(buffer) > self._max_event_bytes:
            self._fail(events)
        return events

    def _fail(self, events: list[SseEvent]) -> None:
        self._error = StreamError(
            f"an event is longer than the {self._max_event_bytes} bytes allowed"
        )
        if not events:
            raise self._error

    def _take_line(self, line: bytes) -> None:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value[1:] if value[:1] == b" " else value)
        elif field == b"event":
            self._name = value[1:] if value[:1] == b" " else value

    def _make_event(self, raw: bytes) -> SseEvent:
        event = SseEvent(
            name=self._name or None,
            data=b"\n".join(self._data),
            raw=raw,
            is_comment=not self._data,
        )
        self._name, self._data = None, []
        return event


def with_data(raw: bytes, data: bytes, new: bytes, name: bytes = b"") -> bytes:
    """An event's bytes with other data in them; all else stays where it can.

    Args:
        raw: the event as it came.
        data: its data.
        new: what stands in its place.
        name: of the event, where it must be written anew: its data came in lines.
    """
    start = raw.rfind(data)
    if start >= 0:
        return raw[:start] + new + raw[start + len(data) :]
    lines = b"".join(b"data: %b\n" % line for line in new.split(b"\n"))
    return b"%b%b\n" % (b"event: %b\n" % name if name else b"", lines)


def _find(buffer: bytearray, byte: bytes, start: int, end: int | None = None) -> int:
    """Where the byte stands first, else the end of the range looked at."""
    limit = len(buffer) if end is None else end
    found = buffer.find(byte, start, limit)
    return limit if found == -1 else found


def parse_sse_events_from_byte_buffer(
    buf: bytearray, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES
) -> list[tuple[str | None, str]]:
    """Take the complete events out of ``buf`` and decode them: ``(name, data)`` pairs.

    What follows the last complete event stays in ``buf``; append the next bytes to it.
    Scans all of ``buf`` on every call: for long events in small chunks use a framer.

    Raises:
        StreamError: a complete event is not UTF-8, or one is longer than allowed.
            Events before it are returned by an earlier call; the bad one is taken out
            of ``buf`` (all of it, if too long).
    """
    framer = SseFramer(max_event_bytes)
    try:
        events = framer.feed(bytes(buf))
    except StreamError:
        buf.clear()
        raise
    decoded: list[tuple[str | None, str]] = []
    taken = 0
    for event in events:
        try:
            name = None if event.name is None else event.name.decode()
            decoded.append((name, event.data.decode()))
        except UnicodeDecodeError as error:
            if not decoded:
                del buf[: len(event.raw)]
                raise StreamError(f"an event is not UTF-8: {error}") from error
            break
        taken += len(event.raw)
    del buf[:taken]
    return decoded
