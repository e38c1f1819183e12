"""What decisions mean in one body: the span edits that make it what is forwarded.

What always holds: nothing but what the decisions say changes, and a decision that does
not fit this body is an error, never a guess.
"""

from collections.abc import Mapping

from headroom.core import digest
from headroom.core.hidden import decode_placement
from headroom.core.protocols import Provider
from headroom.core.types import Decision, Edit, RequestView, Slot, Span
from headroom.core.wire import json_spans
from headroom.errors import CompressionError


def make_edits(
    view: RequestView, provider: Provider, decisions: Mapping[int, Decision]
) -> list[Edit]:
    """The span edits that decisions mean in this body.

    Raises:
        CompressionError: a decision names a slot or an original that is not there, or
            hides what has no place.
    """
    found: list[Edit] = []
    for index, decision in decisions.items():
        if decision.hidden:
            found += provider.hidden_edits(
                view, index, decode_placement(decision.hidden)
            )
        if not decision.edits and decision.tail is None:
            continue
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
        found += _tail_edits(index, decision, slots)
    return found


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
