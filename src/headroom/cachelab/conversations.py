"""Recorded conversations, and the requests a real client makes of them.

Three kinds of files are read, told apart by their shape: whole conversations
(``{system, tools, messages}``, or the same under ``anthropic``), recordings of a client
(one request per line, with its ``body``), and directories of either; any file may be
compressed (``.xz``). Two conversations ship with the package, under names of their own.
A client sends the whole history on every turn: the request of turn k is everything up
to, not including, the k-th answer of the assistant.

Markers are set as the client sets them. ``newest``: the last system block, the last
block of the newest message and of the user message before it, as Claude Code does; they
move on every turn, and content that is a plain string becomes a block list while it is
marked. ``system``: only the first of these. ``as-recorded``: what the file says; a
recording's bodies are then sent byte for byte.

For other APIs, which need no markers, a file's own Chat conversation (under
``openai``) is taken for Chat Completions, else its Messages conversation is put into
the shape of the API.
"""

import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import msgspec
from msgspec import Struct

from headroom.cachelab import chat
from headroom.cachelab.client import Api, is_path, path_of
from headroom.cachelab.dialects import DIALECTS, Other
from headroom.cachelab.lab import CACHE_KEY_PREFIX, user_id
from headroom.cachelab.prefix import MARKER, Json, as_blocks
from headroom.errors import ConfigError
from headroom.providers.models import family_of

Markers: TypeAlias = Literal["newest", "system", "none", "as-recorded"]
MARKERS: tuple[Markers, ...] = get_args(Markers)
_DATA = Path(__file__).parent / "data"
SHIPPED = _DATA / "demo_conversation.json"
NAMED = {"demo": SHIPPED, "long": _DATA / "long_conversation.json.xz"}
"""Conversations that ship with the package, out of real commands (see ``scripts/``)."""

DEFAULT_MODEL = "claude-sonnet-4-5"
DEFAULT_CHAT_MODEL = "gpt-5"
DEFAULT_GEMINI_MODEL = "gemini-2.5-pro"

_BREAKPOINT: Json = {"type": "ephemeral"}
_MAX_TOKENS = 32_000


class Turn(Struct, frozen=True):
    """One request: parsed, or the recorded bytes.

    Attributes:
        end: how many of the conversation's messages it carries.
        follow_up: what the user says instead, after a rewind to the message before.
        path: where it was sent when it was recorded, query included.
    """

    end: int
    recorded: bytes = b""
    follow_up: str = ""
    path: str = ""


class Conversation(Struct, frozen=True):
    """One conversation of a client with the model.

    Attributes:
        messages: in the shape of ``api``.
        turns: its requests in order.
        is_recording: the turns hold the bodies as they were sent.
    """

    name: str
    model: str
    system: Any
    tools: list[Json]
    messages: list[Json]
    turns: tuple[Turn, ...]
    is_recording: bool = False
    api: Api = "messages"

    def answers(self) -> list[list[Json]]:
        """What the assistant says, turn by turn, without thinking blocks.

        Recorded thinking is signed by another provider, and stays in the history.
        """
        if self.api != "messages":
            return DIALECTS[self.api].answers(self.messages)
        return [
            [b for b in as_blocks(m["content"]) if "thinking" not in b["type"]]
            for m in self.messages
            if m["role"] == "assistant"
        ]

    def resent(self) -> "Conversation":
        """The same, with a middle turn sent again at the end and another way on."""
        middle = self.turns[len(self.turns) // 2]
        way_on = Turn(min(middle.end + 1, len(self.messages)), follow_up=_OTHER_WAY)
        extra = (middle,) if self.is_recording else (middle, way_on)
        return msgspec.structs.replace(self, turns=(*self.turns, *extra))


_OTHER_WAY = (
    "Stop here, please. Let us try another way: explain first what you have found so "
    "far, then propose the smallest change that could work."
)


class Sending(Struct, frozen=True):
    """How requests are made out of conversations.

    Attributes:
        model: instead of the recorded one; empty: the recorded one, or a default where
            the file names a placeholder.
        thinks: thinking is switched on.
    """

    markers: Markers = "newest"
    model: str = ""
    is_stream: bool = True
    thinks: bool = False


def load(paths: list[Path], api: Api = "messages") -> list[Conversation]:
    """The conversations in files and directories, in the order of their names.

    Args:
        paths: files, directories, and names out of ``NAMED`` that are no files here.
        api: whose requests are to be made of them.

    Raises:
        ConfigError: a path does not exist or holds no conversation that can be sent to
            the API.
    """
    found: list[Conversation] = []
    for given in paths:
        path = given if given.exists() else NAMED.get(str(given), given)
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if _plain(p).suffix in _SUFFIXES)
            inside = [c for file in files for c in _load_file(file, api)]
            if not inside:
                raise ConfigError(f"no conversations in {path}")
            found += inside
        else:
            one = list(_load_file(path, api))
            if not one:
                raise ConfigError(f"no {_NAMES[api]} API conversation in {path}")
            found += one
    return found


def request_body(
    conversation: Conversation,
    turn: Turn,
    sending: Sending,
    copy: str,
    history: list[Json] | None = None,
) -> bytes:
    """The bytes a client sends for one turn, compact UTF-8.

    Args:
        conversation: where the turn is from.
        turn: which one.
        sending: markers, model and the like.
        copy: the conversation's id at the provider.
        history: the messages to send instead of the recorded ones.
    """
    if turn.recorded:
        return _recorded_body(conversation, turn, sending)
    messages = list((history or conversation.messages)[: turn.end])
    if conversation.api != "messages":
        return _other_body(conversation, turn, sending, copy, messages)
    if turn.follow_up:
        messages.append(_follow_up(messages, turn.follow_up))
    body: Json = {"model": sending.model or conversation.model, "messages": messages}
    if conversation.system:
        body["system"] = conversation.system
    if conversation.tools:
        body["tools"] = conversation.tools
    body["metadata"] = {"user_id": user_id(copy)}
    body["max_tokens"] = _MAX_TOKENS
    if sending.thinks:
        body["thinking"] = {"type": "adaptive"}
    body["stream"] = sending.is_stream
    if sending.markers != "as-recorded":
        _mark(body, sending.markers)
    return msgspec.json.encode(body)


def request_path(conversation: Conversation, turn: Turn, sending: Sending) -> str:
    """Where a client sends one turn."""
    api, model = conversation.api, sending.model or conversation.model
    if turn.path and api == "gemini" and not sending.model:
        return turn.path
    is_stream = "stream" in turn.path if turn.path else sending.is_stream
    return path_of(api, model, is_stream=is_stream)


def _other_body(
    conversation: Conversation,
    turn: Turn,
    sending: Sending,
    copy: str,
    messages: list[Json],
) -> bytes:
    assert conversation.api != "messages"
    dialect = DIALECTS[conversation.api]
    if turn.follow_up:
        messages += dialect.follow_up(messages, turn.follow_up)
    model = sending.model or conversation.model
    body: Json = {"model": model, dialect.history: messages}
    if conversation.tools:
        body["tools"] = conversation.tools
    if dialect.system and conversation.system:
        body[dialect.system] = conversation.system
    if dialect.is_named_by_path:
        del body["model"]
    else:
        body["prompt_cache_key"] = f"{CACHE_KEY_PREFIX}{copy}"
    return msgspec.json.encode(body | dialect.settings(sending.is_stream))


def _recorded_body(conversation: Conversation, turn: Turn, sending: Sending) -> bytes:
    is_marking = sending.markers != "as-recorded" and conversation.api == "messages"
    names_model = bool(sending.model) and conversation.api != "gemini"
    if not is_marking and not names_model:
        return turn.recorded
    body: Json = msgspec.json.decode(turn.recorded)
    if names_model:
        body["model"] = sending.model
    if is_marking:
        _mark(body, sending.markers)
    return msgspec.json.encode(body)


def _follow_up(messages: list[Json], text: str) -> Json:
    """What the user types after the last of ``messages``: calls are cut short first."""
    calls = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "Interrupted."}
        for block in as_blocks(messages[-1]["content"])
        if block["type"] == "tool_use"
    ]
    return {"role": "user", "content": [*calls, {"type": "text", "text": text}]}


def _mark(body: Json, markers: Markers) -> None:
    """Take every recorded marker out of ``body`` and set those the client would set."""
    system: Any = body.get("system")
    system = [_bare(b) for b in system] if isinstance(system, list) else system
    tools = [_bare(tool) for tool in body.get("tools") or ()]
    messages = [_bare_message(message) for message in body["messages"]]
    if markers != "none" and system:
        blocks = as_blocks(system)
        system = [*blocks[:-1], {**blocks[-1], MARKER: _BREAKPOINT}]
    elif markers != "none" and tools:
        tools = [*tools[:-1], {**tools[-1], MARKER: _BREAKPOINT}]
    if markers == "newest":
        users = [n for n, m in enumerate(messages) if m["role"] == "user"]
        for number in users[-2:]:
            messages[number] = _mark_last_block(messages[number])
    body["messages"] = messages
    if system:
        body["system"] = system
    if tools:
        body["tools"] = tools


def _mark_last_block(message: Json) -> Json:
    blocks = as_blocks(message["content"])
    last = {**blocks[-1], MARKER: _BREAKPOINT}
    return {**message, "content": [*blocks[:-1], last]}


def _bare(block: Json) -> Json:
    if MARKER in block:
        return {key: block[key] for key in block if key != MARKER}
    return block


def _bare_message(message: Json) -> Json:
    if not isinstance(message["content"], list):
        return message
    return {**message, "content": [_bare_block(b) for b in message["content"]]}


def _bare_block(block: Json) -> Json:
    if block["type"] == "tool_result" and isinstance(block.get("content"), list):
        block = {**block, "content": [_bare(part) for part in block["content"]]}
    return _bare(block)


_SUFFIXES = {".json", ".jsonl"}
_NAMES: dict[Api, str] = {
    "messages": "Messages",
    "chat": "Chat Completions",
    "responses": "Responses",
    "gemini": "Gemini",
}


class _Line(Struct):
    """One line of a client's recording; lines of other APIs lack some of it."""

    path: str = ""
    method: str = ""
    body: msgspec.Raw = msgspec.Raw(b"null")


def _plain(path: Path) -> Path:
    """The name of the file as it is when it is not compressed."""
    return path.with_suffix("") if path.suffix == ".xz" else path


def _load_file(path: Path, api: Api) -> Iterator[Conversation]:
    try:
        data = path.read_bytes()
        data = lzma.decompress(data) if path.suffix == ".xz" else data
    except (OSError, lzma.LZMAError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    path = _plain(path)
    try:
        if path.suffix == ".jsonl":
            yield from _recording(path.stem, data, api)
            return
        whole = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(whole, dict):
        return
    inner, name = whole.get("anthropic", whole), "anthropic"
    if api == "chat" and whole.get("openai"):
        inner, name = whole["openai"], "openai"
    elif api != "messages":
        inner, name = _put(inner, api), api
    messages = inner.get(_history(api))
    if isinstance(messages, list) and messages:
        find = chat.turn_ends if api == "messages" else DIALECTS[api].turn_ends
        ends = whole.get("slice", {}).get(name) or find(messages)
        turns = tuple(Turn(end) for end in ends if end)
        named = whole.get("id", path.stem)
        yield _conversation(str(named), inner, turns, api)


def _history(api: Api) -> str:
    return "messages" if api == "messages" else DIALECTS[api].history


def _put(inner: Json, api: Other) -> Json:
    """A Messages conversation in the shape of another API."""
    if not isinstance(inner.get("messages"), list):
        return {}
    return {**DIALECTS[api].from_messages(inner), "model": inner.get("model")}


def _recording(name: str, data: bytes, api: Api) -> Iterator[Conversation]:
    turns: list[Turn] = []
    history = _history(api)
    longest: Json = {history: []}
    for text in data.splitlines():
        if not text.strip():
            continue
        line = msgspec.json.decode(text, type=_Line)
        if line.method != "POST" or not is_path(api, line.path):
            continue
        body: Json = msgspec.json.decode(line.body)
        if not isinstance(body.get(history), list):
            continue
        end, sent = len(body[history]), bytes(line.body)
        turns.append(Turn(end, recorded=sent, path=line.path))
        if len(body[history]) > len(longest[history]):
            longest = body
    if turns:
        found = _conversation(name, longest, tuple(turns), api)
        yield msgspec.structs.replace(found, is_recording=True)


def _conversation(
    name: str, inner: Json, turns: tuple[Turn, ...], api: Api
) -> Conversation:
    model = inner.get("model")
    family, default = ("claude", DEFAULT_MODEL)
    if api == "gemini":
        family, default = ("gemini", DEFAULT_GEMINI_MODEL)
    elif api != "messages":
        family, default = ("openai", DEFAULT_CHAT_MODEL)
    is_real = isinstance(model, str) and family_of(model) == family
    return Conversation(
        name=name,
        model=str(model) if is_real else default,
        system=inner.get("system", ""),
        tools=inner.get("tools") or [],
        messages=inner[_history(api)],
        turns=turns,
        api=api,
    )
