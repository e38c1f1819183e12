"""Assistant turns sent back: hidden exchanges in their place, and continuations.

A request in which the client resends an answer gets the calls it never saw back, as
span edits: where a hidden user message stood, the message is split into two (its first
half ends with the call, the user message with the result follows, the second half goes
on); elsewhere it takes a call between two of its blocks. A continuation is the
forwarded request with the answer so far and the results behind its last message.

What always holds: bytes of the client's blocks are copied, never written again; the
provider sees each block as it sent it.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from headroom.core.hidden import (
    NEUTRAL,
    Place,
    Placement,
    call_anchor,
    seal_anchor,
    text_anchor,
)
from headroom.core.splice import splice
from headroom.core.types import Edit, RequestView, Span
from headroom.core.wire import json_spans
from headroom.core.wire.json_spans import elements, is_array, is_string
from headroom.errors import CompressionError, MalformedBodyError
from headroom.providers.rounds import result_text

_MARKER = b'"cache_control"'
_MAX_MARKERS = 4
"""Breakpoints that the API takes in one request; a word too many is counted at worst:
https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching."""

_OPEN = b'{"role":"assistant","content":['

Units: TypeAlias = Callable[[bytes, Span], list[Span]]


def anchors(view: RequestView, index: int) -> tuple[str, ...]:
    """One anchor per block of message ``index``; string content is one text block."""
    body = view.body
    content = json_spans.members(body, view.messages[index].span).get("content")
    if content is None:
        return ()
    if is_string(body, content):
        return (text_anchor(json_spans.string(body, content)),)
    return tuple(_anchor(body, block) for block in elements(body, content))


def _anchor(body: bytes, span: Span) -> str:
    block = json_spans.members(body, span)

    def text(name: str) -> str:
        value = block.get(name)
        if value is None or not is_string(body, value):
            return ""
        return json_spans.string(body, value)

    return anchor_of(text("type"), text)


def anchor_of(kind: str, text: Callable[[str], str]) -> str:
    """The anchor of a block of type ``kind`` whose string members ``text`` returns."""
    if kind == "text":
        return text_anchor(text("text"))
    if kind == "thinking":
        return seal_anchor(text("signature"))
    if kind == "redacted_thinking":
        return seal_anchor(text("data"))
    return call_anchor(text("id") or text("tool_use_id")) if kind else NEUTRAL


def hidden_edits(
    view: RequestView, index: int, placement: Placement, units: Units = elements
) -> list[Edit]:
    """What puts hidden parts back into message ``index`` and the one after it.

    Args:
        view: the request.
        index: of an assistant message.
        placement: what, and where.
        units: the blocks of a list, with all that stands by each of them.

    Raises:
        CompressionError: the message has not the blocks they were placed between.
    """
    after = index + 1
    places = placement.places
    if placement.results and not _is_user_turn(view, after):
        # Without a place for its results a call would make the request invalid.
        turns = [n for n, place in enumerate(places) if place.kind == "turn"]
        places = places[: turns[-1] + 1] if turns else ()
        placement = Placement(places)
    edits = _message_edits(view, index, places, units)
    if placement.results:
        edits += _results_edits(view, after, placement.results)
    return edits


def _is_user_turn(view: RequestView, index: int) -> bool:
    return index < len(view.messages) and view.messages[index].role == "user"


def _message_edits(
    view: RequestView, index: int, places: tuple[Place, ...], units: Units
) -> list[Edit]:
    body = view.body
    span = view.messages[index].span
    found = json_spans.members(body, span)
    content, role = found["content"], found["role"]
    blocks = [content] if is_string(body, content) else units(body, content)
    edits: list[Edit] = []
    for position in sorted({place.position for place in places}):
        gap = [place for place in places if place.position == position]
        has_turn = any(place.kind == "turn" for place in gap)
        if (
            not blocks
            or position > len(blocks)
            or (has_turn and position == len(blocks))
        ):
            raise CompressionError(f"message {index} has no place {position}")
        if position == 0:
            edits += _before_first(span, blocks[0], gap)
            continue
        end = blocks[position - 1].end
        if has_turn:
            text = _split(gap, is_role_first=role.start < content.start)
            edits.append(Edit(Span(end, blocks[position].start), text))
        else:
            text = b"".join(b",%b" % place.data for place in gap)
            edits.append(Edit(Span(end, end), text))
    if is_string(body, content) and any(e.span.start > span.start for e in edits):
        raise CompressionError(f"message {index} is a string, and is not split")
    return edits


def _before_first(message: Span, block: Span, gap: list[Place]) -> list[Edit]:
    """Whole hidden turns stand before the message, further calls at its front."""
    turns = [n for n, place in enumerate(gap) if place.kind == "turn"]
    whole = gap[: turns[-1] + 1] if turns else []
    calls = gap[len(whole) :]
    edits = []
    if whole:
        pieces, is_open = [], False
        for place in whole:
            if place.kind == "turn":
                pieces.append(b"]},%b," % user_turn(place.data))
                is_open = False
            else:
                pieces.append((b"," if is_open else _OPEN) + place.data)
                is_open = True
        edits.append(Edit(Span(message.start, message.start), b"".join(pieces)))
    if calls:
        text = b"".join(b"%b," % place.data for place in calls)
        edits.append(Edit(Span(block.start, block.start), text))
    return edits


def _split(gap: list[Place], *, is_role_first: bool) -> bytes:
    """What stands between two blocks where the message is split at least once.

    ``role`` may stand behind ``content``: then the first half has none yet, and the
    last one has one already.
    """
    close = b"]}" if is_role_first else b'],"role":"assistant"}'
    reopen = _OPEN if is_role_first else b'{"content":['
    pieces, is_filled = [], True
    last = max(n for n, place in enumerate(gap) if place.kind == "turn")
    for number, place in enumerate(gap):
        if place.kind == "turn":
            opening = reopen if number == last else _OPEN
            pieces.append(b"%b,%b,%b" % (close, user_turn(place.data), opening))
            close, is_filled = b"]}", False
        else:
            pieces.append((b"," if is_filled else b"") + place.data)
            is_filled = True
    return b"".join(pieces) + (b"," if is_filled else b"")


def user_turn(results: bytes) -> bytes:
    """The message that answers calls."""
    return b'{"role":"user","content":[%b]}' % results


def _results_edits(view: RequestView, index: int, results: bytes) -> list[Edit]:
    """Results at the front of a user message, which a string becomes a list for."""
    body = view.body
    content = json_spans.members(body, view.messages[index].span)["content"]
    start = content.start
    if is_string(body, content):
        head = b'[%b,{"type":"text","text":' % results
        if json_spans.string(body, content).strip():
            return [
                Edit(Span(start, start), head),
                Edit(Span(content.end, content.end), b"}]"),
            ]
        return [Edit(content, b"[%b]" % results)]
    blocks = elements(body, content)
    if not blocks:
        return [Edit(Span(start + 1, start + 1), results)]
    first = blocks[0].start
    return [Edit(Span(first, first), results + b",")]


def continue_body(body: bytes, content: bytes, results: Iterable[bytes]) -> bytes:
    """The request that lets the model go on.

    Where the client asked to have its newest message cached, so are the results: the
    next request then reads them instead of writing them a second time.

    Args:
        body: the request as it was forwarded.
        content: the assistant's blocks since then, a JSON array.
        results: the ``tool_result`` blocks that answer its calls.

    Raises:
        MalformedBodyError: ``body`` is not a request.
    """
    messages = json_spans.members(body, json_spans.whole(body)).get("messages")
    if messages is None or not is_array(body, messages):
        raise MalformedBodyError("no messages", reason="no_messages")
    end = messages.end - 1
    last = json_spans.elements(body, messages)[-1:]
    is_caching = any(_MARKER in span.of(body) for span in last)
    *first, newest = results
    if is_caching and body.count(_MARKER) < _MAX_MARKERS:
        newest = b'%b,"cache_control":{"type":"ephemeral"}}' % newest[:-1]
    user = user_turn(b",".join((*first, newest)))
    turn = b',{"role":"assistant","content":%b},%b' % (content, user)
    return splice(body, [Edit(Span(end, end), turn)])


def result_block(call_id: bytes, text: str) -> bytes:
    """The ``tool_result`` for a call.

    Args:
        call_id: the call's id as the JSON literal it came in.
        text: the answer; lone surrogates are replaced.
    """
    literal = json_spans.encode_string(result_text(text))
    return b'{"type":"tool_result","tool_use_id":%b,"content":%b}' % (call_id, literal)
