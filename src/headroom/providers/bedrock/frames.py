"""Bedrock's frames as server-sent events, and back.

A frame of ``invoke-with-response-stream`` is a ``chunk`` whose payload is JSON with the
model's own event in base64 (``{"bytes": "…", "p": "padding"}``); the event may also
stand there as it is. A frame of ``converse-stream`` is named by its ``:event-type`` and
its payload is the event. ``:message-type`` ``exception`` and ``error`` end a stream
(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html).

As events, a chunk is ``event: <its type>`` with the model's event as data, and a
failure is ``event: error`` in the shape of the Messages API.
"""

import base64
import contextlib
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from headroom.core.wire import json_parts
from headroom.core.wire.event_stream import (
    MAX_FRAME_BYTES,
    Frame,
    FrameReader,
    Header,
    encode,
)
from headroom.core.wire.sse import SseEvent
from headroom.errors import EventStreamError, StreamError

_ERROR_TYPES = {
    "throttlingException": "rate_limit_error",
    "validationException": "invalid_request_error",
    "serviceUnavailableException": "overloaded_error",
    "accessDeniedException": "permission_error",
    "resourceNotFoundException": "not_found_error",
    "modelTimeoutException": "timeout_error",
}
_EXCEPTIONS = {error: name for name, error in _ERROR_TYPES.items()}
_INTERNAL = "internalServerException"
_BROKEN = "the provider's event stream is damaged"
_MAX_KEPT = 1024


class EventsFromFrames:
    """Reads one stream of frames as server-sent events; never raises.

    What cannot be read is told as an ``error`` event, and nothing follows it.

    Attributes:
        error: why reading ended; ``None``: it has not.
    """

    def __init__(
        self, max_frame_bytes: int = MAX_FRAME_BYTES, *, checks_crc: bool = True
    ) -> None:
        self._frames = FrameReader(max_frame_bytes, checks_crc=checks_crc)
        self._has_just_failed = False
        self.error: EventStreamError | None = None

    @property
    def count(self) -> int:
        """Frames read so far."""
        return self._frames.count

    @property
    def pending(self) -> bytes:
        """Bytes fed that belong to no whole frame."""
        return self._frames.pending

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return the events they complete."""
        return b"".join(event for event, _ in self.pairs(chunk))

    def pairs(self, chunk: bytes) -> list[tuple[bytes, bytes]]:
        """Take the next bytes; return each event with the frame it came in."""
        found = [(event_of(frame), frame.raw) for frame in self._whole(chunk)]
        if self._has_just_failed:
            found.append((error_event("api_error", _BROKEN), b""))
        return found

    def events(self, chunk: bytes) -> list[SseEvent]:
        """Take the next bytes; return what they complete, for readers of events.

        A chunk's event has no name here: its data tells its type.
        """
        found = [read_event(frame) for frame in self._whole(chunk)]
        if self._has_just_failed:
            data = _error_data("api_error", _BROKEN)
            found.append(SseEvent(b"error", data, b""))
        return found

    def _whole(self, chunk: bytes) -> list[Frame]:
        """The frames that a chunk completes; notes the first damage behind them."""
        self._has_just_failed = False
        if self.error is not None:
            return []
        found: list[Frame] = []
        with contextlib.suppress(EventStreamError):
            found = self._frames.feed(chunk)
        self.error = self._frames.error
        self._has_just_failed = self.error is not None
        return found


def event_of(frame: Frame) -> bytes:
    """A frame as one server-sent event."""
    event = read_event(frame)
    name = (event.name or b"chunk").decode("utf-8", "replace")
    return _event(name if name == "error" else _type(event.data) or name, event.data)


def read_event(frame: Frame) -> SseEvent:
    """What a frame carries, without the type that stands in a chunk's data."""
    kind = frame.text(":message-type")
    if kind in {"exception", "error"}:
        name = frame.text(":exception-type") or frame.text(":error-code")
        message = frame.text(":error-message") or _message(frame.payload)
        data = _error_data(_ERROR_TYPES.get(name, "api_error"), message or name)
        return SseEvent(b"error", data, b"")
    name = frame.text(":event-type") or "chunk"
    if name == "chunk":
        return SseEvent(None, _chunk(frame.payload), b"")
    return SseEvent(name.encode("utf-8", "replace"), frame.payload, b"")


def error_event(kind: str, message: str) -> bytes:
    """An error as the Messages API tells it inside a stream."""
    return _event("error", _error_data(kind, message))


def _error_data(kind: str, message: str) -> bytes:
    error = {"type": "error", "error": {"type": kind, "message": message}}
    return msgspec.json.encode(error)


def chunk_of(event: SseEvent) -> bytes:
    """A server-sent event as one frame of ``invoke-with-response-stream``."""
    if event.name == b"error":
        return _exception_of(event)
    return _frame("chunk", b'{"bytes":"%b"}' % base64.b64encode(event.data))


def frame_of(event: SseEvent) -> bytes:
    """A server-sent event as one frame of ``converse-stream``."""
    if event.name == b"error":
        return _exception_of(event)
    return _frame((event.name or b"chunk").decode("utf-8", "replace"), event.data)


def _frame(name: str, payload: bytes) -> bytes:
    return encode(
        [
            Header(":event-type", name),
            Header(":content-type", "application/json"),
            Header(":message-type", "event"),
        ],
        payload,
    )


def _exception_of(event: SseEvent) -> bytes:
    kind, message = _error(event.data)
    return encode(
        [
            Header(":exception-type", _EXCEPTIONS.get(kind, _INTERNAL)),
            Header(":content-type", "application/json"),
            Header(":message-type", "exception"),
        ],
        msgspec.json.encode({"message": message}),
    )


class KnownFrames:
    """Remembers which frame an event came in, so that it leaves in the same one.

    Args:
        make: the frame of an event that came in none as it is.
    """

    def __init__(self, make: Callable[[SseEvent], bytes]) -> None:
        self._make = make
        self._frames: OrderedDict[bytes, bytes] = OrderedDict()

    def keep(self, event: bytes, frame: bytes) -> None:
        """Remember a frame; the oldest are forgotten."""
        self._frames[event] = frame
        while len(self._frames) > _MAX_KEPT:
            self._frames.popitem(last=False)

    def frame(self, event: SseEvent) -> bytes:
        """The frame an event came in; a new one if it came in none as it is."""
        return self._frames.pop(event.raw, b"") or self._make(event)


def _chunk(payload: bytes) -> bytes:
    """The model's event in a chunk; the payload if none is wrapped in it."""
    try:
        found = json_parts.members(payload)
        if "bytes" not in found or "type" in found:
            return payload
        return base64.b64decode(json_parts.string(found["bytes"]), validate=True)
    except (StreamError, ValueError):  # no base64, or no ASCII at all
        return payload


def _type(data: bytes) -> str:
    try:
        name = json_parts.string(json_parts.members(data).get("type"))
    except StreamError:
        return ""
    return name


def _message(payload: bytes) -> str:
    try:
        found = json_parts.members(payload)
        return json_parts.string(found.get("message") or found.get("Message"))
    except StreamError:
        return ""


def _error(data: bytes) -> tuple[str, str]:
    """Type and message of an error event: the Messages API's, or Bedrock's own."""
    try:
        found = json_parts.members(data)
        error = json_parts.members(found.get("error", data))
        kind = "" if error == found else json_parts.string(error.get("type"))
        return kind, json_parts.string(error.get("message"))
    except StreamError:
        return "", ""


def _event(name: str, data: bytes) -> bytes:
    if b"\n" in data or b"\r" in data:
        # No string of JSON holds a raw line end, so these stand between its tokens.
        data = b"\ndata: ".join(data.splitlines())
    if not name.isprintable():
        name = "chunk"  # a name with a line end in it would be more than a name
    return b"event: %b\ndata: %b\n\n" % (name.encode("utf-8", "replace"), data)
