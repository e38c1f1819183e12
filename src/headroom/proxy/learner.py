"""What was learned, applied to new blocks; and what is observed for the next run.

The recommendations are read once. Whoever observes changes nothing: what is counted
here reaches nobody before it has been published and the proxy has been started again.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from headroom.core.structure import structure_of
from headroom.core.types import KINDS, BlockOutcome, BlockTask, JsonValue
from headroom.learning.observations import Key, Observations
from headroom.learning.recommendations import (
    LOSSLESS,
    SKIP,
    Recommendations,
    load_recommendations,
)
from headroom.providers.models import family_of
from headroom.proxy.exchange import Exchange
from headroom.settings import Settings

log = logging.getLogger("headroom.proxy")


class Learner:
    """Advice from before, observations for later; one per server process."""

    def __init__(
        self, recommendations: Recommendations, observations: Observations | None
    ) -> None:
        self._advice = recommendations
        self._observations = observations

    def advised(self, task: BlockTask, auth_mode: str) -> BlockTask:
        """The task with what was learned of such results."""
        if not self._advice or not task.slot.is_tool:
            return task
        structure = structure_of(task.text, task.call)
        row = self._advice.get(auth_mode, task.model, structure)
        if row is None:
            return task
        if row.strategy_hint == LOSSLESS:
            return msgspec.structs.replace(task, wants_lossy=False)
        if row.strategy_hint in KINDS or row.strategy_hint == SKIP:
            return msgspec.structs.replace(task, expects=row.strategy_hint)
        return task

    def observe(
        self, results: Sequence[tuple[BlockTask, BlockOutcome]], auth_mode: str
    ) -> None:
        """Count what became of blocks that were seen for the first time."""
        if self._observations is None:
            return
        for task, outcome in results:
            if not task.slot.is_tool:
                continue
            key = Key(
                auth_mode, family_of(task.model), structure_of(task.text, task.call)
            )
            saved = outcome.original_tokens - outcome.compressed_tokens
            if outcome.replacement is None:
                self._observations.compressed(key, "left", 0)
            elif outcome.is_lossy:
                name = f"lossy:{outcome.kind}"
                self._observations.compressed(key, name, saved, task.digest)
            else:
                self._observations.compressed(key, outcome.kind, saved)

    def observe_retrievals(self, exchange: Exchange) -> None:
        """Count what an answer asked back."""
        if self._observations is not None:
            for retrieval in exchange.retrievals:
                self._observations.retrieved(retrieval.digest, retrieval.tokens)

    def close(self) -> None:
        """Write what was observed."""
        if self._observations is not None:
            self._observations.close()


def make_learner(settings: Settings) -> Learner:
    """Read the recommendations, and say so."""
    path = Path(settings.learning.recommendations_path).expanduser()
    found = load_recommendations(path)
    fields: dict[str, JsonValue] = {
        "path": str(path),
        "rows": len(found.recommendations),
    }
    if found.status == "failed":
        log.warning(
            "recommendations_load_failed", extra={**fields, "error": found.error}
        )
    else:
        log.info(f"recommendations_{found.status}", extra=fields)
    directory = Path(settings.data_dir)
    observations = Observations(directory) if settings.learning.observe else None
    return Learner(found.recommendations, observations)
