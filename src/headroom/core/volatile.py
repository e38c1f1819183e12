"""Finds what changes from request to request in what stands in front: read-only.

A timestamp, a random id or a token in the system prompt or a tool definition makes
every request a new prefix, so that nothing is ever read from the cache. Whoever wrote
it there can move it behind the conversation; all Headroom does is say where it is.

Words are told without regular expressions, each by the parser for its kind: UUIDs of
version 4, ISO 8601 times (a date alone is stable for a day), JSON Web Tokens, and
hashes of 32, 40 or 64 hex digits. Of JSON, members whose names speak of an id of the
request count whatever they hold. Ordinary prose gives nothing.
"""

import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from headroom.core.types import RequestView, Span
from headroom.core.wire import json_spans
from headroom.core.wire.json_spans import elements, is_array, is_object, is_string
from headroom.errors import MalformedBodyError

VolatileKind: TypeAlias = Literal[
    "uuid_v4", "iso8601_timestamp", "jwt", "hex_hash", "id_field"
]

MAX_FINDINGS = 10
MAX_SAMPLE_BYTES = 80
MAX_SCANNED_BYTES = 256 * 1024
"""Of one request; what comes behind is not looked at."""
_MAX_DEPTH = 24

_ID_WORDS = ("request_id", "trace_id", "session_id", "correlation_id")
_HASH_LENGTHS = frozenset({32, 40, 64})
_UUID_CHARS = 36
_HEX = frozenset("0123456789abcdefABCDEF")
_BASE64URL = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)
_AROUND = "\"'`()[]{}<>,;.!?="
_MIN_JWT_PART = 8
_MIN_CHARS = len("20260101T00")


class Finding(Struct, frozen=True, gc=False):
    """One thing that changes.

    Attributes:
        where: path in the body: ``system[0].text``, ``tools[3].description``.
        sample: the beginning of it, for a person who looks for it.
    """

    kind: VolatileKind
    where: str
    sample: str


def scan(view: RequestView) -> tuple[Finding, ...]:
    """What changes in front of the messages of a request, and in its first one.

    Returns:
        At most ``MAX_FINDINGS``, in the order of the body.
    """
    found: list[Finding] = []
    for finding in _findings(view):
        found.append(finding)
        if len(found) == MAX_FINDINGS:
            break
    return tuple(found)


def _findings(view: RequestView) -> Iterator[Finding]:
    left = MAX_SCANNED_BYTES
    for where, span in _front(view):
        left -= span.end - span.start
        if left < 0:
            return
        try:
            yield from _in_value(view.body, span, where, 0)
        except MalformedBodyError:
            continue


def _front(view: RequestView) -> Iterator[tuple[str, Span]]:
    for span in view.text_before:
        yield ("tools" if span == view.tools else "system"), span
    for index, message in enumerate(view.messages):
        if message.role != "other":
            break
        yield f"messages[{index}]", message.span


def _in_value(body: bytes, span: Span, where: str, depth: int) -> Iterator[Finding]:
    if depth > _MAX_DEPTH:
        return
    if is_string(body, span):
        if json_spans.has_half_pair(body, span):
            return
        for kind, word in volatile_words(json_spans.string(body, span)):
            yield Finding(kind, where, clipped(word))
    elif is_array(body, span):
        for number, element in enumerate(elements(body, span)):
            yield from _in_value(body, element, f"{where}[{number}]", depth + 1)
    elif is_object(body, span):
        for name, value in json_spans.members(body, span).items():
            inner = f"{where}.{name}"
            if _is_id(name) and not is_object(body, value):
                sample = value.of(body).decode("utf-8", "replace")
                yield Finding("id_field", inner, clipped(sample.strip('"')))
            else:
                yield from _in_value(body, value, inner, depth + 1)


def _is_id(name: str) -> bool:
    lowered = name.lower().replace("-", "_")
    return any(word in lowered for word in _ID_WORDS)


def volatile_words(text: str) -> Iterator[tuple[VolatileKind, str]]:
    """The words of a text that change from request to request, in order."""
    for word in _words(text):
        kind = _kind_of(word)
        if kind is not None:
            yield kind, word


def _words(text: str) -> Iterator[str]:
    """Words that could be one, and what is glued to a name: ``id=…``, ``at:…``."""
    for piece in text.split():
        word = piece.strip(_AROUND)
        if len(word) < _MIN_CHARS or not any(c.isdigit() for c in word):
            continue
        yield word
        for mark in ("=", ":"):
            name, found, rest = word.partition(mark)
            if found and name.replace("-", "_").isidentifier():
                yield rest.strip(_AROUND)


def _kind_of(word: str) -> VolatileKind | None:
    if len(word) == _UUID_CHARS and word.count("-") == 4:
        return "uuid_v4" if _is_uuid4(word) else None
    if len(word) in _HASH_LENGTHS and _HEX.issuperset(word):
        # Digits alone, or letters alone, are no hash.
        return None if word.isdigit() or word.isalpha() else "hex_hash"
    if word.count(".") == 2 and _is_jwt(word):
        return "jwt"
    if word[:2].isdigit() and "T" in word and _is_time(word):
        return "iso8601_timestamp"
    return None


def _is_uuid4(word: str) -> bool:
    try:
        found = uuid.UUID(word)
    except ValueError:
        return False
    return found.version == 4 and found.variant == uuid.RFC_4122


def _is_jwt(word: str) -> bool:
    parts = word.split(".")
    return word.startswith("ey") and all(
        len(part) >= _MIN_JWT_PART and _BASE64URL.issuperset(part) for part in parts
    )


def _is_time(word: str) -> bool:
    try:
        datetime.fromisoformat(word)
    except ValueError:
        return False
    return True


def clipped(text: str) -> str:
    """The beginning of a text, cut between characters."""
    data = text.encode("utf-8", "replace")
    return data[:MAX_SAMPLE_BYTES].decode("utf-8", "ignore")


def kinds_of(findings: Iterable[Finding]) -> tuple[VolatileKind, ...]:
    """The kinds found, each once, in order."""
    return tuple(dict.fromkeys(finding.kind for finding in findings))
