"""Rounds of Converse answers: what each said, what goes on from it, what is put back.

As on the Messages API, whose turns these are: an answer's blocks stand in one message,
results of calls in the next one of the user. Cache points are blocks of their own here
and stay beside the block they stand behind; blocks are numbered without them.
"""

from headroom.core.hidden import Placement, text_anchor
from headroom.core.splice import splice
from headroom.core.types import Edit, RequestView, Span
from headroom.core.wire import json_parts, json_spans
from headroom.core.wire.json_spans import elements, is_array, is_object, is_string
from headroom.errors import CompressionError, MalformedBodyError, StreamError
from headroom.providers.anthropic import replay
from headroom.providers.bedrock.converse_blocks import Answer, Block, anchor_of
from headroom.providers.messages import members
from headroom.providers.rounds import Piece, Rounds, Said, result_text

POINT = "cachePoint"
_POINT_KEY = b'"cachePoint"'
_NEW_POINT = b',{"cachePoint":{"type":"default"}}'
_MAX_POINTS = 4
"""Cache points that models take in one request; a word too many is counted at worst:
https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html."""

_FIGURES = ("input_tokens", "output_tokens", "cache_creation_input_tokens",
            "cache_read_input_tokens")  # fmt: skip


def is_hidden(block: Block, own: frozenset[str]) -> bool:
    """Whether a block is a call that the proxy answers, of a tool in ``own``."""
    return block.call is not None and block.call.name in own


def make_rounds(own: frozenset[str]) -> Rounds:
    """The rounds of a Converse answer."""
    return Rounds(_result, own=own)


def _result(piece: Piece, text: str) -> bytes:
    """The block that answers a hidden call."""
    call_id = b'""' if piece.call is None else json_parts.encode_string(piece.call.id)
    words = json_parts.encode_string(result_text(text))
    return b'{"toolResult":{"toolUseId":%b,"content":[{"text":%b}]}}' % (call_id, words)


def said(answer: Answer, own: frozenset[str]) -> Said:
    """What one round said."""
    message = answer.message
    calls = [block for block in answer.blocks if block.call is not None]
    hidden = [block for block in calls if is_hidden(block, own)]
    usage = message.usage
    return Said(
        pieces=tuple(_piece(block, own) for block in answer.blocks),
        usage={} if usage is None else {n: getattr(usage, n) for n in _FIGURES},
        is_whole=message.status == "message_stop",
        is_calling=message.stop_reason == "tool_use"
        and all(block.is_complete for block in hidden),
        has_client_calls=len(hidden) < len(calls),
    )


def _piece(block: Block, own: frozenset[str]) -> Piece:
    if not is_hidden(block, own):
        return Piece(block.anchor)
    return Piece(call=block.call, data=_sendable(block))


def _sendable(block: Block) -> bytes:
    """The block; a call whose input is no JSON asks for nothing.

    Raises:
        StreamError: it cannot be sent back.
    """
    call = block.call
    if call is not None and (not block.raw or not call.input.strip().startswith(b"{")):
        use = {
            "toolUseId": json_parts.encode_string(call.id),
            "name": json_parts.encode_string(call.name),
            "input": b"{}",
        }
        return b'{"toolUse":%b}' % json_parts.encode_object(use)
    if not block.raw:
        raise StreamError("a block of an unknown kind cannot be sent back")
    return block.raw


def continued(body: bytes, answer: Answer, results: bytes) -> bytes:
    """The request that lets the model go on behind an answer.

    Where the client asked to have its newest message cached, so are the results.

    Args:
        body: the request as it was forwarded.
        answer: what the model answered to it.
        results: of the answer's calls, joined by commas.

    Raises:
        MalformedBodyError: ``body`` is not a request.
        StreamError: what the model said cannot be sent back.
    """
    messages = json_spans.members(body, json_spans.whole(body)).get("messages")
    if messages is None or not is_array(body, messages):
        raise MalformedBodyError("no messages", reason="no_messages")
    kept = [_sendable(block) for block in answer.blocks if not block.is_blank]
    end = messages.end - 1
    last = elements(body, messages)[-1:]
    is_caching = any(_POINT_KEY in span.of(body) for span in last)
    if is_caching and body.count(_POINT_KEY) < _MAX_POINTS:
        results += _NEW_POINT
    turn = b',{"role":"assistant","content":[%b]},%b'
    turn %= (b",".join(kept), replay.user_turn(results))
    return splice(body, [Edit(Span(end, end), turn)])


def units(body: bytes, content: Span) -> list[Span]:
    """The blocks of a message, each with the cache points behind it.

    Points in front of the first block belong to that.
    """
    found: list[Span] = []
    start: int | None = None
    for span in elements(body, content):
        is_point = _POINT_KEY in span.of(body) and POINT in members(body, span)
        if not is_point:
            found.append(Span(span.start if start is None else start, span.end))
            start = None
        elif found:
            found[-1] = Span(found[-1].start, span.end)
        elif start is None:
            start = span.start
    return found


def blocks(body: bytes, content: Span) -> list[dict[str, Span]]:
    """The members of each block of a message, cache points left out."""
    found = (members(body, span) for span in elements(body, content))
    return [block for block in found if POINT not in block]


def anchors(view: RequestView, index: int) -> tuple[str, ...]:
    """One anchor per block of message ``index``."""
    body = view.body
    content = json_spans.members(body, view.messages[index].span).get("content")
    if content is None:
        return ()
    if is_string(body, content):
        return (text_anchor(json_spans.string(body, content)),)
    return tuple(_anchor(body, block) for block in blocks(body, content))


def _anchor(body: bytes, block: dict[str, Span]) -> str:
    def text(*names: str) -> str:
        found = block
        for name in names[:-1]:
            inner = found.get(name)
            if inner is None or not is_object(body, inner):
                return ""
            found = members(body, inner)
        value = found.get(names[-1])
        if value is None or not is_string(body, value):
            return ""
        return json_spans.string(body, value)

    return anchor_of(text)


def hidden_edits(view: RequestView, index: int, placement: Placement) -> list[Edit]:
    """What puts hidden parts back into message ``index`` and the one after it.

    Raises:
        CompressionError: the message has not the blocks they were placed between.
    """
    body = view.body
    for message in view.messages[index : index + 2]:
        content = json_spans.members(body, message.span).get("content")
        if content is None or not is_array(body, content):
            raise CompressionError(f"message {index} has no list of blocks")
    return replay.hidden_edits(view, index, placement, units)
