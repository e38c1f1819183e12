"""One user's facts in one SQLite file: kept, changed, listed, searched.

Words are found by FTS5 and ranked by BM25 (https://sqlite.org/fts5.html); ties go to
the fact that was kept first. A query's commonest words are left out where looking
through all facts that hold them would take long: how common each is among this user's
facts is counted as they change, so that a search is short however many there are.

What always holds: a change is written whole or not at all; a fact that does not hash to
the digest it was kept with is never shown; the same facts and the same query give the
same answer, in every process.
"""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from headroom.core.digest import content_digest
from headroom.errors import (
    DamagedRecordError,
    LimitExceededError,
    StoreUnavailableError,
)
from headroom.memory.facts import Fact, MemoryConfig, Owner
from headroom.memory.meaning import Meaning, merged
from headroom.memory.words import query_words, words_of
from headroom.storage.sqlite_file import Schema, SqliteFile

SCHEMA = Schema(
    1,
    (
        "CREATE TABLE owner(namespace TEXT NOT NULL, user TEXT NOT NULL)",
        """CREATE TABLE facts(
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            digest TEXT NOT NULL UNIQUE,
            content TEXT NOT NULL,
            created INTEGER NOT NULL,
            updated INTEGER NOT NULL
        )""",
        # What the index needs to take a fact out again is made of its content.
        "CREATE VIRTUAL TABLE fact_words USING fts5(words, content='')",
        """CREATE TABLE words(
            word TEXT PRIMARY KEY, facts INTEGER NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE vectors(
            id INTEGER PRIMARY KEY, model TEXT NOT NULL, vector BLOB NOT NULL
        )""",
    ),
)

MAX_QUERY_WORDS = 24
MAX_QUERY_CHARS = 20_000
"""Of a longer text the beginning is looked for."""

MAX_VISITS = 2000
"""Words are looked for, the rarest first, while the facts that hold them are fewer than
this in all; ``benchmarks/memory.py`` shows what it takes."""

MAX_FOUND = 100
_ERASE_S = 5.0
_FACT = "SELECT id, digest, content, created, updated FROM facts "
_BY_ID = _FACT + "WHERE id = ?"
_BY_DIGEST = _FACT + "WHERE digest = ?"
_BY_IDS = (
    "SELECT id, digest, content, created, updated FROM facts"
    " WHERE id IN (SELECT value FROM json_each(?))"
)
_NEWEST = _FACT + "WHERE id < ? ORDER BY id DESC LIMIT ?"
_OLDEST = _FACT + "WHERE id > ? ORDER BY id LIMIT 1000"


class UserFile:
    """The facts of one user; safe to use from threads and processes.

    Raises:
        StoreUnavailableError: the file cannot be opened, read or written.
    """

    def __init__(self, file: SqliteFile, owner: Owner, config: MemoryConfig) -> None:
        self._file = file
        self._owner = owner
        self._config = config
        self._meaning = Meaning(config.embedder)

    def close(self) -> None:
        """Close the file's connections."""
        self._file.close()

    def put(self, content: str) -> Fact:
        """Keep a fact; one that is there already in the same words is not kept twice.

        Args:
            content: the words; white space around them does not count.

        Raises:
            LimitExceededError: the fact is empty or too long, or the memory is full.
        """
        now = int(self._config.clock())
        fact = Fact(0, self._checked(content), now, now)
        vector = self._meaning.vector(fact.content)
        with self._file.writing() as db:
            return self._put(db, [fact], [vector])[0]

    def load(self, facts: Sequence[Fact]) -> None:
        """Keep facts of an export in one go; ids that are free and times stay.

        Raises:
            LimitExceededError: as ``put``; then none of them is kept.
        """
        checked = [
            msgspec.structs.replace(fact, content=self._checked(fact.content))
            for fact in facts
        ]
        vectors = [self._meaning.vector(fact.content) for fact in checked]
        with self._file.writing() as db:
            self._put(db, checked, vectors)

    def _put(
        self,
        db: sqlite3.Connection,
        facts: Sequence[Fact],
        vectors: Sequence[bytes | None],
    ) -> list[Fact]:
        (count,) = db.execute("SELECT count(*) FROM facts").fetchone()
        kept: list[Fact] = []
        words: Counter[str] = Counter()
        for fact, vector in zip(facts, vectors, strict=True):
            digest = content_digest(fact.content)
            found = _one(db, _BY_DIGEST, digest)
            if found is None:
                if count >= self._config.max_facts:
                    raise LimitExceededError(
                        f"the memory is full: it holds {count} facts; delete some first"
                    )
                count += 1
                found = _insert(db, fact, digest)
                words.update(_index(db, found.id, found.content))
                self._meaning.keep(db, found.id, vector)
            elif vector is not None:
                self._meaning.keep(db, found.id, vector)
            kept.append(found)
        self._own(db)
        _count(db, words)
        return kept

    def get(self, number: int) -> Fact | None:
        """The fact with this id, if there is one.

        Raises:
            DamagedRecordError: it is not what was kept.
        """
        if not _is_id(number):
            return None
        with self._file.reading() as db:
            found = db.execute(_BY_ID, (number,)).fetchone()
        if found is None:
            return None
        fact = _fact(found)
        if fact is None:
            raise DamagedRecordError(f"{self._file.path}: fact {number} is damaged")
        return fact

    def update(self, number: int, content: str) -> Fact | None:
        """Replace the words of a fact; ``None`` if there is none with this id.

        Raises:
            LimitExceededError: the words are none or too many, or another fact has
                them already.
        """
        content = self._checked(content)
        if not _is_id(number):
            return None
        vector = self._meaning.vector(content)
        with self._file.writing() as db:
            found = db.execute(_BY_ID, (number,)).fetchone()
            if found is None:
                return None
            other = _one(db, _BY_DIGEST, content_digest(content))
            if other is not None and other.id != number:
                raise LimitExceededError(f"fact {other.id} says the same already")
            created, updated = found[3], int(self._config.clock())
            _unindex(db, found)
            db.execute(
                "UPDATE facts SET digest = ?, content = ?, updated = ? WHERE id = ?",
                (content_digest(content), content, updated, number),
            )
            _count(db, _index(db, number, content))
            self._meaning.keep(db, number, vector)
        return Fact(number, content, created, updated)

    def delete(self, number: int) -> bool:
        """Forget a fact; whether there was one."""
        if not _is_id(number):
            return False
        with self._file.writing() as db:
            row = db.execute(_BY_ID, (number,)).fetchone()
            if row is None:
                return False
            db.execute("PRAGMA secure_delete = ON")
            _unindex(db, row)
            db.execute("DELETE FROM facts WHERE id = ?", (number,))
            db.execute("DELETE FROM vectors WHERE id = ?", (number,))
        return True

    def clear(self) -> int:
        """Forget everything about the user, its name too; how many facts there were.

        The bytes are gone from the file when this returns.

        Raises:
            StoreUnavailableError: the file cannot be written, or its log not emptied.
        """
        with self._file.writing() as db:
            (count,) = db.execute("SELECT count(*) FROM facts").fetchone()
            db.execute("PRAGMA secure_delete = ON")
            db.execute("INSERT INTO fact_words(fact_words) VALUES ('delete-all')")
            for table in ("facts", "words", "vectors", "owner"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - names from above
        self._erase_traces()
        return int(count)

    def _erase_traces(self) -> None:
        """Write the file anew and empty its log, which readers may hold up."""
        deadline = time.monotonic() + _ERASE_S
        with self._file.reading() as db:
            db.execute("VACUUM")
            while True:
                (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if not busy:
                    return
                if time.monotonic() > deadline:
                    raise StoreUnavailableError(
                        f"{self._file.path}: all facts are deleted, but other readers"
                        " keep their traces in its log; delete the user once more"
                    )
                time.sleep(0.02)

    def newest(
        self, limit: int = MAX_FOUND, before_id: int | None = None
    ) -> list[Fact]:
        """Facts, the newest first.

        Args:
            limit: at most so many.
            before_id: only those with smaller ids.
        """
        before = before_id if before_id is not None and _is_id(before_id) else 2**63 - 1
        with self._file.reading() as db:
            rows = db.execute(
                _NEWEST,
                (before, max(0, limit)),
            ).fetchall()
        return [fact for row in rows if (fact := _fact(row)) is not None]

    def all(self) -> Iterator[Fact]:
        """Every fact, the oldest first."""
        last = 0
        while True:
            with self._file.reading() as db:
                rows = db.execute(_OLDEST, (last,)).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield from (fact for row in rows if (fact := _fact(row)) is not None)

    def count(self) -> int:
        """How many facts there are."""
        with self._file.reading() as db:
            (count,) = db.execute("SELECT count(*) FROM facts").fetchone()
        return int(count)

    def search(self, query: str, limit: int = 5) -> list[Fact]:
        """The facts that say most about what a text is on, the best first."""
        limit = max(0, min(limit, MAX_FOUND))
        query = query[:MAX_QUERY_CHARS]
        vector = self._meaning.vector(query)
        with self._file.reading() as db:
            ranked = _by_words(db, query, MAX_FOUND if vector is not None else limit)
            if vector is not None:
                ranked = merged(ranked, self._meaning.ranked(db, vector, ranked))
            rows = {row[0]: row for row in _rows(db, ranked[:limit])}
        facts = [_fact(rows[n]) for n in ranked[:limit] if n in rows]
        return [fact for fact in facts if fact is not None]

    def _checked(self, content: str) -> str:
        content = content.strip()
        try:
            size_bytes = len(content.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise LimitExceededError(
                "a fact is text, found half a character"
            ) from error
        if not content:
            raise LimitExceededError("a fact has words, found none")
        if size_bytes > self._config.max_fact_bytes:
            raise LimitExceededError(
                f"a fact has at most {self._config.max_fact_bytes} bytes, found"
                f" {size_bytes}"
            )
        return content

    def _own(self, db: sqlite3.Connection) -> None:
        """Note in the file whose it is: its name does not tell."""
        if db.execute("SELECT 1 FROM owner").fetchone() is None:
            owner = self._owner
            db.execute("INSERT INTO owner VALUES (?, ?)", (owner.namespace, owner.user))


def owner_of(file: SqliteFile) -> Owner | None:
    """Whose facts a file holds; ``None`` if it holds none any more."""
    with file.reading() as db:
        row = db.execute("SELECT namespace, user FROM owner").fetchone()
    return None if row is None else Owner(*row)


def _is_id(number: int) -> bool:
    return 0 < number < 2**63


def _is_free(db: sqlite3.Connection, number: int) -> bool:
    if not _is_id(number):
        return False
    row = db.execute("SELECT 1 FROM facts WHERE id = ?", (number,)).fetchone()
    return row is None


_Row = tuple[int, str, object, int, int]


def _fact(row: _Row) -> Fact | None:
    number, digest, content, created, updated = row
    if not isinstance(content, str) or content_digest(content) != digest:
        return None
    return Fact(number, content, created, updated)


def _one(db: sqlite3.Connection, statement: str, value: object) -> Fact | None:
    row = db.execute(statement, (value,)).fetchone()
    return None if row is None else _fact(row)


def _rows(db: sqlite3.Connection, numbers: Sequence[int]) -> list[_Row]:
    return db.execute(
        _BY_IDS,
        (json.dumps(list(numbers)),),
    ).fetchall()


def _insert(db: sqlite3.Connection, fact: Fact, digest: str) -> Fact:
    """Write a fact, under its own id if that is free."""
    (number,) = db.execute(
        "INSERT INTO facts(id, digest, content, created, updated)"
        " VALUES (?, ?, ?, ?, ?) RETURNING id",
        (
            fact.id if _is_free(db, fact.id) else None,
            digest,
            fact.content,
            fact.created,
            fact.updated,
        ),
    ).fetchone()
    return msgspec.structs.replace(fact, id=number)


def _index(db: sqlite3.Connection, number: int, content: str) -> dict[str, int]:
    """Put a fact's words into the index; returns them for ``_count``."""
    words = words_of(content)
    db.execute(
        "INSERT INTO fact_words(rowid, words) VALUES (?, ?)", (number, " ".join(words))
    )
    return dict.fromkeys(words, 1)


def _count(db: sqlite3.Connection, words: Mapping[str, int]) -> None:
    """Note that so many more facts hold each word."""
    db.executemany(
        "INSERT INTO words VALUES (?1, ?2) ON CONFLICT(word) DO UPDATE"
        " SET facts = facts + ?2",
        list(words.items()),
    )


def _unindex(db: sqlite3.Connection, row: _Row) -> None:
    """Take a fact out of the index; of a damaged one nobody knows its words."""
    fact = _fact(row)
    if fact is None:
        _rebuild(db, row[0])
        return
    words = words_of(fact.content)
    db.execute(
        "INSERT INTO fact_words(fact_words, rowid, words) VALUES ('delete', ?, ?)",
        (fact.id, " ".join(words)),
    )
    distinct = [(word,) for word in dict.fromkeys(words)]
    db.executemany("UPDATE words SET facts = facts - 1 WHERE word = ?", distinct)
    db.executemany("DELETE FROM words WHERE word = ? AND facts <= 0", distinct)


def _rebuild(db: sqlite3.Connection, without: int) -> None:
    """Make the index anew of all facts that are not damaged but one."""
    db.execute("INSERT INTO fact_words(fact_words) VALUES ('delete-all')")
    db.execute("DELETE FROM words")
    words: Counter[str] = Counter()
    for row in db.execute(_FACT).fetchall():
        fact = _fact(row)
        if fact is not None and fact.id != without:
            words.update(_index(db, fact.id, fact.content))
    _count(db, words)


def _by_words(db: sqlite3.Connection, query: str, limit: int) -> list[int]:
    """Ids of facts by BM25, the best first, ties by id."""
    words = query_words(query, MAX_QUERY_WORDS)
    if not words or not limit:
        return []
    rows = db.execute(
        "SELECT word, facts FROM words WHERE word IN (SELECT value FROM json_each(?))",
        (json.dumps(words),),
    )
    counts: dict[str, int] = dict(rows)
    rarest = sorted(counts, key=lambda word: (counts[word], word))
    chosen: list[str] = []
    visits = 0
    for word in rarest:
        visits += counts[word]
        if visits > MAX_VISITS:
            break
        chosen.append(word)
    if not chosen:
        return _newest(db, rarest[:1], limit)
    rows = db.execute(
        "SELECT rowid FROM fact_words WHERE fact_words MATCH ?"
        " ORDER BY bm25(fact_words), rowid LIMIT ?",
        (_match(chosen), limit),
    )
    return [row[0] for row in rows]


def _newest(db: sqlite3.Connection, words: Sequence[str], limit: int) -> list[int]:
    """Facts that hold a word which too many hold for it to tell any apart."""
    if not words:
        return []
    rows = db.execute(
        "SELECT rowid FROM fact_words WHERE fact_words MATCH ?"
        " ORDER BY rowid DESC LIMIT ?",
        (_match(words), limit),
    )
    return [row[0] for row in rows]


def _match(words: Iterable[str]) -> str:
    """Any of the words; each is a string to FTS5, never an operator."""
    return " OR ".join(f'"{word}"' for word in words)
