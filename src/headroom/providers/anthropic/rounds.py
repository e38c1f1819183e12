"""The rounds of one answer: which calls are the proxy's, what the client does not see.

Shared by the splicers of streams and of JSON answers. Holds what they both need to
know: the answer so far (for ``core.hidden``), the blocks to continue with, the sums of
what was billed, and what becomes of a round that ended.

* ``final``: no hidden call in it; the round ends the client's message.
* ``continue``: only hidden calls; they are answered and the model goes on.
* ``mixed``: calls of the client's tools beside hidden ones; the client gets its own,
  the results of the hidden ones go into its next message.
* ``cut``: hidden calls that cannot be answered any more (the answer was cut off, or
  there were too many rounds); they are left out as if they had not been made.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from headroom.core.hidden import Answer, Part
from headroom.core.plan import RETRIEVAL_TOOL
from headroom.core.types import ToolCall
from headroom.core.wire import json_parts
from headroom.errors import StreamError
from headroom.providers.anthropic.answer import (
    Block,
    Message,
    Usage,
    assistant_content,
)
from headroom.providers.anthropic.replay import anchor_of, continue_body, result_block

MAX_ROUNDS = 3
"""Rounds whose calls are looked up; a model that needs more is going in circles."""

NOT_AVAILABLE = (
    "headroom_retrieve is not available any more in this answer: it was used"
    f" {MAX_ROUNDS} times. Go on with what you have, or ask again in a later step."
)

Verdict: TypeAlias = Literal["open", "final", "continue", "mixed", "cut"]


def is_hidden(kind: str, name: str) -> bool:
    """Whether a block is a call that the proxy answers."""
    return kind == "tool_use" and name == RETRIEVAL_TOOL


class Rounds:
    """What was said and billed in all rounds so far.

    Attributes:
        verdict: what becomes of the round that ended last; ``open`` before that.
        number: of the round that is running or has ended last, from 0.
        calls: calls of that round that are to be looked up.
        usage: sums over all rounds, by the names of ``Usage``.
    """

    def __init__(self) -> None:
        self.verdict: Verdict = "open"
        self.number = 0
        self.calls: tuple[ToolCall, ...] = ()
        self.usage: dict[str, int] = {}
        self._parts: list[Part] = []
        self._results = b""
        self._hidden: list[Block] = []
        self._blocks: tuple[Block, ...] = ()
        self._is_answered = False

    @property
    def is_waiting(self) -> bool:
        """The round that ended has calls that want answers."""
        return self.verdict in {"continue", "mixed"} and not self._is_answered

    @property
    def is_continuing(self) -> bool:
        """The model is to go on."""
        return self.verdict == "continue" and self._is_answered

    @property
    def answer(self) -> Answer | None:
        """All that was said, if the client did not see all of it."""
        found = Answer(tuple(self._parts), self._results)
        return found if found.is_hiding else None

    def close(self, message: Message) -> None:
        """Take a round that ended well."""
        self.add_usage(message.usage)
        self._hidden = [b for b in message.blocks if is_hidden(b.type, b.name)]
        self._is_answered = False
        self.verdict = self._judge(message)
        self._blocks = tuple(map(_sendable, message.blocks))
        self.calls = ()
        if self.is_waiting and self.number < MAX_ROUNDS:
            self.calls = tuple(
                ToolCall(block.id, block.name, _input(block)) for block in self._hidden
            )
        for block in self._blocks:
            if not is_hidden(block.type, block.name):
                self._parts.append(Part("seen", _anchor(block)))
            elif self.is_waiting:
                self._parts.append(Part("call", data=_one(block)))

    def take(self, texts: Sequence[str]) -> None:
        """Take the answers to ``calls``."""
        if not self.calls:
            texts = [NOT_AVAILABLE] * len(self._hidden)
        results = b",".join(
            result_block(_literal(block), text)
            for block, text in zip(self._hidden, texts, strict=True)
        )
        self._is_answered = True
        if self.verdict == "mixed":
            self._results = results
        else:
            self._parts.append(Part("turn", data=results))

    def next_body(self, body: bytes) -> bytes:
        """The next round's request; the round begins.

        Raises:
            MalformedBodyError: ``body`` is not a request.
            StreamError: what the model said cannot be sent back.
        """
        blocks = tuple(block for block in self._blocks if not _is_blank(block))
        content = assistant_content(Message(status="message_stop", blocks=blocks))
        results = self._parts[-1].data
        self.number += 1
        self.verdict = "open"
        return continue_body(body, content, [results])

    def add_usage(self, usage: Usage | None) -> None:
        """Add what a round was billed."""
        if usage is not None:
            for name, count in msgspec.structs.asdict(usage).items():
                if count:
                    self.usage[name] = self.usage.get(name, 0) + count

    def _judge(self, message: Message) -> Verdict:
        if not self._hidden:
            return "final"
        is_whole = all(block.is_complete for block in self._hidden)
        if message.stop_reason != "tool_use" or not is_whole:
            return "cut"
        if len(self._hidden) < sum(b.type == "tool_use" for b in message.blocks):
            return "mixed"
        return "cut" if self.number > MAX_ROUNDS else "continue"


def _sendable(block: Block) -> Block:
    """The block; a hidden call whose input is no JSON asks for nothing."""
    if not is_hidden(block.type, block.name) or not block.partial_json:
        return block
    try:
        is_object = json_parts.checked(block.partial_json).strip()[:1] == b"{"
    except StreamError:
        is_object = False
    return block if is_object else msgspec.structs.replace(block, partial_json="{}")


def _input(block: Block) -> bytes:
    if block.partial_json:
        return block.partial_json.encode("utf-8", "replace")
    return json_parts.members(block.start).get("input", b"{}")


def _one(block: Block) -> bytes:
    content = assistant_content(Message(status="message_stop", blocks=(block,)))
    return content[1:-1]


def _literal(block: Block) -> bytes:
    return json_parts.members(block.start).get("id", b'""')


def _is_blank(block: Block) -> bool:
    """An empty text, which the API sends at times and does not take back."""
    return block.type == "text" and not block.text.strip()


def _anchor(block: Block) -> str:
    def text(name: str) -> str:
        if name == "tool_use_id":
            return json_parts.string(json_parts.members(block.start).get(name))
        return str(getattr(block, name))

    return anchor_of(block.type, text)
