"""What one round of a Gemini answer said, and what all of them hide from the client.

Clients join the texts of an answer that stand next to each other, so the text before a
hidden exchange and the text behind it may come back as one: what is hidden in between
is then told to stand inside that text.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from headroom.core.hidden import Answer
from headroom.core.hidden import Part as HiddenPart
from headroom.core.types import ToolCall
from headroom.core.wire import json_parts
from headroom.errors import StreamError
from headroom.providers.gemini.answer import Message
from headroom.providers.gemini.parts import Part, anchors, read_part, signed
from headroom.providers.gemini.replay import result_part
from headroom.providers.rounds import (
    RETRIEVAL_ONLY,
    Piece,
    Rounds,
    Said,
    Turn,
)

SUMS = {"candidatesTokenCount": "candidates", "thoughtsTokenCount": "thoughts"}
"""Figures that the client gets as sums of all rounds."""


class Lender:
    """Gives the client's first call the signature of a hidden call before it.

    Of parallel calls only the first is signed, and newer models refuse a step whose
    first call is not (https://ai.google.dev/gemini-api/docs/thought-signatures). Where
    the hidden call cannot be put back, the client's call is the first one.
    """

    def __init__(self, own: frozenset[str]) -> None:
        self._own = own
        self._signature = ""
        self._has_called = False

    def visible(self, parts: Sequence[Part]) -> tuple[Part, ...]:
        """The parts the client sees, of those that come next in the round."""
        found = []
        for part in parts:
            if is_hidden(part, self._own):
                if not self._has_called:
                    self._signature = self._signature or part.signature
                continue
            if part.is_call:
                if self._signature and not part.signature and not self._has_called:
                    part = _lent(part, self._signature)  # noqa: PLW2901 - as seen
                self._has_called = True
            found.append(part)
        return tuple(found)


def _lent(part: Part, signature: str) -> Part:
    try:
        return read_part(signed(part.raw, signature))
    except StreamError:
        return part


def is_hidden(part: Part, own: frozenset[str]) -> bool:
    """Whether a part is a call that the proxy answers, of a tool in ``own``."""
    return part.is_call and part.name in own


class GeminiRounds(Rounds):
    """The rounds of an answer, with what each of them said."""

    def __init__(self, own: frozenset[str] = RETRIEVAL_ONLY) -> None:
        super().__init__(
            lambda piece, text: result_part(read_part(piece.data), text),
            lambda _: answer_of(self.turns, self.messages, own),
            own,
        )
        self.messages: list[Message] = []
        self.sums = dict.fromkeys(SUMS.values(), 0)

    def said(self, message: Message) -> Said:
        """What one round said; of whole ones the sums are kept."""
        found = said(message, self.own)
        if found.is_whole:
            self.messages.append(message)
            for name in self.sums:
                self.sums[name] += message.counts.get(name, 0)
        return found

    def total(self, usage: bytes) -> bytes:
        """A ``usageMetadata`` of the last round with the output of all rounds in it.

        Raises:
            StreamError: it is broken.
        """
        members = json_parts.members(usage)
        more = 0
        for name, field in SUMS.items():
            own = json_parts.count(members.get(name)) or 0
            if self.sums[field] > own:
                members[name] = b"%d" % self.sums[field]
                more += self.sums[field] - own
        total = json_parts.count(members.get("totalTokenCount"))
        if total is not None and more:
            members["totalTokenCount"] = b"%d" % (total + more)
        return json_parts.encode_object(members)


def said(message: Message, own: frozenset[str]) -> Said:
    """What one round said."""
    usage = message.usage
    calls = [part for part in message.parts if part.is_call]
    return Said(
        pieces=tuple(
            Piece(call=ToolCall(part.id, part.name, part.args), data=part.raw)
            for part in calls
            if is_hidden(part, own)
        ),
        usage={} if usage is None else msgspec.structs.asdict(usage),
        is_whole=message.status == "done",
        is_calling=message.finish_reason == "STOP" and not message.errors,
        has_client_calls=not all(is_hidden(part, own) for part in calls),
    )


def answer_of(
    turns: Sequence[Turn], messages: Sequence[Message], own: frozenset[str]
) -> Answer:
    """All that was said, in the terms of ``core.hidden``."""
    telling = _Telling()
    results = b""
    for turn, message in zip(turns, messages, strict=True):
        lender = Lender(own)
        for part in message.parts:
            seen = lender.visible([part])
            if seen:
                telling.see(seen[0])
            elif turn.verdict != "cut":
                telling.hide("call", part.raw)
        if turn.verdict == "continue":
            telling.hide("turn", turn.results)
        elif turn.verdict == "mixed":
            results = turn.results
    return Answer(telling.parts(), results)


class _Telling:
    """Puts what was said in order, texts in runs as clients join them."""

    def __init__(self) -> None:
        self._parts: list[HiddenPart] = []
        self._run: list[Part] = []
        self._size = 0  # characters of the run, white space aside
        self._blanks = 0  # behind them
        self._inside: list[HiddenPart] = []  # hidden since the run began

    def see(self, part: Part) -> None:
        """Add a part that the client sees."""
        if part.is_thought or part.text == "":
            return
        if part.text is None:
            self._end_run()
            self._parts.append(HiddenPart("seen", anchors([part])[0]))
            return
        self._run.append(part)
        words = part.text.rstrip()
        if words:
            self._size += len("".join(words.split()))
            self._blanks = 0
        self._blanks += len(part.text) - len(words)

    def hide(self, kind: Literal["call", "turn"], data: bytes) -> None:
        """Add a part that it does not see."""
        part = HiddenPart(kind, data=data, offset=self._size, blanks=self._blanks)
        self._inside.append(part)

    def parts(self) -> tuple[HiddenPart, ...]:
        """All of it."""
        self._end_run()
        return tuple(self._parts)

    def _end_run(self) -> None:
        """A hidden part behind the whole text stands there; others stand inside it."""
        inside = [part for part in self._inside if part.offset < self._size]
        behind = [part for part in self._inside if part.offset >= self._size]
        self._parts += inside
        if self._run:
            self._parts.append(HiddenPart("seen", anchors(self._run)[0]))
        self._parts += (
            msgspec.structs.replace(part, offset=0, blanks=0) for part in behind
        )
        self._run, self._inside = [], []
        self._size = self._blanks = 0
