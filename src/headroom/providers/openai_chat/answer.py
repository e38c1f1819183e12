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

TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
"""Members of a message that deltas append to; the last two are no OpenAI's own, but
many compatible servers send a model's thoughts in them."""

LISTS = ("reasoning_details", "thinking_blocks")
"""Members whose elements come one after the other, with seals that must be sent back:
https://openrouter.ai/docs/use-cases/reasoning-tokens."""

_CALL_MEMBERS = frozenset({"index", "id", "type", "function", "custom"})
_GROWING = frozenset({"text", "summary", "data", "thinking", "signature"})


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
    """One tool call; ``arguments`` is a custom tool's ``input`` where it has one.

    Attributes:
        extra: members that are no OpenAI's own, as JSON: seals that must be sent back
            (https://ai.google.dev/gemini-api/docs/thought-signatures).
    """

    index: int
    id: str = ""
    type: str = ""
    name: str = ""
    arguments: str = ""
    extra: tuple[tuple[str, bytes], ...] = ()


class Choice(Struct, frozen=True, gc=False):
    """One of the answers; mostly there is one.

    Attributes:
        finish_reason: empty as long as it goes on.
        lists: the JSON arrays of ``LISTS`` that are not empty, by name.
    """

    index: int
    role: str = ""
    content: str = ""
    refusal: str = ""
    reasoning_content: str = ""
    reasoning: str = ""
    lists: tuple[tuple[str, bytes], ...] = ()
    tool_calls: tuple[Call, ...] = ()
    finish_reason: str = ""


class Message(Struct, frozen=True, gc=False):
    """An answer as far as it was read.

    Attributes:
        status: ``done`` if complete; ``errored`` if the provider reported an error or
            the answer cannot be read; ``truncated`` if the connection ended before
            ``[DONE]``; else ``open``.
        service_tier: the tier that served it.
        usage: ``None`` if the provider gave no figures.
        choices: by index.
        error: the JSON of the provider's error; empty if there was none.
        errors: what could not be read, in words.
        unknown: unknown members of deltas, with how many of each.
    """

    status: Status
    id: str = ""
    model: str = ""
    service_tier: str = ""
    usage: Usage | None = None
    choices: tuple[Choice, ...] = ()
    error: bytes = b""
    errors: tuple[str, ...] = ()
    unknown: tuple[tuple[str, int], ...] = ()


class CallOrder:
    """Tells which call of an answer a delta belongs to.

    By its index; but some servers give every call the same one, or none, and send each
    call whole: a name under another id begins a call of its own.
    """

    __slots__ = ("_count", "_ids", "_latest")

    def __init__(self) -> None:
        self._count = 0
        self._latest: dict[int, int] = {}
        self._ids: dict[int, str] = {}

    def place(self, members: dict[str, bytes], number: int) -> tuple[int, int]:
        """The call's place in the order of appearance, and the index it was given.

        Args:
            members: of the delta.
            number: of the delta in its list.

        Raises:
            StreamError: a member is broken.
        """
        index = json_parts.count(members.get("index"))
        index = number if index is None else index
        call_id = json_parts.string(members.get("id"))
        found = self._latest.get(index)
        known_id = "" if found is None else self._ids[found]
        is_another = known_id and call_id not in {"", known_id} and call_name(members)
        if found is None or is_another:
            found = self._latest[index] = self._count
            self._count += 1
            self._ids[found] = call_id
        self._ids[found] = self._ids[found] or call_id
        return found, index


def call_name(members: dict[str, bytes]) -> str:
    """The tool's name in a call or in a delta of one; empty if it is not in there.

    Raises:
        StreamError: a member is broken.
    """
    what = members.get("function") or members.get("custom") or b"{}"
    return json_parts.string(json_parts.members(_object(what)).get("name"))


class OpenCall:
    """A tool call while its deltas come in."""

    __slots__ = ("_arguments", "_extra", "_index", "_strings")

    def __init__(self, index: int) -> None:
        self._index = index
        self._extra: dict[str, bytes] = {}
        self._strings = {"id": "", "type": "", "name": ""}
        self._arguments: list[str] = []

    def take(self, members: dict[str, bytes]) -> None:
        """Add one delta; id, type and name come once, with the first.

        Raises:
            StreamError: a member is broken.
        """
        what = members.get("function") or members.get("custom") or b"{}"
        inner = json_parts.members(_object(what))
        for name, value in (
            ("id", members.get("id")),
            ("type", members.get("type")),
            ("name", inner.get("name")),
        ):
            self._strings[name] = self._strings[name] or json_parts.string(value)
        for name in ("arguments", "input"):
            if piece := json_parts.string(inner.get(name)):
                self._arguments.append(piece)
        for name, raw in members.items():
            if name not in _CALL_MEMBERS and raw != b"null":
                self._extra[name] = raw

    def freeze(self) -> Call:
        """The call as far as it has come."""
        arguments = json_parts.joined(self._arguments)
        extra = tuple(self._extra.items())
        return Call(self._index, arguments=arguments, extra=extra, **self._strings)


class OpenChoice:
    """One answer while its deltas come in."""

    __slots__ = (
        "_calls", "_finish_reason", "_index", "_lists", "_order", "_role", "_texts",
    )  # fmt: skip

    def __init__(self, index: int) -> None:
        self._index = index
        self._order = CallOrder()
        self._lists: dict[str, list[bytes]] = {}
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
            elif name in LISTS:
                self._lists.setdefault(name, []).extend(json_parts.elements(raw))
            elif raw != b"null":
                unknown.append(name)
        return unknown

    def _take_calls(self, raw: bytes) -> None:
        for number, entry in enumerate(json_parts.elements(raw)):
            members = json_parts.members(entry)
            place, index = self._order.place(members, number)
            call = self._calls.get(place)
            if call is None:
                call = self._calls[place] = OpenCall(index)
            call.take(members)

    def freeze(self) -> Choice:
        """The answer as far as it has come."""
        texts = {name: json_parts.joined(found) for name, found in self._texts.items()}
        lists = {name: _merged(found) for name, found in self._lists.items() if found}
        calls = [call.freeze() for _, call in sorted(self._calls.items())]
        return Choice(
            index=self._index,
            role=self._role,
            tool_calls=tuple(sorted(calls, key=lambda call: call.index)),
            finish_reason=self._finish_reason,
            lists=tuple(lists.items()),
            **texts,
        )


def _merged(elements: list[bytes]) -> bytes:
    """A list whose elements may have come in pieces: those of one index in a row."""
    whole: list[dict[str, bytes]] = []
    try:
        for raw in elements:
            members = json_parts.members(raw)
            if whole and _goes_on(whole[-1], members):
                _append(whole[-1], members)
            else:
                whole.append(members)
    except StreamError:
        return b"[%b]" % b",".join(elements)
    return b"[%b]" % b",".join(map(json_parts.encode_object, whole))


def _goes_on(last: dict[str, bytes], members: dict[str, bytes]) -> bool:
    return "index" in members and all(
        last.get(name) == members.get(name) for name in ("index", "type")
    )


def _append(last: dict[str, bytes], members: dict[str, bytes]) -> None:
    for name, value in members.items():
        if name in _GROWING and last.get(name, b"null") != b"null":
            pieces = [json_parts.string(last[name]), json_parts.string(value)]
            last[name] = json_parts.encode_string(json_parts.joined(pieces))
        elif value != b"null":
            last[name] = value


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
        service_tier=json_parts.string(members.get("service_tier")),
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
