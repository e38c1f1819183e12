"""Outcomes of blocks that are told by earlier results: gated like a compressor's.

Between ``repeats``, which knows texts alone, and ``rewrite``, which knows the request.

Where the earlier results stand in the request, nothing is lost. Where the provider
keeps them, it may drop them unseen: then a form counts as lossy. What it leaves out
stands there all the same, so that it need not save what a look-up would cost; how its
text is got back is the caller's to say (``Way``).
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from headroom.core.markers import write_marker
from headroom.core.repeats import (
    MIN_SOURCE_CHARS,
    Base,
    Source,
    refer,
    relate,
    told,
    without_known_context,
)
from headroom.core.rivals import MIN_LOSSY_GAIN, MIN_LOSSY_GAIN_TOKENS, better
from headroom.core.types import BlockOutcome, BlockTask, Candidate, CountTokens

FORM_STRATEGY = "repeat_in_form"
"""References inside of a compressor's form, whose lines are not all the source's."""


MAX_FORM_CHARS = 60_000
"""Longer texts' forms are not compared with earlier results once more."""

LINE_KINDS = frozenset({"build", "trace", "diff", "mixed", "search", "log", "listing"})
"""Whose forms have whole lines of the source in them, or those of an earlier form."""


class Way(Struct, frozen=True):
    """How forms with references are given.

    Attributes:
        count: the gate's counter.
        marker: how the text is got back (see ``Policy.marker``), where what a form
            refers to may be gone; empty: by the numbers in the form; ``None``: it
            stands in the request.
        known: what earlier forms tell of what they refer to.
    """

    count: CountTokens
    marker: str | None = None
    known: frozenset[str] = frozenset()


class Looking(Struct, frozen=True):
    """What it takes to look for repeats in a block's form once more.

    Attributes:
        sources: what it may refer to.
    """

    task: BlockTask
    sources: list[Source]
    way: Way

    def again(self, outcome: BlockOutcome, marker: str) -> BlockOutcome | None:
        """A compressor's form with references for what it still repeats.

        Args:
            outcome: of the block.
            marker: of lossy results; see ``Policy.marker``.
        """
        form = outcome.replacement
        if form is None or len(form) < MIN_SOURCE_CHARS:
            return None
        if outcome.kind not in LINE_KINDS:
            return None
        found = refer_form(self.task, outcome, self.sources, self.way)
        if outcome.kind == "search" and self.task.wants_lossy:
            way = msgspec.structs.replace(self.way, marker=marker)
            less = drop_context(self.task, self.sources, way)
            return found if less is None else better(found, less)
        return found


def refer_block(
    task: BlockTask, sources: Sequence[Source], way: Way
) -> BlockOutcome | None:
    """A repeat of earlier results as references; ``None`` if too little repeats."""
    return _referring(task, refer(task.text, sources, task.call, way.known), way)


def relate_block(
    task: BlockTask, bases: Sequence[Base], way: Way
) -> BlockOutcome | None:
    """A JSON result by what differs from an earlier one; ``None``: none is like it."""
    return _referring(task, relate(task.text, bases, way.count, task.call), way)


def refer_form(
    task: BlockTask, form: BlockOutcome, sources: Sequence[Source], way: Way
) -> BlockOutcome | None:
    """A compressor's form with references for what it still repeats, if it does."""
    candidate = refer(form.replacement or "", sources, task.call, way.known)
    if form.is_lossy:
        # It ends with a marker already.
        way = msgspec.structs.replace(way, marker=None)
    found = _referring(task, candidate, way)
    if found is None or found.compressed_tokens >= form.compressed_tokens:
        return None
    return msgspec.structs.replace(
        found,
        kind=form.kind,
        strategy=FORM_STRATEGY,
        is_lossy=form.is_lossy or found.is_lossy,
        is_standing=found.is_standing,
        omitted=form.omitted or found.omitted,
    )


def drop_context(
    task: BlockTask, sources: Sequence[Source], way: Way
) -> BlockOutcome | None:
    """Search results without context that was read before, as a lossy form."""
    found = _referring(task, without_known_context(task.text, sources), way)
    return found and msgspec.structs.replace(found, kind="search")


def _referring(
    task: BlockTask, candidate: Candidate | None, way: Way
) -> BlockOutcome | None:
    """A form with references as an outcome, if it is shorter than the text."""
    if candidate is None:
        return None
    text, omitted = candidate.text, ""
    is_lossy = way.marker is not None
    if is_lossy:
        omitted = candidate.omitted or told(text)
        text = text.removesuffix(f"\n{candidate.omitted}")
    if way.marker:
        # References tell themselves which lines these are.
        account = candidate.omitted
        text += f"\n{write_marker(task.digest, account, way.marker)}"
    size_bytes = len(task.text.encode("utf-8"))
    compressed_bytes = len(text.encode("utf-8"))
    before, after = way.count(task.text), way.count(text)
    if after >= before or compressed_bytes >= size_bytes:
        return None
    is_standing = is_lossy and not candidate.omitted
    least = max(MIN_LOSSY_GAIN_TOKENS, before * MIN_LOSSY_GAIN)
    if is_lossy and not is_standing and before - after < least:
        return None
    return BlockOutcome(
        "compressed",
        kind="mixed",
        strategy=candidate.strategy,
        original_bytes=size_bytes,
        compressed_bytes=compressed_bytes,
        original_tokens=before,
        compressed_tokens=after,
        is_lossy=is_lossy,
        is_standing=is_standing,
        omitted=omitted,
        replacement=text,
        refers_to=candidate.refers_to,
    )
