"""Outcomes of blocks that are told by earlier results: gated like a compressor's.

Between ``repeats``, which knows texts alone, and ``rewrite``, which knows the request.
"""

from collections.abc import Sequence

import msgspec

from headroom.core.repeats import Base, Source, refer, relate
from headroom.core.types import BlockOutcome, BlockTask, Candidate, CountTokens

FORM_STRATEGY = "repeat_in_form"
"""References inside of a compressor's form, whose lines are not all the source's."""


def refer_block(
    task: BlockTask, sources: Sequence[Source], count: CountTokens
) -> BlockOutcome | None:
    """A repeat of earlier results as references; ``None`` if too little repeats."""
    return _referring(task, refer(task.text, sources, task.call), count)


def relate_block(
    task: BlockTask, bases: Sequence[Base], count: CountTokens
) -> BlockOutcome | None:
    """A JSON result by what differs from an earlier one; ``None``: none is like it."""
    return _referring(task, relate(task.text, bases, count), count)


def refer_form(
    task: BlockTask, form: BlockOutcome, sources: Sequence[Source], count: CountTokens
) -> BlockOutcome | None:
    """A compressor's form with references for what it still repeats, if it does."""
    candidate = refer(form.replacement or "", sources, task.call)
    found = _referring(task, candidate, count)
    if found is None or found.compressed_tokens >= form.compressed_tokens:
        return None
    return msgspec.structs.replace(
        found,
        kind=form.kind,
        strategy=FORM_STRATEGY,
        is_lossy=form.is_lossy,
        omitted=form.omitted,
    )


def _referring(
    task: BlockTask, candidate: Candidate | None, count: CountTokens
) -> BlockOutcome | None:
    """A form with references as an outcome, if it is shorter than the text."""
    if candidate is None:
        return None
    size_bytes = len(task.text.encode("utf-8"))
    compressed_bytes = len(candidate.text.encode("utf-8"))
    before, after = count(task.text), count(candidate.text)
    if after >= before or compressed_bytes >= size_bytes:
        return None
    return BlockOutcome(
        "compressed",
        kind="mixed",
        strategy=candidate.strategy,
        original_bytes=size_bytes,
        compressed_bytes=compressed_bytes,
        original_tokens=before,
        compressed_tokens=after,
        replacement=candidate.text,
        refers_to=candidate.refers_to,
    )
