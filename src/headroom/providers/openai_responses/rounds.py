"""What one round of a Responses answer said, and the request that goes on from it."""

import msgspec

from headroom.core.hidden import NEUTRAL
from headroom.core.types import Edit, Span
from headroom.core.wire import json_spans
from headroom.errors import HeadroomError
from headroom.providers.openai_responses.answer import (
    Message,
    OutputItem,
    tool_call,
)
from headroom.providers.openai_responses.items import CALLS, read_item
from headroom.providers.openai_responses.replay import continue_body, result_item
from headroom.providers.rounds import (
    Piece,
    Rounds,
    Said,
    result_text,
)

_ASKING = CALLS | {"computer_call", "mcp_approval_request", "tool_search_call"}
"""Items behind which the client has to do something."""


def is_hidden(
    kind: str, name: str, namespace: str = "", *, own: frozenset[str]
) -> bool:
    """Whether an item is a call that the proxy answers, of a tool in ``own``."""
    return kind == "function_call" and not namespace and name in own


def make_rounds(own: frozenset[str]) -> Rounds:
    """The rounds of a Responses answer."""
    return Rounds(_result, own=own)


def said(message: Message, own: frozenset[str]) -> Said:
    """What one round said."""
    usage = message.usage
    hidden = [item for item in message.items if hides(item, own)]
    asking = [i for i in message.items if i.type in _ASKING and not hides(i, own)]
    return Said(
        pieces=tuple(_piece(item, own) for item in message.items),
        usage={} if usage is None else msgspec.structs.asdict(usage),
        is_whole=message.status in {"completed", "incomplete"},
        is_calling=message.status == "completed"
        and all(item.is_complete and item.call_id for item in hidden),
        has_client_calls=bool(asking),
    )


def hides(item: OutputItem, own: frozenset[str]) -> bool:
    """Whether the client does not see an item."""
    return is_hidden(item.type, item.name, item.namespace, own=own)


def continued(body: bytes, message: Message, results: bytes) -> bytes:
    """The request that lets the model go on behind ``message``.

    Args:
        body: the request as it was forwarded.
        message: what the model answered to it.
        results: of the message's calls, joined by commas.

    Raises:
        MalformedBodyError: ``body`` is not a request.
    """
    items = (item.data for item in message.items)
    return continue_body(body, items, results, message.id)


def ending_edits(
    data: bytes, rounds: Rounds, seen: list[bytes], kind: str = ""
) -> list[Edit]:
    """What changes in the object that tells how a response ended.

    Args:
        data: the event that ends it, or the response itself.
        rounds: all of them.
        seen: the items that the client has got.
        kind: the event's member that holds the response; empty: ``data`` is it.

    Raises:
        MalformedBodyError: it is no such object.
    """
    top = json_spans.members(data, json_spans.whole(data))
    if kind:
        top = json_spans.members(data, top[kind])
    edits = []
    output = top.get("output")
    # Some servers leave out at the end what they have told before.
    if output is not None and json_spans.elements(data, output):
        edits.append(Edit(output, b"[%b]" % b",".join(seen)))
    usage = top.get("usage")
    if usage is not None and json_spans.is_object(data, usage):
        edits += _usage_edits(data, json_spans.members(data, usage), rounds.usage)
    return [edit for edit in edits if edit.span.of(data) != edit.replacement]


def _usage_edits(
    data: bytes, usage: dict[str, Span], sums: dict[str, int]
) -> list[Edit]:
    """The output of all rounds; what was put in is told of the last one."""
    output = sums.get("output_tokens", 0)
    edits = []
    given = usage.get("input_tokens")
    if "output_tokens" in usage:
        edits.append(Edit(usage["output_tokens"], b"%d" % output))
    if "total_tokens" in usage and given is not None and given.of(data).isdigit():
        total = int(given.of(data)) + output
        edits.append(Edit(usage["total_tokens"], b"%d" % total))
    details = usage.get("output_tokens_details")
    if details is not None and json_spans.is_object(data, details):
        span = json_spans.members(data, details).get("reasoning_tokens")
        if span is not None:
            edits.append(Edit(span, b"%d" % sums.get("reasoning_tokens", 0)))
    return edits


def _piece(item: OutputItem, own: frozenset[str]) -> Piece:
    if hides(item, own):
        return Piece(call=tool_call(item), data=item.data)
    try:
        found = read_item(item.data)
    except HeadroomError:
        return Piece(NEUTRAL)
    is_models = found.role == "assistant"
    return Piece(found.canonical.decode("utf-8") if is_models else NEUTRAL)


def _result(piece: Piece, text: str) -> bytes:
    assert piece.call is not None, "only hidden calls have results"
    return result_item(piece.call.id, result_text(text))
