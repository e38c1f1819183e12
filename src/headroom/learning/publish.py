"""From observations to recommendations: pure, and the same rows every time."""

from collections.abc import Iterable, Sequence

import msgspec

from headroom.learning.observations import Key, Totals
from headroom.learning.recommendations import (
    DEFAULT,
    LOSSLESS,
    SKIP,
    Recommendation,
)

MIN_OBSERVATIONS = 50
STEP_TOKENS = 3_000
"""What one more step of an agent costs, in tokens removed: a retrieval is one."""

_LOSSY = "lossy:"
_LEFT = "left"
_HEADER = """\
# Recommendations for Headroom, made by `headroom learn publish` from what it observed.
# Read once at start, from HEADROOM_RECOMMENDATIONS_PATH; without this file everything
# is as if nothing had been learned.
"""


def publish(
    rows: Iterable[tuple[Key, Sequence[Totals]]],
    min_observations: int = MIN_OBSERVATIONS,
) -> list[Recommendation]:
    """What the observations speak for, by key in order.

    Args:
        rows: all outcomes of each key.
        min_observations: keys seen less often are left out.

    Raises:
        ValueError: ``min_observations`` is below 1.
    """
    if min_observations < 1:
        raise ValueError("at least one observation is needed")
    found = []
    for key, outcomes in rows:
        seen = sum(totals.seen for totals in outcomes)
        if seen >= min_observations:
            hint, confidence = _hint(outcomes, seen)
            found.append(
                Recommendation(
                    key.auth_mode,
                    key.model_family,
                    key.structure_hash,
                    hint,
                    round(confidence, 3),
                    seen,
                )
            )
    return sorted(found)


def _hint(outcomes: Sequence[Totals], seen: int) -> tuple[str, float]:
    """The learned optimum, else the kind that served most often, else the default."""
    left = sum(totals.seen for totals in outcomes if totals.outcome == _LEFT)
    if left == seen:
        return SKIP, 1.0
    lossy = [t for t in outcomes if t.outcome.startswith(_LOSSY)]
    retrievals = sum(t.retrievals for t in lossy)
    debit = sum(t.retrieved_tokens for t in lossy) + STEP_TOKENS * retrievals
    if retrievals and debit >= sum(t.saved_tokens for t in lossy):
        return LOSSLESS, min(1.0, retrievals / max(1, sum(t.seen for t in lossy)))
    served: dict[str, int] = {}
    for totals in outcomes:
        if totals.outcome != _LEFT:
            kind = totals.outcome.removeprefix(_LOSSY)
            served[kind] = served.get(kind, 0) + totals.seen
    best = min(served, key=lambda kind: (-served[kind], kind))
    share = served[best] / seen
    return (best, share) if 2 * share > 1 else (DEFAULT, share)


def to_toml(rows: Iterable[Recommendation]) -> str:
    """The file: one table a row, its members in the order of their definition."""
    pieces = [_HEADER]
    for row in rows:
        pieces.append("\n[[recommendation]]\n")
        for name, value in msgspec.structs.asdict(row).items():
            # JSON strings and numbers are TOML strings and numbers.
            pieces.append(f"{name} = {msgspec.json.encode(value).decode()}\n")
    return "".join(pieces)
