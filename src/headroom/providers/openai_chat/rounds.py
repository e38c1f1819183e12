"""What one round of a Chat answer said, and the request that goes on from it.

A client gets one ``content`` for all rounds. So what is remembered of a hidden exchange
is where in that text it stands: ``replay`` splits the message there again.
"""

from collections.abc import Sequence

import msgspec

from headroom.core.hidden import Answer, Part, call_anchor, text_anchor
from headroom.core.splice import splice
from headroom.core.types import Edit, Span, ToolCall
from headroom.core.wire import json_parts, json_spans
from headroom.errors import MalformedBodyError, StreamError
from headroom.providers.openai_chat.answer import Call, Choice, Message
from headroom.providers.openai_chat.replay import HiddenTurn, TextPlace, assistant
from headroom.providers.rounds import (
    Piece,
    Rounds,
    Said,
    Turn,
    result_text,
)

_CUT_REASONS = frozenset({"", "length", "content_filter", "error"})
_THOUGHTS = ("reasoning_content", "reasoning")


class TextPiece(Piece, frozen=True, gc=False):
    """What a round said in words, to be sent back if it ends with hidden calls.

    Attributes:
        text: the content.
        extra: the model's thoughts, as members with JSON values.
    """

    text: str = ""
    extra: tuple[tuple[str, bytes], ...] = ()


def make_rounds(own: frozenset[str]) -> Rounds:
    """The rounds of a Chat answer."""
    return Rounds(_result, _answer, own)


def said(message: Message, own: frozenset[str]) -> Said:
    """What one round said.

    Args:
        message: the round.
        own: names of the tools whose calls the proxy answers.
    """
    choice = choice_of(message)
    hidden = [call for call in choice.tool_calls if call.name in own]
    usage = message.usage
    # Some servers end their streams without ``[DONE]``.
    is_whole = message.status == "done" and bool(message.choices)
    is_whole = is_whole or (
        message.status == "truncated" and bool(choice.finish_reason)
    )
    return Said(
        pieces=(
            _text_piece(choice),
            *(_call_piece(call, own) for call in choice.tool_calls),
        ),
        usage={} if usage is None else msgspec.structs.asdict(usage),
        is_whole=is_whole,
        is_calling=choice.finish_reason not in _CUT_REASONS,
        has_client_calls=len(hidden) < len(choice.tool_calls),
    )


def choice_of(message: Message) -> Choice:
    """The answer; requests for several have no rounds."""
    found = [choice for choice in message.choices if choice.index == 0]
    return found[0] if found else Choice(0)


def continued(body: bytes, turn: Turn) -> bytes:
    """The request that lets the model go on behind a round.

    Raises:
        MalformedBodyError: ``body`` is not a request.
    """
    messages = json_spans.members(body, json_spans.whole(body)).get("messages")
    if messages is None or not json_spans.is_array(body, messages):
        raise MalformedBodyError("no messages", reason="no_messages")
    piece = _words(turn)
    head = assistant(piece.text, piece.extra, _calls(turn))
    end = Span(messages.end - 1, messages.end - 1)
    return splice(body, [Edit(end, b",%b,%b" % (head, turn.results))])


def _text_piece(choice: Choice) -> TextPiece:
    thoughts = [
        (name, json_parts.encode_string(text))
        for name in _THOUGHTS
        if (text := getattr(choice, name))
    ]
    anchor = text_anchor(choice.content)
    extra = (*thoughts, *choice.lists)
    return TextPiece(anchor, text=choice.content, extra=extra)


def _call_piece(call: Call, own: frozenset[str]) -> Piece:
    if call.name not in own:
        return Piece(call_anchor(call.id))
    arguments = call.arguments
    try:
        is_object = json_parts.checked(arguments).strip()[:1] == b"{"
    except StreamError:
        is_object = False
    if not is_object:
        # Servers read the arguments of calls that are sent back.
        arguments = "{}"
    function = {
        "name": json_parts.encode_string(call.name),
        "arguments": json_parts.encode_string(arguments),
    }
    members = {
        "id": json_parts.encode_string(call.id),
        "type": b'"function"',
        "function": json_parts.encode_object(function),
        **dict(call.extra),
    }
    asked = ToolCall(call.id, call.name, arguments.encode("utf-8", "replace"))
    return Piece(call=asked, data=json_parts.encode_object(members))


def _result(piece: Piece, text: str) -> bytes:
    call_id = "" if piece.call is None else piece.call.id
    members = {
        "role": b'"tool"',
        "tool_call_id": json_parts.encode_string(call_id),
        "content": json_parts.encode_string(result_text(text)),
    }
    return json_parts.encode_object(members)


def _words(turn: Turn) -> TextPiece:
    piece = turn.said.pieces[0]
    assert isinstance(piece, TextPiece), "a round begins with its words"
    return piece


def _calls(turn: Turn) -> bytes:
    return b",".join(piece.data for piece in turn.said.pieces if piece.call)


def _answer(turns: Sequence[Turn]) -> Answer:
    """The answer as the client's one message: whole turns, its calls, its text."""
    text = "".join(_words(turn).text for turn in turns)
    parts: list[Part] = []
    spoken = ""
    last = turns[-1] if turns else None
    has_calls = last is not None and last.said.has_client_calls
    for turn in turns:
        spoken += _words(turn).text
        is_behind = has_calls or text[len(spoken) :].strip()
        if turn.verdict == "continue" and is_behind:
            place = TextPlace.behind(spoken)
            extra = _words(turn).extra
            hidden = HiddenTurn(place, _calls(turn), turn.results, extra)
            parts.append(Part("turn", data=msgspec.msgpack.encode(hidden)))
    is_mixed = last is not None and last.verdict == "mixed"
    for piece in last.said.pieces[1:] if last is not None else ():
        if piece.call is None:
            parts.append(Part("seen", piece.anchor))
        elif is_mixed:
            parts.append(Part("call", data=piece.data))
    parts.append(Part("seen", text_anchor(text)))
    return Answer(tuple(parts), last.results if last and is_mixed else b"")
