"""Learning between runs: what was compressed and asked back, and what to make of it.

While the proxy runs it only observes: how often results of one structure got smaller,
by how much, and how often their originals were asked back. ``headroom learn publish``
turns the counts into recommendations, a file that an operator reads and keeps. It is
read once, at start, and applies to blocks that are first seen afterwards.

What always holds: observing changes nothing; without the file everything is as if
nothing had ever been learned.
"""

import warnings

from headroom.learning.observations import Observations, Totals
from headroom.learning.publish import publish, to_toml
from headroom.learning.recommendations import (
    Recommendation,
    Recommendations,
    load_recommendations,
)

__all__ = [
    "Observations",
    "Recommendation",
    "Recommendations",
    "Totals",
    "get_recommendation",
    "load_recommendations",
    "publish",
    "to_toml",
]


def get_recommendation(*_: object, **__: object) -> None:
    """Nothing: what was learned is never asked for while a request is served (R126)."""
    warnings.warn(
        "recommendations are read once at start; nothing is learned per request",
        DeprecationWarning,
        stacklevel=2,
    )
