"""What decisions mean in one body: the span edits that make it what is forwarded.

What always holds: nothing but what the decisions say changes, and a decision that does
not fit this body is never guessed at: its message leaves as it came, and is told.
"""

from collections.abc import Mapping
from functools import partial

from headroom.core import digest
from headroom.core.attempts import Failed, attempted
from headroom.core.hidden import decode_placement
from headroom.core.protocols import Provider
from headroom.core.types import Decision, Edit, RequestView, Slot, Span
from headroom.core.wire import json_spans
from headroom.errors import CompressionError


def make_edits(
    view: RequestView, provider: Provider, decisions: Mapping[int, Decision]
) -> tuple[list[Edit], dict[int, Failed]]:
    """The span edits that decisions mean in this body.

    Returns:
        The edits, and by index the messages that have none because their decision does
        not fit: it names a slot or an original that is not there, or hides what has no
        place.
    """
    found: list[Edit] = []
    unfit: dict[int, Failed] = {}
    for index, decision in decisions.items():
        if not (decision.edits or decision.hidden or decision.tail):
            continue
        made = attempted(partial(_message_edits, view, provider, index, decision))
        if isinstance(made, Failed):
            unfit[index] = made
        else:
            found += made
    return found, unfit


def _message_edits(
    view: RequestView, provider: Provider, index: int, decision: Decision
) -> list[Edit]:
    """What one message's decision means.

    Raises:
        CompressionError: it does not fit.
    """
    found: list[Edit] = []
    if decision.hidden:
        placement = decode_placement(decision.hidden)
        found += provider.hidden_edits(view, index, placement)
    if not decision.edits and decision.tail is None:
        return found
    slots = {
        slot.address: slot
        for slot in provider.slots(view, index)
        if isinstance(slot, Slot)
    }
    for edit in decision.edits:
        slot = slots.get(edit.address)
        if slot is None:
            raise CompressionError(
                f"message {index} has no slot {edit.address!r}, recorded as edited"
            )
        text = json_spans.string(view.body, slot.literal)
        if digest.content_digest(text) != edit.digest:
            raise CompressionError(
                f"slot {edit.address!r} of message {index} is not the text"
                f" {edit.digest} that was recorded"
            )
        tail = decision.tail
        text = edit.replacement
        if tail is not None and tail.address == edit.address:
            text += tail.text
        found.append(Edit(slot.literal, json_spans.encode_string(text)))
    return found + _tail_edits(index, decision, slots)


def _tail_edits(
    index: int, decision: Decision, slots: Mapping[str, Slot]
) -> list[Edit]:
    """What appends a decision's tail, where no edit of the same text has it."""
    tail = decision.tail
    if tail is None or any(edit.address == tail.address for edit in decision.edits):
        return []
    slot = slots.get(tail.address)
    if slot is None:
        raise CompressionError(
            f"message {index} has no slot {tail.address!r}, recorded as appended to"
        )
    end = slot.literal.end - 1
    return [Edit(Span(end, end), json_spans.encode_string(tail.text)[1:-1])]
