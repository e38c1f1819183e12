"""Recommendations: the file that one run leaves for the next, read once at start.

TOML, one ``[[recommendation]]`` a row (SPEC R130). A file that is missing or malformed
is as if it were empty; which of both is told to the caller.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from headroom.providers.models import family_of

Status: TypeAlias = Literal["loaded", "missing", "failed"]

UNKNOWN = "unknown"
DEFAULT = "default"
LOSSLESS = "lossless"
SKIP = "skip"


class Recommendation(Struct, frozen=True, order=True):
    """What to do with results of one structure, under one credential and model family.

    Attributes:
        strategy_hint: ``default`` (as if nothing was known), ``skip`` (it never gets
            smaller), ``lossless`` (what was left out was mostly asked back), or the
            kind whose compressor is to look first.
        confidence: the share of observations that speak for it.
    """

    auth_mode: str
    model_family: str
    structure_hash: str
    strategy_hint: str
    confidence: float
    observations: int


class _File(Struct, frozen=True):
    recommendation: list[Recommendation] = []


class Recommendations:
    """Rows by key; never changes."""

    def __init__(self, rows: Iterable[Recommendation] = ()) -> None:
        self._rows = {
            (row.auth_mode, row.model_family, row.structure_hash): row for row in rows
        }

    def get(
        self, auth_mode: str, model: str, structure_hash: str
    ) -> Recommendation | None:
        """The row for a structure; rows of unknown mode or family hold for all.

        Args:
            auth_mode: whose credential it is.
            model: a model id or a family.
            structure_hash: see ``core.structure``.
        """
        family = family_of(model)
        return self._rows.get((auth_mode, family, structure_hash)) or self._rows.get(
            (UNKNOWN, UNKNOWN, structure_hash)
        )

    def __len__(self) -> int:
        return len(self._rows)


class LoadedRecommendations(Struct, frozen=True):
    """What reading a file came to; ``error`` says why it failed."""

    recommendations: Recommendations
    status: Status
    error: str = ""


def load_recommendations(path: Path) -> LoadedRecommendations:
    """Read a file; never raises for what is in it."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
        rows = msgspec.convert(document, _File).recommendation
    except FileNotFoundError:
        return LoadedRecommendations(Recommendations(), "missing")
    except (OSError, ValueError) as error:
        return LoadedRecommendations(Recommendations(), "failed", str(error)[:200])
    return LoadedRecommendations(Recommendations(rows), "loaded")
