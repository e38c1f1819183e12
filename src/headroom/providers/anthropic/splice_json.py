"""JSON answers joined into one: the rounds of an answer as one client message.

The client gets the last round's object with the blocks of all rounds in it, hidden
calls left out, the output tokens of all rounds, and the first round's id. An answer
that hides nothing is passed on as it came, byte for byte, and so is an error.
"""

from collections.abc import Sequence

from headroom.core.hidden import Answer
from headroom.core.splice import splice
from headroom.core.types import Edit, ToolCall
from headroom.core.wire import json_parts, json_spans
from headroom.errors import MalformedBodyError
from headroom.providers.anthropic.answer import read_message
from headroom.providers.anthropic.rounds import Rounds, is_hidden
from headroom.providers.anthropic.splice_stream import ending_edits


class JsonSplicer:
    """The ``Splicer`` of JSON answers."""

    def __init__(self) -> None:
        self._rounds = Rounds()
        self._pieces: list[bytes] = []
        self._body = b""
        self._blocks: list[bytes] = []
        self._id = b""
        self.is_broken = False

    @property
    def is_waiting(self) -> bool:
        """The round has ended with calls that want answers."""
        return self._rounds.is_waiting

    @property
    def is_continuing(self) -> bool:
        """The model is to go on."""
        return self._rounds.is_continuing

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls to look up."""
        return self._rounds.calls

    @property
    def hidden(self) -> Answer | None:
        """What the client did not see."""
        return None if self.is_broken else self._rounds.answer

    @property
    def usage(self) -> dict[str, int]:
        """Tokens billed over all rounds so far, by class."""
        return self._rounds.usage

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the round; nothing leaves before all of it is known."""
        self._pieces.append(chunk)
        return b""

    def end(self) -> bytes:
        """Take the end of the round's connection; return what the client gets now."""
        self._body = b"".join(self._pieces)
        self._pieces.clear()
        message = read_message(self._body)
        is_first = self._rounds.number == 0
        if message.status != "message_stop":
            self.is_broken = True
            self._rounds.add_usage(message.usage)
            return self._body
        self._rounds.close(message)
        if is_first and self._rounds.verdict == "final":
            return self._body
        if is_first:
            self._id = json_parts.members(self._body).get("id", b"")
        self._blocks += [
            block.start
            for block in message.blocks
            if not is_hidden(block.type, block.name)
        ]
        return b""

    def answer(self, texts: Sequence[str]) -> None:
        """Take the answers to ``calls``, in their order."""
        self._rounds.take(texts)

    def next_body(self, body: bytes) -> bytes:
        """The next round's request; the round begins.

        Raises:
            MalformedBodyError: ``body`` is not a request.
            StreamError: what the model said cannot be sent back.
        """
        return self._rounds.next_body(body)

    def fail(self, error: bytes) -> bytes:
        """The error is the whole answer."""
        self.is_broken = True
        return error

    def finish(self) -> bytes:
        """The message, where it was not passed on as it came."""
        if self.is_broken or (
            self._rounds.number == 0
            and self._rounds.answer is None
            and self._rounds.verdict != "cut"
        ):
            return b""
        body = self._body
        try:
            top = json_spans.members(body, json_spans.whole(body))
            edits = ending_edits(
                body,
                output_tokens=self._rounds.usage.get("output_tokens"),
                is_cut=self._rounds.verdict == "cut",
            )
        except MalformedBodyError:
            # Half a surrogate pair somewhere: written anew, value by value.
            return self._rewritten()
        if "content" in top:
            edits.append(Edit(top["content"], b"[%b]" % b",".join(self._blocks)))
        if "id" in top and self._id:
            edits.append(Edit(top["id"], self._id))
        return splice(body, edits)

    def _rewritten(self) -> bytes:
        top = json_parts.members(self._body)
        top["content"] = b"[%b]" % b",".join(self._blocks)
        top["id"] = self._id or top.get("id", b'""')
        if self._rounds.verdict == "cut" and top.get("stop_reason") == b'"tool_use"':
            top["stop_reason"] = b'"end_turn"'
        usage = json_parts.members(top.get("usage", b"{}"))
        usage["output_tokens"] = b"%d" % self._rounds.usage.get("output_tokens", 0)
        top["usage"] = _object(usage)
        return _object(top)


def _object(members: dict[str, bytes]) -> bytes:
    return b"{%b}" % b",".join(
        b"%b:%b" % (json_parts.encode_string(name), raw)
        for name, raw in members.items()
    )
