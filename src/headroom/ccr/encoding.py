"""Records and originals as bytes, the same for every back-end.

A record is MessagePack followed by its CRC-32: what was sent is repeated byte for byte,
so a flipped bit must not pass for a decision. An original is its UTF-8 bytes (lone
surrogates included) and carries no sum of its own: its key is its digest.
"""

import zlib

import msgspec

from headroom.core.digest import DIGEST_HEX_LENGTH, content_digest
from headroom.core.types import Decision
from headroom.errors import CorruptOriginalError, OriginalNotFoundError

_SUM_BYTES = 4
_HEX = frozenset("0123456789abcdef")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Decision)


def encode_decision(decision: Decision) -> bytes:
    """The bytes of a decision with their sum."""
    return seal(_encoder.encode(decision))


def decode_decision(data: object) -> Decision | None:
    """The decision in ``data``; ``None`` if it is damaged."""
    value = unseal(data)
    if value is None:
        return None
    try:
        return _decoder.decode(value)
    except msgspec.MsgspecError:
        return None


def seal(value: bytes) -> bytes:
    """The value followed by its sum."""
    return value + zlib.crc32(value).to_bytes(_SUM_BYTES, "little")


def unseal(data: object) -> bytes | None:
    """The value that was sealed; ``None`` if it is damaged or no bytes at all."""
    if not isinstance(data, bytes) or len(data) < _SUM_BYTES:
        return None
    value, found = data[:-_SUM_BYTES], data[-_SUM_BYTES:]
    is_whole = zlib.crc32(value).to_bytes(_SUM_BYTES, "little") == found
    return value if is_whole else None


def encode_original(text: str) -> bytes:
    """The bytes of an original."""
    return text.encode("utf-8", "surrogatepass")


def decode_original(digest: str, data: object) -> str:
    """The text whose digest is ``digest``.

    Raises:
        CorruptOriginalError: ``data`` is not that text.
    """
    if not isinstance(data, bytes):
        raise CorruptOriginalError(f"original {digest}: its body is missing")
    found = content_digest(data)
    if found != digest:
        raise CorruptOriginalError(
            f"original {digest}: the {len(data)} bytes kept hash to {found}"
        )
    return data.decode("utf-8", "surrogatepass")


def original_key(namespace: str, digest: str) -> str:
    """The key of an original, unlike that of any other namespace.

    Raises:
        OriginalNotFoundError: ``digest`` is not 24 hex digits; with any other text one
            namespace could spell the key of another.
    """
    if len(digest) != DIGEST_HEX_LENGTH or not set(digest) <= _HEX:
        raise OriginalNotFoundError(
            f"expected a hash of {DIGEST_HEX_LENGTH} hex digits, found {digest[:40]!r}"
        )
    return f"{namespace}/{digest}"


def originals_of(decision: Decision) -> list[str]:
    """Digests of the originals that a decision makes necessary to keep."""
    return [edit.digest for edit in decision.edits if edit.is_lossy]
