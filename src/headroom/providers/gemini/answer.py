"""Gemini answers as values: what was said, what it cost.

``read_message`` reads a whole JSON answer (an object, or the list that
``streamGenerateContent`` sends without ``alt=sse``), ``stream`` builds the same values
from events. Every event is an answer of its own, with further parts and the figures so
far. Shapes: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse.
Only the first candidate is read: requests for several are never changed.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

from headroom.core.wire import json_parts
from headroom.errors import StreamError
from headroom.providers.gemini.parts import Part, read_part

Status: TypeAlias = Literal["open", "done", "errored", "truncated"]

COUNTS = {
    "promptTokenCount": "prompt",
    "toolUsePromptTokenCount": "tool_use",
    "cachedContentTokenCount": "cached",
    "candidatesTokenCount": "candidates",
    "thoughtsTokenCount": "thoughts",
}


class Usage(Struct, frozen=True, gc=False):
    """What the provider counted, by the names that all APIs' figures have here.

    ``input_tokens`` are the uncached ones only: the API's ``promptTokenCount`` includes
    what was read from a cache. Thoughts are billed as output.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


class Message(Struct, frozen=True, gc=False):
    """An answer as far as it was read.

    Attributes:
        status: ``done`` once the provider has said why it ended; ``errored`` if it
            reported an error or the answer cannot be read; ``truncated`` if the
            connection ended before that; else ``open``.
        finish_reason: the API's word; the reason a prompt was blocked for, if it was.
        counts: the API's own figures, by the names of ``COUNTS``.
        parts: of the first candidate, in the order they came.
        error: the JSON of the provider's error; empty if there was none.
        errors: what could not be read, in words.
    """

    status: Status
    id: str = ""
    model: str = ""
    finish_reason: str = ""
    counts: dict[str, int] = {}
    parts: tuple[Part, ...] = ()
    error: bytes = b""
    errors: tuple[str, ...] = ()

    @property
    def usage(self) -> Usage | None:
        """The figures; ``None`` if the provider gave none."""
        counts = self.counts
        if not counts:
            return None
        cached = counts.get("cached", 0)
        prompt = counts.get("prompt", 0) + counts.get("tool_use", 0)
        return Usage(
            input_tokens=max(0, prompt - cached),
            output_tokens=counts.get("candidates", 0) + counts.get("thoughts", 0),
            cache_read_input_tokens=cached,
        )


class Chunk(Struct, frozen=True, gc=False):
    """One answer, or one event of a streamed one."""

    id: str = ""
    model: str = ""
    finish_reason: str = ""
    counts: dict[str, int] = {}
    parts: tuple[Part, ...] = ()
    error: bytes = b""


def read_chunk(raw: bytes) -> Chunk:
    """One event.

    Raises:
        StreamError: it is broken.
    """
    members = json_parts.members(raw)
    if members.get("error", b"null") != b"null":
        return Chunk(error=members["error"])
    candidates = json_parts.elements(members.get("candidates", b"[]"))
    candidate = _object(candidates[0]) if candidates else {}
    feedback = _object(members.get("promptFeedback"))
    parts = _object(candidate.get("content")).get("parts", b"[]")
    usage = _object(members.get("usageMetadata"))
    counts = {
        field: count
        for name, field in COUNTS.items()
        if (count := json_parts.count(usage.get(name))) is not None
    }
    return Chunk(
        id=json_parts.string(members.get("responseId")),
        model=json_parts.string(members.get("modelVersion")),
        finish_reason=json_parts.string(candidate.get("finishReason"))
        or json_parts.string(feedback.get("blockReason")),
        counts=counts,
        parts=tuple(map(read_part, json_parts.elements(parts))),
    )


class OpenMessage:
    """An answer while its events come in."""

    def __init__(self) -> None:
        self.status: Status = "open"
        self._strings = {"id": "", "model": "", "finish_reason": ""}
        self._counts: dict[str, int] = {}
        self._parts: list[Part] = []
        self._error = b""

    def take(self, chunk: Chunk) -> None:
        """Add one event; of figures the latest hold."""
        if chunk.error:
            self.status = "errored"
            self._error = chunk.error
            return
        for name in self._strings:
            if value := getattr(chunk, name):
                self._strings[name] = value
        self._counts |= chunk.counts
        self._parts += chunk.parts
        if chunk.finish_reason:
            self.status = "done"

    def freeze(self, errors: tuple[str, ...] = ()) -> Message:
        """The answer as far as it has come."""
        return Message(
            status=self.status,
            counts=dict(self._counts),
            parts=tuple(self._parts),
            error=self._error,
            errors=errors,
            **self._strings,
        )


def read_message(body: bytes) -> Message:
    """Read a JSON answer, an error answer included; never raises."""
    message = OpenMessage()
    try:
        is_list = body.lstrip()[:1] == b"["
        for raw in json_parts.elements(body) if is_list else [body]:
            message.take(read_chunk(raw))
    except StreamError as error:
        message.status = "errored"
        return message.freeze((str(error),))
    if message.status == "open":
        message.status = "truncated"
    return message.freeze()


def _object(raw: bytes | None) -> dict[str, bytes]:
    return {} if raw is None or raw == b"null" else json_parts.members(raw)
