"""AWS event streams: binary frames, any chunks in, whole frames out; and the encoder.

A frame is, all numbers big-endian: its total length (u32), the length of its headers
(u32), the CRC-32 of these eight bytes, the headers, the payload, and the CRC-32 of all
before it. A header is a name (u8 length, UTF-8), a type (u8) and a value: 0 and 1 are
true and false, 2 to 5 signed integers of 1, 2, 4 and 8 bytes, 6 bytes and 7 UTF-8 text
(u16 length each), 8 a time in milliseconds, 9 a UUID of 16 bytes
(https://smithy.io/2.0/aws/amazon-eventstream.html; the CRC is that of zlib).

What always holds: joined, the ``raw`` bytes of all frames and the ``pending`` rest are
the stream, however it was cut; a length is believed only after the prelude's checksum
was right and the limit holds, so that memory stays bounded. With ``checks_crc`` off a
wrong checksum passes; lengths are checked all the same.
"""

import struct
import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from msgspec import Struct

from headroom.errors import EventStreamError

MAX_FRAME_BYTES = 32 * 1024 * 1024
"""Above the 16 MiB that the encoding allows a payload (24 MiB in some SDKs)."""

CONTENT_TYPE = b"application/vnd.amazon.eventstream"

Value: TypeAlias = bool | int | bytes | str

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_OVERHEAD = _PRELUDE.size + _CRC.size
_LENGTH = struct.Struct(">H")
_INTEGERS = {
    2: struct.Struct(">b"),
    3: struct.Struct(">h"),
    4: struct.Struct(">i"),
    5: struct.Struct(">q"),
    8: struct.Struct(">q"),
}
_TRUE, _FALSE, _BYTES, _TEXT, _UUID = 0, 1, 6, 7, 9
_UUID_BYTES = 16
_MAX_NAME_BYTES = 255
_MAX_VALUE_BYTES = 0xFFFF
_MAX_KEPT = 256
_MAX_KEPT_BYTES = 512
"""Headers that are remembered by their bytes: so many, and none longer."""


class Header(Struct, frozen=True, gc=False):
    """One header of a frame.

    Attributes:
        type: the number on the wire, 0 to 9.
        value: ``bool`` for 0 and 1, ``int`` for 2 to 5 and 8, ``str`` for 7, else
            ``bytes``.
    """

    name: str
    value: Value
    type: int = _TEXT


class Frame(Struct, frozen=True, gc=False):
    """One frame.

    Attributes:
        raw: its exact bytes, checksums included.
    """

    headers: tuple[Header, ...]
    payload: bytes
    raw: bytes

    def text(self, name: str) -> str:
        """The value of a text header; empty if there is none."""
        for header in self.headers:
            if header.name == name and isinstance(header.value, str):
                return header.value
        return ""


class FrameReader:
    """Splits one response stream into frames.

    Args:
        max_frame_bytes: a longer frame is an error.
        checks_crc: a wrong checksum is an error.
    """

    def __init__(
        self, max_frame_bytes: int = MAX_FRAME_BYTES, *, checks_crc: bool = True
    ) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._checks_crc = checks_crc
        self._buffer = bytearray()
        self._total = 0  # of the frame that has begun; 0: its prelude is not known
        self._headers_length = 0
        self._error: EventStreamError | None = None
        self.count = 0

    @property
    def pending(self) -> bytes:
        """What came after the last whole frame."""
        return bytes(self._buffer)

    @property
    def error(self) -> EventStreamError | None:
        """Why reading has ended; ``None``: it has not."""
        return self._error

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take the next bytes; return the frames they complete, in order.

        Raises:
            EventStreamError: a frame breaks the encoding. Frames before it are returned
                first, whatever the chunks; every later call raises too.
        """
        if self._error is not None:
            raise self._error
        self._buffer += chunk
        frames: list[Frame] = []
        start = 0
        try:
            while True:
                if not self._total and not self._take_prelude(start):
                    break
                if len(self._buffer) - start < self._total:
                    break
                frames.append(
                    self._frame(bytes(self._buffer[start : start + self._total]))
                )
                start += self._total
                self._total = 0
                self.count += 1
        except EventStreamError as error:
            self._error = error
            if not frames:
                raise
        finally:
            del self._buffer[:start]
        return frames

    def _take_prelude(self, start: int) -> bool:
        """Read the lengths of the frame at ``start``; whether they are there."""
        if len(self._buffer) - start < _PRELUDE.size:
            return False
        total, headers_length, found = _PRELUDE.unpack_from(self._buffer, start)
        expected = zlib.crc32(self._buffer[start : start + 8])
        if self._checks_crc and found != expected:
            raise self._failure("prelude_crc", expected, found)
        if total > self._max_frame_bytes:
            raise self._failure("too_long", self._max_frame_bytes, total)
        if total < _OVERHEAD + headers_length:
            raise self._failure("length", _OVERHEAD + headers_length, total)
        self._total, self._headers_length = total, headers_length
        return True

    def _frame(self, raw: bytes) -> Frame:
        (found,) = _CRC.unpack_from(raw, len(raw) - _CRC.size)
        expected = zlib.crc32(memoryview(raw)[: -_CRC.size])
        if self._checks_crc and found != expected:
            raise self._failure("message_crc", expected, found)
        payload_start = _PRELUDE.size + self._headers_length
        try:
            headers = _headers(raw[_PRELUDE.size : payload_start])
        except (ValueError, struct.error, IndexError) as error:
            raise self._failure("header", 0, 0) from error
        return Frame(headers, raw[payload_start : -_CRC.size], raw)

    def _failure(self, problem: str, expected: int, found: int) -> EventStreamError:
        return EventStreamError(problem, self.count, expected=expected, found=found)


def encode(headers: Iterable[Header], payload: bytes) -> bytes:
    """A frame's bytes.

    Raises:
        ValueError: a name or value does not fit its field.
    """
    head = b"".join(map(_encoded, headers))
    total = _OVERHEAD + len(head) + len(payload)
    lengths = struct.pack(">II", total, len(head))
    frame = b"".join((lengths, _CRC.pack(zlib.crc32(lengths)), head, payload))
    return frame + _CRC.pack(zlib.crc32(frame))


def _headers(data: bytes) -> tuple[Header, ...]:
    """The headers of a frame; streams repeat the same few thousands of times.

    Raises:
        ValueError, struct.error, IndexError: they are broken.
    """
    return _known_headers(data) if len(data) <= _MAX_KEPT_BYTES else _read_headers(data)


@lru_cache(_MAX_KEPT)
def _known_headers(data: bytes) -> tuple[Header, ...]:
    return _read_headers(data)


def _read_headers(data: bytes) -> tuple[Header, ...]:
    """The headers of a frame.

    Raises:
        ValueError, struct.error, IndexError: they are broken.
    """
    found = []
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        name = _exactly(data, at + 1, name_end).decode()
        kind = data[name_end]
        value, at = _read_value(data, name_end + 1, kind)
        found.append(Header(name, value, kind))
    return tuple(found)


def _read_value(data: bytes, at: int, kind: int) -> tuple[Value, int]:
    """A header's value and where what follows begins."""
    if kind in {_TRUE, _FALSE}:
        return kind == _TRUE, at
    if (shape := _INTEGERS.get(kind)) is not None:
        (number,) = shape.unpack_from(data, at)
        return number, at + shape.size
    if kind == _UUID:
        return _exactly(data, at, at + _UUID_BYTES), at + _UUID_BYTES
    if kind not in {_BYTES, _TEXT}:
        raise ValueError(f"unknown type {kind} of a header")
    (length,) = _LENGTH.unpack_from(data, at)
    start = at + _LENGTH.size
    value = _exactly(data, start, start + length)
    return (value.decode() if kind == _TEXT else value), start + length


def _exactly(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise ValueError("a header is cut off")
    return data[start:end]


def _encoded(header: Header) -> bytes:
    name = header.name.encode()
    if len(name) > _MAX_NAME_BYTES:
        raise ValueError("a header's name is longer than 255 bytes")
    head = b"%c%b%c" % (len(name), name, header.type)
    value = header.value
    if header.type in {_TRUE, _FALSE}:
        return head
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        if header.type == _UUID:
            if len(value) != _UUID_BYTES:
                raise ValueError("a UUID has 16 bytes")
            return head + value
        if len(value) > _MAX_VALUE_BYTES:
            raise ValueError("a header's value is longer than 65,535 bytes")
        return head + _LENGTH.pack(len(value)) + value
    try:
        return head + _INTEGERS[header.type].pack(value)
    except (KeyError, struct.error) as error:
        raise ValueError(f"no value of type {header.type}") from error
