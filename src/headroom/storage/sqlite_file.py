"""A SQLite file: its schema, its connections, and its errors in plain words.

Shared by the processes of a host: write-ahead logging, short transactions.

Connections are kept in a pool and lent to one caller at a time; one that has failed is
closed, never lent again.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from headroom.errors import StoreUnavailableError


class Schema(Struct, frozen=True):
    """What a file holds.

    Attributes:
        version: kept in ``user_version``; a file of another one is refused, not guessed
            at.
        statements: what makes its tables in an empty file.
    """

    version: int
    statements: tuple[str, ...]


BUSY_TIMEOUT_S = 2.0
"""How long a writer waits for another; longer, and the request goes on without."""

_WAL_LIMIT_BYTES = 64 * 1024 * 1024
_LONG_LOG_FRAMES = _WAL_LIMIT_BYTES // 4096
_CACHE_KIB = 8 * 1024

_CAUSES = (
    ("SQLITE_BUSY", "another process has held its lock for too long"),
    ("SQLITE_LOCKED", "another process has held its lock for too long"),
    ("SQLITE_READONLY", "it cannot be written"),
    ("SQLITE_FULL", "the disk is full"),
    ("SQLITE_CORRUPT", "the file is damaged; move it away to begin afresh"),
    ("SQLITE_NOTADB", "the file is no SQLite database; move it away to begin afresh"),
    ("SQLITE_CANTOPEN", "the file cannot be opened"),
    ("SQLITE_PERM", "the file may not be opened"),
    ("SQLITE_AUTH", "the file may not be opened"),
    ("SQLITE_IOERR", "the disk reports an error"),
)


def is_busy(error: BaseException | None) -> bool:
    """Whether SQLite refused because another connection holds a lock."""
    name = getattr(error, "sqlite_errorname", None) or ""
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _close(db: sqlite3.Connection) -> None:
    """Close a connection; a transaction that is still open ends unwritten."""
    with suppress(sqlite3.Error):
        db.close()


class SqliteFile:
    """One file and the connections to it.

    Raises:
        StoreUnavailableError: it cannot be opened, written, or is of a later version.
    """

    def __init__(
        self, path: Path, schema: Schema, *, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        self.path = path
        self._schema = schema
        self._busy_timeout_s = busy_timeout_s
        self._idle: dict[bool, list[sqlite3.Connection]] = {True: [], False: []}
        self._lock = threading.Lock()
        self._is_closed = False
        self._create()
        with self.writing() as db:
            self._settle_schema(db)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection whose statements each see one state of the file."""
        with self._lend() as db:
            yield db

    @contextmanager
    def writing(self, *, is_patient: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection inside a write transaction: all of the block, or nothing.

        Args:
            is_patient: wait for other writers, and fold a long log into the file
                afterwards; else fail at once (``is_busy``) and leave the log alone.
        """
        with self._lend(is_patient=is_patient) as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file while writers go on.

        A log that grew long all the same is begun anew, which keeps them out for the
        time of a sync.
        """
        with self._lend() as db:
            _, frames, _ = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if frames > _LONG_LOG_FRAMES:
                db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()

    def used_bytes(self, db: sqlite3.Connection) -> int:
        """Size of the pages in use; freed ones are used again before the file grows."""
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        (free,) = db.execute("PRAGMA freelist_count").fetchone()
        (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * page_bytes)

    def close(self) -> None:
        """Close the idle connections; lent ones follow when they come back."""
        with self._lock:
            self._is_closed = True
            idle = [db for some in self._idle.values() for db in some]
            self._idle = {True: [], False: []}
        for db in idle:
            db.close()

    @contextmanager
    def _lend(self, *, is_patient: bool = True) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._is_closed:
                raise StoreUnavailableError(f"{self.path}: the store has been closed")
            idle = self._idle[is_patient]
            db = idle.pop() if idle else None
        is_well = False
        try:
            if db is None:
                db = self._connect(is_patient=is_patient)
            yield db
            is_well = True
        except sqlite3.Error as error:
            is_well = is_busy(error) and db is not None and not db.in_transaction
            raise self._unavailable(error) from error
        finally:
            if db is not None:
                with self._lock:
                    is_kept = is_well and not self._is_closed
                    if is_kept:
                        idle.append(db)
                if not is_kept:
                    _close(db)

    def _connect(self, *, is_patient: bool) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path,
            timeout=self._busy_timeout_s if is_patient else 0,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._set_wal(db)
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
            db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            if not is_patient:
                db.execute("PRAGMA wal_autocheckpoint = 0")
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _set_wal(self, db: sqlite3.Connection) -> None:
        """Switch to write-ahead logging, waiting for others that do the same.

        SQLite does not call its busy handler for this step.
        """
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                db.execute("PRAGMA journal_mode = WAL").fetchone()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def _create(self) -> None:
        """Make the file and its folder for their owner alone."""
        try:
            if not self.path.parent.exists():
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreUnavailableError(f"{self.path}: {error.strerror}") from error

    def _settle_schema(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables:
                raise StoreUnavailableError(
                    f"{self.path}: expected a file of Headroom's, found other tables"
                )
            for statement in self._schema.statements:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {self._schema.version}")
        elif version != self._schema.version:
            raise StoreUnavailableError(
                f"{self.path}: expected schema version {self._schema.version},"
                f" found {version}; it was made by another version of Headroom"
            )

    def _unavailable(self, error: sqlite3.Error) -> StoreUnavailableError:
        name = getattr(error, "sqlite_errorname", None) or ""
        cause = next((words for code, words in _CAUSES if name.startswith(code)), "")
        return StoreUnavailableError(
            f"{self.path}: {cause}: {error}" if cause else f"{self.path}: {error}"
        )
