"""The records used most recently, in memory, in front of the store.

A record never changes once it is written, so nothing here has to be invalidated. What
may come later is a record of another lineage under the same key; therefore a key is
answered from memory only to who asks in a lineage that is known here, which is what the
planner prefers to any other.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from headroom.ccr.contract import TOUCH_S
from headroom.core.plan import BLOCK_LINEAGE
from headroom.core.protocols import LedgerKey, Record
from headroom.core.types import Decision

_KEY_BYTES = 400
_EDIT_BYTES = 300
"""What the objects cost in memory, beside the replacements' text (CPython, 64 bit)."""


class _Known:
    """What is known under one key."""

    __slots__ = ("records", "size", "touched_at")

    def __init__(self, records: tuple[Record, ...], now: float) -> None:
        self.records = records
        self.size = _size(records)
        self.touched_at = now


class RecentRecords:
    """A bounded map from key to records, least recently used first out; thread-safe."""

    def __init__(self, *, capacity_bytes: int, capacity_entries: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._capacity_entries = capacity_entries
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    def find(
        self, keys: Sequence[bytes], lineage: bytes, now: float
    ) -> tuple[list[Record], list[bytes], list[bytes]]:
        """What is known under ``keys``.

        Returns:
            The records known; the keys that only the store can answer for this lineage;
            the keys whose use the store has not been told of for a while (once each).
        """
        records: list[Record] = []
        missing: list[bytes] = []
        stale: list[bytes] = []
        with self._lock:
            for key in keys:
                known = self._known.get(key)
                if known is None:
                    missing.append(key)
                    continue
                self._known.move_to_end(key)
                records += known.records
                if not any(
                    r.lineage in {lineage, BLOCK_LINEAGE} for r in known.records
                ):
                    missing.append(key)
                elif not 0 <= now - known.touched_at < TOUCH_S:
                    known.touched_at = now
                    stale.append(key)
        return records, missing, stale

    def decision(self, name: LedgerKey) -> Decision | None:
        """The decision known under a key and lineage."""
        with self._lock:
            known = self._known.get(name.key)
            for record in known.records if known is not None else ():
                if record.lineage == name.lineage:
                    return record.decision
        return None

    def learn(self, records: Iterable[Record], now: float) -> None:
        """Take in all that the store holds under some keys, oldest first per key.

        What is known here and not there was decided while the store was down; it stays.
        """
        grouped: dict[bytes, list[Record]] = {}
        for record in records:
            grouped.setdefault(record.key, []).append(record)
        with self._lock:
            for key, found in grouped.items():
                known = self._known.get(key)
                for record in known.records if known is not None else ():
                    if all(record.lineage != other.lineage for other in found):
                        found.append(record)
                self._put(key, tuple(found), now)
            self._evict()

    def add(self, settled: Iterable[tuple[LedgerKey, Decision]], now: float) -> None:
        """Take in decisions that hold from here on, in place of any known."""
        with self._lock:
            for name, decision in settled:
                known = self._known.get(name.key)
                others = () if known is None else known.records
                kept = tuple(r for r in others if r.lineage != name.lineage)
                record = Record(name.key, name.lineage, decision)
                self._put(name.key, (*kept, record), now)
            self._evict()

    def _put(self, key: bytes, records: tuple[Record, ...], now: float) -> None:
        before = self._known.get(key)
        if before is not None:
            self.used_bytes -= before.size
        known = _Known(records, now)
        self._known[key] = known
        self._known.move_to_end(key)
        self.used_bytes += known.size

    def _evict(self) -> None:
        while self._known and (
            self.used_bytes > self._capacity_bytes
            or len(self._known) > self._capacity_entries
        ):
            _, known = self._known.popitem(last=False)
            self.used_bytes -= known.size


def _size(records: tuple[Record, ...]) -> int:
    """A rough size in memory; texts may take up to four bytes per character."""
    edits = [edit for record in records for edit in record.decision.edits]
    text = sum(
        len(e.replacement) * (1 if e.replacement.isascii() else 2) for e in edits
    )
    text += sum(len(record.decision.hidden) for record in records)
    return _KEY_BYTES * len(records) + _EDIT_BYTES * len(edits) + text
