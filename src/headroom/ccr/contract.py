"""What every store is given, and what the shell may ask of it beyond the core's needs.

The core knows stores as ``headroom.core.protocols.Store``: load, save, get. The shell
also has to watch them, empty them and keep small facts in them; ``ManagedStore`` adds
that. The laws in ``tests/ccr/stores`` hold for every back-end.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from headroom.core.protocols import LedgerKey, Store
from headroom.core.types import Decision

DEFAULT_RETENTION_S = 30 * 24 * 3600.0
DEFAULT_MAX_BYTES = 2 * 1024**3

TOUCH_S = 900.0
"""The recorded time of last use may be this much too old: reads then write nothing."""

OPEN_S = 3600.0 + 2 * TOUCH_S
"""Nothing used more recently is removed to make room (SPEC D9: one hour)."""


class StoreConfig(Struct, frozen=True):
    """What a store is opened with.

    Attributes:
        retention_s: entries not used for so long may be removed.
        max_bytes: above this the least recently used entries are removed, but none
            that was used within the last hour.
        namespace: whose originals these are; others cannot be reached. Ledger records
            carry the namespace in their keys.
        clock: seconds since the epoch.
    """

    retention_s: float = DEFAULT_RETENTION_S
    max_bytes: int = DEFAULT_MAX_BYTES
    namespace: str = ""
    clock: Callable[[], float] = time.time


class StoreStats(Struct, frozen=True):
    """How full a store is.

    Attributes:
        kind: ``memory``, ``sqlite`` or ``redis``.
        entries: originals, records and notes together, of all namespaces where the
            back-end can tell them cheaply; ``-1`` if it cannot.
        used_bytes: what they occupy; ``-1`` if the back-end cannot tell.
        max_bytes: the cap; ``0`` if the back-end enforces one of its own.
    """

    kind: str
    entries: int
    used_bytes: int
    max_bytes: int


class ManagedStore(Store, Protocol):
    """A store as the shell sees it."""

    @property
    def is_remote(self) -> bool:
        """Calls wait for a network; an event loop must not make them itself."""
        ...

    def scoped(self, namespace: str) -> "ManagedStore":
        """The same store for another namespace; closing either closes both."""
        ...

    def try_save(
        self,
        records: Sequence[tuple[LedgerKey, Decision]],
        originals: Mapping[str, str],
    ) -> dict[LedgerKey, Decision] | None:
        """``save`` if that is a matter of microseconds, else ``None`` and no change.

        Whoever calls this calls ``maintain`` from time to time, elsewhere.

        Raises:
            StoreUnavailableError: nothing is known to be written.
        """
        ...

    def maintain(self) -> None:
        """Upkeep that may take milliseconds: room is made, logs are folded in.

        Raises:
            StoreUnavailableError: it could not be done; nothing is lost.
        """
        ...

    def remember(self, notes: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Keep small values by key, put-if-absent; returns those already there.

        Raises:
            StoreUnavailableError: nothing is known to be written.
        """
        ...

    def recall(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values kept by ``remember`` under any of ``keys``.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        ...

    def check(self) -> None:
        """Prove that the store can be read and written.

        Raises:
            StoreUnavailableError: it cannot; the message says why.
        """
        ...

    def purge(self) -> int:
        """Remove a bounded number of entries that are due; returns how many.

        Stores call this themselves as they are written to; calling it until it returns
        0 empties what may be emptied.

        Raises:
            StoreUnavailableError: nothing is known to be removed.
        """
        ...

    def stats(self) -> StoreStats:
        """How full the store is.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        ...
