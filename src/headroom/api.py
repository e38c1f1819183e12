"""The library's face: compress texts and message lists, get originals back.

No server is needed. Everything is a pure function of its arguments (but for the store,
if one is given), so that a prefix of a conversation compresses to the same bytes
whenever and wherever it is compressed: provider caches stay warm without any state.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from headroom.core import digest, markers
from headroom.core.pipeline import compress_block
from headroom.core.protocols import Store
from headroom.core.tool_choice import is_retrieval_tool
from headroom.core.types import (
    KINDS,
    BlockOutcome,
    BlockTask,
    Manifest,
    ManifestEntry,
    Policy,
    Slot,
    Span,
    ToolCall,
)
from headroom.errors import ConfigError
from headroom.inference.tokens import count_tokens, counter_for

__all__ = [
    "Message",
    "MessagesResult",
    "TextResult",
    "compress",
    "compress_text",
    "count_tokens",
    "retrieve",
]

Message = dict[str, Any]
"""One message of a provider's API, as its SDK takes it: JSON of any shape."""


class TextResult(Struct, frozen=True):
    """What became of one text.

    Attributes:
        text: the shorter text, or the text itself if nothing was gained.
        tokens_before: tokens of the original, by the model's counter.
        tokens_after: tokens of ``text``.
        lossless: every fact can be read in ``text``.
        strategy: the encoding used; empty if none was.
        kind: one of the twelve kinds; empty if none was recognised.
        marker: the marker in ``text`` that names the stored original; else empty.
        omitted: what is missing, in units of the source; empty if lossless.
        original: the original, where something is missing and no store keeps it.
        outcome: the manifest line: what happened and why.
    """

    text: str
    tokens_before: int
    tokens_after: int
    lossless: bool
    strategy: str
    kind: str
    marker: str
    omitted: str
    original: str | None
    outcome: BlockOutcome


class MessagesResult(Struct, frozen=True):
    """What became of a message list.

    Attributes:
        messages: new list; messages without a change are the caller's own objects.
        tokens_before: tokens of all texts that were looked at.
        tokens_after: the same after compression.
        lossless: nothing was left out anywhere.
        strategy: the encodings used, unique, in order, joined by commas.
        originals: content digest → original of what was shortened with something left
            out; empty if a store keeps them.
        manifest: one line per text that was looked at.
    """

    messages: list[Message]
    tokens_before: int
    tokens_after: int
    lossless: bool
    strategy: str
    originals: dict[str, str]
    manifest: Manifest


def compress_text(
    text: str,
    *,
    kind: str | None = None,
    query: str | None = None,
    model: str | None = None,
    lossy: bool = False,
    store: Store | None = None,
) -> TextResult:
    """Shorten one text.

    Args:
        text: what a tool returned.
        kind: what it is, one of ``headroom.KINDS``; detected if not given.
        query: what the reader wants to know; lossy forms keep what matches.
        model: whose tokenizer counts; default: o200k.
        lossy: allow leaving things out where that saves clearly more.
        store: where the original of a lossy result goes before this returns; its
            marker then ends the text.

    Raises:
        TypeError: ``text`` is no ``str``.
        ConfigError: ``kind`` is none of the twelve.
        StoreUnavailableError: the original could not be stored.
    """
    if not isinstance(text, str):
        raise TypeError(f"text: expected str, found {type(text).__name__}")
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"kind: expected one of {', '.join(KINDS)}, found {kind!r}")
    task = _task(text, model=model or "", lossy=lossy, question=query or "")
    task = msgspec.structs.replace(task, kind=kind or "")
    policy = _policy(lossy=lossy, store=store)
    outcome = compress_block(task, policy, counter_for(model))
    if outcome.is_lossy and outcome.replacement is not None and store is not None:
        store.save((), {task.digest: text})
    return _text_result(task, outcome, store)


def compress(
    messages: Sequence[Message],
    *,
    model: str | None = None,
    lossy: bool = False,
    store: Store | None = None,
) -> MessagesResult:
    """Shorten the tool outputs (and pasted machine output) of a conversation.

    Args:
        messages: Anthropic Messages or Chat Completions messages, found by their shape.
        model: whose tokenizer counts; default: o200k.
        lossy: allow leaving things out of tool outputs.
        store: where originals go; without one the result carries them.

    Raises:
        TypeError: a message is no ``dict``.
        StoreUnavailableError: the originals could not be stored.
    """
    count = counter_for(model)
    policy = _policy(lossy=lossy, store=store)
    result: list[Message] = []
    entries: list[ManifestEntry] = []
    originals: dict[str, str] = {}
    calls: dict[str, ToolCall] = {}
    before = after = 0
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise TypeError(
                f"messages[{index}]: expected dict, found {type(message).__name__}"
            )
        calls.update(_calls(message))
        replacements: dict[str, str] = {}
        for slot, text in _texts(message):
            call = calls.get(slot.call_id)
            if call is not None and is_retrieval_tool(call.name):
                continue
            wants_lossy = lossy and slot.is_tool
            task = _task(text, model=model or "", lossy=wants_lossy, slot=slot)
            task = msgspec.structs.replace(task, message_index=index, call=call)
            outcome = _compress_slot(task, policy, count)
            entries.append(
                ManifestEntry(index, slot.block_index, slot.block_type, outcome)
            )
            before += outcome.original_tokens
            after += outcome.original_tokens
            if outcome.replacement is not None:
                after += outcome.compressed_tokens - outcome.original_tokens
                replacements[slot.address] = outcome.replacement
                if outcome.is_lossy:
                    originals[task.digest] = text
        result.append(_replaced(message, replacements) if replacements else message)
    if originals and store is not None:
        store.save((), originals)
    manifest = Manifest(len(messages), 0, None, tuple(entries))
    return MessagesResult(
        messages=result,
        tokens_before=before,
        tokens_after=after,
        lossless=not originals,
        strategy=",".join(manifest.transforms_applied()),
        originals={} if store is not None else originals,
        manifest=manifest,
    )


def retrieve(hash: str, *, store: Store) -> str:  # noqa: A002 - the tool's own word
    """The original kept under a marker's hash.

    Args:
        hash: 24 hex digits, or a whole marker.
        store: where it was put.

    Raises:
        OriginalNotFoundError: nothing is kept under it.
        CorruptOriginalError: what is kept does not hash to it.
        StoreUnavailableError: the store cannot be read.
    """
    found = markers.find_markers(hash)
    return store.get(found[0].digest if found else hash.strip().lower())


def _policy(*, lossy: bool, store: Store | None) -> Policy:
    return Policy(
        allow_lossy=lossy, marker="tool" if lossy and store is not None else ""
    )


def _task(
    text: str,
    *,
    model: str,
    lossy: bool,
    question: str = "",
    slot: Slot | None = None,
) -> BlockTask:
    return BlockTask(
        message_index=0,
        slot=slot or Slot("0", None, "text", Span(0, 0), is_tool=True),
        digest=digest.content_digest(text),
        text=text,
        model=model,
        question=question,
        wants_lossy=lossy,
    )


def _compress_slot(task: BlockTask, policy: Policy, count: Any) -> BlockOutcome:
    size_bytes = len(task.text.encode("utf-8", "surrogatepass"))
    if size_bytes < policy.min_lossless_bytes:
        return BlockOutcome(
            "below_byte_threshold",
            original_bytes=size_bytes,
            threshold_bytes=policy.min_lossless_bytes,
        )
    return compress_block(task, policy, count)


def _text_result(
    task: BlockTask, outcome: BlockOutcome, store: Store | None
) -> TextResult:
    text = task.text if outcome.replacement is None else outcome.replacement
    is_changed = outcome.replacement is not None
    is_lossy = is_changed and outcome.is_lossy
    tokens = outcome.original_tokens or counter_for(task.model)(task.text)
    found = markers.find_markers(text) if is_lossy and store is not None else ()
    return TextResult(
        text=text,
        tokens_before=tokens,
        tokens_after=outcome.compressed_tokens if is_changed else tokens,
        lossless=not is_lossy,
        strategy=outcome.strategy if is_changed else "",
        kind=outcome.kind,
        marker=found[-1].text if found else "",
        omitted=outcome.omitted if is_lossy else "",
        original=task.text if is_lossy and store is None else None,
        outcome=outcome,
    )


def _calls(message: Mapping[str, Any]) -> dict[str, ToolCall]:
    """The tool calls of one message, of either shape, by id."""
    calls: dict[str, ToolCall] = {}
    content = message.get("content")
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == "tool_use":
            raw = msgspec.json.encode(block.get("input"))
            call_id = str(block.get("id", ""))
            calls[call_id] = ToolCall(call_id, str(block.get("name", "")), raw)
    tool_calls = message.get("tool_calls")
    for item in tool_calls if isinstance(tool_calls, list) else ():
        function = item.get("function") if isinstance(item, dict) else None
        if not isinstance(function, dict):
            continue
        call_id = str(item.get("id", ""))
        raw = str(function.get("arguments", "")).encode("utf-8", "replace")
        calls[call_id] = ToolCall(call_id, str(function.get("name", "")), raw)
    return calls


def _texts(message: Mapping[str, Any]) -> Iterator[tuple[Slot, str]]:
    """The texts of one message that may be replaced, with their addresses."""
    role = message.get("role")
    if role not in {"user", "tool"}:
        return
    is_tool = role == "tool"
    call_id = str(message.get("tool_call_id", ""))
    content = message.get("content")
    here = Span(0, 0)
    if isinstance(content, str):
        yield Slot("0", None, "string_content", here, is_tool, call_id), content
        return
    for number, block in enumerate(content if isinstance(content, list) else ()):
        if not isinstance(block, dict):
            continue
        inner = block.get("content")
        if block.get("type") == "text" and isinstance(block.get("text"), str):
            slot = Slot(str(number), number, "text", here, is_tool, call_id)
            yield slot, block["text"]
        elif block.get("type") == "tool_result":
            answered = str(block.get("tool_use_id", ""))
            is_error = block.get("is_error") is True
            if isinstance(inner, str):
                yield (
                    Slot(
                        str(number),
                        number,
                        "tool_result",
                        here,
                        is_tool=True,
                        call_id=answered,
                        is_error=is_error,
                    ),
                    inner,
                )
            for part_number, part in enumerate(
                inner if isinstance(inner, list) else ()
            ):
                if isinstance(part, dict) and isinstance(part.get("text"), str):
                    address = f"{number}.{part_number}"
                    yield (
                        Slot(
                            address,
                            number,
                            "tool_result",
                            here,
                            is_tool=True,
                            call_id=answered,
                            is_error=is_error,
                        ),
                        part["text"],
                    )


def _replaced(message: Message, replacements: Mapping[str, str]) -> Message:
    """A copy of the message with texts replaced at their addresses."""
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": replacements["0"]}
    blocks = []
    for number, block in enumerate(content):
        whole = replacements.get(str(number))
        if whole is not None:
            key = "text" if block.get("type") == "text" else "content"
            block = {**block, key: whole}  # noqa: PLW2901 - the changed copy
        elif isinstance(block, dict) and isinstance(block.get("content"), list):
            parts = [
                {**part, "text": replacements[f"{number}.{part_number}"]}
                if f"{number}.{part_number}" in replacements
                else part
                for part_number, part in enumerate(block["content"])
            ]
            block = {**block, "content": parts}  # noqa: PLW2901
        blocks.append(block)
    return {**message, "content": blocks}
