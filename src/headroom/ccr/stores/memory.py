"""A store in this process's memory: for tests, for libraries, gone at the end.

All scopes of one store share one shelf and its lock. Entries stand in the order of
their last use, so that what is purged stands first.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from headroom.ccr.contract import OPEN_S, StoreConfig, StoreStats
from headroom.ccr.encoding import (
    decode_original,
    encode_decision,
    encode_original,
    original_key,
    originals_of,
)
from headroom.core.protocols import LedgerKey, Record
from headroom.core.types import Decision
from headroom.errors import OriginalNotFoundError, StoreUnavailableError

_ORIGINAL, _NOTE = b"\0original", b"\0note"
_ENTRY_BYTES = 200
"""What the tables cost per entry, beside its value."""

_PURGE_ENTRIES = 256


class _Entry:
    """A value with the time of its last use; ``value`` is immutable."""

    __slots__ = ("size", "used", "value")

    def __init__(self, value: Decision | bytes, size: int, used: float) -> None:
        self.value = value
        self.size = size + _ENTRY_BYTES
        self.used = used


class _Shelf:
    """All entries, by key and lineage, least recently used first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.entries: OrderedDict[tuple[bytes, bytes], _Entry] = OrderedDict()
        self.lineages: dict[bytes, list[bytes]] = {}
        self.used_bytes = 0
        self.is_closed = False

    def find(self, key: bytes, lineage: bytes, now: float) -> _Entry | None:
        entry = self.entries.get((key, lineage))
        if entry is not None:
            entry.used = now
            self.entries.move_to_end((key, lineage))
        return entry

    def put(self, key: bytes, lineage: bytes, entry: _Entry) -> None:
        self.entries[key, lineage] = entry
        self.lineages.setdefault(key, []).append(lineage)
        self.used_bytes += entry.size

    def pop_oldest(self) -> None:
        (key, lineage), entry = self.entries.popitem(last=False)
        self.used_bytes -= entry.size
        lineages = self.lineages[key]
        lineages.remove(lineage)
        if not lineages:
            del self.lineages[key]


class MemoryStore:
    """Originals, records and notes in dictionaries; safe to use from threads."""

    is_remote: Final = False

    def __init__(
        self, config: StoreConfig | None = None, shelf: _Shelf | None = None
    ) -> None:
        self._config = config or StoreConfig()
        self._shelf = shelf or _Shelf()

    def scoped(self, namespace: str) -> "MemoryStore":
        """The same store for another namespace."""
        config = msgspec.structs.replace(self._config, namespace=namespace)
        return MemoryStore(config, self._shelf)

    def load(self, keys: Sequence[bytes]) -> list[Record]:
        """All records under any of ``keys``; see ``Store.load``."""
        now = self._config.clock()
        found = []
        with self._shelf.lock:
            self._check_open()
            for key in dict.fromkeys(keys):
                for lineage in self._shelf.lineages.get(key, ()):
                    entry = self._shelf.find(key, lineage, now)
                    if entry is not None and isinstance(entry.value, Decision):
                        found.append(Record(key, lineage, entry.value))
                        for digest in originals_of(entry.value):
                            self._shelf.find(self._key(digest), _ORIGINAL, now)
        return found

    def save(
        self,
        records: Iterable[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
    ) -> dict[LedgerKey, Decision]:
        """Write originals and put-if-absent records; see ``Store.save``."""
        now = self._config.clock()
        winners: dict[LedgerKey, Decision] = {}
        with self._shelf.lock:
            self._check_open()
            for digest, text in originals.items():
                key = self._key(digest)
                if self._shelf.find(key, _ORIGINAL, now) is None:
                    body = encode_original(text)
                    self._shelf.put(key, _ORIGINAL, _Entry(body, len(body), now))
            for name, decision in records:
                known = self._shelf.find(name.key, name.lineage, now)
                if known is None:
                    size = len(encode_decision(decision))
                    entry = _Entry(decision, size, now)
                    self._shelf.put(name.key, name.lineage, entry)
                elif isinstance(known.value, Decision):
                    winners[name] = known.value
            self._purge(now)
        return winners

    def try_save(
        self,
        records: Sequence[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
    ) -> dict[LedgerKey, Decision] | None:
        """The same as ``save``; it never waits."""
        return self.save(records, originals)

    def maintain(self) -> None:
        """Nothing to do: saving purges."""

    def get(self, digest: str) -> str:
        """The original kept under ``digest``; see ``Store.get``."""
        key = self._key(digest)
        with self._shelf.lock:
            self._check_open()
            entry = self._shelf.find(key, _ORIGINAL, self._config.clock())
        if entry is None:
            raise OriginalNotFoundError(f"no original is kept under {digest}")
        return decode_original(digest, entry.value)

    def remember(self, notes: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Keep small values; see ``ManagedStore.remember``."""
        now = self._config.clock()
        winners: dict[bytes, bytes] = {}
        with self._shelf.lock:
            self._check_open()
            for key, value in notes.items():
                known = self._shelf.find(key, _NOTE, now)
                if known is None:
                    self._shelf.put(key, _NOTE, _Entry(value, len(value), now))
                elif isinstance(known.value, bytes):
                    winners[key] = known.value
        return winners

    def recall(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Kept small values; see ``ManagedStore.recall``."""
        now = self._config.clock()
        found: dict[bytes, bytes] = {}
        with self._shelf.lock:
            self._check_open()
            for key in keys:
                entry = self._shelf.find(key, _NOTE, now)
                if entry is not None and isinstance(entry.value, bytes):
                    found[key] = entry.value
        return found

    def check(self) -> None:
        """Fails only when closed."""
        with self._shelf.lock:
            self._check_open()

    def purge(self) -> int:
        """Remove what is due; see ``ManagedStore.purge``."""
        with self._shelf.lock:
            self._check_open()
            return self._purge(self._config.clock())

    def stats(self) -> StoreStats:
        """How full the store is, all namespaces together."""
        with self._shelf.lock:
            self._check_open()
            return StoreStats(
                kind="memory",
                entries=len(self._shelf.entries),
                used_bytes=self._shelf.used_bytes,
                max_bytes=self._config.max_bytes,
            )

    def close(self) -> None:
        """Forget everything."""
        with self._shelf.lock:
            self._shelf.is_closed = True
            self._shelf.entries.clear()
            self._shelf.lineages.clear()

    def _purge(self, now: float) -> int:
        shelf, config = self._shelf, self._config
        removed = 0
        while shelf.entries and removed < _PURGE_ENTRIES:
            age_s = now - next(iter(shelf.entries.values())).used
            is_over = shelf.used_bytes > config.max_bytes
            if age_s <= config.retention_s and not (is_over and age_s > OPEN_S):
                break
            shelf.pop_oldest()
            removed += 1
        return removed

    def _key(self, digest: str) -> bytes:
        return original_key(self._config.namespace, digest).encode()

    def _check_open(self) -> None:
        if self._shelf.is_closed:
            raise StoreUnavailableError("the store in memory has been closed")


def open_url(url: str, config: StoreConfig) -> MemoryStore:
    """Open ``memory://``; what follows the scheme has no meaning."""
    del url
    return MemoryStore(config)
