"""Chat Completions answers as values: what was said, what it cost.

``read_message`` reads a JSON answer, ``stream`` builds the same values from chunks.
Shapes: https://platform.openai.com/docs/api-reference/chat/object. The arguments of a
tool call stay the string they are: a model may write anything into it.
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

from headroom.core.wire import json_parts
from headroom.errors import StreamError

Status: TypeAlias = Literal["open", "done", "errored", "truncated"]

TEXTS = ("content", "refusal", "reasoning_content")
"""Members of a message that deltas append to; the last is no OpenAI's own, but many
compatible servers send a model's thoughts in it."""


class Usage(Struct, frozen=True, gc=False):
    """What the provider counted, by the names that all APIs' figures have here.

    ``input_tokens`` are the uncached ones only: the provider's ``prompt_tokens`` are
    the sum of them, the cache writes and the cache reads.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


class Call(Struct, frozen=True, gc=False):
    """One tool call; ``arguments`` is a custom tool's ``input`` where it has one."""

    index: int
    id: str = ""
    type: str = ""
    name: str = ""
    arguments: str = ""


class Choice(Struct, frozen=True, gc=False):
    """One of the answers; mostly there is one.

    Attributes:
        finish_reason: empty as long as it goes on.
    """

    index: int
    role: str = ""
    content: str = ""
    refusal: str = ""
    reasoning_content: str = ""
    tool_calls: tuple[Call, ...] = ()
    finish_reason: str = ""


class Message(Struct, frozen=True, gc=False):
    """An answer as far as it was read.

    Attributes:
        status: ``done`` if complete; ``errored`` if the provider reported an error or
            the answer cannot be read; ``truncated`` if the connection ended before
            ``[DONE]``; else ``open``.
        usage: ``None`` if the provider gave no figures.
        choices: by index.
        error: the JSON of the provider's error; empty if there was none.
        errors: what could not be read, in words.
        unknown: unknown members of deltas, with how many of each.
    """

    status: Status
    id: str = ""
    model: str = ""
    usage: Usage | None = None
    choices: tuple[Choice, ...] = ()
    error: bytes = b""
    errors: tuple[str, ...] = ()
    unknown: tuple[tuple[str, int], ...] = ()


class OpenCall:
    """A tool call while its deltas come in."""

    __slots__ = ("_arguments", "_index", "_strings")

    def __init__(self, index: int) -> None:
        self._index = index
        self._strings = {"id": "", "type": "", "name": ""}
        self._arguments: list[str] = []

    def take(self, members: dict[str, bytes]) -> None:
        """Add one delta; id, type and name come once, with the first.

        Raises:
            StreamError: a member is broken.
        """
        what = members.get("function") or members.get("custom") or b"{}"
        inner = json_parts.members(what)
        for name, value in (
            ("id", members.get("id")),
            ("type", members.get("type")),
            ("name", inner.get("name")),
        ):
            self._strings[name] = self._strings[name] or json_parts.string(value)
        for name in ("arguments", "input"):
            if piece := json_parts.string(inner.get(name)):
                self._arguments.append(piece)

    def freeze(self) -> Call:
        """The call as far as it has come."""
        arguments = json_parts.joined(self._arguments)
        return Call(self._index, arguments=arguments, **self._strings)


class OpenChoice:
    """One answer while its deltas come in."""

    __slots__ = ("_calls", "_finish_reason", "_index", "_role", "_texts")

    def __init__(self, index: int) -> None:
        self._index = index
        self._role = ""
        self._finish_reason = ""
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[int, OpenCall] = {}

    @property
    def is_finished(self) -> bool:
        """The provider has said why it ended."""
        return bool(self._finish_reason)

    def take(self, choice: dict[str, bytes], member: str) -> Iterable[str]:
        """Add what a choice says; return names of members that are not known.

        Args:
            choice: its members.
            member: the one that holds what is said: ``delta`` or ``message``.

        Raises:
            StreamError: a member is broken.
        """
        if reason := json_parts.string(choice.get("finish_reason")):
            self._finish_reason = reason
        delta = json_parts.members(_object(choice.get(member)))
        unknown = []
        for name, raw in delta.items():
            if name in TEXTS:
                if text := json_parts.string(raw):
                    self._texts.setdefault(name, []).append(text)
            elif name == "role":
                self._role = self._role or json_parts.string(raw)
            elif name == "tool_calls":
                self._take_calls(raw)
            elif raw != b"null":
                unknown.append(name)
        return unknown

    def _take_calls(self, raw: bytes) -> None:
        for number, entry in enumerate(json_parts.elements(raw)):
            members = json_parts.members(entry)
            index = json_parts.count(members.get("index"))
            index = number if index is None else index
            call = self._calls.get(index)
            if call is None:
                call = self._calls[index] = OpenCall(index)
            call.take(members)

    def freeze(self) -> Choice:
        """The answer as far as it has come."""
        texts = {name: json_parts.joined(found) for name, found in self._texts.items()}
        return Choice(
            index=self._index,
            role=self._role,
            tool_calls=tuple(call.freeze() for _, call in sorted(self._calls.items())),
            finish_reason=self._finish_reason,
            **texts,
        )


def read_message(body: bytes) -> Message:
    """Read a JSON answer, an error answer included; never raises."""
    try:
        return _read_message(json_parts.members(body))
    except StreamError as error:
        return Message(status="errored", errors=(str(error),))


def _read_message(members: dict[str, bytes]) -> Message:
    if members.get("error", b"null") != b"null":
        return Message(status="errored", error=members["error"])
    choices = []
    for number, raw in enumerate(json_parts.elements(members.get("choices", b"[]"))):
        found = json_parts.members(raw)
        index = json_parts.count(found.get("index"))
        choice = OpenChoice(number if index is None else index)
        choice.take(found, "message")
        choices.append(choice.freeze())
    return Message(
        status="done",
        id=json_parts.string(members.get("id")),
        model=json_parts.string(members.get("model")),
        usage=read_usage(members.get("usage")),
        choices=tuple(choices),
    )


def read_usage(raw: bytes | None) -> Usage | None:
    """The figures of a ``usage`` object; ``None`` where there is none.

    Raises:
        StreamError: it is broken.
    """
    if raw is None or raw == b"null":
        return None
    members = json_parts.members(raw)
    details = json_parts.members(_object(members.get("prompt_tokens_details")))
    prompt = json_parts.count(members.get("prompt_tokens")) or 0
    # DeepSeek has a name of its own: https://api-docs.deepseek.com/guides/kv_cache
    read = json_parts.count(details.get("cached_tokens")) or json_parts.count(
        members.get("prompt_cache_hit_tokens")
    )
    written = json_parts.count(details.get("cache_write_tokens")) or 0
    read = read or 0
    return Usage(
        input_tokens=max(0, prompt - read - written),
        output_tokens=json_parts.count(members.get("completion_tokens")) or 0,
        cache_creation_input_tokens=written,
        cache_read_input_tokens=read,
    )


def _object(raw: bytes | None) -> bytes:
    return b"{}" if raw is None or raw == b"null" else raw
