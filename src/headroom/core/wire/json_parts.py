"""JSON that providers answer with, read in parts and without ever failing a request.

Unlike ``json_spans``, which refuses in any doubt because its spans are edited, this
reads what is only looked at or sent back: values keep their own bytes, and half of a
surrogate pair, which a server sends that cuts an escaped emoji in two, is no reason to
lose an answer. Numbers are never converted; their size and precision are the sender's.

Used by the answer and stream readers of ``providers``. Linear in the bytes read.
"""

import json

import msgspec
from msgspec import Raw

from headroom.errors import StreamError

_MAX_COUNT = 2**53


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


# Accepts half surrogate pairs; does not convert numbers, whose size and precision are
# nobody's business here.
_TOLERANT = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)
_DECODE_MEMBERS = msgspec.json.Decoder(dict[str, Raw]).decode
_DECODE_ELEMENTS = msgspec.json.Decoder(list[Raw]).decode
_DECODE_STRING = msgspec.json.Decoder(str).decode
_BLANKS = " \t\n\r"


def members(raw: bytes) -> dict[str, bytes]:
    """The members of an object, each value as its own bytes; the last of a key wins.

    Raises:
        StreamError: not a JSON object.
    """
    try:
        return {name: bytes(value) for name, value in _DECODE_MEMBERS(raw).items()}
    except (ValueError, RecursionError) as error:
        if (parts := _parts_with_surrogates(raw, b"{")) is None:
            raise StreamError(f"not a JSON object: {error}") from error
        return {
            str(json.loads(parts[i])): parts[i + 1] for i in range(0, len(parts), 2)
        }


def elements(raw: bytes) -> list[bytes]:
    """The elements of an array, each as its own bytes; none for ``null``.

    Raises:
        StreamError: not a JSON array.
    """
    if raw == b"null":
        return []
    try:
        return [bytes(value) for value in _DECODE_ELEMENTS(raw)]
    except (ValueError, RecursionError) as error:
        if (parts := _parts_with_surrogates(raw, b"[")) is None:
            raise StreamError(f"not a JSON array: {error}") from error
        return parts


def _parts_with_surrogates(raw: bytes, opening: bytes) -> list[bytes] | None:
    """The keys and values, or elements, of JSON that holds half a surrogate pair.

    The fast decoder refuses such JSON. ``None``: it is not JSON even so.
    """
    if raw[:1] != opening or b"\\u" not in raw:
        return None
    closing = "}" if opening == b"{" else "]"
    parts: list[bytes] = []
    position = 0
    try:
        text = raw.decode("utf-8")
        while True:
            position = _skip_blanks(text, position + 1)
            _, end = _TOLERANT.raw_decode(text, position)
            parts.append(text[position:end].encode("utf-8"))
            position = _skip_blanks(text, end)
            is_key = closing == "}" and len(parts) % 2 == 1
            if text[position] == closing and not is_key:
                return None if text[position + 1 :].strip(_BLANKS) else parts
            if text[position] != (":" if is_key else ","):
                return None
    except (ValueError, IndexError, RecursionError):
        return None


def _skip_blanks(text: str, position: int) -> int:
    while text[position] in _BLANKS:
        position += 1
    return position


def string(raw: bytes | None) -> str:
    """The string a JSON literal stands for; empty if it is another value or absent.

    Raises:
        StreamError: a literal that is broken or not UTF-8.
    """
    if raw is None or raw[:1] != b'"':
        return ""
    try:
        return _DECODE_STRING(raw)
    except ValueError:
        try:  # it may hold half of a surrogate pair
            value = json.loads(raw)
        except ValueError as error:
            raise StreamError(f"not a JSON string: {error}") from error
        return value if isinstance(value, str) else ""


def count(raw: bytes | None) -> int | None:
    """A whole number that can be a count; ``None`` for every other value."""
    digits = raw or b""
    if not digits.isdigit() or len(digits) > 16:
        return None
    return min(int(digits), _MAX_COUNT)


def checked(text: str) -> bytes:
    """The text's bytes, once it is known to be JSON.

    Raises:
        StreamError: it is not.
    """
    try:
        _TOLERANT.decode(text)
        return text.encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise StreamError(f"not JSON: {error}") from error


def joined(pieces: list[str]) -> str:
    """The pieces as one text, halves of surrogate pairs that now meet made whole."""
    text = "".join(pieces)
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        pairs = text.encode("utf-16-le", "surrogatepass")
        return pairs.decode("utf-16-le", "surrogatepass")
    return text


def encode_string(text: str) -> bytes:
    """A JSON string literal, in UTF-8; escaped as ASCII if it holds half a pair."""
    try:
        return json.dumps(text, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(text).encode("ascii")


def encode_object(members: dict[str, bytes]) -> bytes:
    """An object of members whose values are JSON already."""
    return b"{%b}" % b",".join(
        b"%b:%b" % (encode_string(name), raw) for name, raw in members.items()
    )
