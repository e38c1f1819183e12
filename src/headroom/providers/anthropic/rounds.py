"""What one round of a Messages answer said, and the request that goes on from it."""

import msgspec

from headroom.core.types import ToolCall
from headroom.core.wire import json_parts
from headroom.errors import StreamError
from headroom.providers.anthropic.answer import Block, Message, assistant_content
from headroom.providers.anthropic.replay import anchor_of, continue_body, result_block
from headroom.providers.rounds import Piece, Rounds, Said


def is_hidden(kind: str, name: str, own: frozenset[str]) -> bool:
    """Whether a block is a call that the proxy answers, of a tool in ``own``."""
    return kind == "tool_use" and name in own


def make_rounds(own: frozenset[str]) -> Rounds:
    """The rounds of a Messages answer."""
    return Rounds(lambda piece, text: result_block(_literal(piece.data), text), own=own)


def said(message: Message, own: frozenset[str]) -> Said:
    """What one round said."""
    usage = message.usage
    calls = [block for block in message.blocks if block.type == "tool_use"]
    hidden = [block for block in calls if is_hidden(block.type, block.name, own)]
    return Said(
        pieces=tuple(_piece(block, own) for block in message.blocks),
        usage={} if usage is None else msgspec.structs.asdict(usage),
        is_whole=message.status == "message_stop",
        is_calling=message.stop_reason == "tool_use"
        and all(block.is_complete for block in hidden),
        has_client_calls=len(hidden)
        < sum(b.type == "tool_use" for b in message.blocks),
    )


def continued(
    body: bytes, message: Message, results: bytes, own: frozenset[str]
) -> bytes:
    """The request that lets the model go on behind ``message``.

    Args:
        body: the request as it was forwarded.
        message: what the model answered to it.
        results: of the message's calls, joined by commas.
        own: names of the tools whose calls the proxy answers.

    Raises:
        MalformedBodyError: ``body`` is not a request.
        StreamError: what the model said cannot be sent back.
    """
    blocks = tuple(_sendable(b, own) for b in message.blocks if not _is_blank(b))
    content = assistant_content(Message(status="message_stop", blocks=blocks))
    return continue_body(body, content, [results])


def _piece(block: Block, own: frozenset[str]) -> Piece:
    if not is_hidden(block.type, block.name, own):
        return Piece(_anchor(block))
    block = _sendable(block, own)
    call = ToolCall(block.id, block.name, _input(block))
    return Piece(call=call, data=_one(block))


def _sendable(block: Block, own: frozenset[str]) -> Block:
    """The block; a hidden call whose input is no JSON asks for nothing."""
    if not is_hidden(block.type, block.name, own) or not block.partial_json:
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


def _literal(block: bytes) -> bytes:
    return json_parts.members(block).get("id", b'""')


def _is_blank(block: Block) -> bool:
    """An empty text, which the API sends at times and does not take back."""
    return block.type == "text" and not block.text.strip()


def _anchor(block: Block) -> str:
    def text(name: str) -> str:
        if name == "tool_use_id":
            return json_parts.string(json_parts.members(block.start).get(name))
        return str(getattr(block, name))

    return anchor_of(block.type, text)
