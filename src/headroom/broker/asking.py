"""What a request asks for: its model, its conversation, and the same for another model.

The body is read just far enough; all bytes but the model's name stay. Pure.
"""

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

import msgspec
from blake3 import blake3
from msgspec import Struct

from headroom.core.types import Span
from headroom.core.wire import json_spans
from headroom.errors import MalformedBodyError

_BLANKS = b" \t\r\n"
_MAX_FORM_HEAD_BYTES = 1024
_MAX_NAME_CHARS = 256
_MODEL_FIELD = re.compile(
    rb"(?i)\r\ncontent-disposition:[^\r\n]*;[ \t]*"
    rb"name(?:\*=utf-8'[^']*'model|=\"model\"|=model)[ \t]*[;\r]"
)
_BOUNDARY = re.compile(rb"(?i);[ \t]*boundary=(?:\"([^\"]+)\"|([^;\s\"]+))")


class Asked(Struct, frozen=True, gc=False):
    """What was read of a request.

    Attributes:
        model: the name asked for; empty if there is none.
        continues: id of the answer that it goes on from, which its backend keeps.
    """

    model: str
    continues: str = ""


class _Head(Struct):
    model: str = ""
    previous_response_id: str | None = None


class _Conversation(Struct):
    messages: msgspec.Raw = msgspec.Raw(b"")
    input: msgspec.Raw = msgspec.Raw(b"")
    contents: msgspec.Raw = msgspec.Raw(b"")


class _Said(Struct):
    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"")
    parts: msgspec.Raw = msgspec.Raw(b"")


_HEAD = msgspec.json.Decoder(_Head)
_HEAD_NAMES = _Head.__struct_fields__
_CONVERSATION = msgspec.json.Decoder(_Conversation)
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_SAID = msgspec.json.Decoder(_Said)


def read_json(body: bytes) -> Asked:
    """What a JSON body asks for.

    Raises:
        MalformedBodyError: it is no JSON object, its model is no text, or a member
            stands twice or is spelled with escapes: its backend could take another one
            than was counted.
    """
    try:
        found = _members(body)
        told = [(n, found[n]) for n in _HEAD_NAMES if n in found]
        parts = [b'"%b":%b' % (n.encode(), body[s.start : s.end]) for n, s in told]
        head = _HEAD.decode(b"{%b}" % b",".join(parts))
    except (MalformedBodyError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedBodyError(f"the request is not readable: {error}") from error
    if len(head.model) > _MAX_NAME_CHARS:
        raise MalformedBodyError("the model's name is too long")
    return Asked(head.model, head.previous_response_id or "")


def beginning(body: bytes) -> bytes:
    """A digest of how the conversation in a readable body begins; empty: no telling.

    That is the first thing the user said, cache markers aside: the same in all requests
    of a conversation, whatever is added to it.
    """
    try:
        found = _CONVERSATION.decode(body)
        raw = max(map(bytes, (found.messages, found.input, found.contents)), key=len)
        if not raw.startswith(b"["):
            return blake3(raw).digest() if raw else b""
        for item in _ITEMS.decode(raw):
            said = _SAID.decode(item)
            if said.role == "user":
                return blake3("\n".join(_texts(said)).encode()).digest()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return b""
    return b""


def is_form_of(kind: bytes, body: bytes) -> bool:
    """Whether a form begins with the boundary that its type names.

    Args:
        kind: the value of ``content-type``.
        body: the form.
    """
    named = _BOUNDARY.search(kind)
    boundary = (named[1] or named[2]) if named else b""
    return boundary != b"" and body.startswith(b"--%b\r\n" % boundary)


def read_form(body: bytes) -> Asked:
    """What a multipart form asks for.

    Raises:
        MalformedBodyError: it names several models.
    """
    span = _form_span(body)
    name = body[span[0] : span[1]] if span else b""
    return Asked(name.decode("latin-1")[:_MAX_NAME_CHARS])


def with_model(body: bytes, asked: str, name: str) -> bytes:
    """The JSON body with another model; the identical object if it has this one.

    Raises:
        MalformedBodyError: as for ``read_json``.
    """
    if asked == name:
        return body
    span = _members(body)["model"]
    return body[: span.start] + msgspec.json.encode(name) + body[span.end :]


def form_with_model(body: bytes, name: str) -> bytes:
    """The multipart form with another model."""
    span = _form_span(body)
    if span is None or any(mark in name for mark in "\r\n"):
        raise MalformedBodyError("the form's model cannot be replaced")
    return body[: span[0]] + name.encode() + body[span[1] :]


def model_in_path(path: bytes) -> str:
    """The model of a path of Gemini's; empty if it names none."""
    _, _, tail = path.partition(b"/models/")
    name, colon, _ = tail.partition(b":")
    is_name = bool(colon) and b"/" not in name and len(name) <= _MAX_NAME_CHARS
    return unquote(name.decode("latin-1")) if is_name else ""


def path_with_model(path: bytes, name: str) -> bytes:
    """Gemini's path with another model: ``…/models/NAME:method``."""
    head, _, tail = path.partition(b"/models/")
    _, _, method = tail.partition(b":")
    return b"%b/models/%b:%b" % (head, quote(name, safe="").encode(), method)


def _texts(said: _Said) -> Iterator[str]:
    raw = bytes(said.content) or bytes(said.parts)
    content = msgspec.json.decode(raw) if raw else ""
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            yield text


def _members(body: bytes) -> dict[str, Span]:
    """Where a request's members stand, be their texts UTF-8 or not."""
    start = len(body) - len(body.lstrip(_BLANKS))
    return json_spans.members(body, Span(start, len(body.rstrip(_BLANKS))))


def _form_span(body: bytes) -> tuple[int, int] | None:
    """Where the value of the form's field ``model`` stands; each part is read once.

    Raises:
        MalformedBodyError: there are several, of which the backend could take another.
    """
    first = body[: max(0, body.find(b"\r\n"))]
    if not first.startswith(b"--"):
        return None
    found: tuple[int, int] | None = None
    start = len(first)
    while (end := body.find(b"\r\n" + first, start)) >= 0:
        head = body.find(b"\r\n\r\n", start, min(end + 2, start + _MAX_FORM_HEAD_BYTES))
        if head >= 0 and _MODEL_FIELD.search(body, start, head + 2):
            if found is not None or end - head - 4 > _MAX_NAME_CHARS:
                raise MalformedBodyError("the form names no model, or several")
            found = head + 4, end
        start = end + 2 + len(first)
    return found
