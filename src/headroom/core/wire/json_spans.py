r"""Byte spans inside JSON, found without building or re-encoding the rest.

First step of every request: a provider module asks for the members of an object or the
elements of an array and gets spans into the original bytes. ``msgspec`` validates and
cuts; a walk over the level's own punctuation then proves where each piece stands. The
walk sees what a decoder hides: duplicate keys and keys spelled with escapes do not line
up with the bytes, and either one is refused.

What holds: for the spans returned, ``span.of(body)`` is exactly one JSON value; any
doubt (grammar, duplicate or escaped key, invalid UTF-8, NaN, byte order mark, nesting
beyond the decoder's limit) raises ``MalformedBodyError``, and the caller forwards the
body as it came. Nothing here recurses or uses regular expressions; all is linear.

Half a surrogate pair (``\ud83d`` alone) is in the grammar of JSON, and clients send it
in mid-conversation when a text was cut inside an emoji. The decoder refuses it, so that
such values are read with other escapes of the same length in its place: the rest of the
request keeps its spans, and what was forwarded before can be forwarded again.

Grammar: RFC 8259, https://www.rfc-editor.org/rfc/rfc8259; section 8.2 on halves.
"""

import json
from collections.abc import Iterator
from typing import TypeVar

import msgspec
from msgspec import Raw

from headroom.core.types import Span
from headroom.errors import MalformedBodyError

_T = TypeVar("_T")

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_ARRAY = msgspec.json.Decoder(list[Raw])
_STRING = msgspec.json.Decoder(str)
_ENCODER = msgspec.json.Encoder()

# UnicodeDecodeError is a ValueError, and so is msgspec's DecodeError.
_DOUBTS = (ValueError, RecursionError, MemoryError)

MAX_PIECES = 100_000
"""Members or elements of one level: what has more is no conversation."""

_BLANKS = b" \t\n\r"
_FEW_BLANKS = 64

_STAND_IN = rb"\ufffd"
_SURROGATE = rb"\ud"
_FIRST, _SECOND = b"89ab", b"cdef"
_HEX = b"0123456789abcdef"

_QUOTE, _COMMA, _COLON, _BACKSLASH = 0x22, 0x2C, 0x3A, 0x5C
_SPACE = 0x20


def whole(body: bytes) -> Span:
    """The span of the one value a body holds, white space around it left out.

    Raises:
        MalformedBodyError: the body is empty or not strict UTF-8.
    """
    if not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedBodyError("body is not UTF-8", error.start) from error
    end = len(body.rstrip(_BLANKS))
    start = _skip_space(body, 0, end)
    if start == end:
        raise MalformedBodyError("body is empty")
    return Span(start, end)


def members(body: bytes, span: Span) -> dict[str, Span]:
    """The values of an object by key, in the order they stand in.

    Raises:
        MalformedBodyError: not an object, or in any doubt where its members stand.
    """
    raws, body, shift = _decode(_OBJECT, body, span, "an object")
    _check_count(len(raws), span)
    found: dict[str, Span] = {}
    position = span.start - shift + 1
    last = span.end - shift - 1
    for key, raw in raws.items():
        if found:
            position = _expect(body, position, last, _COMMA)
        position = _skip_space(body, position, last)
        literal = b'"%b"' % key.encode("utf-8")
        if not body.startswith(literal, position):
            raise MalformedBodyError("key is escaped or repeated", position)
        position = _expect(body, position + len(literal), last, _COLON)
        position = _skip_space(body, position, last)
        value = memoryview(raw)
        end = position + value.nbytes
        if not body.startswith(value, position):
            raise MalformedBodyError("key is repeated", position)
        found[key] = Span(position + shift, end + shift)
        position = end
    if _skip_space(body, position, last) != last:
        raise MalformedBodyError("key is repeated", position)
    return found


def elements(body: bytes, span: Span) -> list[Span]:
    """The elements of an array in order.

    Raises:
        MalformedBodyError: not an array.
    """
    raws, body, shift = _decode(_ARRAY, body, span, "an array")
    _check_count(len(raws), span)
    found: list[Span] = []
    position = span.start - shift + 1
    last = span.end - shift - 1
    for raw in raws:
        if found:
            position = _expect(body, position, last, _COMMA)
        position = _skip_space(body, position, last)
        end = position + memoryview(raw).nbytes
        found.append(Span(position + shift, end + shift))
        position = end
    if _skip_space(body, position, last) != last:
        raise MalformedBodyError("elements do not line up", position)
    return found


def is_string(body: bytes, span: Span) -> bool:
    """Whether the value is a string literal."""
    return body[span.start] == _QUOTE


def is_object(body: bytes, span: Span) -> bool:
    """Whether the value is an object."""
    return body[span.start] == 0x7B


def is_array(body: bytes, span: Span) -> bool:
    """Whether the value is an array."""
    return body[span.start] == 0x5B


def string(body: bytes, span: Span) -> str:
    """The text a string literal means; half a surrogate pair stays one.

    Such a text cannot be encoded: ask ``has_half_pair`` first if it has to be.

    Raises:
        MalformedBodyError: not a string.
    """
    text, read, _ = _decode(_STRING, body, span, "a string")
    if read is body:
        return text
    found: str = json.loads(span.of(body))
    return found


def has_half_pair(body: bytes, span: Span) -> bool:
    """Whether half a surrogate pair stands anywhere in a value."""
    return next(_half_pairs(body, span), None) is not None


def encode_string(text: str) -> bytes:
    """A JSON string literal for the text, UTF-8, escaping only what it must.

    Raises:
        UnicodeEncodeError: the text holds a lone surrogate.
    """
    return _ENCODER.encode(text)


def without_member(body: bytes, span: Span, value: Span) -> tuple[Span, Span]:
    """The two parts of an object that remain when one member is cut out.

    Args:
        body: the bytes all spans point into.
        span: the object.
        value: the member's value, as ``members`` returned it.

    Returns:
        What stands before and after the member; one neighbouring comma goes with it, so
        that the object reads as if the member had never been written.
    """
    before = _skip_back(body, value.start)  # onto the colon
    before = _skip_back(body, before - 1)
    before = body.rindex(b'"', span.start, before - 1)  # the key's opening quote
    lead = _skip_back(body, before)
    if body[lead - 1] == _COMMA:
        comma = _skip_back(body, lead - 1)
        return Span(span.start, comma), Span(value.end, span.end)
    after = _skip_space(body, value.end, span.end)
    if body[after] == _COMMA:
        after = _skip_space(body, after + 1, span.end)
    return Span(span.start, before), Span(after, span.end)


def _decode(
    decoder: msgspec.json.Decoder[_T], body: bytes, span: Span, expected: str
) -> tuple[_T, bytes, int]:
    """The value of a span, the bytes it was read from, and where they begin.

    These are the body or, see the module, the span alone with other escapes in it.
    """
    try:
        return decoder.decode(memoryview(body)[span.start : span.end]), body, 0
    except _DOUBTS as error:
        read = _without_half_pairs(body, span)
        if read is not None:
            value, _, _ = _decode(decoder, read, Span(0, len(read)), expected)
            return value, read, span.start
        raise MalformedBodyError(f"expected {expected}: {error}", span.start) from error


def _without_half_pairs(body: bytes, span: Span) -> bytes | None:
    """A span with other escapes for its half pairs; ``None`` if it has none."""
    pieces: list[bytes] = []
    position = span.start
    for start in _half_pairs(body, span):
        pieces += (body[position:start], _STAND_IN)
        position = start + len(_STAND_IN)
    if not pieces:
        return None
    pieces.append(body[position : span.end])
    return b"".join(pieces)


def _half_pairs(body: bytes, span: Span) -> Iterator[int]:
    """Where the escapes of half pairs begin in a span."""
    if all(body.find(sign, span.start, span.end) < 0 for sign in (b"\\ud", b"\\uD")):
        return
    waiting = -1
    for start, is_first in _surrogates(body, span):
        if waiting >= 0 and not is_first and start == waiting + len(_STAND_IN):
            waiting = -1
            continue
        if waiting >= 0:
            yield waiting
        waiting = start if is_first else -1
        if not is_first:
            yield start
    if waiting >= 0:
        yield waiting


def _surrogates(body: bytes, span: Span) -> Iterator[tuple[int, bool]]:
    """Where escapes of surrogates begin, and whether they are the first of a pair."""
    text = span.of(body).lower()
    at = text.find(_SURROGATE)
    while at >= 0:
        digits = text[at + len(_SURROGATE) : at + len(_STAND_IN)]
        before = at
        while before and text[before - 1] == _BACKSLASH:
            before -= 1
        # Behind an odd number of backslashes this is a text about escapes.
        if (
            (at - before) % 2 == 0
            and body[span.start + at + 1] == _SURROGATE[1]  # \U is no escape
            and len(digits) == 3
            and all(digit in _HEX for digit in digits)
            and digits[0] in _FIRST + _SECOND
        ):
            yield span.start + at, digits[0] in _FIRST
        at = text.find(_SURROGATE, at + 1)


def _check_count(count: int, span: Span) -> None:
    if count > MAX_PIECES:
        raise MalformedBodyError(f"more than {MAX_PIECES} pieces", span.start)


def _skip_space(body: bytes, position: int, end: int) -> int:
    near = position + _FEW_BLANKS
    while position < end and body[position] <= _SPACE:
        if body[position] not in b" \t\n\r":
            raise MalformedBodyError("control character", position)
        position += 1
        if position == near:
            # Padding by the megabyte is skipped at the speed of a copy.
            return end - len(body[position:end].lstrip(_BLANKS))
    return position


def _skip_back(body: bytes, position: int) -> int:
    while body[position - 1] in b" \t\n\r":
        position -= 1
    return position


def _expect(body: bytes, position: int, end: int, byte: int) -> int:
    position = _skip_space(body, position, end)
    if position >= end or body[position] != byte:
        raise MalformedBodyError("members do not line up", position)
    return position + 1
