"""Facts found by what they mean: vectors of a local model beside the words.

Optional. The model comes from a package that is installed, by name; nothing is
downloaded. Vectors are compared with those of the facts that share words with the
query, and of the newest facts, so that a search stays short. A model that fails leaves
the words to decide.
"""

import importlib
import json
import logging
import sqlite3
import sys
from array import array
from collections.abc import Sequence
from math import inf, sqrt
from operator import mul

from headroom.errors import ConfigError
from headroom.memory.facts import Embedder

log = logging.getLogger("headroom.memory")

NEWEST = 256
"""Facts whose vectors are compared whatever their words; a millisecond per hundred."""

# From reciprocal rank fusion, where it keeps the first few ranks from deciding alone:
# https://dl.acm.org/doi/10.1145/1571941.1572114.
_RANK_DAMPING = 60

_FAILURES = (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError)


def load_embedder(package: str) -> Embedder:
    """The embedder that an installed package makes.

    Args:
        package: name of a module with a function ``load()`` that returns one.

    Raises:
        ConfigError: there is no such module, or it makes none.
    """
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"memory.embeddings: expected an installed package, found {package!r}:"
            f" {error}"
        ) from error
    load = getattr(module, "load", None)
    if not callable(load):
        raise ConfigError(f"memory.embeddings: {package!r} has no function load()")
    try:
        made = load()
    except _FAILURES as error:
        raise ConfigError(
            f"memory.embeddings: load() of {package!r} failed: {error}"
        ) from error
    if not callable(getattr(made, "embed", None)) or not isinstance(
        getattr(made, "name", None), str
    ):
        raise ConfigError(
            f"memory.embeddings: load() of {package!r} returned"
            f" {type(made).__name__}, which has not both name and embed"
        )
    embedder: Embedder = made
    return embedder


class Meaning:
    """Vectors of one user's facts; does nothing without an embedder."""

    def __init__(self, embedder: Embedder | None) -> None:
        self._embedder = embedder

    def vector(self, text: str) -> bytes | None:
        """The vector of a text, of length 1; ``None`` if there can be none."""
        if self._embedder is None or not text.strip():
            return None
        try:
            (found,) = self._embedder.embed([text])
            norm = sqrt(sum(map(mul, found, found)))
            if not 0 < norm < inf:
                return None
            return _encode([value / norm for value in found])
        except _FAILURES as error:
            log.warning(
                "memory_embedding_failed", extra={"error": type(error).__name__}
            )
            return None

    def keep(self, db: sqlite3.Connection, number: int, vector: bytes | None) -> None:
        """Keep a fact's vector, or none."""
        if vector is None or self._embedder is None:
            db.execute("DELETE FROM vectors WHERE id = ?", (number,))
            return
        db.execute(
            "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
            (number, self._embedder.name, vector),
        )

    def ranked(
        self, db: sqlite3.Connection, vector: bytes, numbers: Sequence[int]
    ) -> list[int]:
        """Ids of facts near to a vector, the nearest first, ties by id.

        Args:
            db: the user's file.
            vector: of the query.
            numbers: facts to compare with, beside the newest.
        """
        if self._embedder is None:
            return []
        rows = db.execute(
            "SELECT id, vector FROM vectors WHERE model = ? AND (id IN"
            " (SELECT id FROM vectors ORDER BY id DESC LIMIT ?)"
            " OR id IN (SELECT value FROM json_each(?)))",
            (self._embedder.name, NEWEST, json.dumps(list(numbers))),
        )
        wanted = _decode(vector)
        near = [
            (-sum(map(mul, wanted, found)), number)
            for number, data in rows
            if len(found := _decode(data)) == len(wanted)
        ]
        return [number for distance, number in sorted(near) if distance < 0]


def merged(words: Sequence[int], meaning: Sequence[int]) -> list[int]:
    """Two rankings as one: by the sum of what each rank is worth, ties by id."""
    worth: dict[int, float] = {}
    for ranking in (words, meaning):
        for rank, number in enumerate(ranking):
            worth[number] = worth.get(number, 0.0) + 1 / (_RANK_DAMPING + rank)
    return sorted(worth, key=lambda number: (-worth[number], number))


def _encode(values: Sequence[float]) -> bytes:
    found = array("f", values)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()


def _decode(data: bytes) -> "array[float]":
    found = array("f")
    if len(data) % found.itemsize == 0:
        found.frombytes(data)
    if sys.byteorder == "big":
        found.byteswap()
    return found
