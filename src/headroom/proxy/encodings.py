"""Content encodings: request bodies decoded under a limit, responses read along.

Sources: RFC 9110 section 8.4 (gzip, deflate), RFC 7932 (br), RFC 8878 (zstd). A few
kilobytes can stand for hundreds of megabytes, so every decoder stops at a limit.
"""

import zlib
from collections.abc import Iterator
from typing import Protocol

import brotli
from backports import zstd

from headroom.errors import LimitExceededError, MalformedBodyError, RequestError

_PIECE_BYTES = 64 * 1024
_MAX_LAYERS = 2


class _Decoder(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def is_finished(self) -> bool: ...


class _Zlib:
    """gzip (several members allowed) and deflate (with or without a zlib header)."""

    def __init__(self, *, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._wbits = 31 if is_gzip else 15
        self._inner = zlib.decompressobj(self._wbits)
        self._is_first = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._is_first and data and not self._is_gzip:
            is_zlib = data[0] & 0x0F == 8 and data[0] >> 4 <= 7  # RFC 1950, CMF
            self._inner = zlib.decompressobj(15 if is_zlib else -15)
        self._is_first = self._is_first and not data
        while data:
            if self._inner.eof:
                if not self._is_gzip:
                    raise zlib.error("bytes after the end")
                self._inner = zlib.decompressobj(31)
            yield self._inner.decompress(data, _PIECE_BYTES)
            data = self._inner.unconsumed_tail or self._inner.unused_data

    def is_finished(self) -> bool:
        return self._inner.eof


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        piece = self._inner.process(data, output_buffer_limit=_PIECE_BYTES)
        yield piece
        # A full piece may have more behind it even if all input was taken.
        while not self._inner.is_finished() and (
            len(piece) >= _PIECE_BYTES or not self._inner.can_accept_more_data()
        ):
            piece = self._inner.process(b"", output_buffer_limit=_PIECE_BYTES)
            yield piece

    def is_finished(self) -> bool:
        return bool(self._inner.is_finished())


class _Zstd:
    """zstd; several frames allowed."""

    # What browsers accept (RFC 8878 asks for at least 8 MiB): 2 to the power of 27.
    _MAX_WINDOW_LOG = 27

    def __init__(self) -> None:
        self._inner = self._make()

    def _make(self) -> zstd.ZstdDecompressor:
        limit = zstd.DecompressionParameter.window_log_max
        return zstd.ZstdDecompressor(options={limit: self._MAX_WINDOW_LOG})

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._inner.eof:
                if not data:
                    return
                self._inner = self._make()
            yield self._inner.decompress(data, _PIECE_BYTES)
            if self._inner.eof:
                data = self._inner.unused_data
            elif self._inner.needs_input:
                return
            else:
                data = b""

    def is_finished(self) -> bool:
        return self._inner.eof


_ERRORS = (zlib.error, brotli.error, zstd.ZstdError)


def names(header: bytes | None) -> tuple[str, ...]:
    """The encodings of a ``content-encoding`` header, in the order applied."""
    if not header:
        return ()
    words = (word.strip().lower() for word in header.decode("latin-1").split(","))
    return tuple(word for word in words if word and word != "identity")


def is_known(encodings: tuple[str, ...]) -> bool:
    """Whether ``decode`` can undo them."""
    known = {"gzip", "x-gzip", "deflate", "br", "zstd"}
    return len(encodings) <= _MAX_LAYERS and known.issuperset(encodings)


def decode(data: bytes, encodings: tuple[str, ...], max_bytes: int) -> bytes:
    """The body that was encoded.

    Raises:
        LimitExceededError: it is longer than ``max_bytes``.
        MalformedBodyError: it is damaged or cut off.
        RequestError: an encoding is none of those known.
    """
    if not is_known(encodings):
        raise RequestError(f"content-encoding {', '.join(encodings)!r}")
    for encoding in reversed(encodings):
        decoder = _decoder(encoding)
        pieces: list[bytes] = []
        size = 0
        try:
            for piece in decoder.feed(data):
                size += len(piece)
                if size > max_bytes:
                    raise LimitExceededError(
                        f"the body decodes to more than {max_bytes} bytes"
                    )
                pieces.append(piece)
        except _ERRORS as error:
            raise _undecodable(f"not valid {encoding}: {error}") from error
        if not decoder.is_finished():
            raise _undecodable(f"the {encoding} body is cut off")
        data = b"".join(pieces)
    return data


class ResponseDecoder:
    """Decodes a response piece by piece, for whoever reads along.

    Raises:
        RequestError: on creation, if it cannot be decoded.
    """

    def __init__(self, encodings: tuple[str, ...], max_bytes: int) -> None:
        if len(encodings) > 1 or not is_known(encodings):
            raise RequestError(f"content-encoding {', '.join(encodings)!r}")
        self._decoder = _decoder(encodings[0]) if encodings else None
        self._left_bytes = max_bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that ``data`` completes.

        Raises:
            LimitExceededError: more came out than was allowed in all.
            MalformedBodyError: it is damaged.
        """
        if self._decoder is None:
            yield data
            return
        try:
            for piece in self._decoder.feed(data):
                self._left_bytes -= len(piece)
                if self._left_bytes < 0:
                    raise LimitExceededError("the response decodes to too many bytes")
                yield piece
        except _ERRORS as error:
            raise _undecodable(str(error)) from error


def _decoder(encoding: str) -> _Decoder:
    if encoding == "br":
        return _Brotli()
    if encoding == "zstd":
        return _Zstd()
    return _Zlib(is_gzip=encoding != "deflate")


def _undecodable(message: str) -> MalformedBodyError:
    return MalformedBodyError(message, reason="undecodable_body")
