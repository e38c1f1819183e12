"""Counts of what compression came to, by credential, model family and structure.

SQLite in the data directory, shared by workers. Counts are added up in memory and
written by a thread now and then; what a crash loses is a few seconds of counting. A row
holds no text: a structure is a hash, and so is the digest that links a retrieval to
what was left out.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from headroom.learning.recommendations import UNKNOWN

NAME = "learning.db"
MAX_ROWS = 20_000
MAX_LINKS = 50_000
_MAX_WAITING = 5_000
_FLUSH_S = 5.0
_BUSY_S = 2.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS observations (
  auth_mode TEXT NOT NULL DEFAULT 'unknown',
  model_family TEXT NOT NULL DEFAULT 'unknown',
  structure_hash TEXT NOT NULL,
  outcome TEXT NOT NULL,
  seen INTEGER NOT NULL DEFAULT 0,
  saved_tokens INTEGER NOT NULL DEFAULT 0,
  retrievals INTEGER NOT NULL DEFAULT 0,
  retrieved_tokens INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (auth_mode, model_family, structure_hash, outcome)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS links (
  digest TEXT PRIMARY KEY,
  auth_mode TEXT NOT NULL,
  model_family TEXT NOT NULL,
  structure_hash TEXT NOT NULL,
  outcome TEXT NOT NULL
);
"""
_ADD = """
INSERT INTO observations VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
  seen = seen + excluded.seen,
  saved_tokens = saved_tokens + excluded.saved_tokens,
  retrievals = retrievals + excluded.retrievals,
  retrieved_tokens = retrieved_tokens + excluded.retrieved_tokens
"""
_LINKED = """
SELECT auth_mode, model_family, structure_hash, outcome FROM links WHERE digest = ?
"""


class Key(Struct, frozen=True, order=True):
    """Whose results, and of which structure; ``unknown`` where that is not known."""

    auth_mode: str = UNKNOWN
    model_family: str = UNKNOWN
    structure_hash: str = ""


class Totals(Struct):
    """What was seen of one key with one outcome.

    Attributes:
        outcome: ``left``, or the kind whose compressor served; ``lossy:`` in front
            where something was left out.
    """

    outcome: str
    seen: int = 0
    saved_tokens: int = 0
    retrievals: int = 0
    retrieved_tokens: int = 0


class Observations:
    """Takes observations; one per server process, any number per file.

    Attributes:
        lost: observations that could not be kept.
    """

    def __init__(self, directory: Path) -> None:
        self.lost = 0
        self._path = directory / NAME
        self._lock = threading.Lock()
        self._counts: dict[tuple[Key, str], Totals] = {}
        self._links: dict[str, tuple[Key, str]] = {}
        self._asked: list[tuple[str, int]] = []
        self._stop = threading.Event()
        self._writer: threading.Thread | None = None

    def compressed(
        self, key: Key, outcome: str, saved_tokens: int, digest: str = ""
    ) -> None:
        """A block was looked at.

        Args:
            key: its structure, and under whose credential.
            outcome: see ``Totals``.
            saved_tokens: how much smaller it got.
            digest: of its original, if something was left out.
        """
        with self._lock:
            if len(self._counts) + len(self._links) >= _MAX_WAITING:
                self.lost += 1
                return
            totals = self._counts.setdefault((key, outcome), Totals(outcome))
            totals.seen += 1
            totals.saved_tokens += saved_tokens
            if digest:
                self._links[digest] = (key, outcome)
        self._begin()

    def retrieved(self, digest: str, tokens: int) -> None:
        """An original was asked back."""
        with self._lock:
            if len(self._asked) >= _MAX_WAITING:
                self.lost += 1
                return
            self._asked.append((digest, tokens))
        self._begin()

    def flush(self) -> None:
        """Write what was counted."""
        with self._lock:
            counts, self._counts = self._counts, {}
            links, self._links = self._links, {}
            asked, self._asked = self._asked, []
        if not counts and not asked:
            return
        try:
            with closing(self._open()) as db, db:
                _write(db, counts, links, asked)
        except (sqlite3.Error, OSError):
            self.lost += len(counts) + len(asked)

    def close(self) -> None:
        """Write the rest; nothing is observed any more."""
        self._stop.set()
        if self._writer is not None:
            self._writer.join(_FLUSH_S)
        self.flush()

    def rows(self) -> Iterator[tuple[Key, list[Totals]]]:
        """All that was observed, by key in order.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        if not self._path.exists():
            return
        with closing(self._open()) as db:
            found: dict[Key, list[Totals]] = {}
            for row in db.execute("SELECT * FROM observations"):
                mode, family, structure, *rest = row
                key = Key(mode or UNKNOWN, family or UNKNOWN, structure)
                found.setdefault(key, []).append(Totals(*rest))
        for key in sorted(found):
            yield key, sorted(found[key], key=lambda totals: totals.outcome)

    def _begin(self) -> None:
        if self._writer is None:
            self._writer = threading.Thread(
                target=_repeat,
                args=(self._stop, self.flush),
                name="headroom-learning",
                daemon=True,
            )
            self._writer.start()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=_BUSY_S)
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(_SCHEMA)
        return db


def _repeat(stop: threading.Event, work: Callable[[], None]) -> None:
    while not stop.wait(_FLUSH_S):
        work()


def _write(
    db: sqlite3.Connection,
    counts: dict[tuple[Key, str], Totals],
    links: dict[str, tuple[Key, str]],
    asked: list[tuple[str, int]],
) -> None:
    db.executemany(
        _ADD,
        [
            (*_fields(key), outcome, t.seen, t.saved_tokens, 0, 0)
            for (key, outcome), t in counts.items()
        ],
    )
    db.executemany(
        "INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?, ?)",
        [(digest, *_fields(key), outcome) for digest, (key, outcome) in links.items()],
    )
    for digest, tokens in asked:
        found = db.execute(_LINKED, (digest,)).fetchone()
        if found is not None:
            db.execute(_ADD, (*found, 0, 0, 1, tokens))
    for table, limit in (("links", MAX_LINKS), ("observations", MAX_ROWS)):
        (count,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        if count > limit:
            column = "digest" if table == "links" else "structure_hash"
            db.execute(
                f"DELETE FROM {table} WHERE {column} IN"  # noqa: S608 - our own names
                f" (SELECT {column} FROM {table} LIMIT ?)",
                (count - limit,),
            )


def _fields(key: Key) -> tuple[str, str, str]:
    return key.auth_mode, key.model_family, key.structure_hash
