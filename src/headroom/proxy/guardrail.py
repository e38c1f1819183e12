"""LiteLLM's Generic Guardrail API: its calls as messages, its answers as texts.

The plug-in ``generic_guardrail_api`` posts to ``PATH`` before each call: the whole
conversation in the shape of Chat Completions (``structured_messages``), its tools, and
once more all texts that may be replaced (``texts``), in the order in which they stand.
Texts come back in the same order, and LiteLLM writes each where it stood in the request
of its client, whose own shape and cache markers stay. For the Responses API it lists no
results among the texts; then the messages come back, and it puts those that changed
into the client's items (1.106.2, ``litellm/llms/*/*/guardrail_translation``;
<https://docs.litellm.ai/docs/adding_provider/generic_guardrail_api>).

What always holds: as many texts or messages go back as came; nothing is ever blocked.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from headroom.core.wire import json_spans
from headroom.errors import MalformedBodyError

_T = TypeVar("_T")

PATH = "/beta/litellm_basic_guardrail_api"

NOTHING = b'{"action":"NONE"}'
"""The answer that leaves a request as it is."""

INTERVENED = "GUARDRAIL_INTERVENED"
"""What an answer with other texts says it has done."""

_EMPTY = msgspec.Raw(b"null")


class _Asked(Struct):
    """What of a call is looked at."""

    input_type: Any = ""
    structured_messages: msgspec.Raw = _EMPTY
    tools: msgspec.Raw = _EMPTY
    model: msgspec.Raw = _EMPTY
    texts: msgspec.Raw = _EMPTY
    additional_provider_specific_params: msgspec.Raw = _EMPTY


class _Texts(Struct):
    texts: list[str]


class _Messages(Struct):
    messages: list[dict[str, Any]]


def conversation(body: bytes) -> bytes:
    """A call as a request of ``/v1/compress``; empty: there is nothing to compress.

    Raises:
        MalformedBodyError: it is no object in JSON.
    """
    try:
        asked = _read(body)
    except (MalformedBodyError, UnicodeDecodeError, RecursionError) as error:
        if _is_readable(body):
            return b""
        raise MalformedBodyError(f"{error}; expected a guardrail's request") from None
    messages = bytes(asked.structured_messages)
    if asked.input_type != "request" or messages[:1] != b"[":
        return b""
    if bytes(asked.texts)[:1] != b"[":
        return b""
    members = [b'"messages":' + messages]
    for name, value in (
        (b"model", asked.model),
        (b"tools", asked.tools),
        (b"metadata", asked.additional_provider_specific_params),
    ):
        if bytes(value) != b"null":
            members.append(b'"%b":%b' % (name, bytes(value)))
    return b"{%b}" % b",".join(members)


def answer(body: bytes, before: bytes, after: bytes) -> bytes:
    """The answer to a call whose conversation became another.

    Args:
        body: the call.
        before: its ``conversation``.
        after: the same with other texts.
    """
    if before == after:
        return NOTHING
    try:
        texts = _decoded(body, _Texts).texts
    except msgspec.DecodeError:
        return NOTHING
    places: dict[str, list[int]] = defaultdict(list)
    for index in range(len(texts) - 1, -1, -1):
        places[texts[index]].append(index)
    made = list(texts)
    for old, new in zip(_texts(before), _texts(after), strict=True):
        # Equal texts stand in the same order among the messages and among the texts.
        if places.get(old):
            made[places[old].pop()] = new
        elif new != old:
            rows = json_spans.members(after, json_spans.whole(after))["messages"]
            return b'{"action":"%b","texts":%b,"structured_messages":%b}' % (
                INTERVENED.encode(),
                _encoded(texts),
                rows.of(after),
            )
    return _encoded({"action": INTERVENED, "texts": made})


def _read(body: bytes) -> _Asked:
    """The call; half a surrogate pair in one of its texts stands in no other's way.

    Raises:
        MalformedBodyError: it is no object in JSON.
    """
    try:
        return msgspec.json.decode(body, type=_Asked)
    except msgspec.DecodeError:
        found = json_spans.members(body, json_spans.whole(body))
    raws = {
        name: msgspec.Raw(found[name].of(body))
        for name in _Asked.__struct_fields__
        if name in found
    }
    is_request = raws.pop("input_type", _EMPTY) == msgspec.Raw(b'"request"')
    return _Asked("request" if is_request else "", **raws)


def _decoded(data: bytes, kind: type[_T]) -> _T:
    """JSON as a value; the slower reader knows half surrogate pairs, too.

    Raises:
        msgspec.DecodeError: it is of another shape.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return msgspec.convert(json.loads(data), kind)


def _encoded(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def _is_readable(body: bytes) -> bool:
    """Whether it is an object that the standard reader takes: half a surrogate pair."""
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _texts(conversation: bytes) -> Iterator[str]:
    """The texts of all messages, in order."""
    for message in _decoded(conversation, _Messages).messages:
        content = message.get("content")
        if isinstance(content, str):
            yield content
        for part in content if isinstance(content, list) else ():
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str):
                yield text
