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
        if self.error is not None:
            return []
        found: list[tuple[bytes, bytes]] = []
        try:
            found += [(event_of(f), f.raw) for f in self._frames.feed(chunk)]
            # What is wrong behind whole frames is told by the call after.
            self._frames.feed(b"")
        except EventStreamError as error:
            self.error = error
            found.append((error_event("api_error", _BROKEN), b""))
        return found


def event_of(frame: Frame) -> bytes:
    """A frame as one server-sent event."""
    kind = frame.text(":message-type")
    if kind in {"exception", "error"}:
        name = frame.text(":exception-type") or frame.text(":error-code")
        message = frame.text(":error-message") or _message(frame.payload)
        return error_event(_ERROR_TYPES.get(name, "api_error"), message or name)
    name = frame.text(":event-type") or "chunk"
    data = _chunk(frame.payload) if name == "chunk" else frame.payload
    return _event(_type(data) or name, data)


def error_event(kind: str, message: str) -> bytes:
    """An error as the Messages API tells it inside a stream."""
    error = {"type": "error", "error": {"type": kind, "message": message}}
    return _event("error", msgspec.json.encode(error))


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
