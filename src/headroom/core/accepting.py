"""Turn what became of a plan's blocks into decisions, in the order of the conversation.

Between the pipeline and the splice. What always holds: an edit never pulls the
forwarded prefix below the shortest length the provider caches.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy

import msgspec
from msgspec import Struct

from headroom.core.plan import Plan
from headroom.core.types import (
    BlockOutcome,
    BlockTask,
    Decision,
    Manifest,
    ManifestEntry,
    Policy,
    RequestView,
    SlotEdit,
)

RECIPE = "1"
"""Told with every edit, for whoever has to make a lost replacement again one day; today
replacements are kept whole, and nothing reads it."""

LOW_BYTES_PER_TOKEN = 6
"""A body has at least one token per six bytes: English JSON has about one per four."""


class Outcome(Struct, frozen=True):
    """What a plan came to: decisions for every message, and the account of them.

    Attributes:
        decisions: by message index, for every message of the request.
        originals: content digest → text, of lossy replacements; to be stored first.
        call_ids: ``(message index, slot address)`` → call id, of fresh edits.
        manifest: one line per block that was looked at.
    """

    decisions: dict[int, Decision]
    originals: dict[str, str]
    call_ids: dict[tuple[int, str], str]
    manifest: Manifest


def accept(
    view: RequestView,
    plan: Plan,
    outcomes: Sequence[BlockOutcome],
) -> Outcome:
    """Turn the outcomes of a plan's tasks into decisions.

    Args:
        view: the request.
        plan: its plan.
        outcomes: one per task of the plan, in the same order, as ``PrefixFloor``
            admitted them.
    """
    edits: dict[int, list[SlotEdit]] = {
        index: list(decision.edits) for index, decision in plan.decisions.items()
    }
    call_ids: dict[tuple[int, str], str] = {}
    originals: dict[str, str] = {}
    entries = list(plan.entries) + _entries_of(plan.decisions)
    for task, settled in zip(plan.tasks, outcomes, strict=True):
        entries.append(
            ManifestEntry(
                task.message_index,
                task.slot.block_index,
                task.slot.block_type,
                settled,
            )
        )
        if settled.replacement is None:
            continue
        edit = SlotEdit(
            address=task.slot.address,
            digest=task.digest,
            replacement=settled.replacement,
            strategy=settled.strategy,
            recipe=RECIPE,
            is_lossy=settled.is_lossy,
            refers_to=settled.refers_to,
            original_tokens=settled.original_tokens,
            compressed_tokens=settled.compressed_tokens,
        )
        edits[task.message_index].append(edit)
        if task.slot.record_id:
            call_ids[task.message_index, edit.address] = task.slot.record_id
        if edit.is_lossy:
            originals[edit.digest] = task.text
    entries.sort(key=lambda entry: (entry.message_index, entry.block_index or 0))
    decisions = {
        index: msgspec.structs.replace(
            plan.begun,
            edits=tuple(found),
            hidden=plan.decisions[index].hidden,
            tail=plan.decisions[index].tail,
        )
        for index, found in edits.items()
    }
    manifest = Manifest(
        messages_total=len(view.messages),
        messages_below_frozen_floor=view.frozen_count,
        latest_user_message_index=_latest_user(view, plan.live_from),
        entries=tuple(entries),
    )
    return Outcome(decisions, originals, call_ids, manifest)


def removed_bytes(view: RequestView, decisions: Mapping[int, Decision]) -> int:
    """At most how many bytes edits take away: their replacements at least are sent."""
    return sum(
        _removed(view, index, _chars(decision.edits))
        for index, decision in decisions.items()
        if decision.edits
    )


def _removed(view: RequestView, index: int, chars: int) -> int:
    """The same for one message, of whose edits so many characters are sent."""
    span = view.messages[index].span
    return span.end - span.start - chars


def _chars(edits: Iterable[SlotEdit]) -> int:
    return sum(len(edit.replacement) for edit in edits)


class PrefixFloor:
    """Keeps the forwarded prefix at or above the shortest length the provider caches.

    A shorter prefix is billed in full on every turn, where the longer one it replaced
    would have been read from the cache at a tenth of the price.

    What stands before a block is measured the same way however much of it is decided
    in the same request: decided again, a block becomes what it was.
    """

    def __init__(self, view: RequestView, plan: Plan, policy: Policy) -> None:
        self.minimum_tokens = policy.cache_minimum_tokens if view.is_caching else 0
        before = sum(s.end - s.start for s in view.text_before)
        self.before_bytes = before + plan.earlier_bytes
        self.view = view
        self.origin = view.messages[0].span.start if view.messages else 0
        self.sent: dict[int, int] = {
            index: _chars(decision.edits)
            for index, decision in plan.decisions.items()
            if decision.edits
        }
        self.index = -1
        self.removed_before = self.removed_here = 0
        self.settled = 0

    def settle(
        self, tasks: Sequence[BlockTask], outcomes: list[BlockOutcome | None], end: int
    ) -> None:
        """Reject what would make the prefix too short, once for each outcome.

        Args:
            tasks: of the plan, in order.
            outcomes: of these; some are replaced.
            end: only those before this one are there.
        """
        for position in range(self.settled, end):
            outcome = outcomes[position]
            if outcome is not None:
                outcomes[position] = self.admit(tasks[position], outcome)
        self.settled = end

    def rejected(
        self,
        tasks: Sequence[BlockTask],
        outcomes: Sequence[BlockOutcome | None],
        end: int,
    ) -> list[int]:
        """Positions of what ``settle`` would reject though less could be taken away.

        Args:
            tasks: of the plan, in order.
            outcomes: of these; nothing is changed.
            end: only those before this one are there.
        """
        fresh = range(self.settled, end)
        found = [outcomes[position] for position in fresh]
        if not self.minimum_tokens or not any(o and _takes_more(o) for o in found):
            return []
        trial = copy(self)
        trial.sent = dict(self.sent)
        return [
            position
            for position, outcome in zip(fresh, found, strict=True)
            if outcome is not None
            and trial.admit(tasks[position], outcome) is not outcome
            and _takes_more(outcome)
        ]

    def admit(self, task: BlockTask, outcome: BlockOutcome) -> BlockOutcome:
        """The outcome, or its rejection if the prefix would become too short.

        To be called for the tasks in order.
        """
        if outcome.replacement is None or not self.minimum_tokens:
            return outcome
        self._advance(task.message_index)
        literal = task.slot.literal
        removed = literal.end - literal.start - outcome.compressed_bytes
        reach = self.before_bytes + literal.end - self.origin
        low_bytes = reach - self.removed_before - self.removed_here - removed
        if low_bytes // LOW_BYTES_PER_TOKEN < self.minimum_tokens:
            return BlockOutcome(
                "no_compression_applied",
                kind=outcome.kind,
                strategy=outcome.strategy,
                reason="prefix would fall below the cache minimum",
                original_bytes=outcome.original_bytes,
            )
        self.removed_here += removed
        index = task.message_index
        self.sent[index] = self.sent.get(index, 0) + len(outcome.replacement)
        return outcome

    def _advance(self, index: int) -> None:
        """Go on to a message, if it is another one."""
        if index == self.index:
            return
        for earlier in range(self.index, index):
            self.removed_before += self._removed(earlier)
        self.index, self.removed_here = index, self._removed(index)

    def _removed(self, index: int) -> int:
        chars = self.sent.get(index)
        return 0 if chars is None else _removed(self.view, index, chars)


def _takes_more(outcome: BlockOutcome) -> bool:
    """Whether more is taken away than a lossless form alone would take."""
    return outcome.is_lossy or bool(outcome.refers_to)


def corrected(
    outcome: Outcome, mine: Mapping[int, Decision], settled: Mapping[int, Decision]
) -> Outcome:
    """The account of a request of which others had decided some messages first."""
    lost = {index for index in settled if settled[index] is not mine.get(index)}
    kept = [e for e in outcome.manifest.entries if e.message_index not in lost]
    kept += _entries_of({index: settled[index] for index in lost})
    kept.sort(key=lambda entry: (entry.message_index, entry.block_index or 0))
    manifest = msgspec.structs.replace(outcome.manifest, entries=tuple(kept))
    return msgspec.structs.replace(outcome, decisions=dict(settled), manifest=manifest)


def _entries_of(decisions: Mapping[int, Decision]) -> list[ManifestEntry]:
    """The manifest lines of edits that were decided before."""
    return [
        ManifestEntry(
            index,
            int(edit.address.partition(".")[0]),
            "",
            BlockOutcome(
                "compressed",
                strategy=edit.strategy,
                original_tokens=edit.original_tokens,
                compressed_tokens=edit.compressed_tokens,
                is_lossy=edit.is_lossy,
            ),
            is_reapplied=True,
        )
        for index, decision in decisions.items()
        for edit in decision.edits
    ]


def _latest_user(view: RequestView, live_from: int) -> int | None:
    for index in range(len(view.messages) - 1, live_from - 1, -1):
        if view.messages[index].role == "user":
            return index
    return None
