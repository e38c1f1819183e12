"""Items sent back: hidden exchanges in their place, and continuations.

A request in which the client resends an answer gets the calls it never saw back, and
their results, as span edits: items are a flat list, so that both stand between two of
the client's. A continuation is the forwarded request with the answer so far and the
results behind its last item.

What always holds: the client's items are copied, never written again; the provider sees
each of its own as it sent it.
"""

from collections.abc import Iterable

from headroom.core.hidden import Placement
from headroom.core.splice import splice
from headroom.core.types import Edit, RequestView, Span
from headroom.core.wire import json_parts, json_spans
from headroom.core.wire.json_spans import elements, is_array, is_string
from headroom.errors import CompressionError, MalformedBodyError, StreamError
from headroom.providers.messages import text_of

MESSAGE = "response.create"
"""The type of a request that is a message of a WebSocket."""

PREVIOUS = "previous_response_id"

_USER = b'{"role":"user","content":'


def hidden_edits(view: RequestView, index: int, placement: Placement) -> list[Edit]:
    """What puts hidden items back into the run that message ``index`` is.

    Raises:
        CompressionError: the run has not the items they were placed between.
    """
    parts = view.messages[index].parts
    places = placement.places
    has_next = index + 1 < len(view.messages)
    if placement.results and not has_next:
        # Without a place for its results a call would make the request invalid.
        turns = [n for n, place in enumerate(places) if place.kind == "turn"]
        places = places[: turns[-1] + 1] if turns else ()
    edits = []
    for position in sorted({place.position for place in places}):
        if not parts or position > len(parts):
            raise CompressionError(f"message {index} has no place {position}")
        gap = b",".join(p.data for p in places if p.position == position)
        if position < len(parts):
            at = parts[position].start
            edits.append(Edit(Span(at, at), gap + b","))
        else:
            at = parts[-1].end
            edits.append(Edit(Span(at, at), b"," + gap))
    if placement.results and has_next:
        at = view.messages[index + 1].span.start
        edits.append(Edit(Span(at, at), placement.results + b","))
    return edits


def results_edits(view: RequestView, results: bytes) -> list[Edit]:
    """What puts results in front of all that a request brings.

    Raises:
        MalformedBodyError: the request brings nothing.
    """
    if not view.messages:
        raise MalformedBodyError("no items", reason="no_messages")
    span = view.messages[0].span
    if is_string(view.body, span):
        return [
            Edit(Span(span.start, span.start), b"[%b,%b" % (results, _USER)),
            Edit(Span(span.end, span.end), b"}]"),
        ]
    return [Edit(Span(span.start, span.start), results + b",")]


def continue_body(
    body: bytes, items: Iterable[bytes], results: bytes, answer_id: str = ""
) -> bytes:
    """The request that lets the model go on.

    Over a WebSocket the connection keeps the newest answer, and only that: there the
    results alone are sent behind it.

    Args:
        body: the request as it was forwarded.
        items: what the model said since then, as it came.
        results: of its hidden calls, joined by commas.
        answer_id: of the answer that said it.

    Raises:
        MalformedBodyError: ``body`` is not a request.
    """
    top = json_spans.members(body, json_spans.whole(body))
    given = top.get("input")
    if given is not None and text_of(body, top.get("type")) == MESSAGE:
        return splice(body, _delta_edits(top, given, results, answer_id))
    is_stored = "store" not in top or top["store"].of(body) != b"false"
    sent = [raw for raw in items if is_stored or _is_whole(raw)]
    more = b",".join((*sent, results))
    if given is not None and is_string(body, given):
        item = _user(given.of(body))
        return splice(body, [Edit(given, b"[%b,%b]" % (item, more))])
    if given is None or not is_array(body, given):
        raise MalformedBodyError("no input", reason="no_messages")
    end = given.end - 1
    comma = b"," if elements(body, given) else b""
    return splice(body, [Edit(Span(end, end), comma + more)])


def _delta_edits(
    top: dict[str, Span], given: Span, results: bytes, answer_id: str
) -> list[Edit]:
    literal = json_parts.encode_string(answer_id)
    edits = [Edit(given, b"[%b]" % results)]
    if (previous := top.get(PREVIOUS)) is not None:
        return [*edits, Edit(previous, literal)]
    member = b',"%b":%b' % (PREVIOUS.encode(), literal)
    return [*edits, Edit(Span(given.end, given.end), member)]


def result_item(call_id: str, text: str) -> bytes:
    """The result of a hidden call.

    Args:
        call_id: the call's.
        text: the answer, without lone surrogates.
    """
    return b'{"type":"function_call_output","call_id":%b,"output":%b}' % (
        json_parts.encode_string(call_id),
        json_spans.encode_string(text),
    )


def _user(literal: bytes) -> bytes:
    return b"%b%b}" % (_USER, literal)


def _is_whole(raw: bytes) -> bool:
    """Whether an item can be sent back to a provider that keeps none.

    Thoughts that are not sealed in the item are known to it by their id alone.
    """
    try:
        members = json_parts.members(raw)
        if json_parts.string(members.get("type")) != "reasoning":
            return True
        return bool(json_parts.string(members.get("encrypted_content")))
    except StreamError:
        return True
