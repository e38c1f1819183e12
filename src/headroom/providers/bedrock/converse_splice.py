"""Converse answers of several rounds joined into one.

A JSON answer is the last round's object with the blocks of all rounds in it; a stream
is joined as the Messages API's is, under Converse's names: its events have one index
per block, and two events end it, ``messageStop`` and the ``metadata`` with the figures.
Output tokens are those of all rounds; hidden calls are left out. What hides nothing is
passed on as it came, byte for byte.
"""

from headroom.core.splice import splice
from headroom.core.types import Edit, Span
from headroom.core.wire import json_parts, json_spans
from headroom.core.wire.json_spans import is_object
from headroom.errors import MalformedBodyError, StreamError
from headroom.providers.anthropic.answer import Message
from headroom.providers.anthropic.splice_stream import Names, StreamSplicer, with_edits
from headroom.providers.anthropic.stream import StreamEvent
from headroom.providers.bedrock.converse_blocks import (
    INDEX,
    Answer,
    BlockReader,
    contents,
    is_answered_there,
    read_answer,
)
from headroom.providers.bedrock.converse_rounds import (
    continued,
    is_hidden,
    make_rounds,
    said,
)
from headroom.providers.rounds import RETRIEVAL_ONLY, Rounds, Said
from headroom.providers.splicing import JsonSplicing

_NOTHING = Answer(Message(status="open"))


class ConverseJsonSplicer(JsonSplicing):
    """The ``Splicer`` of ``converse``."""

    def __init__(self, own: frozenset[str] = RETRIEVAL_ONLY) -> None:
        super().__init__(make_rounds(own))
        self._answer = _NOTHING
        self._body = b""
        self._blocks: list[bytes] = []

    def _read(self, body: bytes) -> Said:
        self._answer = read_answer(body)
        return said(self._answer, self._rounds.own)

    def _keep(self, body: bytes) -> None:
        self._body = body
        pairs = zip(contents(body), self._answer.blocks, strict=True)
        own = self._rounds.own
        self._blocks += [raw for raw, block in pairs if not is_hidden(block, own)]

    def _continued(self, body: bytes) -> bytes:
        return continued(body, self._answer, self._rounds.results)

    def _joined(self) -> bytes:
        body = self._body
        try:
            edits = ending_edits(body, self._rounds)
            output = json_spans.members(body, json_spans.whole(body))["output"]
            message = json_spans.members(body, output)["message"]
            content = json_spans.members(body, message)["content"]
        except (MalformedBodyError, KeyError):
            # Half a surrogate pair somewhere: the blocks at least are all there.
            return self._rewritten()
        joined = b"[%b]" % b",".join(self._blocks)
        return splice(body, [*edits, Edit(content, joined)])

    def _rewritten(self) -> bytes:
        top = json_parts.members(self._body)
        content = b"[%b]" % b",".join(self._blocks)
        top["output"] = b'{"message":{"role":"assistant","content":%b}}' % content
        if self._rounds.verdict == "cut" and top.get("stopReason") == b'"tool_use"':
            top["stopReason"] = b'"end_turn"'
        usage = json_parts.members(top.get("usage", b"{}"))
        usage["outputTokens"] = b"%d" % self._rounds.usage.get("output_tokens", 0)
        top["usage"] = json_parts.encode_object(usage)
        return json_parts.encode_object(top)


class ConverseStreamSplicer(StreamSplicer):
    """What joins the events of ``converse-stream``; frames are put around it."""

    _names = Names(
        start="messageStart",
        ends=frozenset({"messageStop", "metadata"}),
        block_start="contentBlockStart",
        index=INDEX,
    )

    def _make_rounds(self, own: frozenset[str]) -> Rounds:
        self._said = _NOTHING
        return make_rounds(own)

    def _open_reader(self) -> BlockReader:
        self._blocks = BlockReader(self._max_event_bytes)
        return self._blocks

    def _read(self) -> Said:
        self._said = self._blocks.answer()
        return said(self._said, self._rounds.own)

    def _continued(self, body: bytes) -> bytes:
        return continued(body, self._said, self._rounds.results)

    def _starts_hidden(self, event: StreamEvent) -> bool:
        try:
            start = json_parts.members(json_parts.members(event.data)["start"])
            use = json_parts.members(start.get("toolUse", b"{}"))
            name = json_parts.string(use.get("name"))
            return name in self._rounds.own and not is_answered_there(use)
        except (StreamError, KeyError):
            return False

    def _ending(self, event: StreamEvent) -> bytes:
        try:
            return with_edits(event, ending_edits(event.data, self._rounds))
        except MalformedBodyError:
            return event.raw


def ending_edits(data: bytes, rounds: Rounds) -> list[Edit]:
    """What changes in what tells how a message ended.

    Args:
        data: an event that ends a stream, or a whole JSON answer.
        rounds: all rounds.

    Raises:
        MalformedBodyError: it is no object.
    """
    top = json_spans.members(data, json_spans.whole(data))
    reason, usage = top.get("stopReason"), top.get("usage")
    edits = []
    is_cut = rounds.verdict == "cut"
    if is_cut and reason is not None and reason.of(data) == b'"tool_use"':
        edits.append(Edit(reason, b'"end_turn"'))
    if usage is not None and is_object(data, usage):
        edits += _usage_edits(data, json_spans.members(data, usage), rounds)
    return [edit for edit in edits if edit.span.of(data) != edit.replacement]


def _usage_edits(data: bytes, usage: dict[str, Span], rounds: Rounds) -> list[Edit]:
    """The output of all rounds, and the total with it."""
    span, total = usage.get("outputTokens"), usage.get("totalTokens")
    last = None if span is None else json_parts.count(span.of(data))
    output = rounds.usage.get("output_tokens")
    if span is None or last is None or output is None:
        return []
    edits = [Edit(span, b"%d" % output)]
    whole = None if total is None else json_parts.count(total.of(data))
    if total is not None and whole is not None:
        edits.append(Edit(total, b"%d" % (whole + output - last)))
    return edits
