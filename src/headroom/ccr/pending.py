"""What waits in memory for a store that is down, bounded in bytes; thread-safe."""

import threading
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from headroom.core.protocols import LedgerKey
from headroom.core.types import Decision

_BATCH_ENTRIES = 256
_ENTRY_BYTES = 400

_Item = tuple[str, LedgerKey | str | bytes]
"""Namespace, and the name of a record, an original or a note."""


class PendingBatch(Struct, frozen=True):
    """Some of what waits, of one namespace."""

    namespace: str
    records: list[tuple[LedgerKey, Decision]]
    originals: dict[str, str]
    notes: dict[bytes, bytes]
    items: list[_Item]


class Pending:
    """Records, originals and notes in the order in which they came.

    Attributes:
        dropped: how many did not fit and will never reach the store.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._lock = threading.Lock()
        self._items: dict[_Item, Decision | str | bytes] = {}
        self._used_bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def keep(
        self,
        namespace: str,
        records: Sequence[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
        notes: Mapping[bytes, bytes],
    ) -> None:
        """Take in what a store refused; whatever is here already stays."""
        with self._lock:
            for item in (records, originals.items(), notes.items()):
                for name, value in item:
                    self._keep((namespace, name), value)

    def original(self, namespace: str, digest: str) -> str | None:
        """An original that waits."""
        found = self._items.get((namespace, digest)) if self._items else None
        return found if isinstance(found, str) else None

    def notes(self, namespace: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Notes that wait."""
        if not self._items:
            return {}
        found = {key: self._items.get((namespace, key)) for key in keys}
        return {key: value for key, value in found.items() if isinstance(value, bytes)}

    def batches(self) -> Iterator[PendingBatch]:
        """What waits, in pieces of bounded size; each stays until it is ``done``."""
        with self._lock:
            waiting = list(self._items.items())
        for namespace in dict.fromkeys(item[0] for item, _ in waiting):
            mine = [entry for entry in waiting if entry[0][0] == namespace]
            for start in range(0, len(mine), _BATCH_ENTRIES):
                yield _batch(namespace, mine[start : start + _BATCH_ENTRIES])

    def done(self, batch: PendingBatch) -> None:
        """The store has this batch."""
        with self._lock:
            for item in batch.items:
                value = self._items.pop(item, None)
                if value is not None:
                    self._used_bytes -= _size(value)

    def _keep(self, item: _Item, value: Decision | str | bytes) -> None:
        if item in self._items:
            return
        size = _size(value)
        if self._used_bytes + size > self._capacity_bytes:
            self.dropped += 1
            return
        self._items[item] = value
        self._used_bytes += size


def _batch(
    namespace: str, entries: Sequence[tuple[_Item, Decision | str | bytes]]
) -> PendingBatch:
    batch = PendingBatch(namespace, [], {}, {}, [item for item, _ in entries])
    for (_, name), value in entries:
        if isinstance(name, LedgerKey) and isinstance(value, Decision):
            batch.records.append((name, value))
        elif isinstance(name, str) and isinstance(value, str):
            batch.originals[name] = value
        elif isinstance(name, bytes) and isinstance(value, bytes):
            batch.notes[name] = value
    return batch


def _size(value: Decision | str | bytes) -> int:
    if isinstance(value, Decision):
        text = sum(2 * len(edit.replacement) for edit in value.edits)
        return _ENTRY_BYTES + text + len(value.hidden)
    return _ENTRY_BYTES + (2 if isinstance(value, str) else 1) * len(value)
