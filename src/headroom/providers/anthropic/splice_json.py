"""JSON answers joined into one: the rounds of an answer as one client message.

The client gets the last round's object with the blocks of all rounds in it, hidden
calls left out, the output tokens of all rounds, and the first round's id. An answer
that hides nothing is passed on as it came, byte for byte, and so is an error.
"""

from headroom.core.splice import splice
from headroom.core.types import Edit
from headroom.core.wire import json_parts, json_spans
from headroom.errors import MalformedBodyError
from headroom.providers.anthropic.answer import Message, read_message
from headroom.providers.anthropic.rounds import (
    continued,
    is_hidden,
    make_rounds,
    said,
)
from headroom.providers.anthropic.splice_stream import ending_edits
from headroom.providers.rounds import RETRIEVAL_ONLY, Said
from headroom.providers.splicing import JsonSplicing


class JsonSplicer(JsonSplicing):
    """The ``Splicer`` of JSON answers."""

    def __init__(self, own: frozenset[str] = RETRIEVAL_ONLY) -> None:
        super().__init__(make_rounds(own))
        self._message = Message(status="open")
        self._body = b""
        self._blocks: list[bytes] = []
        self._id = b""

    def _read(self, body: bytes) -> Said:
        self._message = read_message(body)
        return said(self._message, self._rounds.own)

    def _keep(self, body: bytes) -> None:
        self._body = body
        if self._rounds.number == 0:
            self._id = json_parts.members(body).get("id", b"")
        self._blocks += [
            block.start
            for block in self._message.blocks
            if not is_hidden(block.type, block.name, self._rounds.own)
        ]

    def _continued(self, body: bytes) -> bytes:
        return continued(body, self._message, self._rounds.results, self._rounds.own)

    def _joined(self) -> bytes:
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
        top["usage"] = json_parts.encode_object(usage)
        return json_parts.encode_object(top)
