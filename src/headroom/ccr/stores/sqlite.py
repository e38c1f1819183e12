"""Originals and ledger records in one SQLite file, shared by the processes of a host.

Write-ahead logging: readers never wait for writers, and a process that is killed in
the middle of a batch leaves the file as it was before (https://sqlite.org/wal.html;
``synchronous=NORMAL`` is safe against the death of processes). Bodies of originals have
a table of their own, so that noting a use does not rewrite them.

What always holds: a batch is written whole or not at all; an original that does not
hash to its key is an error, never an answer; times of last use are written in batches,
with the next save.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from headroom.ccr.contract import OPEN_S, TOUCH_S, StoreConfig, StoreStats
from headroom.ccr.encoding import (
    decode_decision,
    decode_original,
    encode_decision,
    encode_original,
    original_key,
    originals_of,
    seal,
    unseal,
)
from headroom.core.protocols import LedgerKey, Record
from headroom.core.types import Decision
from headroom.errors import (
    ConfigError,
    DamagedRecordError,
    OriginalNotFoundError,
    StoreUnavailableError,
)
from headroom.storage.sqlite_file import Schema, SqliteFile, is_busy

SCHEMA = Schema(
    1,
    (
        """CREATE TABLE entries(
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL,
        lineage BLOB NOT NULL,
        used INTEGER NOT NULL,
        size INTEGER NOT NULL,
        value BLOB
    )""",
        "CREATE UNIQUE INDEX entries_by_key ON entries(key, lineage)",
        "CREATE INDEX entries_by_use ON entries(used)",
        "CREATE TABLE bodies(id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    ),
)

_ORIGINAL, _NOTE = b"\0original", b"\0note"
"""Lineages of what is no record; real lineages are longer or have no zero byte."""

_PURGE_ENTRIES = 256
_PURGE_BYTES = 16 * 1024 * 1024
"""At most so much is removed at a time: a few milliseconds."""

_PURGE_EVERY_S = 60.0
_LOW_WATER = 0.98
"""Above the cap, make this much room, so that not every save has to."""

_MAX_TOUCHES = 100_000
_MAX_PLACEHOLDERS = 512

_INSERT = "INSERT INTO entries(key, lineage, used, size, value) VALUES (?, ?, ?, ?, ?)"
_SELECT = "SELECT key, lineage, used, value, id FROM entries WHERE key IN ({})"


class _Upkeep:
    """What the scopes of one store have put off; guarded by its lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.touched: dict[tuple[bytes, bytes], int] = {}
        self.purged_at = 0.0
        self.is_over = False


class SqliteStore:
    """One namespace's view of a file; safe to use from threads and processes."""

    is_remote: Final = False

    def __init__(
        self,
        file: SqliteFile,
        config: StoreConfig | None = None,
        upkeep: _Upkeep | None = None,
    ) -> None:
        self._file = file
        self._config = config or StoreConfig()
        self._upkeep = upkeep or _Upkeep()

    def scoped(self, namespace: str) -> "SqliteStore":
        """The same file for another namespace."""
        config = msgspec.structs.replace(self._config, namespace=namespace)
        return SqliteStore(self._file, config, self._upkeep)

    def load(self, keys: Sequence[bytes]) -> list[Record]:
        """All records under any of ``keys``; see ``Store.load``."""
        found: list[Record] = []
        stale: list[tuple[bytes, bytes]] = []
        with self._file.reading() as db:
            for key, lineage, used, value, _ in _rows(db, keys):
                if lineage in {_ORIGINAL, _NOTE}:
                    continue
                decision = decode_decision(value)
                if decision is None:
                    raise DamagedRecordError(
                        f"{self._file.path}: the record {key.hex()} is damaged"
                    )
                found.append(Record(key, lineage, decision))
                if self._is_stale(used):
                    stale.append((key, lineage))
                    digests = originals_of(decision)
                    stale += [(self._key(digest), _ORIGINAL) for digest in digests]
        self._touch(stale)
        return found

    def save(
        self,
        records: Iterable[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
    ) -> dict[LedgerKey, Decision]:
        """Write originals and put-if-absent records; see ``Store.save``."""
        with self._writing() as db:
            winners = self._write(db, records, originals)
        if self._is_purge_due():
            # What was to be saved is saved; a purge that fails is tried again.
            with suppress(StoreUnavailableError):
                self.purge()
        return winners

    def try_save(
        self,
        records: Sequence[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
    ) -> dict[LedgerKey, Decision] | None:
        """Save unless another writer is at work; see ``ManagedStore.try_save``."""
        try:
            with self._file.writing(is_patient=False) as db:
                return self._write(db, records, originals)
        except StoreUnavailableError as error:
            if is_busy(error.__cause__):
                return None
            raise

    def maintain(self) -> None:
        """Fold the log into the file, note uses and remove what is due."""
        self._file.checkpoint()
        if self._upkeep.touched or self._is_purge_due():
            self.purge()

    def _write(
        self,
        db: sqlite3.Connection,
        records: Iterable[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
    ) -> dict[LedgerKey, Decision]:
        winners: dict[LedgerKey, Decision] = {}
        fresh: dict[LedgerKey, Decision] = {}
        for name, decision in records:
            if name in fresh:
                winners[name] = fresh[name]
            fresh.setdefault(name, decision)
        values = {name: encode_decision(d) for name, d in fresh.items()}
        bodies = {self._key(d): encode_original(t) for d, t in originals.items()}
        now = self._now()
        for key, lineage, used, value, row in _rows(db, [n.key for n in fresh]):
            name = LedgerKey(key, lineage)
            if name not in values:
                continue
            winner = decode_decision(value)
            if winner is None:
                db.execute("DELETE FROM entries WHERE id = ?", (row,))
            else:
                winners[name] = winner
                del values[name]
                if self._is_stale(used):
                    # Used again: a purge that follows at once must not take it.
                    db.execute("UPDATE entries SET used = ? WHERE id = ?", (now, row))
        db.executemany(
            _INSERT, [(n.key, n.lineage, now, len(v), v) for n, v in values.items()]
        )
        _put_bodies(db, bodies, now)
        return winners

    def get(self, digest: str) -> str:
        """The original kept under ``digest``; see ``Store.get``."""
        key = self._key(digest)
        with self._file.reading() as db:
            row = db.execute(
                "SELECT used, body FROM entries LEFT JOIN bodies USING (id)"
                " WHERE key = ? AND lineage = ?",
                (key, _ORIGINAL),
            ).fetchone()
        if row is None:
            raise OriginalNotFoundError(f"no original is kept under {digest}")
        used, body = row
        text = decode_original(digest, body)
        if self._is_stale(used):
            self._touch([(key, _ORIGINAL)])
        return text

    def remember(self, notes: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Keep small values; see ``ManagedStore.remember``."""
        now = self._now()
        with self._writing() as db:
            winners = _notes(_rows(db, list(notes)))
            rows = [
                (key, _NOTE, now, len(value), seal(value))
                for key, value in notes.items()
                if key not in winners
            ]
            db.executemany(_INSERT.replace("INSERT", "INSERT OR REPLACE"), rows)
        return winners

    def recall(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Kept small values; see ``ManagedStore.recall``."""
        with self._file.reading() as db:
            rows = list(_rows(db, keys))
        self._touch([(row[0], _NOTE) for row in rows if self._is_stale(row[2])])
        return _notes(rows)

    def check(self) -> None:
        """Take the write lock for a moment; see ``ManagedStore.check``."""
        with self._writing() as db:
            db.execute("SELECT count(*) FROM (SELECT 1 FROM entries LIMIT 1)")

    def purge(self) -> int:
        """Remove what is due; see ``ManagedStore.purge``."""
        now = self._now()
        config = self._config
        with self._writing() as db:
            removed = _remove(db, int(now - config.retention_s - TOUCH_S), _PURGE_BYTES)
            excess = self._file.used_bytes(db) - config.max_bytes
            is_over = excess > 0
            if is_over:
                room = excess + int(config.max_bytes * (1 - _LOW_WATER))
                made = _remove(db, int(now - OPEN_S), min(room, _PURGE_BYTES))
                removed += made
                is_over = made > 0
        with self._upkeep.lock:
            self._upkeep.purged_at = now
            self._upkeep.is_over = is_over
        return removed

    def stats(self) -> StoreStats:
        """How full the file is, all namespaces together."""
        with self._file.reading() as db:
            (entries,) = db.execute("SELECT count(*) FROM entries").fetchone()
            used_bytes = self._file.used_bytes(db)
        return StoreStats("sqlite", entries, used_bytes, self._config.max_bytes)

    def close(self) -> None:
        """Write what was put off and close the file."""
        with suppress(StoreUnavailableError):
            if self._upkeep.touched:
                self.check()
        self._file.close()

    def _is_purge_due(self) -> bool:
        since_s = self._config.clock() - self._upkeep.purged_at
        return self._upkeep.is_over or not 0 <= since_s < _PURGE_EVERY_S

    def _touch(self, names: Sequence[tuple[bytes, bytes]]) -> None:
        if names:
            now = self._now()
            with self._upkeep.lock:
                if len(self._upkeep.touched) < _MAX_TOUCHES:
                    self._upkeep.touched.update(dict.fromkeys(names, now))

    @contextmanager
    def _writing(self, *, is_patient: bool = True) -> Iterator[sqlite3.Connection]:
        """A write transaction that also notes the uses put off so far."""
        with self._upkeep.lock:
            touched = dict(self._upkeep.touched)
        with self._file.writing(is_patient=is_patient) as db:
            if touched:
                db.executemany(
                    "UPDATE entries SET used = max(used, ?)"
                    " WHERE key = ? AND lineage = ?",
                    [(used, key, lineage) for (key, lineage), used in touched.items()],
                )
            yield db
        if touched:
            with self._upkeep.lock:
                for name, used in touched.items():
                    if self._upkeep.touched.get(name) == used:
                        del self._upkeep.touched[name]

    def _is_stale(self, used: int) -> bool:
        return self._config.clock() - used > TOUCH_S

    def _now(self) -> int:
        return int(self._config.clock())

    def _key(self, digest: str) -> bytes:
        return original_key(self._config.namespace, digest).encode()


_Row = tuple[bytes, bytes, int, bytes | None, int]


def _rows(db: sqlite3.Connection, keys: Sequence[bytes]) -> Iterator[_Row]:
    """Entries under any of ``keys``, oldest first per key.

    The number of placeholders is a power of two, so that few statements are prepared.
    """
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), _MAX_PLACEHOLDERS):
        some = unique[start : start + _MAX_PLACEHOLDERS]
        width = 1 << (len(some) - 1).bit_length()
        some += some[-1:] * (width - len(some))
        rows = db.execute(_SELECT.format(",".join("?" * width)), some).fetchall()
        rows.sort(key=lambda row: row[4])
        yield from rows


def _notes(rows: Iterable[_Row]) -> dict[bytes, bytes]:
    found = {row[0]: unseal(row[3]) for row in rows if row[1] == _NOTE}
    return {key: value for key, value in found.items() if value is not None}


def _put_bodies(
    db: sqlite3.Connection, bodies: Mapping[bytes, bytes], now: int
) -> None:
    """Write originals; one that is there already is written over, which heals it."""
    for key, body in bodies.items():
        (row,) = db.execute(
            _INSERT + " ON CONFLICT(key, lineage) DO UPDATE"
            " SET used = excluded.used, size = excluded.size RETURNING id",
            (key, _ORIGINAL, now, len(body), None),
        ).fetchone()
        db.execute("INSERT OR REPLACE INTO bodies(id, body) VALUES (?, ?)", (row, body))


def _remove(db: sqlite3.Connection, before: int, limit_bytes: int) -> int:
    """Remove the entries used least recently, before a time, within the limits."""
    due: list[tuple[int]] = []
    for row, size in db.execute(
        "SELECT id, size FROM entries WHERE used < ? ORDER BY used LIMIT ?",
        (before, _PURGE_ENTRIES),
    ):
        if limit_bytes <= 0:
            break
        limit_bytes -= size
        due.append((row,))
    db.executemany("DELETE FROM bodies WHERE id = ?", due)
    db.executemany("DELETE FROM entries WHERE id = ?", due)
    return len(due)


def open_url(url: str, config: StoreConfig) -> SqliteStore:
    """Open ``sqlite:///absolute/path``, making the file and its folder if need be.

    Raises:
        ConfigError: the URL names no absolute path.
        StoreUnavailableError: the file cannot be opened for writing.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or parts.query or parts.fragment or not path.strip("/"):
        raise ConfigError(
            f"store: expected sqlite:///absolute/path/to/file, found {url!r}"
        )
    return SqliteStore(SqliteFile(Path(path), SCHEMA), config)
